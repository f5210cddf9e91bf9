//! How scarce memory is.

use std::time::Duration;

use hogwatch::config::{Amount, Config, PercentOf, Scope, SwapMode, ZfsArc};
use hogwatch::decide::measure::{Gauge, Level, Reading, Resource, Whose};
use hogwatch::observe::limits::SwapLimit;
use hogwatch::observe::parse::{ArcStats, Pressure, PressureLine};
use hogwatch::observe::{Enclosing, Machine};

use crate::bench::{GIB, MIB, limit, machine, observe, with_swap};

fn worst(config: &Config, machine: &Machine, enclosing: &[Enclosing]) -> Reading {
    Gauge::new(config).worst(&observe(machine, enclosing))
}

fn level(config: &Config, machine: &Machine) -> Level {
    worst(config, machine, &[]).level
}

#[test]
fn a_threshold_is_met_at_its_own_value() {
    let percent = |p: f64| Amount::Percent(p).of(16 * GIB);
    for (available, expected) in [
        (percent(10.0) + 1, Level::Calm),
        (percent(10.0), Level::Warn),
        (percent(5.0) + 1, Level::Warn),
        (percent(5.0), Level::Term),
        (percent(3.0) + 1, Level::Term),
        (percent(3.0), Level::Kill),
        (0, Level::Kill),
    ] {
        assert_eq!(level(&Config::default(), &machine(available)), expected, "{available}");
    }
}

#[test]
fn sizes_work_like_percents() {
    let mut config = Config::default();
    config.memory.warn = Amount::Bytes(3 * GIB);
    config.memory.term = Amount::Bytes(2 * GIB);
    config.memory.kill = Amount::Bytes(GIB);
    for (available, expected) in
        [(3 * GIB + 1, Level::Calm), (3 * GIB, Level::Warn), (2 * GIB, Level::Term), (GIB, Level::Kill)]
    {
        assert_eq!(level(&config, &machine(available)), expected, "{available}");
    }
}

#[test]
fn percent_of_user_memory_counts_available_and_anonymous() {
    let mut config = Config::default();
    config.memory.percent_of = PercentOf::User;
    // 8 GiB are anonymous: 5 % of 8.4 GiB are 430 MiB, of all 16 GiB they would be 819 MiB.
    let reading = worst(&config, &machine(400 * MIB), &[]);
    assert_eq!((reading.level, reading.base), (Level::Term, 8 * GIB + 400 * MIB));
    assert_eq!(level(&config, &machine(500 * MIB)), Level::Warn);
}

#[test]
fn swap_counts_as_its_mode_says() {
    let (low, fine) = (500 * MIB, 4 * GIB);
    let kill = 100 * MIB;
    // Of 8 GiB: term at 819 MiB, kill at 409 MiB free.
    let rows = [
        (SwapMode::Ignore, low, 0, Level::Term, Resource::Memory),
        (SwapMode::Ignore, fine, 0, Level::Calm, Resource::Memory),
        (SwapMode::And, low, 8 * GIB, Level::Warn, Resource::Memory),
        (SwapMode::And, fine, 0, Level::Calm, Resource::Memory),
        (SwapMode::And, low, 600 * MIB, Level::Term, Resource::Memory),
        (SwapMode::And, kill, 600 * MIB, Level::Term, Resource::Memory),
        (SwapMode::And, low, 0, Level::Term, Resource::Memory),
        (SwapMode::And, kill, 0, Level::Kill, Resource::Memory),
        (SwapMode::Or, fine, 600 * MIB, Level::Term, Resource::Swap),
        (SwapMode::Or, fine, 400 * MIB, Level::Kill, Resource::Swap),
        (SwapMode::Or, low, 8 * GIB, Level::Term, Resource::Memory),
        (SwapMode::Or, kill, 600 * MIB, Level::Kill, Resource::Memory),
        (SwapMode::Or, fine, 8 * GIB, Level::Calm, Resource::Memory),
    ];
    for (mode, available, free, level, resource) in rows {
        let mut config = Config::default();
        config.swap.mode = mode;
        let reading = worst(&config, &with_swap(available, 8 * GIB, free), &[]);
        assert_eq!((reading.level, reading.resource), (level, resource), "{mode:?} {available} {free}");
    }
}

