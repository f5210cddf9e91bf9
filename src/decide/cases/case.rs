//! One stuck cgroup.

use std::time::Duration;

use crate::config::LivelockAction;
use crate::observe::cgroups::CgroupPath;

use super::super::livelock::Stall;
use super::super::victim::Victim;
use super::super::{Act, Signal};

/// A case.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    /// Which cgroup; `None` for the machine, whose `path` is the root.
    pub(super) id: Option<u64>,
    pub(super) path: CgroupPath,
    pub(super) action: LivelockAction,
    pub(super) stall: Stall,
    /// `memory.current` by the last sample that showed it stuck.
    pub(super) current: u64,
    pub(super) incident: u32,
    pub(super) phase: Phase,
    /// Victims that exited.
    pub(super) tried: u8,
    /// Victims in a row that changed nothing.
    pub(super) futile: u8,
}

impl Case {
    pub(super) fn new(
        id: Option<u64>,
        path: &CgroupPath,
        action: LivelockAction,
        stall: &Stall,
        current: u64,
        incident: u32,
    ) -> Self {
        Self { id, path: *path, action, stall: *stall, current, incident, phase: Phase::Choosing, tried: 0, futile: 0 }
    }
}

/// Where a case stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Phase {
    /// Somebody has to be chosen.
    Choosing,
    /// A signal was sent; the victim has not exited.
    Asked(Asked),
    /// The victim is gone: does the cgroup move again?
    Checking {
        /// When the exit was seen.
        since: Duration,
        /// Who it was, until that was told.
        victim: Option<Gone>,
    },
    /// `memory.high` is being raised.
    Lifting,
    /// Nothing is done until then; `None`: until the cgroup moves.
    Resting(Option<Duration>),
}

impl Phase {
    /// What is being done, for people; `None` before anything is.
    pub(super) const fn word(&self) -> Option<&'static str> {
        match self {
            Self::Choosing => None,
            Self::Asked(_) => Some("killing"),
            Self::Checking { .. } => Some("checking"),
            Self::Lifting => Some("lifting"),
            Self::Resting(_) => Some("resting"),
        }
    }
}

/// A victim under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) act: Act,
    pub(super) sent_at: Duration,
    /// When the first signal was sent to it.
    pub(super) first: Duration,
    /// `memory.current` then.
    pub(super) current: u64,
}

/// A victim that exited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gone {
    pub(super) victim: Victim,
    pub(super) signal: Signal,
    pub(super) after: Duration,
    pub(super) current: u64,
}
