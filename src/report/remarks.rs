//! What the reporter's own threads have to say in the journal. The guard's queue has one writer, the guard; these may
//! wait for each other.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use super::event::Event;
use super::metrics::Counts;
use super::queue::{Queue, Sent};

/// So many wait while journald is stuck: they are rare, and their memory is taken only then.
const REMARKS: usize = 8;

/// Events on their way to the journal thread from other threads of the reporter.
#[derive(Debug)]
pub(super) struct Remarks {
    waiting: Mutex<VecDeque<Sent>>,
    /// The journal thread waits on this one.
    journal: Arc<Queue>,
    counts: Arc<Counts>,
}

impl Remarks {
    pub fn new(journal: Arc<Queue>, counts: Arc<Counts>) -> Self {
        Self { waiting: Mutex::default(), journal, counts }
    }

    /// Hands over an event; what finds no room is counted and gone.
    pub fn say(&self, at: SystemTime, event: &Event) {
        self.counts.count(at, event);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < REMARKS {
            waiting.push_back(Sent { at, event: *event });
        } else {
            self.journal.drop_one();
            self.counts.count_lost(1);
        }
        drop(waiting);
        self.journal.wake();
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// The oldest, if there is one.
    pub fn take(&self) -> Option<Sent> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::event::EventKind;

    #[test]
    fn first_in_first_out_and_the_surplus_is_counted() {
        let queue = Arc::new(Queue::new(4).unwrap());
        let remarks = Remarks::new(Arc::clone(&queue), Arc::default());
        for pid in 0..10 {
            remarks.say(SystemTime::now(), &Event { pid: Some(pid), ..Event::new(EventKind::Degraded) });
        }
        assert_eq!(queue.take_dropped(), 2);
        let pids: Vec<_> = std::iter::from_fn(|| remarks.take()).map(|sent| sent.event.pid.unwrap()).collect();
        assert_eq!(pids, (0..8).collect::<Vec<i32>>());
    }
}
