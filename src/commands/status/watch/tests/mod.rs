//! The view on made-up terminals: what is shown at each size, and that no name can do harm.

mod keys;

use std::time::{Duration, SystemTime};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::{Color, Modifier};
use serde_json::{Value as Json, json};

use super::super::seen::Document;
use super::draw;
use super::state::{Look, NextLook, Scroll, Source, State, Wish};
use super::terminal::Abilities;
use crate::commands::explain::Next;
use crate::decide::livelock::Kind;

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

/// 03:15:02 UTC.
const NOW_S: u64 = 1_785_208_502;
const TICK: Duration = Duration::from_secs(5000);

const ALL: Abilities = Abilities { utf8: true, colour: true, emphasis: true };

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW_S)
}

fn event(seconds_ago: u64, priority: &str, message: &str) -> Json {
    json!({"t_ms": (NOW_S - seconds_ago) * 1000, "priority": priority, "message": message})
}

/// A daemon whose machine has so much memory available of 16 GiB.
fn daemon(available: u64) -> Json {
    json!({
        "daemon": {"running": true, "pid": 812, "dry_run": false, "version": "0.1.0"},
        "memory": {
            "total_bytes": 16 * GIB, "available_bytes": available, "scope": "host",
            "available_percent": available as f64 * 100.0 / (16 * GIB) as f64, "seen_ms": NOW_S * 1000,
        },
        "limits": {"warn_bytes": 1638 * MIB, "term_bytes": 819 * MIB, "kill_bytes": 492 * MIB},
        "swap": {"total_bytes": 4 * GIB, "free_bytes": 3 * GIB},
        "psi": {"some_avg10": 1.5, "full_avg10": 0.25},
        "cgroups": [],
        "more_cgroups": 0,
        "events": [event(3600, "notice", "hogwatch 0.1.0 started: 50.00 % available (8.0 GiB of 16.0 GiB)")],
    })
}

/// A daemon that breaks a livelock.
fn livelock() -> Json {
    let mut document = daemon(8 * GIB);
    document["cgroups"] = json!([
        {"path": "/user.slice/user-1000.slice/band.slice", "current": 213 * MIB, "high": 200 * MIB, "max": 400 * MIB,
         "stall_percent": 81.23, "state": "throttled", "doing": "killing"},
        {"path": "/system.slice/web.service", "current": 199 * MIB, "high": null, "max": 200 * MIB,
         "stall_percent": 40.0, "state": "watching", "doing": null},
        {"path": "/user.slice", "current": 9 * GIB, "high": null, "max": 12 * GIB,
         "stall_percent": null, "state": null, "doing": null},
    ]);
    document["events"] = json!([
        event(
            12,
            "err",
            "sent SIGTERM to hog (pid 538, 211 MiB) in hog.service: livelock, 89 % of the last 10 s stalled, \
                          4.6 % above memory.high 200 MiB, nothing reclaimed; the limit is that of band.slice"
        ),
        event(11, "err", "hog (pid 538, 211 MiB) exited 68 ms after SIGTERM; 211 MiB came back"),
    ]);
    document
}

fn look(document: Json, source: Source, at: Duration) -> Look {
    Look { source, document: Document::read(document).unwrap(), sees_cgroups: true, at }
}

fn next(whom: &str) -> Next {
    Next {
        whom: Some(whom.to_owned()),
        cgroup: Some("/user.slice/big.scope".to_owned()),
        why: "in no list; 2.2 GiB would come back".to_owned(),
    }
}

fn state_of(document: Json) -> State {
    let mut state = State::new(now(), TICK, 0);
    state.looked(Ok(look(document, Source::Daemon, TICK)));
    state.foresaw(NextLook { memory: Ok(next("qemu (pid 26161, 2.2 GiB)")), stuck: None, changed: false, at: TICK });
    state
}

fn buffer(state: &State, width: u16, height: u16, abilities: Abilities) -> (Buffer, Scroll) {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let mut most = Scroll::default();
    terminal
        .draw(|frame| {
            most = draw::draw(frame, state);
            draw::plain(frame.buffer_mut(), abilities);
        })
        .unwrap();
    (terminal.backend().buffer().clone(), most)
}

