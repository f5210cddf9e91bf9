//! Says what happened, without ever making the guard wait.
//!
//! The guard fills an [`Event`] and [`EventSender::send`]s it: a copy into a ring of fixed size, which never blocks and
//! never allocates. Three threads read:
//! - `hogwatch-journal` writes the journal and nothing else ([`Output`] says where), and may wait for a stuck journald
//!   as long as it takes;
//! - `hogwatch-history` writes incidents to disk, and may wait for a stuck disk as long;
//! - `hogwatch-errand` does all the rest that may take time: the status socket, the metrics file, and remarks by
//!   `tracing`.
//!
//! The contract with readers of the journal is [`EVENTS`]; `docs/journal.md` shows it.

mod diagnostics;
mod errands;
mod escape;
mod event;
mod field;
mod history;
pub mod hooks;
pub mod html;
pub mod incident;
mod journal;
mod journald;
mod lines;
mod local;
pub mod metrics;
mod output;
mod queue;
mod record;
pub mod recorder;
mod remarks;
mod repeats;
mod restart;
mod sentence;
mod size;
pub mod status;
mod stop;
pub mod systemd;
mod table;
mod text;
mod time;
mod unit;

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

pub use escape::Escaped;
pub use event::{CGROUP_BYTES, CMDLINE_BYTES, COMM_BYTES, Event, EventKind, REASON_BYTES};
pub use field::Field;
pub use history::{HistoryOptions, Pace, Restarted};
pub use lines::{LineStyle, UtcOffset};
pub use local::Local;
pub use output::Output;
pub use recorder::Recorder;
pub use restart::{Follows, Policy, Restart, Signals};
pub use size::Size;
pub use table::{EVENTS, EventSpec, Priority};
pub use text::Text;
pub use time::clock;
pub use tracing::level_filters::LevelFilter;
pub use unit::unit_of;

use diagnostics::Diagnostics;
use errands::{ErrandsThread, LATEST_EVENTS};
use field::Origin;
use history::{HistoryThread, Losses, Store, Table};
use incident::evidence::{self, EvidenceSender};
use journal::JournalThread;
use metrics::{Counts, Metrics, Wanted};
use queue::Queue;
use remarks::Remarks;
use repeats::Repeats;
use status::server::Server;
use status::{RunningConfig, Shared, Snapshot, StatusOptions};
use stop::Stop;

/// An act is three or four entries: with what the socket itself queues this holds the acts of a bad minute while
/// journald is stuck. 40 KiB of the daemon's memory, which is all there is at hand when it is needed.
const JOURNAL_SLOTS: usize = 32;

/// The errands thread is only ever busy for a client's deadline (0.2 s).
const ERRANDS_SLOTS: usize = 8;

/// The history thread takes what comes into a table at once, but for the moment that the disk takes to write a file.
const HISTORY_SLOTS: usize = 16;

/// Stacks are locked in memory, so they are small. Debug builds were seen to pass all tests with 20 and 24 KiB; the
/// errands thread has besides a few copies of the snapshot (10 KiB).
const JOURNAL_STACK: usize = 48 * 1024;
const ERRANDS_STACK: usize = 96 * 1024;

/// The frames of JSON and of starting a child.
const HISTORY_STACK: usize = 160 * 1024;

/// A thread that is past the deadline notices within an attempt to write (250 ms); this is waited for on top.
const LAST_ATTEMPT: Duration = Duration::from_millis(300);

/// How the reporter is set up.
#[derive(Clone, Debug)]
pub struct ReporterOptions {
    /// Where the entries go: [`Output::choose`].
    pub output: Output,
    /// Entries carry `HOGWATCH_DRY_RUN=1` and sentences say "would".
    pub dry_run: bool,
    /// The status socket, if there is to be one. A socket that cannot be had is a `degraded` event, not an error.
    pub status: Option<StatusOptions>,
    /// Which configuration runs, for those who ask for the status.
    pub config: Arc<RunningConfig>,
    /// The metrics file, if there is to be one.
    pub textfile: Option<PathBuf>,
    /// What the guard records, for incidents to be put together from.
    pub recorder: Recorder,
    /// How incidents are kept on disk; `None`: nowhere.
    pub history: Option<HistoryOptions>,
    /// Which remarks on hogwatch's own workings are wanted.
    pub diagnostics: LevelFilter,
}

