//! A thread that raises `memory.high` out of a stuck cgroup's way, and puts it back: lowering it reclaims, and systemd has to
//! be told, so the guard does neither.
//!
//! Every lift is noted in the runtime directory before anything is written. What a daemon that was killed leaves, the next
//! one puts back at its start.

mod lifting;
mod manager;
mod notes;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::config;
use crate::config::LivelockAction;
use crate::host::{Host, Roots};
use crate::observe::cgroups::CgroupPath;
use crate::report::{REASON_BYTES, Text};

use super::systemctl::DEADLINE;
use lifting::{Lifting, Restored};
use manager::Manager;
use notes::Notes;

/// The frames of JSON and of starting a child.
const STACK_BYTES: usize = 160 * 1024;

/// Requests that wait while systemd is asked, and answers: 20 KiB. The guard asks again for what found no room.
const QUEUE: usize = 32;

/// What the guard asks.
#[derive(Debug)]
enum Request {
    Lift {
        id: u64,
        path: CgroupPath,
    },
    Restore {
        id: u64,
    },
    /// Put everything back by then, and end.
    End {
        by: Instant,
    },
}

/// What came of it. `id` is the cgroup's inode. Texts are parts of a sentence, and may be empty where nothing is to be said.
#[derive(Debug)]
pub enum Answer {
    /// `memory.high` is max now.
    Lifted {
        /// Of the request.
        id: u64,
        /// What it was, in bytes.
        old: u64,
        /// What should be known about it: that systemd could not be told.
        remark: Text<REASON_BYTES>,
    },
    /// Nothing was changed.
    NotLifted {
        /// Of the request.
        id: u64,
        /// Why.
        why: Text<REASON_BYTES>,
    },
    /// `memory.high` is what it was before. Also said at the start, of what an earlier daemon left lifted.
    Restored {
        /// Of the request, or of an earlier daemon's.
        id: u64,
        /// Which cgroup.
        path: Option<CgroupPath>,
        /// What it was and is again, in bytes.
        old: u64,
        /// What should be known about it.
        remark: Text<REASON_BYTES>,
    },
    /// It was not put back and will not be: somebody else has set another limit, or the cgroup is gone.
    Left {
        /// Of the request, or of an earlier daemon's.
        id: u64,
        /// Which cgroup.
        path: Option<CgroupPath>,
        /// Why.
        why: Text<REASON_BYTES>,
    },
    /// It could not be put back. It may be asked for again, and will be at the next start.
    NotRestored {
        /// Which cgroup.
        path: Option<CgroupPath>,
        /// Why.
        why: Text<REASON_BYTES>,
    },
    /// A note of an earlier daemon can't be followed: why.
    Dropped(Text<REASON_BYTES>),
}

/// The guard's end.
#[derive(Debug)]
pub struct Lifter {
    requests: SyncSender<Request>,
    answers: Receiver<Answer>,
    bell: Arc<EventFd>,
    ending: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
}

impl Lifter {
    /// Whether there may be something to lift or to put back: else the thread need not be.
    #[must_use]
    pub fn is_needed(livelock: &config::Livelock, runtime: &Path) -> bool {
        let mut actions = livelock.overrides.iter().filter_map(|o| o.action).chain([livelock.action]);
        let lifts = livelock.enabled && actions.any(|action| action == LivelockAction::Lift);
        lifts || Notes::below(runtime).are_there()
    }

    /// Starts the thread, which first puts back what the notes below `runtime` tell of.
    ///
    /// # Errors
    /// No thread or descriptor could be had, or there is no cgroup v2.
    pub fn start(runtime: &Path) -> io::Result<Self> {
        let host = Host::open(&Roots::default())?;
        let root = host.cgroup2.ok_or_else(|| io::Error::other("no unified cgroup hierarchy is mounted"))?;
        let mut buf = [0; 64];
        let boot = host.proc.read(c"sys/kernel/random/boot_id", &mut buf)?;
        let lifting = Lifting {
            root,
            notes: Notes::below(runtime),
            manager: Manager::of_this_process(host.page_size),
            boot: String::from_utf8_lossy(boot).trim().to_owned(),
            lifted: Vec::new(),
            changed: 0,
        };
        Self::with(lifting)
    }

