//! Hooks: programs of the admin's, run before SIGTERM and after an act, and the word to logged-in users.
//!
//! A thread of its own starts them, listens to what they write, and ends them at a deadline: it exists only while a hook is
//! configured, so that nobody else pays for it, and so that no hook keeps the status socket waiting. The guard hands events
//! over by a bounded queue, as to the journal, and asks whether a `before` hook has ended; it never waits for anything here
//! but that, and for that only as long as it says itself.
//!
//! What hooks are promised is in `docs/hooks.md`.

mod desktop;
mod environment;
mod lines;
mod program;
mod run;
mod thread;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::Builder;
use std::time::{Duration, Instant, SystemTime};

use nix::poll::{PollFd, PollFlags};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::event::{Event, EventKind, REASON_BYTES};
use super::field::Origin;
use super::output::Output;
use super::queue::{Queue, poll_ready};
use super::text::Text;
pub use program::look_up;
use thread::HooksThread;

/// So many run at the same time. A `before` and an `after` of one act may overlap, and a slow `after` of the act before
/// that; more than these at once are a hook that hangs.
pub const RUNS: usize = 4;

/// A hook that runs longer is ended: SIGTERM, then SIGKILL, of all that it has started.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// From that SIGTERM to the SIGKILL.
pub const KILL_AFTER: Duration = Duration::from_secs(2);

/// Events that wait for the thread, which takes them within milliseconds.
const SLOTS: usize = 8;

/// Remarks that wait for the guard; there is little to say.
const REMARKS: usize = 8;

/// Starting a child takes most of it.
const STACK_BYTES: usize = 128 * 1024;

/// How long the end of the thread is waited for: it kills what runs, and that is all.
const AT_THE_END: Duration = Duration::from_millis(300);

/// What is run, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commands {
    /// Program and arguments to run before SIGTERM; empty for none.
    pub before: Vec<String>,
    /// Program and arguments to run after an act; empty for none.
    pub after: Vec<String>,
    /// Whether logged-in users are told.
    pub desktop: bool,
}

impl Commands {
    /// Whether there is nothing to run at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.before.is_empty() && self.after.is_empty() && !self.desktop
    }
}

/// Which of the commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hook {
    Before,
    After,
    Desktop,
}

impl Hook {
    pub fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
            Self::Desktop => "desktop",
        }
    }
}

/// Which entries `after` runs for, and users are told of: an act has come to its end, or a person is needed.
#[must_use]
pub fn is_worth_a_hook(event: EventKind) -> bool {
    use EventKind as E;
    match event {
        E::Warn | E::Exited | E::SetAside | E::Refused | E::OomStuck | E::Lift | E::KernelOom | E::OomdKill => true,
        E::Start
        | E::Stop
        | E::Reload
        | E::ConfigRejected
        | E::State
        | E::Term
        | E::Kill
        | E::Livelock
        | E::LiftRestored
        | E::Recovered
        | E::Degraded
        | E::Dropped => false,
    }
}

/// What the thread needs to know of the daemon.
#[derive(Clone, Debug)]
pub(super) struct Surroundings {
    pub origin: Origin,
    pub output: Output,
}

/// What both ends hold.
#[derive(Debug)]
struct Shared {
    queue: Queue,
    /// The pid whose `before` hook has ended last, and the bell that says so.
    answered: AtomicI32,
    answer: EventFd,
    /// Rings when there is a remark.
    bell: EventFd,
}

/// The guard's end. The thread ends when it is dropped.
#[derive(Debug)]
pub struct Hooks {
    shared: Arc<Shared>,
    commands: Option<Sender<Commands>>,
    remarks: Receiver<Text<REASON_BYTES>>,
    /// Closed when the thread is done.
    running: Receiver<()>,
    has_before: bool,
}

impl Hooks {
    /// Starts the thread. `home` is the cgroup directory of the daemon's own unit, if it runs in one: hooks get cgroups of
    /// their own below it.
    pub(super) fn start(around: &Surroundings, commands: Commands, home: Option<PathBuf>) -> io::Result<Self> {
        let bell = || EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC);
        let shared =
            Arc::new(Shared { queue: Queue::new(SLOTS)?, answered: AtomicI32::new(0), answer: bell()?, bell: bell()? });
        let (sender, inbox) = mpsc::channel();
        let (remark, remarks) = mpsc::sync_channel(REMARKS);
        let (until_done, running) = mpsc::channel();
        let has_before = !commands.before.is_empty();
        let thread = HooksThread::new(Arc::clone(&shared), inbox, remark, around, commands, home)?;
        Builder::new().name("hooks".to_owned()).stack_size(STACK_BYTES).spawn(move || {
            let _until_done = until_done;
            thread.run();
        })?;
        Ok(Self { shared, commands: Some(sender), remarks, running, has_before })
    }

    /// Goes on with other commands; what runs, runs on.
    pub fn configure(&mut self, commands: Commands) {
        self.has_before = !commands.before.is_empty();
        if let Some(sender) = &self.commands {
            let _ = sender.send(commands);
        }
        self.shared.queue.wake();
    }

    /// Runs the `before` hook for a SIGTERM that is about to be sent, if there is one; whether there is. Never waits, never
    /// allocates.
    #[must_use]
    pub fn before(&self, term: &Event) -> bool {
        if self.has_before {
            self.shared.answered.store(0, Ordering::Relaxed);
            let _ = self.shared.answer.read();
            self.shared.queue.push(SystemTime::now(), term);
        }
        self.has_before
    }

    /// Waits until the `before` hook for this victim has ended, or could not be run, but no longer than `limit`; whether it
    /// has.
    #[must_use]
    pub fn has_ended_before(&self, pid: i32, limit: Duration) -> bool {
        let ended = || self.shared.answered.load(Ordering::Acquire) == pid;
        if !ended() {
            poll_ready(&mut [PollFd::new(self.shared.answer.as_fd(), PollFlags::POLLIN)], Some(limit));
            // That of another victim's, which came late.
            let _ = self.shared.answer.read();
        }
        ended()
    }

    /// Runs what is to be run after an event, if anything is. Never waits, never allocates.
    pub fn after(&self, event: &Event) {
        if is_worth_a_hook(event.event) {
            self.shared.queue.push(SystemTime::now(), event);
        }
    }

    /// What there is to say about hooks, if anything: a part of a sentence, for a `degraded` entry.
    #[must_use]
    pub fn remark(&self) -> Option<Text<REASON_BYTES>> {
        self.remarks.try_recv().ok().or_else(|| {
            // What is said after this look at the bell rings it again.
            let _ = self.shared.bell.read();
            self.remarks.try_recv().ok()
        })
    }

    /// Becomes readable when there is a remark.
    #[must_use]
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.shared.bell.as_fd()
    }

    /// Ends the thread and all that it runs. Returns within a moment, also when something can't be killed.
    pub fn stop(mut self) {
        self.hang_up();
        let _ = self.running.recv_timeout(AT_THE_END);
    }

    fn hang_up(&mut self) {
        self.commands = None;
        self.shared.queue.wake();
    }
}

impl Drop for Hooks {
    fn drop(&mut self) {
        self.hang_up();
    }
}

/// How long it is from `now` until then; nothing when that is over.
fn until(deadline: Instant, now: Instant) -> Duration {
    deadline.saturating_duration_since(now)
}
