//! The processes below this one. It is a subreaper, so whatever the command starts stays below it, daemons included: what
//! loses its parent becomes its child (`PR_SET_CHILD_SUBREAPER(2const)`).

use std::collections::HashMap;
use std::io;
use std::path::Path;

use nix::sys::signal::Signal;

use crate::host::child::changed;
use crate::host::dir::{Dir, SmallPath};
use crate::host::process::{PidFd, signal_by_pid};
use crate::observe::parse::{Comm, Stat, State, parse_stat, parse_status};

/// A process of the tree.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Its number.
    pub pid: i32,
    /// Since when it runs, in clock ticks after boot: with the number it names a process for good.
    start_time: u64,
    /// What it is called.
    pub comm: Comm,
    /// It has ended, and nobody has waited for it yet.
    pub zombie: bool,
}

/// What is known of a process.
#[derive(Clone, Copy, Debug)]
enum Kin {
    /// It is of the tree.
    Ours,
    /// It is not, and never will be.
    Stranger,
}

/// The tree, found anew at each look.
#[derive(Debug)]
pub struct Tree {
    proc: Dir,
    own: i32,
    /// Who keeps the cgroup, and is none of the command's.
    keeper: Option<i32>,
    /// Who was below this process before the command, by number and start, and what those have started since: the other jobs of
    /// a script that became hogwatch (`exec`), above all.
    earlier: HashMap<i32, u64>,
    known: HashMap<i32, Kin>,
    members: Vec<Member>,
}

/// Large enough for `/proc/PID/stat`, whose name has 15 bytes and whose other columns are numbers.
const STAT_BYTES: usize = 1024;

/// Enough of a command line for a path and a word.
const CMDLINE_BYTES: usize = 4096;

/// More are not looked at: pids that are reused meanwhile could make a ring.
const MOST_PARENTS: usize = 100;

/// Bytes of `/proc/PID/status`: some 1.5 KiB, and more with many supplementary groups.
pub const STATUS_BYTES: usize = 8192;

impl Tree {
    /// Opens `/proc`.
    ///
    /// # Errors
    /// When it can't be opened.
    pub fn open() -> io::Result<Self> {
        let own = nix::unistd::getpid().as_raw();
        let proc = Dir::open(Path::new("/proc"))?;
        Ok(Self { proc, own, keeper: None, earlier: HashMap::new(), known: HashMap::new(), members: Vec::new() })
    }

    /// Leaves this process out.
    pub fn leave_out(&mut self, keeper: Option<i32>) {
        self.keeper = keeper;
    }

    /// Leaves out who is below this process now.
    pub fn leave_out_earlier(&mut self) {
        // Without a child there is nobody to be found.
        if changed().is_ok() {
            self.earlier = self.look_afresh().iter().map(|member| (member.pid, member.start_time)).collect();
            self.known.clear();
        }
    }

    /// procfs.
    pub fn proc(&self) -> &Dir {
        &self.proc
    }

    /// Who is in the tree now. Of processes that were there at the last look already, that they belong to it, or do not, is
    /// not asked again.
    pub fn look(&mut self) -> &[Member] {
        let mut listed = Vec::new();
        // What can't be listed is not there any more than what can't be read.
        let _ = self.proc.numbers(&mut [0; 4096], |pid| listed.push(pid));
        self.known.retain(|pid, _| listed.binary_search(pid).is_ok());
        self.earlier.retain(|pid, _| listed.binary_search(pid).is_ok());
        let mut open: Vec<(Member, i32)> = Vec::new();
        for pid in listed.iter().copied().filter(|pid| !self.known.contains_key(pid)) {
            open.extend(self.read(pid));
        }
        self.place(open);
        let mut ours: Vec<i32> =
            self.known.iter().filter(|(_, kin)| matches!(kin, Kin::Ours)).map(|(pid, _)| *pid).collect();
        ours.sort_unstable();
        self.members.clear();
        let members = ours.into_iter().filter_map(|pid| Some(self.read(pid)?.0));
        let members: Vec<Member> = members.collect();
        self.members.extend(members);
        &self.members
    }

    /// The same without what earlier looks found out, so that no number which is somebody else's by now is taken for what
    /// it was.
    pub fn look_afresh(&mut self) -> &[Member] {
        self.known.clear();
        self.look()
    }

    /// Finds out whose these are, given with their parents, until no more can be told. Of one whose parent is gone by now
    /// it is told at the next look, by its new one.
    fn place(&mut self, mut open: Vec<(Member, i32)>) {
        loop {
            let before = open.len();
            open.retain(|(member, parent)| {
                let kin = match parent {
                    _ if member.pid == self.own || Some(member.pid) == self.keeper => Some(Kin::Stranger),
                    _ if self.is_earlier(member) => Some(Kin::Stranger),
                    _ if *parent == self.own => Some(Kin::Ours),
                    0 => Some(Kin::Stranger),
                    _ => self.known.get(parent).copied(),
                };
                if matches!(kin, Some(Kin::Stranger)) && self.earlier.contains_key(parent) {
                    // It stays one when its parent has ended, and it is this process's child.
                    self.earlier.insert(member.pid, member.start_time);
                }
                self.known.extend(kin.map(|kin| (member.pid, kin)));
                kin.is_none()
            });
            if open.len() == before {
                return;
            }
        }
    }

