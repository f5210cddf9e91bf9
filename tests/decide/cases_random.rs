//! Random stuck cgroups with random processes in them: whatever happens, nobody is hit who must not be, and whoever can be
//! freed is freed. A failing seed is printed and reproduces.

use std::collections::BTreeMap;
use std::time::Duration;

use hogwatch::config::LivelockAction;
use hogwatch::decide::cases::{CaseEvent, LONGEST_GRACE};
use hogwatch::decide::{PAUSE, Signal};
use hogwatch::observe::Task;

use crate::bench::{Bench, MIB, patterns};
use crate::cases::{World, sized};

/// xorshift64*: enough to vary a test.
struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Ordinary,
    /// Ignores SIGTERM.
    Deaf,
    /// Nothing ends it.
    Undead,
    Protected,
    NeverKill,
}

#[derive(Debug)]
struct Plan {
    paths: Vec<String>,
    /// Where each process lives, and of what kind it is.
    who: BTreeMap<i32, (usize, Kind)>,
    hogs: Vec<Vec<i32>>,
}

fn plan(rng: &mut Rng, bench: &mut Bench) -> Plan {
    bench.config.victim.protect = patterns(&["^keep"]);
    let mut plan = Plan { paths: Vec::new(), who: BTreeMap::new(), hogs: Vec::new() };
    let mut pid = 1000;
    for at in 0..1 + usize::try_from(rng.below(10)).unwrap() {
        // Some lie within an earlier one.
        let parent = plan.paths.get(usize::try_from(rng.below(30)).unwrap()).cloned().unwrap_or_default();
        let path = format!("{parent}/g{at}");
        let mut hogs = Vec::new();
        for _ in 0..1 + rng.below(6) {
            pid += 1;
            let kind = match rng.below(12) {
                0 => Kind::Deaf,
                1 => Kind::Undead,
                2 => Kind::Protected,
                3 => Kind::NeverKill,
                _ => Kind::Ordinary,
            };
            let name = if kind == Kind::Protected { "keep" } else { "task" };
            let mut task: Task = sized(pid, name, 5 + rng.below(900));
            if kind == Kind::NeverKill {
                task.oom_score_adj = Some(-1000);
            }
            bench.add_in(&path, task);
            plan.who.insert(pid, (at, kind));
            if hogs.is_empty() || rng.one_in(3) {
                hogs.push(pid);
            }
        }
        plan.paths.push(path);
        plan.hogs.push(hogs);
    }
    // Somebody large whom all this is none of the business of.
    bench.add_in("/elsewhere", sized(5000, "task", 6000));
    plan
}

fn run(seed: u64) {
    let mut rng = Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut bench = Bench::new();
    let plan = plan(&mut rng, &mut bench);
    let groups: Vec<(&str, &[i32])> =
        plan.paths.iter().zip(&plan.hogs).map(|(path, hogs)| (path.as_str(), &hogs[..])).collect();
    let of_kind = |wanted| plan.who.iter().filter(move |(_, (_, kind))| *kind == wanted).map(|(pid, _)| *pid);
    let mut world = World::new(bench, LivelockAction::Kill, &groups);
    world.deaf = of_kind(Kind::Deaf).collect();
    world.undead = of_kind(Kind::Undead).collect();
    for group in &mut world.groups {
        group.excess = (5 + rng.below(60)) * MIB;
    }

    let end = world.now + Duration::from_secs(200);
    let mut told = 0;
    while world.now < end {
        // Now and then one comes free by itself, gets stuck again, or is removed.
        if rng.one_in(200) {
            let at = usize::try_from(rng.below(world.groups.len() as u64)).unwrap();
            world.groups[at].above ^= true;
        }
        if rng.one_in(2000) {
            let at = usize::try_from(rng.below(world.groups.len() as u64)).unwrap();
            world.engine.cases_mut().unwatch(world.groups[at].id);
            world.groups[at].above = false;
        }
        let stuck: Vec<usize> = (0..world.groups.len()).filter(|at| is_stuck(&world, *at)).collect();
        world.tick();
        for at in told..world.done.len() {
            let (when, first, signal) = world.done[at];
            for pid in &world.members[at] {
                let (home, kind) = plan.who.get(pid).unwrap_or_else(|| panic!("seed {seed}: {pid} is none of theirs"));
                assert!(!matches!(kind, Kind::Protected | Kind::NeverKill), "seed {seed}: {pid} is {kind:?}");
                let home = &plan.paths[*home];
                let for_whom = stuck.iter().any(|at| home.starts_with(plan.paths[*at].as_str()));
                assert!(for_whom, "seed {seed}: at {when:?} {pid} in {home} was signalled and nothing there is stuck");
            }
            if signal == Signal::Kill {
                let asked = world.done[..at].iter().rev().find(|(_, pid, s)| *pid == first && *s == Signal::Term);
                let (asked, ..) = asked.unwrap_or_else(|| panic!("seed {seed}: {first} was not asked before"));
                let given = when.saturating_sub(*asked);
                assert!(given >= LONGEST_GRACE, "seed {seed}: {first} was given {given:?}");
            }
        }
        told = world.done.len();
    }

    // Nobody is asked twice within the time that a refusal holds.
    for (at, (when, pid, signal)) in world.done.iter().enumerate() {
        let again = world.done[at + 1..].iter().find(|(_, p, s)| p == pid && s == signal);
        assert!(
            again.is_none_or(|(then, ..)| then.saturating_sub(*when) >= PAUSE),
            "seed {seed}: {pid} got {signal:?} twice"
        );
    }
    // What is stuck still had a reason to be: a refusal, or somebody that nothing ends.
    for at in 0..world.groups.len() {
        let refused = world.notes.iter().any(|(when, note)| {
            *when + PAUSE * 2 >= end
                && note.path.as_bytes() == plan.paths[at].as_bytes()
                && matches!(note.event, CaseEvent::Refused(..) | CaseEvent::SetAside(_) | CaseEvent::Found(_))
        });
        let inner_refused = (0..world.groups.len()).any(|other| plan.paths[other].starts_with(plan.paths[at].as_str()));
        let changed = world.now.saturating_sub(Duration::from_secs(40));
        let fresh = world
            .notes
            .iter()
            .any(|(when, note)| *when >= changed && note.path.as_bytes() == plan.paths[at].as_bytes());
        assert!(
            !is_stuck(&world, at) || refused || inner_refused || fresh,
            "seed {seed}: {} was left stuck",
            plan.paths[at]
        );
    }
}

fn is_stuck(world: &World, at: usize) -> bool {
    let group = &world.groups[at];
    group.above && group.because_of.iter().any(|pid| world.lives(*pid))
}

#[test]
fn nobody_is_hit_who_must_not_be() {
    for seed in 1..=150 {
        run(seed);
    }
}
