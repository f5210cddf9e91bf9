//! The way to the journal: hostile names, a journald that is stuck or away, repeats, the end.

use std::time::Duration;

use hogwatch::report::{Event, EventKind, EventSender, Text};
use nix::sys::signal::Signal;

use crate::journald::FakeJournald;

fn term(pid: i32) -> Event {
    Event {
        kind: Some("memory"),
        pid: Some(pid),
        comm: Text::from_bytes(b"hog"),
        signal: Some(Signal::SIGTERM),
        ..Event::new(EventKind::Term)
    }
}

#[test]
fn no_name_forges_a_line_or_a_field() {
    let journald = FakeJournald::start();
    let (sender, _reporter) = journald.reporter(false);
    let long = [b'x'; 255];
    let cases: &[(&[u8], &str)] = &[
        (b"\nHOGWATCH_EVENT=", "\\nHOGWATCH_EVENT="),
        (b"a\0b\x1b[2Jc", "a\\x00b\\x1b[2Jc"),
        (b"\xff\xfe", "\\xff\\xfe"),
        ("\u{202e}gpj".as_bytes(), "\\u{202e}gpj"),
        (b"MESSAGE\n\x01\0\0\0\0\0", "MESSAGE\\n\\x01\\x00\\x00\\x00\\x00\\x00"),
    ];
    for (name, shown) in cases {
        sender.send(&Event {
            comm: Text::from_bytes(name),
            cmdline: Text::from_bytes(name),
            reason: Text::from_bytes(name),
            cgroup: Text::from_bytes(&[b"/", *name, b"/a.service"].concat()),
            ..term(1)
        });
        let entry = journald.entry();
        assert_eq!(entry.get("HOGWATCH_EVENT"), Some("term"));
        assert_eq!(entry.get("HOGWATCH_COMM"), Some(*shown));
        assert_eq!(entry.get("HOGWATCH_CMDLINE"), Some(*shown));
        assert_eq!(entry.get("HOGWATCH_REASON"), Some(*shown));
        assert_eq!(entry.get("HOGWATCH_CGROUP"), Some(format!("/{shown}/a.service").as_str()));
        assert_eq!(entry.get("HOGWATCH_UNIT"), Some("a.service"));
        assert_eq!(entry.message(), format!("sent SIGTERM to {shown} (pid 1) in a.service: memory, {shown}"));
    }
    sender.send(&Event { cmdline: Text::from_bytes(&long), cgroup: Text::from_bytes(&long), ..term(2) });
    let entry = journald.entry();
    let long = std::str::from_utf8(&long).unwrap();
    assert_eq!(entry.get("HOGWATCH_CMDLINE"), Some(long));
    assert_eq!(entry.message(), format!("sent SIGTERM to hog (pid 2) in {long}: memory"));
}

/// More than the queue and any socket buffer hold together.
const FLOOD: u64 = 3000;

fn flood(sender: &EventSender) {
    for pid in 1..=i32::try_from(FLOOD).unwrap() {
        sender.send(&term(pid));
    }
}

#[test]
fn a_stuck_journald_costs_entries_that_are_counted_and_never_makes_the_sender_wait() {
    let journald = FakeJournald::start();
    let (sender, reporter) = journald.reporter(false);
    // Nobody reads: that this returns is the point.
    flood(&sender);

    let (mut written, mut last_pid, mut lost) = (0, 0, 0);
    while written + lost < FLOOD {
        let entry = journald.entry();
        if entry.get("HOGWATCH_EVENT") == Some("dropped") {
            assert_eq!(entry.get("PRIORITY"), Some("3"));
            let (count, _) = entry.message().split_once(" entries were lost").unwrap();
            lost += count.parse::<u64>().unwrap();
        } else {
            let pid: i32 = entry.get("HOGWATCH_PID").unwrap().parse().unwrap();
            assert!(pid > last_pid, "{pid} after {last_pid}");
            (written, last_pid) = (written + 1, pid);
        }
    }
    assert_eq!(written + lost, FLOOD);
    assert!(lost > 0);

    sender.send(&term(7777));
    assert_eq!(journald.entry().get("HOGWATCH_PID"), Some("7777"));
    assert!(reporter.stop(Duration::from_secs(5), Duration::from_secs(5)));
}

#[test]
fn the_end_does_not_wait_for_a_stuck_journald() {
    let journald = FakeJournald::start();
    let (sender, reporter) = journald.reporter(false);
    flood(&sender);
    assert!(!reporter.stop(Duration::from_millis(50), Duration::from_millis(50)), "not all can have been written");
}

#[test]
fn the_end_waits_for_what_can_be_written() {
    let journald = FakeJournald::start();
    let (sender, reporter) = journald.reporter(false);
    // As many as fit in the smallest usual queue of a socket (net.unix.max_dgram_qlen = 10).
    for pid in 1..=8 {
        sender.send(&term(pid));
    }
    sender.send(&Event::new(EventKind::Stop));
    assert!(reporter.stop(Duration::from_secs(10), Duration::from_secs(10)));
    for pid in 1..=8 {
        assert_eq!(journald.entry().get("HOGWATCH_PID"), Some(pid.to_string().as_str()));
    }
    assert_eq!(journald.entry().message(), "hogwatch stopped");
}

#[test]
fn an_entry_waits_for_a_journald_that_restarts() {
    let mut journald = FakeJournald::start();
    let (sender, _reporter) = journald.reporter(false);
    sender.send(&term(1));
    assert_eq!(journald.entry().get("HOGWATCH_PID"), Some("1"));
    journald.vanish();
    sender.send(&term(2));
    sender.send(&term(3));
    journald.restart();
    assert_eq!(journald.entry().get("HOGWATCH_PID"), Some("2"));
    assert_eq!(journald.entry().get("HOGWATCH_PID"), Some("3"));
}

#[test]
fn complaints_are_held_back_and_acts_are_not() {
    let journald = FakeJournald::start();
    let (sender, reporter) = journald.reporter(false);
    let refused = |percent: &str| Event {
        reason: Text::format(format_args!("{percent} % available, nobody is worth killing")),
        ..Event::new(EventKind::Refused)
    };
    for n in 0..5 {
        sender.send(&refused(&format!("4.{n}")));
        assert_eq!(
            journald.entry().message(),
            format!("refused to signal anyone: 4.{n} % available, nobody is worth killing")
        );
    }
    // Had one of these been written, it would be read in the place of the first act.
    for n in 5..10 {
        sender.send(&refused(&format!("4.{n}")));
    }
    for pid in 1..=20 {
        sender.send(&term(pid));
        assert_eq!(journald.entry().get("HOGWATCH_PID"), Some(pid.to_string().as_str()));
    }
    // The end comes before the next one: what was held back is not lost with it.
    assert!(reporter.stop(Duration::from_secs(5), Duration::from_secs(5)));
    let last = "refused to signal anyone: 4.9 % available, nobody is worth killing (4 similar held back)";
    assert_eq!(journald.entry().message(), last);
}
