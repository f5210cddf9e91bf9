//! The table of processes as the decide room sees it.

use super::cgroups::{CgroupId, Cgroups, Preference};
use super::parse::{Comm, State};

/// Names one process for good: a pid is reused, a pid with its start time is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId {
    /// The number in procfs (of the thread group).
    pub pid: i32,
    /// Field 22 of `/proc/PID/stat`: clock ticks between boot and its start.
    pub start_time: u64,
}

/// One process. Sizes in bytes; `None` is "could not be read" or "this kernel does not say".
#[derive(Clone, Copy, Debug)]
pub struct Task {
    /// Which process.
    pub id: TaskId,
    /// Its parent.
    pub ppid: i32,
    /// Its name, chosen by itself: 15 bytes at most.
    pub comm: Comm,
    /// Effective user id: whose rights it runs with.
    pub uid: Option<u32>,
    /// What the main thread does.
    pub state: State,
    /// Live threads, the main one included even when it is a zombie.
    pub threads: u32,
    /// It is exiting: killing it again frees nothing.
    pub dying: bool,
    /// A thread of the kernel's: it can't be killed and owns no memory.
    pub kernel: bool,
    /// Resident: anonymous, file-backed and shared.
    pub rss: u64,
    /// Resident anonymous (Linux 4.5).
    pub anon: Option<u64>,
    /// Resident shared memory and tmpfs (Linux 4.5).
    pub shmem: Option<u64>,
    /// Swapped-out anonymous.
    pub swap: Option<u64>,
    /// The kernel's own badness, 0 to about 2000.
    pub oom_score: Option<u32>,
    /// −1000 (never) to 1000.
    pub oom_score_adj: Option<i32>,
    /// Where it lives.
    pub cgroup: Option<CgroupId>,
}

impl Task {
    /// What killing it would give back: anonymous memory and swap. A kernel that does not tell them apart leaves RSS.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.anon.unwrap_or(self.rss).saturating_add(self.swap.unwrap_or(0))
    }

    /// As [`Task::size`], counting shared memory too.
    #[must_use]
    pub fn size_with_shared(&self) -> u64 {
        self.size().saturating_add(self.shmem.unwrap_or(0))
    }
}

/// How much of the process table the engine wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Only processes that may hold at least so many bytes; the others are summed up in [`Small`].
    Large {
        /// Bytes.
        floor: u64,
    },
    /// Every process, each with its cgroup.
    All,
}

/// What a scan has to bring back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// Which processes.
    pub depth: Depth,
    /// Whether `oom_score` is wanted.
    pub oom_score: bool,
}

/// The processes that a [`Depth::Large`] scan left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Small {
    /// How many.
    pub count: u32,
    /// Their resident memory together: at least what killing them all would free.
    pub bytes: u64,
}

/// The processes of one scan. Of fixed capacity; the largest are kept when there are more.
#[derive(Clone, Debug)]
pub struct Tasks {
    /// The processes, in the order of their pids.
    pub list: Vec<Task>,
    /// Where they live.
    pub cgroups: Cgroups,
    /// What was left out as too small.
    pub small: Small,
    /// What the scan was asked for.
    pub depth: Depth,
    /// There were more than fit: who is missing is among the smallest.
    pub lost_some: bool,
    /// What processes held that are exiting just now, as the scan before saw it.
    pub dying_bytes: u64,
}

impl Tasks {
    /// A table for so many processes and cgroups.
    #[must_use]
    pub fn with_capacity(tasks: usize, cgroups: usize) -> Self {
        Self {
            list: Vec::with_capacity(tasks),
            cgroups: Cgroups::with_capacity(cgroups),
            small: Small::default(),
            depth: Depth::All,
            lost_some: false,
            dying_bytes: 0,
        }
    }

    /// Keeps a task if there is room; when there is not, the smallest one goes.
    pub fn keep(&mut self, task: Task) {
        if self.list.len() < self.list.capacity() {
            self.list.push(task);
            return;
        }
        self.lost_some = true;
        let smallest = self.list.iter().enumerate().min_by_key(|(_, t)| t.size_with_shared()).map(|(i, _)| i);
        if let Some(slot) = smallest.and_then(|i| self.list.get_mut(i))
            && slot.size_with_shared() < task.size_with_shared()
        {
            *slot = task;
        }
    }

    /// What systemd's mark asks of a cgroup that somebody lives in; nothing special of any other.
    #[must_use]
    pub fn preference_of(&self, cgroup: &[u8]) -> Preference {
        let id = self.cgroups.ids().find(|id| self.cgroups.path(*id) == cgroup);
        id.map_or(Preference::None, |id| self.cgroups.facts(id).preference)
    }

    /// The path of the cgroup a task lives in.
    #[must_use]
    pub fn cgroup_path(&self, task: &Task) -> Option<&[u8]> {
        task.cgroup.map(|id| self.cgroups.path(id))
    }
}
