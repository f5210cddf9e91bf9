//! The status socket from outside.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
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
fn a_hundred_idle_peers_keep_nobody_waiting_and_find_their_answer_whenever_they_read() {
    let daemon = Daemon::start();
    daemon.sender.publish(|into| *into = snapshot(7));
    let idle: Vec<UnixStream> = (0..100).map(|_| UnixStream::connect(daemon.path()).unwrap()).collect();
    assert_eq!(daemon.ask()["memory"]["available_bytes"], 7);
    daemon.sender.publish(|into| *into = snapshot(8));
    assert_eq!(daemon.ask()["memory"]["available_bytes"], 8);
    // They were answered and let go of when they called, not kept until they read.
    for mut peer in idle {
        let mut answer = String::new();
        peer.read_to_string(&mut answer).unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["memory"]["available_bytes"], 7);
    }
}

#[test]
fn a_peer_that_reads_byte_by_byte_or_has_closed_its_end_gets_all_of_it() {
    let daemon = Daemon::start();
    for pid in 1..=16 {
        daemon.sender.send(&act(pid));
        daemon.ask();
    }
    let mut slow = UnixStream::connect(daemon.path()).unwrap();
    let mut half = UnixStream::connect(daemon.path()).unwrap();
    half.shutdown(Shutdown::Write).unwrap();
    UnixStream::connect(daemon.path()).unwrap().shutdown(Shutdown::Both).unwrap();
    let mut answer = String::new();
    half.read_to_string(&mut answer).unwrap();
    let mut slowly = Vec::new();
    let mut byte = [0];
    while slow.read(&mut byte).unwrap() == 1 {
        slowly.push(byte[0]);
        if slowly.len() % 1000 == 0 {
            assert_eq!(daemon.ask()["schema"], 1);
        }
    }
    for answer in [answer.as_bytes(), &slowly] {
        let answer: Value = serde_json::from_slice(answer).unwrap();
        assert_eq!(answer["events"].as_array().unwrap().len(), 16);
    }
}

/// Calls and hangs up without end, from several threads, while `body` runs.
fn under_a_flood<T>(path: &Path, body: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    let calls = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    // Full, or gone by now.
                    if let Ok(mut peer) = UnixStream::connect(path) {
                        calls.fetch_add(1, Ordering::Relaxed);
                        let _ = peer.write_all(b"GET / HTTP/1.1\r\n\r\n\0\xff");
                    }
                }
            });
        }
        while calls.load(Ordering::Relaxed) < 100 {
            thread::yield_now();
        }
        let result = body();
        over.store(true, Ordering::Relaxed);
        result
    })
}

#[test]
fn a_flood_of_callers_keeps_neither_an_honest_one_nor_the_end_waiting() {
    let Daemon { dir, sender, reporter } = Daemon::start();
    let path = dir.path().join("status.sock");
    let ended = under_a_flood(&path, || {
        for pid in 1..=5 {
            sender.send(&act(pid));
            let events = &fetch(&path, LIMIT).unwrap()["events"];
            assert_eq!(events.as_array().unwrap().last().unwrap()["pid"], pid);
        }
        reporter.stop(LIMIT, LIMIT)
    });
    assert!(ended, "the reporter stops");
}

#[test]
fn a_hundred_clients_at_once() {
    let daemon = Daemon::start();
    daemon.sender.publish(|into| *into = snapshot(7));
    let path = daemon.path();
    thread::scope(|scope| {
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
    assert!(reporter.stop(Duration::from_secs(10), Duration::from_secs(10)));
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
    assert!(!reporter.stop(Duration::ZERO, Duration::ZERO));
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
    assert!(reporter.stop(Duration::from_secs(10), Duration::from_secs(10)));
}
