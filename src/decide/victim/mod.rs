//! Who it will be: every process judged, the eligible ones ranked.

mod groups;
mod ranking;
mod stuck;

use crate::config::{self, Amount, Order, TargetKind};
use crate::observe::cgroups::{CgroupPath, Cgroups, Preference};
use crate::observe::{Comm, Depth, Observation, Task, TaskId, Tasks};

use super::measure::Reading;
use super::rules::{Rule, Rules, Says};

pub use stuck::{Held, Stuck};

/// Whether and how early a process may be chosen. In the order in which they are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// In the admin's `prefer` list.
    Prefer,
    /// In no list.
    Ordinary,
    /// In an `avoid` list, or marked so for systemd-oomd.
    Avoid,
    /// Perhaps protected: a `protect` pattern asks for what could not be read, or `oom_score_adj` could not.
    Unread,
}

impl Tier {
    /// One word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Prefer => "prefer",
            Self::Ordinary => "ordinary",
            Self::Avoid => "avoid",
            Self::Unread => "unread",
        }
    }
}

/// Why a process may not be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exclusion {
    /// pid 1: everything would go with it.
    Init,
    /// hogwatch itself.
    Own,
    /// `oom_score_adj` is −1000: whoever set it wants it never killed.
    NeverKill,
    /// Outside the cgroup whose limit fired.
    OutsideLimit,
    /// Another user's, and this guard may not signal it.
    NotPermitted,
    /// It did not die of an earlier SIGKILL.
    SetAside,
    /// systemd's `ManagedOOMPreference=omit`.
    Omit,
    /// Protected by this rule.
    Protected(Rule),
}

/// A process judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be chosen.
    Eligible(Tier, Says),
    /// It may not.
    Excluded(Exclusion),
}

/// A victim: one process, or the tasks of one cgroup together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Victim {
    /// The process, or the largest member of the group.
    pub id: TaskId,
    /// Its name.
    pub comm: Comm,
    /// Whose it is.
    pub uid: Option<u32>,
    /// Where it lives; for a group, the group.
    pub cgroup: Option<CgroupPath>,
    /// What killing it should free, in bytes: anonymous memory and swap, of the group together; shared memory too when
    /// that is what one process was chosen for.
    pub size: u64,
    /// Of that, swap.
    pub swap: u64,
    /// Its `oom_score_adj`.
    pub oom_score_adj: Option<i32>,
    /// How it was ranked.
    pub tier: Tier,
    /// A group: who dies with it.
    pub group: Option<Group>,
    /// A group kill was due, but the group holds somebody who must not die.
    pub spared_group: bool,
}

/// A group of tasks as one victim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// How many.
    pub members: u32,
    /// Why the whole group.
    pub why: GroupWhy,
    /// Every task in the cgroup and below it is a member, so `cgroup.kill` may end it.
    pub whole: bool,
}

/// Why a group dies as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupWhy {
    /// `memory.oom.group` = 1: the kernel would do the same.
    OomGroup,
    /// `victim.target = "cgroup"`.
    Configured,
    /// No single process is worth killing, all of this cgroup together are (a fork bomb).
    ManySmall,
    /// No single process frees a stuck cgroup, so many of the largest together do.
    Several,
}

/// What came of choosing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// This one.
    Victim(Victim),
    /// It takes the whole process table to decide.
    NeedAll,
    /// Nobody.
    Refused(Refusal),
}

/// Why nobody is killed. Sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No process is eligible at all.
    NobodyEligible,
    /// The largest eligible process, and the largest cgroup's tasks together, are below `min_size`.
    NothingWorthKilling {
        /// The largest process.
        largest: u64,
        /// What would have been enough.
        min_size: u64,
    },
    /// Killing every eligible process would not bring back what is missing: something else holds the memory.
    WouldNotSuffice {
        /// All of them together.
        together: u64,
        /// What is missing.
        deficit: u64,
    },
    /// Whoever made a cgroup stuck may not be killed, and nobody dies in its place.
    HogSpared,
    /// Three kills in a row changed nothing.
    NoGain,
}

