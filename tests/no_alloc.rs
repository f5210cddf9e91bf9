//! After start-up, observe → decide → act allocates nothing: the real readers, engine and actor on a fixture tree of 2,000
//! processes, with an allocator that counts.
//!
//! Nobody is signalled: the processes of the tree have numbers above the kernel's own limit (`PID_MAX_LIMIT`, 4,194,304 on
//! 64 bits), so that kill(2) finds nobody (`ESRCH`). The engine is told every other time that the signal was sent, so that
//! it also waits, escalates and sets aside.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use hogwatch::act::{Actor, Aim};
use hogwatch::config::{Config, Order, Pattern, TargetKind};
use hogwatch::decide::livelock::{MachineDetector, MachineSample};
use hogwatch::decide::rules::Rules;
use hogwatch::decide::victim::Own;
use hogwatch::decide::{Act, Engine, Outcome, Step};
use hogwatch::host::process::Missing;
use hogwatch::host::{Host, Roots};
use hogwatch::observe::details::{Detail, Details};
use hogwatch::observe::limits::{EnclosingReader, Hierarchy};
use hogwatch::observe::machine::MachineReader;
use hogwatch::observe::parse::State;
use hogwatch::observe::scan::Scanner;
use hogwatch::observe::tops::{Sums, largest};
use hogwatch::observe::{Cgroups, Comm, Depth, Faults, Need, Observation, Task, TaskId, Tasks};
use hogwatch::report::incident::evidence::{self, Evidence, KernelOom};
use hogwatch::report::incident::schema::CgroupSample;
use hogwatch::report::incident::schema::KernelReport;
use hogwatch::report::recorder::{Anchor, LARGEST, Measured, Ranked, Top};
use hogwatch::report::{Event, EventKind, Recorder};

