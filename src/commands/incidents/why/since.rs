//! Times as people write them: the usual ones of systemd.time(7), RFC 3339 in UTC, and spans (`10m`).

use std::time::{Duration, UNIX_EPOCH};

use crate::config::units;
use crate::host::clock::utc_offset;

const DAY_MS: i64 = 86_400_000;

/// What is said about a time that can't be read.
const EXPECTED: &str = "write a span (10m, 2h, 3d), a time (2026-07-28 03:15, 03:15, @1785208502, with \" UTC\" or Z or in \
                        local time), today or yesterday";

/// The moment that is meant, in milliseconds since 1970.
///
/// # Errors
/// What was expected.
pub(super) fn since(text: &str, now_ms: u64) -> Result<u64, String> {
    let text = text.trim();
    let span = text.strip_suffix(" ago").or_else(|| text.strip_prefix('-')).unwrap_or(text);
    if let Ok(span) = units::duration(span) {
        return Ok(now_ms.saturating_sub(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)));
    }
    let now = i64::try_from(now_ms).map_err(|_| EXPECTED.to_owned())?;
    let local_now = now + offset_ms(now);
    let today = local_now - local_now.rem_euclid(DAY_MS);
    let (text, is_utc) =
        text.strip_suffix(" UTC").or_else(|| text.strip_suffix('Z')).map_or((text, false), |text| (text, true));
    let local = match text {
        "now" => return Ok(now_ms),
        "today" => today,
        "yesterday" => today - DAY_MS,
        _ => match text.strip_prefix('@') {
            Some(seconds) => {
                let seconds: u64 = seconds.parse().map_err(|_| EXPECTED.to_owned())?;
                return Ok(seconds.saturating_mul(1000));
            }
            None => {
                let today = if is_utc { now - now.rem_euclid(DAY_MS) } else { today };
                date_and_clock(text, today).ok_or(EXPECTED)?
            }
        },
    };
    let at = if is_utc { local } else { to_utc(local) };
    u64::try_from(at).map_err(|_| EXPECTED.to_owned())
}

/// `2026-07-28 03:15:02`, `2026-07-28`, `03:15`, in milliseconds on that clock.
fn date_and_clock(text: &str, today: i64) -> Option<i64> {
    let (date, clock) = match text.split_once([' ', 'T']) {
        Some((date, clock)) => (Some(date), Some(clock)),
        None if text.contains(':') => (None, Some(text)),
        None => (Some(text), None),
    };
    let day = match date {
        Some(date) => days(date)? * DAY_MS,
        None => today,
    };
    let mut of_day = 0;
    if let Some(clock) = clock {
        let mut parts = clock.split(':');
        let mut part = |most: i64| parts.next().map(|text| number(text, 2).filter(|n| *n <= most));
        let (hour, minute, second) = (part(23)??, part(59)??, part(59).unwrap_or(Some(0))?);
        of_day = ((hour * 60 + minute) * 60 + second) * 1000;
        if parts.next().is_some() {
            return None;
        }
    }
    Some(day + of_day)
}

/// Days from 1970 to a date of the Gregorian calendar, by Howard Hinnant's `days_from_civil`.
fn days(date: &str) -> Option<i64> {
    let mut parts = date.split('-');
    let (year, month, day) = (number(parts.next()?, 4)?, number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    if parts.next().is_some()
        || !(1970..=9999).contains(&year)
        || !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
    {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719_468)
}

fn number(text: &str, digits: usize) -> Option<i64> {
    let is_number = !text.is_empty() && text.len() <= digits && text.bytes().all(|b| b.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

/// From the clock on the wall to UTC. In the hour that a clock set back shows twice, the first one is meant.
fn to_utc(local: i64) -> i64 {
    let guess = local - offset_ms(local);
    local - offset_ms(guess)
}

/// How far the clock on the wall is ahead, in milliseconds.
fn offset_ms(at_ms: i64) -> i64 {
    let at = UNIX_EPOCH + Duration::from_millis(u64::try_from(at_ms).unwrap_or(0));
    i64::from(utc_offset(at)) * 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-07-28 03:15:02 UTC.
    const NOW: u64 = 1_785_208_502_000;

    #[test]
    fn times_as_people_write_them() {
        let cases = [
            ("10m", NOW - 600_000),
            ("2h ago", NOW - 7_200_000),
            ("-1d", NOW - 86_400_000),
            ("now", NOW),
            ("@1785208000", 1_785_208_000_000),
            ("2026-07-28 03:15:02 UTC", NOW),
            ("2026-07-28T03:15 UTC", NOW - 2000),
            ("2026-07-28T03:15:02Z", NOW),
            ("2026-07-28 UTC", NOW - (3 * 3600 + 15 * 60 + 2) * 1000),
            ("03:00 UTC", NOW - 902_000),
            ("2024-02-29 00:00 UTC", 1_709_164_800_000),
        ];
        for (text, expected) in cases {
            assert_eq!(since(text, NOW), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_time() {
        for text in ["", "soon", "10", "10x", "2026-13-01", "2026-07-28 25:00", "3:15:02:01", "--since", "@", "2026-07"]
        {
            assert!(since(text, NOW).unwrap_err().starts_with("write a span"), "{text}");
        }
    }
}
