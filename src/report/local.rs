//! Moments as the clock on the wall of whoever reads shows them (`TZ`, else /etc/localtime).

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::time::Utc;
use crate::host::clock::utc_offset;

/// A moment, in local time.
#[derive(Clone, Copy)]
pub struct Local {
    time: SystemTime,
    offset: i32,
}

impl Local {
    /// The moment so many milliseconds after 1970 (UTC). One that is beyond every clock is shown as 1970, which says so.
    #[must_use]
    pub fn at_ms(ms: u64) -> Self {
        /// The last second of the year 9999.
        const LAST_MS: u64 = 253_402_300_799_000;
        let time = UNIX_EPOCH + Duration::from_millis(if ms > LAST_MS { 0 } else { ms });
        Self { time, offset: utc_offset(time) }
    }

    /// `03:15:02`.
    pub fn clock(self) -> impl fmt::Display {
        Utc::shifted(self.time, self.offset).clock()
    }

    /// `2026-07-28`.
    pub fn day(self) -> impl fmt::Display {
        Utc::shifted(self.time, self.offset).day()
    }

    /// `2026-07-28 03:15`.
    pub fn minute(self) -> impl fmt::Display {
        fmt::from_fn(move |f| write!(f, "{} {:.5}", self.day(), self.clock().to_string()))
    }

    /// `UTC`, `UTC+02:00`.
    pub fn zone(self) -> impl fmt::Display {
        fmt::from_fn(move |f| {
            let minutes = self.offset.unsigned_abs() / 60;
            let sign = if self.offset < 0 { '-' } else { '+' };
            f.write_str("UTC")?;
            if minutes > 0 { write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60) } else { Ok(()) }
        })
    }
}

impl fmt::Display for Local {
    /// `2026-07-28 03:15:02`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.day(), self.clock())
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
