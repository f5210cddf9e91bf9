//! The livelock detector: which cgroup is stuck at its limit and will not come free by itself.
//!
//! Pure: [`Sample`]s of one cgroup go in, a [`Verdict`] comes out. No I/O, no clock, and no allocation after a [`Table`]
//! was made. A verdict rests on differences of the kernel's running totals over a window, never on its averages, so it is
//! as good after a gap between two samples as without one. The mechanism, the kinds, and every threshold with its margin
//! stand in `docs/livelock.md`.

mod detector;
mod episode;
mod machine;
mod rules;
mod scope;
mod sums;
mod table;

use std::time::Duration;

use crate::observe::parse::{Limit, MemoryStat};

pub use detector::Detector;
pub use episode::Episodes;
pub use machine::{MachineDetector, MachineEpisode, MachineSample, MachineStall, MachineVerdict};
pub use rules::{Findings, Judgement, Rule, Sense, Unit};
pub use scope::{Scope, glob_matches, scope};
pub use table::Table;

/// What a cgroup's files said at one moment. Counters are totals since the cgroup was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When, on a clock that only goes forward.
    pub t: Duration,
    /// `memory.current`, in bytes.
    pub current: u64,
    /// `memory.high`.
    pub high: Limit,
    /// `memory.max`.
    pub max: Limit,
    /// `memory.swap.max`.
    pub swap_max: Limit,
    /// `memory.swap.current`, in bytes; 0 where swap is not accounted.
    pub swap_current: u64,
    /// The cgroup's own counts.
    pub events: Events,
    /// `full total=` of `memory.pressure`, in microseconds.
    pub full_total_us: u64,
    /// Of `memory.stat`, when it was read: without it nothing is found but [`Kind::OomStuck`].
    pub stat: Option<Stat>,
    /// Tasks that sleep in the kernel's `mem_cgroup_handle_over_high`, when somebody looked: one sign more, not needed.
    pub over_high_tasks: Option<u32>,
}

/// Counts of `memory.events.local`: the cgroup's own, because a parent's limit is the parent's case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// `high`: reclaimed or put to sleep above `memory.high`.
    pub high: u64,
    /// `max`: about to exceed `memory.max`.
    pub max: u64,
    /// `oom`: at `memory.max` with nothing to reclaim.
    pub oom: u64,
    /// `oom_kill` of `memory.events`, the hierarchical one: the kernel counts a kill where the victim lived.
    pub oom_kill: u64,
}

/// What the detector needs of `memory.stat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// Anonymous memory, in bytes.
    pub anon: u64,
    /// Page cache that reclaim can take (both file lists), in bytes.
    pub file_lru: u64,
    /// Pages reclaimed.
    pub pgsteal: u64,
    /// Anonymous pages needed again after they were reclaimed.
    pub refault_anon: u64,
    /// File pages needed again after they were reclaimed.
    pub refault_file: u64,
    /// Of these, pages that had been in steady use before: the kernel itself says that the working set does not fit.
    pub restore_file: u64,
}

impl Stat {
    /// From a `memory.stat` that was read; `None` when it lacks what no kernel with cgroup v2 lacks. Linux < 5.9 does not
    /// count refaults of anonymous pages: there swap thrash cannot be told.
    #[must_use]
    pub fn of(stat: &MemoryStat) -> Option<Self> {
        Some(Self {
            anon: stat.anon?,
            file_lru: stat.inactive_file?.saturating_add(stat.active_file?),
            pgsteal: stat.pgsteal?,
            refault_anon: stat.workingset_refault_anon.unwrap_or(0),
            refault_file: stat.workingset_refault_file?,
            restore_file: stat.workingset_restore_file.unwrap_or(0),
        })
    }
}

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
}

impl Kind {
    /// All, in the order in which they win over each other.
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
        match (sample.high, sample.max) {
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
    /// The limit it is stuck at.
    pub limit: Judged,
    /// The window it was judged over.
    pub window: Duration,
    /// Share of that window in which no task of the cgroup could run, 0 to 1.
    pub stalled: f64,
    /// Mean use in the window, as a share of the limit.
    pub fill: f64,
}
