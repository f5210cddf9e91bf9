//! The brain, pure: no I/O, no clock, no allocation after start-up, so that it can be simulated and replayed.
//!
//! The loop shows the engine an [`Observation`] and gets a [`Decision`]: look at the processes too, act, or just come
//! back later. After an act it tells the engine how that went ([`Engine::acted`]). What happened on the way, and why, stands
//! in [`Engine::notes`].

pub mod builtin;
pub mod livelock;
pub mod measure;
pub mod pace;
pub mod rules;
pub mod victim;

use std::time::Duration;

use crate::config::Config;
use crate::observe::{Depth, Need, Observation, TaskId, Tasks};

use measure::{Gauge, Level, Reading, Whose};
use pace::Pace;
use rules::Rules;
use victim::{Choice, Chooser, Own, Refusal, Victim};

/// SIGKILL to exit, and exit to memory back: bounded by this each. A process that has not exited by then is stuck in the
/// kernel, and waiting longer would leave the machine without a guard.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// How long nothing is killed after a refusal: what holds the memory will not have changed before.
pub const PAUSE: Duration = Duration::from_secs(60);

/// Kills in a row without gain after which killing is given up for a [`PAUSE`].
pub const FUTILE_KILLS: u8 = 3;

/// A kill gained nothing measurable when less than this share of the victim's size came back, in percent.
const GAIN_PERCENT: u64 = 10;

/// The memory counts as given back when this share of the victim's size is there again, in percent. Not all, because
/// somebody else goes on allocating meanwhile.
const BACK_PERCENT: u64 = 80;

/// A process that was asked to go and is still there when memory runs short again within this time is not asked twice.
const REMEMBERED: Duration = Duration::from_secs(300);

/// An episode is over when so much more than `warn` is available, in percent of `warn`: else it would end and begin at
/// every wobble.
const RECOVERED_PERCENT: u64 = 110;

/// Victims remembered as set aside, or as asked to go.
const REMEMBERED_TASKS: usize = 16;

/// Notes one step can make.
const NOTES: usize = 6;

/// Which signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: asks.
    Term,
    /// SIGKILL: ends.
    Kill,
}

/// Why this signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// Memory is at or below `term`.
    AtTerm,
    /// Memory is at or below `kill`.
    AtKill,
    /// It was asked to go so long ago, is still there, and memory is still short.
    GraceOver(Duration),
}

/// What the loop is to do to whom.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Act {
    /// Whom.
    pub victim: Victim,
    /// What.
    pub signal: Signal,
    /// Why.
    pub because: Because,
    /// The state of memory it was decided on.
    pub reading: Reading,
    /// When the engine first saw what made it decide.
    pub seen_at: Duration,
}

/// What came of an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The signal was sent.
    Sent,
    /// A dry run: it would have been.
    Pretended,
    /// Memory came back before it was sent.
    Recovered,
    /// The victim had exited by itself.
    Gone,
    /// The signal could not be sent.
    Failed,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// Nothing: look again at the latest after this time.
    Wait(Duration),
    /// Show the processes too, at once.
    Look(Need),
    /// Send a signal, then call [`Engine::acted`].
    Act(Act),
}

/// The answer to an observation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision {
    /// What to do now.
    pub step: Step,
    /// The scope that is worst off.
    pub reading: Reading,
    /// Memory is short enough for the stall share to matter.
    pub near: bool,
}

/// Something that happened, for the journal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Note {
    /// Memory fell to `warn`.
    Warn(Reading),
    /// Memory is well above `warn` again, so long after.
    Recovered(Reading, Duration),
    /// The victim exited.
    Exited {
        /// Who.
        victim: Victim,
        /// What it had been sent, and how long before it was gone.
        after: Option<(Signal, Duration)>,
        /// Bytes that came back.
        freed: u64,
        /// The state after it.
        reading: Reading,
    },
    /// The victim did not exit within [`PATIENCE`] of SIGKILL.
    SetAside {
        /// Who.
        victim: Victim,
        /// The state.
        reading: Reading,
    },
    /// Memory came back during the grace period, so the victim was spared.
    Spared {
        /// Who.
        victim: Victim,
        /// The state.
        reading: Reading,
    },
    /// Nobody was killed, though memory is short.
    Refused(Refusal, Reading),
}

