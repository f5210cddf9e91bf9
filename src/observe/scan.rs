//! Reads the process table. Nothing here can block on a process's `mmap_lock`: only `stat`, `status`, `oom_score`,
//! `oom_score_adj` and `cgroup` are read, never `cmdline`, `environ`, `smaps`, `exe` or `maps`.

use crate::host::Host;
use crate::host::dir::{Dir, SmallPath};

use super::Faults;
use super::cgroups::CgroupId;
use super::limits::Hierarchy;
use super::parse::{
    Malformed, Stat, State, Status, parse_oom_score, parse_oom_score_adj, parse_stat, parse_statm, parse_status,
};
use super::tasks::{Depth, Need, Small, Task, TaskId, Tasks};

/// Tasks a new table has room for at least.
const LEAST_TASKS: usize = 128;
/// Tasks a table never grows beyond: about 1 MiB. A fork bomb has more, but is judged by its cgroup's sum.
const MOST_TASKS: usize = 8192;
/// The same for cgroups.
const LEAST_CGROUPS: usize = 32;
const MOST_CGROUPS: usize = 2048;

/// Room for one file of a process: `status` is 1.5 KiB on a kernel with every option on.
const FILE_BYTES: usize = 4096;
/// Room for directory entries: about 250 processes a system call.
const DIRENT_BYTES: usize = 8192;

/// Scans the process table into a [`Tasks`] of its own. Allocates only in [`Scanner::grow`].
#[derive(Debug)]
pub struct Scanner {
    hierarchy: Hierarchy,
    tasks: Tasks,
    /// The list of the scan before, to take cached cgroups from.
    before: Vec<Task>,
    dirents: Box<[u8; DIRENT_BYTES]>,
    /// Large processes that were exiting at the last scan, and what they held before.
    dying: Dying,
    /// Tasks seen by the last scan, kept or not.
    seen: usize,
}

impl Scanner {
    /// An empty table.
    #[must_use]
    pub fn new(hierarchy: Hierarchy) -> Self {
        Self {
            hierarchy,
            tasks: Tasks::with_capacity(LEAST_TASKS, LEAST_CGROUPS),
            before: Vec::with_capacity(LEAST_TASKS),
            dirents: Box::new([0; DIRENT_BYTES]),
            dying: Dying::default(),
            seen: 0,
        }
    }

    /// Makes room for twice what the last scan saw. Call only while the machine is healthy.
    pub fn grow(&mut self) {
        let tasks = (self.seen * 2).clamp(LEAST_TASKS, MOST_TASKS);
        self.tasks.list.reserve(tasks.saturating_sub(self.tasks.list.len()));
        self.before.reserve(tasks.saturating_sub(self.before.len()));
        let cgroups = (self.tasks.cgroups.len() * 2).clamp(LEAST_CGROUPS, MOST_CGROUPS);
        self.tasks.cgroups.reserve(cgroups);
        // Written to once, so that the pages are there when they are needed.
        if let Some(anybody) = self.tasks.list.first().copied() {
            for list in [&mut self.tasks.list, &mut self.before] {
                list.spare_capacity_mut().iter_mut().for_each(|slot| {
                    slot.write(anybody);
                });
            }
        }
    }

    /// Has the next scan read anew where everybody lives, and what is said of those cgroups. Not when it is urgent: before
    /// Linux 6.8 that takes the kernel's `cgroup_mutex`.
    pub fn forget_cgroups(&mut self) {
        self.tasks.list.iter_mut().for_each(|task| task.cgroup = None);
        self.tasks.cgroups.expire_facts();
    }

    /// What the last scan found.
    #[must_use]
    pub fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// The largest processes of the last scan, as many as are told apart beforehand.
    pub fn largest(&mut self, of: impl Fn(&Tasks, &Task) -> bool) -> &[Task] {
        // The list is in the order of pids, which caching relies on; the one before it is free for any order.
        self.before.clear();
        let room = self.before.capacity();
        self.before.extend(self.tasks.list.iter().filter(|task| of(&self.tasks, task)).take(room));
        self.before.sort_unstable_by_key(|t| std::cmp::Reverse(t.size_with_shared()));
        &self.before
    }

