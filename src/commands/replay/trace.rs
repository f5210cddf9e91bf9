//! Traces: a header line and a sample a line, in JSON, plain or gzip. The format stands in `docs/livelock.md`.

mod machine;

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::time::Duration;

use flate2::bufread::MultiGzDecoder;
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use crate::decide::livelock::{Events, MachineSample, Sample, Stat};
use crate::observe::parse::Limit;

use machine::MachineLine;

/// Longest line, in bytes. A sample takes about 1,300; the rest is room for what later versions write.
const LONGEST_LINE: u64 = 1 << 20;

/// The version of the format that is read.
const SCHEMA: u64 = 1;

/// What a gzip file begins with (RFC 1952).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What a trace was recorded of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// A cgroup; where the header does not say.
    #[default]
    Cgroup,
    /// The machine as a whole.
    Machine,
}

/// What the first line says, as far as it matters here.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Header {
    schema: Option<u64>,
    /// What it is of, which says what a sample looks like.
    #[serde(default)]
    pub scope: Subject,
    /// The path of the cgroup below the cgroup root.
    pub cgroup: Option<String>,
    /// The kernel's page size, in bytes; 4096 when it is not said.
    pub page_size: Option<u64>,
}

#[derive(Deserialize)]
struct HeaderLine {
    header: Header,
}

/// A sample, and the largest task at that moment.
#[derive(Clone, Copy, Debug)]
pub struct Entry<S = Sample> {
    /// The time as the trace has it, in milliseconds.
    pub t_ms: u64,
    /// The sample.
    pub sample: S,
    /// The pid of the largest task, when the trace says it.
    pub largest: Option<u32>,
}

/// Why a trace can't be read further.
#[derive(Debug)]
pub struct BadTrace {
    /// The line it is about, from 1; none when it is the file as a whole.
    pub line: Option<u64>,
    /// What is wrong, and what was expected.
    pub message: String,
}

/// A trace, read line by line.
pub struct Trace<R> {
    input: BufReader<Input<R>>,
    line: u64,
    text: Vec<u8>,
    header: Header,
}

enum Input<R> {
    Plain(R),
    Gzip(Box<MultiGzDecoder<R>>),
}

impl<R: BufRead> Read for Input<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(plain) => plain.read(buf),
            Self::Gzip(gzip) => gzip.read(buf),
        }
    }
}

impl<R: BufRead> Trace<R> {
    /// Opens a trace and reads its header.
    ///
    /// # Errors
    /// When it can't be read, is empty, does not begin with a header, or is of a later format.
    pub fn open(mut input: R) -> Result<Self, BadTrace> {
        let begin = input.fill_buf().map_err(|e| BadTrace::unreadable(None, &e))?;
        let input = match begin.starts_with(&GZIP) {
            true => Input::Gzip(Box::new(MultiGzDecoder::new(input))),
            false => Input::Plain(input),
        };
        let mut trace = Self { input: BufReader::new(input), line: 0, text: Vec::new(), header: Header::default() };
        if !trace.read_line()? {
            return Err(BadTrace {
                line: None,
                message: "empty; expected a trace that begins with a header".to_owned(),
            });
        }
        let header: HeaderLine = trace.parse("a header such as {\"header\": {\"cgroup\": \"/system.slice\"}}")?;
        trace.header = header.header;
        match trace.header.schema {
            Some(schema) if schema > SCHEMA => Err(trace.bad(format!(
                "the trace is of format {schema}, expected {SCHEMA}: it needs a later version of hogwatch"
            ))),
            _ => Ok(trace),
        }
    }