fn lines_of(buffer: &Buffer) -> Vec<String> {
    let row = |cells: &[ratatui::buffer::Cell]| cells.iter().map(|cell| cell.symbol()).collect::<String>();
    let width = usize::from(buffer.area.width);
    buffer.content.chunks(width).map(|cells| row(cells).trim_end().to_owned()).collect()
}

fn shown(state: &State, width: u16, height: u16) -> String {
    lines_of(&buffer(state, width, height, ALL).0).join("\n")
}

fn press(state: &mut State, code: KeyCode) -> Wish {
    state.key(KeyEvent::new(code, KeyModifiers::NONE))
}

/// A text that is broken into lines, as one.
fn unbroken(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn eighty_by_twenty_four_has_everything() {
    let mut state = state_of(livelock());
    let hog = Next { cgroup: None, ..next("hog (pid 538, 211 MiB)") };
    let stuck = Some(("/user.slice/user-1000.slice/band.slice".to_owned(), hog));
    state.foresaw(NextLook { memory: Ok(next("qemu (pid 26161, 2.2 GiB)")), stuck, changed: false, at: TICK });
    let expected = "\
hogwatch  guarding (pid 812, version 0.1.0)                             03:15:02
memory       50.00 % available (8.0 GiB of 16.0 GiB)                  above warn
▕███████████████████████████████████████·······························W···TK··▏
W warn at 1.6 GiB   T SIGTERM at 819 MiB   K SIGKILL at 492 MiB available
in use 8.0 GiB       25 s  swap 1.0 GiB of 4.0 GiB    PSI some 1.5, full 0.2 %

                        ▄
                        █                          ▆
next victim  of /user.slice/user-1000.slice/band.slice, which is stuck: hog (pid
             538, 211 MiB): in no list; 2.2 GiB would come back
             of all, if memory ran short: qemu (pid 26161, 2.2 GiB) in
             /user.slice/big.scope: in no list; 2.2 GiB would come back
2 cgroups at their limit, 1 STUCK ─────────────────────────── 1 more below (tab)
state       stall  current      high  high..max        max  doing
throttled    81 %  213 MiB   200 MiB ▕█·········▏  400 MiB  killing
  /user.slice/user-1000.slice/band.slice
watching     40 %  199 MiB       max ▕██████████▏  200 MiB
  /system.slice/web.service
last events ─────────────────────────────────────────────────────── 2 more above
                 memory.high 200 MiB, nothing reclaimed; the limit is that of
                 band.slice
03:14:51 err     hog (pid 538, 211 MiB) exited 68 ms after SIGTERM; 211 MiB came
                 back
q quit  space pause  ↑↓ scroll events  tab other pane  ? help";
    let shown = shown(&state, 80, 24);
    assert_eq!(shown, expected, "\n{shown}\n");
}

#[test]
fn while_all_is_well_there_is_room_for_history() {
    let mut state = state_of(daemon(8 * GIB));
    for second in 1..=30 {
        let at = TICK + Duration::from_secs(second);
        state.tick = at;
        state.looked(Ok(look(daemon((8 - second / 8) * GIB), Source::Daemon, at)));
    }
    let shown = shown(&state, 80, 24);
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[4].starts_with("in use 11.0 GiB"), "{shown}");
    assert!(lines[4].contains("swap 1.0 GiB of 4.0 GiB") && lines[4].contains("PSI some 1.5, full 0.2 %"), "{shown}");
    let charts = &lines[5..lines.iter().position(|line| line.starts_with("next victim")).unwrap()];
    assert!(charts.len() >= 3, "{shown}");
    // In use rises from a half to two thirds, the newest on the right.
    let top = charts.iter().position(|line| line.chars().take(25).any(|c| c != ' ')).unwrap();
    assert!(!charts[top].starts_with('█') && charts[charts.len() - 1].contains('█'), "{shown}");
    assert!(shown.contains("no cgroup is at its limit ───"), "{shown}");
    assert!(
        unbroken(&shown).contains("next victim qemu (pid 26161, 2.2 GiB) in /user.slice/big.scope: in no list"),
        "{shown}"
    );
}

