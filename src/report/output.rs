//! Where the journal entries go: journald, stderr, or both.

use std::env;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nix::sys::stat::fstat;

use super::journald::{Journald, SOCKET};
use super::lines::{LineStyle, Lines, UtcOffset, WhenStuck};
use super::record::Record;
use super::stop::Stop;

/// The choice. [`Output::choose`] makes it from the surroundings; a test sets it.
#[derive(Clone, Debug)]
pub struct Output {
    /// journald's socket, if entries go there.
    pub journald: Option<PathBuf>,
    /// How lines on stderr look, if there are any.
    pub stderr: Option<LineStyle>,
}

/// What the choice depends on.
#[derive(Clone, Copy, Debug)]
struct Surroundings {
    /// journald's socket is there.
    journald: bool,
    stderr: Stderr,
    /// `INVOCATION_ID` is set (systemd.exec(5)): somebody collects our output and understands priority prefixes.
    unit: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stderr {
    Terminal,
    /// A stream to journald, by `JOURNAL_STREAM` (systemd.exec(5)).
    Journal,
    /// A file, a pipe, a socket.
    Other,
}

impl Output {
    /// Whoever looks gets it where they look:
    /// - a person who starts hogwatch in a terminal: lines there, and nothing in the machine's journal;
    /// - otherwise journald where there is one, and plain lines on stderr too when stderr is *not* the journal
    ///   (`hogwatch daemon 2>log`);
    /// - without journald: stderr, with priority prefixes under a systemd unit.
    ///
    /// `utc_offset` makes the lines' clock a local one; without it they are in UTC.
    pub fn choose(utc_offset: Option<UtcOffset>) -> Self {
        let stderr = if io::stderr().is_terminal() {
            Stderr::Terminal
        } else if stderr_is_journal() {
            Stderr::Journal
        } else {
            Stderr::Other
        };
        let surroundings =
            Surroundings { journald: Path::new(SOCKET).exists(), stderr, unit: env::var_os("INVOCATION_ID").is_some() };
        Self::for_surroundings(surroundings, utc_offset)
    }

    fn for_surroundings(around: Surroundings, utc_offset: Option<UtcOffset>) -> Self {
        let clock = LineStyle::Clock(utc_offset);
        let stderr = match (around.stderr, around.journald) {
            (Stderr::Terminal, _) | (Stderr::Other, true) => Some(clock),
            (Stderr::Journal, true) => None,
            (Stderr::Journal, false) => Some(LineStyle::Prefix),
            (Stderr::Other, false) if around.unit => Some(LineStyle::Prefix),
            (Stderr::Other, false) => Some(clock),
        };
        let journald = around.journald && around.stderr != Stderr::Terminal;
        Self { journald: journald.then(|| PathBuf::from(SOCKET)), stderr }
    }

    pub(super) fn open(&self) -> io::Result<Writers> {
        let journald = self.journald.as_deref().map(Journald::new).transpose()?;
        let when_stuck = if journald.is_some() { WhenStuck::Lose } else { WhenStuck::Wait };
        let lines = self.stderr.map(|style| Lines::stderr(style, when_stuck)).transpose()?;
        Ok(Writers { journald, lines })
    }
}

/// systemd.exec(5): `JOURNAL_STREAM` is `DEVICE:INODE` of the stream; it is inherited, so it must be compared.
fn stderr_is_journal() -> bool {
    let Ok(stat) = fstat(io::stderr().as_fd()) else {
        return false;
    };
    env::var("JOURNAL_STREAM").is_ok_and(|stream| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// What [`Output`] names, opened.
#[derive(Debug)]
pub(super) struct Writers {
    journald: Option<Journald>,
    lines: Option<Lines>,
}

impl Writers {
    /// Writes everywhere; whether the place that counts has it. stderr goes first: it waits for nobody when journald
    /// is there too, and has the line even while journald is stuck.
    pub fn write(&mut self, record: &Record<'_>, stop: &Stop) -> bool {
        let on_stderr = self.lines.as_mut().map(|lines| lines.write(record, stop));
        let in_journal = self.journald.as_mut().map(|journald| journald.write(record, stop));
        in_journal.or(on_stderr).unwrap_or(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice() {
        use Stderr::{Journal, Other, Terminal};
        // (journald, stderr, unit) -> (journald, stderr)
        let cases = [
            ((true, Terminal, false), (false, "clock")),
            ((false, Terminal, false), (false, "clock")),
            ((true, Journal, true), (true, "none")),
            ((true, Other, false), (true, "clock")),
            ((true, Other, true), (true, "clock")),
            ((false, Journal, true), (false, "prefix")),
            ((false, Other, true), (false, "prefix")),
            ((false, Other, false), (false, "clock")),
            // INVOCATION_ID is inherited by a terminal that a user's unit started.
            ((false, Terminal, true), (false, "clock")),
        ];
        for ((journald, stderr, unit), expected) in cases {
            let around = Surroundings { journald, stderr, unit };
            let output = Output::for_surroundings(around, None);
            let lines = match output.stderr {
                None => "none",
                Some(LineStyle::Clock(_)) => "clock",
                Some(LineStyle::Prefix) => "prefix",
            };
            assert_eq!((output.journald.is_some(), lines), expected, "{around:?}");
        }
    }
}
