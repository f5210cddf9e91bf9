//! One turn of one case: whom to take, waiting for the end, whether it helped.

use std::time::Duration;

use crate::config::TargetKind;
use crate::decide::livelock::Kind;
use crate::decide::pressure::{Child, LOOK, worst_child};
use crate::decide::victim::{Choice, Chooser, Exclusion, GroupWhy, Refusal, Spared, Stuck, Tier, Victim};
use crate::decide::{Act, Because, FUTILE_KILLS, PATIENCE, PAUSE, SPARED_FOR, Signal};
use crate::observe::cgroups::{CgroupPath, is_child, is_within};
use crate::observe::{Depth, Need, Observation, Tasks};

use super::case::{Asked, Case, Gone, Phase};
use super::need::stuck_of;
use super::note::{CaseEvent, CaseNote, Plan};
use super::watched::Outlook;
use super::{AGAIN, CaseStep, Cases, MOVES_WITHIN, MOVING, SOON, Seen};

impl Cases {
    pub(super) fn step_one(
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
            Phase::Spared(asked) => self.watch_spared(place, &case, &asked, now),
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
                let ignored = self.asked.ago(victim.id, now).filter(|ago| *ago >= self.grace);
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
                    Phase::Spared(_) | Phase::Lifting | Phase::Resting(_) => false,
                }
            })
    }

    #[expect(clippy::too_many_arguments, reason = "what a step is shown, and the case")]
    fn await_exit(
        &mut self,
        place: usize,
        case: &Case,
        asked: &Asked,
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
            self.put(place, &Phase::Checking { since: now, victim: Some(asked.gone(now)) });
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
                    // There is room for the members of one group only, and another case may need it.
                    if act.victim.group.is_some() {
                        return self.close(place, None);
                    }
                    self.put(place, &Phase::Spared(*asked));
                    return CaseStep::Wait(SOON);
                }
                let mut next = Act { signal: Signal::Kill, because: Because::Stuck(case.stall, Some(waited)), ..*act };
                next.seen_at = now;
                // A group as it is now; several of the largest stay who they are.
                if act.victim.group.is_some_and(|group| group.why != GroupWhy::Several) {
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

    /// The cgroup moved in time, and who had been asked to go lives: he is watched for a while. Should the cgroup be stuck again,
    /// that is another case, which does not ask him twice.
    fn watch_spared(&mut self, place: usize, case: &Case, asked: &Asked, now: Duration) -> CaseStep {
        let left = (self.grace + SPARED_FOR).saturating_sub(now.saturating_sub(asked.sent_at));
        let stuck_again = self.seen(case).is_some_and(|seen| seen.stall.is_some());
        if left.is_zero() || stuck_again {
            self.close(place, None);
            return CaseStep::Wait(if stuck_again { Duration::ZERO } else { AGAIN });
        }
        CaseStep::Wait(left)
    }

    /// Tells of those who were spared and went all the same; before anything else, because others may need their places.
    pub(super) fn tell_spared_who_went(&mut self, exited: u64, now: Duration) {
        for place in 0..self.open.len() {
            if exited >> place & 1 == 0 || self.notes.len() == self.notes.capacity() {
                continue;
            }
            if let Some(case) = self.open[place]
                && let Phase::Spared(asked) = case.phase
            {
                let after = now.saturating_sub(asked.sent_at);
                self.note(&case, &CaseEvent::SparedExited { victim: asked.act.victim, after });
                self.asked.forget(asked.act.victim.id);
                self.close(place, None);
            }
        }
    }

    /// The victim is gone: does the cgroup move again?
    fn check(&mut self, place: usize, case: &Case, since: Duration, gone: Option<&Gone>, now: Duration) -> CaseStep {
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
            self.asked.forget(gone.victim.id);
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
        spared: Option<Spared>,
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
                    let told = case.stall;
                    if let Some(case) = &mut self.open[place] {
                        case.told = told;
                    }
                    self.note(&Case { told, ..*case }, &CaseEvent::Found(case.plan));
                }
                CaseStep::Wait(Duration::ZERO)
            }
            Some(until) => CaseStep::Wait(until.saturating_sub(now)),
            None => CaseStep::Wait(AGAIN),
        }
    }

    /// The group that the case in this place went for is done with, if it did: another case may have one.
    pub(super) fn release_crew(&mut self, place: usize) {
        self.crew_of = self.crew_of.filter(|of| *of != place);
    }

    pub(in crate::decide) fn close(&mut self, place: usize, moving_at: Option<Duration>) -> CaseStep {
        self.release_crew(place);
        if let Some(case) = self.open[place].take()
            && let Some(now) = moving_at
        {
            self.note(&case, &CaseEvent::Moves(now.saturating_sub(case.stall.since)));
        }
        CaseStep::Wait(AGAIN)
    }

    pub(super) fn put(&mut self, place: usize, phase: &Phase) {
        if let Some(case) = &mut self.open[place] {
            case.phase = *phase;
        }
    }

    pub(super) fn note(&mut self, case: &Case, event: &CaseEvent) {
        if self.notes.len() < self.notes.capacity() {
            self.notes.push(CaseNote::new(case.incident, &case.path, &case.told, event));
        }
    }
}

/// Whom to take is chosen from everybody.
pub(super) fn look_at_all(chooser: &Chooser) -> CaseStep {
    CaseStep::Look(Need { depth: Depth::All, oom_score: chooser.wants_score() })
}

/// Whether there is still something to be done: it is found stuck, or after an act stalls on as it did.
pub(super) fn holds(case: &Case, seen: &Seen) -> bool {
    let acted = case.tried > 0 || matches!(case.phase, Phase::Asked(_));
    seen.stall.is_some() || acted && seen.outlook == Outlook::Stuck
}
