//! At the cap.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::running::{Place, Ran, a_word, finish, hog, listed, processes_with, program};

/// The kind of cap this machine gives, asked of the program.
fn kind_here() -> String {
    let (_, report) = Place::Here.report(&["--memory", "64M", "true"]);
    report["cap"]["kind"].as_str().expect("a kind").to_owned()
}

/// All of a tree dies, with one clear line, at any kind of cap: the hog, and the shell that waits for it.
fn all_dies_at_the_cap(place: Place, kind: &str) {
    let word = a_word();
    // It grows at a pace at which every look sees it, and stays: the pipe is one that nobody closes.
    let grow = "mkfifo \"$PIPE\"; exec 3<>\"$PIPE\"; echo 0 >&3; sleep 60 &";
    let balloon = "\"$0\" name=balloon upto=300 rate=100 <&3";
    // v1 kills one process, and hogwatch the others right after: in between a shell may get a word in.
    let script = match kind {
        "cgroup1" => format!("{grow} exec {balloon}"),
        _ => format!("{grow} {balloon}; echo survived"),
    };
    let options = ["--memory", "64M", "--temp-env", "PIPE", "sh", "-c", &script, &hog(), &word];
    let (ran, report) = place.report(&options);
    ran.ended_with(137);
    assert!(!ran.out().contains("survived"), "{ran:?}");
    assert!(processes_with(&word).is_empty());
    let line = ran.err.lines().find(|line| line.contains("killed at")).unwrap_or_else(|| panic!("{ran:?}"));
    assert!(line.starts_with("hogwatch: killed at its 64 MiB cap: peak "), "{line}");
    assert!(line.contains(", largest task balloon "), "{line}");
    assert_eq!(report["killed_by"], "cap");
    assert_eq!(report["exit"], 137);
    assert_eq!(report["cap"]["kind"], kind);
    assert_eq!(report["cap"]["bytes"], 64 << 20);
    assert_eq!(report["cap"]["swap_bytes"], 0);
    assert_eq!(report["largest_task"]["comm"], "balloon");
    let peak = report["peak_bytes"].as_u64().expect("a peak");
    assert!(report["largest_task"]["bytes"].as_u64().expect("its size") <= peak, "{report}");
    assert!((60 << 20..290 << 20).contains(&peak), "{peak}");
}

#[test]
fn all_dies_at_the_cap_here() {
    all_dies_at_the_cap(Place::Here, &kind_here());
}

#[test]
fn all_dies_at_the_watched_cap() {
    all_dies_at_the_cap(Place::NoCgroups, "watched");
}

#[test]
fn the_watched_cap_is_said_loudly_and_can_be_refused() {
    let ran = Place::NoCgroups.run(&["--memory", "64M", "true"]);
    ran.ended_with(0).said("hogwatch: WATCHED CAP ONLY: no cgroup enforces the 64 MiB here (");
    assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
    let own = program();
    let inner = ["--memory", "64M", own.to_str().unwrap(), "run", "--memory", "32M", "true"];
    let either = "\nhogwatch: WATCHED CAP ONLY: no cgroup enforces the 32 MiB here either\n";
    Place::NoCgroups.run(&inner).ended_with(0).said(either);
    let (ran, report) = Place::NoCgroups.report(&["--memory", "64M", "--require-cap", "echo", "ran"]);
    ran.ended_with(125);
    assert_eq!(ran.out(), "");
    assert_eq!(report["exit"], 125);
    assert!(!report["error"].as_str().expect("why").is_empty());
}

/// Forked workers share their pages: eight that hold the same 40 MiB are far from 100 MiB, and are let live.
#[test]
fn shared_pages_count_once_in_the_watched_cap() {
    let script = "
import os, time
data = bytearray(40 << 20)
data[::4096] = b'x' * len(data[::4096])
children = []
for _ in range(8):
    pid = os.fork()
    if pid == 0:
        time.sleep(5)
        os._exit(0)
    children.append(pid)
for pid in children:
    os.waitpid(pid, 0)
";
    let (ran, report) = Place::NoCgroups.report(&["--memory", "100M", "python3", "-c", script]);
    ran.ended_with(0);
    let peak = report["peak_bytes"].as_u64().expect("a peak");
    assert!(peak > 40 << 20 && peak <= 100 << 20, "{peak}");
}

