//! A small machine to try decisions on: 16 GiB, and whoever a test puts on it.

use hogwatch::config::{Config, Pattern};
use hogwatch::decide::measure::{Gauge, Reading};
use hogwatch::decide::rules::Rules;
use hogwatch::decide::victim::{Choice, Chooser, Own, Refusal, Victim};
use hogwatch::observe::cgroups::{CgroupPath, Facts, Preference};
use hogwatch::observe::details::{Detail, Details};
use hogwatch::observe::parse::{Meminfo, State};
use hogwatch::observe::{Comm, Depth, Enclosing, Machine, Observation, Task, TaskId, Tasks};

pub const MIB: u64 = 1 << 20;
pub const GIB: u64 = 1 << 30;

/// The guard itself: root, with this pid.
pub const OWN: Own = Own { pid: 700, uid: 0, may_signal_others: true };

/// A machine of 16 GiB without swap, of which so much is available.
pub fn machine(available: u64) -> Machine {
    let meminfo = Meminfo {
        mem_total: 16 * GIB,
        mem_available: Some(available),
        anon_pages: Some(8 * GIB),
        ..Meminfo::default()
    };
    Machine { meminfo, ..Machine::default() }
}

/// The same with swap.
pub fn with_swap(available: u64, total: u64, free: u64) -> Machine {
    let mut machine = machine(available);
    machine.meminfo.swap_total = Some(total);
    machine.meminfo.swap_free = Some(free);
    machine
}

/// An enclosing limit and what is used of it.
pub fn limit(path: &str, limit: u64, current: u64) -> Enclosing {
    let path = CgroupPath::new(path.as_bytes()).unwrap();
    Enclosing { path, limit, current, reclaimable: 0, anon: current, swap: None, chosen: false }
}

pub fn observe<'a>(machine: &'a Machine, enclosing: &'a [Enclosing]) -> Observation<'a> {
    Observation { machine, enclosing, victim_exited: false, tasks: None, details: None }
}

pub fn patterns(texts: &[&str]) -> Vec<Pattern> {
    texts.iter().map(|text| Pattern::parse(text).unwrap()).collect()
}

/// A process: ordinary, of user 1000, and of 1 GiB, until told otherwise.
pub fn task(pid: i32, comm: &str) -> Task {
    Task {
        id: TaskId { pid, start_time: u64::try_from(pid).unwrap() },
        ppid: 1,
        comm: Comm::new(comm.as_bytes()),
        uid: Some(1000),
        state: State::Sleeping,
        threads: 1,
        dying: false,
        kernel: false,
        rss: GIB,
        anon: Some(GIB),
        shmem: Some(0),
        swap: Some(0),
        oom_score: Some(0),
        oom_score_adj: Some(0),
        cgroup: None,
    }
}

/// Who lives on the machine, and by which rules one is chosen.
pub struct Bench {
    pub config: Config,
    pub own: Own,
    pub tasks: Tasks,
    pub details: Details,
    pub available: u64,
    pub enclosing: Vec<Enclosing>,
}

impl Bench {
    pub fn new() -> Self {
        Self {
            config: Config::default(),
            own: OWN,
            tasks: Tasks::with_capacity(4096, 64),
            details: Details::new(),
            available: 512 * MIB,
            enclosing: Vec::new(),
        }
    }

    pub fn add(&mut self, task: Task) -> &mut Self {
        self.tasks.keep(task);
        self
    }

    /// Adds a task that lives in a cgroup.
    pub fn add_in(&mut self, cgroup: &str, task: Task) -> &mut Self {
        let cgroup = self.tasks.cgroups.intern(cgroup.as_bytes());
        self.add(Task { cgroup, ..task })
    }

    /// Says what is special about a cgroup that somebody lives in.
    pub fn mark(&mut self, cgroup: &str, oom_group: Option<&str>, preference: Preference) -> &mut Self {
        let id = self.tasks.cgroups.intern(cgroup.as_bytes()).unwrap();
        let oom_group = oom_group.map(|path| u16::try_from(path.len()).unwrap());
        self.tasks.cgroups.set_facts(id, Facts { oom_group, preference });
        self
    }

    pub fn know(&mut self, task: &Task, cmdline: &str, exe: &str) -> &mut Self {
        self.details.add(Detail::new(task.id, task.comm, cmdline.as_bytes(), exe.as_bytes()));
        self
    }

    pub fn rules(&self) -> Rules {
        let users = [(0, "root"), (1000, "bob"), (1001, "alice")];
        let users = users.map(|(uid, name)| (uid, name.as_bytes().to_vec().into_boxed_slice()));
        Rules::new(&self.config.victim, users.to_vec()).unwrap()
    }

    pub fn reading(&self) -> Reading {
        let gauge = Gauge::new(&self.config);
        gauge.worst(&observe(&machine(self.available), &self.enclosing))
    }

    /// Judges and chooses; a look at everybody follows if that is asked for, as the loop does.
    pub fn choose(&mut self) -> (Choice, Chooser) {
        let machine = machine(self.available);
        let reading = self.reading();
        let mut chooser = Chooser::new(self.own, &self.config.victim, self.rules());
        chooser.reserve(&self.tasks);
        let obs = Observation {
            tasks: Some(&self.tasks),
            details: Some(&self.details),
            ..observe(&machine, &self.enclosing)
        };
        chooser.judge(&self.tasks, &obs, &reading, |_| false);
        let choice = chooser.choose(&self.tasks, &reading);
        (choice, chooser)
    }

    pub fn victim(&mut self) -> Victim {
        match self.choose().0 {
            Choice::Victim(victim) => victim,
            other => panic!("{other:?}"),
        }
    }

    /// The pid of who is chosen; `None` when nobody is.
    pub fn pid(&mut self) -> Option<i32> {
        match self.choose().0 {
            Choice::Victim(victim) => Some(victim.id.pid),
            Choice::Refused(_) => None,
            Choice::NeedAll => panic!("everybody was shown"),
        }
    }

    pub fn refusal(&mut self) -> Refusal {
        match self.choose().0 {
            Choice::Refused(refusal) => refusal,
            other => panic!("{other:?}"),
        }
    }

    pub fn members(&mut self) -> Vec<i32> {
        let (_, chooser) = self.choose();
        chooser.members().iter().map(|id| id.pid).collect()
    }

    pub fn depth(&mut self, depth: Depth) -> &mut Self {
        self.tasks.depth = depth;
        self
    }
}
