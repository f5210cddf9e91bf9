//! The livelock guard: a case for each cgroup that is stuck, from the verdict to the moment it moves again.
//!
//! Cases run side by side, because hundreds of cgroups can be stuck at once and each has to be waited for. Two that
//! share a line of the tree (a cgroup and one below it) are taken one after the other, the inner one first: what frees
//! it often frees both.

mod case;
mod machine;
mod note;
mod watched;

use std::time::Duration;

use crate::config::{Config, LivelockAction, SwapMode, TargetKind};
use crate::observe::cgroups::{CgroupPath, is_child, is_within};
use crate::observe::{Depth, Need, Observation, TaskId, Tasks};

use super::livelock::{Detector, Judged, Kind, MachineSample, Sample, Stall, Verdict};
use super::measure::{Level, Reading, Resource, Whose};
use super::pressure::{Child, LOOK, worst_child};
use super::remembered::{REMEMBERED, Remembered};
use super::victim::{Choice, Chooser, Exclusion, Held, Refusal, Stuck, Tier, Victim};
use super::{Act, Because, FUTILE_KILLS, Outcome, PATIENCE, PAUSE, Signal};

use case::{Case, Phase};
use machine::Machine;
pub use note::{CaseEvent, CaseNote, Plan, WhyWarn};
pub use watched::Interest;
use watched::{Outlook, Watched};

/// Cgroups under watch at once. One costs some 5 KiB once it is used; more than a handful at their limit at the same
/// time are already unusual, and what finds no place waits for one.
pub const WATCHED: usize = 512;

/// Cases open at once, each with a place in a word of bits; more wait their turn, which comes within seconds.
pub const OPEN: usize = 64;

/// SIGTERM to SIGKILL, at most: a throttled task's handler starts within 2 s (the kernel's longest sleep), and what it
/// does then is throttled too. Whoever is stuck for good gains nothing by waiting longer.
pub const LONGEST_GRACE: Duration = Duration::from_secs(5);

/// So long after a death the cgroup has to move again; else it was the wrong one, or not the only one.
const MOVES_WITHIN: Duration = Duration::from_secs(5);

/// The stretch of samples that shows that it moves.
const MOVING: Duration = Duration::from_secs(1);

/// Below this share of time stalled a cgroup moves. Stuck ones: 0.25 and more; freed ones: 0.00 to 0.03.
const MOVES_BELOW: f64 = 0.10;

/// While a victim is on its way out, or its cgroup comes free.
const SOON: Duration = Duration::from_millis(100);

/// How often a stuck cgroup that nothing is done about is told again.
const AGAIN: Duration = Duration::from_secs(60);

/// What a victim of a thrashing cgroup should give back, in percent of the limit: that much more room ends a working set
/// that just does not fit. Doubled for each victim that was not enough.
const THRASH_TARGET_PERCENT: u64 = 5;

/// Beyond its limit by how much a cgroup is lowered, in percent of the limit: freed to the byte, it would be stuck again
/// at the next allocation.
const BELOW_PERCENT: u64 = 2;

/// Between two looks at the processes for the sake of [`Held`]: a program that works in bursts crosses its limit every
/// few seconds, and each look walks the whole process table.
const BEFORE_EVERY: Duration = Duration::from_secs(5);

/// Notes of one step; a step that has no room for more leaves the rest for the next. Few enough for the journal's queue to
/// take them at once when it is half empty.
pub const NOTES: usize = 16;

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CaseStep {
    /// Nothing before so long, if no sample shows otherwise.
    Wait(Duration),
    /// Show the processes too, at once.
    Look(Need),
    /// Send a signal for the case in this place, then call [`Cases::acted`].
    Act(usize, Act),
    /// Raise this cgroup's `memory.high`, then call [`Cases::lifted`].
    Lift(u64),
}

/// What came of a lift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiftOutcome {
    /// `memory.high` is max.
    Done,
    /// A dry run: it would be.
    Pretended,
    /// It could not be raised.
    Failed,
}

/// The thing that a case is about, as its last sample showed it.
struct Seen {
    /// How it is stuck, if it is.
    stall: Option<Stall>,
    outlook: Outlook,
    sampled: Option<Duration>,
    /// What it holds, in bytes.
    current: u64,
    before: Option<Held>,
}

/// All cases, and what they may come from: cgroups, and the machine.
#[derive(Debug)]
pub struct Cases {
    grace: Duration,
    watched: Vec<Watched>,
    machine: Machine,
    open: Vec<Option<Case>>,
    /// The members of the one group under way, and whose case that is.
    crew: Vec<TaskId>,
    crew_of: Option<usize>,
    /// The chooser's list while it chooses for a case: its own belongs to the memory guard.
    draft: Vec<TaskId>,
    set_aside: Remembered,
    asked: Remembered,
    looked_before: Option<Duration>,
    notes: Vec<CaseNote>,
}

