//! What is done about stuck cgroups: a small world of cgroups that stay stuck as long as certain processes live.

use std::time::Duration;

use hogwatch::config::{LivelockAction, TargetKind};
use hogwatch::decide::cases::{CaseEvent, CaseNote, CaseStep, Interest, LONGEST_GRACE, LiftOutcome, Plan, stuck};
use hogwatch::decide::livelock::{Events, Judged, Kind, MachineSample, Sample, Scope, Stat, Terms, Verdict};
use hogwatch::decide::pressure::PressureTerms;
use hogwatch::decide::victim::{Choice, GroupWhy, Refusal};
use hogwatch::decide::{Act, Because, Engine, KilledFor, Outcome, PATIENCE, PAUSE, Signal};
use hogwatch::observe::cgroups::{CgroupPath, Preference};
use hogwatch::observe::parse::Limit;
use hogwatch::observe::{Depth, Observation, Task};

use crate::bench::{Bench, GIB, MIB, machine, observe, patterns, task};

const TICK: Duration = Duration::from_millis(250);
const HIGH: u64 = GIB;

/// A cgroup that is throttled as long as one of `because_of` lives.
pub struct Group {
    pub id: u64,
    pub because_of: Vec<i32>,
    /// Whether it is above its limit at all.
    pub above: bool,
    total_us: u64,
    hits: u64,
    /// What it holds above its limit while it is stuck.
    pub excess: u64,
    /// Page cache that was reclaimed and read again, in pages; `None` when nothing is reclaimed.
    pub circled: Option<u64>,
}

impl Group {
    fn new(id: u64, because_of: &[i32]) -> Self {
        Self {
            id,
            because_of: because_of.to_vec(),
            above: true,
            total_us: 0,
            hits: 0,
            excess: HIGH / 16,
            circled: None,
        }
    }
}

/// What was done: when, to whom, what.
type Done = (Duration, i32, Signal);

pub struct World {
    pub engine: Engine,
    pub bench: Bench,
    pub groups: Vec<Group>,
    pub now: Duration,
    /// Processes that SIGTERM does not end; and those that nothing ends.
    pub deaf: Vec<i32>,
    pub undead: Vec<i32>,
    dry: bool,
    /// Places whose victim is dead.
    exited: u64,
    pub done: Vec<Done>,
    /// Why.
    acts: Vec<Act>,
    pub members: Vec<Vec<i32>>,
    lifts: Vec<u64>,
    pub notes: Vec<(Duration, CaseNote)>,
    /// A process that comes back under a new pid when it dies.
    reborn: Option<&'static str>,
    high: Limit,
    max: Limit,
    /// Stalled in each tick when nobody is stuck, in microseconds.
    calm_us: u64,
    /// Whether a victim goes between the choice of SIGKILL and the signal.
    goes_before_sigkill: bool,
    /// Whether the cause is asked about again right before each act.
    resample: bool,
    /// A sample every so many ticks.
    every: u32,
    ticks: u32,
}

pub fn sized(pid: i32, comm: &str, mib: u64) -> Task {
    Task { anon: Some(mib * MIB), rss: mib * MIB, ..task(pid, comm) }
}

impl World {
    pub fn new(bench: Bench, action: LivelockAction, groups: &[(&str, &[i32])]) -> Self {
        let engine = Engine::new(&bench.config, bench.rules(), bench.own);
        let mut world = Self {
            engine,
            bench,
            groups: Vec::new(),
            now: Duration::from_secs(1000),
            deaf: Vec::new(),
            undead: Vec::new(),
            dry: false,
            exited: 0,
            done: Vec::new(),
            acts: Vec::new(),
            members: Vec::new(),
            lifts: Vec::new(),
            notes: Vec::new(),
            reborn: None,
            high: Limit::Bytes(HIGH),
            max: Limit::Bytes(2 * HIGH),
            calm_us: 0,
            goes_before_sigkill: false,
            resample: false,
            every: 1,
            ticks: 0,
        };
        world.engine.reserve(&world.bench.tasks);
        world.engine.cases_mut().make_room();
        for (id, (path, because_of)) in (1..).zip(groups) {
            let path = CgroupPath::new(path.as_bytes()).unwrap();
            let terms =
                Terms { after: Duration::from_secs(10), thrash_after: Duration::from_secs(30), page_size: 4096 };
            let interest = Interest { livelock: Some(Scope { terms, action }), pressure: None, terms };
            assert!(world.engine.cases_mut().watch(id, &path, &interest));
            world.groups.push(Group::new(id, because_of));
        }
        world
    }

    pub fn lives(&self, pid: i32) -> bool {
        self.bench.tasks.list.iter().any(|t| t.id.pid == pid)
    }

    fn sample(&mut self) {
        self.ticks += 1;
        let skip = !self.ticks.is_multiple_of(self.every);
        for at in 0..self.groups.len() {
            let stuck = self.groups[at].above && self.groups[at].because_of.iter().any(|pid| self.lives(*pid));
            let group = &mut self.groups[at];
            if stuck {
                group.total_us += 220_000;
                group.hits += 12;
                group.circled = group.circled.map(|pages| pages + 1000);
            } else {
                group.total_us += self.calm_us;
                group.hits += 12 * u64::from(self.calm_us > 0);
            }
            if skip {
                continue;
            }
            let sample = Sample {
                t: self.now,
                current: if stuck { HIGH + group.excess } else { HIGH / 2 },
                high: self.high,
                max: self.max,
                swap_max: Limit::Bytes(0),
                swap_current: 0,
                events: Events { high: group.hits, ..Events::default() },
                full_total_us: group.total_us,
                stat: Some(Stat {
                    anon: HIGH,
                    pgsteal: group.circled.unwrap_or(0),
                    refault_file: group.circled.unwrap_or(0),
                    ..Stat::default()
                }),
                over_high_tasks: None,
            };
            self.engine.cases_mut().sampled(group.id, &sample);
        }
    }

