//! How soon to look again: late enough to cost nothing, early enough not to miss the moment.

use std::time::Duration;

use super::measure::{Level, Reading};

/// How fast memory is taken to fill at most, in bytes a second, by somebody who has not begun yet. One core zeroes about
/// 8 GiB/s on current hardware; whoever fills faster is seen to do so, and the PSI trigger wakes the guard besides.
const ASSUMED_FILL: f64 = (8_u64 << 30) as f64;

/// The shortest time between two looks while memory visibly falls.
pub const SHORTEST: Duration = Duration::from_millis(1);

/// The shortest time between two looks while it does not: a hundred looks a second cost some 0.3 % of a core.
const SHORTEST_IDLE: Duration = Duration::from_millis(10);

/// The longest time without a look.
const LONGEST: Duration = Duration::from_secs(5);

/// Between looks while a killed process exits (its pidfd wakes the guard besides).
pub const WHILE_DYING: Duration = Duration::from_millis(10);

/// Between looks while killing is paused.
pub const IN_PAUSE: Duration = Duration::from_secs(1);

/// Memory that has not grown for so long has come back as far as it will.
pub const QUIET: Duration = Duration::from_millis(300);

/// A slower fall than this, in bytes a second, is ordinary life.
const FALLING: f64 = (32_u64 << 20) as f64;

/// The kernel sums its memory counters up in batches per CPU, so a difference over less than this is mostly noise.
const WINDOW: Duration = Duration::from_millis(5);

/// Half of an observed fill rate is forgotten after this time.
const HALF_LIFE: Duration = Duration::from_secs(1);

/// The rate at which memory falls.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    last: Option<(Duration, u64)>,
    /// Bytes a second.
    rate: f64,
}

impl Pace {
    /// Learns from a reading made at `now`.
    pub fn note(&mut self, reading: &Reading, now: Duration) {
        let Some((then, before)) = self.last else {
            self.last = Some((now, reading.left()));
            return;
        };
        let window = now.saturating_sub(then);
        if window < WINDOW {
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
        let fallen = before.saturating_sub(reading.left()) as f64;
        let remembered = self.rate * 0.5_f64.powf(window.as_secs_f64() / HALF_LIFE.as_secs_f64());
        self.rate = remembered.max(fallen / window.as_secs_f64());
        self.last = Some((now, reading.left()));
    }

    /// The rate at which memory falls, in bytes a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// How long nothing can have been missed.
    #[must_use]
    pub fn until_next_look(&self, reading: &Reading) -> Duration {
        let shortest = if self.rate > FALLING { SHORTEST } else { SHORTEST_IDLE };
        let headroom = match reading.level {
            // At `kill` there is no next threshold; whatever happens next is not ours to foresee.
            Level::Kill => return SHORTEST_IDLE,
            Level::Calm | Level::Warn | Level::Term => reading.headroom(),
        };
        #[expect(clippy::cast_precision_loss, reason = "a time to sleep need not be exact")]
        let seconds = headroom as f64 / (self.rate * 2.0).max(ASSUMED_FILL);
        Duration::from_secs_f64(seconds.min(LONGEST.as_secs_f64())).clamp(shortest, LONGEST)
    }
}