impl Cases {
    /// No case, and no room for any yet: see [`Cases::make_room`].
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            grace: config.escalation.grace.min(LONGEST_GRACE),
            watched: Vec::new(),
            machine: Machine::new(config.livelock.thrash_after, config.livelock.action),
            open: Vec::new(),
            crew: Vec::new(),
            crew_of: None,
            draft: Vec::new(),
            set_aside: Remembered::default(),
            asked: Remembered::default(),
            looked_before: None,
            notes: Vec::new(),
        }
    }

    /// Sets aside all memory that cases will ever need; it is used only when there are some. Once, when start-up has given
    /// back what it used: in memory that was used before, room costs as much as what is in it.
    pub fn make_room(&mut self) {
        self.watched.reserve_exact(WATCHED);
        self.open.reserve_exact(OPEN);
        self.notes.reserve_exact(NOTES);
    }

    /// Goes on with another configuration; cases at work stay.
    pub fn reconfigure(&mut self, config: &Config) {
        self.grace = config.escalation.grace.min(LONGEST_GRACE);
        self.machine.reconfigure(config.livelock.thrash_after, config.livelock.action);
    }

    /// Makes room for groups of so many members. Allocates, so only while the machine is healthy.
    pub fn reserve(&mut self, members: usize) {
        self.crew.reserve(members.saturating_sub(self.crew.len()));
        self.draft.reserve(members.saturating_sub(self.draft.len()));
    }

    /// Takes a cgroup under watch, or goes on with other terms; whether there was room.
    pub fn watch(&mut self, id: u64, path: &CgroupPath, interest: &Interest) -> bool {
        if let Some(known) = self.watched.iter_mut().find(|w| w.id == id) {
            known.reinterest(interest);
            if let Some(case) = self.open.iter_mut().flatten().find(|case| case.id == Some(id)) {
                case.replan(plan(known.action, &case.stall));
            }
            return true;
        }
        let room = self.watched.len() < self.watched.capacity();
        if room {
            self.watched.push(Watched::new(id, path, interest));
        }
        room
    }

    /// Forgets a cgroup: it is gone, quiet, or none of our business any more. A victim under way is followed to its end.
    pub fn unwatch(&mut self, id: u64) {
        if let Some(at) = self.position(id) {
            self.watched.swap_remove(at);
        }
    }

    /// Learns from a sample of a cgroup under watch. `None` when it is not.
    pub fn sampled(&mut self, id: u64, sample: &Sample) -> Option<Verdict> {
        let watched = self.position(id).and_then(|at| self.watched.get_mut(at))?;
        watched.sampled(sample);
        Some(watched.detector.verdict())
    }

    /// Learns from a sample of the machine. `term` and `swap_term` are the memory guard's thresholds, in bytes: above twice
    /// the one and above the other nobody is killed for the sake of the machine as a whole.
    pub fn machine_sampled(&mut self, sample: &MachineSample, term: u64, swap_term: u64) {
        self.machine.sampled(sample, term, swap_term);
    }

    /// The machine is somebody else's from now on: a case of it ends here.
    pub fn leave_machine(&mut self) {
        self.machine.restart();
        for place in 0..self.open.len() {
            if self.open[place].is_some_and(|case| case.id.is_none()) {
                self.open[place] = None;
                self.release_crew(place);
            }
        }
    }

    /// The detector of a cgroup under watch.
    #[must_use]
    pub fn detector(&self, id: u64) -> Option<&Detector> {
        self.position(id).map(|at| &self.watched[at].detector)
    }

    /// Whether nothing is under watch and no case is open.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.watched.is_empty() && !self.any_is_open() && self.machine.stall().is_none()
    }

    /// Whether any case is open.
    #[must_use]
    pub fn any_is_open(&self) -> bool {
        self.open.iter().any(Option::is_some)
    }

    /// Whether a case is open for this cgroup.
    #[must_use]
    pub fn is_open(&self, id: u64) -> bool {
        self.open.iter().flatten().any(|case| case.id == Some(id))
    }

    /// Whether a case is open for the machine.
    #[must_use]
    pub fn machine_is_open(&self) -> bool {
        self.open.iter().flatten().any(|case| case.id.is_none())
    }

    /// Victims that were signalled and have not exited, with their places and members.
    pub fn in_flight(&self) -> impl Iterator<Item = (usize, &Victim, &[TaskId])> {
        self.open.iter().enumerate().filter_map(|(place, case)| match &case.as_ref()?.phase {
            Phase::Asked(asked) => Some((place, &asked.act.victim, self.members(place))),
            _ => None,
        })
    }

    /// The members of the group that the case in this place goes for.
    #[must_use]
    pub fn members(&self, place: usize) -> &[TaskId] {
        if self.crew_of == Some(place) { &self.crew } else { &[] }
    }

    /// The cgroup of the case in this place; `None` when it is the machine's.
    #[must_use]
    pub fn cgroup_of(&self, place: usize) -> Option<u64> {
        self.open.get(place)?.as_ref()?.id
    }

    /// Path and incident of the case of a cgroup.
    #[must_use]
    pub fn case_of(&self, id: u64) -> Option<(&CgroupPath, u32, &Stall)> {
        self.open.iter().flatten().find(|case| case.id == Some(id)).map(|case| (&case.path, case.incident, &case.stall))
    }

    /// The incident of an open case of this cgroup, or of one around it or within it.
    #[must_use]
    pub fn incident_at(&self, path: &[u8]) -> Option<u32> {
        let cases = self.open.iter().flatten().filter(|case| case.id.is_some());
        let mut near = cases.filter(|case| {
            let other = case.path.as_bytes();
            is_within(path, other) || is_within(other, path)
        });
        near.next().map(|case| case.incident)
    }

    /// What is being done about a cgroup, in a word; `None` when no case of it is open, or nobody was chosen yet.
    #[must_use]
    pub fn doing(&self, id: u64) -> Option<&'static str> {
        self.open.iter().flatten().find(|case| case.id == Some(id))?.phase.word()
    }

    /// The incident of the case in this place.
    #[must_use]
    pub fn incident(&self, place: usize) -> Option<u32> {
        self.open.get(place)?.as_ref().map(|case| case.incident)
    }

    /// What happened in the last step.
    pub fn notes(&self) -> impl Iterator<Item = &CaseNote> {
        self.notes.iter()
    }

    /// Decides, at `now`. `exited` has a bit for each place whose victim has exited; `elsewhere` is a victim of the memory
    /// guard's that is under way; `next_incident` gives new cases their number.
    pub fn step(
        &mut self,
        chooser: &mut Chooser,
        obs: &Observation<'_>,
        exited: u64,
        elsewhere: Option<&Victim>,
        next_incident: &mut u32,
        now: Duration,
    ) -> CaseStep {
        self.notes.clear();
        if let Some(tasks) = obs.tasks {
            self.look_before(chooser, tasks, obs, now);
        }
        self.open_new(next_incident, now);
        self.open_machine(next_incident);
        let mut wait = AGAIN;
        let mut look = self.wants_before(now);
        for place in 0..self.open.len() {
            // A case makes three notes at most.
            if self.notes.len() + 3 > self.notes.capacity() {
                return CaseStep::Wait(Duration::ZERO);
            }
            let step = self.step_one(place, chooser, obs, exited, elsewhere, now);
            match step {
                CaseStep::Wait(pause) => wait = wait.min(pause),
                CaseStep::Look(_) => look = true,
                CaseStep::Act(..) | CaseStep::Lift(_) => return step,
            }
        }
        if look { look_at_all(chooser) } else { CaseStep::Wait(wait) }
    }

    /// Whether the cause of an act still holds, by a sample made after the choice (see [`Cases::sampled`]).
    #[must_use]
    pub fn still_holds(&self, place: usize) -> bool {
        let Some(case) = self.open.get(place).and_then(Option::as_ref) else { return false };
        self.seen(case).is_some_and(|seen| holds(case, &seen))
    }

    /// What came of an act.
    pub fn acted(&mut self, place: usize, act: &Act, outcome: Outcome, now: Duration) {
        self.notes.clear();
        let Some(case) = self.open.get_mut(place).and_then(Option::as_mut) else { return };
        let before = case.phase;
        if outcome == Outcome::Sent && act.signal == Signal::Term {
            self.asked.insert(act.victim.id, now);
        }
        case.phase = match outcome {
            Outcome::Sent => Phase::Asked(case::Asked {
                act: *act,
                sent_at: now,
                current: case.current,
                first: match before {
                    Phase::Asked(asked) => asked.first,
                    _ => now,
                },
            }),
            // A dry run has said what it would do; it says no more until the cgroup moves.
            Outcome::Pretended => Phase::Resting(None),
            // SIGTERM stays sent, even if SIGKILL does not follow.
            Outcome::Recovered => match before {
                Phase::Asked(_) => before,
                _ => {
                    case.not_before = Some(now + SOON);
                    Phase::Choosing
                }
            },
            Outcome::Gone => Phase::Checking { since: now, victim: None },
            Outcome::Failed => {
                self.set_aside.insert(act.victim.id, now);
                case.futile += 1;
                if case.futile >= FUTILE_KILLS { Phase::Resting(Some(now + PAUSE)) } else { Phase::Choosing }
            }
        };
        if !matches!(case.phase, Phase::Asked(_)) {
            self.release_crew(place);
        }
    }

    /// What came of a lift.
    pub fn lifted(&mut self, id: u64, outcome: LiftOutcome, now: Duration) {
        let Some(place) = self.open.iter().position(|case| case.as_ref().is_some_and(|case| case.id == Some(id)))
        else {
            return;
        };
        match (outcome, &mut self.open[place]) {
            (LiftOutcome::Done, open) => *open = None,
            (LiftOutcome::Pretended, Some(case)) => {
                case.phase = Phase::Resting(None);
                return;
            }
            (LiftOutcome::Failed, Some(case)) => {
                case.phase = Phase::Resting(Some(now + PAUSE));
                return;
            }
            (_, None) => {}
        }
        if let Some(at) = self.position(id) {
            self.watched[at].restart();
        }
    }

    fn position(&self, id: u64) -> Option<usize> {
        self.watched.iter().position(|watched| watched.id == id)
    }

    /// How the thing that a case is about is now; `None` when it is no longer under watch.
    fn seen(&self, case: &Case) -> Option<Seen> {
        let Some(id) = case.id else {
            let machine = &self.machine;
            return Some(Seen {
                stall: machine.stall(),
                outlook: machine.outlook(),
                sampled: machine.sampled,
                current: machine.used,
                before: None,
            });
        };
        let watched = &self.watched[self.position(id)?];
        let sample = watched.last.as_ref();
        Some(Seen {
            stall: watched.stall(),
            outlook: watched.outlook(case.stall.kind),
            sampled: sample.map(|sample| sample.t),
            current: sample.map_or(case.current, |sample| sample.current),
            before: watched.before,
        })
    }

    /// What was seen before an act says nothing about the time after it, here and further in. Those further out are judged
    /// on: else one child that dies every few seconds would hide their state for ever.
    fn restart(&mut self, case: &Case) {
        for watched in &mut self.watched {
            if is_within(watched.path.as_bytes(), case.path.as_bytes()) {
                watched.restart();
            }
        }
        if case.id.is_none() {
            self.machine.restart();
        }
    }

    fn wants_before(&self, now: Duration) -> bool {
        self.watched.iter().any(|w| w.wants_before)
            && self.looked_before.is_none_or(|at| now.saturating_sub(at) >= BEFORE_EVERY)
    }

    /// Notes what the processes of cgroups hold that have just gone above their limit.
    fn look_before(&mut self, chooser: &mut Chooser, tasks: &Tasks, obs: &Observation<'_>, now: Duration) {
        if tasks.depth != Depth::All {
            return;
        }
        for watched in self.watched.iter_mut().filter(|w| w.wants_before) {
            let Some(sample) = watched.detector.last() else { continue };
            let Some(limit) = Judged::of(sample) else { continue };
            chooser.judge(tasks, obs, &reading(&Whose::Cgroup(watched.path), limit.bytes(), 0), |_| false);
            (watched.before, watched.wants_before) = (Some(chooser.held(tasks)), false);
            self.looked_before = Some(now);
        }
    }

    /// Opens a case for each cgroup that has become stuck, as far as there is room.
    fn open_new(&mut self, next_incident: &mut u32, now: Duration) {
        for watched in &mut self.watched {
            if self.notes.len() == self.notes.capacity() {
                return;
            }
            if let Verdict::Stalled(stall) = watched.detector.verdict()
                && stall.kind == Kind::OomStuck
                && watched.action.is_some()
                && watched.oom_told.is_none_or(|told| now.saturating_sub(told) >= AGAIN)
            {
                watched.oom_told = Some(now);
                let incident = *watched.oom_incident.get_or_insert_with(|| {
                    *next_incident += 1;
                    *next_incident
                });
                self.notes.push(CaseNote::new(incident, &watched.path, &stall, &CaseEvent::OomStuck));
            }
            let Some(stall) = watched.stall() else { continue };
            let current = watched.last.map_or(0, |sample| sample.current);
            let plan = plan(watched.action, &stall);
            if let Some(case) = self.open.iter_mut().flatten().find(|case| case.id == Some(watched.id)) {
                (case.stall, case.current) = (stall, current);
                case.replan(plan);
                continue;
            }
            let Some(place) = free_place(&mut self.open, plan) else { continue };
            *next_incident += 1;
            let note = CaseNote::new(*next_incident, &watched.path, &stall, &CaseEvent::Found(plan));
            self.notes.push(note);
            self.open[place] = Some(Case::new(Some(watched.id), &watched.path, plan, &stall, current, *next_incident));
        }
    }

    /// The same for the machine; and one that was only slow may have become short of memory.
    fn open_machine(&mut self, next_incident: &mut u32) {
        let Some(stall) = self.machine.stall() else { return };
        let plan = self.machine.plan();
        if let Some(case) = self.open.iter_mut().flatten().find(|case| case.id.is_none()) {
            (case.stall, case.current) = (stall, self.machine.used);
            case.replan(plan);
            return;
        }
        let Some(place) = free_place(&mut self.open, plan) else { return };
        *next_incident += 1;
        let root = CgroupPath::root();
        self.notes.push(CaseNote::new(*next_incident, &root, &stall, &CaseEvent::Found(plan)));
        self.open[place] = Some(Case::new(None, &root, plan, &stall, self.machine.used, *next_incident));
    }

    fn step_one(
        &mut self,
        place: usize,
        chooser: &mut Chooser,
        obs: &Observation<'_>,
        exited: u64,
        elsewhere: Option<&Victim>,
        now: Duration,
    ) -> CaseStep {
        let Some(case) = self.open[place] else { return CaseStep::Wait(AGAIN) };
        match case.phase {
            Phase::Choosing => self.choose(place, &case, chooser, obs, elsewhere, now),
            Phase::Asked(asked) => self.await_exit(place, &case, &asked, chooser, obs, exited >> place & 1 == 1, now),
            Phase::Checking { since, victim } => self.check(place, &case, since, victim.as_ref(), now),
            Phase::Lifting => CaseStep::Wait(AGAIN),
            Phase::Resting(until) => self.rest(place, &case, until, now),
        }
    }

    /// Nobody is under way: whom to take?
    fn choose(
        &mut self,
        place: usize,
        case: &Case,
        chooser: &mut Chooser,
        obs: &Observation<'_>,
        elsewhere: Option<&Victim>,
        now: Duration,
    ) -> CaseStep {
        let Some(seen) = self.seen(case) else { return self.close(place, None) };
        if !holds(case, &seen) {
            return self.close(place, (seen.outlook == Outlook::Moves).then_some(now));
        }
        if let Some(until) = case.not_before.filter(|until| now < *until) {
            return CaseStep::Wait(until.saturating_sub(now));
        }
        match case.plan {
            Plan::Warn(_) => {
                self.put(place, &Phase::Resting(Some(now + AGAIN)));
                return CaseStep::Wait(AGAIN);
            }
            Plan::Lift => {
                let Some(id) = case.id else { return CaseStep::Wait(AGAIN) };
                self.put(place, &Phase::Lifting);
                return CaseStep::Lift(id);
            }
            Plan::Kill => {}
        }
        if self.must_wait(place, case, elsewhere) {
            return CaseStep::Wait(SOON);
        }
        let Some(tasks) = obs.tasks.filter(|tasks| tasks.depth == Depth::All) else {
            return look_at_all(chooser);
        };
        let stuck = stuck_of(case, seen.current, seen.before, obs.machine.meminfo.mem_total);
        let set_aside = &self.set_aside;
        chooser.judge(tasks, obs, &stuck.reading, |id| set_aside.since(id).is_some());
        chooser.swap_members(&mut self.draft);
        let child = self.worst_child(chooser, tasks, case, &stuck);
        let choice = match child {
            Some(path) => chooser.choose_group(tasks, path.as_bytes()),
            None => chooser.choose_stuck(tasks, &stuck),
        };
        chooser.swap_members(&mut self.draft);
        match choice {
            Choice::Victim(victim) if victim.group.is_some() && self.crew_of.is_some() => CaseStep::Wait(SOON),
            // Perhaps protected: what its pattern asks for is being read, since somebody looked.
            Choice::Victim(victim) if victim.tier == Tier::Unread && case.may_await_details(now) => {
                if let Some(case) = &mut self.open[place] {
                    case.unread_since.get_or_insert(now);
                }
                CaseStep::Wait(SOON)
            }
            Choice::Victim(victim) => {
                if victim.group.is_some() {
                    std::mem::swap(&mut self.draft, &mut self.crew);
                    self.crew_of = Some(place);
                }
                // Who ignored SIGTERM and was spared, because the cgroup came free, is not asked twice.
                let ignored = self.asked.since(victim.id).map(|asked| now.saturating_sub(asked));
                let ignored = ignored.filter(|ago| (self.grace..REMEMBERED).contains(ago));
                let act = Act {
                    victim,
                    signal: if ignored.is_some() { Signal::Kill } else { Signal::Term },
                    because: Because::Stuck(case.stall, ignored),
                    reading: stuck.reading,
                    seen_at: case.stall.seen,
                };
                CaseStep::Act(place, act)
            }
            Choice::Refused(refusal) => {
                let spared = match refusal {
                    Refusal::NoGain => None,
                    _ => chooser.spared_hog(tasks).filter(|spared| spared.why != Exclusion::Own),
                };
                self.refuse(place, case, refusal, spared, now)
            }
            Choice::NeedAll => look_at_all(chooser),
        }
    }

    /// The child to take as a whole, for a cgroup under pressure with `target = "cgroup"`; `None` for one process.
    fn worst_child(&self, chooser: &Chooser, tasks: &Tasks, case: &Case, stuck: &Stuck) -> Option<CgroupPath> {
        let parent = &self.watched[self.position(case.id?)?];
        if case.stall.kind != Kind::Pressure || parent.target != Some(TargetKind::Cgroup) {
            return None;
        }
        let children = || self.watched.iter().filter(|w| is_child(w.path.as_bytes(), case.path.as_bytes()));
        let measured = children().map(|w| Child {
            size: chooser.size_within(tasks, w.path.as_bytes()),
            percent: w.percent(),
            at_own_limit: w.detector.hits(LOOK).is_some_and(|hits| hits > 0.0),
            preference: tasks.preference_of(w.path.as_bytes()),
        });
        let at = worst_child(measured, case.stall.stalled * 100.0, chooser.min_size(&stuck.reading))?;
        children().nth(at).map(|w| w.path)
    }

    /// Whether somebody is on the way out already whose end may free this cgroup, or one further in comes first.
    fn must_wait(&self, place: usize, case: &Case, elsewhere: Option<&Victim>) -> bool {
        let path = case.path.as_bytes();
        let in_here = |victim: &Victim| victim.cgroup.is_some_and(|cgroup| is_within(cgroup.as_bytes(), path));
        elsewhere.is_some_and(in_here)
            || self.open.iter().enumerate().any(|(other_place, other)| {
                let Some(other) = other.as_ref().filter(|_| other_place != place) else { return false };
                let inner = is_within(other.path.as_bytes(), path);
                let outer = is_within(path, other.path.as_bytes());
                match other.phase {
                    Phase::Asked(_) | Phase::Checking { .. } => inner || outer,
                    Phase::Choosing => inner && other.plan == Plan::Kill,
                    Phase::Lifting | Phase::Resting(_) => false,
                }
            })
    }

    #[expect(clippy::too_many_arguments, reason = "what a step is shown, and the case")]
    fn await_exit(
        &mut self,
        place: usize,
        case: &Case,
        asked: &case::Asked,
        chooser: &mut Chooser,
        obs: &Observation<'_>,
        exited: bool,
        now: Duration,
    ) -> CaseStep {
        let act = &asked.act;
        let waited = now.saturating_sub(asked.sent_at);
        if exited {
            self.restart(case);
            self.release_crew(place);
            let victim = case::Gone { victim: act.victim, signal: act.signal, after: waited, current: asked.current };
            self.put(place, &Phase::Checking { since: now, victim: Some(victim) });
            if let Some(case) = &mut self.open[place] {
                case.tried += 1;
            }
            return CaseStep::Wait(SOON);
        }
        match act.signal {
            Signal::Term if now.saturating_sub(asked.first) < self.grace => {
                CaseStep::Wait(self.grace.saturating_sub(now.saturating_sub(asked.first)).max(SOON))
            }
            Signal::Term => {
                let outlook = self
                    .seen(case)
                    .map_or(Outlook::Moves, |seen| if seen.stall.is_some() { Outlook::Stuck } else { seen.outlook });
                let in_doubt = outlook == Outlook::Unclear && waited < self.grace + MOVING;
                if in_doubt {
                    return CaseStep::Wait(SOON);
                }
                if case.plan != Plan::Kill {
                    return self.close(place, None);
                }
                if outlook != Outlook::Stuck {
                    self.note(case, &CaseEvent::Spared(act.victim));
                    self.restart(case);
                    return self.close(place, None);
                }
                let mut next = Act { signal: Signal::Kill, because: Because::Stuck(case.stall, Some(waited)), ..*act };
                next.seen_at = now;
                // A group as it is now; several of the largest stay who they are.
                if act.victim.group.is_some_and(|group| group.why != super::victim::GroupWhy::Several) {
                    let Some(tasks) = obs.tasks.filter(|tasks| tasks.depth == Depth::All) else {
                        return look_at_all(chooser);
                    };
                    let set_aside = &self.set_aside;
                    chooser.judge(tasks, obs, &act.reading, |id| set_aside.since(id).is_some());
                    chooser.swap_members(&mut self.draft);
                    let regrouped = chooser.regroup(tasks, &act.victim);
                    chooser.swap_members(&mut self.draft);
                    if let Some(victim) = regrouped {
                        next.victim = victim;
                        std::mem::swap(&mut self.draft, &mut self.crew);
                    }
                }
                CaseStep::Act(place, next)
            }
            Signal::Kill if waited < PATIENCE => CaseStep::Wait(SOON),
            Signal::Kill => {
                self.set_aside.insert(act.victim.id, now);
                self.release_crew(place);
                self.note(case, &CaseEvent::SetAside(act.victim));
                self.futile(place, case, now)
            }
        }
    }

    /// The victim is gone: does the cgroup move again?
    fn check(
        &mut self,
        place: usize,
        case: &Case,
        since: Duration,
        gone: Option<&case::Gone>,
        now: Duration,
    ) -> CaseStep {
        let Some(seen) = self.seen(case) else {
            // Its last process took it along.
            if let Some(gone) = gone {
                self.note(
                    case,
                    &CaseEvent::Exited { victim: gone.victim, after: (gone.signal, gone.after), freed: None },
                );
            }
            return self.close(place, Some(now));
        };
        // What can't be sampled any more can't be judged either.
        let waited = now.saturating_sub(since);
        let sampled = seen.sampled.is_some_and(|sampled| sampled > since + MOVING / 4);
        if !sampled && waited < MOVES_WITHIN {
            return CaseStep::Wait(SOON);
        }
        if let Some(gone) = gone {
            let freed = gone.current.saturating_sub(seen.current);
            let event = CaseEvent::Exited { victim: gone.victim, after: (gone.signal, gone.after), freed: Some(freed) };
            self.note(case, &event);
            self.put(place, &Phase::Checking { since, victim: None });
        }
        if waited >= MOVING && seen.outlook == Outlook::Moves {
            return self.close(place, Some(now));
        }
        if waited < MOVES_WITHIN {
            return CaseStep::Wait(SOON);
        }
        // Still slow, but not stuck in this way: should it be so again, or in another, that is found anew.
        if seen.outlook == Outlook::Unclear {
            return self.close(place, None);
        }
        self.futile(place, case, now)
    }

    /// A victim that did not help.
    fn futile(&mut self, place: usize, case: &Case, now: Duration) -> CaseStep {
        let futile = case.futile + 1;
        if let Some(case) = &mut self.open[place] {
            case.futile = futile;
            case.phase = Phase::Choosing;
        }
        if futile >= FUTILE_KILLS {
            return self.refuse(place, case, Refusal::NoGain, None, now);
        }
        CaseStep::Wait(Duration::ZERO)
    }

    fn refuse(
        &mut self,
        place: usize,
        case: &Case,
        refusal: Refusal,
        spared: Option<super::victim::Spared>,
        now: Duration,
    ) -> CaseStep {
        self.note(case, &CaseEvent::Refused(refusal, spared));
        if let Some(case) = &mut self.open[place] {
            case.futile = 0;
            case.phase = Phase::Resting(Some(now + PAUSE));
        }
        CaseStep::Wait(SOON)
    }

    /// Nothing is done for now; the cgroup may come free by itself.
    fn rest(&mut self, place: usize, case: &Case, until: Option<Duration>, now: Duration) -> CaseStep {
        let Some(seen) = self.seen(case) else { return self.close(place, Some(now)) };
        if seen.stall.is_none() && seen.outlook == Outlook::Moves {
            return self.close(place, Some(now));
        }
        match until {
            Some(until) if now >= until => {
                self.put(place, &Phase::Choosing);
                if matches!(case.plan, Plan::Warn(_)) {
                    self.note(case, &CaseEvent::Found(case.plan));
                }
                CaseStep::Wait(Duration::ZERO)
            }
            Some(until) => CaseStep::Wait(until.saturating_sub(now)),
            None => CaseStep::Wait(AGAIN),
        }
    }

    /// The group that the case in this place went for is done with, if it did: another case may have one.
    fn release_crew(&mut self, place: usize) {
        self.crew_of = self.crew_of.filter(|of| *of != place);
    }

    fn close(&mut self, place: usize, moving_at: Option<Duration>) -> CaseStep {
        self.release_crew(place);
        if let Some(case) = self.open[place].take()
            && let Some(now) = moving_at
        {
            self.note(&case, &CaseEvent::Moves(now.saturating_sub(case.stall.since)));
        }
        CaseStep::Wait(AGAIN)
    }

    fn put(&mut self, place: usize, phase: &Phase) {
        if let Some(case) = &mut self.open[place] {
            case.phase = *phase;
        }
    }

    fn note(&mut self, case: &Case, event: &CaseEvent) {
        if self.notes.len() < self.notes.capacity() {
            self.notes.push(CaseNote::new(case.incident, &case.path, &case.stall, event));
        }
    }
}

