//! Times and spans as the page shows them.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use crate::report::size::Span;
use crate::report::time::Utc;

/// The clock of the page: the reader's own, or UTC.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    /// Seconds east of UTC.
    pub offset: i32,
}

impl Clock {
    /// `03:15:02`.
    pub fn time(self, t_ms: u64) -> impl fmt::Display {
        self.at(t_ms).clock()
    }

    /// `03:15`.
    pub fn minute(self, t_ms: u64) -> impl fmt::Display {
        fmt::from_fn(move |f| write!(f, "{:.5}", self.time(t_ms).to_string()))
    }

    /// `03:15:02.250`: signal and exit are often within one second.
    pub fn precise(self, t_ms: u64) -> impl fmt::Display {
        fmt::from_fn(move |f| write!(f, "{}.{:03}", self.time(t_ms), t_ms % 1000))
    }

    /// `2026-07-28`.
    pub fn day(self, t_ms: u64) -> impl fmt::Display {
        self.at(t_ms).day()
    }

    /// `UTC`, `UTC+02:00`.
    pub fn zone(self) -> impl fmt::Display {
        let sign = if self.offset < 0 { '-' } else { '+' };
        let minutes = self.offset.unsigned_abs() / 60;
        fmt::from_fn(move |f| match minutes {
            0 => f.write_str("UTC"),
            _ => write!(f, "UTC{sign}{:02}:{:02}", minutes / 60, minutes % 60),
        })
    }

    fn at(self, t_ms: u64) -> Utc {
        // Seconds fit an i64 whatever the milliseconds are, which is what SystemTime can hold.
        Utc::shifted(UNIX_EPOCH + Duration::from_millis(t_ms), self.offset)
    }
}

/// How long something took: `0.2 s`, `9 min 40 s`, `3 h 20 min`.
pub(super) struct Lasting(pub u64);

impl fmt::Display for Lasting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1000;
        match seconds {
            0..120 => Span { ms: self.0 }.fmt(f),
            120..7200 => write!(f, "{} min {} s", seconds / 60, seconds % 60),
            _ => write!(f, "{} h {} min", seconds / 3600, seconds / 60 % 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_zones() {
        let t_ms = 1_785_208_502_250;
        let utc = Clock { offset: 0 };
        assert_eq!(utc.time(t_ms).to_string(), "03:15:02");
        assert_eq!(utc.minute(t_ms).to_string(), "03:15");
        assert_eq!(utc.precise(t_ms).to_string(), "03:15:02.250");
        assert_eq!(utc.zone().to_string(), "UTC");
        let newfoundland = Clock { offset: -(2 * 3600 + 1800) };
        assert_eq!(newfoundland.zone().to_string(), "UTC-02:30");
        assert_eq!(newfoundland.time(t_ms).to_string(), "00:45:02");
        assert_eq!(Clock { offset: 7200 }.zone().to_string(), "UTC+02:00");
    }

    #[test]
    fn no_time_is_too_far() {
        for offset in [i32::MIN, 0, i32::MAX] {
            let clock = Clock { offset };
            assert!(!clock.day(u64::MAX).to_string().is_empty());
            assert!(!clock.precise(u64::MAX).to_string().is_empty());
            assert!(!clock.day(0).to_string().is_empty());
        }
    }

    #[test]
    fn spans() {
        let cases =
            [(0, "0 ms"), (1500, "1.5 s"), (119_000, "119.0 s"), (580_000, "9 min 40 s"), (12_000_000, "3 h 20 min")];
        for (ms, expected) in cases {
            assert_eq!(Lasting(ms).to_string(), expected);
        }
    }
}
