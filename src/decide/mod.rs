//! The brain, pure: no I/O, no clock, no allocation after start-up, so that it can be simulated and replayed.
//!
//! The loop shows the engine an [`Observation`] and gets a [`Decision`]: look at the processes too, act, or just come
//! back later. After an act it tells the engine how that went ([`Engine::acted`]). What happened on the way, and why, stands
//! in [`Engine::notes`].

pub mod builtin;
pub mod cases;
pub mod lift;
pub mod livelock;
pub mod measure;
mod note;
pub mod pace;
mod phases;
pub mod pressure;
mod refusals;
mod remembered;
pub mod rules;
pub mod victim;

use std::time::Duration;

use crate::config::Config;
use crate::observe::cgroups::CgroupPath;
use crate::observe::{Need, Observation, TaskId, Tasks};

use cases::{CaseStep, Cases};
use measure::{Gauge, Level, Reading, Whose};
pub use note::Note;
use note::Notes;
use pace::Pace;
use phases::{Phase, Settling, Waiting};
use refusals::Refusals;
use remembered::Remembered;
use rules::Rules;
use victim::{Chooser, Own, Victim};

/// SIGKILL to exit, and exit to memory back: bounded by this each. A process that has not exited by then is stuck in the
/// kernel, and waiting longer would leave the machine without a guard.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// How long nothing is killed after a refusal: what holds the memory will not have changed before.
pub const PAUSE: Duration = Duration::from_secs(60);

/// Kills in a row without gain after which killing is given up for a [`PAUSE`].
pub const FUTILE_KILLS: u8 = 3;

/// Signals in a row that can't be sent before the guard catches its breath ([`pace::IN_PAUSE`]): where none can be sent,
/// trying them all would keep a core busy.
const FAILURES: u8 = 4;

/// An episode is over when so much more than `warn` is available, in percent of `warn`: else it would end and begin at
/// every wobble.
const RECOVERED_PERCENT: u64 = 110;

/// So long whoever was spared is watched: its SIGTERM may end it yet, and whose signal that was has to be known. Less than the
/// minute after which an incident that is over is complete.
pub const SPARED_FOR: Duration = Duration::from_secs(50);

/// How late news of a kill by somebody else may be: the kernel's report is known to be complete a quarter of a second after
/// the kill, which may have ended the episode at once, and a machine that comes out of a shortage is slow.
const NEWS_OF_A_KILL: Duration = Duration::from_secs(5);

/// Which signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: asks.
    Term,
    /// SIGKILL: ends.
    Kill,
}

/// Why this signal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Because {
    /// Memory is at or below `term`.
    AtTerm,
    /// Memory is at or below `kill`.
    AtKill,
    /// It was asked to go so long ago, is still there, and memory is still short.
    GraceOver(Duration),
    /// Its cgroup is stuck; and it was asked to go so long ago.
    Stuck(livelock::Stall, Option<Duration>),
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
    /// Memory is so short (below twice `warn`) that the process table is worth keeping fresh.
    pub near: bool,
}

#[derive(Clone, Copy, Debug)]
struct Episode {
    began: Duration,
    number: u32,
    /// Whose memory was short when it began.
    whose: Whose,
}

/// What somebody else killed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KilledFor {
    /// The machine had no memory left, or not on the nodes that the process may use.
    Machine,
    /// The limit of this cgroup.
    Limit(CgroupPath),
    /// The limit of a cgroup, nobody knows which.
    SomeLimit,
    /// systemd-oomd's rule for this cgroup.
    Oomd(CgroupPath),
    /// Nobody knows.
    Unknown,
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
    /// The last episode that is over, and since when.
    ended: Option<(Episode, Duration)>,
    paused_until: Option<Duration>,
    refusals: Refusals,
    futile: u8,
    /// Since when somebody large is exiting without our doing.
    dying_since: Option<Duration>,
    /// Signals in a row that could not be sent.
    failures: u8,
    set_aside: Remembered,
    asked: Remembered,
    notes: Notes,
    cases: Cases,
}

