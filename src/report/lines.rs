//! Plain lines on stderr: for a person at a terminal, for a log file, or for whatever collects a service's output.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::time::{Duration, SystemTime};

use nix::poll::{PollFd, PollFlags};

use super::queue::poll_ready;
use super::record::Record;
use super::stop::Stop;
use super::time::Utc;

/// Tells how many seconds east of UTC the local clock is at a moment.
pub type UtcOffset = fn(SystemTime) -> i32;

/// How a line begins.
#[derive(Clone, Copy, Debug)]
pub enum LineStyle {
    /// `03:15:02 err sentence`; in UTC, marked `Z`, if the local offset is not known.
    Clock(Option<UtcOffset>),
    /// `<3>sentence`, sd-daemon(3)'s priority prefix: the collector adds the time itself.
    Prefix,
}

/// How long one attempt waits for a reader that does not read, before looking whether we are to stop.
const ATTEMPT: Duration = Duration::from_millis(250);

/// What to do when the reader of stderr does not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WhenStuck {
    /// These lines are the journal: wait for it, as for journald.
    Wait,
    /// The journal has the entry already: lose the line.
    Lose,
}

/// Writes lines to a file, a pipe or a terminal.
#[derive(Debug)]
pub(super) struct Lines {
    out: File,
    style: LineStyle,
    when_stuck: WhenStuck,
    line: String,
}

impl Lines {
    pub fn new(out: File, style: LineStyle, when_stuck: WhenStuck) -> Self {
        Self { out, style, when_stuck, line: String::new() }
    }

    /// stderr, on a descriptor of our own: nobody else's lock is waited for.
    pub fn stderr(style: LineStyle, when_stuck: WhenStuck) -> io::Result<Self> {
        let out = io::stderr().as_fd().try_clone_to_owned()?;
        Ok(Self::new(File::from(out), style, when_stuck))
    }

    /// Writes one line; whether it was written.
    pub fn write(&mut self, record: &Record<'_>, stop: &Stop) -> bool {
        self.line.clear();
        let priority = record.sent.event.event.spec().priority;
        // Writing to a String cannot fail.
        let _ = match self.style {
            LineStyle::Clock(Some(offset)) => {
                let clock = Utc::shifted(record.sent.at, offset(record.sent.at)).clock();
                writeln!(self.line, "{clock} {} {}", priority.word(), record.message)
            }
            LineStyle::Clock(None) => {
                let clock = Utc::at(record.sent.at).clock();
                writeln!(self.line, "{clock}Z {} {}", priority.word(), record.message)
            }
            LineStyle::Prefix => writeln!(self.line, "<{}>{}", priority as u8, record.message),
        };
        // A pipe that is writable has room for PIPE_BUF (4096) bytes, more than a line: the write does not block.
        while !poll_ready(&mut [PollFd::new(self.out.as_fd(), PollFlags::POLLOUT)], Some(ATTEMPT)) {
            if self.when_stuck == WhenStuck::Lose || stop.is_overdue() {
                return false;
            }
        }
        self.out.write_all(self.line.as_bytes()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::{Event, EventKind};
    use super::super::field::Origin;
    use super::super::queue::Sent;
    use super::*;
    use std::io::Read;
    use std::time::{Instant, UNIX_EPOCH};

    fn write_to(out: File, style: LineStyle, when_stuck: WhenStuck, stop: &Stop, times: usize) -> bool {
        let sent = Sent { at: UNIX_EPOCH + Duration::from_secs(1_785_208_502), event: Event::new(EventKind::Warn) };
        let origin = Origin { dry_run: false, started: UNIX_EPOCH };
        let record = Record { sent: &sent, message: "memory is getting short", origin: &origin };
        let mut lines = Lines::new(out, style, when_stuck);
        (0..times).all(|_| lines.write(&record, stop))
    }

    #[test]
    fn styles() {
        let cases = [
            (LineStyle::Clock(None), "03:15:02Z warning memory is getting short\n"),
            (LineStyle::Clock(Some(|_| 7200)), "05:15:02 warning memory is getting short\n"),
            (LineStyle::Prefix, "<4>memory is getting short\n"),
        ];
        for (style, expected) in cases {
            let (mut reader, writer) = io::pipe().unwrap();
            let writer = File::from(std::os::fd::OwnedFd::from(writer));
            assert!(write_to(writer, style, WhenStuck::Wait, &Stop::default(), 1));
            let mut seen = String::new();
            reader.read_to_string(&mut seen).unwrap();
            assert_eq!(seen, expected);
        }
    }

    /// More lines than a pipe holds (64 KiB).
    const TOO_MANY: usize = 4096;

    #[test]
    fn a_reader_that_does_not_read_costs_the_line_only() {
        let (_reader, writer) = io::pipe().unwrap();
        let writer = File::from(std::os::fd::OwnedFd::from(writer));
        assert!(!write_to(writer, LineStyle::Prefix, WhenStuck::Lose, &Stop::default(), TOO_MANY));
    }

    #[test]
    fn waiting_for_a_reader_ends_when_we_are_to_stop() {
        let (_reader, writer) = io::pipe().unwrap();
        let writer = File::from(std::os::fd::OwnedFd::from(writer));
        let stop = Stop::default();
        stop.request(Instant::now());
        assert!(!write_to(writer, LineStyle::Prefix, WhenStuck::Wait, &stop, TOO_MANY));
    }

    #[test]
    fn a_reader_that_went_away_is_a_lost_line_and_not_an_end() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let writer = File::from(std::os::fd::OwnedFd::from(writer));
        assert!(!write_to(writer, LineStyle::Prefix, WhenStuck::Wait, &Stop::default(), 1));
    }
}
