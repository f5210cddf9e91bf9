//! The properties, checked at every step against the [oracle](crate::oracle).

use std::collections::BTreeSet;
use std::time::Duration;

use hogwatch::config::Config;
use hogwatch::decide::measure::{Level, Resource, Whose};
use hogwatch::decide::victim::{Group, GroupWhy, Refusal, Tier};
use hogwatch::decide::{Act, Because, Decision, Note, Outcome, Signal, Step};
use hogwatch::observe::{Depth, TaskId};

use crate::lens::Lens;
use crate::oracle::{Field, Scope, Standing, cgroup_of, field, scopes, standing, watched};
use crate::plan::Plan;
use crate::world::{MS, S, World, is_below};

/// What the design promises.
const PATIENCE: u64 = 3 * S;
const PAUSE: u64 = 60 * S;
const FUTILE_KILLS: u32 = 3;
const REMEMBERED: u64 = 300 * S;
/// Signals that fail in a row before the guard catches its breath.
const FAILURES: u32 = 4;
/// Victims that the guard remembers to have set aside.
const REMEMBERED_TASKS: usize = 16;

macro_rules! ensure {
    ($holds:expr, $($why:tt)+) => {
        if !$holds {
            return Err(format!($($why)+));
        }
    };
}

/// The victim under way, as the driver knows it.
struct Work {
    lead: TaskId,
    ids: Vec<TaskId>,
    group: Option<Group>,
    cgroup: Option<Vec<u8>>,
    whose: Whose,
    resource: Resource,
    size: u64,
    /// The last signal and when; `None` when it exited before one was sent.
    sent: Option<(Signal, u64)>,
    exited_at: Option<u64>,
    lowest: u64,
    /// The most that was back since it exited.
    back: u64,
}

#[derive(Default)]
pub struct Checks {
    work: Option<Work>,
    futile: u32,
    failures: u32,
    /// Nobody may be signalled until then.
    paused: u64,
    /// Nobody for these scopes' sake.
    refused: Vec<Pause>,
    /// Doing nothing for these scopes is right.
    excused: Vec<Pause>,
    /// Since when somebody large is on the way out by itself.
    dying_since: Option<u64>,
    aside: BTreeSet<TaskId>,
    /// The victim set aside last, and how many more were since.
    last_aside: Vec<TaskId>,
    aside_since: usize,
    /// The guard catches its breath until then.
    breath: u64,
    asked: Vec<(TaskId, u64)>,
    pretended: bool,
    scopes: Vec<Scope>,
    pub signals: u64,
    pub refusals: u64,
    pub set_aside: u64,
    pub spared: u64,
    pub recovered: u64,
}

/// Nothing can be done in a scope: until then, or until somebody has taken as much more as is worth a kill.
struct Pause {
    path: Option<Vec<u8>>,
    until: u64,
    void_below: u64,
}

impl Pause {
    fn of(plan: &Plan, scope: &Scope, until: u64) -> Self {
        let worth_a_look = plan.config.victim.min_size.of(scope.total).max(scope.total / 200);
        Self { path: scope.path.clone(), until, void_below: scope.left().saturating_sub(worth_a_look) }
    }

    fn holds(&self, scope: &Scope, now: u64) -> bool {
        self.path == scope.path && now < self.until && scope.left() >= self.void_below
    }
}

pub type Verdict = Result<(), String>;

impl Checks {
    fn scope(&self, whose: &Whose) -> Option<&Scope> {
        self.scopes.iter().find(|s| s.is(whose))
    }

    /// A decision was made on what the lens shows. `shown`: the processes too.
    pub fn decided(
        &mut self,
        plan: &Plan,
        world: &World,
        lens: &Lens,
        decision: &Decision,
        notes: &[Note],
        (shown, stalled, exited, settles): (bool, Option<f64>, bool, bool),
    ) -> Verdict {
        let now = world.now;
        self.scopes = scopes(plan, lens, stalled);
        if let Some(work) = self.work.as_mut().filter(|w| settles && w.group.is_some()) {
            // All of the group are on their way out, though some may not be gone.
            work.exited_at.get_or_insert(now);
        }
        self.follow_work(now, exited);
        for note in notes {
            self.noted(plan, world, lens, note, shown)?;
        }
        if watched(&plan.config, &self.scopes).iter().all(|s| s.level < Level::Term) {
            self.pretended = false;
        }
        match &decision.step {
            Step::Act(act) => self.act(plan, now, lens, act, shown),
            Step::Look(_) => {
                if shown {
                    self.passed_over(plan, now, lens);
                }
                Ok(())
            }
            Step::Wait(pause) => {
                if shown {
                    self.passed_over(plan, now, lens);
                }
                let dying = shown.then_some(lens.tasks.dying_bytes);
                self.wait(plan, now, *pause, dying)
            }
        }
    }