    fn with(lifting: Lifting) -> io::Result<Self> {
        let (requests, inbox) = sync_channel(QUEUE);
        let (outbox, answers) = sync_channel(QUEUE);
        let bell = Arc::new(EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?);
        let (ending, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let thread = Thread {
            lifting,
            untold: VecDeque::new(),
            inbox,
            outbox,
            bell: Arc::clone(&bell),
            ending: Arc::clone(&ending),
            ended: Arc::clone(&ended),
        };
        thread::Builder::new().name("lifter".into()).stack_size(STACK_BYTES).spawn(move || thread.run())?;
        Ok(Self { requests, answers, bell, ending, ended })
    }

    /// Asks for the `memory.high` of the cgroup at `path` to be lifted, whose inode is `id`. `false` when there is no room
    /// for the request: to be tried again.
    #[must_use]
    pub fn lift(&self, id: u64, path: &CgroupPath) -> bool {
        self.requests.try_send(Request::Lift { id, path: *path }).is_ok()
    }

    /// Asks for it to be put back. `false` as for [`Lifter::lift`].
    #[must_use]
    pub fn restore(&self, id: u64) -> bool {
        self.requests.try_send(Request::Restore { id }).is_ok()
    }

    /// What there is to say, if anything.
    #[must_use]
    pub fn answer(&self) -> Option<Answer> {
        super::take(&self.answers, &self.bell)
    }

    /// Becomes readable when there is an answer.
    #[must_use]
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Has everything put back, and says what came of it. Returns after `limit` at the latest; what is not done by then is
    /// left to the next start. Whether all was done.
    pub fn stop(self, limit: Duration, mut tell: impl FnMut(Answer)) -> bool {
        let by = Instant::now() + limit;
        // What waits is dropped by the thread, so that there is room.
        self.ending.store(true, Ordering::Relaxed);
        let mut asked = false;
        let mut all = true;
        loop {
            asked = asked || self.requests.try_send(Request::End { by }).is_ok();
            let left = by.saturating_duration_since(Instant::now());
            // A request found no room only while the thread is at work: soon it has.
            let wait = if asked { left } else { left.min(Duration::from_millis(10)) };
            match self.answers.recv_timeout(wait) {
                Ok(answer) => {
                    all &= !matches!(answer, Answer::NotRestored { .. });
                    tell(answer);
                }
                Err(RecvTimeoutError::Disconnected) => return all,
                Err(RecvTimeoutError::Timeout) if Instant::now() >= by => {
                    return all && self.ended.load(Ordering::Relaxed);
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

/// The thread's end.
struct Thread {
    lifting: Lifting,
    /// What was raised, and was: systemd is yet to be told, and the guard.
    untold: VecDeque<(u64, u64)>,
    inbox: Receiver<Request>,
    outbox: SyncSender<Answer>,
    bell: Arc<EventFd>,
    /// Only what the end asks for is done any more.
    ending: Arc<AtomicBool>,
    /// Everything was put back; systemd is yet to notice that files are gone, which is no loss.
    ended: Arc<AtomicBool>,
}

impl Thread {
    /// Until it is told to end, or the guard is gone.
    fn run(mut self) {
        for why in self.lifting.take_over() {
            self.say(Answer::Dropped(text(&why)));
        }
        self.restore_all(Instant::now() + DEADLINE);
        while let Some(request) = self.next() {
            match request {
                Request::End { by } => {
                    while let Some((id, old)) = self.untold.pop_front() {
                        self.say(Answer::Lifted { id, old, remark: Text::new() });
                    }
                    self.restore_all(by);
                    self.ended.store(true, Ordering::Relaxed);
                    return self.lifting.settle(by);
                }
                Request::Lift { .. } | Request::Restore { .. } if self.ending.load(Ordering::Relaxed) => {}
                Request::Lift { id, path } => self.lift(id, &path),
                Request::Restore { id } => self.restore(id, Instant::now() + DEADLINE),
            }
        }
    }

    /// The next request. What waits for systemd comes after it: the files of all that are stuck are written before a busy
    /// manager is asked about the first of them.
    fn next(&mut self) -> Option<Request> {
        loop {
            match self.inbox.try_recv() {
                Ok(request) => return Some(request),
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => return None,
            }
            let Some((id, old)) = self.untold.pop_front() else {
                self.lifting.settle(Instant::now() + DEADLINE);
                return self.inbox.recv().ok();
            };
            let remark = match self.lifting.tell(id, Instant::now() + DEADLINE) {
                Ok(()) => Text::new(),
                Err(why) => Text::format(format_args!(
                    "systemd was not told ({why}), and may put the limit back whenever it touches the unit"
                )),
            };
            self.say(Answer::Lifted { id, old, remark });
        }
    }

    fn lift(&mut self, id: u64, path: &CgroupPath) {
        match self.lifting.raise(id, path.as_bytes()) {
            Ok(old) => self.untold.push_back((id, old)),
            Err(why) => self.say(Answer::NotLifted { id, why: text(&why) }),
        }
    }

    fn restore_all(&mut self, by: Instant) {
        let ids: Vec<_> = self.lifting.lifted.iter().map(|note| note.inode).collect();
        for id in ids {
            self.restore(id, by);
        }
    }

    fn restore(&mut self, id: u64, deadline: Instant) {
        let path = self.lifting.path(id);
        let old = self.lifting.lifted.iter().find(|note| note.inode == id).map_or(0, |note| note.high);
        let answer = match self.lifting.restore(id, deadline) {
            Ok(Restored::Back(remark)) => Answer::Restored { id, path, old, remark: text(&remark.unwrap_or_default()) },
            Ok(Restored::Left(why)) => Answer::Left { id, path, why: text(&why) },
            Err(why) => Answer::NotRestored { path, why: text(&why) },
        };
        self.say(answer);
    }

    fn say(&self, answer: Answer) {
        // Nobody listens any more: what was to be done is done all the same.
        let _ = self.outbox.send(answer);
        let _ = self.bell.write(1);
    }
}

fn text(words: &str) -> Text<REASON_BYTES> {
    Text::from_bytes(words.as_bytes())
}