/// A command that stops itself can't grow on behind hogwatch's back.
#[test]
fn the_watched_cap_holds_when_the_command_stops() {
    let word = a_word();
    // The hog waits on a pipe that nobody closes.
    let script = "mkfifo \"$PIPE\"; \
        sh -c 'sleep 0.5; exec \"$0\" name=balloon first=300 <>\"$PIPE\"' \"$0\" & kill -TSTP $$; wait";
    let options = ["--memory", "64M", "--temp-env", "PIPE", "sh", "-c", script, &hog(), &word];
    let mut command = Place::NoCgroups.hogwatch_run(&options);
    finish(command.process_group(0)).ended_with(137).said("killed at its 64 MiB cap");
    assert!(processes_with(&word).is_empty());
}

/// Runs a hog of 100 MiB, which stays, under two caps; then the command says how the inner run ended.
fn nested(place: Place, outer: &str, inner: &str) -> (Ran, Value) {
    // The pipe is one that nobody closes. The hog is between the two caps: what grows beyond both within the 50 ms of a watched
    // cap is killed by either.
    let script =
        "mkfifo \"$PIPE\"; \"$0\" run --memory \"$2\" \"$1\" name=balloon first=100 <>\"$PIPE\"; echo inner=$?";
    let program = program();
    let options =
        ["--memory", outer, "--temp-env", "PIPE", "sh", "-c", script, program.to_str().unwrap(), &hog(), inner];
    place.report(&options)
}

/// An inner cap lies within the outer one: the tighter one kills, and the outer run is not killed for the inner one's hog.
#[test]
fn inner_caps_kill_alone() {
    for place in [Place::Here, Place::NoCgroups] {
        let (ran, report) = nested(place, "150M", "48M");
        ran.ended_with(0).said("killed at its 48 MiB cap").did_not_say("150 MiB cap");
        assert_eq!(ran.out().lines().last(), Some("inner=137"));
        assert_eq!(report["killed_by"], Value::Null);
    }
}

/// An outer cap that is tighter ends the inner run too.
#[test]
fn outer_caps_hold_inside_inner_ones() {
    for place in [Place::Here, Place::NoCgroups] {
        let (ran, report) = nested(place, "48M", "150M");
        ran.ended_with(137).said("48 MiB");
        assert_eq!(report["killed_by"], "cap");
        assert!(!ran.out().contains("inner="));
    }
}

/// What goes on in the background goes on, and is named.
#[test]
fn the_background_goes_on() {
    for (place, then) in [(Place::Here, "under the cap still"), (Place::NoCgroups, "no longer capped")] {
        let word = a_word();
        // It is called so only once it has become another program than the shell.
        let script = "sleep 60 >/dev/null 2>&1 & \
            until read -r name </proc/$!/comm && [ \"$name\" = sleep ]; do :; done; echo $!";
        let ran = place.run(&["--memory", "64M", "sh", "-c", script, &word]);
        let left: i32 = ran.out().trim().parse().expect("its pid");
        let lives = std::fs::read_to_string(format!("/proc/{left}/comm"));
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(left), nix::sys::signal::Signal::SIGKILL).expect("kill it");
        assert_eq!(lives.expect("it lives"), "sleep\n");
        let then = if kind_here() == "watched" { "no longer capped" } else { then };
        ran.ended_with(0).said(&format!("1 process (sleep) goes on in the background, {then}"));
    }
}

/// What is in tmpfs is no process's, and stays.
#[test]
fn memory_in_files_is_not_laid_to_a_task() {
    if kind_here() == "watched" {
        return;
    }
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let file = dir.path().join("file");
    let script = "head -c 200M /dev/zero >\"$0\"; echo survived";
    let (ran, report) = Place::Here.report(&["--memory", "64M", "sh", "-c", script, file.to_str().unwrap()]);
    ran.ended_with(137).said(" MiB still in tmpfs files").did_not_say("largest task");
    assert_eq!(report["killed_by"], "cap");
}

