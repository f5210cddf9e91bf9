//! One golden line an event, through the whole reporter: the sentence, and no field that the table does not list.

use std::collections::BTreeSet;

use hogwatch::report::{EVENTS, Event, EventKind, Field, Text};
use nix::sys::signal::Signal;

use crate::journald::FakeJournald;

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

/// 12.3, 12.1, 1.1 GiB.
const SIZE: u64 = 12 * GIB + 307 * MIB;
const FREED: u64 = 12 * GIB + 102 * MIB;
const AVAILABLE: u64 = GIB + 102 * MIB;

fn bare(event: EventKind, reason: &str) -> Event {
    Event { reason: Text::from_bytes(reason.as_bytes()), incident: Some(3), ..Event::new(event) }
}

/// With a rule, a place, and the memory's numbers.
fn placed(event: EventKind, reason: &str, cgroup: &str) -> Event {
    Event {
        kind: Some("memory"),
        cgroup: Text::from_bytes(cgroup.as_bytes()),
        limit_bytes: Some(12 * GIB),
        available_bytes: Some(AVAILABLE),
        available_percent: Some(4.866),
        psi_full_percent: Some(81.0),
        ..bare(event, reason)
    }
}

/// With a process too.
fn process(event: EventKind, reason: &str) -> Event {
    Event {
        pid: Some(4242),
        comm: Text::from_bytes(b"ugrep"),
        cmdline: Text::from_bytes(b"ugrep -r x /"),
        uid: Some(1000),
        size_bytes: Some(SIZE),
        swap_bytes: Some(MIB),
        oom_score_adj: Some(-100),
        ..placed(event, reason, "/user.slice/user-1000.slice/session-3.scope")
    }
}

fn signalled(event: EventKind, signal: Signal) -> Event {
    let reason = "4.87 % available (1.1 GiB of 23.5 GiB), at or below term 5 %";
    Event { signal: Some(signal), decide_usec: Some(2150), ..process(event, reason) }
}