    /// Reads the process table as the engine wants it. `swap_used` is how much swap the machine has in use: a process
    /// with little resident memory may have its bulk there.
    pub fn scan(&mut self, host: &Host, need: Need, swap_used: u64, faults: &mut Faults) -> &Tasks {
        std::mem::swap(&mut self.tasks.list, &mut self.before);
        self.tasks.list.clear();
        self.tasks.small = Small::default();
        self.tasks.depth = need.depth;
        self.tasks.lost_some = false;
        self.tasks.dying_bytes = 0;
        self.seen = 0;
        if self.tasks.cgroups.is_nearly_full() {
            self.tasks.cgroups.clear();
            self.before.clear();
        }
        let known_dying = std::mem::take(&mut self.dying);
        let Self { hierarchy, tasks, before, dirents, dying, seen } = self;
        let mut reader = Reader {
            host,
            hierarchy: *hierarchy,
            need,
            swap_used,
            tasks,
            before,
            cursor: 0,
            faults,
            known_dying,
            dying,
        };
        let listed = host.proc.numbers(&mut dirents[..], |pid| {
            *seen += 1;
            reader.visit(pid);
        });
        if let Err(e) = listed {
            faults.failed(&e);
        }
        faults.overflowed += u64::from(self.tasks.lost_some);
        &self.tasks
    }
}

/// A few at once are enough: whoever finds no room is not waited for.
type Dying = [Option<(TaskId, u64)>; 8];

/// One scan under way.
struct Reader<'a> {
    host: &'a Host,
    hierarchy: Hierarchy,
    need: Need,
    swap_used: u64,
    tasks: &'a mut Tasks,
    before: &'a [Task],
    /// How far `before` was walked: both lists are in the order of pids.
    cursor: usize,
    faults: &'a mut Faults,
    known_dying: Dying,
    dying: &'a mut Dying,
}

impl Reader<'_> {
    fn visit(&mut self, pid: i32) {
        let mut buf = [0; FILE_BYTES];
        let failed = self.faults.failed;
        let Some(stat) = self.read(pid, "stat", &mut buf, parse_stat) else {
            // It is there and can't be seen, for want of memory or descriptors: it may be one that must live.
            self.tasks.lost_some |= self.faults.failed > failed;
            return;
        };
        let mut task = basics(pid, &stat, self.host.page_size);
        if task.dying {
            // Its memory is on its way back: how much, only an earlier scan can tell.
            let held = self.known_size(task.id);
            self.tasks.dying_bytes = self.tasks.dying_bytes.saturating_add(held);
            if let Some(slot) = self.dying.iter_mut().find(|slot| slot.is_none()).filter(|_| held > 0) {
                *slot = Some((task.id, held));
            }
        }
        if task.kernel || task.dying {
            return;
        }
        let zombie_leader = task.state == State::Zombie;
        let at_most = task.rss.saturating_add(self.swap_used).min(stat.vsize.max(task.rss));
        if let Depth::Large { floor } = self.need.depth
            && at_most < floor
            && !zombie_leader
        {
            self.tasks.small.count = self.tasks.small.count.saturating_add(1);
            self.tasks.small.bytes = self.tasks.small.bytes.saturating_add(task.rss);
            return;
        }
        self.read_sizes(&mut task, zombie_leader, &mut buf);
        task.oom_score_adj = self.read(pid, "oom_score_adj", &mut buf, |text| parse_oom_score_adj(text).map(i32::from));
        if self.need.oom_score {
            task.oom_score = self.read(pid, "oom_score", &mut buf, parse_oom_score);
        }
        task.cgroup = self.cgroup(&task, &mut buf);
        self.tasks.keep(task);
    }

    fn known_size(&self, id: TaskId) -> u64 {
        let known = self.before.binary_search_by_key(&id.pid, |t| t.id.pid).ok().and_then(|i| self.before.get(i));
        let dying = self.known_dying.iter().flatten().find(|(dying, _)| *dying == id).map(|(_, held)| *held);
        known.filter(|t| t.id == id).map(Task::size).or(dying).unwrap_or(0)
    }

    fn read_sizes(&mut self, task: &mut Task, zombie_leader: bool, buf: &mut [u8; FILE_BYTES]) {
        let own = SmallPath::under(task.id.pid, "status");
        // A leader that called pthread_exit has given up its view of the memory; a thread that lives still has it.
        let path = if zombie_leader { self.live_thread(task.id.pid).unwrap_or(own) } else { own };
        let Some(status) = self.read_path(path, buf, parse_status) else {
            return self.read_sizes_without_status(task, buf);
        };
        fill_sizes(task, &status);
    }

    /// A process in so many groups that they fill the buffer (`Groups:` comes before the sizes) must not hide its memory so:
    /// `statm` has the sizes but for swap, and the owner of the directory is the effective user.
    fn read_sizes_without_status(&mut self, task: &mut Task, buf: &mut [u8; FILE_BYTES]) {
        if let Some(statm) = self.read(task.id.pid, "statm", buf, parse_statm) {
            let bytes = |pages: u64| pages.saturating_mul(self.host.page_size);
            task.rss = bytes(statm.resident);
            task.anon = Some(bytes(statm.resident.saturating_sub(statm.shared)));
        }
        let directory = self.host.proc.dir(SmallPath::build(format_args!("{}", task.id.pid)).as_c_str());
        task.uid = directory.and_then(|dir| dir.owner()).ok();
    }

    /// The `status` file of a thread other than the leader.
    fn live_thread(&self, pid: i32) -> Option<SmallPath> {
        let threads = self.host.proc.dir(SmallPath::under(pid, "task").as_c_str()).ok()?;
        let mut other = None;
        threads.numbers(&mut [0; 512], |tid| other = other.or((tid != pid).then_some(tid))).ok()?;
        other.map(|tid| SmallPath::build(format_args!("{pid}/task/{tid}/status")))
    }

    /// The cgroup, from the scan before where that knew the very same process: reading it anew takes the kernel's
    /// `cgroup_mutex` before Linux 6.8, which somebody in trouble may hold.
    fn cgroup(&mut self, task: &Task, buf: &mut [u8; FILE_BYTES]) -> Option<CgroupId> {
        while self.before.get(self.cursor).is_some_and(|t| t.id.pid < task.id.pid) {
            self.cursor += 1;
        }
        let cached = self.before.get(self.cursor).filter(|t| t.id == task.id).and_then(|t| t.cgroup);
        let id = match cached {
            Some(id) => id,
            None => {
                let path = SmallPath::under(task.id.pid, "cgroup");
                let text = self.host.proc.read(path.as_c_str(), buf).map_err(|e| self.faults.failed(&e)).ok()?;
                self.tasks.cgroups.intern(self.hierarchy.path(text)?)?
            }
        };
        if self.hierarchy == Hierarchy::V2 {
            self.tasks.cgroups.read_facts(self.host, id, self.faults);
        }
        Some(id)
    }

    fn read<T>(
        &mut self,
        pid: i32,
        name: &str,
        buf: &mut [u8; FILE_BYTES],
        parse: impl Fn(&[u8]) -> Result<T, Malformed>,
    ) -> Option<T> {
        self.read_path(SmallPath::under(pid, name), buf, parse)
    }

    fn read_path<T>(
        &mut self,
        path: SmallPath,
        buf: &mut [u8; FILE_BYTES],
        parse: impl Fn(&[u8]) -> Result<T, Malformed>,
    ) -> Option<T> {
        let text = self.host.proc.read(path.as_c_str(), buf).map_err(|e| self.faults.failed(&e)).ok()?;
        // A process that ends between the open and the read leaves an empty file behind.
        if text.is_empty() {
            return None;
        }
        parse(text).map_err(|e| self.faults.malformed(e)).ok()
    }
}

