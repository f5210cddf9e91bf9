//! The livelock side of the guard: cgroups that stir are sampled, and those that are stuck are freed.
//!
//! A cgroup that the surveyor hands over is sampled until it has been quiet for a window, then handed back. What is done
//! about a stuck one is decided by `decide::cases`.

mod rescue;
mod sampling;

use std::sync::Arc;
use std::time::Duration;

use crate::act::Actor;
use crate::decide::cases::{CaseStep, Cases, Interest, NOTES, OPEN};
use crate::host::clock;
use crate::host::wait::Source;
use crate::observe::cgroup_files::CgroupFiles;
use crate::observe::cgroups::{CgroupPath, is_within};
use crate::observe::limits::Hierarchy;
use crate::observe::survey::{self, Attention, CgroupKey, News, Stirred, Wants};
use crate::observe::{Task, Tasks};
use crate::report::{Event, EventKind, REASON_BYTES, Text};

use super::super::managed::Managed;
use super::super::reader::Reader;
use super::super::snapshot::AtLimit;
use super::super::surveyor::Surveyor;
use super::super::tell;
use super::units::cgroups_of_largest;
use super::{Guard, Parts};

/// The livelock guard's own. Room is set aside at the start: taking memory later may be what is throttled.
pub(super) struct Breaker {
    surveyor: Option<Surveyor>,
    stirring: Vec<Stirring>,
    /// One for each place of a case.
    actors: Vec<Actor>,
    /// When the cases are to be looked at again, if no sample comes before.
    next_step: Option<Duration>,
    /// How often was looked whether the journal's queue has room again, since no cgroup was stuck.
    journal_looks: u32,
    /// When the machine as a whole is sampled next, while that is worth it.
    pub(super) machine_due: Option<Duration>,
    /// It was said that there is no PSI.
    psi_missed: bool,
    /// It was said that systemd-oomd runs too.
    oomd_told: bool,
    /// It was said that systemd can't be asked.
    managed_missed: bool,
}

/// A cgroup that is sampled.
struct Stirring {
    key: CgroupKey,
    path: CgroupPath,
    /// What its samples are judged by; `None` when its limit alone is watched, or the plan has changed.
    interest: Option<Interest>,
    files: CgroupFiles,
    /// It is sampled whether it stirs or not.
    always: bool,
    /// When it was handed over.
    since: Duration,
    /// When it is sampled next.
    due: Duration,
    /// There was room to watch it.
    watched: bool,
}

/// Between two looks whether the journal has taken what it was told.
const JOURNAL_PAUSE: Duration = Duration::from_millis(5);

/// So many of them, some 5 s, until all cgroups move: then no act waits for the journal any more, however slowly it goes on.
/// Looks are counted, not time: while the processors stand still the journal takes nothing.
const JOURNAL_LOOKS: u32 = 1000;

/// Acts and looks in a row without letting anything else happen: enough for all cases at once.
const STEPS: usize = 2 * OPEN;

/// Cgroups that stir at the same time, usually far fewer; for more the table grows.
const STIRRING: usize = 64;

impl Breaker {
    pub(super) fn new() -> Self {
        Self {
            surveyor: None,
            stirring: Vec::new(),
            actors: Vec::new(),
            next_step: None,
            journal_looks: 0,
            machine_due: None,
            psi_missed: false,
            oomd_told: false,
            managed_missed: false,
        }
    }

    /// As [`Cases::make_room`].
    pub(super) fn make_room(&mut self) {
        self.stirring.reserve_exact(STIRRING);
        self.actors.reserve_exact(OPEN);
    }

    /// Where the cgroup at this place of the table is.
    pub(super) fn path_of(&self, at: usize) -> CgroupPath {
        self.stirring[at].path
    }

    /// The cgroups that are sampled, as they stand.
    pub(super) fn at_their_limit<'a>(&'a self, cases: &'a Cases) -> impl Iterator<Item = AtLimit<'a>> {
        self.stirring.iter().filter_map(|stirring| {
            let detector = cases.detector(stirring.key.0)?;
            Some(AtLimit {
                path: &stirring.path,
                sample: detector.last()?,
                verdict: Some(detector.verdict()),
                stalled: detector.stalled(detector.terms().after),
                doing: cases.doing(stirring.key.0),
            })
        })
    }
}

