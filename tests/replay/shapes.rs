//! Made-up shapes: what the traces do not have, each as the kernel's mechanism says that it would look.

use std::time::Duration;

use hogwatch::decide::livelock::{Detector, Events, Kind, Sample, Stat, Terms, Verdict};
use hogwatch::observe::parse::Limit;
use proptest::prelude::*;

use crate::simulate::{
    EVENTS_PER_SLEEP, MIB, Now, TERMS, found, found_on, livelock, samples, samples_at, sleep_s, throttled,
};

/// 4, 2 and 1 samples a second.
const PACES: [f64; 3] = [0.25, 0.5, 1.0];

fn only(kind: Kind, within: std::ops::Range<f64>, samples: &[Sample]) {
    let found = found(samples);
    assert!(matches!(found[..], [(k, t)] if k == kind && within.contains(&t)), "{found:?}, not {kind:?} in {within:?}");
}

#[test]
fn bursts_of_8_s_are_no_livelock_however_short_the_relief() {
    for relief in [1.0, 2.0, 4.0, 9.0] {
        let burst = |t: f64| if t % (8.0 + relief) < relief { Now::default() } else { throttled(0.08, 1.0, 0) };
        for pace in PACES {
            assert_eq!(found(&samples(burst, pace, 120.0)), [], "relief of {relief} s, a sample every {pace} s");
        }
    }
}

#[test]
fn a_gap_does_not_hide_the_relief_between_two_bursts() {
    // Relief of 4 s in every 12 s, and no sample taken while it lasts.
    let burst = |t: f64| if t % 12.0 < 4.0 { Now { fill: 0.97, ..Now::default() } } else { throttled(0.06, 1.0, 0) };
    let times = (0..480).map(|n| f64::from(n) * 0.25).filter(|t| t % 12.0 >= 4.0);
    let blind = samples_at(burst, times);
    assert!(blind.iter().all(|sample| sample.current > 210 << 20));
    assert_eq!(found(&blind), []);
}

#[test]
fn a_gap_is_evidence_as_good_as_samples() {
    for (from, to) in [(6.0, 11.0), (9.0, 14.0), (10.0, 14.9)] {
        let times = (0..160).map(|n| f64::from(n) * 0.25).filter(|t| !(from..to).contains(t));
        only(Kind::Throttled, 14.9..16.0, &samples_at(livelock, times));
    }
    // Longer than the window there is no telling when it began.
    let times = (0..160).map(|n| f64::from(n) * 0.25).filter(|t| !(6.0..17.0).contains(t));
    only(Kind::Throttled, 26.9..28.0, &samples_at(livelock, times));
}

#[test]
fn tasks_that_compute_do_not_hide_the_one_that_sleeps() {
    for busy in [0, 1, 2, 4, 8, 31, 255] {
        for pace in PACES {
            let shape = |t: f64| if t < 5.0 { Now::default() } else { throttled(0.05, 0.9, busy) };
            only(Kind::Throttled, 14.9..17.0, &samples(shape, pace, 40.0));
        }
    }
}

#[test]
fn tasks_seen_asleep_are_proof_by_themselves() {
    // A kernel that counted fewer events a sleep than those known.
    let shape = |t: f64| {
        if t < 5.0 {
            Now { seen_asleep: Some(0), ..Now::default() }
        } else {
            Now { stall: 0.1, high_events: 3.0, seen_asleep: Some(1), ..throttled(0.06, 0.9, 8) }
        }
    };
    only(Kind::Throttled, 14.9..16.0, &samples(shape, 0.25, 40.0));
    assert_eq!(found(&samples(|t| Now { seen_asleep: None, ..shape(t) }, 0.25, 40.0)), []);
}

#[test]
fn many_tasks_each_barely_throttled_are_not_stuck() {
    // 1.5 % above: 14 ms of sleep for each 256 KiB.
    let shape = |_| Now { stall: 0.05, ..throttled(0.015, 5.0, 0) };
    assert_eq!(found(&samples(shape, 0.25, 60.0)), []);
}

