//! The largest tasks and cgroups of a process table.

use std::cmp::Reverse;

use super::cgroups::{CgroupId, Cgroups};
use super::tasks::{Task, Tasks};

/// The first few of many, by a key that tells them apart. Never allocates.
#[derive(Clone, Copy, Debug)]
pub struct First<K, T, const N: usize>([Option<(K, T)>; N]);

impl<K: Ord + Copy, T: Copy, const N: usize> First<K, T, N> {
    /// The first `N` of these, lowest key first.
    pub fn of(all: impl Iterator<Item = (K, T)>) -> Self {
        let mut first = [None::<(K, T)>; N];
        for one in all {
            let at = first.iter().rposition(|slot| slot.is_some_and(|(key, _)| key <= one.0)).map_or(0, |i| i + 1);
            if let Some(later) = first.get_mut(at..).filter(|later| !later.is_empty()) {
                later.rotate_right(1);
                later[0] = Some(one);
            }
        }
        Self(first)
    }

    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = T> + Clone {
        self.0.iter().flatten().map(|(_, one)| *one)
    }
}

/// Sums up by cgroup. Room is set aside at the start.
#[derive(Debug)]
pub struct Sums(Vec<u64>);

/// Cgroups that are summed up, as many as a process table tells apart.
const CGROUPS: usize = 2048;

impl Default for Sums {
    fn default() -> Self {
        Self(Vec::with_capacity(CGROUPS))
    }
}

/// What orders tasks and cgroups: the largest first, among equals the lower number.
type Rank<T> = Reverse<(u64, Reverse<T>)>;

/// The `N` largest tasks, by anonymous memory and swap.
#[must_use]
pub fn largest<const N: usize>(tasks: &Tasks) -> First<Rank<i32>, &Task, N> {
    First::of(tasks.list.iter().map(|task| (Reverse((task.size(), Reverse(task.id.pid))), task)))
}

impl Sums {
    /// Writes to all of its memory, so that the pages are there when they are needed.
    pub fn touch(&mut self) {
        self.0.clear();
        self.0.resize(self.0.capacity(), 0);
    }

    /// The `N` cgroups with most in those of their tasks that are in the table, and how much that is. A table of
    /// [`super::Depth::Large`] holds the large tasks only.
    pub fn largest<const N: usize>(&mut self, tasks: &Tasks) -> First<Rank<CgroupId>, (CgroupId, u64), N> {
        let sums = &mut self.0;
        sums.clear();
        sums.resize(tasks.cgroups.len().min(sums.capacity()), 0);
        for task in &tasks.list {
            if let Some(sum) = task.cgroup.and_then(|id| sums.get_mut(Cgroups::index(id))) {
                *sum = sum.saturating_add(task.size());
            }
        }
        let held = tasks.cgroups.ids().zip(&*sums).filter(|(_, sum)| **sum > 0);
        First::of(held.map(|(id, sum)| (Reverse((*sum, Reverse(id))), (id, *sum))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::parse::{Comm, State};
    use crate::observe::tasks::TaskId;

    fn task(pid: i32, anon: u64, swap: u64, cgroup: Option<CgroupId>) -> Task {
        Task {
            id: TaskId { pid, start_time: 1 },
            ppid: 1,
            comm: Comm::new(b"x"),
            uid: Some(0),
            state: State::Sleeping,
            threads: 1,
            dying: false,
            kernel: false,
            rss: 0,
            anon: Some(anon),
            shmem: None,
            swap: Some(swap),
            oom_score: None,
            oom_score_adj: None,
            cgroup,
        }
    }

    #[test]
    fn the_first_few_are_those_that_sorting_finds() {
        let mut random = 7_u64;
        for count in [0, 1, 3, 4, 5, 100] {
            let all: Vec<(u64, usize)> = (0..count)
                .map(|n| {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (random >> 60, n)
                })
                .collect();
            let mut sorted = all.clone();
            sorted.sort_by_key(|(key, _)| *key);
            let expected: Vec<_> = sorted.iter().take(4).map(|(_, n)| *n).collect();
            assert_eq!(First::<_, _, 4>::of(all.into_iter()).iter().collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn cgroups_are_the_sums_of_their_tasks() {
        let mut tasks = Tasks::with_capacity(8, 8);
        let [a, b, _empty] = ["/a", "/b", "/empty"].map(|path| tasks.cgroups.intern(path.as_bytes()));
        for (pid, anon, swap, cgroup) in
            [(1, 50, 0, a), (2, 30, 10, b), (3, 20, 0, b), (4, 500, 0, None), (5, 0, 50, a)]
        {
            tasks.keep(task(pid, anon, swap, cgroup));
        }
        let pids: Vec<_> = largest::<4>(&tasks).iter().map(|task| task.id.pid).collect();
        assert_eq!(pids, [4, 1, 5, 2]);
        let mut sums = Sums::default();
        // Twice: what was summed up before is forgotten.
        for _ in 0..2 {
            let found: Vec<_> =
                sums.largest::<4>(&tasks).iter().map(|(id, sum)| (tasks.cgroups.path(id), sum)).collect();
            assert_eq!(found, [(b"/a".as_slice(), 100), (b"/b", 60)]);
        }
    }
}
