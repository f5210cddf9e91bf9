//! The parent while the command runs: it passes signals on, watches the time and the cap, and ends everything when one of
//! them is over.

use std::io::{self, PipeReader};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signal::Signal;

use crate::config::units::write_duration;
use crate::host::child::{Arrived, Change, End, HeldSignals, changed, forward, reap};
use crate::host::clock;
use crate::observe::Comm;

use super::args::Wanted;
use super::cap::{Cap, OomCounts};
use super::log::Log;
use super::say;
use super::start::not_run;
use super::tree::{Member, Tree};
use super::watched::Watch;

/// Who was the largest of those killed.
#[derive(Clone, Copy, Debug)]
pub struct Largest {
    /// What it was called.
    pub comm: Comm,
    /// The most it ever had resident, in bytes.
    pub bytes: u64,
}

/// Why hogwatch, or the kernel in its place, ended the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KilledBy {
    /// It was at its cap, or at a limit further up.
    Cap,
    /// Its time was up.
    Timeout,
}

/// A run that goes on, or has ended.
#[derive(Debug)]
pub struct Run {
    /// The command's process.
    pub main: i32,
    /// The parent's signals.
    pub signals: HeldSignals,
    /// The processes below.
    pub tree: Tree,
    /// The command's cgroup.
    pub cap: Option<Cap>,
    /// In its place, where there is none.
    pub watch: Option<Watch>,
    /// What tells whether the exec succeeds; until then.
    pub news: Option<PipeReader>,
    /// The cap in bytes, if there is one.
    pub limit: Option<u64>,
    /// When the command was let go.
    pub began: Duration,
    /// How the command's own process ended, once it has.
    pub end: Option<End>,
    /// The signal that has stopped it, until this process has stopped along, or need not.
    pub stopped_by: Option<i32>,
    /// The exec failed.
    pub not_run: Option<io::Error>,
    /// Who ended it before its time.
    pub killed_by: Option<KilledBy>,
    /// The most that its process had resident before it became the command, in bytes, as far as is known.
    pub image: u64,
    /// Of those that SIGKILL ended.
    pub largest: Option<Largest>,
    /// Who was the largest when the cap was hit, where the kernel tells that before it kills.
    pub at_the_hit: Option<Largest>,
    /// Ctrl-C was pressed.
    pub interrupted: bool,
    /// The cap was hit, and until then a kill by the kernel is to be expected, where the rest is this process's to kill.
    pub kill_is_due: Option<Duration>,
}

/// In a loop that waits for the end of processes which need not be children of this one, the time between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// While a kill is to be expected: before a run inside this one, whose process it may have been, is gone with its count.
const LOOK_FOR_A_KILL: Duration = Duration::from_millis(1);

/// v1 tells that the cap was hit right before it kills, and may find that somebody is ending anyway.
const KILL_FOLLOWS: Duration = Duration::from_secs(1);

/// What was sent SIGKILL is gone within milliseconds, or as soon as its memory has been given back, or it hangs in the kernel
/// (a network file system that does not answer) and is not waited for.
const KILLED_AND_NOT_GONE: Duration = Duration::from_secs(10);

/// By the exec hogwatch's image has grown by a few pages of its program at most.
const IMAGE_GROWS: u64 = 1 << 20;

impl Run {
    /// Until the command has ended, or was ended.
    pub fn supervise(&mut self, wanted: &Wanted) {
        let deadline = wanted.timeout.map(|timeout| self.began + timeout);
        let mut log = wanted.log.map(|every| Log::new(every, self.began));
        let mut watch_due = self.began;
        loop {
            let next_look = self.watch.as_ref().map(|_| watch_due);
            let now = clock::now();
            let next_kill = self.kill_is_due.filter(|until| now < *until).map(|_| now + LOOK_FOR_A_KILL);
            let due = [deadline, log.as_ref().map(Log::due), next_look, next_kill].into_iter().flatten().min();
            self.wait(due);
            self.pass_signals_on();
            self.see_to_children();
            if self.end.is_some() {
                break;
            }
            self.stop_along(deadline);
            let now = clock::now();
            if self.is_beyond_its_cap(&mut watch_due, now) {
                self.killed_by = Some(KilledBy::Cap);
                self.kill_all();
                break;
            }
            if deadline.is_some_and(|deadline| now >= deadline) {
                self.time_out(wanted);
                break;
            }
            if let Some(log) = log.as_mut().filter(|log| now >= log.due()) {
                log.say(self, now);
            }
        }
        self.look_for_a_kill_at_the_cap();
        if self.killed_by == Some(KilledBy::Cap)
            && let Some(Largest { comm, bytes }) = self.at_the_hit
        {
            self.largest_may_be(comm, bytes);
        }
    }

