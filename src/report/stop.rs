//! How the reporter's threads are told to come to an end.

use std::sync::OnceLock;
use std::time::Instant;

/// Set once: from then on the threads write what they can until the deadline.
#[derive(Debug, Default)]
pub(super) struct Stop {
    deadline: OnceLock<Instant>,
}

impl Stop {
    /// The first call counts.
    pub fn request(&self, deadline: Instant) {
        self.deadline.get_or_init(|| deadline);
    }

    /// Whether the end is near.
    pub fn is_requested(&self) -> bool {
        self.deadline.get().is_some()
    }

    /// Whether nothing more may be waited for.
    pub fn is_overdue(&self) -> bool {
        self.deadline.get().is_some_and(|deadline| Instant::now() >= *deadline)
    }
}
