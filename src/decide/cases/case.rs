//! One stuck cgroup.

use std::time::Duration;

use crate::observe::cgroups::CgroupPath;

use super::super::livelock::Stall;
use super::super::victim::Victim;
use super::super::{Act, Signal};
use super::note::Plan;

/// A case.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    /// Which cgroup; `None` for the machine, whose `path` is the root.
    pub(super) id: Option<u64>,
    pub(super) path: CgroupPath,
    pub(super) plan: Plan,
    /// How it is stuck, by the last sample that showed it so.
    pub(super) stall: Stall,
    /// How it was when it was found, or for which the last signal was sent. What came of that is told of the same: one kind
    /// passes into another from one sample to the next, throttled into squeezed above all.
    pub(super) told: Stall,
    /// `memory.current` by the last sample that showed it stuck.
    pub(super) current: u64,
    pub(super) incident: u32,
    pub(super) phase: Phase,
    /// Victims that exited.
    pub(super) tried: u8,
    /// Victims in a row that changed nothing.
    pub(super) futile: u8,
    /// Nobody is chosen before.
    pub(super) not_before: Option<Duration>,
    /// Since when the first in rank is one of whom it is not known whether he is protected.
    pub(super) unread_since: Option<Duration>,
}

impl Case {
    pub(super) fn new(
        id: Option<u64>,
        path: &CgroupPath,
        plan: Plan,
        stall: &Stall,
        current: u64,
        incident: u32,
    ) -> Self {
        Self {
            id,
            path: *path,
            plan,
            stall: *stall,
            told: *stall,
            current,
            incident,
            phase: Phase::Choosing,
            tried: 0,
            futile: 0,
            not_before: None,
            unread_since: None,
        }
    }
}

impl Case {
    /// Another configuration wants something else of it.
    pub(super) fn replan(&mut self, plan: Plan) {
        if plan != self.plan {
            self.plan = plan;
            if matches!(self.phase, Phase::Resting(_)) {
                self.phase = Phase::Choosing;
            }
        }
    }

    /// Whether there is time yet to learn more of a victim that is perhaps protected.
    pub(super) fn may_await_details(&self, now: Duration) -> bool {
        self.unread_since.is_none_or(|since| now.saturating_sub(since) < DETAILS)
    }
}

/// For reading a command line, beside the guard, of a process in trouble.
const DETAILS: Duration = Duration::from_secs(1);

/// Where a case stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Phase {
    /// Somebody has to be chosen.
    Choosing,
    /// A signal was sent; the victim has not exited.
    Asked(Asked),
    /// The cgroup moves again though the victim has not exited: no SIGKILL. It may yet end by its SIGTERM.
    Spared(Asked),
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
            Self::Choosing | Self::Spared(_) => None,
            Self::Asked(_) => Some("killing"),
            Self::Checking { .. } => Some("checking"),
            Self::Lifting => Some("lifting"),
            Self::Resting(_) => Some("left alone"),
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

impl Asked {
    /// What there is to say of its exit, seen now.
    pub(super) fn gone(&self, now: Duration) -> Gone {
        let Self { act, sent_at, current, .. } = *self;
        Gone { victim: act.victim, signal: act.signal, after: now.saturating_sub(sent_at), current }
    }
}

/// A victim that exited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gone {
    pub(super) victim: Victim,
    pub(super) signal: Signal,
    pub(super) after: Duration,
    pub(super) current: u64,
}
