//! The metrics file from outside.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use hogwatch::decide::livelock::Kind;
use hogwatch::report::metrics::{CGROUP_STATES, KINDS};
use hogwatch::report::{Event, EventKind, EventSender, Output, Reporter, ReporterOptions};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::journald::{FakeJournald, SILENT, options};

/// Shorter than the 15 s after which the file is written anyway: what comes within it came at once.
const AT_ONCE: Duration = Duration::from_secs(12);

struct Daemon {
    dir: TempDir,
    sender: EventSender,
    reporter: Reporter,
}

impl Daemon {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let textfile = Some(dir.path().join("hogwatch.prom"));
        let (sender, reporter) = Reporter::start(ReporterOptions { textfile, ..options(SILENT, false) }).unwrap();
        let daemon = Self { dir, sender, reporter };
        daemon.sender.publish(|into| into.memory_total = 1234);
        wait_for(&daemon.path(), "hogwatch_memory_total_bytes 1234");
        daemon
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("hogwatch.prom")
    }
}

fn act() -> Event {
    Event { kind: Some("memory"), signal: Some(Signal::SIGKILL), ..Event::new(EventKind::Kill) }
}

/// Until the file is whole and has this line.
#[track_caller]
fn wait_for(path: &Path, line: &str) {
    let deadline = Instant::now() + AT_ONCE;
    let mut text = String::new();
    while Instant::now() < deadline {
        if let Ok(read) = fs::read_to_string(path) {
            assert!(read.ends_with("# EOF\n"), "half a file: {read}");
            if read.lines().any(|l| l == line) {
                return;
            }
            text = read;
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("no {line} in {}: {text}", path.display());
}

#[track_caller]
fn wait_until_gone(path: &Path) {
    let deadline = Instant::now() + AT_ONCE;
    while path.exists() {
        assert!(Instant::now() < deadline, "{} is still there", path.display());
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn acts_are_in_the_file_at_once_and_none_is_missed() {
    const ACTS: usize = 3000;
    let daemon = Daemon::start();
    daemon.sender.send(&act());
    wait_for(&daemon.path(), "hogwatch_signals_total{kind=\"memory\",signal=\"SIGKILL\"} 1");
    // Far more at once than the queues hold.
    for _ in 1..ACTS {
        daemon.sender.send(&act());
    }
    wait_for(&daemon.path(), &format!("hogwatch_events_total{{event=\"kill\"}} {ACTS}"));
}

#[test]
fn the_file_goes_with_the_daemon() {
    let Daemon { dir, sender, reporter } = Daemon::start();
    drop(sender);
    assert!(reporter.stop(Duration::from_secs(10), Duration::from_secs(10)));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_reload_moves_it_stops_it_and_starts_it() {
    let daemon = Daemon::start();
    let elsewhere = daemon.dir.path().join("elsewhere.prom");
    daemon.sender.set_textfile(Some(elsewhere.clone()));
    wait_for(&elsewhere, "hogwatch_memory_total_bytes 1234");
    wait_until_gone(&daemon.path());

    daemon.sender.set_textfile(None);
    wait_until_gone(&elsewhere);
    daemon.sender.send(&act());

    daemon.sender.set_textfile(Some(elsewhere.clone()));
    // What happened meanwhile was counted.
    wait_for(&elsewhere, "hogwatch_events_total{event=\"kill\"} 1");
}

#[test]
fn what_can_not_be_written_is_said_once_and_tried_again() {
    let journald = FakeJournald::start();
    let output = Output { journald: Some(journald.path()), stderr: None };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("missing").join("x.prom");
    let (sender, _reporter) =
        Reporter::start(ReporterOptions { textfile: Some(path.clone()), ..options(output, false) }).unwrap();
    let entry = journald.entry();
    assert_eq!(entry.get("HOGWATCH_EVENT"), Some("degraded"));
    let expected = format!(
        "degraded: no metrics, {}: No such file or directory (os error 2); make its directory; tried again every 15 s",
        path.display()
    );
    assert_eq!(entry.message(), expected);

    // Each act is a reason to try; the failure is not said again.
    for _ in 0..3 {
        sender.send(&act());
        assert_eq!(journald.entry().get("HOGWATCH_EVENT"), Some("kill"));
    }
    fs::create_dir(dir.path().join("missing")).unwrap();
    sender.send(&act());
    wait_for(&path, "hogwatch_events_total{event=\"degraded\"} 1");
    assert_eq!(journald.entry().get("HOGWATCH_EVENT"), Some("kill"));
}

#[test]
fn entries_that_a_stuck_journald_costs_are_counted_while_it_is_stuck() {
    let journald = FakeJournald::start();
    let output = Output { journald: Some(journald.path()), stderr: None };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.prom");
    let textfile = Some(path.clone());
    let (sender, reporter) = Reporter::start(ReporterOptions { textfile, ..options(output, false) }).unwrap();
    let full = (0..100_000).find(|_| {
        sender.send(&act());
        sender.room() == 0
    });
    assert!(full.is_some());
    let lost = |text: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix("hogwatch_journal_entries_dropped_total "));
        line.unwrap().parse::<u64>().unwrap()
    };
    let deadline = Instant::now() + AT_ONCE;
    while !fs::read_to_string(&path).is_ok_and(|text| lost(&text) > 0) {
        assert!(Instant::now() < deadline);
        sender.send(&act());
        thread::sleep(Duration::from_millis(5));
    }
    assert!(!reporter.stop(Duration::ZERO, Duration::ZERO));
}

#[test]
fn every_way_of_being_stuck_has_its_own_label() {
    for kind in Kind::ALL.iter().chain([&Kind::Pressure]) {
        assert!(KINDS.contains(&kind.name()), "{}", kind.name());
        assert!(CGROUP_STATES.contains(&kind.name()), "{}", kind.name());
    }
}
