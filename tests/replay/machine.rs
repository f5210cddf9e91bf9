//! The machine as a whole, thrashing its swap: recorded traces, and made-up machines.

use std::time::Duration;

use hogwatch::decide::livelock::{MachineDetector, MachineEpisode, MachineSample, MachineVerdict};
use hogwatch::observe::machine::Reclaim;
use hogwatch::observe::parse::{CpuTimes, Meminfo, Pressure, PressureLine, Vmstat};
use proptest::prelude::*;

use crate::simulate::MIB;
use crate::traces::{Expected, Recorded, all_of_machines};

pub const THRASH_AFTER: Duration = Duration::from_secs(30);

/// The defaults: twice `memory.term` is 10 % of the memory, `swap.term` 10 % of the swap.
fn is_short(total: u64, swap: u64) -> impl Fn(&hogwatch::decide::livelock::MachineStall) -> bool {
    move |stall| stall.is_short(total / 20, swap / 10)
}

/// When an act would have been due, in seconds, and whether it was short of memory by then.
fn found(thrash_after: Duration, samples: &[MachineSample]) -> Vec<(f64, bool)> {
    let (mut detector, mut episode) = (MachineDetector::new(thrash_after), MachineEpisode::default());
    let mut found = Vec::new();
    for sample in samples {
        let verdict = detector.push(sample);
        let short = is_short(sample.mem_total, sample.swap_total);
        if let Some(stall) = episode.follow(&verdict, sample.t, thrash_after, &short) {
            found.push((sample.t.as_secs_f64(), short(&stall)));
        }
    }
    found
}

/// Judges a trace as sampled, with `late` seconds more allowed than the window.
fn check(trace: &Recorded<MachineSample>, samples: &[MachineSample], thrash_after: Duration, late: f64) {
    let found = found(thrash_after, samples);
    let what = format!("{} with {thrash_after:?}: {found:?}, onset {}", trace.name, trace.onset);
    if trace.expected == Expected::Healthy {
        assert_eq!(found, [], "{what}");
        return;
    }
    assert_eq!(trace.expected, Expected::Thrash, "{what}");
    let [(at, true)] = found[..] else { panic!("not one act: {what}") };
    assert!(at - trace.onset > 5.0, "{what}");
    assert!(at - trace.onset <= thrash_after.as_secs_f64() + late, "{what}");
}

#[test]
fn every_machine_is_judged_right_and_in_time() {
    let traces = all_of_machines();
    assert_eq!(traces.len(), 14);
    for trace in &traces {
        // 50 s after its onset.
        check(trace, &trace.samples, THRASH_AFTER, 20.0);
    }
}

#[test]
fn the_verdicts_hold_at_any_pace() {
    for trace in all_of_machines() {
        for every in [2, 4] {
            for first in 0..every {
                let samples: Vec<_> = trace.samples.iter().skip(first).step_by(every).copied().collect();
                check(&trace, &samples, THRASH_AFTER, 10.0);
            }
        }
    }
}

#[test]
fn a_machine_that_thrashes_is_found_with_a_shorter_window_too() {
    for trace in all_of_machines().iter().filter(|trace| trace.expected == Expected::Thrash) {
        for window in [10, 15, 20, 25] {
            check(trace, &trace.samples, Duration::from_secs(window), 10.0);
        }
    }
}

#[test]
fn a_sample_is_made_of_what_the_kernel_says() {
    let line = |total_us| PressureLine { total_us, ..PressureLine::default() };
    let vmstat = Vmstat {
        pswpin: Some(1),
        pgsteal_kswapd: Some(20),
        pgsteal_direct: Some(3),
        pgsteal_anon: Some(40),
        pgsteal_file: Some(5),
        workingset_refault_file: Some(6),
        ..Vmstat::default()
    };
    let cpu = CpuTimes { user: 1, nice: 2, system: 10, idle: 1000, iowait: 20, irq: 30, softirq: 40 };
    let pressure = Pressure { some: line(8), full: Some(line(7)) };
    let reclaim = Reclaim { t: Duration::from_secs(9), pressure, vmstat, cpu };
    let meminfo = Meminfo { mem_total: 100, swap_total: Some(50), swap_free: Some(30), ..Meminfo::default() };
    let expected = MachineSample {
        t: Duration::from_secs(9),
        full_total_us: 7,
        swapped_in: 1,
        refault_file: 6,
        steal: 45,
        steal_own: 23,
        programs_ms: 30,
        lost_ms: 1000,
        mem_total: 100,
        available: 11,
        swap_total: 50,
        swap_free: 30,
    };
    assert_eq!(MachineSample::of(&reclaim, &meminfo, 11), Some(expected));
    let old = Reclaim { vmstat: Vmstat { pgsteal_anon: None, ..vmstat }, ..reclaim };
    let expected = MachineSample { steal: 23, ..expected };
    assert_eq!(MachineSample::of(&old, &meminfo, 11), Some(expected), "Linux < 5.8");
    let no_full = Reclaim { pressure: Pressure { full: None, ..pressure }, ..reclaim };
    assert_eq!(MachineSample::of(&no_full, &meminfo, 11), None);
    assert_eq!(MachineSample::of(&reclaim, &Meminfo { swap_free: None, ..meminfo }, 11), None);
}

