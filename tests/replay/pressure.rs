//! The pressure rule on the recorded traces: which of them it is due on, when, at any pace and with gaps.

use std::time::Duration;

use hogwatch::decide::livelock::Sample;
use hogwatch::decide::pressure::{PressureRule, PressureTerms, PressureVerdict};

use crate::traces::{Recorded, all};

const DEFAULTS: PressureTerms = PressureTerms { full: 60.0, after: Duration::from_secs(30) };

/// Stalled above 60 % of the time for more than 30 s: all stuck for good, but for children that share a parent's trouble.
/// Left out are the stuck ones in which somebody computes, which halves PSI, and what thrashes but moves: the livelock
/// detector finds those.
const DUE: [&str; 12] = [
    "6.1-hierarchy",
    "6.1-hierarchy.a",
    "6.1-hierarchy.b",
    "6.1-throttle-anon",
    "6.1-throttle-plateau",
    "6.12-hierarchy",
    "6.12-hierarchy.a",
    "6.12-hierarchy.b",
    "6.12-squeezed",
    "6.12-squeezed-log",
    "6.12-throttle-anon",
    "6.12-throttle-plateau",
];

/// Seconds after the trace's onset at which the rule is first due.
fn due<'a>(trace: &Recorded, terms: PressureTerms, samples: impl IntoIterator<Item = &'a Sample>) -> Option<f64> {
    let mut rule = PressureRule::new(terms);
    let shown = |sample: &&Sample| matches!(rule.push(sample.t, sample.full_total_us), PressureVerdict::Due { .. });
    let first = samples.into_iter().find(shown)?;
    Some(first.t.as_secs_f64() - trace.onset)
}

#[test]
fn due_on_what_is_stuck_and_on_nothing_healthy() {
    let traces = all();
    let is_due = |trace: &&Recorded| due(trace, DEFAULTS, &trace.samples).is_some();
    let mut found: Vec<_> = traces.iter().filter(is_due).map(|trace| trace.name.as_str()).collect();
    found.sort_unstable();
    assert_eq!(found, DUE);
    for name in ["6.1-throttle-plateau", "6.12-throttle-plateau"] {
        let trace = traces.iter().find(|trace| trace.name == name).unwrap();
        // Six seconds of full stalling make 60 % of ten; then the time itself.
        for (after, from, to) in [(10, 16.0, 18.0), (30, 36.0, 38.0)] {
            let at = due(trace, PressureTerms { after: Duration::from_secs(after), ..DEFAULTS }, &trace.samples);
            assert!(at.is_some_and(|at| (from..to).contains(&at)), "{name} with {after} s: {at:?}");
        }
    }
}

#[test]
fn neither_the_pace_of_sampling_nor_gaps_change_it() {
    for trace in all().iter().filter(|trace| !trace.name.contains("hierarchy.")) {
        for step in [2, 4, 12, 20] {
            let at = due(trace, DEFAULTS, trace.samples.iter().step_by(step));
            assert_eq!(at.is_some(), DUE.contains(&trace.name.as_str()), "{} every {step} samples: {at:?}", trace.name);
        }
        // The guard is throttled itself: nothing is seen from 10 to 22 s after the onset.
        let blind = trace.samples.iter().filter(|s| !(10.0..22.0).contains(&(s.t.as_secs_f64() - trace.onset)));
        let at = due(trace, DEFAULTS, blind);
        assert_eq!(at.is_some(), DUE.contains(&trace.name.as_str()), "{} with a gap: {at:?}", trace.name);
        assert!(at.is_none_or(|at| at < 40.0), "{} with a gap: {at:?}", trace.name);
    }
}
