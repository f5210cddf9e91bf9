//! What a hook writes, on its way to the journal: a bounded number of harmless lines.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags};

use super::super::escape::Escaped;
use super::super::journald::put;
use super::super::output::Output;
use super::super::queue::poll_ready;
use super::super::table::Priority;

/// So many lines of a run are written ...
pub const MOST_LINES: u32 = 100;

/// ... of so many bytes each; a longer one becomes several.
pub const LINE_BYTES: usize = 1024;

/// What is kept while the journal takes nothing. A socket's queue holds ten datagrams by the kernel's default.
const PENDING_BYTES: usize = 32 * 1024;

/// Read at a time: what a pipe holds by default (pipe(7)).
const READ_BYTES: usize = 4096;

/// At most so much is read in one go, so that a flood leaves time for everything else.
const READS: u32 = 16;

/// Where the lines go, which must never make the hooks' thread wait.
#[derive(Debug)]
pub(super) struct Sink {
    journald: Option<(UnixDatagram, PathBuf)>,
    stderr: bool,
    /// Entries that the journal did not take at once, oldest first, and their bytes.
    pending: VecDeque<Vec<u8>>,
    pending_bytes: usize,
}

impl Sink {
    /// Where the daemon's own entries go, too.
    pub fn open(output: &Output) -> io::Result<Self> {
        let journald = output
            .journald
            .clone()
            .map(|path| {
                let socket = UnixDatagram::unbound()?;
                socket.set_nonblocking(true)?;
                io::Result::Ok((socket, path))
            })
            .transpose()?;
        let stderr = journald.is_none() && output.stderr.is_some();
        Ok(Self { journald, stderr, pending: VecDeque::new(), pending_bytes: 0 })
    }

    /// Writes a line, or keeps it for a while when that would have to wait; whether there was room for that.
    fn write(&mut self, hook: &'static str, incident: Option<&str>, text: &[u8]) -> bool {
        let text = Escaped(text).to_string();
        if self.journald.is_some() {
            let mut entry = Vec::new();
            put(&mut entry, "MESSAGE", text.as_bytes());
            put(&mut entry, "PRIORITY", (Priority::Info as u8).to_string().as_bytes());
            put(&mut entry, "SYSLOG_IDENTIFIER", b"hogwatch-hook");
            put(&mut entry, "HOGWATCH_HOOK", hook.as_bytes());
            if let Some(incident) = incident {
                put(&mut entry, "HOGWATCH_INCIDENT", incident.as_bytes());
            }
            let fits = self.pending_bytes + entry.len() <= PENDING_BYTES;
            if fits {
                self.pending_bytes += entry.len();
                self.pending.push_back(entry);
                self.flush();
            }
            return fits;
        }
        let stderr = io::stderr();
        let takes =
            self.stderr && poll_ready(&mut [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)], Some(Duration::ZERO));
        if takes {
            eprintln!("hogwatch-hook ({hook}): {text}");
        }
        takes || !self.stderr
    }

    /// Gives the journal what was kept, as far as it takes it.
    pub fn flush(&mut self) {
        let Some((socket, path)) = &self.journald else { return };
        while let Some(entry) = self.pending.front() {
            if socket.send_to(entry, path).is_err() {
                return;
            }
            self.pending_bytes -= entry.len();
            self.pending.pop_front();
        }
    }

    /// Whether something was kept.
    pub fn is_behind(&self) -> bool {
        !self.pending.is_empty()
    }
}

/// The lines of one run.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// A line that has not ended yet.
    begun: Vec<u8>,
    written: u32,
    /// Bytes that were read beyond the bound.
    left_out: u64,
    /// Lines that the journal did not take.
    lost: u32,
}

/// Whether there may be more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum More {
    /// The hook has closed its end, or it can't be read.
    No,
    /// There may be.
    Yes,
}