/// The guard's end. Belongs to one thread at a time.
#[derive(Debug)]
pub struct EventSender {
    journal: Arc<Queue>,
    errands: Arc<Queue>,
    history: Option<HistoryEnd>,
    shared: Arc<Shared>,
    counts: Arc<Counts>,
    textfile: Arc<Wanted>,
    around: hooks::Surroundings,
    /// The queues are for one writer: not `Sync`.
    one_writer: PhantomData<Cell<()>>,
}

/// The guard's end of the history thread.
#[derive(Debug)]
struct HistoryEnd {
    queue: Arc<Queue>,
    evidence: EvidenceSender,
    incidents: Arc<AtomicU32>,
}

impl EventSender {
    /// Hands over an event and takes its time. Never blocks, never allocates; an event that finds no room is counted,
    /// and a `dropped` entry says so as soon as the journal takes entries again.
    pub fn send(&self, event: &Event) {
        let now = SystemTime::now();
        self.counts.count(now, event);
        if !self.journal.push(now, event) {
            self.counts.count_lost(1);
        }
        self.errands.push(now, event);
        if let Some(history) = &self.history {
            history.queue.push(now, event);
        }
    }

    /// Where the kernel's own reports go, from any thread; `None` when incidents are kept nowhere.
    #[must_use]
    pub fn evidence(&self) -> Option<EvidenceSender> {
        self.history.as_ref().map(|history| history.evidence.clone())
    }

    /// From now on so many incidents are kept on disk.
    pub fn keep_incidents(&self, most: u32) {
        if let Some(history) = &self.history {
            history.incidents.store(most, Ordering::Relaxed);
        }
    }

    /// How many events the journal's queue takes now.
    #[must_use]
    pub fn room(&self) -> usize {
        self.journal.room()
    }

    /// The metrics file is to be here from now on, or nowhere; for a reload.
    pub fn set_textfile(&self, textfile: Option<PathBuf>) {
        self.textfile.set(textfile);
        self.errands.wake();
    }

    /// Starts the thread that runs hooks: see [`hooks::Hooks`]. `home` is the cgroup directory of the daemon's own unit.
    ///
    /// # Errors
    /// No thread, descriptor or socket could be had.
    pub fn start_hooks(&self, commands: hooks::Commands, home: Option<PathBuf>) -> io::Result<hooks::Hooks> {
        hooks::Hooks::start(&self.around, commands, home)
    }

    /// Leaves what the guard just saw for whoever asks for the status. Never blocks, never allocates.
    pub fn publish(&self, write: impl FnOnce(&mut Snapshot)) {
        self.shared.publish(write);
    }
}

/// The reporter's threads.
#[derive(Debug)]
pub struct Reporter {
    stop: Arc<Stop>,
    history: Option<(Worker, Arc<Stop>)>,
    journal: Worker,
    errands: Worker,
}

impl Reporter {
    /// Starts the threads.
    ///
    /// # Errors
    /// No thread, descriptor or socket could be had.
    pub fn start(options: ReporterOptions) -> io::Result<(EventSender, Self)> {
        let now = SystemTime::now();
        let started = options.history.as_ref().map_or(now, |history| Store::new(history.state.clone()).free_start(now));
        let origin = Origin { dry_run: options.dry_run, started };
        let stop = Arc::new(Stop::default());
        let mut sender = EventSender {
            journal: Arc::new(Queue::new(JOURNAL_SLOTS)?),
            errands: Arc::new(Queue::new(ERRANDS_SLOTS)?),
            history: None,
            shared: Arc::new(Shared::default()),
            counts: Arc::new(Counts::default()),
            textfile: Arc::new(Wanted::default()),
            around: hooks::Surroundings { origin, output: options.output.clone() },
            one_writer: PhantomData,
        };
        let writers = options.output.open()?;
        let server = options.status.and_then(|status| open_status(&status, &sender));
        let (counts, wanted) = (Arc::clone(&sender.counts), Arc::clone(&sender.textfile));
        let remarks = Arc::new(Remarks::new(Arc::clone(&sender.journal), Arc::clone(&counts)));
        let diagnostics = Diagnostics { level: options.diagnostics, journald: options.output.journald };
        let history = match options.history {
            Some(history) => {
                Some(start_history(history, &mut sender, origin, options.recorder, &remarks, diagnostics.clone())?)
            }
            None => None,
        };
        let journal = JournalThread {
            queue: Arc::clone(&sender.journal),
            remarks: Arc::clone(&remarks),
            counts: Arc::clone(&counts),
            stop: Arc::clone(&stop),
            writers,
            origin,
            repeats: Repeats::default(),
            message: String::new(),
            lost: 0,
        };
        let errands = ErrandsThread {
            queue: Arc::clone(&sender.errands),
            stop: Arc::clone(&stop),
            shared: Arc::clone(&sender.shared),
            origin,
            server,
            config: options.config,
            latest: VecDeque::with_capacity(LATEST_EVENTS),
            repeats: Repeats::default(),
            diagnostics,
            metrics: Metrics::new(options.textfile, counts, wanted, origin),
            remarks,
        };
        let reporter = Self {
            stop,
            history,
            journal: Worker::start("hogwatch-journal", JOURNAL_STACK, &sender.journal, move || journal.run())?,
            errands: Worker::start("hogwatch-errand", ERRANDS_STACK, &sender.errands, move || {
                errands.run();
                true
            })?,
        };
        Ok((sender, reporter))
    }

