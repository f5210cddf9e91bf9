//! The journal thread: writes the journal and nothing else, for as long as journald makes it wait.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::event::{Event, EventKind};
use super::field::Origin;
use super::metrics::Counts;
use super::output::Writers;
use super::queue::{Queue, Sent};
use super::record::{self, Record};
use super::remarks::Remarks;
use super::repeats::Repeats;
use super::stop::Stop;

/// All that the thread owns.
#[derive(Debug)]
pub(super) struct JournalThread {
    pub queue: Arc<Queue>,
    /// What the reporter itself has to say.
    pub remarks: Arc<Remarks>,
    pub counts: Arc<Counts>,
    pub stop: Arc<Stop>,
    pub writers: Writers,
    pub origin: Origin,
    pub repeats: Repeats,
    pub message: String,
    /// Entries that could not be written, or found no room in the queue, and were not spoken of yet.
    pub lost: u64,
}

impl JournalThread {
    /// Until stopped, and then until all is written or the deadline is over; whether all was written.
    pub fn run(mut self) -> bool {
        loop {
            while let Some(sent) = self.queue.pop().or_else(|| self.remarks.take()) {
                match self.repeats.admit(&sent.event, Instant::now()) {
                    Some(held_back) => self.write_or_count(&sent, held_back),
                    None => self.repeats.hold(&sent),
                }
                if self.stop.is_overdue() {
                    return self.lost == 0 && self.is_empty() && self.queue.take_dropped() == 0;
                }
            }
            // What was lost came after all that was in the queue: this is its place in the story.
            self.report_losses();
            // Looked at before the queue, or an event sent just before the stop could be missed.
            let stopping = self.stop.is_requested();
            if !self.is_empty() {
                continue;
            }
            while let Some((sent, held_back)) = self.repeats.overdue(Instant::now(), stopping) {
                self.write_or_count(&sent, held_back);
            }
            if stopping {
                return self.lost == 0;
            }
            self.queue.wait(self.repeats.due(Instant::now()));
        }
    }

    fn write_or_count(&mut self, sent: &Sent, held_back: u64) {
        if !self.write(sent, held_back) {
            self.lost += 1;
            self.counts.count_lost(1);
        }
    }

    fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.remarks.is_empty()
    }

    fn report_losses(&mut self) {
        self.lost += self.queue.take_dropped();
        if self.lost == 0 {
            return;
        }
        let event = Event { count: Some(self.lost), ..Event::new(EventKind::Dropped) };
        let sent = Sent { at: SystemTime::now(), event };
        if self.write(&sent, 0) {
            self.lost = 0;
        }
    }

    fn write(&mut self, sent: &Sent, held_back: u64) -> bool {
        record::message(&mut self.message, sent, &self.origin, held_back, SystemTime::now());
        let record = Record { sent, message: &self.message, origin: &self.origin };
        self.writers.write(&record, &self.stop)
    }
}
