//! The memory guard's turn in each phase of an act: nobody under way, a victim that was signalled, memory that comes back.

use std::time::Duration;

use crate::observe::{Depth, Need, Observation};

use super::measure::{self, Level, Reading, Resource, Whose};
use super::note::Note;
use super::pace;
use super::victim::{Choice, Refusal, Spared, Victim};
use super::{Act, Because, Engine, FUTILE_KILLS, PATIENCE, PAUSE, Signal, Step};

/// A kill gained nothing measurable when less than this share of the victim's size came back, in percent.
const GAIN_PERCENT: u64 = 10;

/// The memory counts as given back when this share of the victim's size is there again, in percent. Not all, because
/// somebody else goes on allocating meanwhile.
const BACK_PERCENT: u64 = 80;

#[derive(Clone, Copy, Debug)]
pub(super) enum Phase {
    /// Nothing under way.
    Watching,
    /// A signal was sent; the victim has not exited.
    Waiting(Waiting),
    /// The victim exited; its memory comes back.
    Settling(Settling),
    /// A dry run has said what it would do; it says no more until memory is back.
    Pretended,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) act: Act,
    pub(super) sent_at: Duration,
    pub(super) lowest: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Settling {
    victim: Victim,
    whose: Whose,
    resource: Resource,
    sent: Option<(Signal, Duration)>,
    exited_at: Duration,
    lowest: u64,
    highest: u64,
    freed: u64,
    last_growth: Duration,
}

impl Engine {
    pub(super) fn watch(&mut self, obs: &Observation<'_>, now: Duration) -> Step {
        if let Some(until) = self.paused_until {
            if now < until {
                return Step::Wait(until.saturating_sub(now).clamp(pace::SHORTEST, pace::IN_PAUSE));
            }
            self.paused_until = None;
        }
        let Some(reading) = self.worst_in_need(obs, now) else {
            self.dying_since = None;
            return Step::Wait(self.until_next_look(obs, now));
        };
        let Some(tasks) = obs.tasks else { return Step::Look(self.chooser.need(&reading)) };
        // Somebody large is on the way out already: by the kernel's hand, another guard's or its own. As after a kill of
        // ours, what it held is waited for before anybody else is taken.
        if tasks.dying_bytes >= self.chooser.min_size(&reading).max(1) {
            let since = *self.dying_since.get_or_insert(now);
            if now.saturating_sub(since) < PATIENCE {
                return Step::Wait(pace::WHILE_DYING);
            }
        } else {
            self.dying_since = None;
        }
        let set_aside = &self.set_aside;
        self.chooser.judge(tasks, obs, &reading, |id| set_aside.since(id).is_some());
        match self.chooser.choose(tasks, &reading) {
            Choice::Victim(victim) => Step::Act(self.first_act(&victim, &reading, now)),
            Choice::NeedAll => Step::Look(Need { depth: Depth::All, ..self.chooser.need(&reading) }),
            Choice::Refused(refusal) => {
                let spared = self.chooser.largest_spared(tasks, &reading);
                self.refuse(refusal, &reading, spared, now);
                // What can't be helped in one scope can perhaps be in another.
                match self.worst_in_need(obs, now) {
                    Some(next) => Step::Look(self.chooser.need(&next)),
                    None => Step::Wait(self.until_next_look(obs, now)),
                }
            }
        }
    }

    /// The worst off of the scopes for which somebody may be killed now.
    fn worst_in_need(&self, obs: &Observation<'_>, now: Duration) -> Option<Reading> {
        let in_need = |r: &Reading| r.level >= Level::Term && self.refusals.pause(r, now).is_none();
        measure::worst_of(self.gauge.watched(obs).filter(in_need))
    }

    /// Until the first scope that is still well can be in need, or the first pause is over.
    fn until_next_look(&self, obs: &Observation<'_>, now: Duration) -> Duration {
        let each = self.gauge.watched(obs).map(|r| match self.refusals.pause(&r, now) {
            Some(rest) if r.level >= Level::Term => rest.min(pace::IN_PAUSE),
            _ if r.whose == Whose::Machine && !self.gauge.machine_is_ours => pace::LONGEST,
            _ => self.pace.until_next_look(&r),
        });
        each.min().unwrap_or(pace::LONGEST).max(pace::SHORTEST)
    }

