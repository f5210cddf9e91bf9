//! The *watched* cap: where no cgroup can be had, the memory of the process tree is summed up from outside.

use std::time::Duration;

use crate::host::dir::SmallPath;
use crate::observe::parse::{parse_smaps_rollup, parse_status};

use super::tree::{Member, STATUS_BYTES, Tree};

/// A look this often: at 1 GiB a second, which is about as fast as one process takes fresh memory, the tree is 50 MiB beyond
/// its cap when it is noticed.
pub const PERIOD: Duration = Duration::from_millis(50);

/// Without a cap, only to know the peak.
const IDLE_PERIOD: Duration = Duration::from_secs(1);

/// An exact look walks the page tables of the whole tree. Between two of them passes so many times what the last one took, so
/// that a tree whose processes share much, and which is always looked at twice, costs a tenth of a processor at most.
const REST: u32 = 9;

/// Bytes of `/proc/PID/smaps_rollup`: some 700.
const ROLLUP_BYTES: usize = 4096;

/// What is known of the tree's memory.
#[derive(Debug)]
pub struct Watch {
    limit: Option<u64>,
    usage: u64,
    peak: u64,
    next_exact: Duration,
}

impl Watch {
    /// For a cap of so many bytes, if there is one.
    pub fn new(limit: Option<u64>) -> Self {
        Self { limit, usage: 0, peak: 0, next_exact: Duration::ZERO }
    }

    /// Time between two looks.
    pub fn period(&self) -> Duration {
        if self.limit.is_some() { PERIOD } else { IDLE_PERIOD }
    }

    /// Looks at the tree: whether it is beyond the cap. First by what each process has resident and swapped, in which pages
    /// that they share (those of a forked worker, until one of the two writes to them) count for each; only when that is
    /// beyond the cap, by each one's share. `now` tells the time, before and after.
    pub fn look(&mut self, tree: &mut Tree, now: impl Fn() -> Duration) -> bool {
        let members: Vec<Member> = tree.look().to_vec();
        let sum = |of: fn(&Tree, i32) -> Option<u64>| {
            members.iter().filter_map(|m| of(tree, m.pid)).fold(0, u64::saturating_add)
        };
        let most = sum(at_most);
        let over = |bytes: u64| self.limit.is_some_and(|limit| bytes > limit);
        if !over(most) {
            self.usage = most;
            self.peak = self.peak.max(most);
            return false;
        }
        let before = now();
        if before < self.next_exact {
            return false;
        }
        let exact = sum(|tree, pid| shares(tree, pid).or_else(|| at_most(tree, pid))).min(most);
        let over = over(exact);
        self.usage = exact;
        self.peak = self.peak.max(exact);
        let after = now();
        self.next_exact = after + after.saturating_sub(before) * REST;
        over
    }

    /// Bytes at the last look.
    pub fn usage(&self) -> u64 {
        self.usage
    }

    /// The most bytes at any look.
    pub fn peak(&self) -> u64 {
        self.peak
    }
}

/// Anonymous and shared memory, resident or swapped. Of what is shared with others all.
fn at_most(tree: &Tree, pid: i32) -> Option<u64> {
    let mut buf = [0; STATUS_BYTES];
    let status = parse_status(tree.proc().read(SmallPath::under(pid, "status").as_c_str(), &mut buf).ok()?).ok()?;
    let resident = match (status.rss_anon, status.rss_shmem) {
        // Linux before 4.5 does not tell what is of files.
        (None, None) => status.vm_rss?,
        (anon, shmem) => anon.unwrap_or(0).saturating_add(shmem.unwrap_or(0)),
    };
    Some(resident.saturating_add(status.vm_swap.unwrap_or(0)))
}

/// The same, of what is shared with others its share. Not to be had of other users' processes.
fn shares(tree: &Tree, pid: i32) -> Option<u64> {
    let mut buf = [0; ROLLUP_BYTES];
    parse_smaps_rollup(tree.proc().read(SmallPath::under(pid, "smaps_rollup").as_c_str(), &mut buf).ok()?)
}
