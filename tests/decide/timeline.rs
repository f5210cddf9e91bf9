//! What happens when: scripts of a shortage, read from top to bottom.

use std::time::Duration;

use hogwatch::config::Config;
use hogwatch::decide::rules::Rules;
use hogwatch::decide::victim::Refusal;
use hogwatch::decide::{Act, Because, Engine, Note, Outcome, Signal, Step};
use hogwatch::observe::{Enclosing, Machine, Observation, Task, TaskId, Tasks};

use crate::bench::{Bench, GIB, MIB, OWN, limit, machine, task, with_swap};

const SECOND: u64 = 1000;
/// Thresholds of the 16 GiB machine: term 819 MiB, kill 491 MiB.
const CALM: u64 = 8 * GIB;
const TERM: u64 = 700 * MIB;
const KILL: u64 = 400 * MIB;

/// An engine in the loop's place: every step is at a millisecond with so much available.
struct Play {
    engine: Engine,
    tasks: Tasks,
    machine: Machine,
    enclosing: Vec<Enclosing>,
    exited: bool,
    notes: Vec<Note>,
}

impl Play {
    fn new(config: &Config, tasks: &[Task]) -> Self {
        let rules = Rules::new(&config.victim, Vec::new()).unwrap();
        let mut bench = Bench::new();
        for task in tasks {
            bench.add_in("/work", *task);
        }
        let mut engine = Engine::new(config, rules, OWN);
        engine.reserve(&bench.tasks);
        let machine = machine(CALM);
        Self { engine, tasks: bench.tasks, machine, enclosing: Vec::new(), exited: false, notes: Vec::new() }
    }

    /// With the defaults, and three processes: 10 of 4 GiB, 11 of 2 GiB, 12 of 1 GiB.
    fn usual() -> Self {
        let sized = |pid, anon| Task { anon: Some(anon), rss: anon, ..task(pid, "hog") };
        Self::new(&Config::default(), &[sized(10, 4 * GIB), sized(11, 2 * GIB), sized(12, GIB)])
    }

    fn set(&mut self, available: u64) {
        self.machine.meminfo.mem_available = Some(available);
    }

    fn step(&mut self, ms: u64) -> Step {
        self.notes.clear();
        // A look, one at everybody, and the same for another scope.
        for looks in 0..5 {
            let obs = Observation {
                machine: &self.machine,
                enclosing: &self.enclosing,
                victim_exited: self.exited,
                tasks: (looks > 0).then_some(&self.tasks),
                details: None,
            };
            let decision = self.engine.step(&obs, Duration::from_millis(ms));
            self.notes.extend(self.engine.notes());
            if !matches!(decision.step, Step::Look(_)) {
                return decision.step;
            }
        }
        panic!("at {ms} ms: looks again and again");
    }

    /// At this time, with so much available, nothing is done.
    #[track_caller]
    fn quiet(&mut self, ms: u64, available: u64) {
        self.set(available);
        let step = self.step(ms);
        assert!(matches!(step, Step::Wait(_)), "at {ms} ms: {step:?}");
    }

    /// At this time, with so much available, this is decided.
    #[track_caller]
    fn decides(&mut self, ms: u64, available: u64, pid: i32, signal: Signal) -> Act {
        self.set(available);
        match self.step(ms) {
            Step::Act(act) => {
                assert_eq!((act.victim.id.pid, act.signal), (pid, signal), "at {ms} ms");
                act
            }
            other => panic!("at {ms} ms: {other:?}"),
        }
    }

    /// As [`Play::decides`], and it is done.
    #[track_caller]
    fn acts(&mut self, ms: u64, available: u64, pid: i32, signal: Signal) -> Because {
        let act = self.decides(ms, available, pid, signal);
        self.exited = false;
        self.engine.acted(&act, Outcome::Sent, Duration::from_millis(ms));
        act.because
    }

    /// The victim is gone from the machine, and its exit is known.
    fn dies(&mut self, pid: i32) {
        self.tasks.list.retain(|t| t.id.pid != pid);
        self.exited = true;
    }

    fn refused(&self) -> Option<Refusal> {
        self.notes.iter().find_map(|n| if let Note::Refused(why, ..) = n { Some(*why) } else { None })
    }

    fn set_aside(&self) -> Option<TaskId> {
        self.notes.iter().find_map(|n| if let Note::SetAside { victim, .. } = n { Some(victim.id) } else { None })
    }

    /// Whether an exit was noted, and how much came back.
    fn freed(&self) -> Option<u64> {
        self.notes.iter().find_map(|n| if let Note::Exited { freed, .. } = n { Some(*freed) } else { None })
    }
}

