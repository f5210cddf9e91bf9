//! A journald of the namespace's own: listens where journald would and keeps what the daemon says, field by field.

use std::fmt;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::hog::wait_for;
use crate::namespace::Inside;

/// Where journald listens (systemd's `sd_journal_send(3)`, "native protocol"). `/run` is the namespace's own.
pub const SOCKET: &str = "/run/systemd/journal/socket";

/// Larger than any entry of the daemon's.
const LONGEST_ENTRY: usize = 256 * 1024;

/// One entry, and when it arrived.
#[derive(Clone)]
pub struct Entry {
    pub at: Instant,
    fields: Vec<(String, String)>,
}

impl Entry {
    /// Reads journald's native protocol: `NAME=value\n`, or `NAME\n`, a little-endian 64-bit length, the value, `\n`.
    fn parse(mut text: &[u8]) -> Result<Self, String> {
        let mut fields = Vec::new();
        while !text.is_empty() {
            let end = text.iter().position(|&b| b == b'\n').ok_or("a field without an end")?;
            let (line, rest) = (&text[..end], &text[end + 1..]);
            let (name, value) = if let Some(equals) = line.iter().position(|&b| b == b'=') {
                text = rest;
                (&line[..equals], &line[equals + 1..])
            } else {
                let (length, rest) = rest.split_first_chunk().ok_or("a field without a length")?;
                let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|e| e.to_string())?;
                let value = rest.get(..length).ok_or("a length beyond the entry")?;
                text = rest[length..].strip_prefix(b"\n").ok_or("a value without an end")?;
                (line, value)
            };
            let utf8 = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|e| e.to_string());
            fields.push((utf8(name)?, utf8(value)?));
        }
        Ok(Entry { at: Instant::now(), fields })
    }

    /// The value of a field; a field that comes twice is an error in itself.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(field, _)| field == name).map(|(_, value)| value.as_str());
        let value = values.next();
        assert_eq!(values.next(), None, "{name} twice in one entry: {self}");
        value
    }

    /// `HOGWATCH_EVENT`.
    pub fn event(&self) -> &str {
        self.get("HOGWATCH_EVENT").unwrap_or("")
    }

    /// A `HOGWATCH_` field that is a number.
    pub fn number(&self, name: &str) -> Option<u64> {
        let value = self.get(&format!("HOGWATCH_{name}"))?;
        Some(value.parse().unwrap_or_else(|e| panic!("HOGWATCH_{name}={value}: {e}")))
    }

    /// The sentence.
    pub fn message(&self) -> &str {
        self.get("MESSAGE").unwrap_or("")
    }

    /// Whether this is `event` about the process `pid`.
    pub fn is(&self, event: &str, pid: u32) -> bool {
        self.event() == event && self.number("PID") == Some(pid.into())
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}", self.message())?;
        for (name, value) in self.fields.iter().filter(|(name, _)| name.starts_with("HOGWATCH_")) {
            write!(f, " {}={value:?}", name.trim_start_matches("HOGWATCH_"))?;
        }
        Ok(())
    }
}

/// The listening end.
pub struct Journal {
    entries: Arc<Mutex<Vec<Entry>>>,
    start: Instant,
}

impl Journal {
    /// Listens from now on.
    pub fn listen(inside: &Inside) -> Self {
        Journal::read(Journal::socket(inside))
    }

    /// The bound socket, read by nobody: a journald that is stuck.
    pub fn socket(_inside: &Inside) -> UnixDatagram {
        fs::create_dir_all("/run/systemd/journal").expect("a directory for journald's socket");
        if fs::exists(SOCKET).expect("look for the socket") {
            fs::remove_file(SOCKET).expect("remove the socket of the daemon before");
        }
        let socket = UnixDatagram::bind(SOCKET).expect("bind journald's socket");
        // A guard that runs as somebody else writes here too.
        let all = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        fs::set_permissions(SOCKET, all).expect("open the socket to everybody");
        socket
    }

    /// Reads what comes on `socket`, also what came before.
    pub fn read(socket: UnixDatagram) -> Self {
        let entries = Arc::new(Mutex::new(Vec::new()));
        let journal = Journal { entries: Arc::clone(&entries), start: Instant::now() };
        std::thread::spawn(move || {
            let mut buffer = vec![0; LONGEST_ENTRY];
            while let Ok(length) = socket.recv(&mut buffer) {
                if length == 0 {
                    continue; // a client that tries whether somebody listens
                }
                let entry = Entry::parse(&buffer[..length]).unwrap_or_else(|why| {
                    let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                    Entry {
                        at: Instant::now(),
                        fields: vec![("MESSAGE".into(), format!("UNREADABLE ({why}): {text}"))],
                    }
                });
                entries.lock().expect("the entries").push(entry);
            }
        });
        journal
    }

    /// Everything so far.
    pub fn entries(&self) -> Vec<Entry> {
        self.entries.lock().expect("the entries").clone()
    }

    /// The entries of one event so far.
    pub fn of(&self, event: &str) -> Vec<Entry> {
        self.entries().into_iter().filter(|entry| entry.event() == event).collect()
    }

    /// Entries that say a signal was sent.
    pub fn signals(&self) -> Vec<Entry> {
        self.entries().into_iter().filter(|entry| matches!(entry.event(), "term" | "kill")).collect()
    }

    /// Waits for the first entry that `wanted` accepts; `what` says in a failure what was waited for.
    pub fn wait(&self, what: &str, wanted: impl Fn(&Entry) -> bool) -> Entry {
        let mut found = None;
        wait_for(|| {
            found = self.entries().into_iter().find(|entry| wanted(entry));
            found.is_some()
        });
        found.unwrap_or_else(|| panic!("never said: {what}"))
    }

    /// Waits for the first entry of `event`.
    pub fn wait_event(&self, event: &str) -> Entry {
        self.wait(event, |entry| entry.event() == event)
    }

    /// Waits for `event` about `pid`.
    pub fn wait_about(&self, event: &str, pid: u32) -> Entry {
        self.wait(&format!("{event} about pid {pid}"), |entry| entry.is(event, pid))
    }

    /// Lets time pass in which nothing is expected to happen.
    pub fn watch_quietly(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

impl Drop for Journal {
    /// A failed scenario shows what the daemon said.
    fn drop(&mut self) {
        if std::thread::panicking() {
            for entry in self.entries() {
                eprintln!("journal {:8.3} s: {entry}", entry.at.duration_since(self.start).as_secs_f64());
            }
        }
    }
}
