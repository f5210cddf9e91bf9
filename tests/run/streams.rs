//! Standard input and output are the command's.

use std::io::Write;
use std::process::Stdio;

use crate::running::{Place, a_word, finish, processes_with, program, wait_until};

#[test]
fn bytes_go_through_untouched() {
    let data: Vec<u8> =
        (0..3_000_000_u32).map(|n| u8::try_from(n.wrapping_mul(2_654_435_761) >> 24).unwrap()).collect();
    let mut command = Place::Here.hogwatch_run(&["--memory", "64M", "cat"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let given = data.clone();
    let writer = std::thread::spawn(move || input.write_all(&given).unwrap());
    let out = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(out.status.success());
    assert!(out.stdout == data, "{} bytes came back of {}", out.stdout.len(), data.len());
}

/// Each may be closed. Rust's runtime opens /dev/null in its place.
#[test]
fn closed_streams_are_no_reason_to_fail() {
    for close in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
        let script = format!("\"$0\" run --memory 64M sh -c 'cat; exit 6' {close} </dev/null {close}");
        let mut command = Place::Here.command("sh");
        finish(command.args(["-c", &script]).arg(program())).ended_with(6);
    }
}

/// What is said goes to stderr; one that can't be written to changes nothing.
#[test]
fn a_full_stderr_changes_nothing() {
    let script = "\"$0\" run --memory '' --log 1s sh -c 'sleep 1.2; exit 4' 2>/dev/full";
    let mut command = Place::Here.command("sh");
    finish(command.args(["-c", script]).arg(program())).ended_with(4);
}

/// The time is up all the same when nobody reads stderr, which the command has filled.
#[test]
fn a_stderr_that_nobody_reads_holds_up_nothing() {
    let word = a_word();
    let script = "trap '' TERM; yes >&2; sleep 60";
    let options = ["--memory", "64M", "--timeout", "500ms", "--kill-after", "500ms", "--log", "1s"];
    let mut command = Place::Here.hogwatch_run(&[&options[..], &["sh", "-c", script, &word]].concat());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut status = None;
    wait_until("its end", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!(status.and_then(|status| status.code()), Some(124));
    assert!(processes_with(&word).is_empty());
}

/// No descriptor of hogwatch's reaches the command.
#[test]
fn no_descriptor_is_passed_on() {
    let dir = tempfile::tempdir().unwrap();
    let report = dir.path().join("r.json");
    let options = ["--memory", "64M", "--report", report.to_str().unwrap(), "--temp-env", "X", "ls", "/proc/self/fd"];
    let ran = Place::Here.run(&options);
    // Whoever runs the tests may have left them some of his.
    let plain = finish(Place::Here.command("ls").arg("/proc/self/fd").stdin(Stdio::null()));
    assert_eq!(ran.ended_with(0).out(), plain.out());
}
