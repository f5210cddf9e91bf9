//! What the guard sees of the world: an observation as the readers would make it, with their faults; and beside it what
//! was true of each process that was shown.

use hogwatch::observe::cgroups::{CgroupPath, Facts, Preference};
use hogwatch::observe::details::{Detail, Details};
use hogwatch::observe::limits::SwapLimit;
use hogwatch::observe::parse::{Meminfo, Pressure, PressureLine, State};
use hogwatch::observe::{Comm, Depth, Enclosing, Machine, Need, Small, Task, Tasks};

use crate::plan::Plan;
use crate::rng::Rng;
use crate::world::{Proc, World, is_below};

/// A process as it was shown, and who it was in truth.
pub struct Seen {
    pub task: Task,
    pub proc: Proc,
    /// The path of its cgroup, and the mark that holds there.
    pub path: &'static str,
    pub preference: Preference,
    /// The command line was known.
    pub detailed: bool,
}

pub struct Lens {
    pub machine: Machine,
    pub enclosing: Vec<Enclosing>,
    pub tasks: Tasks,
    pub details: Details,
    pub seen: Vec<Seen>,
    /// Processes that the last scan missed.
    pub missed: Vec<Proc>,
}

impl Lens {
    pub fn new(table: usize) -> Self {
        Self {
            machine: Machine::default(),
            enclosing: Vec::new(),
            tasks: Tasks::with_capacity(table, 64),
            details: Details::new(),
            seen: Vec::new(),
            missed: Vec::new(),
        }
    }

    pub fn look_at_machine(&mut self, world: &World, plan: &Plan, rng: &mut Rng) {
        let line = PressureLine { total_us: world.stalled_us, ..PressureLine::default() };
        self.machine = Machine {
            meminfo: Meminfo {
                mem_total: world.mem_total,
                mem_available: Some(world.available()),
                anon_pages: Some(world.anon_pages()),
                swap_total: Some(world.swap_total),
                swap_free: Some(world.swap_free()),
                ..Meminfo::default()
            },
            arc: world.arc,
            pressure: world.has_pressure.then_some(Pressure { some: line, full: Some(line) }),
        };
        self.enclosing.clear();
        if rng.per_mille(plan.faults.no_limits) {
            return;
        }
        let own = world.cgroups[world.own_cgroup].path.as_bytes();
        let above = |i: &usize| is_below(own, world.cgroups[*i].path.as_bytes());
        let mut above: Vec<usize> = (0..world.cgroups.len()).filter(above).collect();
        above.sort_by_key(|i| std::cmp::Reverse(world.cgroups[*i].path.len()));
        for i in above {
            let cgroup = &world.cgroups[i];
            let Some(limit) = cgroup.limit else { continue };
            let current = world.current(i);
            let inside = |p: &&Proc| is_below(world.cgroups[p.cgroup].path.as_bytes(), cgroup.path.as_bytes());
            let swap: u64 = world.procs.iter().filter(inside).map(|p| p.swap).sum();
            self.enclosing.push(Enclosing {
                path: CgroupPath::new(cgroup.path.as_bytes()).unwrap(),
                limit,
                current,
                reclaimable: 0,
                anon: current - cgroup.extra.min(current),
                swap: cgroup.swap_limit.map(|max| SwapLimit { max, current: swap.min(max) }),
                chosen: false,
            });
        }
    }

