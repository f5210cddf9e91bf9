//! Processes that something was done to.

use std::time::Duration;

use crate::observe::TaskId;

/// A process that was asked to go and is still there when memory runs short again within this time is not asked twice.
pub(super) const REMEMBERED: Duration = Duration::from_secs(300);

/// Victims remembered as set aside, or as asked to go.
const REMEMBERED_TASKS: usize = 16;

/// A few processes and when something happened to them; the oldest is forgotten first.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Remembered {
    tasks: [Option<(TaskId, Duration)>; REMEMBERED_TASKS],
    next: usize,
}

impl Remembered {
    /// Remembers the first time, for as long as that counts.
    pub(super) fn insert(&mut self, id: TaskId, now: Duration) {
        let known = self.tasks.iter_mut().flatten().find(|(known, _)| *known == id);
        match known {
            Some((_, when)) if now.saturating_sub(*when) >= REMEMBERED => *when = now,
            Some(_) => {}
            None => {
                self.tasks[self.next] = Some((id, now));
                self.next = (self.next + 1) % REMEMBERED_TASKS;
            }
        }
    }

    pub(super) fn since(&self, id: TaskId) -> Option<Duration> {
        self.tasks.iter().flatten().find(|(known, _)| *known == id).map(|(_, when)| *when)
    }
}
