//! A cgroup under watch: what its samples amount to.

use std::time::Duration;

use crate::config::{LivelockAction, TargetKind};
use crate::observe::cgroups::CgroupPath;

use super::super::livelock::{Detector, Judged, Kind, Sample, Scope, Stall, Terms, Verdict, least_stall};
use super::super::pressure::{LOOK, PressureRule, PressureTerms, PressureVerdict};
use super::super::victim::Held;
use super::{MOVES_BELOW, MOVES_WITHIN, MOVING};

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

/// How something stands that was stuck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outlook {
    /// It moves, by the last second: nobody stalls, and the kernel puts nobody to sleep.
    Moves,
    /// It stalls as much as it takes to be stuck in this way.
    Stuck,
    /// Neither, or not known yet: if it is stuck again, that will be found anew.
    Unclear,
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
    pub(super) oom_incident: Option<u32>,
    /// What is done when it is stuck by the detector's judgement.
    pub(super) action: Option<LivelockAction>,
    /// What is killed when its pressure is too much.
    pub(super) target: Option<TargetKind>,
    rule: PressureRule,
    pressed: PressureVerdict,
    /// The detector keeps none of a cgroup without a limit.
    pub(super) last: Option<Sample>,
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
            oom_incident: None,
            action: interest.livelock.map(|scope| scope.action),
            target: interest.pressure.map(|(_, target)| target),
            rule: PressureRule::new(interest.pressure.map_or(MEASURE_ONLY, |(terms, _)| terms)),
            pressed: PressureVerdict::Below,
            last: None,
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
        self.last = Some(*sample);
        self.pressed = self.rule.push(sample.t, sample.full_total_us);
        // The first sample above the limit is the time to see who holds what: whoever grows from here on is the hog.
        let is_above = self.detector.is_above();
        self.wants_before |= is_above && !was_above && self.action == Some(LivelockAction::Kill);
        self.wants_before &= is_above;
    }

    /// How it is stuck, if it is. Where a stuck cgroup is only warned of, pressure that is acted on comes first.
    pub(super) fn stall(&self) -> Option<Stall> {
        let stuck = match (self.action, self.detector.verdict()) {
            (Some(_), Verdict::Stalled(stall)) if stall.kind != Kind::OomStuck => Some(stall),
            _ => None,
        };
        match (self.action, stuck) {
            (Some(LivelockAction::Warn), Some(stall)) => self.pressure().or(Some(stall)),
            (_, stuck) => stuck.or_else(|| self.pressure()),
        }
    }

    fn pressure(&self) -> Option<Stall> {
        self.target?;
        let PressureVerdict::Due { percent, held } = self.pressed else { return None };
        let last = self.last.as_ref()?;
        let seen = last.t;
        Some(Stall {
            kind: Kind::Pressure,
            since: seen.saturating_sub(held),
            seen,
            limit: Judged::of(last),
            window: LOOK,
            stalled: percent / 100.0,
            fill: 0.0,
            programs: None,
        })
    }

    /// Percent of the last ten seconds that it was fully stalled.
    pub(super) fn percent(&self) -> f64 {
        match self.pressed {
            PressureVerdict::Below => 0.0,
            PressureVerdict::Rising { percent } | PressureVerdict::Due { percent, .. } => percent,
        }
    }

    /// How it stands after something was done about a stall of this kind.
    pub(super) fn outlook(&self, kind: Kind) -> Outlook {
        let above = kind == Kind::Throttled && self.detector.is_above();
        let share = |span| self.rule.share(span);
        let stuck_from = least_stall(kind).unwrap_or(self.rule.terms().full / 100.0);
        match (share(MOVING), share(MOVES_WITHIN).or(share(MOVING))) {
            // Tasks that compute dilute the share; above its limit with nothing reclaimed it is stuck all the same.
            _ if above => Outlook::Stuck,
            // A cgroup that streams through its limit hits it for ever, and moves all the same.
            (Some(now), _) if now < MOVES_BELOW => Outlook::Moves,
            (Some(_), Some(share)) if kind != Kind::Throttled && share >= stuck_from => Outlook::Stuck,
            _ => Outlook::Unclear,
        }
    }

    /// Begins anew: what was seen before an act says nothing about the time after it.
    pub(super) fn restart(&mut self) {
        self.detector.restart();
        self.rule.restart();
        self.pressed = PressureVerdict::Below;
        (self.before, self.last) = (None, None);
    }
}