    fn follow_work(&mut self, now: u64, exited: bool) {
        let Some(work) = &mut self.work else { return };
        if exited && work.exited_at.is_none() {
            work.exited_at = Some(now);
        }
        if let Some(scope) = self.scopes.iter().find(|s| s.is(&work.whose)) {
            work.lowest = work.lowest.min(scope.free(work.resource));
            if work.exited_at.is_some() {
                work.back = work.back.max(scope.free(work.resource) - work.lowest);
            }
        }
    }

    fn noted(&mut self, plan: &Plan, world: &World, lens: &Lens, note: &Note, shown: bool) -> Verdict {
        let now = world.now;
        match note {
            Note::Warn(_) => {}
            Note::Recovered(..) => {
                self.futile = 0;
                self.paused = 0;
                self.refused.clear();
            }
            Note::Exited { victim, after, freed, .. } => {
                let Some(work) = self.work.take() else { return Err("an exit was noted without a victim".into()) };
                ensure!(work.lead == victim.id, "the exit of {:?} was noted, the victim is {:?}", victim.id, work.lead);
                let Some(exited_at) = work.exited_at else { return Err("an exit was noted, nobody exited".into()) };
                ensure!(after.map(|(s, _)| s) == work.sent.map(|(s, _)| s), "noted {after:?}, sent {:?}", work.sent);
                if let Some(scope) = self.scope(&work.whose) {
                    let back = work.back;
                    ensure!(back == *freed, "{freed} bytes were noted as freed, {back} are");
                    let done = back >= work.size / 100 * 80 || scope.level < Level::Term;
                    let waited = now - exited_at;
                    ensure!(
                        done || waited >= PATIENCE,
                        "went on {waited} µs after the exit, with {back} of {} bytes back at {:?}",
                        work.size,
                        scope.level
                    );
                    let gained = scope.level < Level::Term || back > work.size / 100 * 10;
                    if after.is_some() {
                        self.count_gain(now, gained);
                    }
                }
            }
            Note::SetAside { victim, .. } => {
                self.set_aside += 1;
                let Some(work) = self.work.take() else { return Err("set aside without a victim".into()) };
                ensure!(work.lead == victim.id, "set {:?} aside, the victim is {:?}", victim.id, work.lead);
                let Some((Signal::Kill, at)) = work.sent else { return Err("set aside without SIGKILL".into()) };
                ensure!(now - at >= PATIENCE, "set aside {} µs after SIGKILL", now - at);
                ensure!(work.exited_at.is_none(), "set aside after it had exited");
                if let Some(scope) = self.scope(&work.whose) {
                    let back = scope.free(work.resource) - work.lowest;
                    let gained = scope.level < Level::Term || back > work.size / 100 * 10;
                    self.count_gain(now, gained);
                }
                self.aside.extend(work.ids.iter().copied());
                self.aside.insert(work.lead);
                self.last_aside = work.ids;
                self.last_aside.push(work.lead);
                self.aside_since = 0;
            }
            Note::Spared { victim, .. } => {
                self.spared += 1;
                let Some(work) = self.work.take() else { return Err("spared without a victim".into()) };
                ensure!(work.lead == victim.id, "spared {:?}, the victim is {:?}", victim.id, work.lead);
                let Some((Signal::Term, at)) = work.sent else { return Err("spared after SIGKILL".into()) };
                ensure!(now - at >= micros(plan.config.escalation.grace), "spared before its grace was over");
                let short = self.scope(&work.whose).is_some_and(|s| s.level >= Level::Term);
                ensure!(!short, "spared though memory is short");
            }
            Note::Refused(refusal, reading, _) => {
                self.refusals += 1;
                let Some(scope) = self.scope(&reading.whose).cloned() else { return Err("refused for nobody".into()) };
                ensure!(scope.level >= Level::Term, "refused at {:?}", scope.level);
                if *refusal == Refusal::NoGain {
                    ensure!(self.paused > now, "refused for lack of gain, though there was some");
                    return Ok(());
                }
                ensure!(shown, "refused {refusal:?} without a look");
                let field = field(plan, lens, &scope, &self.aside);
                ensure!(!field.act, "refused {refusal:?} though {:?} could be killed", field.best);
                let pause = if *refusal == Refusal::NobodyEligible { S } else { PAUSE };
                self.refused.retain(|r| r.path != scope.path);
                self.refused.push(Pause::of(plan, &scope, now + pause));
                self.excused.push(Pause::of(plan, &scope, now + pause));
            }
        }
        Ok(())
    }

