//! The whole text, from a given view and given events.

use std::time::UNIX_EPOCH;

use nix::sys::signal::Signal;

use super::*;
use crate::report::status::{CgroupState, Limits, Snapshot};

const FULL: &str = include_str!("../../../tests/fixtures/metrics/full.prom");
const FRESH: &str = include_str!("../../../tests/fixtures/metrics/fresh.prom");

const ORIGIN: Origin = Origin { dry_run: false, started: UNIX_EPOCH };

const GIB: u64 = 1 << 30;

fn cgroup(state: Option<&'static str>, doing: Option<&'static str>) -> CgroupState {
    CgroupState {
        path: Text::from_bytes(b"/a.slice"),
        current: GIB,
        high: Some(GIB),
        max: None,
        stall_percent: None,
        state,
        doing,
    }
}

fn snapshot() -> Snapshot {
    let mut seen = Snapshot::empty();
    seen.memory_total = 32 * GIB;
    seen.memory_available = 3 * GIB;
    seen.available_percent = 9.375;
    seen.limits = Limits { warn: 4 * GIB, term: 2 * GIB, kill: GIB };
    seen.swap_total = 4 * GIB;
    seen.psi_some_avg10 = Some(12.5);
    seen.psi_full_avg10 = Some(0.06);
    seen.cgroups = vec![
        cgroup(Some("throttled"), Some("killing")),
        cgroup(Some("watching"), None),
        cgroup(Some("watching"), None),
        // A limit around the guard: nobody is at it.
        cgroup(None, None),
    ];
    seen.more_cgroups = 7;
    seen
}

fn acts(counts: &Counts) {
    let at = UNIX_EPOCH + Duration::from_millis(1_700_000_000_250);
    let event = |kind, event| Event { kind: Some(kind), ..Event::new(event) };
    counts.count(at, &Event::new(EventKind::Start));
    for usec in [400, 500, 501, 20_000_000] {
        let term = Event { signal: Some(Signal::SIGTERM), decide_usec: Some(usec), ..event("memory", EventKind::Term) };
        counts.count(at, &term);
    }
    counts.count(at, &event("throttled", EventKind::Livelock));
    counts.count(at, &event("oom_stuck", EventKind::OomStuck));
    counts.count(at, &Event { signal: Some(Signal::SIGKILL), ..event("throttled", EventKind::Kill) });
    counts.count(at, &Event { signal: Some(Signal::SIGKILL), ..event("of another version", EventKind::Kill) });
    let exited = Event { signal: Some(Signal::SIGKILL), freed_bytes: Some(5 * GIB), ..Event::new(EventKind::Exited) };
    counts.count(at, &exited);
    counts.count_lost(3);
}

fn text(counts: Counts, origin: Origin, seen: Option<Snapshot>) -> String {
    let seen = seen.map(|snapshot| (UNIX_EPOCH + Duration::from_secs(1_700_000_001), snapshot));
    let text = Page { counts: Arc::new(counts), origin, seen }.text().unwrap();
    text.replace(env!("CARGO_PKG_VERSION"), "VERSION")
}

#[track_caller]
fn same(text: &str, expected: &str, name: &str) {
    assert!(text == expected, "tests/fixtures/metrics/{name} should be:\n{text}");
}

#[test]
fn a_view_and_some_acts() {
    let counts = Counts::default();
    acts(&counts);
    same(&text(counts, ORIGIN, Some(snapshot())), FULL, "full.prom");
}

#[test]
fn what_is_not_known_yet_is_left_out_and_what_did_not_happen_is_zero() {
    let origin = Origin { dry_run: true, ..ORIGIN };
    same(&text(Counts::default(), origin, None), FRESH, "fresh.prom");
}

#[test]
fn every_series_of_the_table_is_in_the_text_and_no_other() {
    let counts = Counts::default();
    acts(&counts);
    let text = text(counts, ORIGIN, Some(snapshot()));
    let name = |line: &str| line.split(['{', ' ']).next().unwrap().to_owned();
    let mut found: Vec<String> = text.lines().filter(|line| !line.starts_with('#')).map(name).collect();
    found.sort();
    found.dedup();
    let mut expected: Vec<String> = METRICS.iter().flat_map(MetricSpec::series).collect();
    expected.sort();
    assert_eq!(found, expected);
    for metric in &METRICS {
        for label in metric.labels {
            assert!(text.contains(&format!("{label}=\"")), "{}: {label}", metric.family);
        }
        assert!(!metric.help.contains(['\\', '\n', '"']), "{}: would have to be escaped", metric.family);
    }
}

#[test]
fn without_psi_there_is_no_pressure() {
    let seen = Snapshot { psi_some_avg10: None, psi_full_avg10: None, ..snapshot() };
    assert!(!text(Counts::default(), ORIGIN, Some(seen)).contains("pressure_"));
}

#[test]
fn a_failure_says_what_to_do() {
    let file = Textfile::new("/var/lib/x.prom".into());
    for (errno, hint) in [
        (libc::ENOENT, "make its directory"),
        (libc::EROFS, "the service needs ReadWritePaths= for it"),
        (libc::EACCES, "the service needs ReadWritePaths= for it"),
        (libc::EISDIR, "remove it, or write another path"),
        (libc::ENOSPC, "make room"),
        (libc::EIO, "nothing else is lost"),
    ] {
        let error = io::Error::from_raw_os_error(errno);
        let event = failed(&file, &error);
        let expected = format!("no metrics, /var/lib/x.prom: {error}; {hint}; tried again every 15 s");
        assert_eq!(event.reason.to_string(), expected);
    }
}
