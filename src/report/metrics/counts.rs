//! What is counted, as it happens: by the guard when it sends an event, so that a reporter that is busy misses none.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;

use super::super::event::{Event, EventKind};
use super::super::table::EVENTS;

/// Every value of [`Event::kind`], and the last for one that is not known here: a label has these values and no others.
pub const KINDS: [&str; 10] = [
    "memory",
    "swap",
    "cgroup_limit",
    "throttled",
    "squeezed",
    "thrash",
    "swap_thrash",
    "oom_stuck",
    "pressure",
    OTHER,
];
const OTHER: &str = "other";

/// The kinds that are ways of being stuck begin here.
pub(super) const FIRST_STUCK: usize = 3;

/// The signals that are sent.
pub(super) const SIGNALS: [Signal; 2] = [Signal::SIGTERM, Signal::SIGKILL];

/// Upper bounds of the histogram of decisions, in microseconds: a decision among few processes takes less than a
/// millisecond, among thousands some ten, and one in a throttled cgroup was seen to take seconds.
pub(super) const DECIDE_BOUNDS_USEC: [u64; 9] =
    [500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 1_000_000, 10_000_000];

/// Counts since the start of the daemon. Counting is a few additions: it never blocks and never allocates.
#[derive(Debug)]
pub(in super::super) struct Counts {
    /// By the row of [`EVENTS`].
    events: [AtomicU64; EVENTS.len()],
    /// By [`SIGNALS`] and [`KINDS`].
    signals: [[AtomicU64; KINDS.len()]; SIGNALS.len()],
    /// By [`KINDS`].
    livelocks: [AtomicU64; KINDS.len()],
    freed_bytes: AtomicU64,
    /// By [`DECIDE_BOUNDS_USEC`], and one for all that took longer.
    decided: [AtomicU64; DECIDE_BOUNDS_USEC.len() + 1],
    decide_usec: AtomicU64,
    /// Since 1970; of no meaning before the first act.
    last_act_ms: AtomicU64,
    lost_entries: AtomicU64,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            events: zeros(),
            signals: array::from_fn(|_| zeros()),
            livelocks: zeros(),
            freed_bytes: AtomicU64::new(0),
            decided: zeros(),
            decide_usec: AtomicU64::new(0),
            last_act_ms: AtomicU64::new(0),
            lost_entries: AtomicU64::new(0),
        }
    }
}

impl Counts {
    /// An event that happened at `at`.
    pub fn count(&self, at: SystemTime, event: &Event) {
        add(&self.events[event.event as usize], 1);
        let kind = kind_index(event.kind);
        match event.event {
            EventKind::Term | EventKind::Kill => {
                if let Some(row) = SIGNALS.iter().position(|signal| event.signal == Some(*signal)) {
                    add(&self.signals[row][kind], 1);
                }
                let since = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
                self.last_act_ms.store(u64::try_from(since).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
            EventKind::Livelock | EventKind::OomStuck => add(&self.livelocks[kind], 1),
            _ => {}
        }
        if let Some(usec) = event.decide_usec {
            let bucket = DECIDE_BOUNDS_USEC.partition_point(|bound| *bound < usec);
            add(&self.decided[bucket], 1);
            add(&self.decide_usec, usec);
        }
        add(&self.freed_bytes, event.freed_bytes.unwrap_or(0));
    }

    /// So many entries did not reach the journal.
    pub fn count_lost(&self, entries: u64) {
        add(&self.lost_entries, entries);
    }

    pub(super) fn events(&self, event: EventKind) -> u64 {
        now(&self.events[event as usize])
    }

    /// By the indices of [`SIGNALS`] and [`KINDS`].
    pub(super) fn signals(&self, signal: usize, kind: usize) -> u64 {
        now(&self.signals[signal][kind])
    }

    /// By the index of [`KINDS`].
    pub(super) fn livelocks(&self, kind: usize) -> u64 {
        now(&self.livelocks[kind])
    }

    pub(super) fn freed_bytes(&self) -> u64 {
        now(&self.freed_bytes)
    }

    /// One for each of [`DECIDE_BOUNDS_USEC`], one for all that took longer, and the sum in microseconds.
    pub(super) fn decided(&self) -> ([u64; DECIDE_BOUNDS_USEC.len() + 1], u64) {
        (array::from_fn(|bucket| now(&self.decided[bucket])), now(&self.decide_usec))
    }

    pub(super) fn last_act(&self) -> Option<Duration> {
        let acts = self.events(EventKind::Term) + self.events(EventKind::Kill);
        (acts > 0).then(|| Duration::from_millis(now(&self.last_act_ms)))
    }

    pub(super) fn lost_entries(&self) -> u64 {
        now(&self.lost_entries)
    }
}

fn kind_index(kind: Option<&str>) -> usize {
    KINDS.iter().position(|known| kind == Some(*known)).unwrap_or(KINDS.len() - 1)
}

fn zeros<const N: usize>() -> [AtomicU64; N] {
    array::from_fn(|_| AtomicU64::new(0))
}

fn add(count: &AtomicU64, more: u64) {
    count.fetch_add(more, Ordering::Relaxed);
}

fn now(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}