#[test]
fn a_stuck_cgroup_that_pauses_is_still_told_as_one_and_its_hog_not_twice() {
    let mut document = livelock();
    document["cgroups"][0]["state"] = json!("watching");
    document["cgroups"][0]["doing"] = json!("left alone");
    let mut state = state_of(document.clone());
    let hog = next("hog (pid 538, 211 MiB)");
    let stuck = Some(("/user.slice/user-1000.slice/band.slice".to_owned(), hog.clone()));
    state.foresaw(NextLook { memory: Ok(hog), stuck, changed: false, at: TICK });
    let shown = shown(&state, 80, 24);
    assert!(shown.contains("2 cgroups at their limit, 1 STUCK"), "{shown}");
    assert!(shown.contains("of all, if memory ran short: the same\n"), "{shown}");
    let document = Document::read(document).unwrap();
    assert_eq!(document.worst_stuck().map(|(_, kind)| kind), Some(Kind::Throttled));
}

#[test]
fn swap_and_pressure_are_told_at_every_width() {
    let mut document = daemon(8 * GIB);
    document["psi"] = json!({"some_avg10": 100.0, "full_avg10": 99.7});
    document["swap"] = json!({"total_bytes": 1023 * MIB, "free_bytes": 0});
    let state = state_of(document);
    for width in [40, 60, 78, 79, 80, 200] {
        let shown = shown(&state, width, 40);
        assert!(shown.contains("PSI some 100, full 100 %"), "{width}: {shown}");
        let swap = if width < 60 { "swap 100 %" } else { "swap 1023 MiB of 1023 MiB" };
        assert!(shown.contains(swap), "{width}: {shown}");
    }
}

#[test]
fn larger_terminals_use_the_room() {
    let shown = shown(&state_of(livelock()), 120, 40);
    let lines: Vec<&str> = shown.lines().collect();
    assert!(shown.contains("in use 8.0 GiB"), "{shown}");
    let row = lines.iter().find(|line| line.starts_with("throttled")).unwrap();
    assert!(row.ends_with("400 MiB  killing     /user.slice/user-1000.slice/band.slice"), "{shown}");
    assert!(shown.contains("nothing reclaimed; the limit is that of band.slice\n"), "{shown}");
    assert_eq!(lines.len(), 40);
    assert!(lines[39].starts_with("q quit"), "{shown}");
}

#[test]
fn forty_by_ten_has_the_gist() {
    let expected = "\
hogwatch  guarding (pid 812, v… 03:15:02
mem 50.00 % (8.0 GiB)         above warn
▕███████████████████···············WTK·▏
swap 25 %   PSI some 1.5, full 0.2 %
next qemu (pid 26161, 2.2 GiB) in
2 cgroups at their limit, 1 STUCK ──────
throttled    81 %  213 MiB ▕█·········▏
  /user.slice/user-1000.slice/band.slice
last events ─────────────── 6 more above
03:14:51 err hog (pid 538, 211 MiB)";
    let shown = shown(&state_of(livelock()), 40, 10);
    assert_eq!(shown, expected, "\n{shown}\n");
}

#[test]
fn smaller_ones_say_so_and_nothing_breaks_at_any_size() {
    let shown = shown(&state_of(daemon(8 * GIB)), 30, 5);
    assert_eq!(shown, "too small\n30x5 of 40x8\n50.0 % available\n\n");
    for state in [State::new(now(), TICK, 0), state_of(livelock()), paused(state_of(daemon(0)))] {
        for width in [1, 2, 10, 39, 40, 41, 59, 60, 79, 101, 102, 300] {
            for height in [1, 3, 7, 8, 9, 11, 15, 30, 100] {
                let mut state = state.clone();
                for help in [false, true] {
                    state.help = help;
                    buffer(&state, width, height, ALL);
                }
            }
        }
    }
}

fn paused(mut state: State) -> State {
    press(&mut state, KeyCode::Char(' '));
    state
}

