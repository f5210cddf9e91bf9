//! What is right, worked out once more and more plainly than the guard does it: how scarce memory is, who may be killed,
//! and whether anybody is worth it.

use std::collections::BTreeSet;

use hogwatch::config::{Amount, Config, Order, PercentOf, Scope as Watch, SwapMode, ZfsArc};
use hogwatch::decide::measure::{Level, Resource, Whose};
use hogwatch::observe::{Depth, Enclosing, Machine, Preference, TaskId};

use crate::lens::{Lens, Seen};
use crate::plan::Plan;
use crate::world::is_below;

/// A scope and how it fares.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The cgroup's path; `None` is the machine.
    pub path: Option<Vec<u8>>,
    pub level: Level,
    pub resource: Resource,
    pub total: u64,
    pub available: u64,
    pub swap_free: u64,
    pub deficit: u64,
    /// What can be allocated before the next threshold.
    pub headroom: u64,
}

impl Scope {
    pub fn is(&self, whose: &Whose) -> bool {
        match whose {
            Whose::Machine => self.path.is_none(),
            Whose::Cgroup(path) => self.path.as_deref() == Some(path.as_bytes()),
        }
    }

    pub fn holds(&self, cgroup: Option<&[u8]>) -> bool {
        self.path.as_deref().is_none_or(|top| cgroup.is_some_and(|c| is_below(c, top)))
    }

    /// What is left of the kind that ran short.
    pub fn left(&self) -> u64 {
        match self.resource {
            Resource::Memory => self.available,
            Resource::Swap => self.swap_free,
        }
    }

    /// What a death gives back, of the kind that ran short.
    pub fn free(&self, resource: Resource) -> u64 {
        match resource {
            Resource::Memory => self.available + self.swap_free,
            Resource::Swap => self.swap_free,
        }
    }
}

/// All scopes, the machine first, then from the outermost limit to the nearest.
pub fn scopes(plan: &Plan, lens: &Lens, stalled: Option<f64>) -> Vec<Scope> {
    let mut all = vec![of_machine(plan, &lens.machine, stalled)];
    all.extend(lens.enclosing.iter().rev().map(|e| of_cgroup(&plan.config, e, &lens.machine)));
    all
}

/// Those of them that the configuration has watched.
pub fn watched<'a>(config: &Config, all: &'a [Scope]) -> &'a [Scope] {
    match config.memory.scope {
        Watch::Auto => all,
        Watch::Host => &all[..1],
        Watch::Cgroup if all.len() > 1 => &all[1..],
        Watch::Cgroup => all,
    }
}

fn of_machine(plan: &Plan, machine: &Machine, stalled: Option<f64>) -> Scope {
    let config = &plan.config;
    let info = &machine.meminfo;
    let stuck = stalled.is_some_and(|percent| percent >= 10.0);
    let cache = match (machine.arc, config.memory.zfs_arc) {
        (Some(arc), ZfsArc::Count) => arc.size.saturating_sub(arc.c_min),
        (Some(arc), ZfsArc::Auto) if !stuck => arc.size.saturating_sub(arc.c_min),
        _ => 0,
    };
    let available = (info.mem_available.unwrap() + cache).min(info.mem_total);
    let swap = (info.swap_total.unwrap(), info.swap_free.unwrap());
    let base = match config.memory.percent_of {
        PercentOf::Total => info.mem_total,
        PercentOf::User => available + info.anon_pages.unwrap(),
    };
    let mut scope = scope(config, None, info.mem_total, available, swap, |a| a.of(base), |a| a.of(swap.0));
    if !plan.machine_is_ours {
        scope.level = scope.level.min(Level::Warn);
    }
    scope
}

fn of_cgroup(config: &Config, cgroup: &Enclosing, machine: &Machine) -> Scope {
    let available = cgroup.limit.saturating_sub(cgroup.current);
    let base = match config.memory.percent_of {
        PercentOf::Total => cgroup.limit,
        PercentOf::User => available + cgroup.anon,
    };
    let (total, free) = (machine.meminfo.swap_total.unwrap(), machine.meminfo.swap_free.unwrap());
    let swap = cgroup.swap.map_or((total, free), |s| (s.max.min(total), (s.max - s.current).min(free)));
    #[expect(clippy::cast_precision_loss, reason = "a share of sizes far below 2^53")]
    let share = |part: u64, whole: u64, bytes: u64| match whole {
        0 => bytes,
        _ => Amount::Percent((part as f64 * 100.0 / whole as f64).min(100.0)).of(bytes),
    };
    let memory = |a: Amount| match a {
        Amount::Percent(_) => a.of(base),
        Amount::Bytes(bytes) => share(cgroup.limit, machine.meminfo.mem_total, bytes),
    };
    let of_swap = |a: Amount| match a {
        Amount::Percent(_) => a.of(swap.0),
        Amount::Bytes(bytes) => share(swap.0, total, bytes),
    };
    scope(config, Some(cgroup.path.as_bytes().to_vec()), cgroup.limit, available, swap, memory, of_swap)
}

