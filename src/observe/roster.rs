//! The largest processes, held by descriptors opened beforehand.
//!
//! A guard inside a cgroup above its `memory.high` is throttled like everybody in it: each open allocates in the kernel,
//! is charged, and may sleep for up to two seconds, while a read of what is open already costs microseconds. So there
//! another thread opens, and the guard only reads.

use std::sync::Arc;

use crate::host::Host;
use crate::host::dir::{HeldFile, SmallPath};
use crate::host::process::PidFd;

use super::parse::{State, parse_stat, parse_status};
use super::tasks::{TaskId, Tasks};

/// Processes held. Memory is short when a few hold it; each costs three descriptors.
pub const HELD: usize = 24;

/// Room for a `stat` or a `status`.
const FILE_BYTES: usize = 4096;

/// The processes held.
#[derive(Clone, Debug, Default)]
pub struct Roster(Vec<Arc<Held>>);

#[derive(Debug)]
struct Held {
    id: TaskId,
    stat: HeldFile,
    status: HeldFile,
    pidfd: Option<PidFd>,
}

impl Roster {
    /// A roster of the largest of these, with what this one already holds of them. This is what may be throttled.
    #[must_use]
    pub fn renewed(&self, host: &Host, tasks: &Tasks) -> Self {
        let mut largest: Vec<_> = tasks.list.iter().collect();
        largest.sort_unstable_by_key(|t| std::cmp::Reverse(t.size_with_shared()));
        let known = |id| self.0.iter().find(|held| held.id == id).cloned();
        let hold = |id| known(id).or_else(|| Held::open(host, id).map(Arc::new));
        Self(largest.iter().take(HELD).filter_map(|task| hold(task.id)).collect())
    }

    /// Brings the sizes of those held up to date, and drops who is gone. Opens nothing, allocates nothing.
    pub fn refresh(&self, tasks: &mut Tasks, page_size: u64) {
        let mut buf = [0; FILE_BYTES];
        for held in &self.0 {
            let Some(at) = tasks.list.iter().position(|t| t.id == held.id) else { continue };
            let stat = held.stat.read(&mut buf).ok().and_then(|text| parse_stat(text).ok());
            let Some(stat) = stat.filter(|s| !s.is_dead() && (!s.is_exiting() || s.state == State::Zombie)) else {
                tasks.list.remove(at);
                continue;
            };
            let task = &mut tasks.list[at];
            task.comm = stat.comm;
            task.state = stat.state;
            if let Some(status) = held.status.read(&mut buf).ok().and_then(|text| parse_status(text).ok()) {
                task.rss = status.vm_rss.unwrap_or(stat.rss_pages.saturating_mul(page_size));
                task.anon = status.rss_anon.or(task.anon);
                task.shmem = status.rss_shmem.or(task.shmem);
                task.swap = status.vm_swap.or(task.swap);
                task.uid = Some(status.uid_effective);
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
    fn open(host: &Host, id: TaskId) -> Option<Self> {
        // The pidfd first, then the proof that it is this very process.
        let pidfd = PidFd::open(id.pid).ok();
        let stat = host.proc.file(SmallPath::under(id.pid, "stat").as_c_str()).ok()?;
        let status = host.proc.file(SmallPath::under(id.pid, "status").as_c_str()).ok()?;
        let mut buf = [0; FILE_BYTES];
        let same = parse_stat(stat.read(&mut buf).ok()?).ok()?.start_time == id.start_time;
        same.then_some(Self { id, stat, status, pidfd })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Roots;
    use crate::observe::limits::Hierarchy;
    use crate::observe::scan::Scanner;
    use crate::observe::{Depth, Faults, Need};

    #[test]
    fn a_held_process_is_read_anew_and_dropped_when_gone() {
        let host = Host::open(&Roots::default()).unwrap();
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let mut scanner = Scanner::new(Hierarchy::of(&host));
        let need = Need { depth: Depth::All, oom_score: false };
        scanner.scan(&host, need, 0, &mut Faults::default());
        let mut tasks = scanner.tasks().clone();
        // Only the child, so that it is among the largest.
        tasks.list.retain(|t| t.id.pid == pid);
        let id = tasks.list[0].id;
        let roster = Roster::default().renewed(&host, &tasks);
        assert!(roster.pidfd(id).is_some());
        tasks.list[0].anon = Some(u64::MAX);
        roster.refresh(&mut tasks, host.page_size);
        assert!(tasks.list[0].anon.is_some_and(|bytes| bytes < 1 << 30));
        child.kill().unwrap();
        child.wait().unwrap();
        roster.refresh(&mut tasks, host.page_size);
        assert!(tasks.list.is_empty());
    }
}
