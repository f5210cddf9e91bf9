//! When the time is up. What a command has to set up first takes far less than the 5 s it is given.

use std::os::unix::process::CommandExt;

use crate::running::{Place, a_word, finish, processes_with, program};

/// Nothing of it survives: neither a daemon of its own (forked twice, in a session of its own), nor one that ignores SIGTERM, nor
/// one that stops itself.
#[test]
fn nothing_survives_the_time() {
    // What is ignored stays so for all that is started.
    let script = "trap '' TERM
        setsid sh -c 'sh -c \"sleep 300; :\" $0 & exit' $0
        setsid sh -c 'sh -c \"kill -STOP \\$\\$; sleep 300; :\" $0 & exit' $0
        kill -STOP $$; sleep 300; :";
    for place in [Place::Here, Place::NoCgroups] {
        let word = a_word();
        let options = ["--memory", "64M", "--timeout", "5s", "--kill-after", "500ms", "bash", "-c", script, &word];
        let (ran, report) = place.report(&options);
        ran.ended_with(124).said("hogwatch: timed out after 5s; ").said(" did not end within 500ms of SIGTERM: killed");
        ran.said("bash").said("sh").said("sleep");
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
        let ran = place.run(&["--memory", "64M", "--timeout", "5s", "sh", "-c", script]);
        ran.ended_with(124).said("timed out after 5s; SIGTERM ended it");
        assert_eq!(ran.out(), "ended\n");
    }
}

/// Nor does it escape when it stops itself as the terminal would, with no shell there to continue it.
#[test]
fn who_stops_itself_is_ended() {
    for place in [Place::Here, Place::NoCgroups] {
        let options = ["--memory", "64M", "--timeout", "1s", "--kill-after", "300ms"];
        let mut command = place.hogwatch_run(&[&options[..], &["sh", "-c", "kill -TSTP $$; sleep 60"]].concat());
        finish(command.process_group(0)).ended_with(124).said("timed out after 1s");
    }
}

/// It goes for what the command has started too, after the command itself has ended.
#[test]
fn the_last_process_counts() {
    let word = a_word();
    let script = "(trap '' TERM; while :; do sleep 0.1; done) & trap 'exit 0' TERM; while :; do sleep 0.1; done";
    let options = ["--memory", "64M", "--timeout", "5s", "--kill-after", "300ms", "sh", "-c", script, &word];
    Place::Here.run(&options).ended_with(124).said("did not end within 300ms");
    assert!(processes_with(&word).is_empty());
}

/// What a script had started before it became hogwatch is not the command's.
#[test]
fn who_was_there_before_is_left_alone() {
    for place in [Place::Here, Place::NoCgroups] {
        let word = a_word();
        let folder = tempfile::tempdir().expect("a folder");
        // The second loses its parent meanwhile, and hogwatch adopts it.
        let others = "sh -c 'sleep 20; :' $1 >/dev/null 2>&1 & \
            sh -c 'sh -c \": > $THERE; sleep 20; :\" $0 & sleep 0.5' $1 >/dev/null 2>&1 & \
            until [ -e $THERE ]; do sleep 0.01; done;";
        let script = format!("{others} exec \"$0\" run --memory 64M --timeout 1s sleep 60");
        let mut command = place.command("sh");
        command.env("THERE", folder.path().join("there"));
        let ran = finish(command.args(["-c", &script]).arg(program()).arg(&word));
        let lives = processes_with(&word);
        for pid in &lives {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(*pid), nix::sys::signal::Signal::SIGKILL)
                .expect("kill it");
        }
        ran.ended_with(124).said("timed out after 1s; SIGTERM ended it");
        assert_eq!(lives.len(), 2, "{place:?}: {ran:?}");
    }
}

#[test]
fn who_is_done_in_time_is_left_alone() {
    Place::Here
        .run(&["--memory", "64M", "--timeout", "1m", "sh", "-c", "exit 5"])
        .ended_with(5)
        .did_not_say("timed out");
}
