//! Who goes so that a cgroup that is stuck at its limit moves again.

use crate::observe::{Depth, Task, Tasks};

use super::super::measure::Reading;
use super::{Choice, Chooser, Exclusion, Group, GroupWhy, RankKey, Refusal, Spared, Tier, Verdict, Victim, eligible};

/// A cgroup that is stuck. Sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stuck {
    /// Its limit as a reading: who is a candidate, and what is worth killing.
    pub reading: Reading,
    /// What it holds above the limit: with less than this given back it stays stuck.
    pub excess: u64,
    /// What should be given back.
    pub target: u64,
    /// What its processes held when it first went above the limit, if anybody looked.
    pub before: Option<Held>,
}

/// What the processes of a cgroup hold (anonymous memory and swap), in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Those that may be killed.
    pub eligible: u64,
    /// Those that a rule spares.
    pub spared: u64,
}

/// Less growth than this says nothing about who made the cgroup stuck: any busy program grows and shrinks by as much.
const GROWTH: u64 = 1 << 20;

impl Chooser {
    /// Chooses among the judged for a stuck cgroup: the first in rank if its death gives enough back, else as many of the
    /// first in rank as it takes. [`Chooser::judge`] of the whole table comes first.
    pub fn choose_stuck(&mut self, tasks: &Tasks, stuck: &Stuck) -> Choice {
        if tasks.depth != Depth::All {
            return Choice::NeedAll;
        }
        if eligible(tasks, &self.verdicts).next().is_none() {
            return Choice::Refused(Refusal::NobodyEligible);
        }
        // Of memory that several share, as much as one of them has: all may be talking of the same.
        let own = eligible(tasks, &self.verdicts).fold(0, |sum: u64, (_, t, _)| sum.saturating_add(t.size()));
        let shared = eligible(tasks, &self.verdicts).map(|(_, t, _)| t.shmem.unwrap_or(0)).max().unwrap_or(0);
        let together = own.saturating_add(shared);
        if together < stuck.excess {
            return Choice::Refused(Refusal::WouldNotSuffice { together, deficit: stuck.excess });
        }
        if self.hog_is_spared(tasks, stuck) {
            return Choice::Refused(Refusal::HogSpared);
        }
        // Where all of them together would not give back what is wished for, what is needed has to do.
        let goal = if own >= stuck.target { stuck.target } else { stuck.excess };
        let min_size = self.min_size(&stuck.reading);
        let best = self.best(tasks, min_size, Task::size).filter(|index| tasks.list[*index].size() >= goal);
        if let Some(index) = best {
            return self.alone_or_with_its_group(tasks, index, tasks.list[index].size());
        }
        if own >= stuck.excess {
            return self.several(tasks, goal, stuck.excess);
        }
        // It takes the shared memory too, which goes with the last who maps it, if at all: one is tried.
        match self.best(tasks, min_size, Task::size_with_shared) {
            Some(index) => self.alone_or_with_its_group(tasks, index, tasks.list[index].size_with_shared()),
            None => Choice::Refused(Refusal::WouldNotSuffice { together: own, deficit: stuck.excess }),
        }
    }

    /// What the judged processes of the scope hold.
    #[must_use]
    pub fn held(&self, tasks: &Tasks) -> Held {
        let mut held = Held::default();
        for (task, verdict) in tasks.list.iter().zip(&self.verdicts) {
            match verdict {
                Verdict::Eligible(..) => held.eligible = held.eligible.saturating_add(task.size()),
                Verdict::Excluded(Exclusion::OutsideLimit | Exclusion::SetAside) => {}
                Verdict::Excluded(_) => held.spared = held.spared.saturating_add(task.size()),
            }
        }
        held
    }

    /// The largest process of the scope that a rule spares.
    #[must_use]
    pub fn spared_hog(&self, tasks: &Tasks) -> Option<Spared> {
        let spared = tasks.list.iter().zip(&self.verdicts).filter_map(|(task, verdict)| match verdict {
            Verdict::Eligible(..) | Verdict::Excluded(Exclusion::OutsideLimit | Exclusion::SetAside) => None,
            Verdict::Excluded(why) => Some(Spared { id: task.id, comm: task.comm, size: task.size(), why: *why }),
        });
        spared.max_by_key(|spared| spared.size)
    }

    /// Whether it is those who may not be killed that made the cgroup stuck: they have grown more since it went above
    /// its limit. One that outweighs all the others is taken for the hog too, unless the others grew by about what is too
    /// much (a look comes up to a sample late, so half of that): who can't be told guilty is not killed.
    fn hog_is_spared(&self, tasks: &Tasks, stuck: &Stuck) -> bool {
        let now = self.held(tasks);
        if let Some(before) = stuck.before {
            let eligible = now.eligible.saturating_sub(before.eligible);
            let spared = now.spared.saturating_sub(before.spared);
            if spared > eligible && spared >= GROWTH {
                return true;
            }
            if eligible >= (stuck.excess / 2).max(GROWTH) {
                return false;
            }
        }
        self.spared_hog(tasks).is_some_and(|spared| spared.size > now.eligible)
    }

    /// So many of the first in rank that together they give back `goal`. Those who are to be avoided die for `needed` only,
    /// and who is perhaps protected dies with nobody.
    fn several(&mut self, tasks: &Tasks, goal: u64, needed: u64) -> Choice {
        self.members.clear();
        let mut victim: Option<Victim> = None;
        let mut last = None;
        while let Some((key, index)) = self.next_in_rank(tasks, last) {
            last = Some(key);
            let so_far = victim.map_or(0, |v| v.size);
            let wanted = match key.0 {
                Tier::Prefer | Tier::Ordinary => so_far < goal,
                Tier::Avoid => so_far < needed,
                Tier::Unread => victim.is_none(),
            };
            if victim.is_some() && !wanted {
                break;
            }
            let task = &tasks.list[index];
            self.members.push(task.id);
            match &mut victim {
                None => victim = Some(self.victim(tasks, index)),
                Some(all) => {
                    all.size = all.size.saturating_add(task.size());
                    all.swap = all.swap.saturating_add(task.swap.unwrap_or(0));
                }
            }
        }
        let Some(mut victim) = victim else { return Choice::Refused(Refusal::NobodyEligible) };
        match u32::try_from(self.members.len()) {
            Ok(1) => self.members.clear(),
            members => {
                let members = members.unwrap_or(u32::MAX);
                victim.group = Some(Group { members, why: GroupWhy::Several, whole: false });
            }
        }
        Choice::Victim(victim)
    }

    /// The first in rank after `last`. The rank ends with the pid, so no two are equal.
    fn next_in_rank(&self, tasks: &Tasks, last: Option<RankKey>) -> Option<(RankKey, usize)> {
        eligible(tasks, &self.verdicts)
            .map(|(index, task, tier)| (self.rank(task, tier, task.size()), index))
            .filter(|(key, _)| last.is_none_or(|last| *key > last))
            .min()
    }
}
