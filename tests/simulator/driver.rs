//! The guard's loop with a simulated machine below it: the same order of steps as the daemon's, in virtual time.

use std::time::Duration;

use hogwatch::config::Config;
use hogwatch::decide::rules::Rules;
use hogwatch::decide::victim::Victim;
use hogwatch::decide::{Act, Decision, Engine, Note, Outcome, Signal, Step};
use hogwatch::observe::{Observation, TaskId};

use crate::checks::{Checks, describe};
use crate::lens::Lens;
use crate::plan::{self, LISTS, Plan};
use crate::rng::Rng;
use crate::world::{MS, S, Sent, World};

/// Steps that one turn of the loop may take: two looks and an act for each of four signals that fail, and as much again
/// where memory comes back just then. The daemon breathes after 16.
const STEPS: u32 = 32;

/// Compiled victim lists, handed from run to run: compiling takes longer than simulating.
#[derive(Default)]
pub struct Lists(Vec<Option<Rules>>);

impl Lists {
    fn take(&mut self, plan: &Plan) -> Rules {
        self.0.resize_with(usize::try_from(LISTS).unwrap(), || None);
        let kept = self.0[usize::try_from(plan.list).unwrap()].take();
        kept.unwrap_or_else(|| Rules::new(&plan.config.victim, plan::users()).unwrap())
    }
}

/// What happened in all runs together.
#[derive(Debug, Default)]
pub struct Stats {
    steps: u64,
    signals: u64,
    exits: u64,
    refusals: u64,
    set_aside: u64,
    spared: u64,
    recovered: u64,
    groups: u64,
    for_cgroups: u64,
}

impl Stats {
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.signals += other.signals;
        self.exits += other.exits;
        self.refusals += other.refusals;
        self.set_aside += other.set_aside;
        self.spared += other.spared;
        self.recovered += other.recovered;
        self.groups += other.groups;
        self.for_cgroups += other.for_cgroups;
    }

    /// A simulation in which nothing happens proves nothing.
    pub fn assert_that_it_all_happened(&self) {
        let all = [
            self.signals,
            self.exits,
            self.refusals,
            self.set_aside,
            self.spared,
            self.recovered,
            self.groups,
            self.for_cgroups,
        ];
        assert!(all.iter().all(|n| *n > 0), "{self:?}");
    }
}

pub struct Run<'a> {
    plan: Plan,
    world: World,
    rng: Rng,
    lens: Lens,
    engine: Engine,
    checks: Checks,
    stats: Stats,
    lists: &'a mut Lists,
    tell: bool,
    began: u64,
}

impl<'a> Run<'a> {
    pub fn new(seed: u64, tell: bool, lists: &'a mut Lists) -> Self {
        let mut rng = Rng::new(seed);
        let (plan, world) = plan::draw(&mut rng);
        let mut engine = Engine::new(&plan.config, lists.take(&plan), plan.own);
        engine.set_machine_is_ours(plan.machine_is_ours);
        let lens = Lens::new(plan.table);
        engine.reserve(&lens.tasks);
        if tell {
            println!(
                "{} swap {} own {:?} in {}",
                world.mem_total, world.swap_total, plan.own, world.cgroups[world.own_cgroup].path
            );
            println!("{}", describe(&plan.config));
        }
        let began = world.now;
        Self { plan, world, rng, lens, engine, checks: Checks::default(), stats: Stats::default(), lists, tell, began }
    }

    /// Runs to the end, or to the first broken promise: when (milliseconds) and which.
    pub fn run(mut self) -> Result<Stats, (u64, String)> {
        while self.world.now < self.plan.until {
            match self.turn() {
                Ok(pause) => self.sleep(pause),
                Err(why) => return Err(((self.world.now - self.began) / MS, why)),
            }
        }
        let empty = Config::default();
        let none = hogwatch::config::Victim { protect_builtin: false, ..empty.victim.clone() };
        let rules = self.engine.reconfigure(&empty, Rules::new(&none, Vec::new()).unwrap());
        self.lists.0[usize::try_from(self.plan.list).unwrap()] = Some(rules);
        let Checks { signals, refusals, set_aside, spared, recovered, .. } = self.checks;
        Ok(Stats { signals, refusals, set_aside, spared, recovered, ..self.stats })
    }

    fn pass(&mut self, least: u64, most: u64) {
        let by = self.rng.between(least, most);
        self.world.advance(by, &mut self.rng);
    }

    fn turn(&mut self) -> Result<u64, String> {
        let mut looked = false;
        for _ in 0..STEPS {
            self.pass(5, 100);
            if self.rng.per_mille(self.plan.faults.blind) {
                return Ok(100 * MS);
            }
            let decision = self.decide(looked)?;
            looked = false;
            match decision.step {
                Step::Wait(pause) => return Ok(u64::try_from(pause.as_micros()).unwrap()),
                Step::Look(need) => {
                    self.pass(50, 20 * MS);
                    self.lens.scan(&self.world, &self.plan, need, &mut self.rng);
                    let most = if self.rng.per_mille(20) { 500 * MS } else { 100 };
                    self.pass(5, most);
                    looked = true;
                }
                Step::Act(act) => self.perform(&act)?,
            }
        }
        Err(format!("{STEPS} steps without a pause"))
    }

    fn now(&self) -> Duration {
        Duration::from_micros(self.world.now)
    }

