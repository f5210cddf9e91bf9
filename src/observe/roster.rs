//! Processes held by descriptors opened beforehand.
//!
//! A guard inside a cgroup above its `memory.high` is throttled like everybody in it: each open allocates in the kernel,
//! is charged, and was seen to sleep for 0.35 s and more, while a read of what is open already costs microseconds. So
//! there another thread opens, each process once in its life ([`Lookout`]), and the guard only reads ([`Roster`]).

use std::sync::Arc;

use crate::host::Host;
use crate::host::dir::{HeldFile, SmallPath};
use crate::host::process::PidFd;

use super::Faults;
use super::limits::Hierarchy;
use super::parse::{State, parse_oom_score_adj, parse_stat, parse_status};
use super::scan::{basics, fill_sizes};
use super::tasks::{Depth, Small, Task, TaskId, Tasks};
use super::{CgroupId, Cgroups};

/// Processes held at most: five descriptors each must fit in the 1024 that a plain user usually has.
const HELD: usize = 160;

/// Cgroups told apart.
const CGROUPS: usize = 256;

/// Room for a `stat`, a `status` or a `cgroup`.
const FILE_BYTES: usize = 4096;

/// The processes held, for the guard to read.
#[derive(Clone, Debug, Default)]
pub struct Roster(Vec<Arc<Held>>);

#[derive(Debug)]
struct Held {
    id: TaskId,
    stat: HeldFile,
    status: HeldFile,
    oom_score_adj: Option<HeldFile>,
    cgroup: Option<HeldFile>,
    pidfd: Option<PidFd>,
}

impl Roster {
    /// Brings the sizes of those held up to date, and drops who is gone. Opens nothing, allocates nothing.
    pub fn refresh(&self, tasks: &mut Tasks, page_size: u64) {
        let mut at = 0;
        while at < tasks.list.len() {
            let task = &mut tasks.list[at];
            match self.0.iter().find(|held| held.id == task.id).map(|held| held.update(task, page_size)) {
                Some(false) => drop(tasks.list.remove(at)),
                // Nobody holds it: it stays as it was seen last.
                Some(true) | None => at += 1,
            }
        }
    }

    /// A duplicate of the pidfd held on this very process.
    #[must_use]
    pub fn pidfd(&self, id: TaskId) -> Option<PidFd> {
        self.0.iter().find(|held| held.id == id)?.pidfd.as_ref()?.again().ok()
    }
}

impl Held {
    /// Reads sizes and state anew; false when the process is gone or dying. Opens nothing.
    fn update(&self, task: &mut Task, page_size: u64) -> bool {
        let mut buf = [0; FILE_BYTES];
        let Some(stat) = self.stat.read(&mut buf).ok().and_then(|text| parse_stat(text).ok()) else { return false };
        let now = basics(task.id.pid, &stat, page_size);
        if now.dying || now.id != task.id {
            return false;
        }
        (task.comm, task.state, task.threads) = (now.comm, now.state, now.threads);
        let adj = self
            .oom_score_adj
            .as_ref()
            .and_then(|file| file.read(&mut buf).ok())
            .and_then(|t| parse_oom_score_adj(t).ok());
        task.oom_score_adj = adj.map(i32::from);
        // A leader that is gone shows no sizes any more, though its threads hold the memory: the last ones known stay.
        if now.state == State::Zombie {
            return true;
        }
        task.rss = now.rss;
        if let Some(status) = self.status.read(&mut buf).ok().and_then(|text| parse_status(text).ok()) {
            fill_sizes(task, &status);
        }
        true
    }
}

/// Follows the process table by opening only what is new. What it does may be throttled: not for the guard thread.
#[derive(Debug)]
pub struct Lookout {
    hierarchy: Hierarchy,
    known: Vec<(Task, Arc<Held>)>,
    /// Kernel threads: looked at once, they hold no memory and hardly ever end.
    kernel: Vec<i32>,
    cgroups: Cgroups,
}

/// What a [`Lookout`] found.
#[derive(Debug)]
pub struct Found {
    /// Every process it holds.
    pub tasks: Tasks,
    /// The descriptors.
    pub roster: Roster,
}

impl Lookout {
    /// Knows nobody yet.
    #[must_use]
    pub fn new(hierarchy: Hierarchy) -> Self {
        Self { hierarchy, known: Vec::new(), kernel: Vec::new(), cgroups: Cgroups::with_capacity(CGROUPS) }
    }