/// Every event, filled as the guard fills it, and its sentence.
fn golden() -> Vec<(Event, &'static str)> {
    use EventKind as E;
    vec![
        (
            Event { kind: None, ..placed(E::Start, "SIGTERM at 5 %, SIGKILL at 3 % of 23.5 GiB", "") },
            concat!("hogwatch ", env!("CARGO_PKG_VERSION"), " started: SIGTERM at 5 %, SIGKILL at 3 % of 23.5 GiB"),
        ),
        (bare(E::Stop, "SIGTERM received"), "hogwatch stopped: SIGTERM received"),
        (bare(E::Reload, "/etc/hogwatch/hogwatch.toml"), "configuration reloaded: /etc/hogwatch/hogwatch.toml"),
        (
            bare(E::ConfigRejected, "/etc/hogwatch/hogwatch.toml:3:8: 5 % is not a size; the old one stays"),
            "configuration rejected: /etc/hogwatch/hogwatch.toml:3:8: 5 % is not a size; the old one stays",
        ),
        (
            Event { kind: None, ..placed(E::State, "the largest is ugrep, 12.3 GiB", "") },
            "memory: 4.87 % available (1.1 GiB), stalled 81.00 % of the last 10 s: the largest is ugrep, 12.3 GiB",
        ),
        (
            placed(E::Warn, "9.87 % available (2.3 GiB of 23.5 GiB), at or below warn 10 %", "/user.slice"),
            "memory is getting short in user.slice: memory, 9.87 % available (2.3 GiB of 23.5 GiB), \
             at or below warn 10 %",
        ),
        (
            signalled(E::Term, Signal::SIGTERM),
            "sent SIGTERM to ugrep (pid 4242, 12.3 GiB) in session-3.scope: memory, \
             4.87 % available (1.1 GiB of 23.5 GiB), at or below term 5 %",
        ),
        (
            Event { members: Some(14), ..signalled(E::Kill, Signal::SIGKILL) },
            "sent SIGKILL to 14 processes (12.3 GiB; the largest is ugrep, pid 4242) in session-3.scope: memory, \
             4.87 % available (1.1 GiB of 23.5 GiB), at or below term 5 %",
        ),
        (
            Event {
                signal: Some(Signal::SIGTERM),
                elapsed_ms: Some(230),
                freed_bytes: Some(FREED),
                kind: None,
                ..process(E::Exited, "")
            },
            "ugrep (pid 4242, 12.3 GiB) exited 0.2 s after SIGTERM; 12.1 GiB came back",
        ),
        (
            Event {
                signal: Some(Signal::SIGKILL),
                elapsed_ms: Some(3000),
                ..process(E::SetAside, "it is in uninterruptible sleep")
            },
            "ugrep (pid 4242, 12.3 GiB) in session-3.scope did not exit within 3.0 s of SIGKILL, set aside: \
             memory, it is in uninterruptible sleep",
        ),
        (
            process(E::Refused, "it is protected by protect[0] \"^ugrep$\""),
            "refused to signal ugrep (pid 4242, 12.3 GiB) in session-3.scope: memory, it is protected by \
             protect[0] \"^ugrep$\"",
        ),
        (
            Event {
                kind: Some("throttled"),
                ..placed(
                    E::Livelock,
                    "81 % of the last 10 s stalled, 6.4 % above memory.high 12.0 GiB, nothing reclaimed",
                    "/user.slice/user-1000.slice",
                )
            },
            "user-1000.slice is stuck: livelock, 81 % of the last 10 s stalled, 6.4 % above memory.high 12.0 GiB, \
             nothing reclaimed",
        ),
        (
            process(E::OomStuck, "no exit for 10 s"),
            "the kernel's OOM killer is stuck on ugrep (pid 4242, 12.3 GiB) in session-3.scope: memory, \
             no exit for 10 s",
        ),
        (
            placed(E::Lift, "stuck for 10 s", "/user.slice/user-1000.slice"),
            "raised memory.high of user-1000.slice from 12.0 GiB to max: memory, stuck for 10 s",
        ),
        (
            placed(E::LiftRestored, "below it for 30 s", "/user.slice/user-1000.slice"),
            "put memory.high of user-1000.slice back to 12.0 GiB: memory, below it for 30 s",
        ),
        (
            process(E::KernelOom, "constraint CONSTRAINT_MEMCG"),
            "the kernel's OOM killer killed ugrep (pid 4242, 12.3 GiB) in session-3.scope: memory, \
             constraint CONSTRAINT_MEMCG",
        ),
        (
            process(E::OomdKill, "memory pressure 62 % for 30 s"),
            "systemd-oomd killed ugrep (pid 4242, 12.3 GiB) in session-3.scope: memory, memory pressure 62 % for 30 s",
        ),
        (
            placed(E::Recovered, "54.20 % available (12.7 GiB of 23.5 GiB)", "/docker/0a1b"),
            "memory has recovered in /docker/0a1b: memory, 54.20 % available (12.7 GiB of 23.5 GiB)",
        ),
        (
            bare(E::Degraded, "memory is not locked: Operation not permitted"),
            "degraded: memory is not locked: Operation not permitted",
        ),
        (Event { count: Some(12), ..bare(E::Dropped, "") }, "12 entries were lost on their way to the journal"),
    ]
}

#[test]
fn one_golden_line_an_event() {
    let journald = FakeJournald::start();
    let (sender, reporter) = journald.reporter(false);
    let golden = golden();
    assert_eq!(golden.len(), EVENTS.len());
    for ((event, sentence), spec) in golden.iter().zip(&EVENTS) {
        assert_eq!(event.event, spec.event, "the golden lines are in the table's order");
        sender.send(event);
        let entry = journald.entry();
        assert_eq!(entry.0[0].0, "MESSAGE", "the sentence comes first");
        assert_eq!(entry.message(), *sentence);
        assert_eq!(entry.get("PRIORITY"), Some((spec.priority as u8).to_string().as_str()));
        assert_eq!(entry.get("MESSAGE_ID"), Some(spec.message_id));
        assert_eq!(entry.get("SYSLOG_IDENTIFIER"), Some("hogwatch"));
        assert_eq!(entry.get("HOGWATCH_EVENT"), Some(spec.name));
        let written = entry.0.iter().map(|(name, _)| name.as_str()).filter(|name| name.starts_with("HOGWATCH_"));
        let unlisted: Vec<&str> =
            written.filter(|name| !spec.fields().any(|field| field.journal_name() == *name)).collect();
        assert_eq!(unlisted, [""; 0], "{}: not in the table", spec.name);
    }
    assert!(reporter.stop(std::time::Duration::from_secs(5), std::time::Duration::from_secs(5)));
}

