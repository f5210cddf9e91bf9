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
        let utc = Self::shifted(ms, 0);
        Self { offset: utc_offset(utc.time), ..utc }
    }

    /// The same on a clock `offset` seconds east of UTC.
    #[must_use]
    pub(super) fn shifted(ms: u64, offset: i32) -> Self {
        /// The last second of the year 9999.
        const LAST_MS: u64 = 253_402_300_799_000;
        let time = UNIX_EPOCH + Duration::from_millis(if ms > LAST_MS { 0 } else { ms });
        Self { time, offset }
    }

    /// `03:15:02`.
    pub fn clock(self) -> impl fmt::Display {
        Utc::shifted(self.time, self.offset).clock()
    }

    /// `2026-07-28`.
    pub fn day(self) -> impl fmt::Display {
        Utc::shifted(self.time, self.offset).day()
    }

    /// `03:15:02.250`: signal and exit are often within one second.
    pub(super) fn precise(self) -> impl fmt::Display {
        let ms = self.time.duration_since(UNIX_EPOCH).unwrap_or_default().subsec_millis();
        fmt::from_fn(move |f| write!(f, "{}.{ms:03}", self.clock()))
    }

    /// `03:15`.
    pub(super) fn short(self) -> impl fmt::Display {
        fmt::from_fn(move |f| write!(f, "{:.5}", self.clock().to_string()))
    }

    /// Seconds east of UTC.
    pub(super) fn offset(self) -> i32 {
        self.offset
    }

    /// `2026-07-28 03:15`.
    pub fn minute(self) -> impl fmt::Display {
        fmt::from_fn(move |f| write!(f, "{} {}", self.day(), self.short()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_zones() {
        let ms = 1_785_208_502_250;
        let utc = Local::shifted(ms, 0);
        assert_eq!(utc.to_string(), "2026-07-28 03:15:02");
        assert_eq!(utc.minute().to_string(), "2026-07-28 03:15");
        assert_eq!(utc.precise().to_string(), "03:15:02.250");
        assert_eq!(utc.zone().to_string(), "UTC");
        let newfoundland = Local::shifted(ms, -(2 * 3600 + 1800));
        assert_eq!(
            (newfoundland.short().to_string(), newfoundland.zone().to_string()),
            ("00:45".into(), "UTC-02:30".into())
        );
        assert_eq!(Local::shifted(u64::MAX, 0).to_string(), "1970-01-01 00:00:00");
    }
}