fn scope(
    config: &Config,
    path: Option<Vec<u8>>,
    total: u64,
    available: u64,
    (swap_total, swap_free): (u64, u64),
    memory: impl Fn(Amount) -> u64,
    swap: impl Fn(Amount) -> u64,
) -> Scope {
    let term = memory(config.memory.term);
    let kill = memory(config.memory.kill).min(term);
    let warn = memory(config.memory.warn).max(term);
    let swap_term = swap(config.swap.term);
    let swap_kill = swap(config.swap.kill).min(swap_term);
    let grade = |left: u64, kill: u64, term: u64| match left {
        _ if left <= kill => Level::Kill,
        _ if left <= term => Level::Term,
        _ => Level::Calm,
    };
    let mut of_memory = grade(available, kill, term);
    if of_memory == Level::Calm && available <= warn {
        of_memory = Level::Warn;
    }
    let of_swap = grade(swap_free, swap_kill, swap_term);
    let mode = if swap_total == 0 { SwapMode::Ignore } else { config.swap.mode };
    let (level, resource) = match mode {
        SwapMode::Or if of_swap > of_memory => (of_swap, Resource::Swap),
        SwapMode::And if of_swap < Level::Term => (of_memory.min(Level::Warn), Resource::Memory),
        SwapMode::And => (of_memory.min(of_swap), Resource::Memory),
        SwapMode::Or | SwapMode::Ignore => (of_memory, Resource::Memory),
    };
    let above = |term, kill| if level < Level::Term { term } else { kill };
    let memory_room = available.saturating_sub(above(term, kill));
    let swap_room = swap_free.saturating_sub(above(swap_term, swap_kill));
    Scope {
        path,
        level,
        resource,
        total,
        available,
        swap_free,
        deficit: match resource {
            Resource::Memory => term.saturating_sub(available),
            Resource::Swap => swap_term.saturating_sub(swap_free),
        },
        headroom: match mode {
            SwapMode::Ignore => memory_room,
            SwapMode::And => memory_room.max(swap_room),
            SwapMode::Or => memory_room.min(swap_room),
        },
    }
}

/// How a process stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It must not be signalled.
    Barred(&'static str),
    /// It may; a lower number comes first: prefer, ordinary, avoid, perhaps protected.
    Tier(u8),
}

pub fn standing(plan: &Plan, seen: &Seen, scope: &Scope, facts: Preference) -> Standing {
    let (proc, task) = (&seen.proc, &seen.task);
    let rules = &plan.config.victim;
    let path = task.cgroup.map(|_| ());
    if proc.id.pid == 1 {
        return Standing::Barred("pid 1");
    }
    if proc.id.pid == plan.own.pid {
        return Standing::Barred("hogwatch itself");
    }
    if task.oom_score_adj == Some(-1000) {
        return Standing::Barred("oom_score_adj -1000");
    }
    if scope.path.is_some() && (path.is_none() || !scope.holds(Some(cgroup_of(seen)))) {
        return Standing::Barred("outside the limit that fired");
    }
    if !plan.own.may_signal_others && task.uid != Some(plan.own.uid) {
        return Standing::Barred("another user's");
    }
    if path.is_some() && facts == Preference::Omit {
        return Standing::Barred("ManagedOOMPreference=omit");
    }
    let matches = |list: &[hogwatch::config::Pattern]| -> Vec<Option<bool>> {
        list.iter().map(|p| matching(&p.text, seen)).collect()
    };
    let protect = matches(&rules.protect);
    if protect.contains(&Some(true)) {
        return Standing::Barred("protected by the admin");
    }
    let system = task.uid.is_none_or(|uid| uid < 1000);
    if rules.protect_builtin {
        let named = matches!(proc.comm, "sshd" | "systemd-journal" | "systemd" | "tmux: server" | "hogwatch");
        if named && (system || proc.anon + proc.swap < 256 << 20) {
            return Standing::Barred("protected by its name");
        }
        if proc.comm == "(agetty)" && task.uid.is_none_or(|uid| uid == 0) {
            return Standing::Barred("a child of systemd's");
        }
    }
    if protect.contains(&None) || task.oom_score_adj.is_none() {
        return Standing::Tier(3);
    }
    if matches(&rules.prefer).contains(&Some(true)) {
        return Standing::Tier(0);
    }
    let avoided = matches(&rules.avoid).contains(&Some(true))
        || (rules.protect_builtin && proc.comm == "Xorg")
        || (path.is_some() && facts == Preference::Avoid);
    Standing::Tier(if avoided { 2 } else { 1 })
}

