//! The contract with whoever reads the journal: every event with its priority, message id and fields.
//!
//! `docs/journal.md` and `packaging/catalog/hogwatch.catalog` are checked against this table by a test.

use super::event::EventKind;
use super::field::Field;

/// syslog's severities (syslog(3)), those that are used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Critical: somebody was killed without having a say, or nothing can be done.
    Crit = 2,
    /// Error: an act or a loss.
    Err = 3,
    /// Warning: trouble is near, or the guard is weaker than asked.
    Warning = 4,
    /// Notice: the guard's own life.
    Notice = 5,
    /// Information.
    Info = 6,
}

impl Priority {
    /// The word that `journalctl -p` takes.
    pub fn word(self) -> &'static str {
        match self {
            Self::Crit => "crit",
            Self::Err => "err",
            Self::Warning => "warning",
            Self::Notice => "notice",
            Self::Info => "info",
        }
    }
}

/// One event's row.
#[derive(Debug)]
pub struct EventSpec {
    /// Which event.
    pub event: EventKind,
    /// `HOGWATCH_EVENT`.
    pub name: &'static str,
    /// `PRIORITY`.
    pub priority: Priority,
    /// `MESSAGE_ID`: 128 random bits, never to be changed.
    pub message_id: &'static str,
    groups: &'static [&'static [Field]],
}

impl EventSpec {
    /// The fields such an entry has, as far as they are known at the time.
    pub fn fields(&self) -> impl Iterator<Item = Field> {
        self.groups.iter().copied().flatten().copied()
    }
}

const COMMON: &[Field] = &[Field::Event, Field::Kind, Field::Reason, Field::Incident, Field::DryRun];
const PLACE: &[Field] = &[Field::Unit, Field::Cgroup];
const PROCESS: &[Field] = &[
    Field::Pid,
    Field::Comm,
    Field::Cmdline,
    Field::Uid,
    Field::Unit,
    Field::Cgroup,
    Field::SizeBytes,
    Field::SwapBytes,
    Field::OomScoreAdj,
];
const MEMORY: &[Field] = &[Field::LimitBytes, Field::AvailableBytes, Field::AvailablePercent, Field::PsiFullPercent];
const SIGNAL: &[Field] = &[Field::Signal];
const DECIDED: &[Field] = &[Field::DecideUsec];
const FREED: &[Field] = &[Field::FreedBytes];

const fn row(
    event: EventKind,
    name: &'static str,
    priority: Priority,
    message_id: &'static str,
    groups: &'static [&'static [Field]],
) -> EventSpec {
    EventSpec { event, name, priority, message_id, groups }
}

/// All events, in the order of [`EventKind`].
#[rustfmt::skip]
pub const EVENTS: [EventSpec; 20] = [
    row(EventKind::Start, "start", Priority::Notice, "ecb1a5e4bda24abfa1a93bfeb9aef19b", &[COMMON, MEMORY]),
    row(EventKind::Stop, "stop", Priority::Notice, "ee57293d4051427cb3f3b1acf9e0af62", &[COMMON]),
    row(EventKind::Reload, "reload", Priority::Notice, "08d5552f14b344fb93a75bc18184c69e", &[COMMON]),
    row(EventKind::ConfigRejected, "config_rejected", Priority::Err, "1d90270bc6934897aa462a1eaeb04177", &[COMMON]),
    row(EventKind::State, "state", Priority::Info, "6431f22362d44429a08a1267c678541f", &[COMMON, MEMORY]),
    row(EventKind::Warn, "warn", Priority::Warning, "258cb52e226c466ea7376a1191f4c6a8", &[COMMON, PLACE, MEMORY]),
    row(EventKind::Term, "term", Priority::Err, "16feeffcc7424546b630deaebbb48b00", &[COMMON, PROCESS, SIGNAL, MEMORY, DECIDED]),
    row(EventKind::Kill, "kill", Priority::Crit, "14ac721d6752458fbf2b18d6e8c687b5", &[COMMON, PROCESS, SIGNAL, MEMORY, DECIDED]),
    row(EventKind::Exited, "exited", Priority::Err, "a4ef25450c184b8ea9fb22c0fd6aa9a6", &[COMMON, PROCESS, SIGNAL, MEMORY, FREED]),
    row(EventKind::SetAside, "set_aside", Priority::Err, "79d8a80e062c4c1396782a5b24e32027", &[COMMON, PROCESS, SIGNAL, MEMORY]),
    row(EventKind::Refused, "refused", Priority::Crit, "409cffeaf4784ef29a9d4fb76eff5eee", &[COMMON, PROCESS, MEMORY]),
    row(EventKind::Livelock, "livelock", Priority::Err, "3ea68a65fd4b496897fa8d4bb9019d08", &[COMMON, PLACE, MEMORY]),
    row(EventKind::OomStuck, "oom_stuck", Priority::Crit, "6e3ed87274e547bba80e742d95c5d847", &[COMMON, PROCESS, MEMORY]),
    row(EventKind::Lift, "lift", Priority::Err, "81c4e25597624d2a976b201205801b74", &[COMMON, PLACE, MEMORY]),
    row(EventKind::LiftRestored, "lift_restored", Priority::Notice, "ee66a506c9954b1780c6d4c634777a08", &[COMMON, PLACE, MEMORY]),
    row(EventKind::KernelOom, "kernel_oom", Priority::Crit, "92df76bb622d4706aee83231be027494", &[COMMON, PROCESS, MEMORY]),
    row(EventKind::OomdKill, "oomd_kill", Priority::Err, "bb8530b2858346c884b400252855b2d6", &[COMMON, PROCESS, MEMORY]),
    row(EventKind::Recovered, "recovered", Priority::Notice, "d94fe31a7c694bf8b115cd3f52cc86de", &[COMMON, PLACE, MEMORY]),
    row(EventKind::Degraded, "degraded", Priority::Warning, "79fc7efffd5340949c1518f50459ff49", &[COMMON, PLACE]),
    row(EventKind::Dropped, "dropped", Priority::Err, "d346021f81294409965bffb0f350021b", &[COMMON]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_finds_its_own_row() {
        for spec in &EVENTS {
            assert_eq!(spec.event.spec().name, spec.name);
            assert_eq!(spec.event.spec().event, spec.event);
        }
    }

    #[test]
    fn message_ids_are_distinct_and_well_formed() {
        for (i, spec) in EVENTS.iter().enumerate() {
            let id = spec.message_id;
            assert!(id.len() == 32 && id.bytes().all(|c| b"0123456789abcdef".contains(&c)), "{id}");
            assert!(EVENTS[..i].iter().all(|other| other.message_id != id), "{id} twice");
        }
    }

    #[test]
    fn no_field_is_listed_twice() {
        for spec in &EVENTS {
            let fields: Vec<Field> = spec.fields().collect();
            for (i, field) in fields.iter().enumerate() {
                assert!(!fields[..i].contains(field), "{}: {field:?}", spec.name);
            }
        }
    }
}
