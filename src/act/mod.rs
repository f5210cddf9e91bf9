//! Does what was decided: signals through pidfds, `cgroup.kill`, `process_mrelease`. Nothing here allocates.
//!
//! An act has two halves, and the loop looks at the memory once more between them: [`Actor::aim`] pins the victim down,
//! [`Actor::fire`] sends the signal.

pub mod reaper;

use std::io;
use std::os::fd::AsFd;

use nix::sys::signal::Signal as Posix;

use crate::decide::victim::Victim;
use crate::decide::{Act, Signal};
use crate::host::Host;
use crate::host::dir::Dir;
use crate::host::process::{Missing, PidFd, signal_by_pid};
use crate::observe::cgroups;
use crate::observe::limits::Hierarchy;
use crate::observe::scan::{StillThere, look_again};
use crate::observe::{Faults, TaskId};

use reaper::Reaper;

/// Whether there is still somebody to act upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// The victim is held.
    Held,
    /// It exited by itself, or is exiting.
    Gone,
}

/// Sends signals, and holds on to the victim until it is gone.
#[derive(Debug)]
pub struct Actor {
    hierarchy: Hierarchy,
    missing: Missing,
    reaper: Option<Reaper>,
    held: Option<Held>,
}

/// The victim at work.
#[derive(Debug)]
struct Held {
    id: TaskId,
    pidfd: Option<PidFd>,
    /// The directory of its cgroup, when the whole of that is the victim (v2 only).
    cgroup: Option<Dir>,
}

impl Actor {
    /// An actor for a kernel that has all but `missing`.
    #[must_use]
    pub fn new(hierarchy: Hierarchy, missing: Missing) -> Self {
        Self { hierarchy, missing, reaper: None, held: None }
    }

    /// Another one like this, for another victim at the same time.
    #[must_use]
    pub fn another(&self) -> Self {
        Self { hierarchy: self.hierarchy, missing: self.missing, reaper: self.reaper.clone(), held: None }
    }

    /// Hands killed processes to this reaper; without one, memory comes back when the victim exits by itself.
    pub fn set_reaper(&mut self, reaper: Option<Reaper>) {
        self.reaper = reaper;
    }

    /// Pins the victim down: a pidfd first, then the check that it is the process that was chosen. From here on a reused
    /// pid can't be hit. A victim already held stays so. `opened` is a pidfd on this very process from beforehand, if there
    /// is one: whoever may be throttled opens nothing now.
    pub fn aim(&mut self, host: &Host, victim: &Victim, opened: Option<PidFd>) -> Aim {
        if self.held.as_ref().is_none_or(|held| held.id != victim.id) {
            self.held = None;
            if let Some(pidfd) = opened.filter(|_| victim.group.is_none()) {
                if pidfd.has_exited() {
                    return Aim::Gone;
                }
                self.held = Some(Held { id: victim.id, pidfd: Some(pidfd), cgroup: None });
                return Aim::Held;
            }
            let pidfd = match (self.missing.pidfd, PidFd::open(victim.id.pid)) {
                (false, Ok(fd)) => Some(fd),
                (false, Err(e)) if e.raw_os_error() == Some(libc::ESRCH) && victim.group.is_none() => return Aim::Gone,
                // No pidfds on this kernel, or no descriptor left: better by number than not at all.
                _ => None,
            };
            self.held = Some(Held { id: victim.id, pidfd, cgroup: None });
        }
        if let Some(held) = &mut self.held {
            // What was the whole group at SIGTERM need not be so any more.
            let whole = victim.group.is_some_and(|group| group.whole) && self.hierarchy == Hierarchy::V2;
            let known = held.cgroup.take();
            held.cgroup = victim
                .cgroup
                .as_ref()
                .zip(host.cgroup2.as_ref())
                .filter(|_| whole)
                .and_then(|(path, root)| known.or_else(|| cgroups::open(root, path.as_bytes()).ok()));
        }
        // The members of a group are each looked at when their signal is due.
        if victim.group.is_some() {
            return Aim::Held;
        }
        match look_again(&host.proc, victim.id) {
            Ok(StillThere::Alive) | Err(_) => Aim::Held,
            Ok(StillThere::Dying | StillThere::Gone) => {
                self.held = None;
                Aim::Gone
            }
        }
    }