/// What goes on at a moment. Rates a second; shares from 0 to 1.
#[derive(Clone, Copy)]
struct Now {
    full: f64,
    /// In processors.
    programs: f64,
    lost: f64,
    /// Pages.
    swapped_in: f64,
    refault_file: f64,
    steal: f64,
    steal_own: f64,
    available: f64,
    swap_free: f64,
}

const IDLE: Now = Now {
    full: 0.0,
    programs: 0.1,
    lost: 0.02,
    swapped_in: 0.0,
    refault_file: 0.0,
    steal: 0.0,
    steal_own: 0.0,
    available: 0.6,
    swap_free: 0.9,
};

/// A slow disk: the processors wait for it.
const DISK: Now = Now {
    full: 0.7,
    programs: 0.01,
    lost: 0.9,
    swapped_in: 400.0,
    steal: 400.0,
    steal_own: 400.0,
    available: 0.02,
    swap_free: 0.6,
    ..IDLE
};

/// Compressed memory: the kernel works, and PSI hardly sees it.
const ZRAM: Now = Now { full: 0.05, lost: 1.8, swapped_in: 9000.0, steal: 9000.0, steal_own: 9000.0, ..DISK };

fn samples(shape: impl Fn(f64) -> Now, step: f64, secs: f64) -> Vec<MachineSample> {
    samples_at(shape, std::iter::successors(Some(0.0), |t| Some(t + step)).take_while(|t| *t <= secs))
}

fn samples_at(shape: impl Fn(f64) -> Now, times: impl IntoIterator<Item = f64>) -> Vec<MachineSample> {
    const STEP: f64 = 0.05;
    let (mut sums, mut done) = ([0.0; 7], 0.0);
    let mut all = Vec::new();
    for t in times {
        while done + STEP <= t + 1e-9 {
            let n = shape(done);
            let rates =
                [n.full * 1e6, n.programs * 1e3, n.lost * 1e3, n.swapped_in, n.refault_file, n.steal, n.steal_own];
            sums.iter_mut().zip(rates).for_each(|(sum, rate)| *sum += rate * STEP);
            done += STEP;
        }
        let [full, programs, lost, swapped_in, refault_file, steal, steal_own] = sums.map(whole);
        let (n, total) = (shape(t), 8192.0 * MIB);
        all.push(MachineSample {
            t: Duration::from_secs_f64(t),
            full_total_us: full,
            swapped_in,
            refault_file,
            steal,
            steal_own,
            programs_ms: programs,
            lost_ms: lost,
            mem_total: whole(total),
            available: whole(total * n.available),
            swap_total: whole(total),
            swap_free: whole(total * n.swap_free),
        });
    }
    all
}

fn whole(number: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "made-up numbers are not negative")]
    let whole = number as u64;
    whole
}

/// 5 s of peace, then this.
fn after_peace(then: Now) -> impl Fn(f64) -> Now {
    move |t| if t < 5.0 { IDLE } else { then }
}

#[test]
fn both_shapes_are_found_in_time_and_once() {
    for shape in [DISK, ZRAM] {
        let found = found(THRASH_AFTER, &samples(after_peace(shape), 0.25, 120.0));
        assert!(matches!(found[..], [(at, true)] if (33.0..40.0).contains(&at)), "{found:?}");
    }
}

#[test]
fn what_looks_like_it_and_is_none() {
    let cases = [
        ("there is room: what comes back pushes nothing out", Now { available: 0.3, ..DISK }),
        ("files that do not fit, and a little swap", Now { refault_file: 2000.0, ..DISK }),
        ("a cgroup at its own limit", Now { steal_own: 100.0, ..ZRAM }),
        ("stalled half of the time, but programs run the other half", Now { full: 0.5, programs: 0.8, ..ZRAM }),
        ("programs get on beside it", Now { programs: 1.0, ..ZRAM }),
        ("a machine that hardly does anything", Now { full: 0.0, lost: 0.04, programs: 0.001, ..DISK }),
        ("hardly anything comes back", Now { swapped_in: 5.0, ..ZRAM }),
        ("nothing comes back", Now { swapped_in: 0.0, ..ZRAM }),
    ];
    for (what, shape) in cases {
        assert_eq!(found(THRASH_AFTER, &samples(after_peace(shape), 0.25, 120.0)), [], "{what}");
    }
}