/// What `status` says of a process: its owner, and exact sizes.
pub(super) fn fill_sizes(task: &mut Task, status: &Status) {
    task.uid = Some(status.uid_effective);
    task.anon = status.rss_anon;
    task.shmem = status.rss_shmem;
    task.swap = status.vm_swap;
    // `stat` keeps a cached count, and none at all for a leader that is gone.
    task.rss = status.vm_rss.unwrap_or(task.rss);
}

/// What `stat` says of a process.
pub(super) fn basics(pid: i32, stat: &Stat, page_size: u64) -> Task {
    let gone = match stat.state {
        // A leader that is gone while its threads live on.
        State::Zombie => stat.is_dead(),
        _ => stat.is_dead() || stat.is_exiting(),
    };
    Task {
        id: TaskId { pid, start_time: stat.start_time },
        ppid: stat.ppid,
        comm: stat.comm,
        uid: None,
        state: stat.state,
        threads: stat.num_threads,
        dying: gone,
        kernel: stat.is_kernel_thread(),
        rss: stat.rss_pages.saturating_mul(page_size),
        anon: None,
        shmem: None,
        swap: None,
        oom_score: None,
        oom_score_adj: None,
        cgroup: None,
    }
}

/// Whether this very process still lives: a look at its `stat`, for the last check of identity.
///
/// # Errors
/// Those of reading the file; `ENOENT` and `ESRCH` mean that it is gone.
pub fn look_again(proc: &Dir, id: TaskId) -> std::io::Result<StillThere> {
    let mut buf = [0; FILE_BYTES];
    let text = match proc.read(SmallPath::under(id.pid, "stat").as_c_str(), &mut buf) {
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) => return Ok(StillThere::Gone),
        other => other?,
    };
    Ok(match parse_stat(text) {
        Ok(stat) if stat.start_time != id.start_time => StillThere::Gone,
        Ok(stat) if basics(id.pid, &stat, 1).dying => StillThere::Dying,
        Ok(_) => StillThere::Alive,
        // Unreadable for a reason of the kernel's: the pidfd decides.
        Err(_) => StillThere::Alive,
    })
}

/// What became of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StillThere {
    /// It runs.
    Alive,
    /// It is exiting, or a zombie without live threads.
    Dying,
    /// There is no such process any more; its number may be another's.
    Gone,
}
