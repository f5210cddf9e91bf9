//! The machine that is simulated: memory, swap, cgroups and processes that grow, die, linger and come back.

use hogwatch::observe::parse::ArcStats;
use hogwatch::observe::{Preference, TaskId};

use crate::rng::Rng;

/// Microseconds in a millisecond: the world's clock counts microseconds.
pub const MS: u64 = 1000;
/// Microseconds in a second.
pub const S: u64 = 1_000_000;
/// The world changes in steps of this at most.
const SLICE: u64 = 50 * MS;
/// A fork bomb stops here.
const MOST_PROCS: usize = 2600;

/// A process.
#[derive(Clone, Debug)]
pub struct Proc {
    pub id: TaskId,
    pub comm: &'static str,
    pub cmdline: &'static str,
    pub uid: u32,
    pub adj: i32,
    /// Index into [`World::cgroups`].
    pub cgroup: usize,
    pub anon: u64,
    pub swap: u64,
    pub shmem: u64,
    pub file: u64,
    /// Bytes a second, from and until when.
    pub grow: u64,
    pub grows: (u64, u64),
    /// How long after SIGTERM it exits; `None` ignores it.
    pub on_term: Option<u64>,
    /// How long after SIGKILL it exits; `None` is stuck in the kernel.
    pub on_kill: Option<u64>,
    /// How long its memory takes to come back after its exit, and how much of it never does (percent).
    pub give_back: u64,
    pub leak: u64,
    pub exit_at: Option<u64>,
    /// While it exits, the process table still shows it as if nothing were.
    pub shows_dying: bool,
    /// Signals to it fail with `EPERM`.
    pub untouchable: bool,
    pub forks: Option<u64>,
    pub next_fork: u64,
    /// Its leader has exited, its threads have not.
    pub zombie_leader: bool,
}

#[derive(Clone, Debug)]
pub struct Cgroup {
    pub path: &'static str,
    pub oom_group: bool,
    pub preference: Preference,
    pub limit: Option<u64>,
    pub swap_limit: Option<u64>,
    /// Charged to it besides its processes' memory, such as tmpfs.
    pub extra: u64,
}

/// Memory of a process that has exited, coming back.
#[derive(Clone, Debug)]
struct Returning {
    cgroup: usize,
    anon: u64,
    swap: u64,
    from: u64,
    during: u64,
}

#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// So much memory that belongs to no process is freed.
    Relief(u64),
    /// So much is taken by no process: tmpfs, slab.
    Burst(u64),
    /// A process ends by itself.
    Exit(TaskId),
}

pub enum Sent {
    Yes,
    NoSuch,
    NotPermitted,
}

pub struct World {
    pub now: u64,
    pub mem_total: u64,
    pub swap_total: u64,
    /// What the kernel and others hold, for good.
    pub base: u64,
    /// What nobody's death gives back: tmpfs, slab.
    pub ballast: u64,
    pub arc: Option<ArcStats>,
    /// The cache is not given back when memory is short.
    pub arc_stuck: bool,
    pub has_pressure: bool,
    pub stalled_us: u64,
    pub procs: Vec<Proc>,
    pub cgroups: Vec<Cgroup>,
    pub events: Vec<(u64, Event)>,
    pub own_cgroup: usize,
    returning: Vec<Returning>,
    ticks: u64,
    // Sums, as of the last change.
    anon: u64,
    swap: u64,
    currents: Vec<u64>,
    /// Of each cgroup: itself and those above it.
    above: Vec<Vec<usize>>,
}

impl World {
    pub fn new(mem_total: u64, swap_total: u64, cgroups: Vec<Cgroup>) -> Self {
        let above = |c: &Cgroup| {
            let tops = cgroups.iter().enumerate().filter(|(_, top)| is_below(c.path.as_bytes(), top.path.as_bytes()));
            tops.map(|(i, _)| i).collect()
        };
        Self {
            above: cgroups.iter().map(above).collect(),
            now: 100 * S,
            mem_total,
            swap_total,
            base: 0,
            ballast: 0,
            arc: None,
            arc_stuck: false,
            has_pressure: true,
            stalled_us: 0,
            procs: Vec::new(),
            currents: vec![0; cgroups.len()],
            cgroups,
            events: Vec::new(),
            own_cgroup: 0,
            returning: Vec::new(),
            ticks: 10_000,
            anon: 0,
            swap: 0,
        }
    }

