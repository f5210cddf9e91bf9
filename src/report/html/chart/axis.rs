//! Axes: what part of time and of values a chart shows, and where the ticks are.

use crate::report::Local;

/// A shorter time is shown as this much: a single sample too has a place.
const SHORTEST_MS: u64 = 10_000;

/// No more ticks of time than this: eight digits each in a plot as wide as a page.
const MOST_TICKS: u64 = 7;

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Steps between ticks of time that a person can add up.
const STEPS: [u64; 16] = [
    SECOND,
    2 * SECOND,
    5 * SECOND,
    10 * SECOND,
    15 * SECOND,
    30 * SECOND,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
];

/// A stretch of time, milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::report::html) struct Frame {
    pub from: u64,
    pub to: u64,
}

impl Frame {
    /// The shortest one with all these times in it; `None` without times.
    pub fn around(times: impl Iterator<Item = u64> + Clone) -> Option<Self> {
        let (from, to) = (times.clone().min()?, times.max()?);
        let short = SHORTEST_MS.saturating_sub(to - from);
        Some(Self { from: from.saturating_sub(short / 2), to: to.saturating_add(short.div_ceil(2)) })
    }

    /// A wider one, within `bounds`.
    pub fn widened(self, by_ms: u64, bounds: Self) -> Self {
        Self {
            from: self.from.saturating_sub(by_ms).max(bounds.from),
            to: self.to.saturating_add(by_ms).min(bounds.to),
        }
    }

    pub fn length_ms(self) -> u64 {
        self.to - self.from
    }

    pub fn contains(self, t_ms: u64) -> bool {
        (self.from..=self.to).contains(&t_ms)
    }

    /// Thousandths of the width; outside 0 to 1000 for a time outside the frame.
    pub fn x(self, t_ms: u64) -> f64 {
        let after = if t_ms >= self.from { (t_ms - self.from) as f64 } else { -((self.from - t_ms) as f64) };
        1000.0 * after / (self.length_ms().max(1)) as f64
    }

    /// Times within the frame that are round on a clock `offset` seconds east of UTC, with their labels.
    pub fn ticks(self, offset: i32) -> Vec<(u64, String)> {
        let fits = |step: u64| self.length_ms() / step < MOST_TICKS;
        let days = (0..u64::BITS - DAY.ilog2()).map(|n| DAY << n);
        let Some(step) = STEPS.into_iter().chain(days).find(|&step| fits(step)) else {
            return Vec::new();
        };
        // Round on the clock that is shown, not on UTC: some zones are half an hour away.
        let east = i128::from(offset) * i128::from(SECOND);
        let length = i128::from(step);
        let first = (i128::from(self.from) + east + length - 1).div_euclid(length) * length - east;
        (0..=MOST_TICKS)
            .filter_map(|n| u64::try_from(first + i128::from(n) * length).ok())
            .filter(|&t_ms| self.contains(t_ms))
            .map(|t_ms| (t_ms, label(Local::shifted(t_ms, offset), step)))
            .collect()
    }
}

fn label(at: Local, step: u64) -> String {
    match step {
        0..MINUTE => at.clock().to_string(),
        MINUTE..DAY => at.short().to_string(),
        _ => at.day().to_string(),
    }
}

/// What the values are.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Unit {
    Bytes,
    Percent,
}

/// A scale from 0 to a round top.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::report::html) struct Scale {
    pub top: f64,
    step: f64,
    unit: Unit,
}

impl Scale {
    /// Sizes up to `max` bytes: steps are powers of two.
    pub fn bytes(max: f64) -> Self {
        const LEAST: f64 = (1 << 20) as f64;
        let max = max.max(LEAST);
        let step = (max / 4.0).log2().ceil().exp2();
        Self { top: (max / step).ceil() * step, step, unit: Unit::Bytes }
    }

    /// Shares up to `max` percent, 100 at most.
    pub fn percent(max: f64) -> Self {
        let (top, step) =
            [(10.0, 5.0), (20.0, 5.0), (50.0, 10.0)].into_iter().find(|&(top, _)| max <= top).unwrap_or((100.0, 25.0));
        Self { top, step, unit: Unit::Percent }
    }

