//! A journald of our own: a socket, and a decoder of the native protocol written from its description
//! (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>), not from the encoder.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use hogwatch::report::{EventSender, LevelFilter, LineStyle, Output, Recorder, Reporter, ReporterOptions};
use tempfile::TempDir;

/// Far more than any entry takes; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct FakeJournald {
    dir: TempDir,
    socket: Option<UnixDatagram>,
}

impl FakeJournald {
    pub fn start() -> Self {
        let mut fake = Self { dir: tempfile::tempdir().unwrap(), socket: None };
        fake.restart();
        fake
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    /// Gone: the socket and its file.
    pub fn vanish(&mut self) {
        self.socket = None;
        std::fs::remove_file(self.path()).unwrap();
    }

    pub fn restart(&mut self) {
        let socket = UnixDatagram::bind(self.path()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        self.socket = Some(socket);
    }

    /// Reads one entry, waiting for it.
    pub fn entry(&self) -> Entry {
        let mut datagram = vec![0; 256 * 1024];
        let size = self.socket.as_ref().unwrap().recv(&mut datagram).expect("an entry");
        Entry(decode(&datagram[..size]))
    }

    /// A reporter that writes here.
    pub fn reporter(&self, dry_run: bool) -> (EventSender, Reporter) {
        Reporter::start(options(Output { journald: Some(self.path()), stderr: None }, dry_run)).unwrap()
    }
}

pub fn options(output: Output, dry_run: bool) -> ReporterOptions {
    ReporterOptions {
        output,
        dry_run,
        config: Default::default(),
        status: None,
        textfile: None,
        history: None,
        recorder: Recorder::new(Duration::from_secs(600)),
        diagnostics: LevelFilter::OFF,
    }
}

/// Nowhere at all.
pub const SILENT: Output = Output { journald: None, stderr: None::<LineStyle> };

/// Fields in the order of the datagram.
#[derive(Debug)]
pub struct Entry(pub Vec<(String, Vec<u8>)>);

impl Entry {
    /// The one value of a field; a field that stands there twice is a failure.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut values = self.0.iter().filter(|(n, _)| n == name);
        let value = values.next()?;
        assert!(values.next().is_none(), "{name} twice in {self:?}");
        Some(std::str::from_utf8(&value.1).unwrap())
    }

    /// The sentence, without the remark that it was written late, which a busy machine may make true.
    pub fn message(&self) -> &str {
        let message = self.get("MESSAGE").expect("a message");
        match message.rsplit_once(" (at ") {
            Some((sentence, late)) if late.ends_with(" s later)") => sentence,
            _ => message,
        }
    }
}

fn decode(mut datagram: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut fields = Vec::new();
    while !datagram.is_empty() {
        let line_end = datagram.iter().position(|&b| b == b'\n').expect("a field ends with a line break");
        let (line, rest) = (&datagram[..line_end], &datagram[line_end + 1..]);
        let (name, value);
        if let Some(equals) = line.iter().position(|&b| b == b'=') {
            (name, value) = (&line[..equals], &line[equals + 1..]);
            datagram = rest;
        } else {
            let (length, data) = rest.split_at(8);
            let length = usize::try_from(u64::from_le_bytes(length.try_into().unwrap())).unwrap();
            (name, value) = (line, &data[..length]);
            assert_eq!(data[length], b'\n');
            datagram = &data[length + 1..];
        }
        assert!(is_field_name(name), "{name:?}");
        fields.push((String::from_utf8(name.to_vec()).unwrap(), value.to_vec()));
    }
    fields
}

/// Upper case, digits and underscores, not beginning with a digit; an underscore in front is journald's own.
fn is_field_name(name: &[u8]) -> bool {
    name.first().is_some_and(u8::is_ascii_uppercase)
        && name.iter().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || *c == b'_')
}