    fn count_gain(&mut self, now: u64, gained: bool) {
        self.futile = if gained { 0 } else { self.futile + 1 };
        if self.futile == FUTILE_KILLS {
            self.futile = 0;
            self.paused = now + PAUSE;
        }
    }

    /// The processes were shown and nobody was chosen: where nothing can be done, doing nothing is right for a while.
    fn passed_over(&mut self, plan: &Plan, now: u64, lens: &Lens) {
        for scope in watched(&plan.config, &self.scopes).iter().filter(|s| s.level >= Level::Term) {
            let Field { act, anybody, .. } = field(plan, lens, scope, &self.aside);
            if !act {
                self.excused.push(Pause::of(plan, scope, now + if anybody { PAUSE } else { S }));
            }
        }
    }

    fn act(&mut self, plan: &Plan, now: u64, lens: &Lens, act: &Act, shown: bool) -> Verdict {
        let lead = act.victim.id;
        let Some(scope) = self.scope(&act.reading.whose).cloned() else { return Err("acts for a scope unseen".into()) };
        self.dying_since = None;
        ensure!(scope.level >= Level::Term, "acts at {:?}", scope.level);
        ensure!(scope.level == act.reading.level, "read {:?}, it is {:?}", act.reading.level, scope.level);
        ensure!(scope.resource == act.reading.resource, "takes {:?} for what is short", act.reading.resource);
        ensure!(!self.pretended, "a dry run acts twice in one shortage");
        let grace = micros(plan.config.escalation.grace);
        let same = |work: &Work| work.lead == lead || (work.group.is_some() && work.cgroup.as_deref() == path_of(act));
        let escalates = self.work.as_ref().is_some_and(same);
        match &self.work {
            Some(work) => {
                let Some((Signal::Term, at)) = work.sent else {
                    return Err(format!("a second act on {lead:?} while {:?} is dying", work.lead));
                };
                ensure!(work.exited_at.is_none(), "an act on {lead:?} while memory of {:?} comes back", work.lead);
                let due = now - at >= grace || scope.level == Level::Kill;
                ensure!(due, "an act on {lead:?} within the grace of {:?}", work.lead);
                ensure!(same(work), "{lead:?} was taken while {:?} is under way", work.lead);
            }
            None => {
                ensure!(now >= self.paused, "acts in the pause after kills without gain");
                ensure!(!is_in(&self.refused, &scope, now), "acts for {:?} in the pause after a refusal", scope.path);
            }
        }
        match (act.signal, act.because) {
            (Signal::Term, Because::AtTerm) => {
                ensure!(scope.level == Level::Term && !escalates, "SIGTERM at {:?}", scope.level);
                let ignored = |(id, at): &(TaskId, u64)| *id == lead && now - at >= grace && now - at < REMEMBERED;
                let before = self.asked.iter().rev().take(REMEMBERED_TASKS).any(ignored);
                ensure!(!before, "SIGTERM once more to {lead:?}, which ignored it");
            }
            (Signal::Kill, Because::AtKill) => ensure!(scope.level == Level::Kill, "AtKill at {:?}", scope.level),
            (Signal::Kill, Because::GraceOver(said)) => {
                let asked = self.asked.iter().filter(|(id, _)| *id == lead || escalates).map(|(_, at)| now - at);
                let known = asked.into_iter().any(|ago| ago >= grace && ago < REMEMBERED.max(grace + 10 * S));
                ensure!(known, "SIGKILL to {lead:?} because it ignored SIGTERM for {said:?}, which it was not sent");
            }
            other => return Err(format!("nonsense: {other:?}")),
        }
        if shown {
            return self.target(plan, lens, act, &scope, escalates);
        }
        ensure!(escalates && act.victim.group.is_none(), "acts on {lead:?} without having looked at it");
        Ok(())
    }

