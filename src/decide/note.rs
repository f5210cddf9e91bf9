//! What the engine has to say about a step, for the journal.

use std::time::Duration;

use super::Signal;
use super::measure::Reading;
use super::victim::{Refusal, Spared, Victim};

/// Notes one step can make.
const NOTES: usize = 6;

/// Something that happened, for the journal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Note {
    /// Memory fell to `warn`.
    Warn(Reading),
    /// Memory is well above `warn` again, so long after.
    Recovered(Reading, Duration),
    /// The victim exited.
    Exited {
        /// Who.
        victim: Victim,
        /// What it had been sent, and how long before it was gone.
        after: Option<(Signal, Duration)>,
        /// Bytes that came back.
        freed: u64,
        /// The state after it.
        reading: Reading,
    },
    /// The victim did not exit within [`super::PATIENCE`] of SIGKILL.
    SetAside {
        /// Who.
        victim: Victim,
        /// The state.
        reading: Reading,
    },
    /// Memory came back during the grace period, so the victim was spared.
    Spared {
        /// Who.
        victim: Victim,
        /// So long after SIGTERM.
        waited: Duration,
        /// The state.
        reading: Reading,
    },
    /// Nobody was killed, though memory is short; and the largest process that a rule spared, if it is larger than any
    /// that may be killed.
    Refused(Refusal, Reading, Option<Spared>),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Notes([Option<Note>; NOTES], usize);

impl Default for Notes {
    fn default() -> Self {
        Self([None; NOTES], 0)
    }
}

impl Notes {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Note> {
        self.0.iter().flatten()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn add(&mut self, note: &Note) {
        if let Some(slot) = self.0.get_mut(self.1) {
            *slot = Some(*note);
            self.1 += 1;
        }
    }
}