    fn die(&mut self, pid: i32) {
        let list = &mut self.bench.tasks.list;
        let Some(at) = list.iter().position(|t| t.id.pid == pid) else { return };
        let dead = list.remove(at);
        if self.reborn.is_some_and(|name| dead.comm.as_bytes() == name.as_bytes()) {
            let mut child = Task { id: task(pid + 1, "").id, ..dead };
            child.comm = dead.comm;
            self.bench.tasks.list.push(child);
            for group in &mut self.groups {
                group.because_of.push(pid + 1);
            }
        }
    }

    /// A victim of the one case there is ends by itself.
    fn dies_now(&mut self, pid: i32) {
        self.die(pid);
        self.exited = 1;
    }

    /// A quarter of a second: samples, then as many steps as there are.
    pub fn tick(&mut self) {
        self.now += TICK;
        self.sample();
        let machine = machine(12 * GIB);
        let mut looked = false;
        for _ in 0..500 {
            let obs = Observation {
                tasks: looked.then_some(&self.bench.tasks),
                details: Some(&self.bench.details),
                ..observe(&machine, &[])
            };
            let step = self.engine.step_cases(&obs, self.exited, self.now);
            self.notes.extend(self.engine.cases().notes().map(|note| (self.now, *note)));
            match step {
                CaseStep::Wait(pause) if pause.is_zero() => {}
                CaseStep::Wait(_) => return,
                CaseStep::Look(need) => {
                    assert_eq!(need.depth, Depth::All);
                    looked = true;
                }
                CaseStep::Lift(id) => {
                    self.lifts.push(id);
                    self.groups.iter_mut().find(|g| g.id == id).unwrap().above = false;
                    self.engine.cases_mut().lifted(id, LiftOutcome::Done, self.now);
                }
                CaseStep::Act(place, act) => {
                    self.done.push((self.now, act.victim.id.pid, act.signal));
                    let mut pids: Vec<_> = self.engine.cases().members(place).iter().map(|id| id.pid).collect();
                    if pids.is_empty() {
                        pids.push(act.victim.id.pid);
                    }
                    self.members.push(pids.clone());
                    if self.resample && !self.engine.cases().still_holds(place) {
                        self.done.pop();
                        self.members.pop();
                        self.engine.cases_mut().acted(place, &act, Outcome::Recovered, self.now);
                        continue;
                    }
                    if self.goes_before_sigkill && act.signal == Signal::Kill {
                        self.done.pop();
                        self.members.pop();
                        self.die(act.victim.id.pid);
                        self.engine.cases_mut().acted(place, &act, Outcome::Gone, self.now);
                        continue;
                    }
                    self.acts.push(act);
                    let outcome = if self.dry { Outcome::Pretended } else { Outcome::Sent };
                    self.engine.cases_mut().acted(place, &act, outcome, self.now);
                    self.exited &= !(1 << place);
                    if self.dry {
                        continue;
                    }
                    let spared =
                        |pid: &i32| self.undead.contains(pid) || act.signal == Signal::Term && self.deaf.contains(pid);
                    let survivors = pids.iter().filter(|pid| spared(pid)).count();
                    let dying: Vec<_> = pids.into_iter().filter(|pid| !spared(pid)).collect();
                    dying.into_iter().for_each(|pid| self.die(pid));
                    if survivors == 0 {
                        self.exited |= 1 << place;
                    }
                }
            }
        }
        panic!("500 steps and still not done at {:?}", self.now);
    }

    fn run(&mut self, seconds: u64) -> &mut Self {
        let until = self.now + Duration::from_secs(seconds);
        while self.now < until {
            self.tick();
        }
        self
    }

    /// The time between two signals.
    fn between(&self, one: usize, other: usize) -> Duration {
        self.done[other].0.saturating_sub(self.done[one].0)
    }

    /// Who was signalled, in order.
    fn signalled(&self) -> Vec<(i32, Signal)> {
        self.done.iter().map(|(_, pid, signal)| (*pid, *signal)).collect()
    }

    fn told(&self, is: impl Fn(&CaseEvent) -> bool) -> usize {
        self.notes.iter().filter(|(_, note)| is(&note.event)).count()
    }

    fn refusals(&self) -> Vec<Refusal> {
        let refusal = |(_, note): &(Duration, CaseNote)| match note.event {
            CaseEvent::Refused(refusal, _) => Some(refusal),
            _ => None,
        };
        self.notes.iter().filter_map(refusal).collect()
    }
}

/// A hog of 900 MiB and a server of 120 in one slice, somebody larger elsewhere.
fn incident() -> Bench {
    let mut bench = Bench::new();
    bench.add_in("/band/hog.service", sized(10, "hog", 900));
    bench.add_in("/band/web.service", sized(11, "web", 120));
    bench.add_in("/other", sized(12, "other", 4000));
    bench
}

#[test]
fn the_largest_of_the_subtree_goes_and_nobody_else() {
    let mut world = World::new(incident(), LivelockAction::Kill, &[("/band", &[10])]);
    world.run(60);
    assert_eq!(world.signalled(), [(10, Signal::Term)]);
    assert_eq!(world.told(|e| matches!(e, CaseEvent::Found(Plan::Kill))), 1);
    assert_eq!(world.told(|e| matches!(e, CaseEvent::Exited { freed: Some(freed), .. } if *freed > HIGH / 2)), 1);
    assert_eq!(world.told(|e| matches!(e, CaseEvent::Moves(_))), 1);
    let incidents: Vec<_> = world.notes.iter().map(|(_, note)| note.incident).collect();
    assert!(incidents.iter().all(|n| *n == 1), "one incident: {incidents:?}");
    let (first, ..) = world.done[0];
    assert!(first <= Duration::from_secs(1000 + 11), "after one window: {first:?}");
}

