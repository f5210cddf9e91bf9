//! How soon to look again.

use std::time::Duration;

use hogwatch::config::Config;
use hogwatch::decide::measure::{Gauge, Reading};
use hogwatch::decide::pace::{LONGEST, Pace, SHORTEST};

use crate::bench::{GIB, MIB, machine, observe};

/// Nobody fills faster before it is seen.
const FILL: u64 = 8 * GIB;

fn reading(available: u64) -> Reading {
    let config = Config::default();
    Gauge::new(&config).worst(&observe(&machine(available), &[]))
}

#[test]
fn the_moment_is_never_slept_past() {
    let pace = Pace::default();
    for available in (0..160).map(|tenth| tenth * GIB / 10) {
        let reading = reading(available);
        let pause = pace.until_next_look(&reading);
        // Rounded up.
        let safe = Duration::from_nanos(reading.headroom() * 1_000_000_000 / FILL + 1);
        assert!(pause <= safe.max(Duration::from_millis(10)), "{pause:?} with {available} available");
        assert!((SHORTEST..=LONGEST).contains(&pause), "{pause:?}");
    }
}

#[test]
fn far_from_trouble_nothing_is_looked_at_for_seconds() {
    let mut big = reading(15 * GIB);
    big.available = 100 * GIB;
    assert_eq!(Pace::default().until_next_look(&big), LONGEST);
    assert!(Pace::default().until_next_look(&reading(15 * GIB)) > Duration::from_secs(1));
}

/// A pace that has seen memory fall at this rate (bytes a second) for a second.
fn falling(rate: u64) -> Pace {
    let mut pace = Pace::default();
    for ms in 0..=100_u64 {
        pace.note(&reading(16 * GIB - rate / 100 * ms), Duration::from_millis(10 * ms));
    }
    pace
}

#[test]
fn whoever_fills_faster_is_met_sooner() {
    #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
    let near = |rate: f64, expected: u64| (rate / expected as f64 - 1.0).abs() < 0.01;
    for rate in [GIB, 4 * GIB, 12 * GIB] {
        assert!(near(falling(rate).rate(), rate), "{rate}");
    }
    let at = reading(4 * GIB);
    let usual = Pace::default().until_next_look(&at);
    assert_eq!(falling(GIB).until_next_look(&at), usual, "slower than anybody may begin");
    let fast = falling(12 * GIB).until_next_look(&at);
    assert!(fast.as_secs_f64() < usual.as_secs_f64() * 0.4, "{fast:?} {usual:?}");
}

#[test]
fn near_the_threshold_it_looks_every_millisecond_only_while_memory_falls() {
    let close = reading(16 * GIB / 20 + MIB);
    assert_eq!(falling(GIB).until_next_look(&close), SHORTEST);
    assert_eq!(Pace::default().until_next_look(&close), Duration::from_millis(10));
}

#[test]
fn a_fall_is_forgotten() {
    let mut pace = falling(12 * GIB);
    let then = pace.rate();
    for ms in 0..40 {
        pace.note(&reading(4 * GIB), Duration::from_millis(1000 + 100 * ms));
    }
    assert!(pace.rate() < then / 10.0, "{}", pace.rate());
}

#[test]
fn two_looks_in_the_same_instant_are_no_fall() {
    let mut pace = Pace::default();
    pace.note(&reading(8 * GIB), Duration::from_secs(1));
    pace.note(&reading(7 * GIB), Duration::from_secs(1));
    pace.note(&reading(7 * GIB), Duration::from_micros(1_001_000));
    assert!(pace.rate().abs() < f64::EPSILON);
}
