//! The hooks' thread: starts runs, tends them, says what went wrong.

use std::fmt::Arguments;
use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags};

use super::super::event::{EventKind, REASON_BYTES};
use super::super::field::{Field, Origin};
use super::super::queue::{Sent, poll_ready};
use super::super::repeats::Repeats;
use super::super::text::Text;
use super::environment::{message, variables};
use super::lines::Sink;
use super::run::{Ended, Order, Run};
use super::{Commands, DEADLINE, Hook, RUNS, Shared, Surroundings, desktop, look_up};

/// Between two tries to remove a cgroup whose last process is dying; a killed one needs milliseconds.
const REMOVE_AGAIN: Duration = Duration::from_millis(50);

/// So often: whoever hangs in the kernel longer keeps its cgroup, and systemd removes it with the unit's.
const REMOVE_TRIES: u32 = 100;

/// Between two tries to give the journal what it did not take.
const FLUSH_AGAIN: Duration = Duration::from_millis(50);

/// At the end, so long what was killed may take to be gone, so that no zombie is left.
const LAST_WAIT: Duration = Duration::from_millis(200);

/// All that the thread owns.
#[derive(Debug)]
pub(super) struct HooksThread {
    shared: Arc<Shared>,
    inbox: Receiver<Commands>,
    remarks: SyncSender<Text<REASON_BYTES>>,
    origin: Origin,
    commands: Commands,
    home: Option<PathBuf>,
    sink: Sink,
    repeats: Repeats,
    runs: Vec<Run>,
    /// Cgroups that are not empty yet, and how often that was seen.
    emptying: Vec<(PathBuf, u32)>,
    /// Runs ever started: names their cgroups.
    started: u64,
    /// Runs for which there was no room, and which were not spoken of yet.
    surplus: u64,
}

impl HooksThread {
    pub fn new(
        shared: Arc<Shared>,
        inbox: Receiver<Commands>,
        remarks: SyncSender<Text<REASON_BYTES>>,
        around: &Surroundings,
        commands: Commands,
        home: Option<PathBuf>,
    ) -> io::Result<Self> {
        Ok(Self {
            shared,
            inbox,
            remarks,
            origin: around.origin,
            commands,
            home,
            sink: Sink::open(&around.output)?,
            repeats: Repeats::default(),
            runs: Vec::with_capacity(RUNS),
            emptying: Vec::new(),
            started: 0,
            surplus: 0,
        })
    }

    /// Until the guard's end is gone; then nothing runs any more.
    pub fn run(mut self) {
        self.try_commands();
        loop {
            match self.inbox.try_recv() {
                Ok(commands) => {
                    self.commands = commands;
                    self.try_commands();
                }
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => break,
            }
            while let Some(sent) = self.shared.queue.pop() {
                self.take(&sent);
            }
            self.surplus += self.shared.queue.take_dropped();
            self.tend();
            self.say_surplus();
            self.wait();
        }
        let deadline = Instant::now() + LAST_WAIT;
        self.runs.iter().for_each(Run::kill);
        for run in std::mem::take(&mut self.runs) {
            run.await_exit(deadline);
            let ended = run.finish(&mut self.sink);
            self.emptying.extend(ended.cgroup.map(|cgroup| (cgroup, 0)));
        }
        self.remove_cgroups();
    }

    /// A hook that can't be started is better said now than found out when it is needed.
    fn try_commands(&self) {
        for (hook, argv) in [(Hook::Before, &self.commands.before), (Hook::After, &self.commands.after)] {
            if let Some(Err(why)) = argv.first().map(|program| look_up(program)) {
                self.say_broken(hook, &why);
            }
        }
    }

    fn say_broken(&self, hook: Hook, why: &str) {
        self.remark(format_args!("the {} hook can't be started: {why}", hook.name()));
    }

