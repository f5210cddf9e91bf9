//! Wall-clock time as it is written: line prefixes and incident ids. UTC unless an offset is given.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

const SECONDS_A_DAY: i64 = 86_400;

/// A moment in the proleptic Gregorian calendar, UTC.
#[derive(Clone, Copy)]
pub(super) struct Utc {
    seconds: i64,
}

impl Utc {
    pub fn at(time: SystemTime) -> Self {
        Self::shifted(time, 0)
    }

    /// The same moment on a clock `offset` seconds east of UTC.
    pub fn shifted(time: SystemTime, offset: i32) -> Self {
        // A clock before 1970 is a clock that was never set: shown as 1970, which says so.
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
        Self { seconds: seconds.saturating_add(i64::from(offset)) }
    }

    /// `20260728T031502Z`: sorts by time, fit for a file name.
    pub fn compact(self) -> impl fmt::Display {
        fmt::from_fn(move |f| {
            let (year, month, day) = self.date();
            let (hour, minute, second) = self.time_of_day();
            write!(f, "{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
        })
    }

    /// `2026-07-28`.
    pub fn day(self) -> impl fmt::Display {
        let (year, month, day) = self.date();
        fmt::from_fn(move |f| write!(f, "{year:04}-{month:02}-{day:02}"))
    }

    /// `03:15:02`.
    pub fn clock(self) -> impl fmt::Display {
        let (hour, minute, second) = self.time_of_day();
        fmt::from_fn(move |f| write!(f, "{hour:02}:{minute:02}:{second:02}"))
    }

    fn time_of_day(self) -> (i64, i64, i64) {
        let second = self.seconds.rem_euclid(SECONDS_A_DAY);
        (second / 3600, second / 60 % 60, second % 60)
    }

    /// Days to a date by Howard Hinnant's `civil_from_days`: years are counted from March, in eras of 400 years.
    fn date(self) -> (i64, i64, i64) {
        const DAYS_0000_03_01_TO_1970: i64 = 719_468;
        const DAYS_AN_ERA: i64 = 146_097;
        let days = self.seconds.div_euclid(SECONDS_A_DAY) + DAYS_0000_03_01_TO_1970;
        let era = days.div_euclid(DAYS_AN_ERA);
        let day_of_era = days.rem_euclid(DAYS_AN_ERA);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        (year_of_era + era * 400 + i64::from(month <= 2), month, day)
    }
}

/// The time of day, `03:15:02`, on a clock `offset` seconds east of UTC.
pub fn clock(at: SystemTime, offset: i32) -> impl fmt::Display {
    Utc::shifted(at, offset).clock()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates() {
        // Seconds as `date -u -d … +%s` gives them.
        let cases = [
            (0, "19700101T000000Z"),
            (951_782_400, "20000229T000000Z"),
            (951_868_799, "20000229T235959Z"),
            (1_785_208_502, "20260728T031502Z"),
            (4_107_542_399, "21000228T235959Z"),
            (4_107_542_400, "21000301T000000Z"),
        ];
        for (seconds, expected) in cases {
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(Utc::at(time).compact().to_string(), expected);
        }
    }

    #[test]
    fn day_in_a_time_zone() {
        let time = UNIX_EPOCH + Duration::from_secs(1_785_208_502);
        assert_eq!(Utc::at(time).day().to_string(), "2026-07-28");
        assert_eq!(Utc::shifted(time, -4 * 3600).day().to_string(), "2026-07-27");
    }

    #[test]
    fn clock_in_a_time_zone() {
        let time = UNIX_EPOCH + Duration::from_secs(1_785_208_502);
        assert_eq!(Utc::shifted(time, 2 * 3600).clock().to_string(), "05:15:02");
        assert_eq!(Utc::shifted(time, -4 * 3600).clock().to_string(), "23:15:02");
    }
}