/// A process that a rule spared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spared {
    /// Who.
    pub id: TaskId,
    /// Its name.
    pub comm: Comm,
    /// Its size in bytes.
    pub size: u64,
    /// By which rule.
    pub why: Exclusion,
}

/// This guard, as far as it matters for who may be chosen.
#[derive(Clone, Copy, Debug)]
pub struct Own {
    /// Its pid.
    pub pid: i32,
    /// Its user.
    pub uid: u32,
    /// Whether it may signal other users' processes.
    pub may_signal_others: bool,
}

/// Chooses victims. All its memory is there from the start; it grows only in [`Chooser::reserve`].
#[derive(Debug)]
pub struct Chooser {
    own: Own,
    rules: Rules,
    min_size: Amount,
    order: Order,
    target: TargetKind,
    verdicts: Vec<Verdict>,
    groups: Vec<Sum>,
    members: Vec<TaskId>,
    /// The members of the last group that did not die, in order.
    stuck: Vec<TaskId>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    size: u64,
    swap: u64,
    eligible: u32,
    largest: Option<usize>,
    /// Nobody in the cgroup or below it must live.
    whole: bool,
}

impl Chooser {
    /// A chooser by these rules.
    #[must_use]
    pub fn new(own: Own, victim: &config::Victim, rules: Rules) -> Self {
        Self {
            own,
            rules,
            min_size: victim.min_size,
            order: victim.order,
            target: victim.target,
            verdicts: Vec::new(),
            groups: Vec::new(),
            members: Vec::new(),
            stuck: Vec::new(),
        }
    }

    /// Takes the rules of another configuration and hands back the old ones, for somebody else to drop.
    pub fn reconfigure(&mut self, victim: &config::Victim, rules: Rules) -> Rules {
        self.min_size = victim.min_size;
        self.order = victim.order;
        self.target = victim.target;
        std::mem::replace(&mut self.rules, rules)
    }

    /// Makes room for a table of this capacity. Allocates, so only while the machine is healthy.
    pub fn reserve(&mut self, tasks: &Tasks) {
        let grow = |have: usize, want: usize| want.saturating_sub(have);
        self.verdicts.reserve(grow(self.verdicts.len(), tasks.list.capacity()));
        self.members.reserve(grow(self.members.len(), tasks.list.capacity()));
        self.stuck.reserve(grow(self.stuck.len(), tasks.list.capacity()));
        self.groups.reserve(grow(self.groups.len(), tasks.cgroups.capacity()));
        // Written to once, so that the pages are there when they are needed.
        let nobody = TaskId { pid: 0, start_time: 0 };
        touch(&mut self.verdicts, Verdict::Excluded(Exclusion::Init));
        touch(&mut self.members, nobody);
        touch(&mut self.groups, Sum::default());
    }

    /// Whether command lines and executables are to be read beforehand.
    #[must_use]
    pub fn wants_details(&self) -> bool {
        self.rules.want_details()
    }

    /// Whether `oom_score` ranks, and so has to be read.
    #[must_use]
    pub fn wants_score(&self) -> bool {
        self.order == Order::Badness
    }

    /// What is worth killing in this scope, in bytes.
    #[must_use]
    pub fn min_size(&self, reading: &Reading) -> u64 {
        self.min_size.of(reading.total)
    }

    /// How much of the process table a choice in this scope needs at first.
    #[must_use]
    pub fn need(&self, reading: &Reading) -> crate::observe::Need {
        let depth = match self.target {
            TargetKind::Process => Depth::Large { floor: self.min_size(reading) },
            TargetKind::Cgroup => Depth::All,
        };
        crate::observe::Need { depth, oom_score: self.wants_score() }
    }

    /// Hands over the members of the group chosen last, in exchange for another list.
    pub fn swap_members(&mut self, with: &mut Vec<TaskId>) {
        std::mem::swap(&mut self.members, with);
    }

    /// The members of the group chosen last.
    #[must_use]
    pub fn members(&self) -> &[TaskId] {
        &self.members
    }

    /// The group chosen last does not die: none of its members is chosen again, until another group is set aside.
    pub fn set_members_aside(&mut self) {
        std::mem::swap(&mut self.members, &mut self.stuck);
        self.stuck.sort_unstable();
        self.members.clear();
    }

