//! What the history thread has to say itself. The events' queue has one writer, the guard: this is another, to the journal
//! alone.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::super::event::{Event, EventKind};
use super::super::queue::Queue;
use super::super::text::Text;

/// Losses are told this often at most: a full disk stays full.
const EVERY: Duration = Duration::from_secs(60);

/// The way to the journal.
#[derive(Debug)]
pub struct Remarks {
    /// The journal thread reads it besides its own.
    queue: Arc<Queue>,
    /// That thread's own queue, whose bell it listens to.
    journal: Arc<Queue>,
    /// When a loss was told last.
    told: Option<Duration>,
    /// Losses since.
    held_back: u64,
}

impl Remarks {
    /// A way by `queue`, which the thread reads that waits for `journal`.
    pub fn new(queue: Arc<Queue>, journal: Arc<Queue>) -> Self {
        Self { queue, journal, told: None, held_back: 0 }
    }

    /// Says something.
    pub fn say(&self, event: &Event) {
        self.queue.push(SystemTime::now(), event);
        self.journal.wake();
    }

    /// Says that something is not kept, and why; once a minute at most.
    pub fn lost(&mut self, why: &str, now: Duration) {
        if self.told.is_some_and(|told| now.saturating_sub(told) < EVERY) {
            self.held_back += 1;
            return;
        }
        self.told = Some(now);
        let more = std::mem::take(&mut self.held_back);
        let reason = match more {
            0 => Text::format(format_args!("incidents are not kept as they should be: {why}")),
            more => {
                Text::format(format_args!("incidents are not kept as they should be: {why} ({more} more before it)"))
            }
        };
        self.say(&Event { reason, ..Event::new(EventKind::Degraded) });
    }
}