#[test]
fn an_act_carries_every_field() {
    let journald = FakeJournald::start();
    let (sender, _reporter) = journald.reporter(true);
    sender.send(&Event { freed_bytes: Some(FREED), ..signalled(EventKind::Term, Signal::SIGTERM) });
    let entry = journald.entry();
    let expected = [
        ("HOGWATCH_EVENT", "term"),
        ("HOGWATCH_KIND", "memory"),
        ("HOGWATCH_REASON", "4.87 % available (1.1 GiB of 23.5 GiB), at or below term 5 %"),
        ("HOGWATCH_PID", "4242"),
        ("HOGWATCH_COMM", "ugrep"),
        ("HOGWATCH_CMDLINE", "ugrep -r x /"),
        ("HOGWATCH_UID", "1000"),
        ("HOGWATCH_UNIT", "session-3.scope"),
        ("HOGWATCH_CGROUP", "/user.slice/user-1000.slice/session-3.scope"),
        ("HOGWATCH_SIZE_BYTES", "13206814720"),
        ("HOGWATCH_SWAP_BYTES", "1048576"),
        ("HOGWATCH_OOM_SCORE_ADJ", "-100"),
        ("HOGWATCH_SIGNAL", "SIGTERM"),
        ("HOGWATCH_LIMIT_BYTES", "12884901888"),
        ("HOGWATCH_AVAILABLE_BYTES", "1180696576"),
        ("HOGWATCH_AVAILABLE_PERCENT", "4.87"),
        ("HOGWATCH_PSI_FULL_PERCENT", "81.00"),
        ("HOGWATCH_DECIDE_USEC", "2150"),
        ("HOGWATCH_FREED_BYTES", "12991856640"),
        ("HOGWATCH_DRY_RUN", "1"),
    ];
    for (name, value) in expected {
        assert_eq!(entry.get(name), Some(value), "{name}");
    }
    let incident = entry.get("HOGWATCH_INCIDENT").unwrap();
    assert!(incident.len() == "20260728T031502Z-3".len() && incident.ends_with("Z-3"), "{incident}");
    let ours: BTreeSet<&str> =
        entry.0.iter().map(|(name, _)| name.as_str()).filter(|name| name.starts_with("HOGWATCH_")).collect();
    assert_eq!(ours, Field::ALL.iter().map(|field| field.journal_name()).collect());
}

