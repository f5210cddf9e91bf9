//! Processes that something was done to.

use std::time::Duration;

use crate::observe::TaskId;

/// A process that was asked to go and is still there when memory runs short again within this time is not asked twice.
const REMEMBERED: Duration = Duration::from_secs(300);

/// Victims remembered as set aside, or as asked to go, where one is asked after the other.
const REMEMBERED_TASKS: usize = 16;

/// A few processes and when something happened to them; the oldest is forgotten first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Remembered<const N: usize = REMEMBERED_TASKS> {
    tasks: [Option<(TaskId, Duration)>; N],
    next: usize,
}

impl<const N: usize> Default for Remembered<N> {
    fn default() -> Self {
        Self { tasks: [None; N], next: 0 }
    }
}

impl<const N: usize> Remembered<N> {
    /// Remembers the first time, for as long as that counts.
    pub(super) fn insert(&mut self, id: TaskId, now: Duration) {
        let known = self.tasks.iter_mut().flatten().find(|(known, _)| *known == id);
        match known {
            Some((_, when)) if now.saturating_sub(*when) >= REMEMBERED => *when = now,
            Some(_) => {}
            None => {
                self.tasks[self.next] = Some((id, now));
                self.next = (self.next + 1) % N;
            }
        }
    }

    /// What happened to it is over and told.
    pub(super) fn forget(&mut self, id: TaskId) {
        for known in self.tasks.iter_mut().filter(|known| known.is_some_and(|(known, _)| known == id)) {
            *known = None;
        }
    }

    /// How long ago it happened, as long as that counts.
    pub(super) fn ago(&self, id: TaskId, now: Duration) -> Option<Duration> {
        self.since(id).map(|when| now.saturating_sub(when)).filter(|ago| *ago < REMEMBERED)
    }

    pub(super) fn since(&self, id: TaskId) -> Option<Duration> {
        self.tasks.iter().flatten().find(|(known, _)| *known == id).map(|(_, when)| *when)
    }
}