#[test]
fn the_bar_marks_the_thresholds_and_the_words_say_which_is_crossed() {
    for (available, words, colour, mark) in [
        (1639 * MIB, "above warn", Color::Green, false),
        (1638 * MIB, "AT OR BELOW warn", Color::Yellow, true),
        (819 * MIB, "AT OR BELOW SIGTERM", Color::Red, true),
        (492 * MIB, "AT OR BELOW SIGKILL", Color::Red, true),
        (0, "AT OR BELOW SIGKILL", Color::Red, true),
    ] {
        let (picture, _) = buffer(&state_of(daemon(available)), 80, 24, ALL);
        let lines = lines_of(&picture);
        assert!(lines[1].ends_with(words), "{available}: {}", lines[1]);
        assert_eq!(picture[(79, 1)].fg, colour, "{available}");
        let letters: String = lines[2].chars().filter(char::is_ascii_alphabetic).collect();
        assert_eq!(letters, "WTK", "{available}: {}", lines[2]);
        let warn = lines[2].chars().position(|c| c == 'W').unwrap();
        let warn = &picture[(u16::try_from(warn).unwrap(), 2)];
        assert_eq!(warn.modifier.contains(Modifier::REVERSED), mark && available < 1600 * MIB, "{available}");
    }
    // A limit that is scarcer than the machine is said to be one.
    let mut document = daemon(GIB);
    document["memory"]["scope"] = json!("cgroup");
    assert!(shown(&state_of(document), 80, 24).contains("(1.0 GiB of the 16.0 GiB limit)"));
}

#[test]
fn hostile_names_are_words_and_nothing_else() {
    let evil = "x\u{1b}[31m\u{1b}]0;title\u{7}\n\r\u{9b}5m\u{202e}y\u{0}";
    let harmless = "x\\x1b[31m\\x1b]0;title\\x07\\n\\r\\u{9b}5m\\u{202e}y\\x00";
    let mut document = livelock();
    document["cgroups"][0]["path"] = json!(format!("/{evil}"));
    document["cgroups"][0]["doing"] = json!(evil);
    document["cgroups"][1]["state"] = json!(evil);
    document["daemon"]["version"] = json!(evil);
    document["events"] = json!([event(1, evil, evil)]);
    let mut state = state_of(document.clone());
    for (width, height) in [(200, 50), (80, 24), (40, 10)] {
        let (picture, _) = buffer(&state, width, height, ALL);
        let all: String = picture.content.iter().map(|cell| cell.symbol()).collect();
        assert!(!all.chars().any(|c| c.is_control() || c == '\u{202e}'), "{all:?}");
    }
    let wide = shown(&state, 200, 50);
    assert!(wide.contains(&format!("/{harmless}")) && wide.lines().any(|l| l.ends_with(harmless)), "{wide}");
    state.looked(Ok(look(document, Source::Silent { why: "denied".into() }, TICK)));
    assert!(shown(&state, 80, 24).contains("\ndenied\n"));
}

#[test]
fn plain_terminals_get_plain_pictures() {
    let mut document = livelock();
    document["events"] = json!([event(1, "err", "日本語 … gone")]);
    let state = state_of(document);
    let (picture, _) = buffer(&state, 80, 24, Abilities { utf8: false, colour: false, emphasis: false });
    assert!(picture.content.iter().all(|cell| cell.symbol().is_ascii()), "{:?}", lines_of(&picture));
    assert!(
        picture.content.iter().all(|c| (c.fg, c.bg, c.modifier) == (Color::Reset, Color::Reset, Modifier::empty()))
    );
    let lines = lines_of(&picture);
    assert_eq!(lines[2], "|#######################################...............................W...TK..|");
    assert!(lines.iter().any(|line| line.contains("err     ? ? ?  ~ gone")), "{lines:?}");
    // What colours say is in the words too.
    for words in ["1 STUCK", "above warn", "guarding", "err "] {
        assert!(lines.iter().any(|line| line.contains(words)), "{words}: {lines:?}");
    }
}