#[test]
fn what_is_not_known_is_not_said() {
    use EventKind as E;
    let term = |event| Event { signal: Some(Signal::SIGTERM), ..event };
    let cases = [
        (Event::new(E::Warn), "memory is getting short"),
        (term(Event { pid: Some(7), ..Event::new(E::Term) }), "sent SIGTERM to a process (pid 7)"),
        (
            term(Event { pid: Some(7), cgroup: Text::from_bytes(b"/"), kind: Some("swap"), ..Event::new(E::Term) }),
            "sent SIGTERM to a process (pid 7): swap",
        ),
        (term(Event { members: Some(1), ..Event::new(E::Term) }), "sent SIGTERM to 1 process"),
        (Event { comm: Text::from_bytes(b"hog"), ..Event::new(E::Exited) }, "hog exited by itself"),
        (
            Event {
                comm: Text::from_bytes(b"hog"),
                signal: Some(Signal::SIGKILL),
                elapsed_ms: Some(40),
                freed_bytes: Some(0),
                ..Event::new(E::Exited)
            },
            "hog was killed, gone 40 ms after SIGKILL; nothing came back",
        ),
        (Event::new(E::Refused), "refused to signal anyone"),
        (Event::new(E::Livelock), "the machine is stuck"),
        (
            Event {
                kind: Some("swap_thrash"),
                reason: Text::from_bytes(b"stuck for 31.2 s"),
                cgroup: Text::from_bytes(b"/user.slice/user-1000.slice"),
                ..Event::new(E::Recovered)
            },
            "user-1000.slice moves again: thrashing, stuck for 31.2 s",
        ),
        (
            Event { cgroup: Text::from_bytes(b"/system.slice/db.service"), ..Event::new(E::OomdKill) },
            "systemd-oomd killed db.service",
        ),
        (Event::new(E::State), "memory: unknown"),
        (Event { available_percent: Some(f64::NAN), ..Event::new(E::State) }, "memory: unknown"),
        (Event { count: Some(1), ..Event::new(E::Dropped) }, "1 entry was lost on its way to the journal"),
    ];
    let journald = FakeJournald::start();
    let (sender, _reporter) = journald.reporter(false);
    for (event, sentence) in cases {
        sender.send(&event);
        let entry = journald.entry();
        assert_eq!(entry.message(), sentence);
        assert!(entry.0.iter().all(|(_, value)| !value.is_empty()), "{entry:?}");
        assert_eq!(entry.get("HOGWATCH_DRY_RUN"), None);
        assert_eq!(entry.get("HOGWATCH_AVAILABLE_PERCENT"), None);
    }
}

#[test]
fn what_systemd_does_next_is_said() {
    use hogwatch::report::Follows;
    let event = Event {
        pid: Some(42),
        comm: Text::from_bytes(b"db"),
        cgroup: Text::from_bytes(b"/system.slice/db.service"),
        signal: Some(Signal::SIGTERM),
        kind: Some("memory"),
        ..Event::new(EventKind::Term)
    };
    let cases = [
        (Follows::Restarts, "unit db.service will be restarted by systemd"),
        (Follows::StaysDown, "unit db.service will not restart"),
        (Follows::CleanEnd, "unit db.service will not restart: to systemd SIGTERM is a clean end"),
    ];
    let journald = FakeJournald::start();
    let (sender, _reporter) = journald.reporter(false);
    for (follows, words) in cases {
        sender.send(&Event { follows: Some(follows), ..event });
        let expected = format!("sent SIGTERM to db (pid 42) in db.service: memory; {words}");
        assert_eq!(journald.entry().message(), expected);
        sender.send(&Event { follows: Some(follows), event: EventKind::Exited, kind: None, ..event });
        assert_eq!(journald.entry().message(), format!("db (pid 42) exited after SIGTERM; {words}"));
    }
    let (sender, _reporter) = journald.reporter(true);
    sender.send(&Event { follows: Some(Follows::StaysDown), ..event });
    let expected = "would send SIGTERM to db (pid 42) in db.service: memory; unit db.service would not restart";
    assert_eq!(journald.entry().message(), expected);
}

#[test]
fn a_dry_run_says_would() {
    let journald = FakeJournald::start();
    let (sender, _reporter) = journald.reporter(true);
    let place = |event| placed(event, "stuck", "/a.slice");
    let cases = [
        (
            Event::new(EventKind::Start),
            concat!("hogwatch ", env!("CARGO_PKG_VERSION"), " started as a dry run, it only says what it would do"),
        ),
        (
            Event { reason: Text::new(), ..signalled(EventKind::Kill, Signal::SIGKILL) },
            "would send SIGKILL to ugrep (pid 4242, 12.3 GiB) in session-3.scope: memory",
        ),
        (place(EventKind::Lift), "would raise memory.high of a.slice from 12.0 GiB to max: memory, stuck"),
        (place(EventKind::LiftRestored), "would put memory.high of a.slice back to 12.0 GiB: memory, stuck"),
    ];
    for (event, sentence) in cases {
        sender.send(&event);
        let entry = journald.entry();
        assert_eq!(entry.message(), sentence);
        assert_eq!(entry.get("HOGWATCH_DRY_RUN"), Some("1"));
    }
}