#[test]
fn a_kill_by_somebody_else_belongs_to_what_is_open() {
    use KilledFor::{Limit, Machine, Oomd, SomeLimit, Unknown};
    let path = |path: &str| CgroupPath::new(path.as_bytes()).expect("short");
    let (band, web) = (Limit(path("/band")), Limit(path("/band/web.service")));
    let (bandit, oomd) = (Limit(path("/bandit")), Oomd(path("/bandit")));
    let mut world = World::new(incident(), LivelockAction::Kill, &[("/band", &[10])]);
    assert_eq!(
        [Machine, Unknown, SomeLimit, band, oomd].map(|k| world.engine.incident_of_kill(&k, world.now)),
        [None; 5]
    );
    assert_eq!(world.engine.new_incident(), 1);
    world.deaf = vec![10];
    world.run(12);
    assert_eq!(world.notes[0].1.incident, 2);
    let now = world.now;
    let incidents = |engine: &Engine, later: u64| {
        let later = now + Duration::from_secs(later);
        [band, web, Oomd(path("/band")), bandit, oomd, SomeLimit, Machine, Unknown]
            .map(|killed_for| engine.incident_of_kill(&killed_for, later))
    };
    let case = Some(2);
    assert_eq!(incidents(&world.engine, 1), [case, case, case, None, None, None, None, None]);
    world.engine.step(&observe(&machine(GIB), &[]), world.now);
    let episode = world.engine.episode();
    assert!(episode.is_some(), "below warn");
    let in_episode = [case, case, case, None, episode, None, episode, episode];
    assert_eq!(incidents(&world.engine, 1), in_episode, "a limit elsewhere is none of the machine's business");
    // The kill has ended it before it is told.
    world.engine.step(&observe(&machine(15 * GIB), &[]), now);
    assert_eq!(world.engine.episode(), None);
    assert_eq!(incidents(&world.engine, 1), in_episode);
    assert_eq!(incidents(&world.engine, 60), [case, case, case, None, None, None, None, None]);
}

#[test]
fn one_that_ignores_sigterm_is_killed_after_a_short_grace() {
    let mut bench = incident();
    bench.config.escalation.grace = Duration::from_secs(30);
    let mut world = World::new(bench, LivelockAction::Kill, &[("/band", &[10])]);
    world.deaf = vec![10];
    world.run(60);
    assert_eq!(world.signalled(), [(10, Signal::Term), (10, Signal::Kill)]);
    let waited = world.between(0, 1);
    assert!(waited >= LONGEST_GRACE && waited <= LONGEST_GRACE + TICK, "{waited:?}");
    assert_eq!(world.told(|e| matches!(e, CaseEvent::Exited { after: (Signal::Kill, _), .. })), 1);
}

/// Reclaim that runs in a circle may gain a little and lose it again: throttled at one sample, squeezed at the next.
#[test]
fn what_came_of_a_signal_is_told_of_the_kind_that_it_was_sent_for() {
    for (dies_of, causes, kinds) in [
        (Signal::Term, &[Kind::Throttled][..], [Kind::Throttled; 3]),
        (Signal::Kill, &[Kind::Throttled, Kind::Squeezed], [Kind::Throttled, Kind::Squeezed, Kind::Squeezed]),
    ] {
        let mut world = World::new(incident(), LivelockAction::Kill, &[("/band", &[10])]);
        world.groups[0].circled = Some(0);
        world.deaf = vec![10];
        while world.done.is_empty() {
            world.tick();
        }
        world.groups[0].excess = HIGH / 200;
        world.run(2);
        let Verdict::Stalled(stall) = world.engine.cases().detector(1).expect("under watch").verdict() else {
            panic!("still stuck")
        };
        assert_eq!(stall.kind, Kind::Squeezed, "the scenario: no longer above its limit");
        if dies_of == Signal::Term {
            world.dies_now(10);
        }
        world.run(60);
        let sent_for =
            |act: &Act| if let Because::Stuck(stall, _) = act.because { stall.kind } else { panic!("{act:?}") };
        assert_eq!(world.acts.iter().map(sent_for).collect::<Vec<_>>(), causes);
        let told: Vec<_> = world.notes.iter().map(|(_, note)| note.stall.kind).collect();
        assert_eq!(told, kinds, "found, exited, moves");
    }
}

#[test]
fn one_that_nothing_kills_is_set_aside_and_the_next_is_taken() {
    let mut bench = incident();
    bench.add_in("/band/second.service", sized(13, "second", 100));
    let mut world = World::new(bench, LivelockAction::Kill, &[("/band", &[10])]);
    world.undead = vec![10];
    world.run(25);
    assert_eq!(world.signalled()[..3], [(10, Signal::Term), (10, Signal::Kill), (11, Signal::Term)]);
    assert!(world.between(1, 2) >= PATIENCE);
    assert_eq!(world.told(|e| matches!(e, CaseEvent::SetAside(_))), 1);
}

#[test]
fn memory_given_back_in_time_saves_the_victim() {
    let mut world = World::new(incident(), LivelockAction::Kill, &[("/band", &[10])]);
    world.deaf = vec![10];
    world.run(12);
    assert_eq!(world.signalled(), [(10, Signal::Term)]);
    world.groups[0].above = false;
    world.run(60);
    assert_eq!(world.signalled(), [(10, Signal::Term)]);
    assert_eq!(world.told(|e| matches!(e, CaseEvent::Spared(_))), 1);
}