/// What is to be done: only `memory.high` can be lifted, at `memory.max` the kernel's own killer is next; and pressure is
/// acted on, or not looked for.
fn plan(configured: Option<LivelockAction>, stall: &Stall) -> Plan {
    match (configured, stall.kind, stall.limit) {
        (_, Kind::Pressure, _) | (None | Some(LivelockAction::Kill), ..) => Plan::Kill,
        (Some(LivelockAction::Warn), ..) => Plan::Warn(WhyWarn::Configured),
        (Some(LivelockAction::Lift), _, Some(Judged::High(_))) => Plan::Lift,
        (Some(LivelockAction::Lift), _, Some(Judged::Max(_)) | None) => Plan::Warn(WhyWarn::NoHigh),
    }
}

/// Whom to take is chosen from everybody.
fn look_at_all(chooser: &Chooser) -> CaseStep {
    CaseStep::Look(Need { depth: Depth::All, oom_score: chooser.wants_score() })
}

/// Whether there is still something to be done: it is found stuck, or after an act stalls on as it did.
fn holds(case: &Case, seen: &Seen) -> bool {
    let acted = case.tried > 0 || matches!(case.phase, Phase::Asked(_));
    seen.stall.is_some() || acted && seen.outlook == Outlook::Stuck
}

/// A place for a new case. Where all are taken, one that is only warned of makes room for one to act on.
fn free_place(open: &mut Vec<Option<Case>>, plan: Plan) -> Option<usize> {
    if let Some(place) = open.iter().position(Option::is_none) {
        return Some(place);
    }
    if open.len() < OPEN.min(open.capacity()) {
        open.push(None);
        return Some(open.len() - 1);
    }
    let is_warned = |case: &Option<Case>| {
        case.is_some_and(|case| matches!((case.plan, case.phase), (Plan::Warn(_), Phase::Resting(_))))
    };
    if matches!(plan, Plan::Warn(_)) { None } else { open.iter().position(is_warned) }
}