impl Engine {
    /// An engine for this configuration. `rules` are the victim lists of the same configuration, compiled.
    #[must_use]
    pub fn new(config: &Config, rules: Rules, own: Own) -> Self {
        Self {
            gauge: Gauge::new(config),
            chooser: Chooser::new(own, &config.victim, rules),
            pace: Pace::default(),
            grace: config.escalation.grace,
            phase: Phase::Watching,
            seen_at: None,
            episode: None,
            episodes: 0,
            ended: None,
            paused_until: None,
            refusals: Refusals::default(),
            futile: 0,
            dying_since: None,
            failures: 0,
            set_aside: Remembered::default(),
            asked: Remembered::default(),
            notes: Notes::default(),
            cases: Cases::new(config),
        }
    }

    /// Goes on with another configuration: a victim at work stays one. Hands back the old rules, for somebody else to
    /// drop.
    pub fn reconfigure(&mut self, config: &Config, rules: Rules) -> Rules {
        self.gauge.reconfigure(config);
        self.grace = config.escalation.grace;
        self.cases.reconfigure(config);
        if !config.livelock.enabled {
            self.cases.leave_machine();
        }
        self.paused_until = None;
        self.refusals = Refusals::default();
        self.chooser.reconfigure(&config.victim, rules)
    }

    /// Makes room for a process table of this capacity. Allocates, so only while the machine is healthy.
    pub fn reserve(&mut self, tasks: &Tasks) {
        self.chooser.reserve(tasks);
        self.cases.reserve(tasks.list.capacity());
    }

    /// The cases of stuck cgroups.
    #[must_use]
    pub fn cases(&self) -> &Cases {
        &self.cases
    }

    /// The same, for showing them samples and saying what came of acts.
    #[must_use]
    pub fn cases_mut(&mut self) -> &mut Cases {
        &mut self.cases
    }

    /// Decides what to do about stuck cgroups, at `now`. `exited` has a bit for each place whose victim has exited.
    pub fn step_cases(&mut self, obs: &Observation<'_>, exited: u64, now: Duration) -> CaseStep {
        let elsewhere = self.victim().copied();
        self.cases.step(&mut self.chooser, obs, exited, elsewhere.as_ref(), &mut self.episodes, now)
    }

    /// The chooser, for looking at its verdicts.
    #[must_use]
    pub fn chooser(&mut self) -> &mut Chooser {
        &mut self.chooser
    }

    /// How fast what is left was seen to fall, in bytes a second; half of it is forgotten every second.
    #[must_use]
    pub fn fill_rate(&self) -> f64 {
        self.pace.rate()
    }

    /// The gauge, for looking at readings.
    #[must_use]
    pub fn gauge(&self) -> &Gauge {
        &self.gauge
    }

    /// Whether the machine's memory is this guard's business; a user's guard leaves it to the system's.
    pub fn set_machine_is_ours(&mut self, ours: bool) {
        self.gauge.machine_is_ours = ours;
        if !ours {
            self.cases.leave_machine();
        }
    }

    /// The members of the group under way.
    #[must_use]
    pub fn members(&self) -> &[TaskId] {
        self.chooser.members()
    }

    /// What happened in the last [`Engine::step`] or [`Engine::acted`].
    pub fn notes(&self) -> impl Iterator<Item = &Note> {
        self.notes.iter()
    }

    /// The number of the incident that a kill by somebody else, told at `now`, belongs to: that of an open case of the
    /// cgroup, around it or within it; else of the episode of scarcity under way, or of the one that it has just ended. A
    /// cgroup at its own limit has nothing to do with an episode, unless that is of the same limit.
    #[must_use]
    pub fn incident_of_kill(&self, killed_for: &KilledFor, now: Duration) -> Option<u32> {
        let case = match killed_for {
            KilledFor::Limit(cgroup) | KilledFor::Oomd(cgroup) => self.cases.incident_at(cgroup.as_bytes()),
            KilledFor::Machine | KilledFor::SomeLimit | KilledFor::Unknown => None,
        };
        let ended = self.ended.filter(|(_, at)| now.saturating_sub(*at) < NEWS_OF_A_KILL).map(|(episode, _)| episode);
        let concerns = |episode: &Episode| match killed_for {
            KilledFor::Machine | KilledFor::Oomd(_) | KilledFor::Unknown => true,
            KilledFor::Limit(cgroup) => episode.whose == Whose::Cgroup(*cgroup),
            KilledFor::SomeLimit => false,
        };
        let episode = [self.episode, ended].into_iter().flatten().find(concerns);
        case.or(episode.map(|episode| episode.number))
    }

