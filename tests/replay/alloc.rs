//! The livelock guard decides without allocating: it works when there may be no memory to be had.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use hogwatch::config::{Config, LivelockAction};
use hogwatch::decide::cases::{CaseStep, Interest};
use hogwatch::decide::livelock::Scope;
use hogwatch::decide::rules::Rules;
use hogwatch::decide::victim::Own;
use hogwatch::decide::{Engine, Outcome};
use hogwatch::observe::cgroups::CgroupPath;
use hogwatch::observe::parse::State;
use hogwatch::observe::{Comm, Machine, Observation, Task, TaskId, Tasks};

use crate::simulate::{Now, TERMS, livelock, samples};

thread_local! {
    /// Allocations of this thread: other tests allocate on theirs.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

fn count() {
    // Fails only while the thread ends; nothing is measured then.
    let _ = ALLOCATIONS.try_with(|allocations| allocations.set(allocations.get() + 1));
}

// SAFETY: every call is passed on unchanged to the system's allocator; counting touches a `Cell` of this thread that
// needs no allocation and no destructor.
#[allow(unsafe_code, reason = "a global allocator cannot be written without")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, and the pointer came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `realloc`, and the pointer came from `System`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// A process that is all of a cgroup.
fn hog() -> Task {
    Task {
        id: TaskId { pid: 10, start_time: 10 },
        ppid: 1,
        comm: Comm::new(b"hog"),
        uid: Some(1000),
        state: State::Sleeping,
        threads: 1,
        dying: false,
        kernel: false,
        rss: 4 << 30,
        anon: Some(4 << 30),
        shmem: Some(0),
        swap: Some(0),
        oom_score: Some(0),
        oom_score_adj: Some(0),
        cgroup: None,
    }
}

#[test]
fn nothing_is_allocated_from_the_first_sample_to_the_signal() {
    let stuck = samples(livelock, 0.25, 40.0);
    let idle = samples(|_| Now::default(), 0.25, 40.0);
    let config = Config::default();
    let rules = Rules::new(&config.victim, Vec::new()).unwrap();
    let mut engine = Engine::new(&config, rules, Own { pid: 700, uid: 0, may_signal_others: true });
    let mut tasks = Tasks::with_capacity(16, 16);
    let path = CgroupPath::new(b"/band").unwrap();
    let cgroup = tasks.cgroups.intern(b"/band");
    tasks.keep(Task { cgroup, ..hog() });
    engine.reserve(&tasks);
    engine.cases_mut().make_room();
    let scope = Scope { terms: TERMS, action: LivelockAction::Kill };
    let interest = Interest { livelock: Some(scope), pressure: None, terms: TERMS };
    let machine = Machine::default();

    ALLOCATIONS.set(0);
    drop(std::hint::black_box(vec![1]));
    assert_eq!(ALLOCATIONS.get(), 1, "the counter counts");
    let mut victims = 0;
    for (n, (stuck, idle)) in stuck.iter().zip(&idle).enumerate() {
        let cases = engine.cases_mut();
        assert!(cases.watch(7, &path, &interest));
        cases.sampled(7, stuck);
        // Others come and go.
        let other = 100 + n as u64 % 9;
        assert!(cases.watch(other, &path, &interest));
        cases.sampled(other, idle);
        cases.unwatch(100 + n as u64 % 5);
        let mut looked = false;
        loop {
            let tasks = looked.then_some(&tasks);
            let obs = Observation { machine: &machine, enclosing: &[], victim_exited: false, tasks, details: None };
            match engine.step_cases(&obs, 0, stuck.t) {
                CaseStep::Look(_) => looked = true,
                CaseStep::Act(place, act) => {
                    victims += 1;
                    engine.cases_mut().acted(place, &act, Outcome::Sent, stuck.t);
                }
                CaseStep::Wait(_) | CaseStep::Lift(_) => break,
            }
        }
    }
    // SIGTERM, and SIGKILL because nobody said that it exited.
    assert_eq!((ALLOCATIONS.get(), victims >= 2), (1, true), "{victims}");
}