    /// Waits for a signal (SIGCHLD among them), for news of the exec or the cap, or until `due`.
    fn wait(&mut self, due: Option<Duration>) {
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        fds.extend(self.news.as_ref().map(|news| PollFd::new(news.as_fd(), PollFlags::POLLIN)));
        let hit = self.cap.as_ref().and_then(Cap::limit_hit);
        fds.extend(hit.map(|(fd, events)| PollFd::new(fd, events)));
        let pause = due.map(|due| due.saturating_sub(clock::now()).into());
        // It fails only for an interruption, which is a reason to look, or for want of the kernel's memory: then the loop
        // goes round without a pause, and goes on.
        let _ = ppoll(&mut fds, pause, None);
        let told = |fd: &PollFd<'_>| fd.revents().is_some_and(|events| !events.is_empty());
        let heard = self.news.is_some() && told(&fds[1]);
        if let Some(cap) = self.cap.as_ref().filter(|_| hit.is_some() && fds.last().is_some_and(told)) {
            cap.heard();
            self.kill_is_due = Some(clock::now() + KILL_FOLLOWS);
            self.at_the_hit = self.largest_now();
        }
        if heard && let Some(mut news) = self.news.take() {
            self.not_run = not_run(&mut news);
        }
    }

    /// Signals that came are the command's too.
    pub fn pass_signals_on(&mut self) {
        while let Some(arrived) = self.signals.next() {
            self.interrupted |= arrived.by_kernel && arrived.number == libc::SIGINT;
            // Once it was waited for, its number may be another's.
            if self.end.is_none() && self.is_for_the_command(arrived) {
                // It may have ended this moment.
                let _ = forward(self.main, arrived.number);
            }
        }
    }

    fn is_for_the_command(&mut self, arrived: Arrived) -> bool {
        match arrived.number {
            libc::SIGCHLD => false,
            // The terminal sends these to all of a process group, the command included; but a hang-up to the leader of the
            // session alone.
            libc::SIGHUP if arrived.by_kernel => leads_the_session(),
            libc::SIGINT
            | libc::SIGQUIT
            | libc::SIGTSTP
            | libc::SIGTTIN
            | libc::SIGTTOU
            | libc::SIGWINCH
            | libc::SIGCONT
                if arrived.by_kernel =>
            {
                false
            }
            // A shell continues all of a process group.
            libc::SIGCONT => self.tree.is_stopped(self.main),
            // From one of its own, a `kill 0` above all: it has sent it to whom it meant.
            _ => !self.tree.look().iter().any(|member| member.pid == arrived.sender),
        }
    }

    /// Waits for who has ended, and notes when the command is stopped.
    fn see_to_children(&mut self) {
        while let Ok(Some((pid, change))) = changed() {
            match change {
                Change::Ended => self.bury(pid),
                Change::Stopped(signal) if pid == self.main => self.stopped_by = Some(signal),
                Change::Stopped(_) => {}
            }
        }
    }

    fn bury(&mut self, pid: i32) {
        // The kernel tells its most or that of the largest child that it has waited for, which may be another's name.
        let comm = self.tree.comm(pid).filter(|_| !self.tree.has_waited(pid));
        let Ok((end, bytes)) = reap(pid) else { return };
        if pid == self.main {
            self.end = Some(end);
        }
        // An exec does not begin anew: of the command's own process `bytes` is hogwatch's image at least.
        let of_hogwatch = pid == self.main && bytes <= self.image.saturating_add(IMAGE_GROWS);
        if let Some(comm) = comm.filter(|_| end == End::Signal(libc::SIGKILL) && !of_hogwatch) {
            self.largest_may_be(comm, bytes);
        }
    }

    fn largest_may_be(&mut self, comm: Comm, bytes: u64) {
        if self.largest.is_none_or(|largest| bytes > largest.bytes) {
            self.largest = Some(Largest { comm, bytes });
        }
    }

    /// The largest that lives. Of the one that the kernel is about to kill, its parent may be the one to wait for it.
    fn largest_now(&mut self) -> Option<Largest> {
        let living = self.everybody();
        let sizes = living.iter().filter_map(|member| Some((member.comm, self.tree.resident(member.pid)?)));
        sizes.max_by_key(|(_, bytes)| *bytes).map(|(comm, bytes)| Largest { comm, bytes })
    }

    /// Where nobody but this process kills at the cap.
    fn is_beyond_its_cap(&mut self, watch_due: &mut Duration, now: Duration) -> bool {
        match &mut self.watch {
            Some(watch) if now >= *watch_due => {
                let over = watch.look(&mut self.tree, clock::now);
                *watch_due = clock::now() + watch.period();
                let largest = watch.largest().filter(|_| over);
                if let Some((pid, bytes)) = largest
                    && let Some(comm) = self.tree.comm(pid)
                {
                    self.largest_may_be(comm, bytes);
                }
                over
            }
            Some(_) => false,
            None => self.cap.as_ref().filter(|cap| cap.limit_hit().is_some()).is_some_and(|cap| {
                let over = was_hit(&cap.oom());
                if !over && self.kill_is_due.is_none_or(|until| now >= until) {
                    cap.rest();
                }
                over
            }),
        }
    }

