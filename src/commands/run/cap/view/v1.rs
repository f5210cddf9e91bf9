//! How v1 tells that a limit was hit: an eventfd that is registered for it (`Documentation/admin-guide/cgroup-v1/memory.rst`,
//! "OOM Control").

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::host::dir::{Dir, HeldFile};
use crate::observe::parse::parse_memory_events;

use super::read;

/// Readable when the cgroup, or one above it, was out of memory: not for one below it. A kill follows, here or elsewhere below
/// the one that was.
#[derive(Debug)]
pub(super) struct OomNotice {
    event: EventFd,
    /// It was, and the kill may be yet to come.
    was_hit: Cell<bool>,
    /// How many were killed in each cgroup before: for a limit further down, that is.
    before: RefCell<Kills>,
    /// The most kills that were seen: a cgroup below takes its count with it when it is removed.
    most: Cell<u64>,
    /// The registration holds as long as this is open, or the other one.
    _control: HeldFile,
}

/// The kills of a cgroup, and of each of those below it, as far as there were any.
type Kills = BTreeMap<PathBuf, u64>;

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
        Ok(Self { event, was_hit: Cell::new(false), before: RefCell::default(), most: Cell::new(0), _control: control })
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
            self.most.set(self.most.get().max(since(&self.before.borrow(), &kills_within(dir))));
        }
        self.most.get()
    }

    /// No kill is to be expected any more: those until now were others' (of a run inside this one, at its own cap).
    pub(super) fn rest(&self, dir: &Path) {
        let now = kills_within(dir);
        // The notice comes before the kill: without one none of these is ours.
        let mut fds = [PollFd::new(self.event.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, PollTimeout::ZERO) == Ok(0) {
            self.was_hit.set(false);
            self.before.replace(now);
        }
    }
}

fn since(before: &Kills, now: &Kills) -> u64 {
    now.iter().map(|(dir, kills)| kills.saturating_sub(before.get(dir).copied().unwrap_or(0))).sum()
}

fn kills_within(dir: &Path) -> Kills {
    let mut kills = Kills::new();
    add_kills(dir, &mut kills);
    kills
}

fn add_kills(dir: &Path, kills: &mut Kills) {
    let Ok(held) = Dir::open(dir) else { return };
    let own = held.file(c"memory.oom_control").ok().and_then(|file| read(&file, parse_memory_events)?.oom_kill);
    kills.extend(own.filter(|own| *own > 0).map(|own| (dir.to_owned(), own)));
    for name in held.directories().unwrap_or_default() {
        add_kills(&dir.join(OsStr::from_bytes(name.as_bytes())), kills);
    }
}

impl AsFd for OomNotice {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_of_before_and_of_others_do_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        let write = |cgroup: &str, kills: u64| {
            std::fs::create_dir_all(path.join(cgroup)).unwrap();
            let text = format!("oom_kill_disable 0\nunder_oom 0\noom_kill {kills}\n");
            std::fs::write(path.join(cgroup).join("memory.oom_control"), text).unwrap();
        };
        write("", 0);
        std::fs::write(path.join("cgroup.event_control"), "").unwrap();
        let notice = OomNotice::of(&Dir::open(path).unwrap()).unwrap();
        let tell = || notice.event.write(1).unwrap();
        // A run inside this one, at its own cap: of that nothing is told.
        write("inner", 1);
        assert_eq!(notice.kills(path), 0);
        notice.rest(path);
        // The one above is out of memory, and somebody else is killed for it.
        tell();
        notice.heard();
        assert_eq!(notice.kills(path), 0);
        notice.rest(path);
        write("inner", 2);
        assert_eq!(notice.kills(path), 0);
        // One that is told of and not heard yet is not rested from.
        tell();
        write("inner", 3);
        notice.rest(path);
        notice.heard();
        assert_eq!(notice.kills(path), 2);
        // The inner one's count goes with it.
        std::fs::remove_dir_all(path.join("inner")).unwrap();
        assert_eq!(notice.kills(path), 2);
        write("", 3);
        assert_eq!(notice.kills(path), 3);
    }
}
