//! The status document as the view uses it. What is missing is absent, so that a daemon of another version can be watched.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde_json::Value as Json;

use crate::decide::livelock::Kind;
use crate::report::Escaped;

/// Text that came from somebody else, harmless in a terminal. A daemon escapes what it sends; whoever else listens at its
/// socket may not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub struct Words(String);

impl From<String> for Words {
    fn from(raw: String) -> Self {
        Self(Escaped(raw.as_bytes()).to_string())
    }
}

impl Words {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What `hogwatch status --json` prints; see `docs/json.md`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Document {
    pub daemon: Daemon,
    pub memory: Memory,
    pub limits: Option<Limits>,
    pub swap: Swap,
    pub psi: Psi,
    pub cgroups: Vec<Cgroup>,
    pub more_cgroups: Option<u64>,
    pub events: Vec<Event>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Daemon {
    pub pid: Option<i32>,
    pub dry_run: Option<bool>,
    pub version: Option<Words>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Memory {
    pub total_bytes: Option<u64>,
    pub available_bytes: Option<u64>,
    pub available_percent: Option<f64>,
    pub scope: Option<Words>,
    pub seen_ms: Option<u64>,
}

/// Thresholds on available memory, in bytes.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Limits {
    pub warn_bytes: u64,
    pub term_bytes: u64,
    pub kill_bytes: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Swap {
    pub total_bytes: Option<u64>,
    pub free_bytes: Option<u64>,
}

/// Percents, 0 to 100.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Psi {
    pub some_avg10: Option<f64>,
    pub full_avg10: Option<f64>,
}

/// A cgroup at its limit, or a limit around the guard. Sizes in bytes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Cgroup {
    pub path: Words,
    pub current: Option<u64>,
    pub high: Option<u64>,
    pub max: Option<u64>,
    pub stall_percent: Option<f64>,
    pub state: Option<Words>,
    pub doing: Option<Words>,
}

/// An entry of the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Event {
    pub t_ms: u64,
    pub priority: Words,
    pub message: Words,
}

impl Document {
    /// # Errors
    /// It is none.
    pub fn read(json: Json) -> Result<Self, String> {
        serde_json::from_value(json).map_err(|e| format!("the answer is not a status document: {e}"))
    }

    /// Takes the machine's numbers from one that was made just now: a guard leaves it up to five seconds to look again
    /// while all is well. Not where a limit around the guard is scarcer, which others may not see.
    pub fn freshen(&mut self, fresh: Self) {
        if self.memory.scope.as_ref().map(Words::as_str) == Some("host") {
            let seen_ms = self.memory.seen_ms;
            self.memory = Memory { seen_ms, ..fresh.memory };
        }
        self.swap = fresh.swap;
        self.psi = fresh.psi;
    }

    /// When the guard last looked.
    pub fn seen_at(&self) -> Option<SystemTime> {
        self.memory.seen_ms.and_then(|ms| SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(ms)))
    }

    /// The worst of the cgroups that are stuck: the daemon lists them worst first.
    pub fn worst_stuck(&self) -> Option<(&Cgroup, Kind)> {
        self.cgroups.iter().find_map(|cgroup| Some((cgroup, cgroup.stuck()?)))
    }
}

impl Cgroup {
    /// How it is stuck, if it is.
    pub fn stuck(&self) -> Option<Kind> {
        let state = self.state.as_ref()?.as_str();
        Kind::ALL.into_iter().chain([Kind::Pressure]).find(|kind| kind.name() == state)
    }

    /// Whether it is at a limit of its own, and not a limit that only encloses the guard.
    pub fn is_at_limit(&self) -> bool {
        self.state.is_some() || self.stall_percent.is_some()
    }
}

impl Event {
    pub fn at(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(self.t_ms)).unwrap_or(SystemTime::UNIX_EPOCH)
    }
}