#[test]
fn a_new_limit_begins_a_new_window() {
    let change = |now: Now, t: f64, what: usize| match (what, t < 12.0) {
        (_, true) => now,
        (0, false) => Now { high: Some(198.0 * MIB), fill: now.fill * 200.0 / 198.0, ..now },
        (1, false) => Now { max: Some(500.0 * MIB), ..now },
        (_, false) => Now { swap_max: Some(MIB), ..now },
    };
    for what in 0..3 {
        only(Kind::Throttled, 21.9..23.0, &samples(|t| change(livelock(t), t, what), 0.25, 60.0));
    }
    // Lifted altogether: nothing to judge.
    let lifted = |t: f64| if t < 12.0 { livelock(t) } else { Now { high: None, max: None, ..livelock(t) } };
    assert_eq!(found(&samples(lifted, 0.25, 60.0)), []);
}

#[test]
fn totals_that_fall_are_another_cgroup() {
    let mut all = samples(livelock, 0.25, 12.0);
    let again = samples(livelock, 0.25, 30.0);
    let begin = all[all.len() - 1].t;
    all.extend(again.iter().skip(1).map(|sample| Sample { t: sample.t + begin, ..*sample }));
    only(Kind::Throttled, 26.9..28.0, &all);
}

#[test]
fn time_that_stands_still_says_nothing_and_time_that_goes_back_begins_anew() {
    let all = samples(livelock, 0.25, 40.0);
    let twice: Vec<_> = all.iter().flat_map(|sample| [*sample, *sample]).collect();
    assert_eq!(found(&twice), found(&all));
    let mut back = all.clone();
    for sample in &mut back[40..] {
        sample.t -= Duration::from_secs(5);
    }
    only(Kind::Throttled, 14.9..16.0, &back);
}

#[test]
fn any_size_is_judged_alike() {
    for high in [4.0 * MIB, 200.0 * MIB, 12.0 * 1024.0 * MIB, 512.0 * 1024.0 * MIB] {
        let limits = |now: Now| Now { high: Some(high), max: Some(high * 2.0), ..now };
        only(Kind::Throttled, 14.9..16.0, &samples(|t| limits(livelock(t)), 0.25, 40.0));
        let mild = |t: f64| if t < 5.0 { Now::default() } else { throttled(0.008, 1.0, 0) };
        assert_eq!(found(&samples(|t| limits(mild(t)), 0.25, 60.0)), [], "{high}");
    }
}

#[test]
fn a_stall_that_is_over_is_not_acted_on() {
    // Grew for 6 s, now rests above the limit, and nobody asks for memory.
    let shape =
        |t: f64| if (5.0..11.0).contains(&t) { throttled(0.06, 1.0, 0) } else { Now { fill: 1.06, ..Now::default() } };
    assert_eq!(found(&samples(shape, 0.25, 60.0)), []);
}

#[test]
fn reclaim_that_gains_is_progress_and_reclaim_in_a_circle_is_not() {
    let pages = |share: f64| share * 200.0 * MIB / 4096.0;
    let gaining =
        |steal: f64, again: f64| move |t: f64| Now { steal: pages(steal), refault_file: pages(again), ..livelock(t) };
    // A tenth of the limit in 10 s, for good: swapping out to a disk, at 6 % above.
    assert_eq!(found(&samples(gaining(0.01, 0.0), 0.25, 40.0)), []);
    // Twice the limit a second, all of it needed again, with some page cache left.
    let circle = |t: f64| Now { anon: 0.9, file_lru: 0.1, ..gaining(2.0, 2.0)(t) };
    only(Kind::Throttled, 14.9..16.0, &samples(circle, 0.25, 40.0));
    // A neighbour's log file: less than the excess in 10 s, so the excess stays.
    only(Kind::Throttled, 14.9..16.0, &samples(gaining(0.004, 0.0), 0.25, 40.0));
}

#[test]
fn jobs_that_end_and_give_their_memory_back_are_progress() {
    // A job of a tenth of the limit ends every second, and others have grown into its place by the next.
    let build = |t: f64| Now { fill: 1.12 - 0.1 * (1.0 - t % 1.0), ..throttled(0.05, 3.0, 0) };
    assert_eq!(found(&samples(build, 0.25, 60.0)), []);
    // The same for cgroups that thrash.
    let swapping = |t: f64| Now { fill: 1.0 - 0.1 * (1.0 - t % 1.0), ..swap_thrash(true)(t) };
    assert_eq!(found(&samples(swapping, 0.25, 90.0)), []);
}

