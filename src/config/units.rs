//! Units: percents (`"5%"`), sizes (`"4 GiB"`) and durations (`"10s"`), read from text and written back.
//!
//! A number is written in the digits 0-9 with an optional fraction (`1.5`): no sign, exponent, hexadecimal or
//! separators. A size may have one blank before its unit; a percent and a duration have none.

use std::cmp::Ordering;
use std::fmt;
use std::time::Duration;

use super::problem::{Bad, quoted};

/// The largest size read, in bytes: 4 PiB, the physical address space of the largest x86-64 and arm64 machines.
pub const MAX_SIZE: u64 = 1 << 52;

/// The longest duration read: a year. Longer is a typo, and sums of a few of them can't overflow any clock.
pub const MAX_DURATION: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Digits after the point that are read; they suffice for a byte in a gibibyte.
const MAX_FRACTION_DIGITS: usize = 9;

const SIZE_UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    // As systemd writes them in MemoryMax= and the like: multiples of 1024 too.
    ("K", 1 << 10),
    ("M", 1 << 20),
    ("G", 1 << 30),
    ("T", 1 << 40),
    // As docker has them.
    ("k", 1 << 10),
    ("m", 1 << 20),
    ("g", 1 << 30),
    ("t", 1 << 40),
];

/// Durations in milliseconds.
const DURATION_UNITS: &[(&str, u64)] =
    &[("ms", 1), ("s", 1000), ("m", 60 * 1000), ("h", 60 * 60 * 1000), ("d", 24 * 60 * 60 * 1000), ("min", 60 * 1000)];

/// A share of a total, or a size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// Percent of a total that the key names, 0 to 100.
    Percent(f64),
    /// Bytes, at most [`MAX_SIZE`].
    Bytes(u64),
}

impl Amount {
    /// The amount in bytes when the total is `total` bytes, rounded down.
    pub fn of(self, total: u64) -> u64 {
        match self {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "a percent lies in 0..=100 and totals are far below 2^53, so the product is exact enough and fits"
            )]
            Amount::Percent(percent) => (total as f64 * percent / 100.0) as u64,
            Amount::Bytes(bytes) => bytes,
        }
    }

    /// Compares two percents or two sizes; a percent and a size can't be compared without a total.
    pub fn compare(self, other: Amount) -> Option<Ordering> {
        match (self, other) {
            (Amount::Percent(a), Amount::Percent(b)) => a.partial_cmp(&b),
            (Amount::Bytes(a), Amount::Bytes(b)) => Some(a.cmp(&b)),
            (Amount::Percent(_), Amount::Bytes(_)) | (Amount::Bytes(_), Amount::Percent(_)) => None,
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Amount::Percent(percent) => write!(f, "{percent}%"),
            Amount::Bytes(bytes) => f.write_str(&write_size(*bytes)),
        }
    }
}

/// Reads a percent (`"5%"`, `"0.5%"`) or a size (`"800 MiB"`).
///
/// # Errors
/// Says what is wrong with the text: no or an unknown unit, a sign, a stray blank, more than 100 %, or too large.
pub fn amount(text: &str) -> Result<Amount, Bad> {
    if text.ends_with('%') {
        percent(text).map(Amount::Percent)
    } else {
        let (number, unit) = number_and_unit(text, "5", write_amount)?;
        size_of(text, &number, unit, "% or one of B, KiB, MiB, GiB, TiB").map(Amount::Bytes)
    }
}

/// Reads a percent (`"5%"`), from 0 to 100.
///
/// # Errors
/// As [`amount`], and a size is refused too.
pub fn percent(text: &str) -> Result<f64, Bad> {
    let (number, unit) = number_and_unit(text, "5", |n| format!("write a percent, such as \"{n}%\""))?;
    match unit {
        "%" => {}
        _ if unit.trim() == "%" => {
            return Err(Bad::new(
                format!("{} has a blank before %", quoted(text)),
                format!("write \"{}%\"", number.text),
            ));
        }
        _ => {
            return Err(Bad::new(format!("{} is not a percent", quoted(text)), "write a percent, such as \"5%\""));
        }
    }
    match number.text.parse::<f64>() {
        Ok(percent) if percent <= 100.0 => Ok(percent),
        _ => Err(Bad::new(format!("{} is more than 100%", quoted(text)), "write a percent from 0% to 100%")),
    }
}

/// Reads a size in bytes (`"4 GiB"`, `"800M"`), at most [`MAX_SIZE`]. All units are multiples of 1024.
///
/// # Errors
/// As [`amount`], and a percent is refused too.
pub fn size(text: &str) -> Result<u64, Bad> {
    let (number, unit) = number_and_unit(text, "4", |_| "write a size, such as \"4G\" or \"512 MiB\"".to_owned())?;
    size_of(text, &number, unit, "one of B, KiB, MiB, GiB, TiB")
}

/// Reads a duration (`"10s"`, `"1.5h"`) of one number and one unit: ms, s, m or min, h, d.
///
/// # Errors
/// As [`amount`]; also a duration above [`MAX_DURATION`].
pub fn duration(text: &str) -> Result<Duration, Bad> {
    let (number, unit) = number_and_unit(text, "5", |n| format!("write \"{n}s\" for seconds, or use ms, m, h or d"))?;
    let Some(scale) = find_unit(DURATION_UNITS, unit) else {
        if unit.contains(|c: char| c.is_ascii_digit()) {
            let message = format!("{} is more than one number and one unit", quoted(text));
            return Err(Bad::new(message, "write one number and one unit, such as \"90m\""));
        }
        let near = nearest_unit(DURATION_UNITS, unit);
        return Err(unknown_unit(text, unit, near, number.text, "", "one of ms, s, m, h, d"));
    };
    let millis = number.times(scale).and_then(|ms| u64::try_from(ms).ok());
    match millis.map(Duration::from_millis) {
        Some(duration) if duration <= MAX_DURATION => Ok(duration),
        _ => Err(Bad::new(format!("{} is longer than a year", quoted(text)), "write a duration of at most 365d")),
    }
}

