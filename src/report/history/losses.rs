//! What the history thread has to say itself: mostly that something could not be kept.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::super::event::{Event, EventKind};
use super::super::remarks::Remarks;
use super::super::text::Text;

/// Losses are told this often at most: a full disk stays full.
const EVERY: Duration = Duration::from_secs(60);

/// The way to the journal.
#[derive(Debug)]
pub struct Losses {
    remarks: Arc<Remarks>,
    /// When a loss was told last.
    told: Option<Duration>,
    /// Losses since.
    held_back: u64,
}

impl Losses {
    /// Nothing was lost yet.
    pub fn new(remarks: Arc<Remarks>) -> Self {
        Self { remarks, told: None, held_back: 0 }
    }

    /// Says something.
    pub fn say(&self, event: &Event) {
        self.remarks.say(SystemTime::now(), event);
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