#[derive(Clone, Copy, Debug)]
enum Phase {
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
struct Waiting {
    act: Act,
    sent_at: Duration,
    lowest: u64,
}

#[derive(Clone, Copy, Debug)]
struct Settling {
    victim: Victim,
    whose: Whose,
    sent: Option<(Signal, Duration)>,
    exited_at: Duration,
    lowest: u64,
    highest: u64,
    last_growth: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Episode {
    began: Duration,
}

/// Decides. One for the daemon's life.
#[derive(Debug)]
pub struct Engine {
    gauge: Gauge,
    chooser: Chooser,
    pace: Pace,
    grace: Duration,
    phase: Phase,
    seen_at: Option<Duration>,
    episode: Option<Episode>,
    episodes: u32,
    paused_until: Option<Duration>,
    last_refusal: Option<(Duration, std::mem::Discriminant<Refusal>)>,
    futile: u8,
    set_aside: Remembered,
    asked: Remembered,
    notes: Notes,
}

impl Engine {
    /// An engine for this configuration. `rules` are the victim lists of the same configuration, compiled.
    #[must_use]
    pub fn new(config: &Config, rules: Rules, own: Own) -> Self {
        Self {
            gauge: Gauge::new(&config.memory, &config.swap),
            chooser: Chooser::new(own, &config.victim, rules),
            pace: Pace::default(),
            grace: config.escalation.grace,
            phase: Phase::Watching,
            seen_at: None,
            episode: None,
            episodes: 0,
            paused_until: None,
            last_refusal: None,
            futile: 0,
            set_aside: Remembered::default(),
            asked: Remembered::default(),
            notes: Notes::default(),
        }
    }

    /// Goes on with another configuration: a victim at work stays one. Hands back the old rules, for somebody else to
    /// drop.
    pub fn reconfigure(&mut self, config: &Config, rules: Rules) -> Rules {
        self.gauge.reconfigure(&config.memory, &config.swap);
        self.grace = config.escalation.grace;
        self.paused_until = None;
        self.chooser.reconfigure(&config.victim, rules)
    }

    /// Makes room for a process table of this capacity. Allocates, so only while the machine is healthy.
    pub fn reserve(&mut self, tasks: &Tasks) {
        self.chooser.reserve(tasks);
    }

    /// The chooser, for looking at its verdicts.
    #[must_use]
    pub fn chooser(&mut self) -> &mut Chooser {
        &mut self.chooser
    }

    /// The gauge, for looking at readings.
    #[must_use]
    pub fn gauge(&self) -> &Gauge {
        &self.gauge
    }

    /// Whether the machine's memory is this guard's business; a user's guard leaves it to the system's.
    pub fn set_machine_is_ours(&mut self, ours: bool) {
        self.gauge.machine_is_ours = ours;
    }

    /// The members of the group under way.
    #[must_use]
    pub fn members(&self) -> &[TaskId] {
        self.chooser.members()
    }

    /// What happened in the last [`Engine::step`] or [`Engine::acted`].
    pub fn notes(&self) -> impl Iterator<Item = &Note> {
        self.notes.0.iter().flatten()
    }

    /// The number of the episode of scarcity under way; the first is 1.
    #[must_use]
    pub fn episode(&self) -> Option<u32> {
        self.episode.map(|_| self.episodes)
    }

    /// The victim that was signalled and has not exited yet.
    #[must_use]
    pub fn victim(&self) -> Option<&Victim> {
        match &self.phase {
            Phase::Waiting(waiting) => Some(&waiting.act.victim),
            Phase::Watching | Phase::Settling(_) | Phase::Pretended => None,
        }
    }

    /// Decides on an observation made at `now` (any clock that only goes forward).
    pub fn step(&mut self, obs: &Observation<'_>, now: Duration) -> Decision {
        self.notes.clear();
        self.gauge.note(obs.machine, now);
        let reading = self.gauge.worst(obs);
        self.pace.note(&reading, now);
        self.follow_episode(&reading, now);
        if reading.level < Level::Term {
            self.seen_at = None;
        } else if self.seen_at.is_none() {
            self.seen_at = Some(now);
        }
        let step = match self.phase {
            Phase::Watching => self.watch(obs, &reading, now),
            Phase::Waiting(waiting) => self.wait(waiting, obs, &reading, now),
            Phase::Settling(settling) => self.settle(settling, obs, &reading, now),
            Phase::Pretended => self.pretended(&reading),
        };
        Decision { step, reading, near: reading.available / 2 <= reading.warn }
    }

    /// Whether the cause of an act still holds, by an observation made after the choice.
    #[must_use]
    pub fn still_holds(&self, act: &Act, obs: &Observation<'_>) -> bool {
        let needed = if act.because == Because::AtKill { Level::Kill } else { Level::Term };
        self.gauge.again(&act.reading.whose, obs).is_some_and(|reading| reading.level >= needed)
    }