/// The exit was not known yet when SIGKILL was decided.
#[test]
fn who_goes_right_before_sigkill_is_told_of() {
    let mut world = World::new(incident(), LivelockAction::Kill, &[("/band", &[10])]);
    world.deaf = vec![10];
    world.goes_before_sigkill = true;
    world.run(60);
    assert_eq!(world.signalled(), [(10, Signal::Term)]);
    assert_eq!(world.told(|e| matches!(e, CaseEvent::Exited { after: (Signal::Term, _), freed: Some(_), .. })), 1);
    assert_eq!(world.told(|e| matches!(e, CaseEvent::Moves(_))), 1);
}

/// On a busy machine a task that was sent SIGTERM may wait for a processor, which is no stall.
#[test]
fn whose_sigterm_works_after_all_is_told_of() {
    let spared = || {
        let mut world = World::new(incident(), LivelockAction::Kill, &[("/band", &[10])]);
        world.deaf = vec![10];
        world.run(12);
        world.groups[0].above = false;
        while world.told(|e| matches!(e, CaseEvent::Spared(_))) == 0 {
            world.tick();
        }
        world
    };
    let mut world = spared();
    world.run(20);
    world.dies_now(10);
    world.run(60);
    let told: Vec<_> = world.notes.iter().map(|(_, note)| (note.incident, note.event)).collect();
    let [(1, CaseEvent::Found(_)), (1, CaseEvent::Spared(_)), (1, CaseEvent::SparedExited { victim, after })] =
        told[..]
    else {
        panic!("{told:?}")
    };
    assert_eq!((victim.id.pid, after.as_secs()), (10, 25), "5 s of grace, 20 s more");
    assert_eq!((world.signalled().len(), world.engine.cases().any_is_open()), (1, false));

    let mut world = spared();
    world.run(90);
    assert!(!world.engine.cases().any_is_open(), "not for ever");
    assert_eq!(world.notes.len(), 2, "found, spared");

    let mut world = spared();
    world.groups[0].above = true;
    world.run(20);
    assert_eq!(world.signalled(), [(10, Signal::Term), (10, Signal::Kill)], "stuck again: he is not asked twice");
    let told: Vec<_> = world.notes.iter().map(|(_, note)| (note.incident, note.event)).collect();
    use CaseEvent::{Exited, Found, Moves, Spared};
    let [(1, Found(_)), (1, Spared(_)), (2, Found(_)), (2, Exited { .. }), (2, Moves(_))] = told[..] else {
        panic!("{told:?}")
    };

    // Stuck again, and he goes right before SIGKILL: that is told of his SIGTERM.
    let mut world = spared();
    world.groups[0].above = true;
    world.goes_before_sigkill = true;
    world.run(20);
    assert_eq!(world.signalled(), [(10, Signal::Term)]);
    let exit =
        |e: &CaseEvent| matches!(e, CaseEvent::Exited { after: (Signal::Term, after), .. } if after.as_secs() >= 15);
    assert_eq!(world.told(exit), 1, "{:?}", world.notes);

    // Another act hits him: his end is told there.
    let mut world = spared();
    let other = Act { signal: Signal::Kill, ..world.acts[0] };
    world.engine.forget_spared(&other, None);
    assert_eq!(world.engine.cases().in_flight().count(), 0);
    world.dies_now(10);
    world.run(60);
    assert_eq!(world.notes.len(), 2, "found, spared");
}

#[test]
fn who_was_spared_and_goes_as_others_need_his_place_is_told_of() {
    let (mut bench, names) = (incident(), (0..64).map(|n| (format!("/other{n}"), [100 + n])).collect::<Vec<_>>());
    for (path, [pid]) in &names {
        bench.add_in(path, sized(*pid, "other", 100));
    }
    let others = names.iter().map(|(path, pid)| (path.as_str(), &pid[..]));
    let groups: Vec<(&str, &[i32])> = std::iter::once(("/band", &[10][..])).chain(others).collect();
    let mut world = World::new(bench, LivelockAction::Kill, &groups);
    world.deaf = vec![10];
    world.groups[1..].iter_mut().for_each(|group| group.above = false);
    world.run(12);
    world.groups[0].above = false;
    while world.told(|e| matches!(e, CaseEvent::Spared(_))) == 0 {
        world.tick();
    }
    world.groups[1..].iter_mut().for_each(|group| group.above = true);
    world.run(10);
    assert!(world.engine.cases().any_is_open(), "he is watched");
    let found = |world: &World| world.told(|e| matches!(e, CaseEvent::Found(_)));
    assert_eq!(found(&world), 1);
    world.dies_now(10);
    world.tick();
    assert_eq!(found(&world), 65, "all at one tick, as many as there are places");
    assert_eq!(world.told(|e| matches!(e, CaseEvent::SparedExited { .. })), 1);
}

#[test]
fn a_hog_that_comes_back_three_times_is_left_alone_for_a_minute() {
    let mut bench = Bench::new();
    bench.add_in("/band", sized(10, "hog", 900));
    let mut world = World::new(bench, LivelockAction::Kill, &[("/band", &[10])]);
    world.reborn = Some("hog");
    world.run(40);
    assert_eq!(world.signalled(), [(10, Signal::Term), (11, Signal::Term), (12, Signal::Term)]);
    assert_eq!(world.refusals(), [Refusal::NoGain]);
    world.run(PAUSE.as_secs() + 10);
    assert!(world.done.len() > 3, "then it is tried again");
    assert!(world.between(2, 3) >= PAUSE);
}

