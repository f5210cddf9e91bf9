//! A thread that listens for the kernel's OOM killer: in the kernel's log, which names the victim and the limit; where that
//! may not be read, in the count of such kills.

mod counts;
mod told;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::decide::KilledFor;
use crate::host::dir::Dir;
use crate::host::kmsg::{KernelLog, Next, RECORD_BYTES};
use crate::host::{Host, clock};
use crate::observe::cgroups;
use crate::observe::kmsg::{Assembler, Heard, OomReport, Record};
use crate::observe::parse::{Limit, parse_limit};
use crate::report::incident::evidence::{Evidence, KernelOom};
use crate::report::incident::schema::KernelLine;
use crate::report::{Escaped, REASON_BYTES, Text};

use counts::Counts;

/// A record, a report, an event, and the frames around them.
const STACK_BYTES: usize = 64 * 1024;

/// News that wait for the guard; the kernel keeps what is not read yet.
const QUEUE: usize = 8;

/// What came back and waits to be freed. That is done before anything is sent, and then only what the queue holds, what the
/// guard has in hand and what is being sent can come back until the next time.
const SPENT: usize = QUEUE + 2;

/// Records that are read before what they told is passed on: some reports.
const AT_ONCE: usize = 1024;

/// What the thread has to say.
#[derive(Debug)]
pub enum News {
    /// The kernel killed. Which incident that is, is not known yet.
    Kill {
        /// What is said of it.
        kill: Box<KernelOom>,
        /// What was short.
        killed_for: KilledFor,
    },
    /// A line of the log that belongs to whatever goes on.
    Line(Box<KernelLine>),
    /// So many processes were killed of which no report was seen.
    Counted(u64),
    /// Something can't be had, or was lost.
    Degraded(Text<REASON_BYTES>),
}

/// The guard's end.
#[derive(Debug)]
pub struct Killers {
    news: Receiver<News>,
    spent: SyncSender<Evidence>,
    bell: Arc<EventFd>,
    /// Whether the kernel's log is read: then kills have names.
    pub reads_log: bool,
}

impl Killers {
    /// Starts the thread, which hears what happens from now on.
    ///
    /// # Errors
    /// No thread or descriptor could be had.
    pub fn start(host: &Host) -> io::Result<Self> {
        let (outbox, news) = sync_channel(QUEUE);
        let (spent, to_free) = sync_channel(SPENT);
        let bell = Arc::new(EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?);
        let (log, complaint) = match KernelLog::open() {
            Ok(log) => (Some(log), None),
            Err(e) => (None, Some(e)),
        };
        let reads_log = log.is_some();
        let listener = Listener {
            log,
            assembler: Assembler::new(host.page_size),
            root: host.cgroup2.as_ref().and_then(|root| root.again().ok()),
            counts: Counts::start(&host.proc, reads_log, clock::now()),
            outbox: Outbox { news: outbox, spent: to_free, bell: Arc::clone(&bell) },
        };
        if let Some(error) = complaint {
            listener.outbox.degraded(format_args!(
                "of kills by the kernel's OOM killer only the number is known, not whom: /dev/kmsg can't be read ({error}); \
                 the system's own unit may"
            ));
        }
        thread::Builder::new().name("killers".into()).stack_size(STACK_BYTES).spawn(move || listener.run())?;
        Ok(Self { news, spent, bell, reads_log })
    }

    /// What the thread has to say, if anything.
    #[must_use]
    pub fn news(&self) -> Option<News> {
        super::take(&self.news, &self.bell)
    }

    /// Gives back what nobody keeps: it is freed by the thread that allocated it. Never blocks.
    pub fn give_back(&self, spent: Evidence) {
        // There is room, see `SPENT`. (Should the thread have ended, its last few words are freed here.)
        let _ = self.spent.try_send(spent);
    }

    /// Becomes readable when there is news.
    #[must_use]
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

/// The way to the guard.
struct Outbox {
    news: SyncSender<News>,
    spent: Receiver<Evidence>,
    bell: Arc<EventFd>,
}

impl Outbox {
    /// Hands it over, and waits for room; `false` when the guard is gone.
    fn send(&self, news: News) -> bool {
        self.spent.try_iter().for_each(drop);
        let sent = self.news.send(news).is_ok();
        let _ = self.bell.write(1);
        sent
    }