#[test]
fn a_pause_begins_the_time_anew() {
    // Long enough for one pause to lie wholly within.
    let pauses = |t: f64| if t % 25.0 < 4.5 { Now { available: 0.02, ..IDLE } } else { ZRAM };
    assert_eq!(found(THRASH_AFTER, &samples(pauses, 0.25, 200.0)), []);
}

#[test]
fn a_gap_is_evidence_by_its_totals() {
    let dense = |from: f64, to: f64| std::iter::successors(Some(from), |t| Some(t + 0.25)).take_while(move |t| *t < to);
    let times = || dense(0.0, 10.0).chain(dense(24.0, 60.0));
    assert_eq!(found(THRASH_AFTER, &samples_at(after_peace(ZRAM), times())).len(), 1);
    let relieved = |t: f64| if (12.0..20.0).contains(&t) { Now { programs: 1.0, ..IDLE } } else { ZRAM };
    let found = found(THRASH_AFTER, &samples_at(relieved, times()));
    assert!(matches!(found[..], [(at, true)] if at >= 52.0), "{found:?}");
}

#[test]
fn slow_with_memory_to_be_had_is_a_warning_first() {
    let shape = |t: f64| match t {
        // Twice term is 10 % on average, and so is room: just above the one, below the other.
        ..60.0 => Now { available: if t < 30.0 { 0.08 } else { 0.105 }, ..DISK },
        _ => Now { available: 0.04, ..DISK },
    };
    assert_eq!(
        found(THRASH_AFTER, &samples(shape, 0.25, 120.0)).iter().map(|f| f.1).collect::<Vec<_>>(),
        [false, true]
    );
    let full_swap = |_| Now { available: 0.099, swap_free: 0.05, ..DISK };
    assert!(matches!(found(THRASH_AFTER, &samples(full_swap, 0.25, 60.0))[..], [(_, true)]));
}

#[test]
fn another_machine_or_clock_begins_a_new_window() {
    let stuck = samples(|_| ZRAM, 0.25, 50.0);
    let changes: [fn(&mut MachineSample); 4] = [
        |s| s.swap_total += 1 << 30,
        |s| s.swapped_in -= 1,
        |s| s.t -= Duration::from_secs(40),
        |s| s.t += Duration::from_secs(40),
    ];
    for change in changes {
        let mut detector = MachineDetector::new(THRASH_AFTER);
        for sample in &stuck {
            detector.push(sample);
        }
        assert!(matches!(detector.verdict(), MachineVerdict::Stalled(_)));
        let mut sample = stuck[stuck.len() - 1];
        change(&mut sample);
        assert_eq!(detector.push(&sample), MachineVerdict::Quiet);
    }
}

#[test]
fn no_machine_that_thrashes_goes_unsampled() {
    let worth = |s: &MachineSample| {
        MachineDetector::is_worth_sampling(s.available, s.mem_total, s.swap_total.saturating_sub(s.swap_free))
    };
    for trace in all_of_machines() {
        if trace.expected == Expected::Thrash {
            let mut stuck = trace.samples.iter().filter(|s| s.t.as_secs_f64() >= trace.onset);
            assert!(stuck.all(worth), "{}", trace.name);
        }
    }
    let [before, stuck] = [IDLE, DISK].map(|now| samples(|_| now, 1.0, 1.0)[1]);
    assert!(worth(&stuck) && !worth(&before));
    assert!(!worth(&MachineSample { swap_free: stuck.swap_total, ..stuck }));
}

#[test]
fn after_an_act_it_tells_whether_the_machine_moves_again() {
    let mut detector = MachineDetector::new(THRASH_AFTER);
    let relieved = |t: f64| if t < 36.0 { ZRAM } else { IDLE };
    let mut moved = Vec::new();
    for sample in samples(relieved, 0.25, 41.0) {
        detector.push(&sample);
        moved.push(detector.moves(Duration::from_secs(2)));
    }
    let at = |secs: usize| moved[secs * 4];
    assert_eq!((at(0), at(20), at(36), at(41)), (None, Some(false), Some(false), Some(true)));
    detector.restart();
    assert_eq!((detector.moves(Duration::from_secs(2)), detector.verdict()), (None, MachineVerdict::Quiet));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_samples_at_all_are_survived(
        samples in proptest::collection::vec((0..100_000_u64, proptest::array::uniform11(any::<u64>())), 1..40),
    ) {
        let mut detector = MachineDetector::new(THRASH_AFTER);
        for (t, [full, swapped_in, refault_file, steal, steal_own, programs, lost, total, available, swap, free]) in samples {
            let verdict = detector.push(&MachineSample {
                t: Duration::from_millis(t), full_total_us: full, swapped_in, refault_file, steal, steal_own,
                programs_ms: programs,
            lost_ms: lost,
                mem_total: total % 3, available, swap_total: swap % 2, swap_free: free,
            });
            if let MachineVerdict::Stalled(stall) = verdict {
                prop_assert!(stall.stalled.is_finite() && stall.since <= stall.seen);
            }
        }
    }
}