    /// The number of a new incident, for what belongs to none that is open.
    pub fn new_incident(&mut self) -> u32 {
        self.episodes += 1;
        self.episodes
    }

    /// The number of the episode of scarcity under way; the first is 1.
    #[must_use]
    pub fn episode(&self) -> Option<u32> {
        self.episode.map(|episode| episode.number)
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
            Phase::Watching => self.watch(obs, now),
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
        self.phase = match (outcome, self.phase) {
            (Outcome::Sent, _) => {
                self.failures = 0;
                if act.signal == Signal::Term {
                    self.asked.insert(id, now);
                }
                Phase::Waiting(Waiting { act: *act, sent_at: now, lowest: act.reading.free(act.reading.resource) })
            }
            (Outcome::Pretended, _) => Phase::Pretended,
            // SIGTERM stays sent, even if SIGKILL does not follow.
            (Outcome::Recovered, Phase::Waiting(waiting)) => Phase::Waiting(waiting),
            (Outcome::Recovered, _) => Phase::Watching,
            (Outcome::Gone, Phase::Waiting(Waiting { act: asked, sent_at, lowest })) => {
                let sent = Some((asked.signal, now.saturating_sub(sent_at)));
                Phase::Settling(Settling::new(&asked, sent, lowest, now))
            }
            (Outcome::Gone, _) => {
                Phase::Settling(Settling::new(act, None, act.reading.free(act.reading.resource), now))
            }
            (Outcome::Failed, _) => {
                self.set_aside.insert(id, now);
                if act.victim.group.is_some() {
                    self.chooser.set_members_aside();
                }
                self.failures += 1;
                if self.failures == FAILURES {
                    self.failures = 0;
                    self.paused_until = Some(now + pace::IN_PAUSE);
                }
                Phase::Watching
            }
        };
        self.seen_at = None;
    }

    /// Whether an act hits this process: one of the memory guard's, or of the case in this place.
    #[must_use]
    pub fn hits(&self, act: &Act, place: Option<usize>, id: TaskId) -> bool {
        let members = place.map_or_else(|| self.members(), |place| self.cases.members(place));
        id == act.victim.id || act.victim.group.is_some() && members.contains(&id)
    }

    /// Whoever was spared by a case and is hit by this act is told of by whoever sends it.
    pub fn forget_spared(&mut self, act: &Act, place: Option<usize>) {
        loop {
            let hit = self.cases.spared().find(|(_, id)| self.hits(act, place, *id));
            let Some((at, _)) = hit else { return };
            self.cases.close(at, None);
        }
    }

    fn follow_episode(&mut self, reading: &Reading, now: Duration) {
        match self.episode {
            None if reading.level >= Level::Warn => {
                let number = self.new_incident();
                self.episode = Some(Episode { began: now, number, whose: reading.whose });
                self.notes.add(&Note::Warn(*reading));
            }
            Some(episode)
                if reading.level == Level::Calm
                    && matches!(self.phase, Phase::Watching | Phase::Pretended)
                    && reading.available / 100 >= reading.warn / 100 * RECOVERED_PERCENT / 100 =>
            {
                self.episode = None;
                self.ended = Some((episode, now));
                self.futile = 0;
                self.paused_until = None;
                self.refusals = Refusals::default();
                self.notes.add(&Note::Recovered(*reading, now.saturating_sub(episode.began)));
            }
            None | Some(_) => {}
        }
    }
}
