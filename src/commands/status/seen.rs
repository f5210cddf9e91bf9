//! The status document as it is shown. What is missing is absent, so that a daemon of another version can be asked.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde_json::Value as Json;

use crate::commands::running::Running;
use crate::decide::livelock::Kind;
use crate::decide::measure::Level;
use crate::report::{Escaped, Size};

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
    pub running: Option<bool>,
    pub pid: Option<i32>,
    pub dry_run: Option<bool>,
    pub version: Option<Words>,
    pub config: Option<Running>,
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
    pub zram: Option<Zram>,
}

/// Swap that lives in memory, in bytes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Zram {
    pub stored_bytes: u64,
    pub memory_bytes: u64,
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
        self.swap = Swap { zram: self.swap.zram.take(), ..fresh.swap };
        self.psi = fresh.psi;
    }

    /// When the guard last looked.
    pub fn seen_at(&self) -> Option<SystemTime> {
        self.memory.seen_ms.and_then(|ms| SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(ms)))
    }

    /// How scarce memory is by the thresholds; `None` where they, or what is available, are not known.
    pub fn level(&self) -> Option<(Level, Limits)> {
        let (available, limits) = (self.memory.available_bytes?, self.limits?);
        let level = match available {
            a if a <= limits.kill_bytes => Level::Kill,
            a if a <= limits.term_bytes => Level::Term,
            a if a <= limits.warn_bytes => Level::Warn,
            _ => Level::Calm,
        };
        Some((level, limits))
    }

    /// The worst of the cgroups that are stuck: the daemon lists them worst first.
    pub fn worst_stuck(&self) -> Option<(&Cgroup, Kind)> {
        self.cgroups.iter().find_map(|cgroup| Some((cgroup, cgroup.stuck()?)))
    }
}

/// How scarce memory is, in words.
pub fn level_words(level: Level) -> &'static str {
    match level {
        Level::Calm => "above warn",
        Level::Warn => "AT OR BELOW warn",
        Level::Term => "AT OR BELOW SIGTERM",
        Level::Kill => "AT OR BELOW SIGKILL",
    }
}

/// A size, or `?` where it is not known.
pub fn size(bytes: Option<u64>) -> String {
    bytes.map_or("?".to_owned(), |bytes| Size(bytes).to_string())
}

/// A limit, or `max` where there is none.
pub fn limit(bytes: Option<u64>) -> String {
    bytes.map_or("max".to_owned(), |bytes| Size(bytes).to_string())
}

/// Where a cgroup is between its limits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Band {
    /// The share of the way from `memory.high` to `memory.max`, 0 to 1; from nothing, where there is no `memory.high`.
    Share(f64),
    /// Percent above `memory.high`, where there is no `memory.max`.
    Above(f64),
    /// It has no limit of its own.
    Free,
}

impl Cgroup {
    #[expect(clippy::cast_precision_loss, reason = "for a picture of ten cells")]
    pub fn band(&self) -> Band {
        let current = self.current.unwrap_or(0);
        let share = |from: u64, to: u64| {
            let share = current.saturating_sub(from) as f64 / to.saturating_sub(from).max(1) as f64;
            Band::Share(share.clamp(0.0, 1.0))
        };
        match (self.high, self.max) {
            (Some(high), Some(max)) if high < max => share(high, max),
            (_, Some(max)) => share(0, max),
            (Some(high), None) => Band::Above((current as f64 / high.max(1) as f64 - 1.0) * 100.0),
            (None, None) => Band::Free,
        }
    }

    /// How it is stuck, if it is: as the detector finds it now, or where it pauses just now while something is still being
    /// done about it, as a cgroup at such a limit mostly is.
    pub fn stuck(&self) -> Option<Kind> {
        let state = self.state.as_ref()?.as_str();
        let found = Kind::ALL.into_iter().chain([Kind::Pressure]).find(|kind| kind.name() == state);
        let mostly = if self.high.is_some() { Kind::Throttled } else { Kind::Thrash };
        found.or(self.doing.is_some().then_some(mostly))
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