/// Writes a size with the largest unit that divides it, so that reading it back gives the same bytes.
pub fn write_size(bytes: u64) -> String {
    let (unit, scale) = SIZE_UNITS[..5]
        .iter()
        .rev()
        .find(|(_, scale)| bytes >= *scale && bytes.is_multiple_of(*scale))
        .unwrap_or(&SIZE_UNITS[0]);
    format!("{} {unit}", bytes / scale)
}

/// Writes a duration with the largest unit that divides it; whole milliseconds, which is all that is read.
pub fn write_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let (unit, scale) = DURATION_UNITS[..5]
        .iter()
        .rev()
        .find(|(_, scale)| millis >= *scale && millis.is_multiple_of(*scale))
        .unwrap_or(&("s", 1000));
    format!("{}{unit}", millis / scale)
}

/// The number before a unit, exact.
struct Number<'a> {
    text: &'a str,
    /// All its digits, without the point.
    digits: u128,
    /// How many of them stand after the point.
    fraction_digits: usize,
}

impl Number<'_> {
    /// The number times `scale`, rounded down; none when it overflows.
    fn times(&self, scale: u64) -> Option<u128> {
        let product = self.digits.checked_mul(u128::from(scale))?;
        let divisor = (0..self.fraction_digits).fold(1u128, |d, _| d * 10);
        Some(product / divisor)
    }
}

/// What to write for an amount of `number`; more than 100 can only be meant as a size.
pub(super) fn write_amount(number: &str) -> String {
    match number.parse::<f64>() {
        Ok(n) if n <= 100.0 => format!("write \"{number}%\" for a percent, or \"{number} GiB\" for a size"),
        _ => format!("write \"{number} MiB\" for a size"),
    }
}

/// Splits `"4 GiB"` into its number and its unit (with the blanks before it). `write` says what to write, with the
/// number that was written where only the unit is missing, else with an `example`.
fn number_and_unit<'a>(
    text: &'a str,
    example: &str,
    write: impl Fn(&str) -> String,
) -> Result<(Number<'a>, &'a str), Bad> {
    let bad = |what: &str| Err(Bad::new(format!("{} {what}", quoted(text)), write(example)));
    if text.is_empty() {
        return Err(Bad::new("the value is empty", write(example)));
    }
    if text.trim() != text {
        return bad("has a blank at its beginning or end");
    }
    if text.starts_with(['-', '+']) {
        return bad("has a sign; only plain numbers from 0 up have a meaning here");
    }
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() {
        return bad("does not begin with a number in the digits 0-9");
    }
    if fraction.is_empty() || fraction.contains('.') || fraction.len() > MAX_FRACTION_DIGITS {
        return bad("does not begin with a number such as 5 or 0.5 (at most 9 digits after the point)");
    }
    let Ok(digits) = format!("{whole}{fraction}").parse::<u128>() else {
        return bad("is too large");
    };
    if unit.is_empty() {
        return Err(Bad::new(format!("{} has no unit", quoted(text)), write(number)));
    }
    let number = Number { text: number, digits, fraction_digits: fraction.len() };
    Ok((number, unit))
}

fn size_of(text: &str, number: &Number<'_>, unit: &str, expected: &str) -> Result<u64, Bad> {
    let plain = unit.strip_prefix(' ').unwrap_or(unit);
    let Some(scale) = find_unit(SIZE_UNITS, plain) else {
        let near = nearest_unit(SIZE_UNITS, plain.trim());
        return Err(unknown_unit(text, plain, near, number.text, " ", expected));
    };
    match number.times(scale).and_then(|b| u64::try_from(b).ok()) {
        Some(bytes) if bytes <= MAX_SIZE => Ok(bytes),
        _ => Err(Bad::new(
            format!("{} is more memory than any machine has", quoted(text)),
            "write a size of at most 4096 TiB",
        )),
    }
}

fn find_unit(units: &[(&str, u64)], unit: &str) -> Option<u64> {
    units.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale)
}

/// The unit that was probably meant: the same in another case, with a blank too many, or by a usual longer name.
fn nearest_unit(units: &[(&'static str, u64)], unit: &str) -> Option<&'static str> {
    let unit = unit.trim().to_ascii_lowercase();
    let meant = match unit.as_str() {
        "kb" => "KiB",
        "mb" => "MiB",
        "gb" => "GiB",
        "tb" => "TiB",
        "byte" | "bytes" => "B",
        "msec" | "millisecond" | "milliseconds" => "ms",
        "sec" | "secs" | "second" | "seconds" => "s",
        "mins" | "minute" | "minutes" => "m",
        "hr" | "hour" | "hours" => "h",
        "day" | "days" => "d",
        other => other,
    };
    let same = |(name, _): &&(&'static str, u64)| name.eq_ignore_ascii_case(meant);
    units.iter().find(same).map(|(name, _)| *name)
}

fn unknown_unit(text: &str, unit: &str, near: Option<&str>, number: &str, blank: &str, expected: &str) -> Bad {
    let message = match unit.trim() == unit {
        true => format!("{} has the unknown unit {}", quoted(text), quoted(unit)),
        false => format!("{} has a blank too many before its unit", quoted(text)),
    };
    match near {
        Some(near) => Bad::new(message, format!("write \"{number}{blank}{near}\"")),
        None => Bad::new(message, format!("the unit is {expected}")),
    }
}