#[test]
fn without_swap_there_is_none_to_wait_for() {
    for mode in [SwapMode::And, SwapMode::Or] {
        let mut config = Config::default();
        config.swap.mode = mode;
        for machine in [machine(500 * MIB), with_swap(500 * MIB, 0, 0)] {
            assert_eq!(level(&config, &machine), Level::Term, "{mode:?}");
        }
        assert_eq!(level(&config, &with_swap(8 * GIB, 0, 0)), Level::Calm, "{mode:?}");
    }
}

#[test]
fn a_kernel_that_does_not_tell_free_swap_has_it_all_free() {
    let mut config = Config::default();
    config.swap.mode = SwapMode::Or;
    let mut machine = with_swap(8 * GIB, 8 * GIB, 0);
    machine.meminfo.swap_free = None;
    assert_eq!(level(&config, &machine), Level::Calm);
}

#[test]
fn headroom_is_to_whatever_comes_first() {
    let term = Amount::Percent(5.0).of(16 * GIB);
    let swap_term = Amount::Percent(10.0).of(8 * GIB);
    let at = with_swap(4 * GIB, 8 * GIB, GIB);
    for (mode, expected) in
        [(SwapMode::Ignore, 4 * GIB - term), (SwapMode::And, 4 * GIB - term), (SwapMode::Or, GIB - swap_term)]
    {
        let mut config = Config::default();
        config.swap.mode = mode;
        assert_eq!(worst(&config, &at, &[]).headroom(), expected, "{mode:?}");
    }
    // Memory is low, swap is not: with "and" nothing happens before swap is low too.
    let mut config = Config::default();
    config.swap.mode = SwapMode::And;
    assert_eq!(worst(&config, &with_swap(MIB, 8 * GIB, 4 * GIB), &[]).headroom(), 4 * GIB - swap_term);
}

fn with_arc(size: u64, stalled_ms: u64) -> Machine {
    let arc = ArcStats { size, c: size, c_min: GIB, c_max: 8 * GIB };
    let line = PressureLine { total_us: stalled_ms * 1000, ..PressureLine::default() };
    Machine { arc: Some(arc), pressure: Some(Pressure { some: line, full: Some(line) }), ..machine(200 * MIB) }
}

#[test]
fn the_arc_counts_above_its_minimum() {
    for (mode, expected) in
        [(ZfsArc::Auto, 5 * GIB + 200 * MIB), (ZfsArc::Count, 5 * GIB + 200 * MIB), (ZfsArc::Ignore, 200 * MIB)]
    {
        let mut config = Config::default();
        config.memory.zfs_arc = mode;
        assert_eq!(worst(&config, &with_arc(6 * GIB, 0), &[]).available, expected, "{mode:?}");
        assert_eq!(worst(&config, &with_arc(GIB / 2, 0), &[]).available, 200 * MIB, "{mode:?}, below its minimum");
    }
}

#[test]
fn an_arc_that_is_not_given_back_does_not_count() {
    let config = Config::default();
    let mut gauge = Gauge::new(&config);
    let mut at = |second: u64, stalled_ms: u64| {
        let machine = with_arc(6 * GIB, stalled_ms);
        gauge.note(&machine, Duration::from_secs(second));
        gauge.machine(&machine).level
    };
    assert_eq!(at(10, 5000), Level::Calm, "one look says nothing");
    assert_eq!(at(12, 5100), Level::Calm, "5 % of the time");
    assert_eq!(at(14, 5300), Level::Kill, "10 %");
    assert_eq!(at(16, 5310), Level::Calm, "it is given back");
}

#[test]
fn the_scarcer_of_machine_and_limit_rules() {
    let config = Config::default();
    let whose = |machine: &Machine, enclosing: &[Enclosing]| {
        let reading = worst(&config, machine, enclosing);
        (reading.whose, reading.level)
    };
    let tight = limit("/a/b", 4 * GIB, 4 * GIB - 150 * MIB);
    let wide = limit("/a", 8 * GIB, 2 * GIB);
    assert_eq!(whose(&machine(8 * GIB), &[tight, wide]), (Whose::Cgroup(tight.path), Level::Term));
    assert_eq!(whose(&machine(100 * MIB), &[tight, wide]), (Whose::Machine, Level::Kill));
    assert_eq!(whose(&machine(8 * GIB), &[wide]), (Whose::Cgroup(wide.path), Level::Calm), "less headroom");
    let (inner, outer) = (limit("/a/b", GIB, GIB), limit("/a", 2 * GIB, 2 * GIB));
    assert_eq!(
        whose(&machine(MIB), &[inner, outer]),
        (Whose::Cgroup(inner.path), Level::Kill),
        "the narrowest of equals"
    );
}

