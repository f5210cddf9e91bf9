//! When the time is up.

use crate::running::{Place, a_word, processes_with};

/// Nothing of it survives: neither a daemon of its own (forked twice, in a session of its own), nor one that ignores SIGTERM, nor
/// one that stops itself.
#[test]
fn nothing_survives_the_time() {
    let script = "
import os, signal, subprocess, sys, time
word = sys.argv[1]
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for kind in ['daemon', 'stopped']:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            if kind == 'stopped':
                os.kill(os.getpid(), signal.SIGSTOP)
            time.sleep(300)
        os._exit(0)
os.kill(os.getpid(), signal.SIGSTOP)
time.sleep(300)
";
    for place in [Place::Here, Place::NoCgroups] {
        let word = a_word();
        let options = ["--memory", "200M", "--timeout", "1s", "--kill-after", "500ms", "python3", "-c", script, &word];
        let (ran, report) = place.report(&options);
        ran.ended_with(124).said(
            "timed out after 1s; 3 processes (python3, python3, python3) did not end within 500ms of SIGTERM: killed",
        );
        assert!(processes_with(&word).is_empty(), "{place:?}");
        assert_eq!(report["killed_by"], "timeout");
        assert_eq!(report["exit"], 124);
    }
}

/// Who ends at SIGTERM is given the time for it, also when it was stopped; and the status is 124 whatever its own was.
#[test]
fn sigterm_comes_first() {
    for place in [Place::Here, Place::NoCgroups] {
        let script = "trap 'echo ended; exit 0' TERM; kill -STOP $$; while :; do sleep 0.1; done";
        let ran = place.run(&["--memory", "64M", "--timeout", "1s", "sh", "-c", script]);
        ran.ended_with(124).said("timed out after 1s; SIGTERM ended it");
        assert_eq!(ran.out(), "ended\n");
    }
}

/// It goes for what the command has started too, after the command itself has ended.
#[test]
fn the_last_process_counts() {
    let word = a_word();
    let script = "(trap '' TERM; while :; do sleep 0.1; done) & trap 'exit 0' TERM; while :; do sleep 0.1; done";
    let options = ["--memory", "64M", "--timeout", "1s", "--kill-after", "300ms", "sh", "-c", script, &word];
    Place::Here.run(&options).ended_with(124).said("did not end within 300ms");
    assert!(processes_with(&word).is_empty());
}

#[test]
fn who_is_done_in_time_is_left_alone() {
    Place::Here
        .run(&["--memory", "64M", "--timeout", "1m", "sh", "-c", "exit 5"])
        .ended_with(5)
        .did_not_say("timed out");
}
