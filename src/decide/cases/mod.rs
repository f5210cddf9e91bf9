//! The livelock guard: a case for each cgroup that is stuck, from the verdict to the moment it moves again.
//!
//! Cases run side by side, because hundreds of cgroups can be stuck at once and each has to be waited for. Two that
//! share a line of the tree (a cgroup and one below it) are taken one after the other, the inner one first: what frees
//! it often frees both.

mod case;
mod machine;
mod need;
mod note;
mod opening;
mod turn;
mod watched;

use std::time::Duration;

use crate::config::Config;
use crate::observe::cgroups::{CgroupPath, is_within};
use crate::observe::{Need, Observation, TaskId};

use super::livelock::{Detector, MachineSample, Sample, Stall, Verdict};
use super::remembered::Remembered;
use super::victim::{Chooser, Held, Victim};
use super::{Act, Because, FUTILE_KILLS, Outcome, PAUSE, Signal};

use case::{Case, Phase};
use machine::Machine;
pub use need::stuck;
pub use note::{CaseEvent, CaseNote, Plan, WhyWarn};
use opening::plan;
use turn::{holds, look_at_all};
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
    /// As many as may be asked at once.
    asked: Remembered<OPEN>,
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

    /// Whether something is being done about this cgroup. Once its victim was spared nothing is.
    #[must_use]
    pub fn is_at_work(&self, id: u64) -> bool {
        let at_work = |case: &Case| !matches!(case.phase, Phase::Spared(_));
        self.open.iter().flatten().any(|case| case.id == Some(id) && at_work(case))
    }

    /// Who was spared, with the places of their cases.
    pub(super) fn spared(&self) -> impl Iterator<Item = (usize, TaskId)> {
        self.open.iter().enumerate().filter_map(|(place, case)| match &case.as_ref()?.phase {
            Phase::Spared(asked) => Some((place, asked.act.victim.id)),
            _ => None,
        })
    }

    /// Whether a case is open for the machine.
    #[must_use]
    pub fn machine_is_open(&self) -> bool {
        self.open.iter().flatten().any(|case| case.id.is_none())
    }

    /// Victims that were signalled and have not exited, with their places and members.
    pub fn in_flight(&self) -> impl Iterator<Item = (usize, &Victim, &[TaskId])> {
        self.open.iter().enumerate().filter_map(|(place, case)| match &case.as_ref()?.phase {
            Phase::Asked(asked) | Phase::Spared(asked) => Some((place, &asked.act.victim, self.members(place))),
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
        self.tell_spared_who_went(exited, now);
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
        if let (Outcome::Sent | Outcome::Pretended, Because::Stuck(stall, _)) = (outcome, act.because) {
            case.told = stall;
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
            // It went by SIGTERM, right before SIGKILL: that of this case, or of one before, in which it was spared.
            Outcome::Gone => Phase::Checking {
                since: now,
                victim: match before {
                    Phase::Asked(asked) => Some(asked.gone(now)),
                    _ => self.asked.ago(act.victim.id, now).map(|after| case::Gone {
                        victim: act.victim,
                        signal: Signal::Term,
                        after,
                        current: case.current,
                    }),
                },
            },
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
}
