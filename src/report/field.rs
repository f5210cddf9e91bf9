//! The fields of an entry: their names, and their values in an event. Journal and JSON are both written from here.

use std::fmt;
use std::time::SystemTime;

use super::escape::Escaped;
use super::event::Event;
use super::time::Utc;
use super::unit::unit_of;

/// One of hogwatch's own fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "docs/journal.md explains them; each is the Event field of that name")]
pub enum Field {
    Event,
    Kind,
    Reason,
    Pid,
    Comm,
    Cmdline,
    Uid,
    Unit,
    Cgroup,
    SizeBytes,
    SwapBytes,
    OomScoreAdj,
    Signal,
    LimitBytes,
    AvailableBytes,
    AvailablePercent,
    PsiFullPercent,
    DecideUsec,
    FreedBytes,
    Incident,
    DryRun,
}

/// What an entry says about the daemon that writes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    pub dry_run: bool,
    /// When the daemon started: makes incident ids unique across runs.
    pub started: SystemTime,
}

impl Origin {
    /// The id of an incident of this run.
    pub fn incident_id(&self, number: u32) -> String {
        Value::Incident(self.started, number).to_string()
    }
}

/// A field's value. Its `Display` is one harmless line.
pub(super) enum Value<'a> {
    Word(&'static str),
    Name(&'a [u8]),
    Number(i128),
    Percent(f64),
    Incident(SystemTime, u32),
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Word(word) => f.write_str(word),
            Self::Name(name) => Escaped(name).fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Percent(percent) => write!(f, "{percent:.2}"),
            Self::Incident(started, number) => write!(f, "{}-{number}", Utc::at(started).compact()),
        }
    }
}

impl Field {
    /// All of them, in the order in which they are written.
    pub const ALL: [Self; 21] = [
        Self::Event,
        Self::Kind,
        Self::Reason,
        Self::Pid,
        Self::Comm,
        Self::Cmdline,
        Self::Uid,
        Self::Unit,
        Self::Cgroup,
        Self::SizeBytes,
        Self::SwapBytes,
        Self::OomScoreAdj,
        Self::Signal,
        Self::LimitBytes,
        Self::AvailableBytes,
        Self::AvailablePercent,
        Self::PsiFullPercent,
        Self::DecideUsec,
        Self::FreedBytes,
        Self::Incident,
        Self::DryRun,
    ];

    /// Its name in the journal.
    pub fn journal_name(self) -> &'static str {
        match self {
            Self::Event => "HOGWATCH_EVENT",
            Self::Kind => "HOGWATCH_KIND",
            Self::Reason => "HOGWATCH_REASON",
            Self::Pid => "HOGWATCH_PID",
            Self::Comm => "HOGWATCH_COMM",
            Self::Cmdline => "HOGWATCH_CMDLINE",
            Self::Uid => "HOGWATCH_UID",
            Self::Unit => "HOGWATCH_UNIT",
            Self::Cgroup => "HOGWATCH_CGROUP",
            Self::SizeBytes => "HOGWATCH_SIZE_BYTES",
            Self::SwapBytes => "HOGWATCH_SWAP_BYTES",
            Self::OomScoreAdj => "HOGWATCH_OOM_SCORE_ADJ",
            Self::Signal => "HOGWATCH_SIGNAL",
            Self::LimitBytes => "HOGWATCH_LIMIT_BYTES",
            Self::AvailableBytes => "HOGWATCH_AVAILABLE_BYTES",
            Self::AvailablePercent => "HOGWATCH_AVAILABLE_PERCENT",
            Self::PsiFullPercent => "HOGWATCH_PSI_FULL_PERCENT",
            Self::DecideUsec => "HOGWATCH_DECIDE_USEC",
            Self::FreedBytes => "HOGWATCH_FREED_BYTES",
            Self::Incident => "HOGWATCH_INCIDENT",
            Self::DryRun => "HOGWATCH_DRY_RUN",
        }
    }

    /// Its name in JSON: `size_bytes`.
    pub(super) fn json_name(self) -> String {
        self.journal_name().trim_start_matches("HOGWATCH_").to_ascii_lowercase()
    }

    /// Its value, if this event has one.
    pub(super) fn value<'a>(self, event: &'a Event, origin: &Origin) -> Option<Value<'a>> {
        match self {
            Self::Event => Some(Value::Word(event.event.spec().name)),
            Self::Kind => event.kind.map(Value::Word),
            Self::Reason => name(event.reason.as_bytes()),
            Self::Pid => event.pid.map(number),
            Self::Comm => name(event.comm.as_bytes()),
            Self::Cmdline => name(event.cmdline.as_bytes()),
            Self::Uid => event.uid.map(number),
            Self::Unit => unit_of(event.cgroup.as_bytes()).and_then(name),
            Self::Cgroup => name(event.cgroup.as_bytes()),
            Self::SizeBytes => event.size_bytes.map(number),
            Self::SwapBytes => event.swap_bytes.map(number),
            Self::OomScoreAdj => event.oom_score_adj.map(number),
            Self::Signal => event.signal.map(|signal| Value::Word(signal.as_str())),
            Self::LimitBytes => event.limit_bytes.map(number),
            Self::AvailableBytes => event.available_bytes.map(number),
            Self::AvailablePercent => percent(event.available_percent),
            Self::PsiFullPercent => percent(event.psi_full_percent),
            Self::DecideUsec => event.decide_usec.map(number),
            Self::FreedBytes => event.freed_bytes.map(number),
            Self::Incident => event.incident.map(|n| Value::Incident(origin.started, n)),
            Self::DryRun => origin.dry_run.then_some(Value::Number(1)),
        }
    }
}

fn name(bytes: &[u8]) -> Option<Value<'_>> {
    (!bytes.is_empty()).then_some(Value::Name(bytes))
}

fn number<'a>(number: impl Into<i128>) -> Value<'a> {
    Value::Number(number.into())
}

fn percent<'a>(percent: Option<f64>) -> Option<Value<'a>> {
    percent.filter(|percent| percent.is_finite()).map(Value::Percent)
}
