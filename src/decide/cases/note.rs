//! What there is to say about a case, for the journal.

use std::time::Duration;

use crate::observe::cgroups::CgroupPath;

use super::super::Signal;
use super::super::livelock::Stall;
use super::super::victim::{Refusal, Spared, Victim};

/// Something that happened in a case.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CaseNote {
    /// The number of the case among all incidents.
    pub incident: u32,
    /// The cgroup that is stuck.
    pub path: CgroupPath,
    /// How it is stuck.
    pub stall: Stall,
    /// What happened.
    pub event: CaseEvent,
}

/// What is to be done about a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Its hog is to go.
    Kill,
    /// `memory.high` is to be raised.
    Lift,
    /// Nothing.
    Warn(WhyWarn),
}

/// Why nothing is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyWarn {
    /// The configuration says so.
    Configured,
    /// It says "lift", and there is no `memory.high` that could be lifted.
    NoHigh,
    /// The machine is slow, but there is memory or swap left.
    NotShort,
}

/// What happened in a case.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CaseEvent {
    /// It was found stuck, and this is what is to be done; again each minute when that is nothing.
    Found(Plan),
    /// The kernel finds nobody to kill at `memory.max`.
    OomStuck,
    /// The victim exited.
    Exited {
        /// Who.
        victim: Victim,
        /// What it had been sent, and how long before it was gone.
        after: (Signal, Duration),
        /// How much less the cgroup holds, in bytes; `None` when it went with its last process.
        freed: Option<u64>,
    },
    /// The victim did not exit in time after SIGKILL.
    SetAside(Victim),
    /// The cgroup moves again during the grace period, so the victim was spared.
    Spared(Victim),
    /// Whoever was spared exited all the same.
    SparedExited {
        /// Who.
        victim: Victim,
        /// So long after its SIGTERM.
        after: Duration,
    },
    /// Nobody was killed, and the process to look at instead.
    Refused(Refusal, Option<Spared>),
    /// The cgroup moves again, so long after it got stuck.
    Moves(Duration),
}

impl CaseNote {
    pub(super) fn new(incident: u32, path: &CgroupPath, stall: &Stall, event: &CaseEvent) -> Self {
        Self { incident, path: *path, stall: *stall, event: *event }
    }
}