    /// The verdicts of the last judgement, in the order of the tasks.
    #[must_use]
    pub fn verdicts(&self) -> &[Verdict] {
        &self.verdicts
    }

    /// Judges every process: may it be chosen for the sake of this scope?
    pub fn judge(
        &mut self,
        tasks: &Tasks,
        obs: &Observation<'_>,
        reading: &Reading,
        set_aside: impl Fn(TaskId) -> bool,
    ) {
        self.verdicts.clear();
        for task in &tasks.list {
            let verdict = match self.exclusion(task, tasks, reading) {
                Some(why) => Verdict::Excluded(why),
                None => match self.rules.judge(task, &tasks.cgroups, obs.details) {
                    Says::Protect(rule) => Verdict::Excluded(Exclusion::Protected(rule)),
                    // After all that must live: whoever must not be killed does not die with a group either.
                    _ if set_aside(task.id) || self.stuck.binary_search(&task.id).is_ok() => {
                        Verdict::Excluded(Exclusion::SetAside)
                    }
                    // −1000 may stand there.
                    says if task.oom_score_adj.is_none() => Verdict::Eligible(Tier::Unread, says),
                    says @ Says::Unread(_) => Verdict::Eligible(Tier::Unread, says),
                    says @ Says::Avoid(_) => Verdict::Eligible(Tier::Avoid, says),
                    // The mark is systemd's way of saying "avoid"; an explicit `prefer` of the admin's is stronger.
                    says @ Says::Prefer(_) => Verdict::Eligible(Tier::Prefer, says),
                    says @ Says::Nothing if preference(task, &tasks.cgroups) == Preference::Avoid => {
                        Verdict::Eligible(Tier::Avoid, says)
                    }
                    says @ Says::Nothing => Verdict::Eligible(Tier::Ordinary, says),
                },
            };
            self.verdicts.push(verdict);
        }
    }

    fn exclusion(&self, task: &Task, tasks: &Tasks, reading: &Reading) -> Option<Exclusion> {
        // First: whoever lives elsewhere says nothing about this cgroup, whatever else may be the matter with it.
        if !reading.whose.holds(tasks.cgroup_path(task)) {
            Some(Exclusion::OutsideLimit)
        } else if task.id.pid == 1 {
            Some(Exclusion::Init)
        } else if task.id.pid == self.own.pid {
            Some(Exclusion::Own)
        } else if task.oom_score_adj == Some(-1000) {
            Some(Exclusion::NeverKill)
        } else if !self.own.may_signal_others && task.uid != Some(self.own.uid) {
            Some(Exclusion::NotPermitted)
        } else if preference(task, &tasks.cgroups) == Preference::Omit {
            Some(Exclusion::Omit)
        } else {
            None
        }
    }

    /// Chooses among the judged: [`Chooser::judge`] comes first.
    pub fn choose(&mut self, tasks: &Tasks, reading: &Reading) -> Choice {
        let min_size = self.min_size(reading);
        let eligible = || eligible(tasks, &self.verdicts);
        let together = eligible().fold(tasks.small.bytes, |sum, (_, t, _)| sum.saturating_add(t.size_with_shared()));
        let largest = eligible().map(|(_, t, _)| t.size()).max();
        let all_seen = tasks.depth == Depth::All;
        // What was left out as small was not judged: before anything is refused, everybody is looked at.
        if !all_seen && (largest.is_none() || together < reading.deficit()) {
            return Choice::NeedAll;
        }
        if largest.is_none() {
            return Choice::Refused(Refusal::NobodyEligible);
        }
        if together < reading.deficit() {
            return Choice::Refused(Refusal::WouldNotSuffice { together, deficit: reading.deficit() });
        }
        // Shared memory ranks only when nothing else is worth killing: every backend of a database counts the same.
        let best = self
            .best(tasks, min_size, Task::size)
            .map(|index| (index, Task::size as fn(&Task) -> u64))
            .or_else(|| Some((self.best(tasks, min_size, Task::size_with_shared)?, Task::size_with_shared as _)));
        match best {
            Some((index, size)) => self.alone_or_with_its_group(tasks, index, size(&tasks.list[index])),
            None if !all_seen => Choice::NeedAll,
            None => [Tier::Ordinary, Tier::Avoid, Tier::Unread]
                .into_iter()
                .find_map(|last| self.largest_group(tasks, min_size, last))
                .unwrap_or(Choice::Refused(Refusal::NothingWorthKilling { largest: largest.unwrap_or(0), min_size })),
        }
    }