#[test]
fn sigterm_and_it_goes() {
    let mut play = Play::usual();
    play.quiet(0, CALM);
    assert_eq!(play.acts(1000, TERM, 10, Signal::Term), Because::AtTerm);
    assert!(play.notes.iter().any(|n| matches!(n, Note::Warn(_))));
    play.quiet(1010, TERM);
    play.dies(10);
    play.quiet(1500, TERM + GIB);
    assert_eq!(play.freed(), None, "a quarter is back");
    play.quiet(1600, TERM + 4 * GIB);
    assert_eq!(play.freed(), Some(4 * GIB));
    play.quiet(2000, TERM + 4 * GIB);
    assert_eq!(play.engine.episode(), None, "well above warn");
}

#[test]
fn sigkill_at_once_at_the_kill_level() {
    let mut play = Play::usual();
    assert_eq!(play.acts(0, KILL, 10, Signal::Kill), Because::AtKill);
}

#[test]
fn sigkill_when_memory_falls_on_to_kill() {
    let mut play = Play::usual();
    play.acts(0, TERM, 10, Signal::Term);
    play.quiet(50, TERM - MIB);
    assert_eq!(play.acts(60, KILL, 10, Signal::Kill), Because::AtKill);
}

#[test]
fn sigkill_when_grace_is_over() {
    let mut play = Play::usual();
    play.acts(0, TERM, 10, Signal::Term);
    play.quiet(9999, TERM);
    let because = play.acts(10 * SECOND, TERM, 10, Signal::Kill);
    assert_eq!(because, Because::GraceOver(Duration::from_secs(10)));
}

#[test]
fn memory_that_came_back_spares_the_victim_once() {
    let mut play = Play::usual();
    play.acts(0, TERM, 10, Signal::Term);
    play.quiet(10 * SECOND, 2 * GIB);
    assert!(play.notes.iter().any(|n| matches!(n, Note::Spared { .. })));
    // It has been asked already.
    let because = play.acts(60 * SECOND, TERM, 10, Signal::Kill);
    assert_eq!(because, Because::GraceOver(Duration::from_secs(60)));
}

#[test]
fn after_five_minutes_it_is_asked_again() {
    let mut play = Play::usual();
    play.acts(0, TERM, 10, Signal::Term);
    play.quiet(10 * SECOND, 2 * GIB);
    play.acts(400 * SECOND, TERM, 10, Signal::Term);
    play.quiet(410 * SECOND, 2 * GIB);
    play.acts(500 * SECOND, TERM, 10, Signal::Kill);
}

#[test]
fn a_victim_that_does_not_die_is_set_aside_and_the_next_is_taken() {
    let mut play = Play::usual();
    play.acts(0, KILL, 10, Signal::Kill);
    play.quiet(2999, KILL);
    play.acts(3000, KILL, 11, Signal::Kill);
    assert_eq!(play.set_aside().map(|id| id.pid), Some(10));
}

#[test]
fn nobody_else_dies_while_memory_comes_back() {
    let mut play = Play::usual();
    play.acts(0, KILL, 10, Signal::Kill);
    play.dies(10);
    play.quiet(100, KILL);
    play.quiet(3099, KILL + 10 * MIB);
    assert_eq!(play.freed(), None);
    play.acts(3100, KILL + 10 * MIB, 11, Signal::Kill);
    assert_eq!(play.freed(), Some(10 * MIB));
}

#[test]
fn swap_that_comes_back_is_memory_that_comes_back() {
    let mut play = Play::usual();
    play.tasks.list[0].swap = Some(3 * GIB);
    play.tasks.list[0].anon = Some(GIB);
    play.machine = with_swap(KILL, 4 * GIB, 0);
    play.acts(0, KILL, 10, Signal::Kill);
    play.dies(10);
    play.machine = with_swap(KILL, 4 * GIB, 3 * GIB);
    play.quiet(100, KILL);
    // More than 80 % of its 4 GiB, though little of it is in memory.
    play.acts(110, KILL + 250 * MIB, 11, Signal::Term);
    assert_eq!(play.freed(), Some(3 * GIB + 250 * MIB));
}

#[test]
fn it_does_not_wait_for_what_is_not_missed() {
    let mut play = Play::usual();
    play.acts(0, TERM, 10, Signal::Term);
    play.dies(10);
    play.quiet(100, TERM + 500 * MIB);
    play.quiet(399, TERM + 500 * MIB);
    assert_eq!(play.freed(), None);
    play.quiet(400, TERM + 500 * MIB);
    assert_eq!(play.freed(), Some(500 * MIB), "300 ms without growth, above term");
}

#[test]
fn after_three_kills_without_gain_it_gives_up_for_a_minute() {
    let mut play = Play::usual();
    for (n, pid) in [(0, 10), (1, 11), (2, 12)] {
        play.acts(n * 4000, KILL, pid, Signal::Kill);
        play.dies(pid);
        play.quiet(n * 4000 + 10, KILL);
        if n < 2 {
            play.set(KILL);
            continue;
        }
        play.tasks.list.push(task(13, "hog"));
        play.quiet(n * 4000 + 3010, KILL);
        assert_eq!(play.refused(), Some(Refusal::NoGain));
        play.exited = false;
        play.quiet(n * 4000 + 63_009, KILL);
        play.acts(n * 4000 + 63_010, KILL, 13, Signal::Kill);
    }
}