    pub fn fresh_id(&mut self, pid: i32) -> TaskId {
        self.ticks += 1;
        TaskId { pid, start_time: self.ticks }
    }

    pub fn available(&self) -> u64 {
        let arc = self.arc.map_or(0, |a| a.size);
        self.mem_total.saturating_sub(self.base + self.ballast + self.anon + arc)
    }

    pub fn anon_pages(&self) -> u64 {
        self.anon
    }

    pub fn swap_free(&self) -> u64 {
        self.swap_total.saturating_sub(self.swap)
    }

    /// Memory charged to a cgroup and what is below it.
    pub fn current(&self, cgroup: usize) -> u64 {
        self.currents[cgroup]
    }

    pub fn proc_of(&self, id: TaskId) -> Option<&Proc> {
        self.procs.iter().find(|p| p.id == id)
    }

    /// Whether anybody lives in the cgroup or below it.
    pub fn is_populated(&self, path: &[u8]) -> bool {
        self.procs.iter().any(|p| is_below(self.cgroups[p.cgroup].path.as_bytes(), path))
    }

    pub fn signal(&mut self, id: TaskId, kill: bool) -> Sent {
        let now = self.now;
        let Some(p) = self.procs.iter_mut().find(|p| p.id == id) else { return Sent::NoSuch };
        if p.untouchable {
            return Sent::NotPermitted;
        }
        let delay = if kill { p.on_kill } else { p.on_term };
        if let Some(delay) = delay {
            let at = now + delay;
            p.exit_at = Some(p.exit_at.map_or(at, |e| e.min(at)));
        }
        Sent::Yes
    }

    pub fn advance(&mut self, by: u64, rng: &mut Rng) {
        let end = self.now + by;
        while self.now < end {
            let slice = SLICE.min(end - self.now);
            self.now += slice;
            self.befall();
            self.exits(rng);
            self.fork(rng);
            self.growth(slice);
            self.tally();
        }
    }

    fn befall(&mut self) {
        let now = self.now;
        let mut due = Vec::new();
        self.events.retain(|(at, event)| {
            if *at <= now {
                due.push(*event);
            }
            *at > now
        });
        for event in due {
            match event {
                Event::Relief(bytes) => self.ballast = self.ballast.saturating_sub(bytes),
                Event::Burst(bytes) => self.ballast += bytes.min(self.available()),
                Event::Exit(id) => {
                    if let Some(p) = self.procs.iter_mut().find(|p| p.id == id) {
                        p.exit_at = p.exit_at.or(Some(now));
                    }
                }
            }
        }
    }

    fn exits(&mut self, rng: &mut Rng) {
        let now = self.now;
        self.returning.retain(|r| r.from + r.during > now);
        let mut at = 0;
        while at < self.procs.len() {
            if self.procs[at].exit_at.is_none_or(|exit| exit > now) {
                at += 1;
                continue;
            }
            let p = self.procs.remove(at);
            let share = |bytes: u64| bytes / 100 * (100 - p.leak);
            self.ballast += p.anon - share(p.anon);
            if p.give_back > 0 {
                let (anon, swap) = (share(p.anon), share(p.swap));
                self.returning.push(Returning { cgroup: p.cgroup, anon, swap, from: now, during: p.give_back });
            }
            // The number goes to somebody else at once.
            if rng.per_mille(200) {
                let id = self.fresh_id(p.id.pid);
                let young = Proc { id, anon: 1 << 20, swap: 0, grow: 0, forks: None, exit_at: None, ..p };
                self.procs.insert(at, young);
                at += 1;
            }
        }
    }