#[test]
fn the_report_tells_what_was_used() {
    // The hog waits on a pipe that nobody closes. There is time for more than the first line of the log.
    let script = "mkfifo \"$PIPE\"; \"$0\" name=steady first=50 <>\"$PIPE\" & sleep 5; kill $!; exit 3";
    for place in [Place::Here, Place::NoCgroups] {
        let options = ["--memory", "200M", "--temp-env", "PIPE", "--log", "1s", "sh", "-c", script, &hog()];
        let (ran, report) = place.report(&options);
        ran.ended_with(3).said("of 200 MiB, peak ").said("ended after ").said(" with 3: peak ");
        assert_eq!(report["schema"], 1);
        assert_eq!(report["command"][0], "sh");
        assert_eq!((&report["exit"], &report["signal"]), (&Value::from(3), &Value::Null));
        assert_eq!((&report["killed_by"], &report["oom_kills"]), (&Value::Null, &Value::from(0)));
        let wall = report["wall_ms"].as_u64().expect("a time");
        assert!((1000..60_000).contains(&wall), "{wall}");
        let peak = report["peak_bytes"].as_u64().expect("a peak");
        assert!((50 << 20..200 << 20).contains(&peak), "{place:?}: {peak}");
    }
}

#[test]
fn temporary_paths_are_fresh_and_go_with_the_run() {
    let tmp = tempfile::tempdir().unwrap();
    let script = "[ ! -e \"$A\" ] && [ ! -e \"$B\" ] && [ \"$A\" != \"$B\" ] && mkdir \"$A\" && echo x >\"$A/f\" && echo x >\"$B\" \
                  && stat -c %a \"${A%/*}\" && echo \"$A\"";
    let options = ["--memory", "64M", "--temp-env", "A", "--temp-env", "B", "sh", "-c", script];
    let run = || finish(Place::Here.hogwatch_run(&options).env("TMPDIR", tmp.path()).env("A", "/elsewhere"));
    let (first, second) = (run(), run());
    first.ended_with(0);
    let lines: Vec<&str> = first.out().lines().collect();
    assert_eq!(lines[0], "700");
    assert!(lines[1].starts_with(tmp.path().to_str().unwrap()) && lines[1].ends_with("/A"), "{lines:?}");
    assert_ne!(first.out(), second.ended_with(0).out());
    assert_eq!(listed(tmp.path()), Vec::<std::path::PathBuf>::new());
}

/// A cgroup is there as long as the command, and no longer.
#[test]
fn nothing_is_left_of_the_cgroup() {
    let (_, report) = Place::Here.report(&["--memory", "64M", "true"]);
    if let Some(cgroup) = report["cap"]["cgroup"].as_str() {
        assert!(!std::path::Path::new(cgroup).exists(), "{cgroup}");
    }
}

#[test]
fn tasks_are_limited_where_a_cgroup_can_do_it() {
    let script = "import os\nfor _ in range(50):\n    if os.fork() == 0:\n        os._exit(0)";
    let (ran, report) = Place::Here.report(&["--memory", "200M", "--tasks", "10", "python3", "-c", script]);
    if report["cap"]["kind"] == "watched" || ran.err.contains("tasks is not limited") {
        ran.ended_with(0).said("tasks");
        return;
    }
    ran.ended_with(1).said("Resource temporarily unavailable").said("hogwatch: its limit of 10 tasks was hit\n");
    assert!(report["task_limit_hits"].as_u64().is_some_and(|hits| hits > 0), "{report}");
    let mut plain = Command::new("python3");
    finish(plain.args(["-c", script])).ended_with(0);
}