    /// Looks at everybody: reads those it holds, opens those it does not.
    pub fn look(&mut self, host: &Host, faults: &mut Faults) -> Found {
        let mut pids = Vec::new();
        let mut dirents = [0; 4096];
        if let Err(e) = host.proc.numbers(&mut dirents, |pid| pids.push(pid)) {
            faults.failed(&e);
        }
        self.known.retain_mut(|(task, held)| held.update(task, host.page_size));
        if self.cgroups.is_nearly_full() {
            self.cgroups.clear();
        }
        for at in 0..self.known.len() {
            let held = Arc::clone(&self.known[at].1);
            self.known[at].0.cgroup = self.cgroup(host, &held, faults);
        }
        self.kernel.retain(|pid| pids.contains(pid));
        let mut lost_some = false;
        for pid in pids {
            let is_known = self.kernel.contains(&pid) || self.known.iter().any(|(task, _)| task.id.pid == pid);
            if !is_known {
                lost_some |= self.meet(host, pid, faults);
            }
        }
        // The largest first, as whoever asks about them wants them.
        self.known.sort_unstable_by_key(|(task, _)| std::cmp::Reverse(task.size_with_shared()));
        let tasks = Tasks {
            list: self.known.iter().map(|(task, _)| *task).collect(),
            cgroups: self.cgroups.clone(),
            small: Small::default(),
            depth: Depth::All,
            lost_some,
            dying_bytes: 0,
        };
        Found { tasks, roster: Roster(self.known.iter().map(|(_, held)| Arc::clone(held)).collect()) }
    }

    /// Opens a process that is new. Returns whether one had to be let go for it: the smallest.
    fn meet(&mut self, host: &Host, pid: i32, faults: &mut Faults) -> bool {
        let mut buf = [0; FILE_BYTES];
        let open = |name| host.proc.file(SmallPath::under(pid, name).as_c_str()).ok();
        // The pidfd first, then what proves which process it is.
        let pidfd = PidFd::open(pid).ok();
        let Some(stat) = open("stat") else { return false };
        let Some(seen) = stat.read(&mut buf).ok().and_then(|text| parse_stat(text).ok()) else { return false };
        let mut task = basics(pid, &seen, host.page_size);
        if task.kernel {
            self.kernel.push(pid);
            return false;
        }
        let Some(status) = open("status") else { return false };
        let (oom_score_adj, cgroup) = (open("oom_score_adj"), open("cgroup"));
        let held = Held { id: task.id, stat, status, oom_score_adj, cgroup, pidfd };
        if !held.update(&mut task, host.page_size) {
            return false;
        }
        task.cgroup = self.cgroup(host, &held, faults);
        self.known.push((task, Arc::new(held)));
        if self.known.len() <= HELD {
            return false;
        }
        let smallest = self.known.iter().enumerate().min_by_key(|(_, (t, _))| t.size_with_shared()).map(|(at, _)| at);
        if let Some(at) = smallest {
            self.known.swap_remove(at);
        }
        true
    }

    fn cgroup(&mut self, host: &Host, held: &Held, faults: &mut Faults) -> Option<CgroupId> {
        let mut buf = [0; FILE_BYTES];
        let text = held.cgroup.as_ref()?.read(&mut buf).ok()?;
        let id = self.cgroups.intern(self.hierarchy.path(text)?)?;
        if self.hierarchy == Hierarchy::V2 {
            self.cgroups.read_facts(host, id, faults);
        }
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Roots;

    #[test]
    fn a_held_process_is_read_anew_and_dropped_when_gone() {
        let host = Host::open(&Roots::default()).unwrap();
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let mut lookout = Lookout::new(Hierarchy::of(&host));
        let mut found = lookout.look(&host, &mut Faults::default());
        // Only the child: the machine is full of others.
        found.tasks.list.retain(|t| t.id.pid == pid);
        let id = found.tasks.list[0].id;
        assert!(found.roster.pidfd(id).is_some());
        found.tasks.list[0].anon = Some(u64::MAX);
        found.roster.refresh(&mut found.tasks, host.page_size);
        assert!(found.tasks.list[0].anon.is_some_and(|bytes| bytes < 1 << 30));
        child.kill().unwrap();
        child.wait().unwrap();
        found.roster.refresh(&mut found.tasks, host.page_size);
        assert!(found.tasks.list.is_empty());
        let again = lookout.look(&host, &mut Faults::default());
        assert!(again.tasks.list.iter().all(|t| t.id != id));
    }
}