    /// What came of the act that the last step asked for.
    pub fn acted(&mut self, act: &Act, outcome: Outcome, now: Duration) {
        self.notes.clear();
        let id = act.victim.id;
        self.phase = match outcome {
            Outcome::Sent => {
                if act.signal == Signal::Term {
                    self.asked.insert(id, now);
                }
                Phase::Waiting(Waiting { act: *act, sent_at: now, lowest: act.reading.left() })
            }
            Outcome::Pretended => Phase::Pretended,
            Outcome::Recovered => Phase::Watching,
            Outcome::Gone => Phase::Settling(Settling::new(act, None, act.reading.left(), now)),
            Outcome::Failed => {
                self.set_aside.insert(id, now);
                Phase::Watching
            }
        };
        self.seen_at = None;
    }

    fn watch(&mut self, obs: &Observation<'_>, reading: &Reading, now: Duration) -> Step {
        if reading.level < Level::Term {
            return Step::Wait(self.pace.until_next_look(reading));
        }
        if let Some(until) = self.paused_until {
            if now < until {
                return Step::Wait(until.saturating_sub(now).min(pace::IN_PAUSE));
            }
            self.paused_until = None;
        }
        let Some(tasks) = obs.tasks else { return Step::Look(self.chooser.need(reading)) };
        let set_aside = &self.set_aside;
        self.chooser.judge(tasks, obs, reading, |id| set_aside.since(id).is_some());
        match self.chooser.choose(tasks, reading) {
            Choice::Victim(victim) => Step::Act(self.first_act(&victim, reading, now)),
            Choice::NeedAll => Step::Look(Need { depth: Depth::All, ..self.chooser.need(reading) }),
            Choice::Refused(refusal) => self.refuse(refusal, reading, now),
        }
    }

    fn first_act(&self, victim: &Victim, reading: &Reading, now: Duration) -> Act {
        let ignored = self
            .asked
            .since(victim.id)
            .map(|asked| now.saturating_sub(asked))
            .filter(|ago| (self.grace..REMEMBERED).contains(ago));
        let (signal, because) = match (reading.level, ignored) {
            (Level::Kill, _) => (Signal::Kill, Because::AtKill),
            (_, Some(ago)) => (Signal::Kill, Because::GraceOver(ago)),
            _ => (Signal::Term, Because::AtTerm),
        };
        Act { victim: *victim, signal, because, reading: *reading, seen_at: self.seen_at.unwrap_or(now) }
    }

