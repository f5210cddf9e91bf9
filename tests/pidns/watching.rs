//! `hogwatch status --watch` on a real terminal.

use std::io::Write;
use std::os::unix::net::UnixListener;
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::guard::{Setup, ask};
use crate::hog::{Hog, wait_for};
use crate::journal::Journal;
use crate::namespace::Inside;
use crate::scenario;
use crate::tmux::View;

/// Limits that this machine is nowhere near.
const FAR_AWAY: &str = "[memory]\nwarn = \"3 MiB\"\nterm = \"2 MiB\"\nkill = \"1 MiB\"\nscope = \"host\"\n";

/// A livelock, told by a daemon that does not escape names.
const HOSTILE: &str = r#"{"schema": 1, "daemon": {"running": true, "pid": 1, "dry_run": false, "version": "0.1.0"},
    "memory": {"total_bytes": 1000, "available_bytes": 20, "available_percent": 2.0, "scope": "cgroup"},
    "limits": {"warn_bytes": 100, "term_bytes": 50, "kill_bytes": 30},
    "cgroups": [{"path": "/evil\u001b]2;pwned\u0007\u001b[2J.slice", "current": 213, "high": 200, "max": 400,
                 "stall_percent": 81.2, "state": "throttled", "doing": "killing"}],
    "events": [{"t_ms": 0, "priority": "err", "message": "sent SIGTERM to \u001b[31m\u001b]2;pwned\u0007\nhog"}]}"#;

scenario! {
    /// It shows the daemon, at any size, holds still and helps, sees the daemon go away and come back, and leaves the
    /// terminal as it was.
    fn a_view_of_a_daemon_that_goes_and_comes_back(inside) {
        let big = Hog::holding(inside, "big", 600);
        let journal = Journal::listen(inside);
        let daemon = || Setup::new(inside, FAR_AWAY).argument("--dry-run").start(&journal);
        let mut guard = daemon();
        let view = View::start(inside, &[], "");
        let title = format!("dry run, it signals nobody (pid {})", guard.pid());
        let victim = format!("next victim  big (pid {}, 6", big.pid());
        let screen = view.wait_for(&[&title, &victim, "would come back", "above warn", "PSI ", "last events"]);
        assert!(screen.contains("W warn at 3.0 MiB   T SIGTERM at 2.0 MiB   K SIGKILL at 1.0 MiB available\n"), "{screen}");
        assert!(screen.contains("started as a dry run"), "{screen}");
        let bottom = |screen: &str, row: usize| screen.lines().nth(row - 1).is_some_and(|line| line.starts_with("q quit"));
        assert!(bottom(&screen, 24), "{screen}");
        assert_eq!(view.about("#{alternate_on} #{cursor_flag}"), "1 0");

        view.resize(120, 40);
        view.wait("all 40 rows", |screen| bottom(screen, 40) && screen.contains(&victim));
        view.resize(40, 10);
        view.wait_for(&["mem ", "next big (pid"]);
        view.resize(30, 5);
        view.wait_for(&["too small\n30x5 of 40x8\n", "% available"]);
        view.resize(80, 24);
        view.wait("24 rows again", |screen| bottom(screen, 24) && screen.contains(&victim));

        view.press(&["?"]);
        view.wait_for(&["held by the kernel for ever", "q, Esc, Ctrl-C   quit"]);
        view.press(&["q"]);
        view.wait("no help", |screen| !screen.contains("held by the kernel"));
        view.press(&["Space"]);
        view.wait_for(&["PAUSED", "space go on"]);
        view.press(&["Space"]);
        view.wait("no pause", |screen| !screen.contains("PAUSED"));

        guard.signal(Signal::SIGKILL);
        guard.wait();
        let gone = format!("the daemon (pid {}) went away at ", guard.pid());
        view.wait_for(&["NO DAEMON RUNS", &gone, "started as a dry run", &victim]);
        let guard = daemon();
        view.wait_for(&[&format!("dry run, it signals nobody (pid {})", guard.pid()), &victim]);

        view.press(&["q"]);
        view.assert_left_with(0);
    }
}