/// Whether a pattern of the plans' menu matches; `None` when what it asks for was not read.
fn matching(pattern: &str, seen: &Seen) -> Option<bool> {
    let proc = &seen.proc;
    let path = seen.task.cgroup.map(|_| cgroup_of(seen));
    match pattern {
        "^keep-me$" => Some(proc.comm == "keep-me"),
        "precious" => Some(proc.comm.contains("precious")),
        "^avoid-me$" => Some(proc.comm == "avoid-me"),
        "^prefer-me$" => Some(proc.comm == "prefer-me"),
        "cgroup:^/guarded" => path.map(|p| p.starts_with(b"/guarded")),
        "cgroup:/app-b[.]scope$" => path.map(|p| p.ends_with(b"/app-b.scope")),
        "unit:^db[.]service$" => path.map(|p| p.ends_with(b"/db.service")),
        "user:^alice$" => seen.task.uid.map(|uid| uid == 1001),
        "user:^bob$" => seen.task.uid.map(|uid| uid == 1000),
        "cmdline:--keep" => seen.detailed.then(|| proc.cmdline.contains("--keep")),
        other => panic!("the oracle does not know the pattern {other}"),
    }
}

pub fn cgroup_of(seen: &Seen) -> &[u8] {
    seen.path.as_bytes()
}

/// What there is to choose from in a scope.
pub struct Field {
    /// The first in rank among those worth killing.
    pub best: Option<TaskId>,
    /// Somebody is eligible at all.
    pub anybody: bool,
    /// Something should be killed, one process or a cgroup of small ones.
    pub act: bool,
}

pub fn field(plan: &Plan, lens: &Lens, scope: &Scope, aside: &BTreeSet<TaskId>) -> Field {
    let min_size = plan.config.victim.min_size.of(scope.total);
    let eligible: Vec<(&Seen, u8)> = lens
        .seen
        .iter()
        .filter(|s| !aside.contains(&s.task.id))
        .filter_map(|s| match standing(plan, s, scope, s.preference) {
            Standing::Tier(tier) => Some((s, tier)),
            Standing::Barred(_) => None,
        })
        .collect();
    let size = |s: &Seen| s.proc.anon + s.proc.swap;
    let shared = |s: &Seen| size(s) + s.proc.shmem;
    let together = eligible.iter().map(|(s, _)| shared(s)).sum::<u64>() + lens.tasks.small.bytes;
    let suffices = together >= scope.deficit;
    let first = |size: &dyn Fn(&Seen) -> u64| {
        let score =
            |s: &Seen| if plan.config.victim.order == Order::Badness { s.task.oom_score.unwrap_or(0) } else { 0 };
        let worth = eligible.iter().filter(|(s, _)| size(s) >= min_size);
        worth
            .min_by(|(a, ta), (b, tb)| {
                let key = |s: &Seen| (score(s), size(s), s.proc.shmem);
                ta.cmp(tb).then(key(b).cmp(&key(a))).then(a.task.id.pid.cmp(&b.task.id.pid))
            })
            .map(|(s, _)| s.task.id)
    };
    let best = first(&size).or_else(|| first(&shared));
    let group = || {
        let mut sums = std::collections::BTreeMap::new();
        // The root is no group.
        for (s, _) in eligible.iter().filter(|(s, _)| s.task.cgroup.is_some() && cgroup_of(s).len() > 1) {
            *sums.entry(cgroup_of(s)).or_insert(0) += size(s);
        }
        lens.tasks.depth == Depth::All && sums.values().any(|sum| *sum >= min_size)
    };
    Field { best, anybody: !eligible.is_empty(), act: !eligible.is_empty() && suffices && (best.is_some() || group()) }
}