#[test]
fn a_protected_hog_is_named_and_nobody_dies_in_its_place() {
    // Once with others that are too small, once with others that would be large enough.
    for (web, refusal) in
        [(20, Refusal::WouldNotSuffice { together: 20 * MIB, deficit: HIGH / 16 }), (300, Refusal::HogSpared)]
    {
        let mut bench = Bench::new();
        bench.config.victim.protect = patterns(&["^hog$"]);
        bench.add_in("/band", sized(10, "hog", 700));
        bench.add_in("/band", sized(11, "web", web));
        let mut world = World::new(bench, LivelockAction::Kill, &[("/band", &[10])]);
        world.run(100);
        assert_eq!(world.signalled(), []);
        assert_eq!(world.refusals(), [refusal, refusal], "told again after a minute");
        let named = |e: &CaseEvent| matches!(e, CaseEvent::Refused(_, Some(spared)) if spared.id.pid == 10);
        assert_eq!(world.told(named), 2);
    }
}

#[test]
fn whoever_grew_is_the_hog_however_large_a_protected_one_is() {
    for (grows, expected) in [(11, vec![(11, Signal::Term)]), (10, vec![])] {
        let mut bench = Bench::new();
        bench.config.victim.protect = patterns(&["^database$"]);
        bench.add_in("/band", sized(10, "database", 600));
        bench.add_in("/band", sized(11, "report", 400));
        let mut world = World::new(bench, LivelockAction::Kill, &[("/band", &[10, 11])]);
        world.run(2);
        let grown = world.bench.tasks.list.iter_mut().find(|t| t.id.pid == grows).unwrap();
        grown.anon = grown.anon.map(|anon| anon + 64 * MIB);
        world.run(15);
        assert_eq!(world.signalled(), expected, "{grows} grew");
    }
}

#[test]
fn as_many_of_the_largest_as_it_takes() {
    let mut bench = Bench::new();
    for pid in 100..200 {
        bench.add_in("/band", sized(pid, "worker", 10));
    }
    let mut world = World::new(bench, LivelockAction::Kill, &[("/band", &[100])]);
    world.groups[0].excess = 35 * MIB;
    world.run(20);
    // 35 MiB above the limit and 2 % of it: six of 10 MiB.
    assert_eq!(world.members, [(100..106).collect::<Vec<_>>()]);
    let found = world.notes.iter().find_map(|(_, n)| match n.event {
        CaseEvent::Exited { victim, .. } => victim.group,
        _ => None,
    });
    assert_eq!(found.map(|g| (g.members, g.why)), Some((6, GroupWhy::Several)));
}

/// pid 1 and hogwatch itself may be larger than all that lives in a small cgroup, and grow meanwhile.
#[test]
fn what_lives_elsewhere_is_never_taken_for_a_protected_hog() {
    let mut bench = incident();
    let own = bench.own.pid;
    bench.add_in("/init.scope", sized(1, "systemd", 2000));
    bench.add_in("/hogwatch.slice/hogwatch.service", sized(own, "hogwatch", 3000));
    let mut world = World::new(bench, LivelockAction::Kill, &[("/band", &[10])]);
    world.run(2);
    for task in world.bench.tasks.list.iter_mut().filter(|task| [1, own].contains(&task.id.pid)) {
        task.anon = task.anon.map(|anon| anon + 64 * MIB);
    }
    world.run(20);
    assert_eq!(world.signalled(), [(10, Signal::Term)]);
    assert_eq!(world.refusals(), []);
}

/// `hogwatch explain --cgroup` chooses by [`stuck`].
#[test]
fn who_will_go_can_be_told_beforehand() {
    let mut many = Bench::new();
    for (pid, mib) in (100..200).zip((1..20).cycle()) {
        many.add_in("/band", sized(pid, "worker", mib));
    }
    for bench in [incident(), many] {
        let because_of = bench.tasks.list[0].id.pid;
        let mut world = World::new(bench, LivelockAction::Kill, &[("/band", &[because_of])]);
        let path = CgroupPath::new(b"/band").unwrap();
        let stuck = stuck(&path, Judged::High(HIGH), HIGH + HIGH / 16, Kind::Throttled);
        let (machine, chooser) = (machine(12 * GIB), world.engine.chooser());
        let tasks = &world.bench.tasks;
        let obs = Observation { details: Some(&world.bench.details), ..observe(&machine, &[]) };
        chooser.judge(tasks, &obs, &stuck.reading, |_| false);
        let Choice::Victim(foretold) = chooser.choose_stuck(tasks, &stuck) else { panic!("nobody") };
        let mut members: Vec<_> = chooser.members().iter().map(|id| id.pid).collect();
        if members.is_empty() {
            members.push(foretold.id.pid);
        }
        world.run(11);
        assert_eq!(world.done[0].1, foretold.id.pid);
        assert_eq!(world.members[0], members);
    }
}

#[test]
fn oom_group_makes_the_cgroup_one_victim() {
    let mut bench = Bench::new();
    bench.add_in("/band/pod", sized(10, "hog", 900));
    bench.add_in("/band/pod", sized(11, "sidecar", 5));
    bench.add_in("/band/web", sized(12, "web", 50));
    bench.mark("/band/pod", Some("/band/pod"), Preference::None);
    let mut world = World::new(bench, LivelockAction::Kill, &[("/band", &[10])]);
    world.run(20);
    assert_eq!(world.members, [vec![10, 11]]);
}

