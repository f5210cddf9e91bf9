//! How scarce memory is: each scope (the machine, an enclosing cgroup) held against the thresholds.

use std::time::Duration;

use crate::config::{self, Amount, PercentOf, Scope, SwapMode, ZfsArc};
use crate::observe::cgroups::{CgroupPath, is_within};
use crate::observe::parse::Meminfo;
use crate::observe::{Enclosing, Machine, Observation};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Above `warn`.
    Calm,
    /// At or below `warn`.
    Warn,
    /// At or below `term`.
    Term,
    /// At or below `kill`.
    Kill,
}

/// Whose memory it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The machine's: every process is a candidate.
    Machine,
    /// An enclosing cgroup's: only what lives in it is a candidate.
    Cgroup(CgroupPath),
}

impl Whose {
    /// Whether a process in `cgroup` is in this scope. One whose cgroup is unknown is only the machine's.
    #[must_use]
    pub fn holds(&self, cgroup: Option<&[u8]>) -> bool {
        match self {
            Self::Machine => true,
            Self::Cgroup(path) => cgroup.is_some_and(|c| is_within(c, path.as_bytes())),
        }
    }
}

/// What ran short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Memory.
    Memory,
    /// Swap (`swap.mode = "or"`).
    Swap,
}

/// One scope measured. All sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// Whose memory.
    pub whose: Whose,
    /// How bad it is.
    pub level: Level,
    /// What the level comes from.
    pub resource: Resource,
    /// MemTotal, or the cgroup's limit.
    pub total: u64,
    /// What percents are of: `total`, or MemAvailable + AnonPages.
    pub base: u64,
    /// What can still be had.
    pub available: u64,
    /// The threshold `memory.warn`.
    pub warn: u64,
    /// The threshold `memory.term`.
    pub term: u64,
    /// The threshold `memory.kill`.
    pub kill: u64,
    /// Swap there is.
    pub swap_total: u64,
    /// Swap not in use.
    pub swap_free: u64,
    /// The threshold `swap.term`.
    pub swap_term: u64,
    /// The threshold `swap.kill`.
    pub swap_kill: u64,
}

impl Reading {
    /// `available` in percent of `base`.
    #[must_use]
    pub fn available_percent(&self) -> f64 {
        percent(self.available, self.base)
    }

    /// What is left of the resource that ran short.
    #[must_use]
    pub fn left(&self) -> u64 {
        match self.resource {
            Resource::Memory => self.available,
            Resource::Swap => self.swap_free,
        }
    }

    /// How much must come back for nothing to be done any more.
    #[must_use]
    pub fn deficit(&self) -> u64 {
        match self.resource {
            Resource::Memory => self.term.saturating_sub(self.available),
            Resource::Swap => self.swap_term.saturating_sub(self.swap_free),
        }
    }

    /// How much can still be allocated before the next thing happens: `term`, or `kill` once there.
    #[must_use]
    pub fn headroom(&self) -> u64 {
        let memory = self.available.saturating_sub(if self.level < Level::Term { self.term } else { self.kill });
        match self.resource {
            Resource::Memory => memory,
            Resource::Swap => memory.min(self.swap_free.saturating_sub(if self.level < Level::Term {
                self.swap_term
            } else {
                self.swap_kill
            })),
        }
    }
}

/// `part` in percent of `whole`; 100 of nothing.
#[must_use]
pub fn percent(part: u64, whole: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a percent is for people: 2^53 bytes are 8 PiB")]
    if whole == 0 { 100.0 } else { part as f64 * 100.0 / whole as f64 }
}

/// The share of time that tasks stalled, from the counters of two looks at PSI.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stall {
    last: Option<(Duration, u64)>,
    full_percent: Option<f64>,
}

impl Stall {
    /// A shorter window says little: the kernel adds up in slices of this order.
    const WINDOW: Duration = Duration::from_secs(1);

    fn update(&mut self, machine: &Machine, now: Duration) {
        let Some(total_us) = machine.pressure.and_then(|p| p.full).map(|full| full.total_us) else { return };
        match self.last {
            Some((then, before)) if now.saturating_sub(then) >= Self::WINDOW => {
                let window = now.saturating_sub(then).as_micros();
                let stalled = u128::from(total_us.saturating_sub(before));
                #[expect(clippy::cast_precision_loss, reason = "microseconds of a window of seconds")]
                let share = (stalled as f64 * 100.0 / window as f64).min(100.0);
                self.full_percent = Some(share);
                self.last = Some((now, total_us));
            }
            Some(_) => {}
            None => self.last = Some((now, total_us)),
        }
    }

    /// Percent of the last window (a second at least) in which all tasks stalled on memory.
    #[must_use]
    pub fn full_percent(&self) -> Option<f64> {
        self.full_percent
    }
}

/// Above this stall share (percent) the ZFS cache is evidently not being given back and does not count as available: a
/// healthy machine that merely shrinks its ARC stalls for a percent or two.
const ARC_STUCK_PERCENT: f64 = 10.0;

/// Holds observations against the thresholds of a configuration.
#[derive(Clone, Debug)]
pub struct Gauge {
    memory: config::Memory,
    swap: config::Swap,
    /// The machine's stall share.
    pub stall: Stall,
    /// Whether the machine's memory may fall below `warn` for this guard: not while another one sees to it.
    pub machine_is_ours: bool,
}

impl Gauge {
    /// A gauge for these thresholds.
    #[must_use]
    pub fn new(memory: &config::Memory, swap: &config::Swap) -> Self {
        Self { memory: memory.clone(), swap: swap.clone(), stall: Stall::default(), machine_is_ours: true }
    }

