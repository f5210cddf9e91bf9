//! A cgroup under watch: what its samples amount to.

use std::time::Duration;

use crate::config::{LivelockAction, TargetKind};
use crate::observe::cgroups::CgroupPath;

use super::super::livelock::{Detector, Judged, Kind, Sample, Scope, Stall, Terms, Verdict};
use super::super::pressure::{LOOK, PressureRule, PressureTerms, PressureVerdict};
use super::super::victim::Held;
use super::{MOVES_BELOW, MOVING};

/// What is asked of a cgroup.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interest {
    /// By `[livelock]`; `None` when its globs leave the cgroup out.
    pub livelock: Option<Scope>,
    /// By `[pressure]`, and what is killed there.
    pub pressure: Option<(PressureTerms, TargetKind)>,
    /// How long is long enough for the detector, also where only its numbers are wanted.
    pub terms: Terms,
}

/// Terms that pressure always meets: the share of a child of a cgroup under pressure is only measured.
const MEASURE_ONLY: PressureTerms = PressureTerms { full: 0.0, after: Duration::MAX };

/// A cgroup under watch.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) id: u64,
    pub(super) path: CgroupPath,
    pub(super) detector: Detector,
    /// What its processes held when it went above its limit.
    pub(super) before: Option<Held>,
    pub(super) wants_before: bool,
    pub(super) oom_told: Option<Duration>,
    /// What is done when it is stuck by the detector's judgement.
    pub(super) action: Option<LivelockAction>,
    /// What is killed when its pressure is too much.
    pub(super) target: Option<TargetKind>,
    rule: PressureRule,
    pressed: PressureVerdict,
}

impl Watched {
    pub(super) fn new(id: u64, path: &CgroupPath, interest: &Interest) -> Self {
        Self {
            id,
            path: *path,
            detector: Detector::new(interest.terms),
            before: None,
            wants_before: false,
            oom_told: None,
            action: interest.livelock.map(|scope| scope.action),
            target: interest.pressure.map(|(_, target)| target),
            rule: PressureRule::new(interest.pressure.map_or(MEASURE_ONLY, |(terms, _)| terms)),
            pressed: PressureVerdict::Below,
        }
    }

    /// Goes on with other terms: what they change begins anew.
    pub(super) fn reinterest(&mut self, interest: &Interest) {
        let new = Self::new(self.id, &self.path, interest);
        if *self.detector.terms() != interest.terms {
            self.detector = new.detector;
        }
        if self.rule.terms() != new.rule.terms() {
            (self.rule, self.pressed) = (new.rule, new.pressed);
        }
        (self.action, self.target) = (new.action, new.target);
    }

    pub(super) fn sampled(&mut self, sample: &Sample) {
        let was_above = self.detector.is_above();
        self.detector.push(sample);
        self.pressed = self.rule.push(sample.t, sample.full_total_us);
        // The first sample above the limit is the time to see who holds what: whoever grows from here on is the hog.
        let is_above = self.detector.is_above();
        self.wants_before |= is_above && !was_above && self.action == Some(LivelockAction::Kill);
        self.wants_before &= is_above;
    }

    /// How it is stuck, if it is.
    pub(super) fn stall(&self) -> Option<Stall> {
        match (self.action, self.detector.verdict()) {
            (Some(_), Verdict::Stalled(stall)) if stall.kind != Kind::OomStuck => Some(stall),
            _ => self.pressure(),
        }
    }

    fn pressure(&self) -> Option<Stall> {
        self.target?;
        let PressureVerdict::Due { percent, held } = self.pressed else { return None };
        let seen = self.detector.last().map_or(Duration::ZERO, |sample| sample.t);
        Some(Stall {
            kind: Kind::Pressure,
            since: seen.saturating_sub(held),
            seen,
            limit: self.detector.last().and_then(Judged::of),
            window: LOOK,
            stalled: percent / 100.0,
            fill: 0.0,
        })
    }

    /// Percent of the last ten seconds that it was fully stalled.
    pub(super) fn percent(&self) -> f64 {
        match self.pressed {
            PressureVerdict::Below => 0.0,
            PressureVerdict::Rising { percent } | PressureVerdict::Due { percent, .. } => percent,
        }
    }

    /// Whether it moves again, by the last second: nobody stalls, and the kernel puts nobody to sleep. A cgroup that
    /// streams through its limit hits it for ever, and moves all the same.
    pub(super) fn moves(&self, kind: Kind) -> bool {
        let stalled = self.detector.stalled(MOVING).is_some_and(|share| share >= MOVES_BELOW);
        let asleep = kind == Kind::Throttled && self.detector.is_above();
        !stalled && !asleep
    }

    /// Begins anew: what was seen before an act says nothing about the time after it.
    pub(super) fn restart(&mut self) {
        self.detector.restart();
        self.rule.restart();
        self.pressed = PressureVerdict::Below;
        self.before = None;
    }
}