scenario! {
    /// Without a daemon it looks by itself and says so; on a terminal with neither colours nor UTF-8 it uses neither.
    fn a_plain_terminal_without_a_daemon(inside) {
        let big = Hog::holding(inside, "big", 600);
        let view = View::start(inside, &[("LC_ALL", "C"), ("NO_COLOR", "1")], "");
        let victim = format!("next victim  big (pid {}, 6", big.pid());
        view.wait_for(&["NO DAEMON RUNS; this view looks by itself", &victim, "no events: they are told by a daemon"]);
        let raw = view.raw_screen();
        assert!(raw.is_ascii(), "{raw}");
        // SGR 30-37, 40-47, 90-107 and 38/48 are colours; 39 and 49 are none.
        let sequences = raw.split('\u{1b}').skip(1).filter_map(|rest| rest.strip_prefix('[')?.split_once('m'));
        let codes: Vec<u8> = sequences.flat_map(|(codes, _)| codes.split(';').filter_map(|c| c.parse().ok())).collect();
        assert!(codes.iter().all(|code| *code < 30 || matches!(code, 39 | 49 | 59)), "{codes:?} in {raw}");
        view.press(&["C-c"]);
        view.assert_left_with(0);
    }
}

scenario! {
    /// The terminal is given back when a signal ends the view.
    fn a_signal_ends_it_cleanly(inside) {
        for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT] {
            let view = View::start(inside, &[], "");
            view.wait_for(&["NO DAEMON RUNS", "next victim"]);
            kill(Pid::from_raw(view.pid().expect("the view runs")), signal).expect("signal the view");
            view.assert_left_with(128 + u8::try_from(signal as i32).expect("a small number"));
            view.hang_up();
        }
    }
}

scenario! {
    /// A terminal that goes away ends the view, also where SIGHUP is ignored.
    fn a_terminal_that_goes_away_ends_it(inside) {
        for shell in ["", "trap '' HUP"] {
            let view = View::start(inside, &[], shell);
            view.wait_for(&["NO DAEMON RUNS", "next victim"]);
            assert!(view.pid().is_some());
            view.hang_up();
            assert!(wait_for(|| view.pid().is_none()), "it still runs after {shell:?}");
        }
    }
}

scenario! {
    /// Whatever listens at the socket can neither write to the terminal nor keep the view from answering a key.
    fn a_hostile_and_a_silent_daemon(inside) {
        let view = with_listener(inside, |listener| {
            while let Ok((mut stream, _)) = listener.accept() {
                let _ = stream.write_all(HOSTILE.as_bytes());
            }
        });
        let screen = view.wait_for(&[
            "guarding (pid 1, version 0.1.0)", "AT OR BELOW SIGKILL", "1 CGROUP STUCK", "throttled    81 %    213 B",
            "killing", "/evil\\x1b]2;pwned\\x07\\x1b[2J.slice", "sent SIGTERM to \\x1b[31m\\x1b]2;pwned\\x07\\nhog",
        ]);
        assert!(screen.contains("2.00 % available (20 B of the 1000 B limit)"), "{screen}");
        assert!(!view.about("#{pane_title}").contains("pwned"));
        view.press(&["q"]);
        view.assert_left_with(0);
        view.hang_up();

        let view = with_listener(inside, |listener| {
            let mut held = Vec::new();
            while let Ok((stream, _)) = listener.accept() {
                held.push(stream);
            }
        });
        view.wait_for(&["unknown: the daemon can't be asked", "the daemon did not answer in time", "next victim"]);
        view.press(&["?"]);
        view.wait_for(&["held by the kernel for ever"]);
        view.press(&["C-c"]);
        view.assert_left_with(0);
    }
}

fn with_listener(inside: &Inside, serve: impl FnOnce(&UnixListener) + Send + 'static) -> View<'_> {
    let path = inside.file("runtime/status.sock");
    std::fs::create_dir_all(inside.file("runtime")).expect("the runtime directory");
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(path).expect("a socket in place of the daemon's");
    thread::spawn(move || serve(&listener));
    View::start(inside, &[], "")
}

scenario! {
    /// Into a pipe it does not draw, and names what is for programs.
    fn without_a_terminal_it_says_what_to_use(inside) {
        let out = ask(inside, &["status", "--watch"]);
        assert_eq!(out.status.code(), Some(2));
        assert!(out.stdout.is_empty());
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(said.contains("not a terminal") && said.contains("hogwatch status --json"), "{said}");
    }
}
