//! The *watched* cap: where no cgroup can be had, the memory of the process tree is summed up from outside.

use std::collections::HashMap;
use std::time::Duration;

use crate::host::dir::SmallPath;
use crate::observe::parse::{parse_smaps_rollup, parse_status};

use super::tree::{STATUS_BYTES, Tree};

/// A look this often: at 1 GiB a second, which is about as fast as one process takes fresh memory, the tree is 50 MiB beyond
/// its cap when it is noticed.
pub const PERIOD: Duration = Duration::from_millis(50);

/// Without a cap, only to know the peak.
const IDLE_PERIOD: Duration = Duration::from_secs(1);

/// An exact look walks the page tables of the whole tree. Between two of them passes so many times what the last one took, so
/// that a tree whose processes share much, and which is always looked at twice, costs a tenth of a processor at most; but when
/// it may have grown beyond the cap since then, it is looked at again at once.
const REST: u32 = 9;

/// Bytes of `/proc/PID/smaps_rollup`: some 700.
const ROLLUP_BYTES: usize = 4096;

/// What is known of the tree's memory.
#[derive(Debug)]
pub struct Watch {
    limit: Option<u64>,
    usage: u64,
    peak: u64,
    largest: Option<(i32, u64)>,
    exact: Exact,
    next_exact: Duration,
}

/// The memory of one process, in bytes, by its `/proc/PID/status`.
#[derive(Clone, Copy, Debug)]
struct Held {
    pid: i32,
    /// Anonymous and shared memory, resident or swapped. Of what is shared with others all.
    most: u64,
    /// Of that what is anonymous: shared with nobody but those it was forked from and forks, which are of the tree too.
    anonymous: u64,
}

/// The last exact look.
#[derive(Debug, Default)]
struct Exact {
    bytes: u64,
    /// What each process had at most then.
    most: HashMap<i32, u64>,
}

impl Exact {
    /// The most that the tree can have now, in bytes, but for pages shared then which somebody has written to since, which is
    /// not seen from outside: what it had then, and what each process has more than then.
    fn at_most_now(&self, held: &[Held]) -> u64 {
        let more = |one: &Held| one.most.saturating_sub(self.most.get(&one.pid).copied().unwrap_or(0));
        held.iter().map(more).fold(self.bytes, u64::saturating_add)
    }
}

impl Watch {
    /// For a cap of so many bytes, if there is one.
    pub fn new(limit: Option<u64>) -> Self {
        Self { limit, usage: 0, peak: 0, largest: None, exact: Exact::default(), next_exact: Duration::ZERO }
    }

    /// Time between two looks.
    pub fn period(&self) -> Duration {
        if self.limit.is_some() { PERIOD } else { IDLE_PERIOD }
    }

    /// Looks at the tree: whether it is beyond the cap. First by what each process has resident and swapped, in which pages
    /// that they share (those of a forked worker, until one of the two writes to them) count for each; only when that is
    /// beyond the cap, by each one's share. That waits while a process changes its mappings, so it is not asked when one process
    /// alone is beyond the cap. `now` tells the time, before and after.
    pub fn look(&mut self, tree: &mut Tree, now: impl Fn() -> Duration) -> bool {
        let pids: Vec<i32> = tree.look().iter().map(|member| member.pid).collect();
        let held: Vec<Held> = pids.into_iter().filter_map(|pid| held(tree, pid)).collect();
        let most = held.iter().map(|one| one.most).fold(0, u64::saturating_add);
        self.largest = held.iter().max_by_key(|one| one.most).map(|one| (one.pid, one.most));
        let limit = self.limit;
        let over = |bytes: u64| limit.is_some_and(|limit| bytes > limit);
        if !over(most) {
            return self.found(most, false);
        }
        let largest = held.iter().map(|one| one.anonymous).max().unwrap_or(0);
        if over(largest) {
            return self.found(largest, true);
        }
        let before = now();
        if before < self.next_exact && !over(self.exact.at_most_now(&held)) {
            return false;
        }
        // Who has ended meanwhile has nothing.
        let share = |one: &Held| shares(tree, one.pid).or_else(|| Some(self::held(tree, one.pid)?.most));
        let exact = held.iter().filter_map(share).fold(0, u64::saturating_add).min(most);
        let after = now();
        self.next_exact = after + after.saturating_sub(before) * REST;
        self.exact = Exact { bytes: exact, most: held.iter().map(|one| (one.pid, one.most)).collect() };
        self.found(exact, over(exact))
    }

    fn found(&mut self, bytes: u64, over: bool) -> bool {
        self.usage = bytes;
        self.peak = self.peak.max(bytes);
        over
    }

    /// Bytes at the last look.
    pub fn usage(&self) -> u64 {
        self.usage
    }

    /// Who was the largest at the last look, and how many bytes it had, of what it shared with others all.
    pub fn largest(&self) -> Option<(i32, u64)> {
        self.largest
    }

    /// The most bytes at any look.
    pub fn peak(&self) -> u64 {
        self.peak
    }
}

/// None when it is gone.
fn held(tree: &Tree, pid: i32) -> Option<Held> {
    let mut buf = [0; STATUS_BYTES];
    let status = parse_status(tree.proc().read(SmallPath::under(pid, "status").as_c_str(), &mut buf).ok()?).ok()?;
    let swapped = status.vm_swap.unwrap_or(0);
    let (resident, anonymous) = match (status.rss_anon, status.rss_shmem) {
        // Linux before 4.5 does not tell what is of files.
        (None, None) => (status.vm_rss?, 0),
        (anon, shmem) => {
            (anon.unwrap_or(0).saturating_add(shmem.unwrap_or(0)), anon.unwrap_or(0).saturating_add(swapped))
        }
    };
    Some(Held { pid, most: resident.saturating_add(swapped), anonymous })
}

/// [`Held::most`], of what is shared with others its share. Not to be had of other users' processes.
fn shares(tree: &Tree, pid: i32) -> Option<u64> {
    let mut buf = [0; ROLLUP_BYTES];
    parse_smaps_rollup(tree.proc().read(SmallPath::under(pid, "smaps_rollup").as_c_str(), &mut buf).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_grown_since_the_last_exact_look_is_known() {
        let held = |most: &[(i32, u64)]| -> Vec<Held> {
            most.iter().map(|&(pid, most)| Held { pid, most, anonymous: most }).collect()
        };
        // Three that share 60 of their 61.
        let exact = Exact { bytes: 63, most: HashMap::from([(7, 61), (8, 61), (9, 61)]) };
        assert_eq!(exact.at_most_now(&held(&[(7, 61), (8, 61), (9, 61)])), 63);
        // One grows, and one that ends makes up for it in the sum.
        assert_eq!(exact.at_most_now(&held(&[(7, 122), (8, 61)])), 63 + 61);
        // One that is new may have all for itself.
        assert_eq!(exact.at_most_now(&held(&[(7, 61), (8, 61), (9, 60), (10, 5)])), 63 + 5);
    }
}
