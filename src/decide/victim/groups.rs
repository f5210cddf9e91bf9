//! Several tasks that die as one victim.

use crate::config::TargetKind;
use crate::observe::cgroups::{CgroupPath, Cgroups, is_within};
use crate::observe::{Depth, Task, Tasks};

use super::{Choice, Chooser, Exclusion, GroupWhy, Refusal, Sum, Tier, Verdict, Victim, eligible};

impl Chooser {
    pub(super) fn alone_or_with_its_group(&mut self, tasks: &Tasks, index: usize, size: u64) -> Choice {
        self.members.clear();
        let task = &tasks.list[index];
        let mut victim = Victim { size, ..self.victim(tasks, index) };
        let Some((group, why)) = self.group_of(task, tasks) else { return Choice::Victim(victim) };
        if tasks.depth != Depth::All {
            return Choice::NeedAll;
        }
        // Whoever is perhaps protected dies with nobody who is not.
        let sum = self.gather(tasks, group, false, victim.tier.max(Tier::Avoid));
        if !sum.whole {
            self.members.clear();
            victim.spared_group = true;
            return Choice::Victim(victim);
        }
        victim.cgroup = CgroupPath::new(group);
        sum.describe(&mut victim, why);
        Choice::Victim(victim)
    }

    /// Takes a cgroup and all below it as one victim; one process of it where somebody in there must live.
    pub fn choose_group(&mut self, tasks: &Tasks, group: &[u8]) -> Choice {
        let sum = self.gather(tasks, group, false, Tier::Avoid);
        let Some(largest) = sum.largest else { return Choice::Refused(Refusal::NobodyEligible) };
        let mut victim = self.victim(tasks, largest);
        if sum.whole {
            victim.cgroup = CgroupPath::new(group);
            sum.describe(&mut victim, GroupWhy::Configured);
        } else {
            self.members.clear();
            victim.spared_group = true;
        }
        Choice::Victim(victim)
    }

    /// What the eligible tasks in a cgroup and below it hold, in bytes.
    #[must_use]
    pub fn size_within(&self, tasks: &Tasks, group: &[u8]) -> u64 {
        let inside = |task: &&Task| tasks.cgroup_path(task).is_some_and(|path| is_within(path, group));
        eligible(tasks, &self.verdicts)
            .map(|(_, task, _)| task)
            .filter(inside)
            .map(Task::size)
            .fold(0, u64::saturating_add)
    }

    /// Lists as members the tasks in a cgroup that may die: those of this tier or better, in exactly this cgroup
    /// (`leaf`) or in what is below it too.
    fn gather(&mut self, tasks: &Tasks, group: &[u8], leaf: bool, last_tier: Tier) -> Sum {
        self.members.clear();
        // A task lost from the table may be one that must live.
        let mut sum = Sum { whole: group.len() > 1 && !tasks.lost_some, ..Sum::default() };
        for (index, (task, verdict)) in tasks.list.iter().zip(&self.verdicts).enumerate() {
            let path = tasks.cgroup_path(task);
            // One whose cgroup could not be read may be in there.
            let inside = path.is_none_or(|p| is_within(p, group));
            let member = path.is_some_and(|p| if leaf { p == group } else { inside });
            match verdict {
                Verdict::Eligible(tier, _) if member && *tier <= last_tier => {
                    sum.add(index, task, &tasks.list);
                    self.members.push(task.id);
                }
                // It was sent SIGKILL, or can't be sent any signal.
                Verdict::Excluded(Exclusion::SetAside) => {}
                Verdict::Eligible(..) | Verdict::Excluded(_) => sum.whole &= !inside,
            }
        }
        sum
    }

    /// The group of an earlier choice as it is now, for who is judged now; `None` when nobody is left of it.
    pub fn regroup(&mut self, tasks: &Tasks, victim: &Victim) -> Option<Victim> {
        let (group, path) = victim.group.zip(victim.cgroup.as_ref())?;
        let leaf = group.why == GroupWhy::ManySmall;
        let sum = self.gather(tasks, path.as_bytes(), leaf, victim.tier.max(Tier::Avoid));
        let largest = sum.largest?;
        let mut now = Victim { cgroup: victim.cgroup, tier: victim.tier, ..self.victim(tasks, largest) };
        sum.describe(&mut now, group.why);
        Some(now)
    }

    fn group_of<'t>(&self, task: &Task, tasks: &'t Tasks) -> Option<(&'t [u8], GroupWhy)> {
        let id = task.cgroup?;
        let path = tasks.cgroups.path(id);
        if let Some(len) = tasks.cgroups.facts(id).oom_group {
            return Some((&path[..usize::from(len)], GroupWhy::OomGroup));
        }
        // The root is no group: with it would go the machine.
        (self.target == TargetKind::Cgroup && path.len() > 1).then_some((path, GroupWhy::Configured))
    }

    /// The tasks up to this tier of the cgroup that holds most of them, when together they are worth killing.
    pub(super) fn largest_group(&mut self, tasks: &Tasks, min_size: u64, last_tier: Tier) -> Option<Choice> {
        self.groups.clear();
        self.groups.resize(tasks.cgroups.len().min(self.groups.capacity()), Sum::default());
        for (index, task, tier) in eligible(tasks, &self.verdicts) {
            if tier <= last_tier
                && let Some(sum) = task.cgroup.and_then(|id| self.groups.get_mut(Cgroups::index(id)))
            {
                sum.add(index, task, &tasks.list);
            }
        }
        // The root is no group: with it would go the machine, or the whole container.
        let no_root = |id: &crate::observe::CgroupId| tasks.cgroups.path(*id).len() > 1;
        let (id, sum) =
            tasks.cgroups.ids().zip(&self.groups).filter(|(id, _)| no_root(id)).max_by_key(|(_, sum)| sum.size)?;
        let largest = sum.largest.filter(|_| sum.size >= min_size)?;
        let sum = self.gather(tasks, tasks.cgroups.path(id), true, last_tier);
        let mut victim = Victim { tier: last_tier, ..self.victim(tasks, largest) };
        sum.describe(&mut victim, GroupWhy::ManySmall);
        Some(Choice::Victim(victim))
    }
}