impl Guard {
    /// Starts to follow the cgroups, where there is something to look for; or goes on by another plan.
    pub(super) fn follow_cgroups(&mut self) {
        self.prepare_lifter();
        let plan = Arc::clone(&self.parts.plan);
        let wants: Wants = Box::new(move |path| plan.attention(path));
        match &self.breaker.surveyor {
            Some(surveyor) => surveyor.rescope(wants),
            None if self.parts.plan.wants_any() => self.start_surveyor(wants),
            None => {}
        }
        let Self { parts, breaker, faults, .. } = self;
        for stirring in &mut breaker.stirring {
            let path = stirring.path.as_bytes();
            stirring.interest = parts.plan.interest(path);
            match &stirring.interest {
                Some(interest) if stirring.watched => {
                    parts.engine.cases_mut().watch(stirring.key.0, &stirring.path, interest);
                }
                Some(_) => {}
                None => {
                    parts.engine.cases_mut().unwatch(stirring.key.0);
                    stirring.watched = false;
                }
            }
            stirring.always = parts.plan.attention(path) == Attention::Always;
            if parts.plan.is_chosen(path) {
                let _ =
                    parts.enclosing.adopt(&parts.host, stirring.key.0, &stirring.path).map_err(|e| faults.failed(&e));
            } else {
                parts.enclosing.release(stirring.key.0);
            }
        }
    }

    /// Learns which units systemd wants relieved of pressure.
    pub(super) fn take_managed(&mut self, asked: Result<Managed, Text<REASON_BYTES>>) {
        match asked {
            Ok(Managed { units, oomd_is_active }) => {
                if oomd_is_active && !std::mem::replace(&mut self.breaker.oomd_told, true) {
                    self.degraded(format_args!(
                        "systemd-oomd runs too and comes first: hogwatch acts 15 s later on what it leaves \
                         (mask systemd-oomd.service and systemd-oomd.socket to have one alone)"
                    ));
                }
                if units != self.parts.plan.managed && self.parts.plan.asks_systemd() {
                    self.parts.plan = Arc::new(self.parts.plan.with_managed(units));
                    self.follow_cgroups();
                }
            }
            Err(why) if !std::mem::replace(&mut self.breaker.managed_missed, true) => {
                self.degraded(format_args!("pressure.managed_oom: systemd could not be asked: {why}"));
            }
            Err(_) => {}
        }
    }

    fn start_surveyor(&mut self, wants: Wants) {
        let Parts { host, hierarchy, own, .. } = &self.parts;
        if *hierarchy != Hierarchy::V2 {
            return self.degraded(format_args!(
                "[livelock], [cgroup_limits] and [pressure] look at no cgroup: that needs cgroup v2 with its memory \
                 controller, which is not mounted here (boot with systemd.unified_cgroup_hierarchy=1, or set \
                 \"enabled\" to false in each)"
            ));
        }
        let mut buf = [0; 4096];
        let home = host.proc.read(c"self/cgroup", &mut buf).ok().and_then(|text| hierarchy.path(text)).unwrap_or(b"/");
        let top = survey::top_for(host, home, own.may_signal_others);
        let started = match (top, &host.cgroup2) {
            (Some(top), Some(root)) => root.again().and_then(|root| Surveyor::start(root, &top, home, wants)),
            _ => {
                return self
                    .degraded(format_args!("stuck cgroups are not looked for: no cgroup here belongs to this user"));
            }
        };
        match started {
            Ok(surveyor) => {
                let _ = self.wait_set.add(surveyor.bell(), Source::Cgroup);
                self.breaker.surveyor = Some(surveyor);
            }
            Err(e) => self.degraded(format_args!("stuck cgroups are not looked for: {e}")),
        }
    }

    /// Samples what is due and does what has to be done about stuck cgroups. Returns for how long nothing needs to be done.
    pub(super) fn break_livelocks(&mut self) -> Duration {
        self.take_news();
        let sampled = self.sample_machine();
        if self.parts.engine.cases().is_idle() {
            self.breaker.journal_looks = 0;
        }
        if self.breaker.stirring.is_empty() && self.parts.engine.cases().is_idle() {
            self.breaker.next_step = None;
            return self.until_next();
        }
        let sampled = self.sample() || sampled;
        let victim_gone = self.exited() != 0;
        if !sampled && !victim_gone && self.breaker.next_step.is_some_and(|at| at > clock::now()) {
            return self.until_next();
        }
        self.breaker.next_step = None;
        let mut looked = None;
        for _ in 0..STEPS {
            if !self.may_tell() {
                self.breaker.next_step = Some(clock::now() + JOURNAL_PAUSE);
                return self.until_next();
            }
            let exited = self.exited();
            let step = self.show(looked, |engine, obs, now| engine.step_cases(obs, exited, now));
            self.tell_cases();
            self.let_go_of_cases();
            match step {
                CaseStep::Wait(pause) => {
                    self.breaker.next_step = Some(clock::now() + pause);
                    return self.until_next();
                }
                CaseStep::Look(need) => {
                    if !self.look_at_all(need) {
                        return super::AWAIT_SCOUT;
                    }
                    looked = Some(need);
                    self.read_details_of_stuck();
                }
                CaseStep::Act(place, act) => self.perform_for(place, &act),
                CaseStep::Lift(id) => self.lift(id),
            }
        }
        Duration::ZERO
    }