    fn first_act(&self, victim: &Victim, reading: &Reading, now: Duration) -> Act {
        let ignored = self.asked.ago(victim.id, now).filter(|ago| *ago >= self.grace);
        let (signal, because) = match (reading.level, ignored) {
            (Level::Kill, _) => (Signal::Kill, Because::AtKill),
            (_, Some(ago)) => (Signal::Kill, Because::GraceOver(ago)),
            _ => (Signal::Term, Because::AtTerm),
        };
        Act { victim: *victim, signal, because, reading: *reading, seen_at: self.seen_at.unwrap_or(now) }
    }

    pub(super) fn wait(
        &mut self,
        mut waiting: Waiting,
        obs: &Observation<'_>,
        reading: &Reading,
        now: Duration,
    ) -> Step {
        let Waiting { act, sent_at, .. } = waiting;
        let again = self.gauge.again(&act.reading.whose, obs);
        // Another scope's numbers say nothing about what comes back in this one.
        if let Some(here) = again {
            waiting.lowest = waiting.lowest.min(here.free(act.reading.resource));
        }
        let here = again.unwrap_or(*reading);
        let waited = now.saturating_sub(sent_at);
        self.phase = Phase::Waiting(waiting);
        if obs.victim_exited {
            let settling = Settling::new(&act, Some((act.signal, waited)), waiting.lowest, now);
            self.phase = Phase::Settling(settling);
            return self.settle(settling, obs, reading, now);
        }
        // The trouble of a wider scope is the trouble of whoever lives in it.
        let worst =
            if reading.whose.holds(act.victim.cgroup.as_ref().map(|c| c.as_bytes())) && reading.level > here.level {
                *reading
            } else {
                here
            };
        match act.signal {
            Signal::Term if worst.level == Level::Kill => self.escalate(&waiting, Because::AtKill, &worst, obs, now),
            Signal::Term if waited >= self.grace && worst.level >= Level::Term => {
                self.escalate(&waiting, Because::GraceOver(waited), &worst, obs, now)
            }
            Signal::Term if waited >= self.grace => {
                self.notes.add(&Note::Spared { victim: act.victim, waited, reading: worst });
                self.phase = Phase::Watching;
                self.watch(obs, now)
            }
            Signal::Kill if waited >= PATIENCE => {
                self.set_aside.insert(act.victim.id, now);
                if act.victim.group.is_some() {
                    self.chooser.set_members_aside();
                }
                self.notes.add(&Note::SetAside { victim: act.victim, reading: worst });
                if let Some(here) = again {
                    let freed = here.free(act.reading.resource).saturating_sub(waiting.lowest);
                    self.count_gain(&act.victim, freed, here.level);
                }
                self.next(obs, &here, now)
            }
            Signal::Term => {
                Step::Wait(self.pace.until_next_look(&worst).min(self.grace.saturating_sub(waited)).max(pace::SHORTEST))
            }
            Signal::Kill => Step::Wait(pace::WHILE_DYING),
        }
    }

    /// From SIGTERM to SIGKILL for the same victim. A group's members may have changed meanwhile.
    fn escalate(
        &mut self,
        waiting: &Waiting,
        because: Because,
        reading: &Reading,
        obs: &Observation<'_>,
        now: Duration,
    ) -> Step {
        let act = &waiting.act;
        let seen_at = self.seen_at.unwrap_or(now);
        let mut next = Act { signal: Signal::Kill, because, reading: *reading, seen_at, ..*act };
        if act.victim.group.is_some() {
            let Some(tasks) = obs.tasks.filter(|t| t.depth == Depth::All) else {
                return Step::Look(Need { depth: Depth::All, ..self.chooser.need(reading) });
            };
            let set_aside = &self.set_aside;
            self.chooser.judge(tasks, obs, reading, |id| set_aside.since(id).is_some());
            match self.chooser.regroup(tasks, &act.victim) {
                Some(victim) => next.victim = victim,
                // All of them are on their way out.
                None => {
                    let sent = Some((act.signal, now.saturating_sub(waiting.sent_at)));
                    return self.settle(Settling::new(act, sent, waiting.lowest, now), obs, reading, now);
                }
            }
        }
        Step::Act(next)
    }