/// Swaps its working set out and in at `memory.high`, or at `memory.max` where there is no other limit.
fn swap_thrash(at_high: bool) -> impl Fn(f64) -> Now {
    move |t: f64| {
        let peace = Now { swap_max: None, fill: 0.8, ..Now::default() };
        let limits = if at_high { peace } else { Now { high: None, max: Some(4096.0 * MIB), ..peace } };
        let hits = if at_high { (80.0, 0.0) } else { (0.0, 80.0) };
        let thrash = Now {
            fill: 0.998,
            stall: 0.5,
            high_events: hits.0,
            max_events: hits.1,
            steal: 8e3,
            refault_anon: 8e3,
            ..limits
        };
        if t < 5.0 { limits } else { Now { swap: 0.3, ..thrash } }
    }
}

/// Reads its mapped working set again and again because a hog took the page cache's place.
fn thrash(at_high: bool) -> impl Fn(f64) -> Now {
    move |t: f64| {
        let now = swap_thrash(at_high)(t);
        Now {
            swap: 0.0,
            anon: 0.6,
            file_lru: 0.4,
            refault_anon: 0.0,
            refault_file: now.refault_anon,
            restore: now.refault_anon * 0.6,
            ..now
        }
    }
}

#[test]
fn thrash_is_found_at_high_and_where_only_max_is_set() {
    for at_high in [true, false] {
        for pace in PACES {
            only(Kind::SwapThrash, 32.0..37.0, &samples(swap_thrash(at_high), pace, 90.0));
            only(Kind::Thrash, 32.0..37.0, &samples(thrash(at_high), pace, 90.0));
        }
    }
    // A limit that no memory.high comes before.
    let high_beyond_max =
        |t: f64| Now { high: Some(8192.0 * MIB), fill: swap_thrash(false)(t).fill / 2.0, ..swap_thrash(false)(t) };
    only(Kind::SwapThrash, 32.0..37.0, &samples(high_beyond_max, 0.25, 90.0));
}

#[test]
fn what_looks_like_thrash_at_max_and_is_none() {
    type Shape = fn(f64) -> Now;
    let shapes: [(&str, Shape); 6] = [
        ("swaps cold memory out", |t| Now { refault_anon: 3e3, ..swap_thrash(false)(t) }),
        ("wakes up for 20 s", |t| if t < 25.0 { swap_thrash(false)(t) } else { swap_thrash(false)(0.0) }),
        ("swaps, and gets on with it", |t| Now { stall: 0.25, ..swap_thrash(false)(t) }),
        ("streams a file", |t| Now { restore: 0.0, ..thrash(false)(t) }),
        ("reads a file larger than its limit here and there", |t| Now {
            anon: 0.05,
            file_lru: 0.95,
            ..thrash(false)(t)
        }),
        ("is not at its limit", |t| Now { fill: 0.85, ..swap_thrash(false)(t) }),
    ];
    for (what, shape) in shapes {
        assert_eq!(found(&samples(shape, 0.25, 120.0)), [], "{what}");
    }
}

#[test]
fn squeezed_is_found_and_a_mapped_stream_beside_much_anonymous_memory_is_not_taken_for_it() {
    let squeezed = |stall: f64, restored: f64, file_lru: f64| {
        move |t: f64| match t < 5.0 {
            true => Now::default(),
            false => Now {
                fill: 1.0,
                stall,
                high_events: 200.0,
                steal: 4e3,
                refault_file: 4e3,
                restore: 4e3 * restored,
                anon: 0.95,
                file_lru,
                ..Now::default()
            },
        }
    };
    only(Kind::Squeezed, 11.0..17.0, &samples(squeezed(0.9, 0.0, 0.03), 0.25, 40.0));
    only(Kind::Squeezed, 11.0..17.0, &samples(squeezed(0.35, 0.5, 0.03), 0.25, 40.0));
    assert_eq!(found(&samples(squeezed(0.33, 0.0, 0.03), 0.25, 90.0)), []);
    assert_eq!(found(&samples(squeezed(0.33, 0.0, 0.29), 0.25, 90.0)), []);
}