#[test]
fn the_title_says_who_speaks_and_the_alert_what_is_wrong() {
    let top = |state: &State| {
        let shown = shown(state, 80, 24);
        shown.lines().take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    let own = || json!({"daemon": {"running": false}, "memory": {"scope": "host"}});
    assert!(top(&State::new(now(), TICK, 3600))[0].starts_with("hogwatch  looking ..."));
    assert!(top(&State::new(now(), TICK, 3600))[0].ends_with("04:15:02"));

    let mut state = State::new(now(), TICK, 0);
    state.looked(Ok(look(own(), Source::NoDaemon, TICK)));
    assert!(top(&state)[0].starts_with("hogwatch  NO DAEMON RUNS; this view looks by itself"));
    assert!(shown(&state, 80, 24).contains("no events: they are told by a daemon"));

    let mut dry = daemon(8 * GIB);
    dry["daemon"]["dry_run"] = json!(true);
    assert!(top(&state_of(dry))[0].starts_with("hogwatch  dry run, it signals nobody (pid 812)"));

    // It goes away, its events stay; it comes back.
    let mut state = state_of(daemon(8 * GIB));
    state.looked(Ok(look(own(), Source::NoDaemon, TICK)));
    state.looked(Ok(look(own(), Source::NoDaemon, TICK)));
    assert_eq!(top(&state)[1], "the daemon (pid 812) went away at 03:15:02");
    assert!(shown(&state, 80, 24).contains("hogwatch 0.1.0 started"));
    state.looked(Ok(look(daemon(8 * GIB), Source::Daemon, TICK)));
    assert!(top(&state)[1].starts_with("memory"));
    assert_eq!(shown(&state, 80, 24).matches("hogwatch 0.1.0 started").count(), 1);

    // It is there and does not look any more.
    let mut late = daemon(8 * GIB);
    late["memory"]["seen_ms"] = json!((NOW_S - 75) * 1000);
    assert_eq!(top(&state_of(late))[1], "the guard has not looked for 75 s");

    // The view itself hangs.
    let mut state = state_of(daemon(8 * GIB));
    state.tick = TICK + Duration::from_secs(20);
    assert_eq!(top(&state)[1], "nothing new for 20 s: looking takes that long");
    assert!(unbroken(&shown(&state, 80, 24)).contains("as of 20 s ago: looking at all processes takes that long"));
    state.looked(Err("/proc/meminfo can't be read".to_owned()));
    assert_eq!(top(&state)[1], "this view can't look: /proc/meminfo can't be read");
}

#[test]
fn a_daemon_of_another_version_is_shown_as_far_as_it_goes() {
    let state = state_of(json!({"schema": 1, "daemon": {"pid": 1, "new_key": [1]}, "unheard_of": {}}));
    let shown = shown(&state, 80, 24);
    assert!(shown.contains("guarding (pid 1, version ?)") && shown.contains("? % available (? of ?)"), "{shown}");
    assert!(Document::read(json!({"cgroups": 5})).is_err());
}

#[test]
fn the_machines_numbers_are_taken_fresh_but_not_over_a_limit() {
    let fresh = || Document::read(daemon(5 * GIB)).unwrap();
    let mut old = Document::read(daemon(8 * GIB)).unwrap();
    old.memory.seen_ms = Some(7);
    old.freshen(fresh());
    assert_eq!((old.memory.available_bytes, old.memory.seen_ms), (Some(5 * GIB), Some(7)));
    let mut limited = daemon(GIB);
    limited["memory"]["scope"] = json!("cgroup");
    let mut limited = Document::read(limited).unwrap();
    limited.freshen(fresh());
    assert_eq!(limited.memory.available_bytes, Some(GIB));
}

#[test]
fn a_configuration_that_the_daemon_has_not_read_is_told() {
    let told = "by the configuration as it is now: it was changed since the daemon read it";
    let mut state = state_of(livelock());
    assert!(!unbroken(&shown(&state, 80, 24)).contains(told));
    state.foresaw(NextLook { memory: Ok(next("qemu (pid 26161, 2.2 GiB)")), stuck: None, changed: true, at: TICK });
    assert!(unbroken(&shown(&state, 80, 24)).contains(told));
}
