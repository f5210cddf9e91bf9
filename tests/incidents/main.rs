//! `hogwatch incidents` and the replay of incidents, on files one of each kind.
//!
//! The pages are compared with `golden/`; `HOGWATCH_BLESS=1` writes them anew, for a person to look at the difference.

mod advice;
mod bad;
mod list;
mod replay;
mod show;
mod why;

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// The files, one of each kind.
const KINDS: [&str; 12] = [
    "dry-run",
    "group-kill",
    "kernel-oom-limit",
    "kernel-oom-machine",
    "lift",
    "livelock-kill",
    "machine-kill",
    "oomd-kill",
    "open",
    "refused",
    "unclean-end",
    "warn-only",
];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/incidents").join(format!("{name}.json"))
}

fn text_of(name: &str) -> String {
    std::fs::read_to_string(fixture(name)).unwrap()
}

#[derive(Debug)]
struct Said {
    status: i32,
    stdout: String,
    stderr: String,
}

/// A machine's places: a state directory, a home, a `journalctl`.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir_all(place.incidents()).unwrap();
        std::fs::create_dir(place.path("bin")).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn incidents(&self) -> PathBuf {
        self.path("state/incidents")
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.incidents().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Makes a `journalctl` that does what this shell script says.
    fn journalctl(&self, script: &str) {
        let shell = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/systemctl");
        symlink(shell, self.path("bin/journalctl")).unwrap();
        std::fs::write(self.path("bin/script"), script).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hogwatch"));
        command.args(args).current_dir(env!("CARGO_MANIFEST_DIR")).env_clear();
        command.env("TZ", "UTC").env("LC_ALL", "C.UTF-8").env("STATE_DIRECTORY", self.path("state"));
        // The script's own tools are found, and no journalctl but the one made here.
        let tools = if self.path("bin/journalctl").exists() { ":/usr/bin:/bin" } else { "" };
        command.env("PATH", format!("{}{tools}", self.path("bin").display()));
        command
    }

    fn run(&self, args: &[&str]) -> Said {
        said(self.command(args))
    }
}

fn said(mut command: Command) -> Said {
    let output = command.output().unwrap();
    Said {
        status: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Compares with `golden/NAME.txt`.
fn check_golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/incidents/golden").join(format!("{name}.txt"));
    if std::env::var_os("HOGWATCH_BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert!(golden == text, "{} says otherwise:\n{text}", path.display());
}
