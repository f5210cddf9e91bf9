//! How v1 tells that a limit was hit: an eventfd that is registered for it (`Documentation/admin-guide/cgroup-v1/memory.rst`,
//! "OOM Control").

use std::cell::Cell;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::host::dir::{Dir, HeldFile};
use crate::observe::parse::parse_memory_events;

use super::read;

/// Readable when the cgroup, or one above it, was out of memory: not for one below it.
#[derive(Debug)]
pub(super) struct OomNotice {
    event: EventFd,
    /// It was.
    was_hit: Cell<bool>,
    /// The most kills that were seen: a cgroup below takes its count with it when it is removed.
    most: Cell<u64>,
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
        Ok(Self { event, was_hit: Cell::new(false), most: Cell::new(0), _control: control })
    }

    /// Makes it ready for the next.
    pub(super) fn heard(&self) {
        let _ = self.event.read();
        self.was_hit.set(true);
    }

    /// How many processes were killed for a limit of the cgroup's own or of one above it. A kill is counted where the process
    /// is, and nowhere else: those of cgroups below count here once this one was hit.
    pub(super) fn kills(&self, dir: &Path) -> u64 {
        if self.was_hit.get() {
            self.most.set(self.most.get().max(kills_within(dir)));
        }
        self.most.get()
    }
}

fn kills_within(dir: &Path) -> u64 {
    let Ok(held) = Dir::open(dir) else { return 0 };
    let own = held.file(c"memory.oom_control").ok().and_then(|file| read(&file, parse_memory_events)?.oom_kill);
    let below = held.directories().unwrap_or_default();
    let below = below.iter().map(|name| kills_within(&dir.join(OsStr::from_bytes(name.as_bytes()))));
    own.unwrap_or(0).saturating_add(below.sum())
}

impl AsFd for OomNotice {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}
