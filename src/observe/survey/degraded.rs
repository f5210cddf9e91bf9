//! What the survey could not do as it should.

use std::fmt;
use std::io;

use crate::observe::cgroups::PATH_BYTES;
use crate::observe::parse::Malformed;

use super::SLOW_SCAN;

/// Why some cgroups are watched less well. Each is told once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Degraded {
    /// `ENOSPC`: no more watches for this user.
    Watches,
    /// `EMFILE` of inotify itself: no more instances for this user.
    Instances,
    /// `EMFILE`, `ENFILE`: no more descriptors.
    Descriptors,
    /// A path longer than [`PATH_BYTES`].
    PathTooLong,
    /// A limit or count that makes no sense.
    Malformed(Malformed),
    /// Any other error number of a system call.
    Failed(i32),
}

impl Degraded {
    /// What an error means; `None` for one without a number.
    pub(super) fn of(error: &io::Error) -> Option<Self> {
        Some(match error.raw_os_error()? {
            libc::ENOSPC => Self::Watches,
            libc::EMFILE | libc::ENFILE => Self::Descriptors,
            other => Self::Failed(other),
        })
    }
}

impl fmt::Display for Degraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pause = SLOW_SCAN.as_secs();
        match self {
            Self::Watches => write!(
                f,
                "some cgroups can't be watched, the inotify watches of this user are used up: \
                 they are looked at every {pause} s instead; raise fs.inotify.max_user_watches"
            ),
            Self::Instances => write!(
                f,
                "cgroups can't be watched, the inotify instances of this user (or the descriptors of this process) are \
                 used up: they are looked at every {pause} s instead; raise fs.inotify.max_user_instances"
            ),
            Self::Descriptors => write!(
                f,
                "some cgroups can't be opened, the descriptors are used up: \
                 this is tried again every {pause} s; raise LimitNOFILE= (or fs.file-max)"
            ),
            Self::PathTooLong => write!(
                f,
                "a cgroup's path is longer than {PATH_BYTES} bytes: it and all below it are not guarded against livelocks"
            ),
            Self::Malformed(what) => {
                write!(f, "a cgroup's file makes no sense ({what}): the cgroup is watched as if it had a limit")
            }
            Self::Failed(errno) => write!(
                f,
                "a cgroup can't be watched ({}): this is tried again every {pause} s",
                io::Error::from_raw_os_error(*errno)
            ),
        }
    }
}