    /// The victim was chosen among the processes shown: rightly?
    fn target(&self, plan: &Plan, lens: &Lens, act: &Act, scope: &Scope, escalates: bool) -> Verdict {
        let lead = act.victim.id;
        let Some(seen) = lens.seen.iter().find(|s| s.task.id == lead) else {
            return Err(format!("{lead:?} is not among the processes shown"));
        };
        if let Standing::Barred(why) = standing(plan, seen, scope, seen.preference) {
            return Err(format!("{lead:?} ({}) must not be killed: {why}", seen.proc.comm));
        }
        let forgotten = self.aside_since >= REMEMBERED_TASKS;
        ensure!(forgotten || !self.last_aside.contains(&lead), "{lead:?} was set aside and is taken again at once");
        let many_small = act.victim.group.is_some_and(|g| g.why == GroupWhy::ManySmall);
        let Field { best, act: worth_it, .. } = field(plan, lens, scope, &self.aside);
        ensure!(
            worth_it || escalates || !self.aside.is_empty(),
            "{lead:?} dies for nothing: all together are too small"
        );
        if many_small && !escalates {
            ensure!(best.is_none(), "a crowd is killed though {best:?} alone is worth it");
        } else if !self.aside.contains(&lead) && act.victim.group.is_none() && !escalates {
            let show = |id| lens.seen.iter().find(|s| Some(s.task.id) == id).map(|s| s.task);
            ensure!(best == Some(lead), "{:?} was chosen, {:?} comes first", show(Some(lead)), show(best));
        }
        if act.victim.group.is_some() {
            ensure!(lens.tasks.depth == Depth::All, "a group was chosen without a look at everybody");
        }
        Ok(())
    }

    /// The guard sleeps. `dying`: what is on its way out by itself, if the processes were shown.
    fn wait(&mut self, plan: &Plan, now: u64, pause: Duration, dying: Option<u64>) -> Verdict {
        ensure!(pause >= Duration::from_millis(1), "waits {pause:?}: a busy loop");
        ensure!(pause <= Duration::from_secs(5), "waits {pause:?}");
        let grace = micros(plan.config.escalation.grace);
        let watched = watched(&plan.config, &self.scopes);
        if let Some(work) = &self.work {
            let lead = work.lead;
            if let Some(exited) = work.exited_at {
                ensure!(now - exited < PATIENCE, "still waits for the memory of {lead:?}");
                return Ok(());
            }
            let (signal, at) = work.sent.ok_or("a victim without a signal")?;
            if signal == Signal::Kill {
                ensure!(now - at < PATIENCE, "still waits for {lead:?} {} µs after SIGKILL", now - at);
                return Ok(());
            }
            ensure!(now - at < grace, "still waits for {lead:?} when its grace is over");
            let own = self.scope(&work.whose).is_some_and(|s| s.level == Level::Kill);
            ensure!(!own, "does not send SIGKILL to {lead:?} at the kill level");
            return Ok(());
        }
        if self.pretended || now < self.paused || now < self.breath {
            return Ok(());
        }
        let idle = watched.iter().find(|s| s.level >= Level::Term && !is_in(&self.excused, s, now));
        let min_size = |s: &Scope| plan.config.victim.min_size.of(s.total).max(1);
        let Some(scope) = idle else {
            self.dying_since = None;
            return self.sleep(plan, pause);
        };
        // It may be another scope, with a smaller `min_size`, for whose sake the guard waits.
        let worth = watched.iter().filter(|s| s.level >= Level::Term).map(min_size).min().unwrap_or(u64::MAX);
        if dying.is_some_and(|bytes| bytes >= worth) {
            let since = *self.dying_since.get_or_insert(now);
            ensure!(now - since < PATIENCE, "waits for whoever is dying, for {} µs", now - since);
            return Ok(());
        }
        let looked = if dying.is_some() { "after" } else { "without" };
        Err(format!("waits {pause:?} {looked} a look, though {:?} is at {:?}", scope.path, scope.level))
    }