#[test]
fn bursts_that_squeeze_or_thrash_are_neither() {
    let busy = |t: f64| Now {
        stat: true,
        anon: 0.97,
        file_lru: 0.02,
        steal: 4e3,
        refault_file: 4e3,
        restore: 1e3,
        high_events: 300.0,
        ..livelock(t)
    };
    for relief in [1.5, 3.0, 6.0] {
        for pace in [0.25, 0.5] {
            let burst = |t: f64| match t % (8.0 + relief) < relief {
                true => Now { fill: 0.96, ..Now::default() },
                false => Now { fill: 1.01, stall: 0.95, ..busy(20.0) },
            };
            assert_eq!(found(&samples(burst, pace, 150.0)), [], "relief of {relief} s, a sample every {pace} s");
        }
    }
}

#[test]
fn oom_stuck_wants_oom_without_a_kill() {
    let stuck = |kills: f64| {
        move |t: f64| {
            let max = Now { high: None, max: Some(100.0 * MIB), fill: 1.0, stat: false, ..Now::default() };
            if t < 5.0 { max } else { Now { oom: 500.0, kills, max_events: 500.0, stall: 0.19, ..max } }
        }
    };
    only(Kind::OomStuck, 9.0..16.0, &samples(stuck(0.0), 0.25, 40.0));
    assert_eq!(found(&samples(stuck(1.0), 0.25, 40.0)), []);
}

#[test]
fn without_a_limit_or_with_the_parents_alone_nothing_is_found() {
    let child = |t: f64| Now { high: None, max: None, high_events: 0.0, ..livelock(t) };
    assert_eq!(found(&samples(child, 0.25, 60.0)), []);
    let roomy = |t: f64| Now { high_events: 0.0, fill: 0.5, ..livelock(t) };
    assert_eq!(found(&samples(roomy, 0.25, 60.0)), []);
    let quiet_above = |t: f64| Now { high_events: 0.0, ..livelock(t) };
    assert_eq!(found(&samples(quiet_above, 0.25, 60.0)), [], "its own high does not grow");
}

#[test]
fn memory_stat_may_be_read_only_once_it_is_asked_for() {
    let mut detector = Detector::new(TERMS);
    let mut first = None;
    for sample in samples(livelock, 0.25, 40.0) {
        let stat = sample.stat.filter(|_| detector.wants_stat());
        if matches!(detector.push(&Sample { stat, ..sample }), Verdict::Stalled(_)) {
            first = first.or(Some(sample.t));
        }
    }
    assert!(first.is_some_and(|t| t <= Duration::from_secs(16)), "{first:?}");
    let mut healthy = Detector::new(TERMS);
    for sample in samples(|_| Now { high_events: 300.0, stall: 0.1, ..Now::default() }, 0.25, 20.0) {
        healthy.push(&sample);
        assert!(!healthy.wants_stat());
    }
}

#[test]
fn after_an_act_it_tells_whether_the_cgroup_moves_again() {
    let mut detector = Detector::new(TERMS);
    let relieved = |t: f64| if t < 16.0 { livelock(t) } else { Now::default() };
    for sample in samples(relieved, 0.25, 18.0) {
        detector.push(&sample);
    }
    let share = |s| detector.stalled(Duration::from_secs(s)).unwrap();
    assert!(share(2) < 0.01 && (0.3..0.6).contains(&share(4)), "{} {}", share(2), share(4));
    assert!(detector.hits(Duration::from_secs(2)).unwrap() < 1.0);
    detector.restart();
    assert_eq!((detector.stalled(Duration::from_secs(2)), detector.verdict()), (None, Verdict::Quiet));
}

#[test]
fn two_episodes_are_two_findings() {
    let twice = |t: f64| if t % 60.0 < 30.0 { livelock(t % 60.0) } else { Now::default() };
    assert_eq!(found(&samples(twice, 0.25, 120.0)).len(), 2);
}