    /// Ends the threads after they have written what they can: the incidents within `disk`, then the journal within `journal`.
    /// Returns at the latest a moment (0.3 s) after both, also when journald or the disk is stuck, and as soon as all is
    /// written. Whether all was written.
    pub fn stop(self, disk: Duration, journal: Duration) -> bool {
        // First, while the journal still takes what it has to say.
        let history = self.history.is_none_or(|(history, stop)| {
            let deadline = Instant::now() + disk;
            stop.request(deadline);
            history.end(deadline)
        });
        let deadline = Instant::now() + journal;
        self.stop.request(deadline);
        let journal = self.journal.end(deadline + LAST_ATTEMPT);
        let errands = self.errands.end(deadline + LAST_ATTEMPT);
        history && journal && errands
    }
}

fn start_history(
    options: HistoryOptions,
    sender: &mut EventSender,
    origin: Origin,
    recorder: Recorder,
    remarks: &Arc<Remarks>,
    diagnostics: Diagnostics,
) -> io::Result<(Worker, Arc<Stop>)> {
    let HistoryOptions { state, incidents, restarted, pace } = options;
    let (queue, stop) = (Arc::new(Queue::new(HISTORY_SLOTS)?), Arc::new(Stop::default()));
    let (to_thread, evidence) = evidence::channel()?;
    let incidents = Arc::new(AtomicU32::new(incidents));
    let thread = HistoryThread {
        queue: Arc::clone(&queue),
        evidence,
        stop: Arc::clone(&stop),
        shared: Arc::clone(&sender.shared),
        origin,
        store: Store::new(state),
        recorder,
        incidents: Arc::clone(&incidents),
        restarted,
        pace,
        losses: Losses::new(Arc::clone(remarks)),
        diagnostics,
        table: Table::default(),
        lines: Vec::new(),
        current: None,
        current_stays: None,
        in_vain: None,
    };
    let worker = Worker::start("hogwatch-history", HISTORY_STACK, &queue, move || thread.run())?;
    sender.history = Some(HistoryEnd { queue, evidence: to_thread, incidents });
    Ok((worker, stop))
}

fn open_status(status: &StatusOptions, sender: &EventSender) -> Option<Server> {
    Server::bind(status)
        .inspect_err(|error| {
            let path = status.path.display();
            sender.send(&Event {
                reason: Text::format(format_args!(
                    "no status socket at {path}: {error}; `hogwatch status` has to look by itself"
                )),
                ..Event::new(EventKind::Degraded)
            });
        })
        .ok()
}

/// A thread that can be waited for with a limit.
#[derive(Debug)]
struct Worker {
    /// Whether it did all of its work.
    thread: JoinHandle<bool>,
    /// Closed when the thread is done.
    running: Receiver<()>,
    queue: Arc<Queue>,
}

impl Worker {
    fn start(
        name: &str,
        stack: usize,
        queue: &Arc<Queue>,
        work: impl FnOnce() -> bool + Send + 'static,
    ) -> io::Result<Self> {
        let (guard, running) = mpsc::channel();
        let thread = Builder::new().name(name.to_owned()).stack_size(stack).spawn(move || {
            let _until_done = guard;
            work()
        })?;
        Ok(Self { thread, running, queue: Arc::clone(queue) })
    }

    /// Whether it did all of its work in time; a thread that did not is left to itself.
    fn end(self, deadline: Instant) -> bool {
        self.queue.wake();
        let left = deadline.saturating_duration_since(Instant::now());
        let in_time = matches!(self.running.recv_timeout(left), Err(mpsc::RecvTimeoutError::Disconnected));
        in_time && self.thread.join().is_ok_and(|all_done| all_done)
    }
}
