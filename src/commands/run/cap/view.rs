//! The parent's view of a place: what its cgroup uses, who is in it, and the end of it.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use super::{Place, Tightest};

/// What the kernel's OOM killer did about a place. All counts are since the place was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OomCounts {
    /// How often the cap itself was hit with nothing left to reclaim (`oom` of `memory.events.local`).
    pub at_cap: u64,
    /// How often all of the place was killed at once (`oom_group_kill` of `memory.events.local`; Linux 5.17): at the cap, or
    /// at a limit above. `None` where the kernel does not count it.
    pub whole: Option<u64>,
    /// Processes of the place that were killed, whatever limit it was for, those of places inside this one too.
    pub kills: u64,
    /// The limit further up that was hit meanwhile, if one was.
    pub above: Option<Tightest>,
}

/// The cgroup of a place, looked at from outside.
#[derive(Debug)]
pub struct Cap {
    /// Whose closing tells the keeper to end.
    _lifeline: OwnedFd,
}

impl Cap {
    /// Opens the cgroup's files. `lifeline` is the writing end of [`super::Wishes::lifeline`].
    ///
    /// # Errors
    /// Those of `openat(2)`; a place without a cgroup (a watched one) has nothing to open.
    pub fn open(_place: &Place, lifeline: OwnedFd) -> io::Result<Self> {
        let _ = lifeline;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Bytes in use: what is compared with the limit (`memory.current`).
    pub fn usage(&mut self) -> Option<u64> {
        None
    }

    /// The most bytes that were ever in use (`memory.peak`, Linux 5.19; v1: `memory.max_usage_in_bytes`); where the kernel does
    /// not tell, the most that [`Cap::usage`] has seen.
    #[must_use]
    pub fn peak(&self) -> Option<u64> {
        None
    }

    /// Microseconds in which no process of the place could run for lack of memory (`full` of `memory.pressure`).
    #[must_use]
    pub fn stall_usec(&self) -> Option<u64> {
        None
    }

    /// What the OOM killer did.
    #[must_use]
    pub fn oom(&self) -> OomCounts {
        OomCounts::default()
    }

    /// Fills `pids` with the processes of the place, those of cgroups below included. Zombies are among them as long as
    /// they were not waited for.
    ///
    /// # Errors
    /// When a `cgroup.procs` can't be read.
    pub fn pids(&self, pids: &mut Vec<i32>) -> io::Result<()> {
        pids.clear();
        Ok(())
    }

    /// Sends SIGKILL to all of them, and to what they start meanwhile. Does not wait for their end.
    ///
    /// # Errors
    /// When none of the kernel's ways is open.
    pub fn kill_all(&self) -> io::Result<()> {
        Ok(())
    }

    /// Readable when the limit was hit, where nobody but the parent kills the rest of the place then (v1).
    #[must_use]
    pub fn limit_hit(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Removes the cgroups, if nobody is left in them, and lets the keeper go. Returns who is left: the cap stays on them.
    pub fn remove(self) -> Vec<i32> {
        Vec::new()
    }
}