#[test]
fn scope_says_what_is_watched() {
    let (inner, outer) = (limit("/a/b", GIB, GIB), limit("/a", 2 * GIB, 2 * GIB));
    let rows = [
        (Scope::Host, 8 * GIB, Whose::Machine, Level::Calm),
        (Scope::Cgroup, 0, Whose::Cgroup(inner.path), Level::Kill),
        (Scope::Auto, 8 * GIB, Whose::Cgroup(inner.path), Level::Kill),
    ];
    for (scope, available, whose, level) in rows {
        let mut config = Config::default();
        config.memory.scope = scope;
        let reading = worst(&config, &machine(available), &[inner, outer]);
        assert_eq!((reading.whose, reading.level), (whose, level), "{scope:?}");
    }
    let mut config = Config::default();
    config.memory.scope = Scope::Cgroup;
    assert_eq!(worst(&config, &machine(0), &[]).whose, Whose::Machine, "nothing encloses");
}

#[test]
fn a_cgroup_gets_its_share_of_a_size() {
    let mut config = Config::default();
    config.memory.warn = Amount::Bytes(4 * GIB);
    config.memory.term = Amount::Bytes(2 * GIB);
    config.memory.kill = Amount::Bytes(GIB);
    config.swap.term = Amount::Bytes(2 * GIB);
    config.swap.kill = Amount::Bytes(GIB);
    let quarter = Enclosing { swap: Some(SwapLimit { max: 2 * GIB, current: 0 }), ..limit("/quarter", 4 * GIB, GIB) };
    let gauge = Gauge::new(&config);
    let machine = with_swap(8 * GIB, 8 * GIB, 8 * GIB);
    let reading = gauge.again(&Whose::Cgroup(quarter.path), &observe(&machine, &[quarter])).unwrap();
    assert_eq!((reading.warn, reading.term, reading.kill), (GIB, GIB / 2, GIB / 4));
    assert_eq!((reading.swap_term, reading.swap_kill, reading.swap_free), (GIB / 2, GIB / 4, 2 * GIB));
    let huge = limit("/huge", 64 * GIB, GIB);
    let reading = gauge.again(&Whose::Cgroup(huge.path), &observe(&machine, &[huge])).unwrap();
    assert_eq!(reading.term, 2 * GIB, "not more than the machine's own");
    assert_eq!(gauge.again(&Whose::Cgroup(quarter.path), &observe(&machine, &[])), None, "the limit is gone");
}

#[test]
fn a_percent_below_a_size_does_not_skip_sigterm() {
    let mut config = Config::default();
    config.memory.percent_of = PercentOf::User;
    config.memory.kill = Amount::Bytes(700 * MIB);
    let mut machine = machine(150 * MIB);
    machine.meminfo.anon_pages = Some(3 * GIB);
    let reading = worst(&config, &machine, &[]);
    assert!(reading.kill <= reading.term && reading.term <= reading.warn, "{reading:?}");
}

#[test]
fn file_pages_of_a_cgroup_count_as_available() {
    let cgroup = Enclosing { reclaimable: 2 * GIB, ..limit("/a", 4 * GIB, 4 * GIB) };
    assert_eq!(worst(&Config::default(), &machine(8 * GIB), &[cgroup]).available, 2 * GIB);
}

#[test]
fn another_guards_machine_is_only_watched() {
    let config = Config::default();
    let mut gauge = Gauge::new(&config);
    gauge.machine_is_ours = false;
    assert_eq!(gauge.worst(&observe(&machine(0), &[])).level, Level::Warn);
    let own = limit("/user", GIB, GIB);
    assert_eq!(gauge.worst(&observe(&machine(0), &[own])).whose, Whose::Cgroup(own.path));
}