    /// As `observe::scan` does it, with processes and fields missing now and then.
    pub fn scan(&mut self, world: &World, plan: &Plan, need: Need, rng: &mut Rng) {
        let before: Vec<Task> = self.tasks.list.drain(..).collect();
        self.tasks.dying_bytes = 0;
        self.tasks.lost_some = false;
        self.tasks.cgroups.clear();
        self.tasks.small = Small::default();
        self.tasks.depth = need.depth;
        self.seen.clear();
        self.missed.clear();
        self.details.clear();
        let swap_used = world.swap_total - world.swap_free();
        for proc in &world.procs {
            if proc.exit_at.is_some() && !proc.shows_dying {
                self.tasks.dying_bytes += before.iter().find(|t| t.id == proc.id).map_or(0, Task::size);
                continue;
            }
            if rng.per_mille(plan.faults.missed) {
                self.missed.push(proc.clone());
                continue;
            }
            let rss = proc.anon + proc.shmem + proc.file;
            if let Depth::Large { floor } = need.depth
                && rss + swap_used < floor
                && !proc.zombie_leader
            {
                self.tasks.small.count += 1;
                self.tasks.small.bytes += rss;
                continue;
            }
            let task = self.task(world, plan, proc, need, rng);
            self.tasks.keep(task);
            let path = world.cgroups[proc.cgroup].path;
            let preference = facts(world, path).preference;
            self.seen.push(Seen { task, proc: proc.clone(), path, preference, detailed: false });
        }
        // A full table loses the smallest.
        let kept = &self.tasks.list;
        let (kept, lost): (Vec<_>, Vec<_>) = self.seen.drain(..).partition(|s| kept.iter().any(|t| t.id == s.task.id));
        self.missed.extend(lost.into_iter().map(|s| s.proc));
        self.seen = kept;
        for seen in &mut self.seen {
            if !rng.per_mille(plan.faults.no_details) {
                let Seen { task, proc, .. } = seen;
                self.details.add(Detail::new(task.id, task.comm, proc.cmdline.as_bytes(), b"/bin/x"));
            }
        }
        for seen in &mut self.seen {
            seen.detailed = self.details.of(&seen.task).is_some();
        }
    }

    fn task(&mut self, world: &World, plan: &Plan, proc: &Proc, need: Need, rng: &mut Rng) -> Task {
        let mut unread = || rng.per_mille(plan.faults.unread);
        let path = world.cgroups[proc.cgroup].path;
        let cgroup = (!unread()).then(|| self.tasks.cgroups.intern(path.as_bytes()).unwrap());
        if let Some(id) = cgroup {
            self.tasks.cgroups.set_facts(id, facts(world, path));
        }
        Task {
            id: proc.id,
            ppid: 1,
            comm: Comm::new(proc.comm.as_bytes()),
            uid: (!unread()).then_some(proc.uid),
            state: if proc.zombie_leader { State::Zombie } else { State::Sleeping },
            threads: 1,
            dying: false,
            kernel: false,
            rss: proc.anon + proc.shmem + proc.file,
            anon: Some(proc.anon),
            shmem: Some(proc.shmem),
            swap: Some(proc.swap),
            oom_score: need.oom_score.then(|| badness(world, proc)),
            oom_score_adj: (!unread()).then_some(proc.adj),
            cgroup,
        }
    }
}

fn badness(world: &World, proc: &Proc) -> u32 {
    let share = (proc.anon + proc.swap) / (world.mem_total / 1000).max(1);
    u32::try_from(share.saturating_add_signed(i64::from(proc.adj)).min(2000)).unwrap()
}

/// What holds for a cgroup because of itself or of one above it.
pub fn facts(world: &World, path: &str) -> Facts {
    let mut facts = Facts::default();
    let above = |top: &str| is_below(path.as_bytes(), top.as_bytes());
    for cgroup in world.cgroups.iter().filter(|c| c.path.len() > 1 && above(c.path)) {
        if cgroup.oom_group {
            let len = u16::try_from(cgroup.path.len()).unwrap();
            facts.oom_group = Some(facts.oom_group.map_or(len, |l| l.min(len)));
        }
        facts.preference = match (facts.preference, cgroup.preference) {
            (Preference::Omit, _) | (_, Preference::Omit) => Preference::Omit,
            (Preference::Avoid, _) | (_, Preference::Avoid) => Preference::Avoid,
            (Preference::None, Preference::None) => Preference::None,
        };
    }
    facts
}