thread_local! {
    static ARMED: Cell<bool> = const { Cell::new(false) };
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// Counts what this thread asks for while it is armed.
struct Counting;

fn count() {
    // Fails only while the thread ends; nothing is measured then.
    if ARMED.try_with(Cell::get) == Ok(true) {
        let _ = ALLOCATIONS.try_with(|n| n.set(n.get() + 1));
    }
}

// SAFETY: every call is passed on unchanged to the system's allocator; counting touches `Cell`s of this thread that need
// no allocation and no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count();
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
static ALLOCATOR: Counting = Counting;

/// Runs `f` and counts what it allocates or frees.
fn counted<T>(f: impl FnOnce() -> T) -> T {
    ARMED.set(true);
    let result = f();
    ARMED.set(false);
    result
}

const PROCESSES: i32 = 2000;
/// The first number: no kernel gives one as high.
const FIRST: i32 = 5_000_000;
/// Steps of the engine for each configuration.
const STEPS: u64 = 5000;
/// MemTotal, in KiB.
const TOTAL: u64 = 16 << 20;

/// How far back the recorder reaches.
const RECORDED: Duration = Duration::from_secs(600);

/// Steps from one shortage to the next.
const COURSE: u64 = 45;

/// Available memory in percent at a step: mostly calm, now and then at `warn`, `term` and `kill`.
fn available(step: u64) -> u64 {
    match step % COURSE {
        30 => 9,
        31..36 => 4,
        36..40 => 2,
        _ => 60,
    }
}

struct Fixture {
    host: Host,
    meminfo: File,
    pressure: File,
}

impl Fixture {
    fn build(root: &Path) -> Self {
        let write = |path: String, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("sys/fs/cgroup/cgroup.controllers".into(), "cpu memory\n");
        for (cgroup, max) in [("box", "8589934592\n"), ("box/guard", "max\n")] {
            for (file, text) in [
                ("max", max),
                ("current", "1073741824\n"),
                ("swap.max", "max\n"),
                ("swap.current", "0\n"),
                ("stat", "anon 1\nfile 1\n"),
            ] {
                write(format!("sys/fs/cgroup/{cgroup}/memory.{file}"), text);
            }
        }
        for n in 0..40 {
            let group = if n % 10 == 3 { "1\n" } else { "0\n" };
            write(format!("sys/fs/cgroup/app.slice/unit{n}.service/memory.oom.group"), group);
            write(format!("sys/fs/cgroup/app.slice/unit{n}.service/cgroup.kill"), "");
            write(format!("sys/fs/cgroup/app.slice/unit{n}.service/cgroup.events"), "populated 1\nfrozen 0\n");
        }
        write("proc/self/cgroup".into(), "0::/box/guard\n");
        write("proc/meminfo".into(), "");
        write("proc/vmstat".into(), include_str!("fixtures/parsers/linux-6.18/vmstat"));
        write("proc/stat".into(), include_str!("fixtures/parsers/linux-6.18/proc_stat"));
        write("proc/pressure/memory".into(), "");
        for n in 0..PROCESSES {
            let pid = FIRST + n;
            // In the last ten units nobody must live, so that they can be victims whole.
            let common = n % 40 < 30;
            let names = ["python3", "sshd", "java", "precious-db", "a (b) c", "node"];
            let name = if common { names[usize::try_from(n).unwrap() % names.len()] } else { "cc1plus" };
            let large = 200_000 + u64::try_from(n).unwrap() + if common { 0 } else { 100_000 };
            let anon = if n % 41 == 0 { large } else { 3000 };
            let stat = format!(
                "{pid} ({name}) S 1 {pid} {pid} 0 -1 4194304 100 0 0 0 10 5 0 0 20 0 1 0 {} {} {} 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
                1000 + n,
                (anon + 50_000) * 1024,
                anon / 4,
            );
            let uid = [0, 33, 1000, 1001][usize::try_from(n).unwrap() % 4];
            let status = format!(
                "Name:\t{name}\nState:\tS (sleeping)\nTgid:\t{pid}\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\nVmRSS:\t{anon} kB\nRssAnon:\t{anon} kB\nRssFile:\t100 kB\nRssShmem:\t{} kB\nVmSwap:\t10 kB\nThreads:\t1\n",
                n % 7,
            );
            write(format!("proc/{pid}/stat"), &stat);
            write(format!("proc/{pid}/status"), &status);
            write(format!("proc/{pid}/oom_score"), "700\n");
            write(format!("proc/{pid}/oom_score_adj"), if common && n % 97 == 0 { "-1000\n" } else { "0\n" });
            write(format!("proc/{pid}/cgroup"), &format!("0::/app.slice/unit{}.service\n", n % 40));
        }
        let open = |path: &str| File::options().write(true).open(root.join(path)).unwrap();
        let (meminfo, pressure) = (open("proc/meminfo"), open("proc/pressure/memory"));
        let fixture = |host| Self { host, meminfo, pressure };
        let roots = Roots { proc: root.join("proc"), sys: root.join("sys") };
        // What is read first must be there at the opening.
        let text = |f: &File| f.write_all_at(b"some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n", 0).unwrap();
        let built = fixture(Host::open(&roots).unwrap());
        text(&built.pressure);
        built
    }

    /// Sets the machine's memory, and lets stalls go on.
    fn set(&self, available: u64, step: u64) {
        let meminfo = format!(
            "MemTotal:       {TOTAL:>12} kB\nMemFree:        {:>12} kB\nMemAvailable:   {:>12} kB\nAnonPages:      {:>12} kB\nSwapTotal:           1048576 kB\nSwapFree:            1000000 kB\n",
            TOTAL / 200,
            TOTAL / 100 * available,
            TOTAL / 2
        );
        self.meminfo.write_all_at(meminfo.as_bytes(), 0).unwrap();
        let line = |kind: &str| format!("{kind} avg10=1.00 avg60=0.50 avg300=0.10 total={:0>12}\n", step * 1000);
        self.pressure.write_all_at((line("some") + &line("full")).as_bytes(), 0).unwrap();
    }
}

fn config(order: Order, target: TargetKind) -> Config {
    let list = |texts: &[&str]| texts.iter().map(|t| Pattern::parse(t).unwrap()).collect();
    let mut config = Config::default();
    let mut protect = vec!["precious", "cgroup:/unit7[.]service$", "user:^alice$"];
    // What was not read may be protected, which spares every group.
    if target == TargetKind::Process {
        protect.extend(["cmdline:--keep[= ]", "exe:/keep/"]);
    }
    config.victim.protect = list(&protect);
    config.victim.avoid = list(&["^node$", "unit:^unit9[.]service$"]);
    config.victim.prefer = list(&["^a [(]b[)] c$", "cmdline:(^| )--batch( |$)"]);
    config.victim.order = order;
    config.victim.target = target;
    config
}

/// What happened, so that a run in which nothing did is noticed.
#[derive(Debug, Default)]
struct Happened {
    scans: u64,
    samples: u64,
    acts: u64,
    fired: u64,
    groups: u64,
    notes: usize,
    recorded: usize,
}

fn run(fixture: &Fixture, config: &Config, happened: &mut Happened) {
    let host = &fixture.host;
    let hierarchy = Hierarchy::of(host);
    let mut faults = Faults::default();
    fixture.set(60, 0);
    let reader = MachineReader::open(host).unwrap();
    let mut enclosing = EnclosingReader::open(host, hierarchy, false);
    let mut scanner = Scanner::new(hierarchy);
    let mut actor = Actor::new(hierarchy, Missing { pidfd: true, mrelease: true });
    let users = vec![(1001, b"alice".to_vec().into_boxed_slice())];
    let own = Own { pid: FIRST + PROCESSES, uid: 0, may_signal_others: true };
    let mut engine = Engine::new(config, Rules::new(&config.victim, users).unwrap(), own);
    // The rehearsal, as the daemon's.
    for _ in 0..2 {
        scanner.scan(host, Need { depth: Depth::All, oom_score: true }, 0, &mut faults);
        scanner.grow();
        engine.reserve(scanner.tasks());
    }
    // The first scan, into a small table, overflows.
    faults = Faults::default();
    let mut details = Details::new();
    for task in scanner.largest(|_, _| true).iter().take(40) {
        let cmdline: &[u8] = if task.id.pid % 3 == 0 { b"run\0--batch\0now" } else { b"run\0--keep=1" };
        details.add(Detail::new(task.id, task.comm, cmdline, b"/usr/bin/run"));
    }

    let mut now = Duration::from_secs(1000);
    let recorder = Recorder::new(RECORDED);
    let mut sums = Sums::default();
    let mut thrash = MachineDetector::new(Duration::from_secs(30));
    let mut looked = false;
    let mut pretend = false;
    for step in 0..STEPS {
        fixture.set(available(step), step);
        let act = counted(|| {
            let machine = reader.read(&mut faults).unwrap();
            let reclaim = reader.reclaim(&mut faults).unwrap();
            let sample = MachineSample::of(&reclaim, &machine.meminfo, machine.meminfo.available().unwrap()).unwrap();
            happened.samples += u64::from(sample.full_total_us == step * 1000);
            thrash.push(&sample);
            let measured = Measured { available: step, ..Measured::default() };
            recorder.sample(now, &measured);
            recorder.cgroup(now, 7, b"/stuck.slice", &CgroupSample { current_bytes: step, ..CgroupSample::default() });
            std::hint::black_box(thrash.judge());
            let victim_exited = engine.victim().is_some_and(|victim| actor.exited(host, victim, engine.members()));
            let obs = Observation {
                machine: &machine,
                enclosing: enclosing.read(&mut faults),
                victim_exited,
                tasks: looked.then(|| scanner.tasks()),
                details: Some(&details),
            };
            let decision = engine.step(&obs, now);
            happened.notes += engine.notes().count();
            looked = false;
            match decision.step {
                Step::Wait(_) => None,
                Step::Look(need) => {
                    happened.scans += 1;
                    scanner.scan(host, need, machine.meminfo.swap_used(), &mut faults);
                    list(&recorder, now, &mut sums, scanner.tasks());
                    looked = true;
                    None
                }
                Step::Act(act) => Some(act),
            }
        });
        if let Some(act) = act {
            pretend = !pretend;
            happened.acts += 1;
            happened.groups += u64::from(act.victim.group.is_some());
            counted(|| {
                let outcome = attempt(host, &mut actor, &engine, &reader, &mut enclosing, &act, &mut happened.fired);
                let outcome = if pretend && outcome == Outcome::Gone { Outcome::Sent } else { outcome };
                let foremost = engine.chooser().foremost::<LARGEST>(scanner.tasks(), &act.reading);
                let ranked = foremost.iter().map(|(task, tier)| Ranked {
                    task: top(scanner.tasks(), task),
                    uid: task.uid,
                    tier: tier.word(),
                    oom_score_adj: task.oom_score_adj,
                });
                recorder.candidates(now, ranked);
                engine.acted(&act, outcome, now);
                if engine.victim().is_none() {
                    actor.release();
                }
            });
        }
        // A look follows at once; else as long as the course needs for every phase to come about.
        now += if looked { Duration::from_micros(50) } else { Duration::from_millis(1200) };
    }
    assert_eq!(faults, Faults::default());
    let anchor = Anchor { since_boot: now, date: UNIX_EPOCH + now };
    let recorded = recorder.recorded_at(RECORDED, anchor);
    assert_eq!(recorder.missed(), 0);
    assert!(recorded.tops.iter().all(|tops| tops.tasks.len() == LARGEST && tops.cgroups.len() == LARGEST));
    let of_cgroup = recorder.of_cgroup_at("/stuck.slice", RECORDED, anchor);
    assert_eq!(of_cgroup.last().map(|sample| sample.current_bytes), Some(STEPS - 1));
    happened.recorded += recorded.samples.len() + recorded.tops.len() + recorded.candidates.len();
}

/// As the guard's.
fn list(recorder: &Recorder, now: Duration, sums: &mut Sums, tasks: &Tasks) {
    let (foremost, cgroups) = (largest::<LARGEST>(tasks), sums.largest::<LARGEST>(tasks));
    recorder.tops(
        now,
        foremost.iter().map(|task| top(tasks, task)),
        cgroups.iter().map(|(id, sum)| (tasks.cgroups.path(id), sum)),
    );
}

fn top<'a>(tasks: &'a Tasks, task: &'a Task) -> Top<'a> {
    let (comm, cgroup) = (task.comm.as_bytes(), tasks.cgroup_path(task));
    Top { pid: task.id.pid, comm, size: task.size(), swap: task.swap.unwrap_or(0), cgroup }
}

/// As the guard's: aims, looks at the memory again, fires.
fn attempt(
    host: &Host,
    actor: &mut Actor,
    engine: &Engine,
    reader: &MachineReader,
    enclosing: &mut EnclosingReader,
    act: &Act,
    fired: &mut u64,
) -> Outcome {
    if actor.aim(host, &act.victim, None) == Aim::Gone {
        return Outcome::Gone;
    }
    let machine = reader.read(&mut Faults::default()).unwrap();
    let enclosing = enclosing.read(&mut Faults::default());
    let obs = Observation { machine: &machine, enclosing, victim_exited: false, tasks: None, details: None };
    if !engine.still_holds(act, &obs) {
        return Outcome::Recovered;
    }
    *fired += 1;
    match actor.fire(host, act, engine.members()) {
        // A whole group, by its fixture's `cgroup.kill`.
        Ok(_) => Outcome::Sent,
        Err(e) if e.raw_os_error() == Some(libc::ESRCH) => Outcome::Gone,
        Err(e) => panic!("{e}"),
    }
}

#[test]
fn observe_decide_act_allocates_nothing() {
    counted(|| drop(std::hint::black_box(Box::new(1))));
    assert_eq!(ALLOCATIONS.replace(0), 2, "the counter counts");

    let memory = Path::new("/dev/shm");
    let tree = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let fixture = Fixture::build(tree.path());
    let mut happened = Happened::default();
    run(&fixture, &config(Order::Size, TargetKind::Process), &mut happened);
    run(&fixture, &config(Order::Badness, TargetKind::Cgroup), &mut happened);

    assert_eq!(ALLOCATIONS.get(), 0, "{happened:?}");
    let Happened { scans, samples, acts, fired, groups, notes, recorded } = happened;
    assert_eq!(samples, 2 * STEPS);
    assert!(recorded > 1000, "too little was recorded: {recorded}");
    assert!(scans >= 2 * STEPS / 20, "too few scans: {scans}");
    assert!(acts > 100 && fired > 100 && groups > 10 && notes > 100, "{acts} {fired} {groups} {notes}");
    println!("{scans} scans, {acts} acts, {fired} signals to nobody, {groups} of groups, {notes} notes");
}

/// A report of the kernel's goes through the guard's hands whole, whether there is room for it or not.
#[test]
fn passing_evidence_on_allocates_and_frees_nothing() {
    let (sender, inbox) = evidence::channel().unwrap();
    let mut given_back = Vec::with_capacity(100);
    for n in 0..100 {
        let report = KernelReport { invoked_by: Some("dd".to_owned()), ..KernelReport::default() };
        let mut kill = Box::new(KernelOom { event: Event::new(EventKind::KernelOom), report });
        counted(|| {
            kill.event.incident = Some(n);
            given_back.extend(sender.send(Evidence::KernelOom(kill)).err());
        });
    }
    assert_eq!(ALLOCATIONS.get(), 0);
    assert!(given_back.len() > 50 && inbox.take_dropped() == u64::try_from(given_back.len()).unwrap());
}

/// A list's scratch memory must not grow at whatever name or command line comes: that is the attacker's choice.
#[test]
fn no_text_makes_a_list_allocate() {
    let wide: Vec<String> = (0..60).map(|n| format!("w{n}x(a|b{n}|[c-e]+|f*g|h?i|(jk){{2,9}})z")).collect();
    let mut config = Config::default();
    let parse = |text: &str| Pattern::parse(text).unwrap();
    config.victim.protect = wide.iter().map(|text| parse(&format!("cmdline:{text}"))).collect();
    config.victim.avoid = vec![parse("cmdline:^q(?:r??){200}s$"), parse("cmdline:((((a|b)*|c)*|d)*|e)*f")];
    config.victim.prefer = vec![parse("cmdline:--only-this")];
    let mut rules = Rules::new(&config.victim, Vec::new()).unwrap();
    let cgroups = Cgroups::with_capacity(1);
    let mut random = 1_u64;
    for n in 0..300_usize {
        let mut cmdline = format!("w{}x", n % 60).into_bytes();
        for _ in 0..n {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            cmdline.push(b"abcdefghijkqrswxz019 "[usize::try_from(random >> 40).unwrap() % 21]);
        }
        let cmdline = if n % 3 == 0 { [b"q".as_slice(), &vec![b'r'; n]].concat() } else { cmdline };
        let task = task(n);
        let mut details = Details::new();
        details.add(Detail::new(task.id, task.comm, &cmdline, b""));
        counted(|| rules.judge(&task, &cgroups, Some(&details)));
    }
    assert_eq!(ALLOCATIONS.get(), 0);
}

fn task(n: usize) -> Task {
    Task {
        id: TaskId { pid: FIRST, start_time: 1 },
        ppid: 1,
        comm: Comm::new(&b"systemd-login-sshd-session"[n % 26..]),
        uid: Some(1000),
        state: State::Sleeping,
        threads: 1,
        dying: false,
        kernel: false,
        rss: 0,
        anon: None,
        shmem: None,
        swap: None,
        oom_score: None,
        oom_score_adj: Some(0),
        cgroup: None,
    }
}