    /// Takes the thresholds of another configuration.
    pub fn reconfigure(&mut self, memory: &config::Memory, swap: &config::Swap) {
        self.memory = memory.clone();
        self.swap = swap.clone();
    }

    /// Notes the machine's pressure. Once an observation, before [`Gauge::worst`].
    pub fn note(&mut self, machine: &Machine, now: Duration) {
        self.stall.update(machine, now);
    }

    /// The scope that is worst off; among equals the narrowest, so that an act stays where the trouble is.
    #[must_use]
    pub fn worst(&self, obs: &Observation<'_>) -> Reading {
        let machine = self.machine(obs.machine);
        let narrower = obs.enclosing.iter().map(|e| self.enclosing(e, obs.machine));
        let urgency = |r: &Reading| (r.level, std::cmp::Reverse(r.headroom()));
        match self.memory.scope {
            Scope::Host => machine,
            Scope::Cgroup => narrower.max_by_key(urgency).unwrap_or(machine),
            Scope::Auto => {
                // `max_by_key` takes the last of equals: the machine first, then from the outermost limit inwards.
                std::iter::once(machine).chain(narrower.rev()).max_by_key(urgency).unwrap_or(machine)
            }
        }
    }

    /// The scope of an earlier reading, measured again; `None` when its limit is gone.
    #[must_use]
    pub fn again(&self, whose: &Whose, obs: &Observation<'_>) -> Option<Reading> {
        match whose {
            Whose::Machine => Some(self.machine(obs.machine)),
            Whose::Cgroup(path) => {
                obs.enclosing.iter().find(|e| e.path == *path).map(|e| self.enclosing(e, obs.machine))
            }
        }
    }

    /// The machine.
    #[must_use]
    pub fn machine(&self, machine: &Machine) -> Reading {
        let info = &machine.meminfo;
        let cache = machine.arc.map_or(0, |arc| arc.size.saturating_sub(arc.c_min));
        let counted = match self.memory.zfs_arc {
            ZfsArc::Count => cache,
            ZfsArc::Ignore => 0,
            ZfsArc::Auto if self.stall.full_percent.is_some_and(|p| p >= ARC_STUCK_PERCENT) => 0,
            ZfsArc::Auto => cache,
        };
        let available = info.available().unwrap_or(0).saturating_add(counted).min(info.mem_total);
        let base = match self.memory.percent_of {
            PercentOf::Total => info.mem_total,
            PercentOf::User => available.saturating_add(info.anon_pages.unwrap_or(0)),
        };
        let mut reading = self.reading(&Whose::Machine, info.mem_total, base, available, swap_of(info), |a| a.of(base));
        if !self.machine_is_ours {
            reading.level = reading.level.min(Level::Warn);
        }
        reading
    }

    fn enclosing(&self, cgroup: &Enclosing, machine: &Machine) -> Reading {
        let available = cgroup.available();
        let base = match self.memory.percent_of {
            PercentOf::Total => cgroup.limit,
            PercentOf::User => available.saturating_add(cgroup.anon),
        };
        let info = &machine.meminfo;
        let (total, free) = swap_of(info);
        let swap = match cgroup.swap {
            Some(s) => (s.max.min(total), s.max.saturating_sub(s.current).min(free)),
            None => (total, free),
        };
        // A size was chosen with the whole machine in mind; a cgroup gets its share of it.
        let scale = percent(cgroup.limit, info.mem_total).min(100.0);
        self.reading(&Whose::Cgroup(cgroup.path), cgroup.limit, base, available, swap, |a| match a {
            Amount::Percent(_) => a.of(base),
            Amount::Bytes(bytes) => Amount::Percent(scale).of(bytes),
        })
    }

    fn reading(
        &self,
        whose: &Whose,
        total: u64,
        base: u64,
        available: u64,
        (swap_total, swap_free): (u64, u64),
        bytes: impl Fn(Amount) -> u64,
    ) -> Reading {
        let mut reading = Reading {
            whose: *whose,
            level: Level::Calm,
            resource: Resource::Memory,
            total,
            base,
            available,
            warn: bytes(self.memory.warn),
            term: bytes(self.memory.term),
            kill: bytes(self.memory.kill),
            swap_total,
            swap_free,
            swap_term: self.swap.term.of(swap_total),
            swap_kill: self.swap.kill.of(swap_total),
        };
        let memory = level(available, reading.kill, reading.term).max(if available <= reading.warn {
            Level::Warn
        } else {
            Level::Calm
        });
        let swap = level(swap_free, reading.swap_kill, reading.swap_term);
        (reading.level, reading.resource) = match self.swap.mode {
            SwapMode::Ignore => (memory, Resource::Memory),
            // Both must be low; a machine without swap has none to wait for.
            SwapMode::And if swap_total > 0 => (memory.min(swap.max(Level::Warn)), Resource::Memory),
            SwapMode::Or if swap_total > 0 && swap > memory => (swap, Resource::Swap),
            SwapMode::And | SwapMode::Or => (memory, Resource::Memory),
        };
        reading
    }
}

fn level(left: u64, kill: u64, term: u64) -> Level {
    if left <= kill {
        Level::Kill
    } else if left <= term {
        Level::Term
    } else {
        Level::Calm
    }
}

/// Swap there is and swap not in use. A kernel that does not tell how much is free is taken to have all of it free: "low
/// on swap" is a reason to kill.
fn swap_of(info: &Meminfo) -> (u64, u64) {
    let total = info.swap_total.unwrap_or(0);
    (total, info.swap_free.unwrap_or(total))
}
