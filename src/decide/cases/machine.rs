//! The machine as a whole, as one more thing that can be stuck.

use std::time::Duration;

use crate::config::LivelockAction;

use super::super::livelock::{Kind, MachineDetector, MachineSample, MachineVerdict, Stall};
use super::MOVING;
use super::note::{Plan, WhyWarn};
use super::watched::Outlook;

/// The machine under watch.
#[derive(Debug)]
pub(super) struct Machine {
    detector: MachineDetector,
    thrash_after: Duration,
    action: LivelockAction,
    /// In use when last sampled, in bytes.
    pub(super) used: u64,
    /// When it was last sampled.
    pub(super) sampled: Option<Duration>,
    /// So little is left that somebody is killed for it.
    short: bool,
}

impl Machine {
    pub(super) fn new(thrash_after: Duration, action: LivelockAction) -> Self {
        Self {
            detector: MachineDetector::new(thrash_after),
            thrash_after,
            action,
            used: 0,
            sampled: None,
            short: false,
        }
    }

    /// Goes on by another configuration; what was seen stays, unless it is to be judged otherwise.
    pub(super) fn reconfigure(&mut self, thrash_after: Duration, action: LivelockAction) {
        if thrash_after != self.thrash_after {
            *self = Self::new(thrash_after, action);
        }
        self.action = action;
    }

    /// `term` and `swap_term` are the memory guard's thresholds, in bytes.
    pub(super) fn sampled(&mut self, sample: &MachineSample, term: u64, swap_term: u64) {
        self.used = sample.mem_total.saturating_sub(sample.available);
        self.sampled = Some(sample.t);
        self.short = match self.detector.push(sample) {
            MachineVerdict::Stalled(stall) => stall.is_short(term, swap_term),
            MachineVerdict::Quiet | MachineVerdict::Watching => false,
        };
    }

    pub(super) fn stall(&self) -> Option<Stall> {
        let MachineVerdict::Stalled(stall) = self.detector.verdict() else { return None };
        Some(Stall {
            kind: Kind::SwapThrash,
            since: stall.since,
            seen: stall.seen,
            limit: None,
            window: stall.window,
            stalled: stall.stalled,
            fill: 0.0,
            programs: Some(stall.programs),
        })
    }

    /// A machine that is only slow is warned of; there is no limit that could be lifted.
    pub(super) fn plan(&self) -> Plan {
        match (self.action, self.short) {
            (LivelockAction::Kill, true) => Plan::Kill,
            (LivelockAction::Kill, false) => Plan::Warn(WhyWarn::NotShort),
            (LivelockAction::Lift, _) => Plan::Warn(WhyWarn::NoHigh),
            (LivelockAction::Warn, _) => Plan::Warn(WhyWarn::Configured),
        }
    }

    pub(super) fn outlook(&self) -> Outlook {
        match self.detector.moves(MOVING) {
            Some(true) => Outlook::Moves,
            Some(false) => Outlook::Stuck,
            None => Outlook::Unclear,
        }
    }

    pub(super) fn restart(&mut self) {
        self.detector.restart();
        self.short = false;
    }
}