    pub(super) fn settle(
        &mut self,
        mut settling: Settling,
        obs: &Observation<'_>,
        reading: &Reading,
        now: Duration,
    ) -> Step {
        let again = self.gauge.again(&settling.whose, obs);
        if let Some(here) = again {
            let free = here.free(settling.resource);
            settling.lowest = settling.lowest.min(free);
            // The most there was: what others take meanwhile was given back all the same.
            settling.freed = settling.freed.max(free.saturating_sub(settling.lowest));
            if free > settling.highest {
                settling.highest = free;
                settling.last_growth = now;
            }
        }
        let here = again.unwrap_or(*reading);
        self.phase = Phase::Settling(settling);
        let freed = settling.freed;
        let since_exit = now.saturating_sub(settling.exited_at);
        let back = freed >= settling.victim.size / 100 * BACK_PERCENT;
        let enough = again.is_some_and(|here| here.level < Level::Term);
        let quiet = enough && now.saturating_sub(settling.last_growth) >= pace::QUIET;
        if !(back || quiet || since_exit >= PATIENCE) {
            return Step::Wait(pace::WHILE_DYING);
        }
        self.notes.add(&Note::Exited { victim: settling.victim, after: settling.sent, freed, reading: here });
        // Else nobody was killed, or nothing could be measured.
        if let (Some(_), Some(here)) = (settling.sent, again) {
            self.count_gain(&settling.victim, freed, here.level);
        }
        self.next(obs, &here, now)
    }

    /// Whether a kill was of any use.
    fn count_gain(&mut self, victim: &Victim, freed: u64, level: Level) {
        let futile = level >= Level::Term && freed <= victim.size / 100 * GAIN_PERCENT;
        self.futile = if futile { self.futile.saturating_add(1) } else { 0 };
    }

    /// Goes on after a victim, unless the last ones brought nothing back.
    fn next(&mut self, obs: &Observation<'_>, here: &Reading, now: Duration) -> Step {
        self.phase = Phase::Watching;
        if self.futile >= FUTILE_KILLS {
            self.futile = 0;
            self.refuse(Refusal::NoGain, here, None, now);
            // Whatever the scope: the kills were of no use to anybody.
            self.paused_until = Some(now + PAUSE);
        }
        self.watch(obs, now)
    }

    pub(super) fn pretended(&mut self, reading: &Reading) -> Step {
        if reading.level < Level::Term {
            self.phase = Phase::Watching;
        }
        Step::Wait(self.pace.until_next_look(reading).max(pace::WHILE_DYING))
    }

    fn refuse(&mut self, refusal: Refusal, reading: &Reading, spared: Option<Spared>, now: Duration) {
        // Somebody eligible may appear at any moment; what else holds the memory will not go so soon.
        let pause = if refusal == Refusal::NobodyEligible { pace::IN_PAUSE } else { PAUSE };
        // With a `min_size` of next to nothing, every byte taken would be worth another look.
        let worth_a_look = self.chooser.min_size(reading).max(reading.total / 200);
        let void_below = reading.left().saturating_sub(worth_a_look);
        if self.refusals.insert(&refusal, reading, void_below, now, now + pause) {
            self.notes.add(&Note::Refused(refusal, *reading, spared));
        }
    }
}

impl Settling {
    pub(super) fn new(act: &Act, sent: Option<(Signal, Duration)>, lowest: u64, now: Duration) -> Self {
        Self {
            victim: act.victim,
            whose: act.reading.whose,
            resource: act.reading.resource,
            sent,
            exited_at: now,
            lowest,
            highest: 0,
            freed: 0,
            last_growth: now,
        }
    }
}
