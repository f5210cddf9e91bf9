//! The status socket from outside.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use hogwatch::report::status::{FetchError, Limits, Scope, Snapshot, StatusOptions, fetch};
use hogwatch::report::{Event, EventKind, EventSender, Reporter, ReporterOptions, Text};
use serde_json::Value;
use tempfile::TempDir;

use crate::journald::{FakeJournald, SILENT, options};

const LIMIT: Duration = Duration::from_secs(20);

struct Daemon {
    dir: TempDir,
    sender: EventSender,
    reporter: Reporter,
}

impl Daemon {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let status = Some(StatusOptions { path: dir.path().join("status.sock"), group: None });
        let (sender, reporter) = Reporter::start(ReporterOptions { status, ..options(SILENT, false) }).unwrap();
        Self { dir, sender, reporter }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("status.sock")
    }

    fn ask(&self) -> Value {
        fetch(&self.path(), LIMIT).unwrap()
    }

    fn pids(&self) -> Vec<i64> {
        self.ask()["events"].as_array().unwrap().iter().map(|event| event["pid"].as_i64().unwrap()).collect()
    }
}

fn snapshot(available: u64) -> Snapshot {
    Snapshot {
        memory_total: 1000,
        memory_available: available,
        available_percent: 12.345,
        scope: Scope::Host,
        limits: Limits { warn: 3, term: 2, kill: 1 },
        swap_total: 0,
        swap_free: 0,
        psi_some_avg10: None,
        psi_full_avg10: None,
        cgroups: Vec::new(),
        more_cgroups: 0,
    }
}

fn act(pid: i32) -> Event {
    Event { pid: Some(pid), comm: Text::from_bytes(b"h\xffg"), ..Event::new(EventKind::Kill) }
}

#[test]
fn what_the_guard_last_saw_and_the_latest_sixteen_events() {
    let daemon = Daemon::start();
    assert_eq!(daemon.ask()["memory"]["total_bytes"], Value::Null);
    daemon.sender.publish(|into| *into = snapshot(1));
    daemon.sender.publish(|into| *into = snapshot(2));
    let answer = daemon.ask();
    assert_eq!(answer["schema"], 1);
    assert_eq!(answer["daemon"]["pid"], std::process::id());
    assert_eq!(answer["memory"]["available_bytes"], 2);
    assert_eq!(answer["memory"]["available_percent"], 12.35);

    // One at a time: asking in between lets the thread take each off its queue.
    for pid in 1..=20 {
        daemon.sender.send(&act(pid));
        assert_eq!(daemon.pids().last(), Some(&i64::from(pid)));
    }
    assert_eq!(daemon.pids(), (5..=20).collect::<Vec<i64>>());
    assert_eq!(daemon.ask()["events"][0]["comm"], "h\\xffg");
}

#[test]
fn peers_that_write_garbage_or_never_read_cost_nobody_anything() {
    let daemon = Daemon::start();
    let mut bad = Vec::new();
    for n in 0..100 {
        let mut peer = UnixStream::connect(daemon.path()).unwrap();
        if n % 2 == 0 {
            // The daemon may have hung up already.
            let _ = peer.write_all(&[b'\n'; 10_000]);
        }
        bad.push(peer);
    }
    assert_eq!(daemon.ask()["schema"], 1);
    drop(bad);
    assert_eq!(daemon.ask()["schema"], 1);
}

#[test]
fn a_hundred_clients_at_once() {
    let daemon = Daemon::start();
    daemon.sender.publish(|into| *into = snapshot(7));
    let path = daemon.path();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..100).map(|_| scope.spawn(|| fetch(&path, LIMIT))).collect();
        for client in clients {
            assert_eq!(client.join().unwrap().unwrap()["memory"]["available_bytes"], 7);
        }
    });
}

#[test]
fn one_line_and_the_connection_is_closed() {
    let daemon = Daemon::start();
    let mut answer = String::new();
    UnixStream::connect(daemon.path()).unwrap().read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("}\n") && answer.lines().count() == 1, "{answer}");
}

#[test]
fn the_socket_goes_with_the_daemon() {
    let Daemon { dir, sender, reporter } = Daemon::start();
    drop(sender);
    assert!(reporter.stop(Duration::from_secs(10)));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    assert!(matches!(fetch(&dir.path().join("status.sock"), LIMIT), Err(FetchError::NotRunning)));
}

#[test]
fn status_is_answered_while_journald_is_stuck() {
    let journald = FakeJournald::start();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("status.sock");
    let output = hogwatch::report::Output { journald: Some(journald.path()), stderr: None };
    let status = Some(StatusOptions { path: path.clone(), group: None });
    let (sender, reporter) = Reporter::start(ReporterOptions { status, ..options(output, false) }).unwrap();
    for pid in 0..3000 {
        sender.send(&act(pid));
    }
    assert_eq!(fetch(&path, LIMIT).unwrap()["schema"], 1);
    assert!(!reporter.stop(Duration::ZERO));
}

#[test]
fn a_daemon_without_a_status_socket_says_so_and_runs() {
    let journald = FakeJournald::start();
    let output = hogwatch::report::Output { journald: Some(journald.path()), stderr: None };
    let status = Some(StatusOptions { path: "/nonexistent/status.sock".into(), group: None });
    let (_sender, reporter) = Reporter::start(ReporterOptions { status, ..options(output, false) }).unwrap();
    let entry = journald.entry();
    assert_eq!(entry.get("HOGWATCH_EVENT"), Some("degraded"));
    assert_eq!(
        entry.message(),
        "degraded: no status socket at /nonexistent/status.sock: No such file or directory (os error 2); \
         `hogwatch status` has to look by itself"
    );
    assert!(reporter.stop(Duration::from_secs(10)));
}