#[test]
fn hundreds_at_once_are_all_freed() {
    let names: Vec<String> = (0..200).map(|n| format!("/box-{n}")).collect();
    let mut bench = Bench::new();
    bench.tasks = hogwatch::observe::Tasks::with_capacity(4096, 512);
    let hogs: Vec<[i32; 1]> = (0..200).map(|n| [1000 + n]).collect();
    for (name, hog) in names.iter().zip(&hogs) {
        bench.add_in(name, sized(hog[0], "hog", 900));
    }
    let groups: Vec<(&str, &[i32])> = names.iter().zip(&hogs).map(|(name, hog)| (name.as_str(), &hog[..])).collect();
    let mut world = World::new(bench, LivelockAction::Kill, &groups);
    world.deaf = (1000..1020).collect();
    world.run(60);
    let mut killed: Vec<i32> = world.done.iter().map(|(_, pid, _)| *pid).collect();
    killed.sort_unstable();
    killed.dedup();
    assert_eq!(killed, (1000..1200).collect::<Vec<_>>());
    let mut incidents: Vec<u32> = world.notes.iter().map(|(_, note)| note.incident).collect();
    incidents.sort_unstable();
    incidents.dedup();
    assert_eq!(incidents.len(), 200, "one incident each");
    assert_eq!(world.told(|e| matches!(e, CaseEvent::Moves(_))), 200);
}

#[test]
fn the_inner_cgroup_comes_first_and_may_free_the_outer() {
    let mut bench = Bench::new();
    bench.add_in("/outer/inner", sized(10, "hog", 500));
    bench.add_in("/outer", sized(11, "larger", 800));
    let mut world = World::new(bench, LivelockAction::Kill, &[("/outer", &[10]), ("/outer/inner", &[10])]);
    world.run(60);
    assert_eq!(world.signalled(), [(10, Signal::Term)]);
}

/// A machine of 16 GiB that swaps all the time as long as process 12 lives, with so much of its memory available.
fn thrash_machine(world: &mut World, seconds: u64, available: u64) {
    for _ in 0..seconds {
        let stuck = world.lives(12);
        let n = world.now.as_secs();
        let sample = MachineSample {
            t: world.now + Duration::from_secs(1),
            full_total_us: if stuck { n * 900_000 } else { 2_000_000_000 },
            swapped_in: if stuck { n * 1000 } else { 2_000_000 },
            refault_file: 0,
            steal: if stuck { n * 1000 } else { 2_000_000 },
            steal_own: if stuck { n * 1000 } else { 2_000_000 },
            programs_ms: 0,
            lost_ms: if stuck { n * 900 } else { 2_000_000 },
            mem_total: 16 * GIB,
            available: if stuck { available } else { 8 * GIB },
            swap_total: 4 * GIB,
            swap_free: 2 * GIB,
        };
        world.engine.cases_mut().machine_sampled(&sample, 800 * MIB, 400 * MIB);
        world.run(1);
    }
}

#[test]
fn a_machine_that_thrashes_loses_its_largest_process_once_memory_is_short() {
    let mut world = World::new(incident(), LivelockAction::Kill, &[]);
    thrash_machine(&mut world, 50, GIB + 512 * MIB);
    assert_eq!(world.signalled(), [(12, Signal::Term)]);
    assert_eq!(world.told(|e| matches!(e, CaseEvent::Moves(_))), 1);
    let (first, ..) = world.done[0];
    assert!(first >= Duration::from_secs(1030) && first <= Duration::from_secs(1035), "{first:?}");
}

#[test]
fn a_machine_that_is_only_slow_is_warned_of() {
    let mut world = World::new(incident(), LivelockAction::Kill, &[]);
    thrash_machine(&mut world, 50, GIB + 600 * MIB);
    assert_eq!(world.signalled(), []);
    assert_eq!(world.told(|e| matches!(e, CaseEvent::Found(Plan::Warn(_)))), 1);
    // Then it gets worse.
    thrash_machine(&mut world, 10, GIB);
    assert_eq!(world.signalled(), [(12, Signal::Term)]);
}

/// A cgroup of three children: one at a limit of its own, one large, one that asks for nothing.
fn pressed(target: TargetKind) -> World {
    let mut bench = Bench::new();
    bench.add_in("/app/small", sized(10, "small", 100));
    bench.add_in("/app/large", sized(11, "large", 800));
    bench.add_in("/app/large", sized(12, "helper", 50));
    bench.add_in("/elsewhere", sized(13, "larger", 4000));
    let mut world = World::new(bench, LivelockAction::Kill, &[]);
    let terms = Terms { after: Duration::from_secs(10), thrash_after: Duration::from_secs(30), page_size: 4096 };
    let pressure = PressureTerms { full: 60.0, after: Duration::from_secs(20) };
    for (id, path) in (1..).zip(["/app", "/app/small", "/app/large"]) {
        let pressure = (id == 1).then_some((pressure, target));
        let interest = Interest { livelock: None, pressure, terms };
        assert!(world.engine.cases_mut().watch(id, &CgroupPath::new(path.as_bytes()).unwrap(), &interest));
        world.groups.push(Group { excess: 0, ..Group::new(id, &[11]) });
    }
    world
}

#[test]
fn pressure_for_long_takes_the_largest_of_the_cgroup() {
    let mut world = pressed(TargetKind::Process);
    world.run(60);
    assert_eq!(world.signalled(), [(11, Signal::Term)]);
    let (first, ..) = world.done[0];
    assert!(first >= Duration::from_secs(1020), "not before it has lasted: {first:?}");
}

#[test]
fn pressure_takes_the_worst_child_as_a_whole_where_that_is_asked_for() {
    let mut world = pressed(TargetKind::Cgroup);
    world.run(60);
    assert_eq!(world.members, [vec![11, 12]]);
}

#[test]
fn warn_only_warns_once_a_minute() {
    let mut world = World::new(incident(), LivelockAction::Warn, &[("/band", &[10])]);
    world.run(200);
    assert_eq!(world.signalled(), []);
    assert_eq!(world.told(|e| matches!(e, CaseEvent::Found(Plan::Warn(_)))), 4);
}

#[test]
fn lift_lifts_and_kills_nobody() {
    let mut world = World::new(incident(), LivelockAction::Lift, &[("/band", &[10])]);
    world.run(60);
    assert_eq!((world.signalled(), &world.lifts[..]), (vec![], &[1][..]));
}