    /// Values from 0 to the top, with their labels.
    pub fn ticks(self) -> impl Iterator<Item = (f64, String)> {
        // Five at most, by the steps above.
        (0..=5_u8).map(move |n| f64::from(n) * self.step).filter(move |&value| value <= self.top).map(move |value| {
            let label = match self.unit {
                Unit::Bytes => self.bytes_label(value),
                Unit::Percent => format!("{value} %"),
            };
            (value, label)
        })
    }

    /// All labels of a scale have one unit: the largest that the top reaches. Fractions are halves and quarters.
    fn bytes_label(self, value: f64) -> String {
        let mut unit = (1_u64 << 20) as f64;
        let mut name = "MiB";
        for larger in ["GiB", "TiB", "PiB", "EiB"] {
            if self.top >= unit * 1024.0 {
                unit *= 1024.0;
                name = larger;
            }
        }
        if value == 0.0 { "0".to_owned() } else { format!("{} {name}", value / unit) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UTC: i32 = 0;

    fn times(frame: Frame, offset: i32) -> Vec<String> {
        frame.ticks(offset).into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_of_time_are_round() {
        let from = 1_785_208_502_000;
        let ten_minutes = Frame { from, to: from + 600_000 };
        assert_eq!(times(ten_minutes, UTC), ["03:16", "03:18", "03:20", "03:22", "03:24"]);
        let ten_seconds = Frame { from, to: from + 10_000 };
        assert_eq!(times(ten_seconds, UTC), ["03:15:02", "03:15:04", "03:15:06", "03:15:08", "03:15:10", "03:15:12"]);
        let nepal = 5 * 3600 + 45 * 60;
        assert_eq!(times(Frame { from, to: from + 4 * HOUR }, nepal), ["10:00", "11:00", "12:00", "13:00"]);
        let a_month = Frame { from, to: from + 30 * DAY };
        assert_eq!(times(a_month, UTC)[0], "2026-07-30");
    }

    #[test]
    fn any_frame_has_few_ticks_and_no_panic() {
        for to in [0, 1, 999, SECOND, DAY, 400 * DAY, u64::MAX / 2, u64::MAX] {
            for offset in [-43_200, 0, 50_400] {
                let ticks = Frame { from: 0, to }.ticks(offset);
                assert!(ticks.len() <= 8, "{to}");
            }
        }
        let latest = Frame::around([u64::MAX].into_iter()).unwrap();
        assert!(latest.ticks(UTC).len() <= 8);
        assert!(latest.x(u64::MAX).is_finite() && latest.x(0).is_finite());
        assert_eq!(Frame::around([].into_iter()), None);
    }

    #[test]
    fn one_moment_is_in_the_middle() {
        let frame = Frame::around([100_000].into_iter()).unwrap();
        assert_eq!((frame.length_ms(), frame.x(100_000)), (SHORTEST_MS, 500.0));
        assert!(frame.x(0) < 0.0);
    }

    #[test]
    fn scales_have_round_tops_in_one_unit() {
        const GIB: f64 = (1 << 30) as f64;
        let labels = |scale: Scale| scale.ticks().map(|(_, label)| label).collect::<Vec<_>>();
        assert_eq!(labels(Scale::bytes(14.2 * GIB)), ["0", "4 GiB", "8 GiB", "12 GiB", "16 GiB"]);
        assert_eq!(labels(Scale::bytes(1.3 * GIB)), ["0", "0.5 GiB", "1 GiB", "1.5 GiB"]);
        assert_eq!(labels(Scale::bytes(0.7 * GIB)), ["0", "256 MiB", "512 MiB", "768 MiB"]);
        assert_eq!(labels(Scale::bytes(0.0)), ["0", "0.25 MiB", "0.5 MiB", "0.75 MiB", "1 MiB"]);
        assert_eq!(labels(Scale::percent(3.0)), ["0 %", "5 %", "10 %"]);
        assert_eq!(labels(Scale::percent(81.0)), ["0 %", "25 %", "50 %", "75 %", "100 %"]);
        for max in [1.0, 5e6, 3.3e9, 1e12, u64::MAX as f64] {
            assert!((3..=5).contains(&labels(Scale::bytes(max)).len()), "{max}");
            assert!(Scale::bytes(max).top >= max);
        }
    }
}