#[test]
fn victims_that_never_die_are_kills_without_gain_too() {
    let mut play = Play::usual();
    play.acts(0, KILL, 10, Signal::Kill);
    play.acts(3000, KILL, 11, Signal::Kill);
    play.acts(6000, KILL, 12, Signal::Kill);
    play.tasks.list.push(task(13, "hog"));
    play.quiet(9000, KILL);
    assert_eq!(play.refused(), Some(Refusal::NoGain));
}

#[test]
fn a_victim_that_went_by_itself_is_nobodys_kill() {
    let mut play = Play::usual();
    let act = play.decides(0, KILL, 10, Signal::Kill);
    play.engine.acted(&act, Outcome::Gone, Duration::ZERO);
    play.tasks.list.remove(0);
    play.quiet(10, KILL);
    play.quiet(20, KILL + 4 * GIB);
    let note = play.notes.iter().find(|n| matches!(n, Note::Exited { after: None, .. }));
    assert!(note.is_some(), "{:?}", play.notes);
}

#[test]
fn memory_that_came_back_before_the_signal_saves_the_victim() {
    let mut play = Play::usual();
    let act = play.decides(0, KILL, 10, Signal::Kill);
    play.set(TERM);
    let obs = Observation { machine: &play.machine, enclosing: &[], victim_exited: false, tasks: None, details: None };
    assert!(!play.engine.still_holds(&act, &obs), "for SIGKILL at the kill level, term is not enough");
    play.engine.acted(&act, Outcome::Recovered, Duration::ZERO);
    play.acts(1, TERM, 10, Signal::Term);
}

#[test]
fn a_sigkill_that_was_not_needed_leaves_the_sigterm_standing() {
    let mut play = Play::usual();
    play.acts(0, TERM, 10, Signal::Term);
    let act = play.decides(100, KILL, 10, Signal::Kill);
    play.engine.acted(&act, Outcome::Recovered, Duration::from_millis(100));
    play.quiet(101, TERM);
    assert_eq!(play.engine.victim().map(|v| v.id.pid), Some(10));
    play.acts(10 * SECOND, TERM, 10, Signal::Kill);
}

#[test]
fn who_can_t_be_signalled_is_set_aside_and_four_in_a_row_are_enough_for_now() {
    let hogs: Vec<Task> = (10..20).map(|pid| task(pid, "hog")).collect();
    let mut play = Play::new(&Config::default(), &hogs);
    for pid in 10..14 {
        let act = play.decides(5, KILL, pid, Signal::Kill);
        play.engine.acted(&act, Outcome::Failed, Duration::from_millis(5));
    }
    play.quiet(6, KILL);
    play.acts(1005, KILL, 14, Signal::Kill);
}

#[test]
fn a_refusal_is_said_once_and_pauses() {
    let mut play = Play::usual();
    play.tasks.list.truncate(0);
    play.tasks.list.push(Task { anon: Some(100 * MIB), ..task(10, "hog") });
    play.quiet(0, KILL);
    assert!(matches!(play.refused(), Some(Refusal::WouldNotSuffice { .. })));
    play.tasks.list.push(Task { anon: Some(4 * GIB), ..task(11, "hog") });
    play.quiet(30 * SECOND, KILL);
    assert_eq!(play.refused(), None);
    play.acts(60 * SECOND, KILL, 11, Signal::Kill);
}

#[test]
fn a_limit_that_cannot_be_helped_does_not_keep_the_machine_from_help() {
    let mut play = Play::usual();
    play.enclosing = vec![limit("/box", GIB, GIB)];
    // Nobody lives in the box: tmpfs fills it.
    play.quiet(0, CALM);
    assert_eq!(play.refused(), Some(Refusal::NobodyEligible));
    play.acts(500, KILL, 10, Signal::Kill);
}

#[test]
fn a_dry_run_says_what_it_would_do_once_a_shortage() {
    let mut play = Play::usual();
    let act = play.decides(0, TERM, 10, Signal::Term);
    play.engine.acted(&act, Outcome::Pretended, Duration::ZERO);
    play.quiet(20 * SECOND, KILL);
    play.quiet(40 * SECOND, CALM);
    play.decides(50 * SECOND, TERM, 10, Signal::Term);
}

#[test]
fn a_reload_keeps_the_victim_and_takes_the_new_grace() {
    let mut play = Play::usual();
    play.acts(0, TERM, 10, Signal::Term);
    let mut config = Config::default();
    config.escalation.grace = Duration::from_secs(2);
    let rules = Rules::new(&config.victim, Vec::new()).unwrap();
    drop(play.engine.reconfigure(&config, rules));
    play.quiet(1999, TERM);
    play.acts(2000, TERM, 10, Signal::Kill);
}