#[test]
fn a_dry_run_says_it_once() {
    let mut world = World::new(incident(), LivelockAction::Kill, &[("/band", &[10])]);
    world.dry = true;
    world.run(100);
    assert_eq!(world.signalled(), [(10, Signal::Term)]);
}

#[test]
fn one_that_comes_free_by_itself_costs_nobody() {
    let mut world = World::new(incident(), LivelockAction::Kill, &[("/band", &[10])]);
    world.run(8);
    world.groups[0].above = false;
    world.run(60);
    assert_eq!(world.signalled(), []);
    assert_eq!(world.notes.len(), 0);
}

#[test]
fn a_cgroup_that_vanishes_with_its_victim_is_told_and_forgotten() {
    let mut world = World::new(incident(), LivelockAction::Kill, &[("/band", &[10])]);
    world.run(9);
    while world.done.is_empty() {
        world.tick();
    }
    world.engine.cases_mut().unwatch(1);
    world.run(10);
    assert_eq!(world.signalled(), [(10, Signal::Term)]);
    assert_eq!(world.told(|e| matches!(e, CaseEvent::Exited { freed: None, .. })), 1);
}

#[test]
fn a_cgroup_without_a_limit_is_seen_to_move_again() {
    let mut world = pressed(TargetKind::Process);
    (world.high, world.max) = (Limit::Max, Limit::Max);
    world.run(120);
    assert_eq!(world.signalled(), [(11, Signal::Term)]);
    assert_eq!(world.told(|e| matches!(e, CaseEvent::Exited { .. })), 1);
    assert_eq!(world.told(|e| matches!(e, CaseEvent::Moves(lasted) if *lasted < Duration::from_secs(60))), 1);
    assert!(!world.engine.cases().any_is_open());
}

#[test]
fn one_that_ignores_sigterm_is_killed_in_a_cgroup_without_a_limit() {
    let mut world = pressed(TargetKind::Process);
    (world.high, world.max) = (Limit::Max, Limit::Max);
    world.deaf = vec![11];
    world.run(120);
    assert_eq!(world.signalled(), [(11, Signal::Term), (11, Signal::Kill)]);
    assert!(world.between(0, 1) <= LONGEST_GRACE + TICK);
}

#[test]
fn a_limit_that_is_removed_ends_the_case() {
    let mut world = World::new(incident(), LivelockAction::Kill, &[("/band", &[10]), ("/band/web.service", &[11])]);
    world.groups[1].above = false;
    world.deaf = vec![10];
    world.run(12);
    // the on-call lifts the limits; then the hog ends by itself
    (world.high, world.max) = (Limit::Max, Limit::Max);
    world.run(1);
    world.die(10);
    world.exited |= 1;
    world.run(600);
    assert_eq!(world.engine.cases().doing(1), None);
    assert_eq!(world.told(|e| matches!(e, CaseEvent::Exited { .. })), 1);
}

#[test]
fn what_stalls_less_than_the_limit_after_a_kill_costs_nobody_else() {
    let mut world = pressed(TargetKind::Process);
    world.bench.add_in("/app/a", sized(21, "a", 300));
    world.bench.add_in("/app/b", sized(22, "b", 200));
    world.calm_us = 30_000; // 12 % of the time: limit is 60 %
    world.resample = true;
    world.run(60);
    assert_eq!(world.signalled(), [(11, Signal::Term)]);
}

#[test]
fn a_limit_raised_during_the_grace_is_no_busy_loop() {
    let mut world = World::new(incident(), LivelockAction::Kill, &[("/band", &[10])]);
    world.deaf = vec![10];
    world.resample = true;
    world.run(12);
    world.high = Limit::Bytes(HIGH + HIGH / 100); // raised by 1 %
    let until = world.now + Duration::from_secs(10);
    while world.now < until {
        world.tick();
    }
}

#[test]
fn a_busy_stream_at_the_end_of_the_grace_is_no_busy_loop() {
    let mut world = World::new(incident(), LivelockAction::Kill, &[("/band", &[10])]);
    world.deaf = vec![10];
    world.resample = true;
    world.run(12);
    world.groups[0].above = false; // below the limit, and stalled 20 %: a busy stream
    world.calm_us = 50_000;
    let until = world.now + Duration::from_secs(60);
    while world.now < until {
        world.tick();
    }
}

#[test]
fn nobody_to_be_avoided_dies_for_what_is_only_wished_for() {
    let mut bench = Bench::new();
    bench.config.victim.avoid = patterns(&["^Xorg$"]);
    bench.config.victim.protect = patterns(&["cmdline:^/usr/bin/db"]);
    bench.add_in("/band", sized(10, "hog", 70));
    bench.add_in("/band", sized(11, "Xorg", 12));
    bench.add_in("/band", sized(12, "db", 9));
    let mut world = World::new(bench, LivelockAction::Kill, &[("/band", &[10])]);
    world.groups[0].excess = 60 * MIB;
    world.run(20);
    assert_eq!(world.members, [vec![10]]);
}

#[test]
fn what_many_share_is_not_counted_for_each() {
    let mut bench = Bench::new();
    for pid in 100..140 {
        let mut t = sized(pid, "backend", 2);
        t.shmem = Some(500 * MIB);
        t.rss += 500 * MIB;
        bench.add_in("/band", t);
    }
    let mut world = World::new(bench, LivelockAction::Kill, &[("/band", &[100])]);
    world.groups[0].excess = 100 * MIB;
    world.run(12);
    assert_eq!(world.members.first().map(Vec::len), Some(1));
}

