//! How v1 tells that a limit was hit: an eventfd that is registered for it (`Documentation/admin-guide/cgroup-v1/memory.rst`,
//! "OOM Control").

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::host::dir::{Dir, HeldFile};

/// Readable when the cgroup, or one above it, was out of memory.
#[derive(Debug)]
pub(super) struct OomNotice {
    event: EventFd,
    /// The registration holds as long as this is open, or the other one.
    _control: HeldFile,
}

impl OomNotice {
    /// Registers for it.
    ///
    /// # Errors
    /// Those of `eventfd(2)`, `openat(2)` and `write(2)`: a kernel without `CONFIG_MEMCG_V1` has no such files.
    pub(super) fn of(dir: &Dir) -> io::Result<Self> {
        let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let control = dir.file(c"memory.oom_control")?;
        let words = format!("{} {}", event.as_fd().as_raw_fd(), control.as_fd().as_raw_fd());
        dir.write(c"cgroup.event_control", words.as_bytes())?;
        Ok(Self { event, _control: control })
    }

    /// Makes it ready for the next.
    pub(super) fn heard(&self) {
        let _ = self.event.read();
    }
}

impl AsFd for OomNotice {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}