    /// Whether what a step has to say will find room in the journal's queue: hundreds of cgroups that are freed at once have
    /// more to tell than it holds, and it empties within milliseconds. A journal that does not is not waited for.
    fn may_tell(&mut self) -> bool {
        let room = self.link.as_ref().is_none_or(|link| link.sender.room() >= NOTES);
        if room {
            return true;
        }
        let waits = self.breaker.journal_looks < JOURNAL_LOOKS;
        self.breaker.journal_looks += u32::from(waits);
        !waits
    }

    /// Takes what the surveyor has to say.
    fn take_news(&mut self) {
        while let Some(news) = self.breaker.surveyor.as_ref().and_then(Surveyor::news) {
            match news {
                News::Stirred(stirred) => self.take_over(stirred),
                News::Gone(key) => self.forget(key),
                News::OomdKill(kill) => self.tell_oomd_kill(&kill),
                News::Degraded(reason) => self.degraded(format_args!("{reason}")),
            }
        }
    }

    fn take_over(&mut self, stirred: Stirred) {
        let Stirred { key, path, files } = stirred;
        let Self { parts, breaker, faults, .. } = self;
        let interest = parts.plan.interest(path.as_bytes());
        let watched = interest.is_some_and(|interest| parts.engine.cases_mut().watch(key.0, &path, &interest));
        let always = parts.plan.attention(path.as_bytes()) == Attention::Always;
        if parts.plan.is_chosen(path.as_bytes()) {
            let _ = parts.enclosing.adopt(&parts.host, key.0, &path).map_err(|e| faults.failed(&e));
        }
        let now = clock::now();
        breaker.stirring.push(Stirring { key, path, interest, files, always, since: now, due: now, watched });
    }

    fn forget(&mut self, key: CgroupKey) {
        self.forget_lift(key.0);
        self.parts.engine.cases_mut().unwatch(key.0);
        self.parts.enclosing.release(key.0);
        self.breaker.stirring.retain(|s| s.key != key);
    }

    /// Until the next sample or the next look at the cases.
    fn until_next(&self) -> Duration {
        let breaker = &self.breaker;
        let due = breaker.stirring.iter().map(|s| s.due).chain(breaker.next_step).chain(breaker.machine_due).min();
        due.map_or(Duration::MAX, |at| at.saturating_sub(clock::now()))
    }

    /// Has command lines read of the largest processes in cgroups that are above their limit, for the rules and the
    /// journal: when somebody has to be chosen there, it is too late. (A guard that may be throttled has it done with every
    /// look of the scout's.)
    fn read_details_of_stuck(&mut self) {
        let Some(link) = self.link.as_mut().filter(|_| !self.throttleable) else { return };
        if link.reader.is_none() {
            link.reader = self.parts.host.proc.again().and_then(Reader::start).ok();
        }
        let stirring = &self.breaker.stirring;
        let stuck = |tasks: &Tasks, task: &Task| {
            let path = tasks.cgroup_path(task);
            path.is_some_and(|path| stirring.iter().any(|s| is_within(path, s.path.as_bytes())))
        };
        if let Some(reader) = &link.reader {
            reader.ask(self.scanner.largest(stuck).iter());
        }
        let wanted = cgroups_of_largest(&mut self.scanner, stuck);
        self.ask_for_units(&wanted);
    }

    /// Lets go of victims that are no longer under way.
    fn let_go_of_cases(&mut self) {
        let flying = self.parts.engine.cases().in_flight().fold(0_u64, |bits, (place, ..)| bits | 1 << place);
        for (place, actor) in self.breaker.actors.iter_mut().enumerate() {
            if flying >> place & 1 == 0 {
                if let Some(fd) = actor.wake_up() {
                    self.wait_set.remove(fd);
                }
                actor.release();
            }
        }
    }

    fn tell_cases(&self) {
        for note in self.parts.engine.cases().notes() {
            self.send(&tell::of_case(note, &self.last));
        }
    }

    pub(super) fn degraded(&self, reason: std::fmt::Arguments<'_>) {
        self.send(&Event { reason: Text::format(reason), ..Event::new(EventKind::Degraded) });
    }
}
