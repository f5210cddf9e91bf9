//! journald's native protocol (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>): a datagram an entry.

use std::fmt::{Display, Write};
use std::io::{self, ErrorKind};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::field::Field;
use super::record::Record;
use super::stop::Stop;

/// Where journald listens.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";

/// No entry is larger: the texts of an event escape to at most four times their size (4.3 KiB), and stand once in a
/// field and at most once in the message. Far below the socket's send buffer (208 KiB by default), so the protocol's
/// second way, a sealed memfd, is never needed.
pub(super) const ENTRY_MAX: usize = 16 * 1024;

/// How long one attempt waits for a journald that does not read, before looking whether we are to stop.
const ATTEMPT: Duration = Duration::from_millis(250);

/// Between two attempts when journald's socket is gone.
const PAUSE: Duration = Duration::from_millis(250);

/// A connectionless sender: nothing has to be set up anew when journald restarts.
#[derive(Debug)]
pub(super) struct Journald {
    socket: UnixDatagram,
    path: PathBuf,
    entry: Vec<u8>,
    value: String,
}

impl Journald {
    pub fn new(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(ATTEMPT))?;
        Ok(Self { socket, path: path.to_owned(), entry: Vec::with_capacity(ENTRY_MAX / 4), value: String::new() })
    }

    /// Writes one entry, however long journald is stuck or away, unless we are to stop; whether it was written.
    pub fn write(&mut self, record: &Record<'_>, stop: &Stop) -> bool {
        encode(&mut self.entry, &mut self.value, record);
        loop {
            match self.socket.send_to(&self.entry, &self.path) {
                Ok(_) => return true,
                // unix(7): a full queue or send buffer, after ATTEMPT.
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) if passes(&error) => thread::sleep(PAUSE),
                Err(_) => return false,
            }
            if stop.is_overdue() {
                return false;
            }
        }
    }
}

/// journald is away (not started yet, restarting), or the kernel has no memory for a datagram just now.
fn passes(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::Interrupted | ErrorKind::OutOfMemory
    ) || error.raw_os_error() == Some(nix::libc::ENOBUFS)
}

/// The datagram: the message first, then journald's own fields, then ours.
fn encode(entry: &mut Vec<u8>, value: &mut String, record: &Record<'_>) {
    let event = &record.sent.event;
    let spec = event.event.spec();
    entry.clear();
    put(entry, "MESSAGE", record.message.as_bytes());
    put_shown(entry, value, "PRIORITY", spec.priority as u8);
    put(entry, "MESSAGE_ID", spec.message_id.as_bytes());
    put(entry, "SYSLOG_IDENTIFIER", b"hogwatch");
    for field in Field::ALL {
        if let Some(shown) = field.value(event, record.origin) {
            put_shown(entry, value, field.journal_name(), shown);
        }
    }
}

fn put_shown(entry: &mut Vec<u8>, value: &mut String, name: &str, shown: impl Display) {
    value.clear();
    // Writing to a String cannot fail.
    let _ = write!(value, "{shown}");
    put(entry, name, value.as_bytes());
}

/// One field: `NAME=value`, or, for a value with control characters in it, the name on a line of its own, the length
/// as 64 bits little endian, and the bytes. Names are ours; values may be anybody's.
pub(super) fn put(entry: &mut Vec<u8>, name: &str, value: &[u8]) {
    entry.extend_from_slice(name.as_bytes());
    if value.iter().any(u8::is_ascii_control) {
        entry.push(b'\n');
        entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend_from_slice(value);
    entry.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::super::event::{Event, EventKind};
    use super::super::field::Origin;
    use super::super::queue::Sent;
    use super::super::record;
    use super::super::text::Text;
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn values_with_control_characters_are_sent_by_length() {
        let cases: &[(&[u8], &[u8])] = &[
            (b"", b"F=\n"),
            (b"plain", b"F=plain\n"),
            (b"a=b", b"F=a=b\n"),
            ("é\u{202e}".as_bytes(), "F=é\u{202e}\n".as_bytes()),
            (b"\xff\xfe", b"F=\xff\xfe\n"),
            (b"two\nlines", b"F\n\x09\0\0\0\0\0\0\0two\nlines\n"),
            (b"\nHOGWATCH_EVENT=stop", b"F\n\x14\0\0\0\0\0\0\0\nHOGWATCH_EVENT=stop\n"),
            (b"\x1b[2J", b"F\n\x04\0\0\0\0\0\0\0\x1b[2J\n"),
            (b"\0", b"F\n\x01\0\0\0\0\0\0\0\0\n"),
            (b"\n", b"F\n\x01\0\0\0\0\0\0\0\n\n"),
        ];
        for (value, expected) in cases {
            let mut entry = Vec::new();
            put(&mut entry, "F", value);
            assert_eq!(entry, *expected, "{value:?}");
        }
        let mut entry = Vec::new();
        put(&mut entry, "F", &[b'\n'; 255]);
        assert_eq!(entry[..10], *b"F\n\xff\0\0\0\0\0\0\0");
        assert_eq!(entry.len(), 10 + 255 + 1);
    }

    #[test]
    fn the_largest_entry_stays_within_the_bound() {
        // Bytes that are not UTF-8 grow most: each becomes four.
        let event = Event {
            kind: Some("cgroup_limit"),
            reason: Text::from_bytes(&[0xff; 300]),
            pid: Some(i32::MIN),
            comm: Text::from_bytes(&[0xff; 16]),
            cmdline: Text::from_bytes(&[0xff; 300]),
            uid: Some(u32::MAX),
            cgroup: Text::from_bytes(&[0xff; 600]),
            size_bytes: Some(u64::MAX),
            swap_bytes: Some(u64::MAX),
            oom_score_adj: Some(i32::MIN),
            signal: Some(nix::sys::signal::Signal::SIGKILL),
            members: None,
            limit_bytes: Some(u64::MAX),
            available_bytes: Some(u64::MAX),
            available_percent: Some(f64::MIN),
            psi_full_percent: Some(f64::MIN),
            decide_usec: Some(u64::MAX),
            elapsed_ms: Some(u64::MAX),
            freed_bytes: Some(u64::MAX),
            incident: Some(u32::MAX),
            count: None,
            ..Event::new(EventKind::Kill)
        };
        let sent = Sent { at: SystemTime::UNIX_EPOCH, event };
        let origin = Origin { dry_run: true, started: SystemTime::now() };
        let mut message = String::new();
        record::message(&mut message, &sent, &origin, u64::MAX, SystemTime::now());
        let (mut entry, mut value) = (Vec::new(), String::new());
        encode(&mut entry, &mut value, &Record { sent: &sent, message: &message, origin: &origin });
        assert!(entry.len() <= ENTRY_MAX, "{}", entry.len());
        assert!(entry.len() > 4096, "the texts are missing: {}", entry.len());
    }
}