/// In PID namespaces of their own two runs have the same pid, and what one of them leaves behind is named after it too.
#[test]
fn runs_of_the_same_pid_do_not_meet() {
    if kind_here() == "watched" || !nix::unistd::geteuid().is_root() {
        return;
    }
    let run = |command: &[&str]| {
        let mut unshare = Place::Here.command("unshare");
        unshare.args(["--pid", "--fork", "--kill-child", "--mount-proc"]).arg(program());
        unshare.args(["run", "--memory", "64M", "--require-cap"]).args(command);
        unshare
    };
    let mut first = run(&["sh", "-c", "echo up; read word"]);
    let mut first = first.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("start it");
    let mut up = [0; 3];
    first.stdout.as_mut().expect("its output").read_exact(&mut up).expect("a line");
    let second = finish(run(&["sh", "-c", "exit 3"]).stdin(Stdio::null()));
    drop(first.stdin.take());
    let status = first.wait().expect("wait for it");
    second.ended_with(3);
    assert_eq!((&up, status.code()), (b"up\n", Some(1)));
}

/// A shell has waited for children larger than itself, which are not its size.
#[test]
fn the_largest_task_is_never_a_child_that_was_waited_for() {
    // The hog waits on a pipe that nobody closes.
    let script = "mkfifo \"$PIPE\"; python3 -c 'bytearray(30 << 20)'; \"$0\" name=balloon first=200 <>\"$PIPE\"; true";
    for place in [Place::Here, Place::NoCgroups] {
        let options = ["--memory", "64M", "--temp-env", "PIPE", "sh", "-c", script, &hog()];
        let (ran, report) = place.report(&options);
        ran.ended_with(137);
        assert_ne!(report["largest_task"]["comm"], "sh", "{ran:?}");
    }
}

/// A cgroup of the v1 memory hierarchy below the own one, to run something in; removed in the end.
struct Around(std::path::PathBuf);

impl Around {
    fn new() -> Self {
        let own = std::fs::read_to_string("/proc/self/cgroup").expect("the own cgroups");
        let own = own.lines().find_map(|line| Some(line.split_once(":memory:/")?.1)).expect("the one of memory");
        let dir = std::path::Path::new("/sys/fs/cgroup/memory").join(own).join(a_word());
        std::fs::create_dir(&dir).expect("a cgroup");
        Self(dir)
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.0.join(file), text).expect(file);
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let script = "echo $$ >\"$0/cgroup.procs\" && exec \"$@\"";
        let mut command = Place::Here.command("sh");
        command.args(["-c", script]).arg(&self.0).arg(program).stdin(Stdio::null());
        command
    }
}

impl Drop for Around {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// A cgroup of v1 inherits that nobody is killed at its limit.
#[test]
fn the_cap_kills_where_the_cgroup_around_it_would_not() {
    if kind_here() != "cgroup1" {
        return;
    }
    let around = Around::new();
    around.write("memory.oom_control", "1");
    let mut command = around.command(program());
    let ran = finish(command.args(["run", "--memory", "64M", &hog(), "name=balloon", "first=200"]));
    ran.ended_with(137).said("killed at its 64 MiB cap");
}

/// What others have taken of a limit further up lets that be hit first.
#[test]
fn the_limit_that_was_hit_is_named_on_v1() {
    if kind_here() != "cgroup1" {
        return;
    }
    let around = Around::new();
    around.write("memory.limit_in_bytes", "120M");
    let mut other = around.command(hog());
    other.args(["name=other", "first=70"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut other = other.spawn().expect("start it");
    let ready = other.stdout.as_mut().expect("its output").read_exact(&mut [0; 6]);
    let mut command = around.command(program());
    // The kernel shall take it before the other.
    let script = "echo 1000 >/proc/self/oom_score_adj; exec \"$0\" name=balloon first=200";
    let ran = finish(command.args(["run", "--memory", "100M", "sh", "-c", script, &hog()]));
    other.kill().and_then(|()| other.wait()).expect("end it");
    ready.expect("it is ready");
    let name = around.0.file_name().and_then(|name| name.to_str()).expect("a name");
    ran.ended_with(137)
        .said("killed at the 120 MiB limit of /")
        .said(&format!("/{name}, before its own cap of 100 MiB"));
}
