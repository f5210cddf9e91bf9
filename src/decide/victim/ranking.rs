//! In which order they would be taken.

use std::cmp::Reverse;

use crate::config::Order;
use crate::observe::tops::First;
use crate::observe::{Task, Tasks};

use super::super::measure::Reading;
use super::{Chooser, RankKey, Tier, eligible};

/// What is worth killing comes before what is not.
type Place = (bool, RankKey);

impl Chooser {
    /// Positions of all eligible tasks in the order they would be taken, for people to read. Allocates.
    #[must_use]
    pub fn ranked(&self, tasks: &Tasks, reading: &Reading) -> Vec<usize> {
        let order = self.order(tasks, reading);
        let mut all: Vec<_> = eligible(tasks, &self.verdicts).collect();
        all.sort_by_key(|(_, task, tier)| order(task, *tier));
        all.into_iter().map(|(index, _, _)| index).collect()
    }

    /// The first `N` of the same, without allocating: of those within the scope of `reading`, whatever scope they were
    /// judged for.
    #[must_use]
    pub fn foremost<'a, const N: usize>(
        &'a self,
        tasks: &'a Tasks,
        reading: &Reading,
    ) -> First<Place, (&'a Task, Tier), N> {
        let order = self.order(tasks, reading);
        let within = eligible(tasks, &self.verdicts).filter(|(_, t, _)| reading.whose.holds(tasks.cgroup_path(t)));
        First::of(within.map(|(_, task, tier)| (order(task, tier), (task, tier))))
    }

    fn order(&self, tasks: &Tasks, reading: &Reading) -> impl Fn(&Task, Tier) -> Place {
        let min_size = self.min_size(reading);
        // Shared memory ranks only when nothing else is worth killing, as when one is chosen.
        let any = eligible(tasks, &self.verdicts).any(|(_, t, _)| t.size() >= min_size);
        move |task, tier| {
            let size = if any { task.size() } else { task.size_with_shared() };
            (size < min_size, self.rank(task, tier, size))
        }
    }

    /// Lower comes first. The pid decides last, so that the order is the same at every look.
    pub(super) fn rank(&self, task: &Task, tier: Tier, size: u64) -> RankKey {
        let score = match self.order {
            Order::Size => 0,
            Order::Badness => task.oom_score.unwrap_or(0),
        };
        (tier, Reverse((score, size, task.shmem.unwrap_or(0))), task.id.pid)
    }
}