    fn wait(&mut self, mut waiting: Waiting, obs: &Observation<'_>, reading: &Reading, now: Duration) -> Step {
        let Waiting { act, sent_at, .. } = waiting;
        let here = self.gauge.again(&act.reading.whose, obs).unwrap_or(*reading);
        let waited = now.saturating_sub(sent_at);
        waiting.lowest = waiting.lowest.min(here.left());
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
            Signal::Term if worst.level == Level::Kill => self.escalate(&act, Because::AtKill, &worst, obs, now),
            Signal::Term if waited >= self.grace && worst.level >= Level::Term => {
                self.escalate(&act, Because::GraceOver(waited), &worst, obs, now)
            }
            Signal::Term if waited >= self.grace => {
                self.notes.add(&Note::Spared { victim: act.victim, reading: worst });
                self.phase = Phase::Watching;
                self.watch(obs, reading, now)
            }
            Signal::Kill if waited >= PATIENCE => {
                self.set_aside.insert(act.victim.id, now);
                self.notes.add(&Note::SetAside { victim: act.victim, reading: worst });
                self.phase = Phase::Watching;
                self.watch(obs, reading, now)
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
        act: &Act,
        because: Because,
        reading: &Reading,
        obs: &Observation<'_>,
        now: Duration,
    ) -> Step {
        let seen_at = self.seen_at.unwrap_or(now);
        let mut next = Act { signal: Signal::Kill, because, reading: *reading, seen_at, ..*act };
        if act.victim.group.is_some() {
            let Some(tasks) = obs.tasks.filter(|t| t.depth == Depth::All) else {
                return Step::Look(Need { depth: Depth::All, ..self.chooser.need(reading) });
            };
            let set_aside = &self.set_aside;
            self.chooser.judge(tasks, obs, reading, |id| set_aside.since(id).is_some());
            match self.chooser.choose(tasks, reading) {
                // The same group as it is now.
                Choice::Victim(victim) if victim.group.is_some() && victim.cgroup == act.victim.cgroup => {
                    next.victim = victim
                }
                _ => {
                    self.phase = Phase::Watching;
                    return self.watch(obs, reading, now);
                }
            }
        }
        Step::Act(next)
    }

    fn settle(&mut self, mut settling: Settling, obs: &Observation<'_>, reading: &Reading, now: Duration) -> Step {
        let here = self.gauge.again(&settling.whose, obs).unwrap_or(*reading);
        settling.lowest = settling.lowest.min(here.left());
        if here.left() > settling.highest {
            settling.highest = here.left();
            settling.last_growth = now;
        }
        self.phase = Phase::Settling(settling);
        let freed = here.left().saturating_sub(settling.lowest);
        let since_exit = now.saturating_sub(settling.exited_at);
        let back = freed >= settling.victim.size / 100 * BACK_PERCENT;
        let quiet = here.level < Level::Term && now.saturating_sub(settling.last_growth) >= pace::QUIET;
        if !(back || quiet || since_exit >= PATIENCE) {
            return Step::Wait(pace::WHILE_DYING);
        }
        self.notes.add(&Note::Exited { victim: settling.victim, after: settling.sent, freed, reading: here });
        self.phase = Phase::Watching;
        let futile = here.level >= Level::Term && freed < settling.victim.size / 100 * GAIN_PERCENT;
        match (settling.sent, futile) {
            (Some(_), true) => self.futile = self.futile.saturating_add(1),
            (Some(_), false) => self.futile = 0,
            // Nobody was killed.
            (None, _) => {}
        }
        if self.futile >= FUTILE_KILLS {
            self.futile = 0;
            return self.refuse(Refusal::NoGain, &here, now);
        }
        self.watch(obs, reading, now)
    }

    fn pretended(&mut self, reading: &Reading) -> Step {
        if reading.level < Level::Term {
            self.phase = Phase::Watching;
        }
        Step::Wait(self.pace.until_next_look(reading).max(pace::WHILE_DYING))
    }

    fn refuse(&mut self, refusal: Refusal, reading: &Reading, now: Duration) -> Step {
        let kind = std::mem::discriminant(&refusal);
        let said = self.last_refusal.is_some_and(|(when, what)| what == kind && now.saturating_sub(when) < PAUSE);
        if !said {
            self.notes.add(&Note::Refused(refusal, *reading));
            self.last_refusal = Some((now, kind));
        }
        // Somebody eligible may appear at any moment; what else holds the memory will not go so soon.
        let pause = if refusal == Refusal::NobodyEligible { pace::IN_PAUSE } else { PAUSE };
        self.paused_until = Some(now + pause);
        Step::Wait(pace::IN_PAUSE)
    }

    fn follow_episode(&mut self, reading: &Reading, now: Duration) {
        match self.episode {
            None if reading.level >= Level::Warn => {
                self.episode = Some(Episode { began: now });
                self.episodes += 1;
                self.notes.add(&Note::Warn(*reading));
            }
            Some(episode)
                if reading.level == Level::Calm
                    && matches!(self.phase, Phase::Watching | Phase::Pretended)
                    && reading.available / 100 >= reading.warn / 100 * RECOVERED_PERCENT / 100 =>
            {
                self.episode = None;
                self.futile = 0;
                self.paused_until = None;
                self.last_refusal = None;
                self.notes.add(&Note::Recovered(*reading, now.saturating_sub(episode.began)));
            }
            None | Some(_) => {}
        }
    }
}

impl Settling {
    fn new(act: &Act, sent: Option<(Signal, Duration)>, lowest: u64, now: Duration) -> Self {
        Self {
            victim: act.victim,
            whose: act.reading.whose,
            sent,
            exited_at: now,
            lowest,
            highest: 0,
            last_growth: now,
        }
    }
}

/// A few processes and when something happened to them; the oldest is forgotten first.
#[derive(Clone, Copy, Debug, Default)]
struct Remembered {
    tasks: [Option<(TaskId, Duration)>; REMEMBERED_TASKS],
    next: usize,
}

impl Remembered {
    /// Remembers the first time only.
    fn insert(&mut self, id: TaskId, now: Duration) {
        if self.since(id).is_none() {
            self.tasks[self.next] = Some((id, now));
            self.next = (self.next + 1) % REMEMBERED_TASKS;
        }
    }

    fn since(&self, id: TaskId) -> Option<Duration> {
        self.tasks.iter().flatten().find(|(known, _)| *known == id).map(|(_, when)| *when)
    }
}

#[derive(Clone, Copy, Debug)]
struct Notes([Option<Note>; NOTES], usize);

impl Default for Notes {
    fn default() -> Self {
        Self([None; NOTES], 0)
    }
}

impl Notes {
    fn clear(&mut self) {
        *self = Self::default();
    }

    fn add(&mut self, note: &Note) {
        if let Some(slot) = self.0.get_mut(self.1) {
            *slot = Some(*note);
            self.1 += 1;
        }
    }
}