#[test]
fn the_judgement_is_what_the_verdict_rests_on() {
    let mut detector = Detector::new(TERMS);
    let mut kinds = Vec::new();
    for sample in samples(livelock, 0.25, 20.0) {
        let verdict = detector.push(&sample);
        let judged = detector.judge().unwrap();
        let kind = if let Verdict::Stalled(stall) = verdict { Some(stall.kind) } else { None };
        assert_eq!(judged.kind(), kind);
        for findings in &judged.kinds {
            assert_eq!(findings.met(), findings.weakest().unwrap().margin() >= 1.0, "{findings:?}");
        }
        kinds.push(kind);
    }
    assert!(kinds.contains(&None) && kinds.contains(&Some(Kind::Throttled)));
}

fn any_limit() -> impl Strategy<Value = Limit> {
    prop_oneof![Just(Limit::Max), any_number().prop_map(Limit::Bytes)]
}

fn any_number() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(u64::MAX), 0..1_000_000_u64, any::<u64>()]
}

prop_compose! {
    fn any_sample()(
        t in prop_oneof![0..100_000_u64, any::<u64>()],
        (current, swap_current, full) in (any_number(), any_number(), any_number()),
        (high, max, swap_max) in (any_limit(), any_limit(), any_limit()),
        events in proptest::array::uniform4(any_number()),
        stat in proptest::option::of(proptest::array::uniform6(any_number())),
        over_high_tasks in any::<Option<u32>>(),
    ) -> Sample {
        let [e_high, e_max, oom, oom_kill] = events;
        Sample {
            t: Duration::from_millis(t), current, high, max, swap_max, swap_current,
            events: Events { high: e_high, max: e_max, oom, oom_kill },
            full_total_us: full,
            stat: stat.map(|[anon, file_lru, pgsteal, refault_anon, refault_file, restore_file]| {
                Stat { anon, file_lru, pgsteal, refault_anon, refault_file, restore_file }
            }),
            over_high_tasks,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_samples_at_all_are_survived(samples in proptest::collection::vec(any_sample(), 1..40)) {
        let mut detector = Detector::new(TERMS);
        for sample in &samples {
            let verdict = detector.push(sample);
            // No sum has become infinite, so every number that is shown is one.
            if let Verdict::Stalled(stall) = verdict {
                prop_assert!(stall.stalled.is_finite() && stall.fill.is_finite());
                prop_assert!(stall.since <= stall.seen);
            }
        }
    }

    #[test]
    fn nothing_is_found_before_the_window_is_over(
        after in 6_u64..60,
        step in 0.1..2.0_f64,
        (over, tasks, busy) in (0.02..2.0_f64, prop_oneof![0.5..2.0_f64, 2.0..500.0_f64], 0_u32..64),
    ) {
        let terms = Terms { after: Duration::from_secs(after), thrash_after: Duration::from_secs(3 * after), ..TERMS };
        let window = Duration::from_secs(after).as_secs_f64();
        // Half a task asleep is just enough, seen through whole counts in a quarter of the window: one may be missing.
        let one_count = sleep_s(over) / EVENTS_PER_SLEEP / (window / 4.0);
        // The window is cut between two of its twelve records, so its first quarter may have lost a third to the peace
        // before: what that brings below half a task is found when the next record is the first.
        let cut = if tasks < 0.75 { window / 12.0 } else { 0.0 };
        let shape = |t: f64| if t < 5.0 { Now::default() } else { throttled(over, tasks + one_count, busy) };
        for (kind, t) in found_on(&terms, &samples(shape, step, 5.0 + 2.0 * window)) {
            prop_assert!(kind == Kind::Throttled && t >= 5.0 + window, "{kind:?} at {t}");
            prop_assert!(t <= 5.0 + window + cut + 2.0 * step + 0.1, "{kind:?} at {t}");
        }
    }

    #[test]
    fn no_healthy_stream_is_stuck(
        (stall, fill) in (0.0..0.33_f64, 0.6..1.01_f64),
        (events, steal, file) in (0.0..1e5_f64, 0.0..1e6_f64, 0.0..1.0_f64),
        step in 0.1..2.0_f64,
    ) {
        let stream = |_| Now {
            fill, stall, high_events: events, steal, refault_file: steal, restore: steal * 0.01, anon: 1.0 - file,
            file_lru: file, ..Now::default()
        };
        prop_assert_eq!(found(&samples(stream, step, 60.0)), []);
    }
}
