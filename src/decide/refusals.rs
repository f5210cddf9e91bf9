//! What was refused, so that it is not asked again at every look.

use std::time::Duration;

use super::PAUSE;
use super::measure::{Reading, Whose};
use super::victim::Refusal;

/// Scopes whose refusals are remembered: the machine and the limits around a container or a user, which are seldom
/// more than two.
const SCOPES: usize = 8;

/// The last refusal in each scope; the one whose pause ends first is forgotten first.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Refusals([Option<Refused>; SCOPES]);

#[derive(Clone, Copy, Debug)]
struct Refused {
    whose: Whose,
    until: Duration,
    kind: std::mem::Discriminant<Refusal>,
    said_at: Duration,
    /// When less than this is left (bytes), somebody has taken as much since as is worth a kill.
    void_below: u64,
}

impl Refusals {
    /// How much longer nothing is done for this scope. A refusal says what was true when it was made: once somebody has
    /// taken as much more as is worth a kill, it is worth another look.
    pub(super) fn pause(&self, reading: &Reading, now: Duration) -> Option<Duration> {
        let refused = self.0.iter().flatten().find(|r| r.whose == reading.whose)?;
        if reading.left() < refused.void_below {
            return None;
        }
        refused.until.checked_sub(now).filter(|rest| !rest.is_zero())
    }

    /// Returns whether this is worth saying: the same was not said within a [`PAUSE`].
    pub(super) fn insert(
        &mut self,
        refusal: &Refusal,
        reading: &Reading,
        void_below: u64,
        now: Duration,
        until: Duration,
    ) -> bool {
        let whose = &reading.whose;
        let kind = std::mem::discriminant(refusal);
        let known = self.0.iter().position(|r| r.is_some_and(|r| r.whose == *whose));
        let first_over = || (0..SCOPES).min_by_key(|i| self.0[*i].map(|r| r.until)).unwrap_or(0);
        let slot = &mut self.0[known.unwrap_or_else(first_over)];
        let said = slot.filter(|r| r.whose == *whose && r.kind == kind && now.saturating_sub(r.said_at) < PAUSE);
        *slot = Some(Refused { whose: *whose, until, kind, said_at: said.map_or(now, |r| r.said_at), void_below });
        said.is_none()
    }
}