    /// The kernel may have ended the command at its cap: then all of it.
    fn look_for_a_kill_at_the_cap(&mut self) {
        if self.killed_by.is_none() && self.cap.as_ref().is_some_and(|cap| was_hit(&cap.oom())) {
            self.killed_by = Some(KilledBy::Cap);
            self.kill_all();
        }
    }

    /// The time is up: everybody is asked to end, then killed.
    fn time_out(&mut self, wanted: &Wanted) {
        self.killed_by = Some(KilledBy::Timeout);
        let after = wanted.timeout.unwrap_or_default();
        for member in self.everybody() {
            let _ = self.tree.signal(&member, Signal::SIGTERM);
            // A stopped process takes no signal but this one and SIGKILL.
            let _ = self.tree.signal(&member, Signal::SIGCONT);
        }
        let patience = clock::now() + wanted.kill_after;
        loop {
            self.see_to_children();
            let left = self.everybody();
            if left.is_empty() {
                return say(format_args!("timed out after {}; SIGTERM ended it", write_duration(after)));
            }
            let now = clock::now();
            if now >= patience {
                self.kill_all();
                return say(format_args!(
                    "timed out after {}; {} did not end within {} of SIGTERM: killed",
                    write_duration(after),
                    names(&left),
                    write_duration(wanted.kill_after)
                ));
            }
            self.wait(Some(patience.min(now + LOOK_AGAIN)));
            self.pass_signals_on();
        }
    }

    /// Kills everybody, until nobody is left.
    fn kill_all(&mut self) {
        let patience = clock::now() + KILLED_AND_NOT_GONE;
        loop {
            if let Some(cap) = &self.cap {
                // What it can't kill, the next may.
                let _ = cap.kill_all();
            }
            self.tree.kill_all();
            self.see_to_children();
            let left = self.everybody();
            let now = clock::now();
            if left.is_empty() {
                // Who has ended since the last time: the largest takes longest.
                return self.see_to_children();
            }
            if now >= patience {
                return say(format_args!("{} can't be killed, or hangs in the kernel", names(&left)));
            }
            self.wait(Some(now + LOOK_AGAIN));
            while self.signals.next().is_some() {}
        }
    }

    /// Who goes on after the command's end. What is just ending, as the rest of a pipeline, is waited for.
    pub fn who_stays(&mut self) -> Vec<Member> {
        const ENDING: Duration = Duration::from_millis(100);
        let patience = clock::now() + ENDING;
        loop {
            let left = match &self.cap {
                Some(cap) => self.within(cap),
                // Whoever is below this process has somebody above who is its child.
                None if changed().is_err() => Vec::new(),
                None => self.tree.living(),
            };
            let now = clock::now();
            if left.is_empty() || now >= patience {
                return left;
            }
            self.wait(Some(now + LOOK_AGAIN));
            self.see_to_children();
            while self.signals.next().is_some() {}
        }
    }

    /// Who lives in the cgroup.
    fn within(&self, cap: &Cap) -> Vec<Member> {
        let mut pids = Vec::new();
        match cap.pids(&mut pids) {
            Ok(()) => pids.into_iter().filter_map(|pid| self.tree.member(pid)).collect(),
            Err(_) => Vec::new(),
        }
    }

    /// Who lives, in the cgroup or below this process.
    pub fn everybody(&mut self) -> Vec<Member> {
        let mut all = self.tree.living();
        let mut within = self.cap.as_ref().map(|cap| self.within(cap)).unwrap_or_default();
        within.retain(|one| !all.iter().any(|member| member.pid == one.pid));
        all.append(&mut within);
        all
    }
}

/// Whether the OOM killer ended the command, and not only what runs under a cap of its own inside.
fn was_hit(oom: &OomCounts) -> bool {
    oom.kills > 0 && (oom.at_cap > 0 || oom.above.is_some()) && oom.whole != Some(0)
}

fn leads_the_session() -> bool {
    nix::unistd::getsid(None) == Ok(nix::unistd::getpid())
}

/// `2 processes (sh, sleep)`; the first few names only.
pub fn names(members: &[Member]) -> String {
    const MOST: usize = 5;
    let named: Vec<String> = members.iter().take(MOST).map(|member| member.comm.to_string()).collect();
    let more = if members.len() > MOST { ", …" } else { "" };
    let processes = if members.len() == 1 { "process" } else { "processes" };
    format!("{} {processes} ({}{more})", members.len(), named.join(", "))
}