    fn is_earlier(&self, member: &Member) -> bool {
        self.earlier.get(&member.pid) == Some(&member.start_time)
    }

    /// A process and its parent; none when it is gone.
    fn read(&self, pid: i32) -> Option<(Member, i32)> {
        let stat = self.stat(pid)?;
        let member = Member { pid, start_time: stat.start_time, comm: stat.comm, zombie: stat.is_dead() };
        Some((member, stat.ppid))
    }

    fn stat(&self, pid: i32) -> Option<Stat> {
        let mut buf = [0; STAT_BYTES];
        parse_stat(self.proc.read(SmallPath::under(pid, "stat").as_c_str(), &mut buf).ok()?).ok()
    }

    /// What a process of the command's is called; a zombie has its name still.
    pub fn comm(&self, pid: i32) -> Option<Comm> {
        self.read(pid).map(|(member, _)| member).filter(|member| !self.is_earlier(member)).map(|member| member.comm)
    }

    /// Whether a process, or a zombie, has waited for children of its own.
    pub fn has_waited(&self, pid: i32) -> bool {
        self.stat(pid).is_some_and(|stat| stat.children_minflt > 0)
    }

    /// A live process, of the tree or not.
    pub fn member(&self, pid: i32) -> Option<Member> {
        let (member, _) = self.read(pid)?;
        (pid != self.own && Some(pid) != self.keeper && !member.zombie).then_some(member)
    }

    /// Bytes that this process has resident now.
    pub fn resident(&self, pid: i32) -> Option<u64> {
        let mut buf = [0; STATUS_BYTES];
        parse_status(self.proc.read(SmallPath::under(pid, "status").as_c_str(), &mut buf).ok()?).ok()?.vm_rss
    }

    /// Whether this process is within another run: below a process of the same name whose command is `run`.
    pub fn is_within_a_run(&self) -> bool {
        let Some(own) = self.stat(self.own) else { return false };
        let parents = std::iter::successors(self.stat(own.ppid).map(|stat| (own.ppid, stat)), |(_, stat)| {
            Some((stat.ppid, self.stat(stat.ppid)?))
        });
        let is_run = |pid: i32| {
            let mut buf = [0; CMDLINE_BYTES];
            let cmdline = self.proc.read(SmallPath::under(pid, "cmdline").as_c_str(), &mut buf).unwrap_or_default();
            cmdline.split(|byte| *byte == 0).nth(1) == Some(b"run")
        };
        parents.take(MOST_PARENTS).any(|(pid, stat)| stat.comm == own.comm && is_run(pid))
    }

    /// Whether a signal has stopped this process.
    pub fn is_stopped(&self, pid: i32) -> bool {
        self.stat(pid).is_some_and(|stat| stat.state == State::Stopped)
    }

    /// Sends a process a signal. It is held by descriptor and looked at again first: a number may be reused.
    ///
    /// # Errors
    /// `ESRCH` when it is gone, `EPERM` when it is another user's.
    pub fn signal(&self, member: &Member, signal: Signal) -> io::Result<()> {
        let held = PidFd::open(member.pid);
        let gone = || io::Error::from_raw_os_error(libc::ESRCH);
        if self.read(member.pid).is_none_or(|(now, _)| now.start_time != member.start_time) {
            return Err(gone());
        }
        match held {
            Ok(held) => held.signal(Some(signal)),
            Err(e) if e.raw_os_error() == Some(libc::ESRCH) => Err(e),
            // No pidfds in this kernel, or a filter against them.
            Err(_) => signal_by_pid(member.pid, Some(signal)),
        }
    }

    /// Sends all that live a signal. Who can't be reached is left.
    pub fn signal_all(&mut self, signal: Signal) {
        self.look_afresh();
        for member in self.members.iter().filter(|member| !member.zombie) {
            let _ = self.signal(member, signal);
        }
    }

    /// Kills all that live. They are stopped first, until nobody new turns up: what forks faster than it is killed would
    /// get away. Does not wait for their end.
    pub fn kill_all(&mut self) {
        /// A stopped process forks no more, so each round finds the children of the last one; but what stands still because
        /// it may not be signalled (of another user) is the same in each.
        const MOST_ROUNDS: usize = 100;
        let mut stopped: Vec<(i32, u64)> = Vec::new();
        for _ in 0..MOST_ROUNDS {
            self.look_afresh();
            let name = |member: &Member| (member.pid, member.start_time);
            let fresh: Vec<Member> =
                self.members.iter().filter(|m| !m.zombie && !stopped.contains(&name(m))).copied().collect();
            if fresh.is_empty() {
                break;
            }
            for member in &fresh {
                let _ = self.signal(member, Signal::SIGSTOP);
            }
            stopped.extend(fresh.iter().map(name));
        }
        self.signal_all(Signal::SIGKILL);
    }

    /// How many have ended and were not waited for, at the last look.
    pub fn zombies(&self) -> usize {
        self.members.iter().filter(|member| member.zombie).count()
    }

    /// Who lives still.
    pub fn living(&mut self) -> Vec<Member> {
        self.look_afresh().iter().filter(|member| !member.zombie).copied().collect()
    }
}
