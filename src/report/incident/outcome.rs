//! How an incident ended, in one word, and in a few.

use std::fmt;

use super::answer::only_hogwatch_ended;
use super::schema::{Cause, Incident, State};
use crate::report::Size;

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The machine froze or was reset.
    UncleanEnd,
    /// Nothing was done, only said (a dry run).
    Pretended,
    /// Somebody was ended: by us, or by another killer.
    Ended,
    /// A victim did not die.
    SetAside,
    /// A signal was sent; nobody saw the exit (yet).
    Signalled,
    /// `memory.high` was raised.
    Lifted,
    /// Nobody was signalled, though it was needed.
    Refused,
    /// A warning was all.
    Warned,
}

impl Outcome {
    /// From what was done.
    #[must_use]
    pub fn of(incident: &Incident) -> Self {
        let happened = |name: &str| incident.events.iter().chain(&incident.acts).any(|entry| entry.event == name);
        match incident.cause {
            _ if incident.kind == "unclean_end" => Self::UncleanEnd,
            Cause::Kernel | Cause::SystemdOomd => Self::Ended,
            _ if incident.dry_run => Self::Pretended,
            Cause::Hogwatch | Cause::Unknown => match () {
                () if happened("exited") => Self::Ended,
                () if happened("set_aside") => Self::SetAside,
                () if happened("term") || happened("kill") => Self::Signalled,
                () if happened("lift") => Self::Lifted,
                () if happened("refused") || happened("oom_stuck") => Self::Refused,
                () => Self::Warned,
            },
        }
    }

    /// The word of `incidents --json`. It never changes.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::UncleanEnd => "unclean_end",
            Self::Pretended => "pretended",
            Self::Ended => "ended",
            Self::SetAside => "set_aside",
            Self::Signalled => "signalled",
            Self::Lifted => "lifted",
            Self::Refused => "refused",
            Self::Warned => "warned",
        }
    }
}

/// What a person wants to know of it in a column: `12.1 GiB freed`, `refused`.
#[must_use]
pub fn in_short(incident: &Incident) -> impl fmt::Display {
    let (outcome, after, open) = (Outcome::of(incident), incident.after, incident.state == State::Open);
    let same_boot = only_hogwatch_ended(incident);
    fmt::from_fn(move |f| {
        let freed = after.and_then(|after| after.freed_bytes);
        match (outcome, freed) {
            (Outcome::UncleanEnd, _) if same_boot => f.write_str("hogwatch died")?,
            (Outcome::UncleanEnd, _) => f.write_str("machine died")?,
            (Outcome::Pretended, _) => f.write_str("dry run")?,
            (Outcome::Ended, Some(0)) => f.write_str("nothing freed")?,
            (Outcome::Ended, Some(bytes)) => write!(f, "{} freed", Size(bytes))?,
            (Outcome::Ended, None) => f.write_str("ended")?,
            (Outcome::SetAside, _) => f.write_str("did not die")?,
            (Outcome::Signalled, _) => f.write_str("signalled")?,
            (Outcome::Lifted, _) => f.write_str("lifted")?,
            (Outcome::Refused, _) => f.write_str("refused")?,
            (Outcome::Warned, _) => f.write_str("warned")?,
        }
        match after.and_then(|after| after.unit_restarted) {
            Some(false) => f.write_str(", down")?,
            Some(true) => f.write_str(", restarted")?,
            None if open => f.write_str(", open")?,
            None => {}
        }
        Ok(())
    })
}