    /// What the first line says.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The next sample of a cgroup; none at the end.
    ///
    /// # Errors
    /// When the line is no sample, or the file can't be read further.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, BadTrace> {
        if !self.read_sample()? {
            return Ok(None);
        }
        let line: SampleLine = self.parse("a sample")?;
        line.entry().map(Some).map_err(|message| self.bad(message))
    }

    /// The next sample of the machine; none at the end.
    ///
    /// # Errors
    /// When the line is no sample of the machine, or the file can't be read further.
    pub fn next_machine_entry(&mut self) -> Result<Option<Entry<MachineSample>>, BadTrace> {
        if !self.read_sample()? {
            return Ok(None);
        }
        self.parse("a sample of the machine").map(|line: MachineLine| Some(line.entry()))
    }

    /// Reads the next line that is not empty. Whether there is one.
    fn read_sample(&mut self) -> Result<bool, BadTrace> {
        while self.read_line()? {
            if !self.text.trim_ascii().is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn read_line(&mut self) -> Result<bool, BadTrace> {
        self.text.clear();
        let line = self.line + 1;
        let read = (&mut self.input).take(LONGEST_LINE + 1).read_until(b'\n', &mut self.text);
        match read {
            Ok(0) => return Ok(false),
            Ok(_) => self.line = line,
            Err(e) => return Err(BadTrace::unreadable(Some(line), &e)),
        }
        if self.text.len() as u64 > LONGEST_LINE {
            return Err(
                self.bad(format!("the line is longer than {LONGEST_LINE} bytes; expected JSON, a sample a line"))
            );
        }
        Ok(true)
    }

    fn parse<'a, T: Deserialize<'a>>(&'a self, expected: &str) -> Result<T, BadTrace> {
        serde_json::from_slice(self.text.trim_ascii_end()).map_err(|e| {
            let what = e.to_string();
            // The line it names is always the first of the one line it was given.
            let what = what.split(" at line 1 column").next().unwrap_or(&what).to_owned();
            let hint = if e.is_eof() { "; the line is cut off" } else { "" };
            self.bad(format!("expected {expected}: {what}{hint}"))
        })
    }

    fn bad(&self, message: String) -> BadTrace {
        BadTrace { line: Some(self.line), message }
    }
}

impl BadTrace {
    fn unreadable(line: Option<u64>, e: &io::Error) -> Self {
        let message = match e.kind() {
            io::ErrorKind::UnexpectedEof => "the gzip data is cut off; expected a whole file".to_owned(),
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => format!("the gzip data is damaged: {e}"),
            _ => format!("can't be read: {e}"),
        };
        Self { line, message }
    }
}

/// A line as it is written. Keys that are not here are passed over.
#[derive(Deserialize)]
struct SampleLine {
    t_ms: u64,
    current: u64,
    high: WrittenLimit,
    max: WrittenLimit,
    swap_max: Option<WrittenLimit>,
    swap_current: Option<u64>,
    events: Option<WrittenEvents>,
    events_local: Option<WrittenEvents>,
    pressure: WrittenPressure,
    stat: Option<WrittenStat>,
    n_over_high: Option<u32>,
    largest: Option<WrittenTask>,
}

#[derive(Deserialize)]
struct WrittenEvents {
    high: u64,
    max: u64,
    oom: u64,
    oom_kill: u64,
}

#[derive(Deserialize)]
struct WrittenPressure {
    full: WrittenPressureLine,
}

#[derive(Deserialize)]
struct WrittenPressureLine {
    total_us: u64,
}

#[derive(Deserialize)]
struct WrittenStat {
    anon: u64,
    inactive_file: u64,
    active_file: u64,
    pgsteal: u64,
    #[serde(default)]
    workingset_refault_anon: u64,
    workingset_refault_file: u64,
    #[serde(default)]
    workingset_restore_file: u64,
}

#[derive(Deserialize)]
struct WrittenTask {
    pid: u32,
}

impl WrittenTask {
    /// Recorders write pid 0 while the cgroup is empty.
    fn pid(task: Option<Self>) -> Option<u32> {
        task.map(|task| task.pid).filter(|pid| *pid != 0)
    }
}

impl SampleLine {
    fn entry(self) -> Result<Entry, String> {
        let local = self.events_local.as_ref().or(self.events.as_ref());
        let local = local.ok_or("expected a sample: neither `events_local` nor `events` is there")?;
        let oom_kill = self.events.as_ref().map_or(local.oom_kill, |events| events.oom_kill);
        let stat = self.stat.map(|stat| Stat {
            anon: stat.anon,
            file_lru: stat.inactive_file.saturating_add(stat.active_file),
            pgsteal: stat.pgsteal,
            refault_anon: stat.workingset_refault_anon,
            refault_file: stat.workingset_refault_file,
            restore_file: stat.workingset_restore_file,
        });
        let sample = Sample {
            t: Duration::from_millis(self.t_ms),
            current: self.current,
            high: self.high.0,
            max: self.max.0,
            swap_max: self.swap_max.map_or(Limit::Max, |limit| limit.0),
            swap_current: self.swap_current.unwrap_or(0),
            events: Events { high: local.high, max: local.max, oom: local.oom, oom_kill },
            full_total_us: self.pressure.full.total_us,
            stat,
            over_high_tasks: self.n_over_high,
        };
        Ok(Entry { t_ms: self.t_ms, sample, largest: WrittenTask::pid(self.largest) })
    }
}

/// A limit in bytes; -1 or "max" is none.
struct WrittenLimit(Limit);

impl<'de> Deserialize<'de> for WrittenLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl Visitor<'_> for Written {
            type Value = WrittenLimit;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a limit in bytes, or -1 or \"max\" for none")
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<WrittenLimit, E> {
                Ok(WrittenLimit(Limit::Bytes(bytes)))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<WrittenLimit, E> {
                match number {
                    -1 => Ok(WrittenLimit(Limit::Max)),
                    other => Err(E::invalid_value(de::Unexpected::Signed(other), &self)),
                }
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<WrittenLimit, E> {
                match word {
                    "max" => Ok(WrittenLimit(Limit::Max)),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }
        }
        deserializer.deserialize_any(Written)
    }
}
