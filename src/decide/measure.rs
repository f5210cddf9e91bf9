//! How scarce memory is: each scope (the machine, an enclosing cgroup) held against the thresholds.

use std::time::Duration;

use crate::config::{self, Amount, Config, PercentOf, Scope, SwapMode, ZfsArc};
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
    /// Whether swap counts; never where there is none.
    pub swap_mode: SwapMode,
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

    /// What a death gives back, of the kind that ran short. Swap of the victim's counts beside its memory: what the
    /// kernel pages out is not freed, and a swapped-out victim frees what the others can be paged out to.
    #[must_use]
    pub fn free(&self, resource: Resource) -> u64 {
        match resource {
            Resource::Memory => self.available.saturating_add(self.swap_free),
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
        let (memory, swap) =
            if self.level < Level::Term { (self.term, self.swap_term) } else { (self.kill, self.swap_kill) };
        let memory = self.available.saturating_sub(memory);
        let swap = self.swap_free.saturating_sub(swap);
        match self.swap_mode {
            SwapMode::Ignore => memory,
            SwapMode::And => memory.max(swap),
            SwapMode::Or => memory.min(swap),
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
    limits: config::CgroupLimits,
    /// The machine's stall share.
    pub stall: Stall,
    /// Whether the machine's memory may fall below `warn` for this guard: not while another one sees to it.
    pub machine_is_ours: bool,
}

impl Gauge {
    /// A gauge for these thresholds.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            memory: config.memory.clone(),
            swap: config.swap.clone(),
            limits: config.cgroup_limits.clone(),
            stall: Stall::default(),
            machine_is_ours: true,
        }
    }

    /// Takes the thresholds of another configuration.
    pub fn reconfigure(&mut self, config: &Config) {
        self.memory = config.memory.clone();
        self.swap = config.swap.clone();
        self.limits = config.cgroup_limits.clone();
    }

    /// Notes the machine's pressure. Once an observation, before [`Gauge::worst`].
    pub fn note(&mut self, machine: &Machine, now: Duration) {
        self.stall.update(machine, now);
    }

    /// The scope that is worst off; among equals the narrowest, so that an act stays where the trouble is.
    #[must_use]
    pub fn worst(&self, obs: &Observation<'_>) -> Reading {
        worst_of(self.watched(obs)).unwrap_or_else(|| self.machine(obs.machine))
    }

    /// Every scope that counts, the machine first, then from the outermost limit inwards.
    pub fn watched<'a>(&'a self, obs: &'a Observation<'_>) -> impl Iterator<Item = Reading> + 'a {
        let machine = match self.memory.scope {
            Scope::Auto | Scope::Host => true,
            // Where nothing encloses, there is only the machine.
            Scope::Cgroup => obs.enclosing.iter().all(|e| e.chosen),
        };
        let limits = obs.enclosing.iter().rev().filter(|e| e.chosen || self.memory.scope != Scope::Host);
        let machine = machine.then(|| self.machine(obs.machine));
        machine.into_iter().chain(limits.map(|e| self.enclosing(e, obs.machine)))
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
        let (total, free) = swap_of(info);
        let swap = Left { total, free, base: total, share: None };
        let mut reading =
            self.reading(&Whose::Machine, &Left { total: info.mem_total, free: available, base, share: None }, &swap);
        if !self.machine_is_ours {
            reading.level = reading.level.min(Level::Warn);
        }
        reading
    }

    fn enclosing(&self, cgroup: &Enclosing, machine: &Machine) -> Reading {
        let available = cgroup.available();
        if cgroup.chosen {
            return self.chosen(cgroup, available);
        }
        let base = match self.memory.percent_of {
            PercentOf::Total => cgroup.limit,
            PercentOf::User => available.saturating_add(cgroup.anon),
        };
        let info = &machine.meminfo;
        let (total, free) = swap_of(info);
        let (swap_total, swap_free) = match cgroup.swap {
            Some(s) => (s.max.min(total), s.max.saturating_sub(s.current).min(free)),
            None => (total, free),
        };
        let share = |part, whole| Some(percent(part, whole).min(100.0));
        let memory = Left { total: cgroup.limit, free: available, base, share: share(cgroup.limit, info.mem_total) };
        let swap = Left { total: swap_total, free: swap_free, base: swap_total, share: share(swap_total, total) };
        self.reading(&Whose::Cgroup(cgroup.path), &memory, &swap)
    }

    /// A cgroup of `[cgroup_limits]`: its own thresholds, and nothing but its memory counts.
    fn chosen(&self, cgroup: &Enclosing, available: u64) -> Reading {
        let term = self.limits.term.of(cgroup.limit);
        let kill = self.limits.kill.of(cgroup.limit).min(term);
        Reading {
            whose: Whose::Cgroup(cgroup.path),
            level: level(available, kill, term),
            resource: Resource::Memory,
            total: cgroup.limit,
            base: cgroup.limit,
            available,
            warn: term,
            term,
            kill,
            swap_total: 0,
            swap_free: 0,
            swap_term: 0,
            swap_kill: 0,
            swap_mode: SwapMode::Ignore,
        }
    }

    fn reading(&self, whose: &Whose, memory: &Left, swap: &Left) -> Reading {
        // A percent of one thing and a size can change places where the first is small.
        let term = memory.amount(self.memory.term);
        let swap_term = swap.amount(self.swap.term);
        let mut reading = Reading {
            whose: *whose,
            level: Level::Calm,
            resource: Resource::Memory,
            total: memory.total,
            base: memory.base,
            available: memory.free,
            warn: memory.amount(self.memory.warn).max(term),
            term,
            kill: memory.amount(self.memory.kill).min(term),
            swap_total: swap.total,
            swap_free: swap.free,
            swap_term,
            swap_kill: swap.amount(self.swap.kill).min(swap_term),
            // A machine without swap has none to wait for.
            swap_mode: if swap.total == 0 { SwapMode::Ignore } else { self.swap.mode },
        };
        let of_swap = level(swap.free, reading.swap_kill, reading.swap_term);
        let of_memory = level(memory.free, reading.kill, reading.term).max(if memory.free <= reading.warn {
            Level::Warn
        } else {
            Level::Calm
        });
        (reading.level, reading.resource) = match reading.swap_mode {
            // Both must be low.
            SwapMode::And => (of_memory.min(of_swap.max(Level::Warn)), Resource::Memory),
            SwapMode::Or if of_swap > of_memory => (of_swap, Resource::Swap),
            SwapMode::Or | SwapMode::Ignore => (of_memory, Resource::Memory),
        };
        reading
    }
}

/// What there is of memory or of swap in a scope, in bytes.
struct Left {
    total: u64,
    free: u64,
    /// What percents are of.
    base: u64,
    /// The scope's share of the machine's, in percent: a size was chosen with the whole machine in mind.
    share: Option<f64>,
}

impl Left {
    fn amount(&self, amount: Amount) -> u64 {
        match (amount, self.share) {
            (Amount::Bytes(bytes), Some(share)) => Amount::Percent(share).of(bytes),
            (amount, _) => amount.of(self.base),
        }
    }
}

/// The worst off of these; the last of equals.
pub fn worst_of(readings: impl Iterator<Item = Reading>) -> Option<Reading> {
    readings.max_by_key(|r| (r.level, std::cmp::Reverse(r.headroom())))
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