    /// Sends the signal. `members` are those of a group. Returns how many processes were signalled.
    ///
    /// # Errors
    /// Why nobody could be signalled: `ESRCH` when all are gone, `EPERM` when it is not allowed.
    pub fn fire(&mut self, host: &Host, act: &Act, members: &[TaskId]) -> io::Result<u32> {
        let signal = match act.signal {
            Signal::Term => Posix::SIGTERM,
            Signal::Kill => Posix::SIGKILL,
        };
        let Some(held) = &self.held else { return Err(io::Error::from_raw_os_error(libc::ESRCH)) };
        if act.victim.group.is_none() {
            match &held.pidfd {
                Some(fd) => send(fd, signal)?,
                None => send_by_number(held.id.pid, signal)?,
            }
            self.reap(signal, held.pidfd.as_ref());
            return Ok(1);
        }
        if let (Posix::SIGKILL, Some(dir)) = (signal, &held.cgroup)
            && dir.write(c"cgroup.kill", b"1").is_ok()
        {
            return Ok(u32::try_from(members.len()).unwrap_or(u32::MAX));
        }
        let mut sent = 0;
        let mut refused = io::Error::from_raw_os_error(libc::ESRCH);
        for id in members {
            match self.signal_member(host, *id, signal) {
                Ok(()) => sent += 1,
                Err(e) if e.raw_os_error() == Some(libc::ESRCH) => {}
                Err(e) => refused = e,
            }
        }
        if sent > 0 { Ok(sent) } else { Err(refused) }
    }

    fn signal_member(&self, host: &Host, id: TaskId, signal: Posix) -> io::Result<()> {
        let pidfd = if self.missing.pidfd { None } else { PidFd::open(id.pid).ok() };
        if look_again(&host.proc, id)? != StillThere::Alive {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        match &pidfd {
            Some(fd) => send(fd, signal)?,
            None => send_by_number(id.pid, signal)?,
        }
        self.reap(signal, pidfd.as_ref());
        Ok(())
    }

    /// Has the memory of a killed process taken back at once, on another thread: the kernel does it within the call, and
    /// waits there for the victim's `mmap_lock`.
    fn reap(&self, signal: Posix, pidfd: Option<&PidFd>) {
        if let (Posix::SIGKILL, Some(reaper), Some(fd)) = (signal, &self.reaper, pidfd) {
            reaper.reap(fd);
        }
    }

    /// The descriptor that becomes readable when the victim is gone.
    #[must_use]
    pub fn wake_up(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.held.as_ref()?.pidfd.as_ref().map(AsFd::as_fd)
    }

    /// Whether the victim at work, or its whole group, is gone.
    #[must_use]
    pub fn exited(&self, host: &Host, victim: &Victim, members: &[TaskId]) -> bool {
        let held = self.held.as_ref().filter(|held| held.id == victim.id);
        if victim.group.is_none() {
            return match held.and_then(|held| held.pidfd.as_ref()) {
                Some(fd) => fd.has_exited(),
                None => gone(host, victim.id),
            };
        }
        if let Some(dir) = held.and_then(|held| held.cgroup.as_ref()) {
            let mut buf = [0; 128];
            return match dir.read(c"cgroup.events", &mut buf) {
                Ok(text) => crate::observe::parse::parse_populated(text) == Ok(false),
                // Removed: nobody can be in it.
                Err(e) => Faults::is_gone(&e),
            };
        }
        members.iter().all(|id| gone(host, *id))
    }

    /// Lets go of the victim.
    pub fn release(&mut self) {
        self.held = None;
    }
}

/// Sends a signal. A stopped process would not notice SIGTERM before somebody lets it go on, so SIGCONT follows, as
/// systemd sends it too.
fn send(fd: &PidFd, signal: Posix) -> io::Result<()> {
    fd.signal(Some(signal))?;
    if signal == Posix::SIGTERM {
        let _ = fd.signal(Some(Posix::SIGCONT));
    }
    Ok(())
}

/// As [`send`], on a kernel without pidfds.
fn send_by_number(pid: i32, signal: Posix) -> io::Result<()> {
    signal_by_pid(pid, Some(signal))?;
    if signal == Posix::SIGTERM {
        let _ = signal_by_pid(pid, Some(Posix::SIGCONT));
    }
    Ok(())
}

fn gone(host: &Host, id: TaskId) -> bool {
    matches!(look_again(&host.proc, id), Ok(StillThere::Gone | StillThere::Dying))
}