    fn fork(&mut self, rng: &mut Rng) {
        let now = self.now;
        let mut children = Vec::new();
        for p in &mut self.procs {
            let Some(every) = p.forks else { continue };
            while p.next_fork <= now && children.len() < 64 {
                p.next_fork += every;
                children.push(Proc { forks: None, grow: 0, exit_at: None, anon: rng.between(1, 8) << 18, ..p.clone() });
            }
        }
        for mut child in children {
            if self.procs.len() >= MOST_PROCS {
                return;
            }
            let pid = self.procs.last().map_or(2, |p| p.id.pid + 1);
            child.id = self.fresh_id(pid);
            child.anon = child.anon.min(self.available() / 4);
            self.procs.push(child);
        }
    }

    fn growth(&mut self, slice: u64) {
        let reserve = self.mem_total / 256;
        let mut room = self.available().saturating_sub(reserve);
        let mut swap_room = self.swap_free();
        let room_of = |(c, current): (&Cgroup, &u64)| c.limit.map_or(u64::MAX, |l| l.saturating_sub(*current));
        let mut rooms: Vec<u64> = self.cgroups.iter().zip(&self.currents).map(room_of).collect();
        let scarce = self.available() < self.mem_total / 12;
        let mut stalled = false;
        for p in &mut self.procs {
            if p.grow == 0 || self.now < p.grows.0 || self.now > p.grows.1 || p.exit_at.is_some() {
                continue;
            }
            let want = u64::try_from(u128::from(p.grow) * u128::from(slice) / u128::from(S)).unwrap();
            let above = &self.above[p.cgroup];
            let limit = |rooms: &[u64]| above.iter().map(|i| rooms[*i]).min().unwrap_or(u64::MAX);
            let mut here = limit(&rooms).min(room);
            let short = if scarce { want / 2 } else { want.saturating_sub(here) };
            let out = short.min(swap_room).min(p.anon);
            if out > 0 {
                p.anon -= out;
                p.swap += out;
                swap_room -= out;
                room += out;
                above.iter().for_each(|i| rooms[*i] = rooms[*i].saturating_add(out));
                here += out;
            }
            if here < want
                && !self.arc_stuck
                && let Some(arc) = &mut self.arc
            {
                let taken = (want - here).min(arc.size.saturating_sub(arc.c_min));
                arc.size -= taken;
                room += taken;
                here = (here + taken).min(limit(&rooms));
            }
            let got = want.min(here).min(room);
            stalled |= got < want;
            p.anon += got;
            room -= got;
            above.iter().for_each(|i| rooms[*i] = rooms[*i].saturating_sub(got));
        }
        if stalled {
            self.stalled_us += slice * 8 / 10;
        }
    }

    /// Adds everything up anew.
    pub fn tally(&mut self) {
        let now = self.now;
        let mut each = vec![0; self.cgroups.len()];
        (self.anon, self.swap) = (0, 0);
        for p in &self.procs {
            self.anon += p.anon;
            self.swap += p.swap;
            each[p.cgroup] += p.anon;
        }
        for r in &self.returning {
            let left = (r.from + r.during).saturating_sub(now).min(r.during);
            let held = |bytes: u64| u64::try_from(u128::from(bytes) * u128::from(left) / u128::from(r.during)).unwrap();
            self.anon += held(r.anon);
            self.swap += held(r.swap);
            each[r.cgroup] += held(r.anon);
        }
        self.currents.fill(0);
        for ((cgroup, bytes), above) in self.cgroups.iter().zip(&each).zip(&self.above) {
            for i in above {
                self.currents[*i] += bytes + cgroup.extra;
            }
        }
    }
}

/// Whether `path` is `top` or below it, told apart from the way the guard does it.
pub fn is_below(path: &[u8], top: &[u8]) -> bool {
    if top == b"/" {
        return path.first() == Some(&b'/');
    }
    path == top || (path.starts_with(top) && path.get(top.len()) == Some(&b'/'))
}