impl Lines {
    /// Reads what there is, without waiting, and writes it.
    pub fn read(&mut self, from: &mut impl Read, mut write: impl FnMut(&[u8]) -> bool) -> More {
        let mut buf = [0; READ_BYTES];
        for _ in 0..READS {
            match from.read(&mut buf) {
                Ok(0) => return More::No,
                Ok(n) => self.take(&buf[..n], &mut write),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return More::Yes,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return More::No,
            }
        }
        More::Yes
    }

    fn take(&mut self, mut bytes: &[u8], write: &mut impl FnMut(&[u8]) -> bool) {
        while !bytes.is_empty() {
            if self.is_full() {
                self.left_out += bytes.len() as u64;
                return;
            }
            let room = &bytes[..bytes.len().min(LINE_BYTES - self.begun.len())];
            let end = room.iter().position(|byte| *byte == b'\n');
            self.begun.extend_from_slice(&room[..end.unwrap_or(room.len())]);
            bytes = &bytes[end.map_or(room.len(), |end| end + 1)..];
            if end.is_some() || self.begun.len() == LINE_BYTES {
                self.put(write);
            }
        }
    }

    fn put(&mut self, write: &mut impl FnMut(&[u8]) -> bool) {
        self.written += 1;
        if !write(&self.begun) {
            self.lost += 1;
        }
        self.begun.clear();
    }

    /// Whether nothing more is written: then it is enough to read now and then, lest the hook wait for it.
    pub fn is_full(&self) -> bool {
        self.written >= MOST_LINES
    }

    /// Writes what has no line break at its end, and says what is missing.
    pub fn finish(mut self, mut write: impl FnMut(&[u8]) -> bool) {
        if !self.begun.is_empty() {
            self.put(&mut write);
        }
        let Self { left_out, lost, .. } = self;
        // The last word of a run that has nothing else to say is not worth an entry.
        if left_out > 0 {
            write(format!("({left_out} more bytes left out)").as_bytes());
        }
        if lost > 0 {
            write(format!("({lost} lines lost, the journal did not take them)").as_bytes());
        }
    }
}

/// Writes to the sink for one run.
pub(super) fn writer<'a>(
    sink: &'a mut Sink,
    hook: &'static str,
    incident: Option<&'a str>,
) -> impl FnMut(&[u8]) -> bool + 'a {
    move |text| sink.write(hook, incident, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let mut said = Vec::new();
        let mut lines = Lines::default();
        let mut write = |text: &[u8]| {
            said.push(String::from_utf8_lossy(text).into_owned());
            true
        };
        for piece in pieces {
            lines.read(&mut &**piece, &mut write);
        }
        lines.finish(&mut write);
        said
    }

    #[test]
    fn lines_are_told_apart_however_they_come() {
        assert_eq!(lines(&[b"a\nb", b"c\n\nd"]), ["a", "bc", "", "d"]);
        assert_eq!(lines(&[b""]), [""; 0]);
        let long = vec![b'x'; LINE_BYTES * 2 + 3];
        assert_eq!(lines(&[&long]).iter().map(String::len).collect::<Vec<_>>(), [LINE_BYTES, LINE_BYTES, 3]);
    }

    #[test]
    fn a_flood_is_bounded_and_what_is_left_out_is_counted() {
        let flood = b"y\n".repeat(1000);
        let said = lines(&[&flood, &flood]);
        assert_eq!(said.len(), MOST_LINES as usize + 1);
        assert_eq!(said.last().unwrap(), &format!("({} more bytes left out)", 4000 - 2 * MOST_LINES));
    }

    #[test]
    fn lines_that_the_journal_does_not_take_are_counted() {
        let mut lines = Lines::default();
        lines.read(&mut &b"a\nb\n"[..], |_| false);
        let mut said = Vec::new();
        lines.finish(|text| {
            said.push(String::from_utf8_lossy(text).into_owned());
            true
        });
        assert_eq!(said, ["(2 lines lost, the journal did not take them)"]);
    }
}
