//! The livelock detector: which cgroup is stuck at its limit and will not come free by itself.
//!
//! Pure: [`Sample`]s of one cgroup go in, a [`Verdict`] comes out. No I/O, no clock, no allocation. A verdict rests on differences of the kernel's running totals over a window, never on its averages, so it is
//! as good after a gap between two samples as without one. The mechanism, the kinds, and every threshold with its margin
//! stand in `docs/livelock.md`.

mod detector;
mod episode;
mod machine;
mod rules;
mod scope;
mod sums;

use std::time::Duration;

use crate::observe::parse::Limit;

pub use crate::observe::cgroup_files::{Events, Sample, Stat};
pub use detector::Detector;
pub use episode::Episodes;
pub use machine::{MachineDetector, MachineEpisode, MachineSample, MachineStall, MachineVerdict};
pub(super) use rules::least_stall;
pub use rules::{Findings, Judgement, Rule, Sense, Unit};
pub use scope::{Scope, glob_matches, scope};

/// How long is long enough, for one cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// `livelock.after`: the window for throttled and squeezed; 6 s at least.
    pub after: Duration,
    /// `livelock.thrash_after`: the window for both kinds of thrash; 6 s at least.
    pub thrash_after: Duration,
    /// The kernel's page size, in bytes: `memory.stat` counts pages.
    pub page_size: u64,
}

/// How a cgroup is stuck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Above `memory.high` with nothing to reclaim: the kernel puts every task that allocates to sleep, for ever.
    Throttled,
    /// At the limit, the page cache squeezed out: what little is left is reclaimed and needed again at once.
    Squeezed,
    /// At the limit, the working set of files is reclaimed and read again, over and over. It still moves, slowly.
    Thrash,
    /// At the limit, the working set is swapped out and in, over and over. It still moves, slowly.
    SwapThrash,
    /// The kernel finds no task to kill at `memory.max`, over and over. Nothing that a kill of ours could end.
    OomStuck,
    /// Stalled for as long as `[pressure]` allows: not found by the detector, but by [`super::pressure`].
    Pressure,
}

impl Kind {
    /// Those that the detector finds, in the order in which they win over each other.
    pub const ALL: [Self; 5] = [Self::Throttled, Self::Squeezed, Self::SwapThrash, Self::Thrash, Self::OomStuck];

    /// Its name in the journal and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::Squeezed => "squeezed",
            Self::Thrash => "thrash",
            Self::SwapThrash => "swap_thrash",
            Self::OomStuck => "oom_stuck",
            Self::Pressure => "pressure",
        }
    }
}

/// The limit that a cgroup is judged at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// `memory.high`: finite, and below `memory.max`.
    High(u64),
    /// `memory.max`, where no `memory.high` comes first.
    Max(u64),
}

impl Judged {
    /// The limit to judge this sample at; `None` where there is none, and so no case.
    #[must_use]
    pub fn of(sample: &Sample) -> Option<Self> {
        Self::at(sample.high, sample.max)
    }

    /// The same for these values of `memory.high` and `memory.max`.
    #[must_use]
    pub fn at(high: Limit, max: Limit) -> Option<Self> {
        match (high, max) {
            (Limit::Bytes(high), Limit::Bytes(max)) if high < max => Some(Self::High(high)),
            (Limit::Bytes(high), Limit::Max) => Some(Self::High(high)),
            (_, Limit::Bytes(max)) => Some(Self::Max(max)),
            (Limit::Max, Limit::Max) => None,
        }
    }

    /// The limit in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        match self {
            Self::High(bytes) | Self::Max(bytes) => bytes,
        }
    }

    /// The name of its file.
    #[must_use]
    pub const fn file(self) -> &'static str {
        match self {
            Self::High(_) => "memory.high",
            Self::Max(_) => "memory.max",
        }
    }
}

/// What a cgroup's samples amount to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// It has not touched its limit for a whole window.
    Quiet,
    /// It is at its limit; not stuck, or not for long enough to tell.
    Watching,
    /// It is stuck.
    Stalled(Stall),
}

/// A cgroup that is stuck.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stall {
    /// How.
    pub kind: Kind,
    /// Since when at least, on the samples' clock.
    pub since: Duration,
    /// The time of the sample that showed it.
    pub seen: Duration,
    /// The limit it is stuck at; pressure needs none.
    pub limit: Option<Judged>,
    /// The window it was judged over.
    pub window: Duration,
    /// Share of that window in which no task of the cgroup could run, 0 to 1.
    pub stalled: f64,
    /// Mean use in the window, as a share of the limit; 0 without one.
    pub fill: f64,
    /// Share of the processors' work that programs got, 0 to 1; of the machine as a whole only.
    pub programs: Option<f64>,
}