    fn degraded(&self, reason: std::fmt::Arguments<'_>) -> bool {
        self.send(News::Degraded(Text::format(reason)))
    }
}

struct Listener {
    log: Option<KernelLog>,
    assembler: Assembler,
    /// Of the unified hierarchy, for limits.
    root: Option<Dir>,
    counts: Counts,
    outbox: Outbox,
}

impl Listener {
    fn run(mut self) {
        let mut buf = vec![0; RECORD_BYTES];
        while self.listen(&mut buf) {
            let due = [self.assembler.due(), self.counts.due()].into_iter().flatten().min();
            if let Err(error) = self.wait(due) {
                self.outbox.degraded(format_args!("kills by the kernel's OOM killer are no longer seen: {error}"));
                return;
            }
        }
    }

    /// Takes some of what there is; `false` when the guard is gone.
    fn listen(&mut self, buf: &mut [u8]) -> bool {
        let mut heard = Vec::new();
        let mut note = |what| heard.push(what);
        let mut complaint = None;
        let mut drained = self.log.is_none();
        for _ in 0..AT_ONCE {
            let Some(log) = &self.log else { break };
            match log.next(buf) {
                Ok(Next::Record(bytes)) => {
                    if let Some(record) = Record::parse(bytes) {
                        self.assembler.hear(&record, clock::now(), &mut note);
                    }
                }
                Ok(Next::Lost) => {
                    self.assembler.lost(&mut note);
                    self.counts.look_soon(clock::now());
                    complaint = Some(Text::format(format_args!(
                        "the kernel's log was written faster than it was read: a report of its OOM killer may be missing"
                    )));
                }
                Ok(Next::Nothing) => {
                    drained = true;
                    break;
                }
                Err(error) => {
                    // Nothing it is known to do; a device that keeps failing must not keep this thread busy.
                    self.log = None;
                    self.counts.count_on(clock::now());
                    complaint = Some(Text::format(format_args!(
                        "the kernel's log can't be read any more ({error}): of kills by its OOM killer only the number is known"
                    )));
                }
            }
        }
        let now = clock::now();
        // Only when all was read: this thread may have been kept from it, and the rest of a report be there already.
        if drained {
            self.assembler.settle(now, &mut note);
        }
        let mut alive = true;
        for what in heard {
            alive &= self.tell(what);
        }
        if let Some(reason) = complaint {
            alive &= self.outbox.send(News::Degraded(reason));
        }
        match self.counts.look(now) {
            Some(missed) => alive & self.outbox.send(News::Counted(missed)),
            None => alive,
        }
    }

    fn tell(&mut self, heard: Heard) -> bool {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let t_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        match heard {
            Heard::Oom(report) => {
                self.counts.told(report.counted);
                let limit = self.limit(&report);
                self.outbox.send(News::Kill {
                    kill: Box::new(KernelOom {
                        event: told::event(&report, limit),
                        report: told::report(&report, limit, t_ms),
                    }),
                    killed_for: told::killed_for(&report),
                })
            }
            Heard::HungTask(line) => {
                self.outbox.send(News::Line(Box::new(KernelLine { t_ms, text: Escaped(&line).to_string() })))
            }
        }
    }

    /// The limit that was hit: as the report says, else as it is now.
    fn limit(&self, report: &OomReport) -> Option<u64> {
        let said = report.usage.map(|usage| usage.limit);
        said.or_else(|| {
            let dir = cgroups::open(self.root.as_ref()?, report.limit_cgroup.as_deref()?).ok()?;
            match parse_limit(dir.read(c"memory.max", &mut [0; 64]).ok()?).ok()? {
                Limit::Bytes(bytes) => Some(bytes),
                Limit::Max => None,
            }
        })
    }

    /// Waits for the log, or until then.
    fn wait(&self, due: Option<Duration>) -> io::Result<()> {
        // A millisecond more than the rest of one, or its end would be waited for in a busy loop.
        let millis = due.map(|due| due.saturating_sub(clock::now()).as_millis() + 1);
        let timeout = millis.map_or(PollTimeout::NONE, |ms| PollTimeout::from(u16::try_from(ms).unwrap_or(u16::MAX)));
        let mut fds = self.log.iter().map(|log| PollFd::new(log.as_fd(), PollFlags::POLLIN)).collect::<Vec<_>>();
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }
}