    /// Nothing is to be done: how long may nobody look?
    fn sleep(&self, plan: &Plan, pause: Duration) -> Verdict {
        let watched = watched(&plan.config, &self.scopes);
        let ours = |s: &&Scope| s.level < Level::Term && (s.path.is_some() || plan.machine_is_ours);
        for scope in watched.iter().filter(ours) {
            // At 8 GiB/s, and never more often than every 10 ms without need.
            let safe = scope.headroom / ((8 << 30) / S);
            let pause = micros(pause);
            ensure!(pause <= safe.max(10 * MS) + 1, "sleeps {pause} µs, {:?} can be full in {safe}", scope.path);
        }
        Ok(())
    }

    /// Whether the cause of an act still holds, by the machine as the lens shows it again.
    pub fn rechecked(&mut self, plan: &Plan, lens: &Lens, act: &Act, still: bool, stalled: Option<f64>) -> Verdict {
        let now = scopes(plan, lens, stalled);
        let needed = if act.because == Because::AtKill { Level::Kill } else { Level::Term };
        let holds = now.iter().find(|s| s.is(&act.reading.whose)).is_some_and(|s| s.level >= needed);
        ensure!(holds == still, "the cause of {:?} holds: {holds}; the engine says {still}", act.because);
        Ok(())
    }

    /// Signals went out to `ids`.
    pub fn delivered(&mut self, plan: &Plan, lens: &Lens, act: &Act, ids: &[TaskId]) -> Verdict {
        if act.victim.group.is_none() {
            return Ok(());
        }
        let Some(scope) = self.scope(&act.reading.whose).cloned() else { return Ok(()) };
        for id in ids {
            let Some(seen) = lens.seen.iter().find(|s| s.task.id == *id) else { continue };
            match standing(plan, seen, &scope, seen.preference) {
                Standing::Barred(why) => {
                    return Err(format!("{id:?} ({}) died with its group: {why}", seen.proc.comm));
                }
                Standing::Tier(3) if act.victim.tier != Tier::Unread => {
                    return Err(format!("{id:?} ({}) died with its group, perhaps protected", seen.proc.comm));
                }
                Standing::Tier(_) => {}
            }
            let group = path_of(act);
            ensure!(group.is_some_and(|g| is_below(cgroup_of(seen), g)), "{id:?} is not in the group that dies");
        }
        Ok(())
    }

    /// What came of an act.
    pub fn acted(&mut self, now: u64, act: &Act, outcome: Outcome, members: &[TaskId]) {
        match outcome {
            Outcome::Sent | Outcome::Gone => {
                let kept = self.work.take().filter(|w| outcome == Outcome::Gone && w.lead == act.victim.id);
                let decided = self.scope(&act.reading.whose).map(|s| s.free(act.reading.resource));
                let mut work = kept.unwrap_or_else(|| Work {
                    lead: act.victim.id,
                    ids: members.to_vec(),
                    group: act.victim.group,
                    cgroup: path_of(act).map(<[u8]>::to_vec),
                    whose: act.reading.whose,
                    resource: act.reading.resource,
                    size: act.victim.size,
                    sent: None,
                    exited_at: None,
                    lowest: decided.unwrap_or(u64::MAX),
                    back: 0,
                });
                if outcome == Outcome::Gone {
                    work.exited_at = Some(now);
                } else {
                    self.signals += 1;
                    self.failures = 0;
                    work.sent = Some((act.signal, now));
                    if act.signal == Signal::Term {
                        self.asked.push((act.victim.id, now));
                    }
                }
                self.work = Some(work);
            }
            Outcome::Pretended => self.pretended = true,
            Outcome::Recovered => self.recovered += 1,
            Outcome::Failed => {
                self.work = None;
                self.aside.insert(act.victim.id);
                self.aside_since += 1;
                if act.victim.group.is_some() {
                    self.aside.extend(members);
                    self.last_aside = members.to_vec();
                    self.aside_since = 0;
                }
                self.failures += 1;
                if self.failures == FAILURES {
                    self.failures = 0;
                    self.breath = now + S;
                }
            }
        }
    }
}

fn path_of(act: &Act) -> Option<&[u8]> {
    act.victim.cgroup.as_ref().map(|c| c.as_bytes())
}

fn is_in(pauses: &[Pause], scope: &Scope, now: u64) -> bool {
    pauses.iter().any(|pause| pause.holds(scope, now))
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap()
}

/// The lists are the plan's own; everything else may be read from it.
pub fn describe(config: &Config) -> String {
    format!("{:?} {:?} {:?} {:?}", config.memory, config.swap, config.victim, config.escalation)
}
