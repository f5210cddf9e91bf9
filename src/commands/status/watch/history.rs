//! The last ten minutes, a sample a second.

use std::collections::VecDeque;
use std::time::Duration;

/// How much is kept.
const SECONDS: usize = 600;

/// A sample stands for this many seconds at most: a look may take a moment longer than the one before.
const STANDS_FOR: u64 = 3;

/// What a column of a chart may stand for, in seconds. With the last of them twenty columns show all that is kept.
const STEPS: [usize; 6] = [1, 2, 5, 10, 20, 30];

/// What is drawn over time. Shares from 0 to 1; `None`: not known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Memory that is not available.
    pub used: Option<f64>,
    /// Swap in use.
    pub swap: Option<f64>,
    /// `some avg10` of memory pressure.
    pub some: Option<f64>,
    /// `full avg10`.
    pub full: Option<f64>,
}

impl Sample {
    /// The worse of both.
    fn worse(self, other: Self) -> Self {
        let worse = |a: Option<f64>, b: Option<f64>| a.into_iter().chain(b).reduce(f64::max);
        Self {
            used: worse(self.used, other.used),
            swap: worse(self.swap, other.swap),
            some: worse(self.some, other.some),
            full: worse(self.full, other.full),
        }
    }
}

/// Samples by the second.
#[derive(Clone, Debug, Default)]
pub struct History {
    samples: VecDeque<Sample>,
    /// The second of the newest, from any point on.
    newest: u64,
}

impl History {
    /// Adds a sample of the moment `now`, on a clock that never goes back.
    pub fn push(&mut self, now: Duration, sample: Sample) {
        let second = now.as_secs();
        let passed = second.saturating_sub(self.newest);
        match self.samples.back_mut() {
            Some(newest) if passed == 0 => *newest = newest.worse(sample),
            Some(_) => {
                let missed = if passed <= STANDS_FOR { sample } else { Sample::default() };
                let missing = usize::try_from(passed - 1).unwrap_or(SECONDS).min(SECONDS);
                self.samples.extend(std::iter::repeat_n(missed, missing).chain([sample]));
            }
            None => self.samples.push_back(sample),
        }
        self.newest = second.max(self.newest);
        let surplus = self.samples.len().saturating_sub(SECONDS);
        self.samples.drain(..surplus);
    }

    /// The history in at most `width` columns, newest first, each the worst of its seconds, and how many seconds a column
    /// stands for: as few as show all of it, so that a short history is not a sliver.
    pub fn columns(&self, width: usize, value: impl Fn(&Sample) -> Option<f64>) -> (Vec<Option<f64>>, usize) {
        let step = STEPS.into_iter().find(|step| self.samples.len() <= step * width).unwrap_or(30);
        let mut columns: Vec<Option<f64>> = Vec::new();
        let mut column = None;
        for (sample, age) in self.samples.iter().rev().zip(0_u64..) {
            // By the clock and not by age, or every new second would draw all columns anew.
            let this = self.newest.saturating_sub(age) / step as u64;
            if column.replace(this) != Some(this) {
                columns.push(None);
            }
            if let Some(last) = columns.last_mut() {
                *last = last.iter().copied().chain(value(sample)).reduce(f64::max);
            }
        }
        columns.truncate(width);
        (columns, step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(share: f64) -> Sample {
        Sample { used: Some(share), ..Sample::default() }
    }

    fn history(of: &[(u64, f64)]) -> History {
        let mut history = History::default();
        for (ms, share) in of {
            history.push(Duration::from_millis(*ms), used(*share));
        }
        history
    }

    #[test]
    fn a_second_keeps_its_worst_and_a_gap_stays_one() {
        let few = history(&[(100_000, 0.1), (100_900, 0.3), (101_100, 0.2), (103_500, 0.4), (108_000, 0.5)]);
        let (columns, step) = few.columns(20, |s| s.used);
        let expected = [Some(0.5), None, None, None, None, Some(0.4), Some(0.4), Some(0.2), Some(0.3)];
        assert_eq!((columns.as_slice(), step), (expected.as_slice(), 1));
        assert!(few.columns(20, |s| s.swap).0.iter().all(Option::is_none));
    }

    #[test]
    fn a_longer_history_takes_longer_columns_which_stay_in_place() {
        let mut all = History::default();
        for second in 0..30 {
            all.push(Duration::from_secs(1000 + second), used(second as f64 / 100.0));
        }
        let (before, step) = all.columns(20, |s| s.used);
        assert_eq!((before.len(), step, before[0], before[1]), (15, 2, Some(0.29), Some(0.27)));
        all.push(Duration::from_secs(1030), used(0.0));
        let (after, _) = all.columns(20, |s| s.used);
        assert_eq!((after[0], after[1], after[2]), (Some(0.0), before[0], before[1]));
    }

    #[test]
    fn ten_minutes_are_kept_and_fit_twenty_columns() {
        let mut all = History::default();
        for second in 0..2000 {
            all.push(Duration::from_secs(second), used(0.5));
        }
        assert_eq!(all.samples.len(), SECONDS);
        let (columns, step) = all.columns(20, |s| s.used);
        assert_eq!((columns.len(), step), (20, 30));
        // A night's sleep is a gap, and nothing more.
        all.push(Duration::from_secs(90_000), used(0.7));
        assert_eq!(all.samples.len(), SECONDS);
        assert_eq!(all.columns(20, |s| s.used).0[..2], [Some(0.7), None]);
    }
}
