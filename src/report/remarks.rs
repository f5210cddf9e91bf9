//! What the reporter's own threads have to say in the journal. The guard's queue has one writer, the guard; these may
//! wait for each other.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use super::event::Event;
use super::queue::{Queue, Sent};

/// So many wait while journald is stuck: they are rare, and their memory is taken only then.
const REMARKS: usize = 8;

/// Events on their way to the journal thread from other threads of the reporter.
#[derive(Debug)]
pub(super) struct Remarks {
    waiting: Mutex<VecDeque<Sent>>,
    /// The journal thread waits on this one.
    journal: Arc<Queue>,
}

impl Remarks {
    pub fn new(journal: Arc<Queue>) -> Self {
        Self { waiting: Mutex::default(), journal }
    }

    /// Hands over an event; what finds no room is counted and gone: then it is false.
    pub fn say(&self, at: SystemTime, event: &Event) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = waiting.len() < REMARKS;
        if fits {
            waiting.push_back(Sent { at, event: *event });
        } else {
            self.journal.drop_one();
        }
        drop(waiting);
        self.journal.wake();
        fits
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
        let remarks = Remarks::new(Arc::clone(&queue));
        for pid in 0..10 {
            remarks.say(SystemTime::now(), &Event { pid: Some(pid), ..Event::new(EventKind::Degraded) });
        }
        assert_eq!(queue.take_dropped(), 2);
        let pids: Vec<_> = std::iter::from_fn(|| remarks.take()).map(|sent| sent.event.pid.unwrap()).collect();
        assert_eq!(pids, (0..8).collect::<Vec<i32>>());
    }
}