    /// The largest process of this scope that would have been taken but for a rule, when it is larger than any that may
    /// be, worth killing, and its end would have been enough: whoever wonders why nobody was killed wants to know about
    /// it. Anybody smaller would lead away from what does hold the memory.
    #[must_use]
    pub fn largest_spared(&self, tasks: &Tasks, reading: &Reading) -> Option<Spared> {
        let largest_eligible = eligible(tasks, &self.verdicts).map(|(_, t, _)| t.size()).max().unwrap_or(0);
        let enough = reading.deficit().max(self.min_size(reading));
        tasks
            .list
            .iter()
            .zip(&self.verdicts)
            .filter_map(|(task, verdict)| match verdict {
                Verdict::Excluded(Exclusion::OutsideLimit | Exclusion::Own) | Verdict::Eligible(..) => None,
                Verdict::Excluded(why) => Some(Spared { id: task.id, comm: task.comm, size: task.size(), why: *why }),
            })
            .max_by_key(|spared| spared.size)
            .filter(|spared| spared.size > largest_eligible && spared.size >= enough)
    }

    /// The position of the first in rank among those of at least `min_size`.
    fn best(&self, tasks: &Tasks, min_size: u64, size: impl Fn(&Task) -> u64) -> Option<usize> {
        eligible(tasks, &self.verdicts)
            .filter(|(_, task, _)| size(task) >= min_size)
            .min_by_key(|(_, task, tier)| self.rank(task, *tier, size(task)))
            .map(|(index, _, _)| index)
    }

    fn victim(&self, tasks: &Tasks, index: usize) -> Victim {
        let task = &tasks.list[index];
        let tier = match self.verdicts.get(index) {
            Some(Verdict::Eligible(tier, _)) => *tier,
            _ => Tier::Ordinary,
        };
        Victim {
            id: task.id,
            comm: task.comm,
            uid: task.uid,
            cgroup: tasks.cgroup_path(task).and_then(CgroupPath::new),
            size: task.size(),
            swap: task.swap.unwrap_or(0),
            oom_score_adj: task.oom_score_adj,
            tier,
            group: None,
            spared_group: false,
        }
    }
}

impl Sum {
    /// Makes the victim stand for the group.
    fn describe(&self, victim: &mut Victim, why: GroupWhy) {
        victim.size = self.size;
        victim.swap = self.swap;
        victim.group = Some(Group { members: self.eligible, why, whole: self.whole });
    }

    fn add(&mut self, index: usize, task: &Task, list: &[Task]) {
        self.size = self.size.saturating_add(task.size());
        self.swap = self.swap.saturating_add(task.swap.unwrap_or(0));
        self.eligible = self.eligible.saturating_add(1);
        if self.largest.is_none_or(|l| list[l].size() < task.size()) {
            self.largest = Some(index);
        }
    }
}

/// See [`Chooser::rank`].
type RankKey = (Tier, std::cmp::Reverse<(u32, u64, u64)>, i32);

/// Writes to the spare capacity of a list.
fn touch<T: Copy>(list: &mut Vec<T>, anything: T) {
    list.spare_capacity_mut().iter_mut().for_each(|slot| {
        slot.write(anything);
    });
}

fn eligible<'a>(tasks: &'a Tasks, verdicts: &'a [Verdict]) -> impl Iterator<Item = (usize, &'a Task, Tier)> {
    tasks.list.iter().zip(verdicts).enumerate().filter_map(|(index, (task, verdict))| match verdict {
        Verdict::Eligible(tier, _) => Some((index, task, *tier)),
        Verdict::Excluded(_) => None,
    })
}

fn preference(task: &Task, cgroups: &Cgroups) -> Preference {
    task.cgroup.map_or(Preference::None, |id| cgroups.facts(id).preference)
}
