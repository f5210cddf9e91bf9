//! Why a command could not be run: `execve(2)` has one error for a command that is not there and for a script whose
//! interpreter is not.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

/// There is no such command, as env(1) and shells have it.
const NOT_THERE: u8 = 127;

/// There is, but it can't be run.
const CANT_BE_RUN: u8 = 126;

/// A command that was not run.
#[derive(Debug, PartialEq, Eq)]
pub struct NotRun {
    /// Why.
    pub why: String,
    /// The exit status for that.
    pub status: u8,
}

impl NotRun {
    /// Of an exec of `command` that failed.
    pub fn new(command: &OsStr, error: &io::Error) -> Self {
        let Some(number) = error.raw_os_error() else { return Self { why: error.to_string(), status: CANT_BE_RUN } };
        if number != libc::ENOENT {
            return Self { why: Errno::from_raw(number).desc().to_owned(), status: CANT_BE_RUN };
        }
        if let Some(file) = find(command) {
            let why = match interpreter(&file) {
                Some(interpreter) => format!("its interpreter {interpreter:?} is not there"),
                None => "the loader that it is linked with is not there".to_owned(),
            };
            return Self { why, status: CANT_BE_RUN };
        }
        let words = command.as_bytes();
        let why = match () {
            () if words.contains(&b' ') => "no such command (for a shell line: sh -c '…')",
            () if words.contains(&b'/') => Errno::ENOENT.desc(),
            () => "command not found",
        };
        Self { why: why.to_owned(), status: NOT_THERE }
    }
}

/// The file that would have been run.
fn find(command: &OsStr) -> Option<PathBuf> {
    let there = |path: &PathBuf| path.is_file();
    if command.is_empty() {
        return None;
    }
    if command.as_bytes().contains(&b'/') {
        return Some(PathBuf::from(command)).filter(there);
    }
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(command)).find(there)
}

/// What its first line names.
fn interpreter(script: &Path) -> Option<String> {
    /// The kernel reads no more (`BINPRM_BUF_SIZE`).
    const MOST: u64 = 256;
    let mut text = Vec::new();
    File::open(script).ok()?.take(MOST).read_to_end(&mut text).ok()?;
    let line = text.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line);
    // A carriage return at the end of the line is part of the name.
    line.split([' ', '\t']).find(|word| !word.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("a script");
        std::fs::write(&script, "#! /no/such/sh\r\nexit\n").unwrap();
        let of = |command: &OsStr, number| NotRun::new(command, &io::Error::from_raw_os_error(number));
        let told = |why: &str, status| NotRun { why: why.to_owned(), status };
        let enoent = |command: &str| of(command.as_ref(), libc::ENOENT);
        let missing = "its interpreter \"/no/such/sh\\r\" is not there";
        assert_eq!(of(script.as_ref(), libc::ENOENT), told(missing, 126));
        std::fs::write(&script, "\x7fELF").unwrap();
        assert_eq!(of(script.as_ref(), libc::ENOENT), told("the loader that it is linked with is not there", 126));
        assert_eq!(enoent("echo hi there"), told("no such command (for a shell line: sh -c '…')", 127));
        assert_eq!(enoent("/no/such"), told("No such file or directory", 127));
        assert_eq!(enoent("no-such"), told("command not found", 127));
        assert_eq!(enoent(""), told("command not found", 127));
        assert_eq!(of("/".as_ref(), libc::EACCES), told("Permission denied", 126));
    }
}