#[test]
fn a_little_growth_makes_nobody_the_hog_beside_a_protected_giant() {
    let mut bench = Bench::new();
    bench.config.victim.protect = patterns(&["^hog$"]);
    bench.add_in("/band", sized(10, "hog", 900));
    bench.add_in("/band", sized(11, "web", 100));
    // as at a restart of the daemon: the first look comes when the hog has settled
    let mut world = World::new(bench, LivelockAction::Kill, &[("/band", &[10])]);
    world.run(3);
    let web = world.bench.tasks.list.iter_mut().find(|t| t.id.pid == 11).unwrap();
    web.anon = web.anon.map(|a| a + 2 * MIB);
    world.run(20);
    assert_eq!((world.signalled(), world.refusals()), (vec![], vec![Refusal::HogSpared]));
}

#[test]
fn pressure_is_acted_on_where_a_stuck_cgroup_is_only_warned_of() {
    let mut world = World::new(incident(), LivelockAction::Warn, &[]);
    let terms = Terms { after: Duration::from_secs(10), thrash_after: Duration::from_secs(30), page_size: 4096 };
    let interest = Interest {
        livelock: Some(Scope { terms, action: LivelockAction::Warn }),
        pressure: Some((PressureTerms { full: 60.0, after: Duration::from_secs(20) }, TargetKind::Process)),
        terms,
    };
    assert!(world.engine.cases_mut().watch(1, &CgroupPath::new(b"/band").unwrap(), &interest));
    world.groups.push(Group::new(1, &[10]));
    world.run(300);
    assert_eq!(world.signalled(), [(10, Signal::Term)]);
}

#[test]
fn warnings_make_room_for_acts() {
    let names: Vec<String> = (0..64).map(|n| format!("/box-{n}")).collect();
    let mut bench = Bench::new();
    let mut groups: Vec<(&str, &[i32])> = Vec::new();
    bench.add_in("/band", sized(10, "hog", 900));
    for name in &names {
        groups.push((name.as_str(), &[10]));
    }
    let mut world = World::new(bench, LivelockAction::Warn, &groups);
    world.run(15);
    let terms = Terms { after: Duration::from_secs(10), thrash_after: Duration::from_secs(30), page_size: 4096 };
    let interest = Interest { livelock: Some(Scope { terms, action: LivelockAction::Kill }), pressure: None, terms };
    assert!(world.engine.cases_mut().watch(999, &CgroupPath::new(b"/band").unwrap(), &interest));
    world.groups.push(Group::new(999, &[10]));
    world.run(300);
    assert_eq!(world.signalled(), [(10, Signal::Term)]);
}

#[test]
fn one_sample_does_not_show_that_it_moves() {
    // pressure kind, stuck all the time, sampled every 1.5 s (many cgroups stir)
    let mut world = pressed(TargetKind::Process);
    world.every = 6;
    for g in &mut world.groups {
        g.because_of = vec![10, 11, 12];
    }
    world.run(60);
    assert_eq!(world.signalled().len(), 3);
    let incidents: Vec<_> = world.notes.iter().map(|(_, note)| note.incident).collect();
    assert!(incidents.iter().all(|n| *n == 1), "{incidents:?}");
}

fn again_with(world: &mut World, action: LivelockAction) {
    let terms = Terms { after: Duration::from_secs(10), thrash_after: Duration::from_secs(30), page_size: 4096 };
    let interest = Interest { livelock: Some(Scope { terms, action }), pressure: None, terms };
    assert!(world.engine.cases_mut().watch(1, &CgroupPath::new(b"/band").unwrap(), &interest));
}

#[test]
fn an_open_case_is_acted_on_once_the_configuration_says_so() {
    let mut world = World::new(incident(), LivelockAction::Warn, &[("/band", &[10])]);
    world.run(20);
    again_with(&mut world, LivelockAction::Kill);
    world.run(600);
    assert_eq!(world.signalled(), [(10, Signal::Term)]);
}

#[test]
fn an_open_case_is_left_alone_once_the_configuration_says_so() {
    let mut bench = Bench::new();
    bench.add_in("/band", sized(10, "hog", 900));
    let mut world = World::new(bench, LivelockAction::Kill, &[("/band", &[10])]);
    world.reborn = Some("hog");
    world.run(12);
    again_with(&mut world, LivelockAction::Warn);
    world.run(180);
    assert_eq!(world.signalled(), [(10, Signal::Term)]);
}

#[test]
fn one_who_is_perhaps_protected_is_waited_for_a_second() {
    let mut bench = Bench::new();
    bench.config.victim.protect = patterns(&["cmdline:^/usr/bin/db"]);
    bench.add_in("/band", sized(10, "db", 900));
    bench.add_in("/band", sized(11, "web", 50));
    let mut world = World::new(bench, LivelockAction::Kill, &[("/band", &[10])]);
    world.run(12);
    assert_eq!(world.members, [vec![10]]);
    let (when, ..) = world.done[0];
    assert!(when >= Duration::from_millis(1_011_250), "{when:?}");
}

#[test]
fn a_group_that_is_left_alone_after_a_reload_keeps_no_other_waiting() {
    let mut bench = Bench::new();
    for pid in 100..120 {
        bench.add_in("/band", sized(pid, "worker", 10));
        bench.add_in("/other", sized(pid + 100, "worker", 10));
    }
    let mut world = World::new(bench, LivelockAction::Kill, &[("/band", &[100]), ("/other", &[200])]);
    for group in &mut world.groups {
        group.excess = 35 * MIB;
    }
    // One group at a time: the other's case waits.
    world.deaf = (100..120).collect();
    world.run(12);
    assert_eq!(world.members, [(100..106).collect::<Vec<_>>()]);
    again_with(&mut world, LivelockAction::Warn);
    world.run(30);
    assert_eq!(world.members, [(100..106).collect::<Vec<_>>(), (200..206).collect()]);
}
