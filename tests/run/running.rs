//! Runs `hogwatch run` and says what came of it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::programs;

/// Only ends a test that hangs.
pub const LONGEST: Duration = Duration::from_secs(60);

/// The program under test: the static one if it was built and named, else cargo's.
pub fn program() -> PathBuf {
    std::env::var_os("HOGWATCH_BIN").map_or_else(|| env!("CARGO_BIN_EXE_hogwatch").into(), PathBuf::from)
}

/// A program that fills `first=N` MiB and says `ready`.
pub fn hog() -> String {
    programs::build("hog").to_str().expect("a path of characters").to_owned()
}

/// Where a command is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// As it is here.
    Here,
    /// Where no cgroup is to be seen.
    NoCgroups,
}

impl Place {
    /// A program, run there.
    pub fn command(self, program: impl AsRef<OsStr>) -> Command {
        let mut command = match self {
            // Whoever starts the tests in the background of a script has these two ignored.
            Place::Here => {
                let mut command = Command::new("env");
                command.arg("--default-signal=INT,QUIT").arg(program);
                command
            }
            Place::NoCgroups => {
                let mut command = Command::new("unshare");
                if !nix::unistd::geteuid().is_root() {
                    command.arg("--map-root-user");
                }
                command.args(["--mount", "sh", "-c", "mount -t tmpfs -o ro none /sys/fs/cgroup && exec \"$@\"", "sh"]);
                command.arg(program);
                command
            }
        };
        command.env_remove("XDG_RUNTIME_DIR").env("RUST_BACKTRACE", "0");
        command
    }

    /// `hogwatch run`, there.
    pub fn hogwatch_run(self, arguments: &[&str]) -> Command {
        let mut command = self.command(program());
        command.arg("run").args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub fn run(self, arguments: &[&str]) -> Ran {
        finish(&mut self.hogwatch_run(arguments))
    }

    /// The same, with a report.
    pub fn report(self, arguments: &[&str]) -> (Ran, Value) {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("report.json");
        let ran = self.run(&[&["--report", file.to_str().expect("a path of characters")], arguments].concat());
        let text = std::fs::read_to_string(&file).expect("a report");
        (ran, serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}")))
    }
}

/// What came of a run.
#[derive(Debug)]
pub struct Ran {
    pub status: Option<i32>,
    pub out: Vec<u8>,
    pub err: String,
}

impl From<Output> for Ran {
    fn from(out: Output) -> Self {
        let err = String::from_utf8_lossy(&out.stderr).into_owned();
        Ran { status: out.status.code(), out: out.stdout, err }
    }
}

impl Ran {
    /// Checks the exit status.
    #[track_caller]
    pub fn ended_with(&self, status: i32) -> &Self {
        assert_eq!(self.status, Some(status), "{self:?}");
        self
    }

    /// Checks that it said this.
    #[track_caller]
    pub fn said(&self, text: &str) -> &Self {
        assert!(self.err.contains(text), "{text:?} is not in {self:?}");
        self
    }

    /// Checks that it did not.
    #[track_caller]
    pub fn did_not_say(&self, text: &str) -> &Self {
        assert!(!self.err.contains(text), "{text:?} is in {self:?}");
        self
    }

    pub fn out(&self) -> &str {
        std::str::from_utf8(&self.out).expect("characters")
    }
}

/// Runs a command to its end.
pub fn finish(command: &mut Command) -> Ran {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start it");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
    let (ended, end) = std::sync::mpsc::channel::<()>();
    let guard = std::thread::spawn(move || {
        if end.recv_timeout(LONGEST).is_err() {
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("kill it");
            panic!("it hung, and was killed");
        }
    });
    let out = child.wait_with_output().expect("wait for it");
    ended.send(()).ok();
    guard.join().expect("it ended by itself");
    out.into()
}

/// Waits until it is so.
#[track_caller]
pub fn wait_until(what: &str, mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < LONGEST, "never seen: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The processes with this word among their arguments, zombies not counted.
pub fn processes_with(word: &str) -> Vec<i32> {
    let has = |pid: &i32| {
        let cmdline = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        cmdline.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes())
    };
    let entries = std::fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(has).collect()
}

/// A word that no other process has among its arguments.
pub fn a_word() -> String {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    format!("word-{}-{}", std::process::id(), COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
}

/// The files in a directory.
pub fn listed(dir: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path()).collect()
}