    fn decide(&mut self, looked: bool) -> Result<Decision, String> {
        self.stats.steps += 1;
        self.lens.look_at_machine(&self.world, &self.plan, &mut self.rng);
        let exited = self.engine.victim().is_some_and(|victim| self.has_exited(victim));
        let obs = Observation {
            machine: &self.lens.machine,
            enclosing: &self.lens.enclosing,
            victim_exited: exited,
            tasks: looked.then_some(&self.lens.tasks),
            details: looked.then_some(&self.lens.details),
        };
        let decision = self.engine.step(&obs, self.now());
        let notes: Vec<Note> = self.engine.notes().copied().collect();
        if self.tell {
            self.tell(&decision, &notes);
        }
        self.stats.exits += notes.iter().filter(|n| matches!(n, Note::Exited { .. })).count() as u64;
        let stalled = self.engine.gauge().stall.full_percent();
        let given_up = notes.iter().any(|n| matches!(n, Note::SetAside { .. } | Note::Spared { .. }));
        let settles = self.engine.victim().is_none() && !given_up;
        let seen = (looked, stalled, exited, settles);
        self.checks.decided(&self.plan, &self.world, &self.lens, &decision, &notes, seen)?;
        Ok(decision)
    }

    /// As `Actor::exited`: by its pidfd; a whole cgroup by its population.
    fn has_exited(&self, victim: &Victim) -> bool {
        match (victim.group, &victim.cgroup) {
            (None, _) => self.world.proc_of(victim.id).is_none(),
            (Some(group), Some(path)) if group.whole => !self.world.is_populated(path.as_bytes()),
            (Some(_), _) => self.engine.members().iter().all(|id| self.is_gone(*id)),
        }
    }

    fn is_gone(&self, id: TaskId) -> bool {
        self.world.proc_of(id).is_none_or(|p| p.exit_at.is_some() && !p.shows_dying)
    }

    fn perform(&mut self, act: &Act) -> Result<(), String> {
        let (outcome, ids) = self.attempt(act)?;
        if outcome == Outcome::Sent {
            self.stats.groups += u64::from(act.victim.group.is_some());
            self.stats.for_cgroups += u64::from(act.reading.whose != hogwatch::decide::measure::Whose::Machine);
            self.checks.delivered(&self.plan, &self.lens, act, &ids)?;
        }
        if self.tell {
            println!("      {outcome:?} {} {:?}", ids.len(), act.victim);
        }
        self.checks.acted(self.world.now, act, outcome, self.engine.members());
        let now = self.now();
        self.engine.acted(act, outcome, now);
        Ok(())
    }

    fn attempt(&mut self, act: &Act) -> Result<(Outcome, Vec<TaskId>), String> {
        if act.victim.group.is_none() && self.is_gone(act.victim.id) {
            return Ok((Outcome::Gone, Vec::new()));
        }
        self.pass(5, 200);
        if self.rng.per_mille(self.plan.faults.relief) {
            self.world.ballast -= self.rng.below(self.world.ballast);
            self.world.tally();
        }
        self.lens.look_at_machine(&self.world, &self.plan, &mut self.rng);
        let obs = Observation {
            machine: &self.lens.machine,
            enclosing: &self.lens.enclosing,
            victim_exited: false,
            tasks: None,
            details: None,
        };
        let still = self.engine.still_holds(act, &obs);
        let stalled = self.engine.gauge().stall.full_percent();
        self.checks.rechecked(&self.plan, &self.lens, act, still, stalled)?;
        Ok(match still {
            false => (Outcome::Recovered, Vec::new()),
            true if self.plan.dry_run => (Outcome::Pretended, Vec::new()),
            true => self.fire(act),
        })
    }

    fn fire(&mut self, act: &Act) -> (Outcome, Vec<TaskId>) {
        let kill = act.signal == Signal::Kill;
        let whom: Vec<TaskId> = match (act.victim.group, &act.victim.cgroup) {
            (None, _) => vec![act.victim.id],
            // `cgroup.kill` ends whoever is there now.
            (Some(group), Some(path)) if kill && group.whole => {
                let inside = |p: &&crate::world::Proc| {
                    crate::world::is_below(self.world.cgroups[p.cgroup].path.as_bytes(), path.as_bytes())
                };
                self.world.procs.iter().filter(inside).map(|p| p.id).collect()
            }
            (Some(_), _) => self.engine.members().iter().copied().filter(|id| !self.is_gone(*id)).collect(),
        };
        let mut sent = Vec::new();
        let mut outcome = Outcome::Gone;
        for id in whom {
            match self.world.signal(id, kill) {
                Sent::Yes => sent.push(id),
                Sent::NotPermitted => outcome = Outcome::Failed,
                Sent::NoSuch => {}
            }
        }
        (if sent.is_empty() { outcome } else { Outcome::Sent }, sent)
    }

    /// Sleeps, at most so long: a victim's exit wakes the guard. Now and then it comes late.
    fn sleep(&mut self, pause: u64) {
        let end = self.world.now + pause;
        while self.world.now < end {
            let Some(victim) = self.engine.victim().copied() else {
                self.world.advance(end - self.world.now, &mut self.rng);
                break;
            };
            self.world.advance((end - self.world.now).min(10 * MS), &mut self.rng);
            if self.has_exited(&victim) {
                break;
            }
        }
        if self.rng.per_mille(self.plan.faults.late) {
            self.pass(0, 3 * S);
        }
    }

    fn tell(&self, decision: &Decision, notes: &[Note]) {
        let at = (self.world.now - self.began) / MS;
        let r = &decision.reading;
        let step = match &decision.step {
            Step::Act(act) => format!("{:?} {:?} {:?} {}", act.signal, act.because, act.victim.id, act.victim.comm),
            other => format!("{other:?}"),
        };
        println!(
            "{at:>6} ms {:?} {:?} {:?} available {} term {} kill {}: {step}",
            r.whose, r.level, r.resource, r.available, r.term, r.kill
        );
        for note in notes {
            println!("      {}", format!("{note:?}").chars().take(160).collect::<String>());
        }
    }
}
