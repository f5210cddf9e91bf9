//! Signals that are sent to `hogwatch run`.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::running::{Place, finish, program, wait_until};

/// A run that has said its first line.
struct Going {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Going {
    fn start(script: &str) -> Self {
        let mut command = Place::Here.hogwatch_run(&["--memory", "64M", "bash", "-c", script]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("start it");
        let mut out = BufReader::new(child.stdout.take().expect("its output"));
        let mut line = String::new();
        out.read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n");
        Going { child, out }
    }

    fn send(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).expect("a pid")), signal).expect("send it");
    }

    /// The rest of its output, and its exit status.
    fn end(mut self) -> (String, Option<i32>) {
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).expect("its output");
        (rest, self.child.wait().expect("its end").code())
    }
}

#[test]
fn a_signal_reaches_the_command_once() {
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT, Signal::SIGUSR1, Signal::SIGQUIT, Signal::SIGWINCH]
    {
        let name = signal.as_str().trim_start_matches("SIG");
        let script = format!(
            "n=0; trap 'n=$((n+1))' {name}; echo ready; until [ $n -gt 0 ]; do sleep 0.05; done; sleep 0.5; echo $n"
        );
        let going = Going::start(&script);
        going.send(signal);
        assert_eq!(going.end(), ("1\n".to_owned(), Some(0)), "{signal}");
    }
}

#[test]
fn a_signal_that_ends_the_command_is_its_status() {
    let going = Going::start("echo ready; exec sleep 60");
    going.send(Signal::SIGTERM);
    assert_eq!(going.end().1, Some(128 + 15));
}

/// `kill 0` in a script means its own process group, hogwatch included: the script has got it already.
#[test]
fn what_the_command_sends_is_not_sent_back() {
    let script = "n=0; trap 'n=$((n+1))' USR1; kill -USR1 $PPID; sleep 0.5; echo $n";
    let ran = Place::Here.run(&["--memory", "64M", "bash", "-c", script]);
    assert_eq!(ran.ended_with(0).out(), "0\n");
}

#[test]
fn what_is_ignored_or_blocked_is_so_for_the_command() {
    let ignore = "import os, signal, sys; [signal.signal(n, signal.SIG_IGN) for n in (1, 17)]; \
                  signal.pthread_sigmask(signal.SIG_BLOCK, [10]); os.execv(sys.argv[1], sys.argv[1:])";
    let mut command = Place::Here.command("python3");
    command.args(["-c", ignore]).arg(program());
    command.args(["run", "--memory", "64M", "grep", "^Sig[IB]", "/proc/self/status"]);
    let ran = finish(&mut command);
    let bits = |key: &str| {
        let line = ran.out().lines().find_map(|line| line.strip_prefix(key)).expect("the line");
        // Of the usual signals; Python ignores SIGXFSZ, which is bit 24.
        u64::from_str_radix(line.trim(), 16).expect("a mask") & 0x7eff_ffff
    };
    // SIGHUP is bit 0, SIGUSR1 9, SIGPIPE (which Rust ignores) 12, SIGCHLD 16.
    assert_eq!((bits("SigIgn:"), bits("SigBlk:")), (0x0001_0001, 0x0200), "{ran:?}");
}

/// As under nohup(1): the command lives, and so does the run.
#[test]
fn an_ignored_hangup_ends_nobody() {
    let mut command = Place::Here.command("sh");
    let script = "trap '' HUP; exec \"$0\" run --memory 64M sh -c 'kill -HUP $$ $PPID; exit 3'";
    finish(command.args(["-c", script]).arg(program())).ended_with(3);
}

/// `yes` is ended by SIGPIPE, when nobody reads any more.
#[test]
fn a_closed_pipe_ends_the_command() {
    let mut command = Place::Here.command("bash");
    let script = "\"$0\" run --memory 64M yes | head -n 1; echo ${PIPESTATUS[*]}";
    let ran = finish(command.args(["-c", script]).arg(program()));
    assert_eq!(ran.ended_with(0).out(), "y\n141 0\n");
    assert_eq!(ran.err, "");
}

/// One that was stopped and continued from outside goes on.
#[test]
fn stopping_the_command_does_not_stop_the_run() {
    let going = Going::start("trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done");
    let parent = going.child.id();
    let mut main = 0;
    wait_until("the command", || {
        let mut children =
            std::fs::read_dir("/proc").expect("/proc").filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok());
        main = children.find(|pid: &i32| is_child_of(*pid, parent)).unwrap_or(0);
        main != 0
    });
    let main = Pid::from_raw(main);
    kill(main, Signal::SIGSTOP).expect("stop it");
    going.send(Signal::SIGTERM);
    kill(main, Signal::SIGCONT).expect("continue it");
    assert_eq!(going.end().1, Some(9));
}

fn is_child_of(pid: i32, parent: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line == format!("PPid:\t{parent}"))
}