/// What it takes to free a cgroup that is stuck in this way at its limit and holds `current` bytes: what a new case of it
/// would choose by, but for what its processes held before.
#[must_use]
pub fn stuck(path: &CgroupPath, limit: Judged, current: u64, kind: Kind) -> Stuck {
    stuck_still(&Whose::Cgroup(*path), limit.bytes(), current.saturating_sub(limit.bytes()), kind, 0)
}

/// The same after so many victims in a row that changed nothing.
fn stuck_still(whose: &Whose, limit: u64, excess: u64, kind: Kind, futile: u8) -> Stuck {
    let room = match kind {
        Kind::Throttled => BELOW_PERCENT,
        // The first in rank, whatever its size.
        Kind::Pressure => 0,
        Kind::Squeezed | Kind::Thrash | Kind::SwapThrash | Kind::OomStuck => {
            THRASH_TARGET_PERCENT << futile.min(FUTILE_KILLS)
        }
    };
    let target = excess.saturating_add(limit / 100 * room);
    Stuck { reading: reading(whose, limit, excess), excess, target, before: None }
}

/// What it takes to free the cgroup of a case. `mem_total` stands for the limit that a cgroup under pressure may lack.
fn stuck_of(case: &Case, current: u64, before: Option<Held>, mem_total: u64) -> Stuck {
    let total = case.stall.limit.map_or(mem_total, Judged::bytes);
    let excess = if case.stall.limit.is_some() { current.saturating_sub(total) } else { 0 };
    let whose = if case.id.is_some() { Whose::Cgroup(case.path) } else { Whose::Machine };
    Stuck { before, ..stuck_still(&whose, total, excess, case.stall.kind, case.futile) }
}

/// A stuck cgroup as a reading: its limit is used up, and so much is missing.
fn reading(whose: &Whose, limit: u64, missing: u64) -> Reading {
    Reading {
        whose: *whose,
        level: Level::Term,
        resource: Resource::Memory,
        total: limit,
        base: limit,
        available: 0,
        warn: missing,
        term: missing,
        kill: 0,
        swap_total: 0,
        swap_free: 0,
        swap_term: 0,
        swap_kill: 0,
        swap_mode: SwapMode::Ignore,
    }
}