    fn wait(&self) {
        let now = Instant::now();
        let mut fds = vec![PollFd::new(self.shared.queue.wake_fd(), PollFlags::POLLIN)];
        fds.extend(self.runs.iter().flat_map(Run::wake_ups).map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        let due = self.runs.iter().map(|run| run.due(now)).min();
        let remove = (!self.emptying.is_empty()).then_some(REMOVE_AGAIN);
        let flush = self.sink.is_behind().then_some(FLUSH_AGAIN);
        poll_ready(&mut fds, due.into_iter().chain(remove).chain(flush).min());
        self.shared.queue.clear_wake();
    }

    /// Runs what an event is to be followed, or preceded, by.
    fn take(&mut self, sent: &Sent) {
        let event = &sent.event;
        if event.event == EventKind::Term {
            let before = self.commands.before.clone();
            let started = self.start(Hook::Before, &before, sent);
            if !started && let Some(pid) = event.pid {
                self.answer(pid);
            }
            return;
        }
        if self.repeats.admit(event, Instant::now()).is_none() {
            return;
        }
        let after = self.commands.after.clone();
        self.start(Hook::After, &after, sent);
        if self.commands.desktop {
            for argv in desktop::calls(sent, &message(Hook::Desktop, sent, &self.origin)) {
                self.start(Hook::Desktop, &argv, sent);
            }
        }
    }

    /// Starts a run; whether one was.
    fn start(&mut self, hook: Hook, argv: &[String], sent: &Sent) -> bool {
        let Some(program) = argv.first() else { return false };
        if self.runs.len() >= RUNS {
            self.surplus += 1;
            return false;
        }
        let order = Order {
            hook,
            argv,
            variables: variables(hook, sent, &self.origin),
            incident: Field::Incident.value(&sent.event, &self.origin).map(|id| id.to_string()),
            about: sent.event.pid.filter(|_| hook == Hook::Before),
        };
        let started = look_up(program).and_then(|_| {
            let cgroup = self.make_cgroup();
            Run::start(order, cgroup.clone()).map_err(|e| {
                self.emptying.extend(cgroup.map(|cgroup| (cgroup, 0)));
                e.to_string()
            })
        });
        match started {
            Ok(run) => {
                self.runs.push(run);
                true
            }
            Err(why) => {
                self.say_broken(hook, &why);
                false
            }
        }
    }

    /// A cgroup for a run, where the daemon has one of its own.
    fn make_cgroup(&mut self) -> Option<PathBuf> {
        self.started += 1;
        let cgroup = self.home.as_ref()?.join(format!("hook-{}", self.started));
        fs::create_dir(&cgroup).ok().map(|()| cgroup)
    }

    fn tend(&mut self) {
        let now = Instant::now();
        let mut at = 0;
        while at < self.runs.len() {
            if self.runs[at].tend(&mut self.sink, now) {
                let ended = self.runs.swap_remove(at).finish(&mut self.sink);
                self.say(&ended);
                self.emptying.extend(ended.cgroup.map(|cgroup| (cgroup, 0)));
            } else {
                at += 1;
            }
        }
        self.remove_cgroups();
        self.sink.flush();
    }

    fn remove_cgroups(&mut self) {
        self.emptying.retain_mut(|(cgroup, tries)| {
            *tries += 1;
            fs::remove_dir(&*cgroup).is_err() && *tries < REMOVE_TRIES
        });
    }

    /// Tells the guard that a `before` hook has ended, and says what went wrong with a run.
    fn say(&mut self, ended: &Ended) {
        if let Some(pid) = ended.about {
            self.answer(pid);
        }
        // Whoever has no desktop can't be told: that is no news.
        if ended.hook == Hook::Desktop {
            return;
        }
        let Ended { program, status, .. } = ended;
        let hook = ended.hook.name();
        if ended.overdue {
            let limit = DEADLINE.as_secs();
            return self.remark(format_args!("the {hook} hook ({program}) ran for {limit} s and was ended"));
        }
        let Some(status) = status.filter(|status| !status.success()) else { return };
        match (status.code(), status.signal()) {
            (Some(code), _) => self.remark(format_args!(
                "the {hook} hook ({program}) failed with exit status {code} (journalctl -t hogwatch-hook has what it said)"
            )),
            (None, signal) => self.remark(format_args!(
                "the {hook} hook ({program}) was ended by {}",
                signal.and_then(|n| nix::sys::signal::Signal::try_from(n).ok()).map_or("a signal", |signal| signal.as_str())
            )),
        }
    }

    fn say_surplus(&mut self) {
        if self.surplus > 0 {
            let count = std::mem::take(&mut self.surplus);
            self.remark(format_args!("hooks were not run {count} times: {RUNS} run already, which is the most"));
        }
    }

    fn answer(&self, pid: i32) {
        self.shared.answered.store(pid, Ordering::Release);
        // Fails only when the counter is at its maximum, and then the guard is awake already (eventfd(2)).
        let _ = self.shared.answer.write(1);
    }

    /// Says it to the guard, who writes the entry; when there is no room, it has been said often enough.
    fn remark(&self, words: Arguments<'_>) {
        let _ = self.remarks.try_send(Text::format(words));
        let _ = self.shared.bell.write(1);
    }
}
