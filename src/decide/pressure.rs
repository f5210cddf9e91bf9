//! The pressure rule: systemd-oomd's, without its demand for reclaim.
//!
//! systemd-oomd acts on a cgroup whose `full avg10` has been above a limit for a time, *and* in which pages were scanned. The
//! second demand is what keeps it from ever acting on a cgroup stuck between `memory.high` and `memory.max`, so it is not made
//! here. And the share is not the kernel's decaying average but the exact one of the last ten seconds, cut out of `total=`: it
//! needs no sample at any particular time, and a gap between two samples dilutes nothing.
//!
//! Pure: samples of one cgroup go in, a verdict comes out. Fixed size, no clock, no allocation.

use std::time::Duration;

use crate::observe::cgroups::Preference;

/// The share is that of the last so much time, as in `avg10`, on which systemd-oomd's limits are set.
pub const LOOK: Duration = Duration::from_secs(10);

/// Records kept of one [`LOOK`]. The window's beginning is cut out between two of them by a straight line, which errs by less
/// than a twentieth of it: 0.5 s of stalling in 10 s, as much as PSI itself may lag (its clock ticks every 2 s).
const RECORDS: u32 = 20;

/// The records of one look, one before its beginning, and one being made.
const RING: usize = RECORDS as usize + 2;

/// When pressure is too much, for one cgroup.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PressureTerms {
    /// Share of time fully stalled, in percent, above 0.
    pub full: f64,
    /// At or above it for this long.
    pub after: Duration,
}

/// What a cgroup's samples amount to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PressureVerdict {
    /// The share is below the limit.
    Below,
    /// It is not, but not for long enough.
    Rising {
        /// Share of the last [`LOOK`], in percent.
        percent: f64,
    },
    /// It has been at or above the limit for long enough.
    Due {
        /// Share of the last [`LOOK`], in percent.
        percent: f64,
        /// For how long it has not been below the limit.
        held: Duration,
    },
}

#[derive(Clone, Copy, Debug)]
struct Record {
    t: Duration,
    total_us: u64,
}

/// The rule for one cgroup.
#[derive(Clone, Debug)]
pub struct PressureRule {
    terms: PressureTerms,
    /// None before the first sample.
    track: Option<Track>,
    /// Since when the share has not been below the limit.
    since: Option<Duration>,
}

impl PressureRule {
    /// A rule that has seen nothing yet.
    #[must_use]
    pub const fn new(terms: PressureTerms) -> Self {
        Self { terms, track: None, since: None }
    }

    /// By what it judges.
    #[must_use]
    pub const fn terms(&self) -> &PressureTerms {
        &self.terms
    }

    /// Shows it `full total=` of `memory.pressure` in microseconds at `t`, a clock that only goes forward. A total or a time
    /// that went back is another cgroup's: it begins anew.
    pub fn push(&mut self, t: Duration, full_total_us: u64) -> PressureVerdict {
        let sample = Record { t, total_us: full_total_us };
        let track = match &mut self.track {
            Some(track) if track.now.t <= sample.t && track.now.total_us <= sample.total_us => {
                track.advance(sample);
                track
            }
            begin => {
                self.since = None;
                begin.insert(Track::new(sample))
            }
        };
        let percent = track.percent();
        if percent < self.terms.full {
            self.since = None;
            return PressureVerdict::Below;
        }
        let held = t.saturating_sub(*self.since.get_or_insert(t));
        if held < self.terms.after {
            return PressureVerdict::Rising { percent };
        }
        PressureVerdict::Due { percent, held }
    }

    /// Share of the last `span` that was fully stalled, 0 to 1; `None` when it was not followed for as long.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "2^53 µs are 285 years")]
    pub fn share(&self, span: Duration) -> Option<f64> {
        let track = self.track.as_ref()?;
        let begin = track.now.t.checked_sub(span).filter(|begin| track.oldest().t <= *begin)?;
        Some((track.now.total_us as f64 - track.total_at(begin)) / 1e6 / span.as_secs_f64())
    }

    /// Begins anew: after an act, what was measured before it says nothing about the time after it.
    pub fn restart(&mut self) {
        self.track = None;
        self.since = None;
    }
}

/// The totals of the last [`LOOK`].
#[derive(Clone, Debug)]
struct Track {
    records: [Record; RING],
    len: usize,
    next: usize,
    now: Record,
}

impl Track {
    fn new(first: Record) -> Self {
        Self { records: [first; RING], len: 1, next: 1, now: first }
    }

    fn advance(&mut self, sample: Record) {
        self.now = sample;
        if sample.t.saturating_sub(self.newest().t) >= LOOK / RECORDS {
            self.records[self.next] = sample;
            self.next = (self.next + 1) % RING;
            self.len = (self.len + 1).min(RING);
        }
    }

    /// Share of the last look, in percent. Time before the first sample counts as unstalled, as `avg10` begins at 0.
    #[expect(clippy::cast_precision_loss, reason = "ten seconds are 10^7 µs")]
    fn percent(&self) -> f64 {
        let begin = self.now.t.saturating_sub(LOOK);
        let stalled = self.now.total_us as f64 - self.total_at(begin);
        stalled / LOOK.as_secs_f64() / 1e6 * 100.0
    }

    /// The total at `t`, on the straight line between the two records around it.
    #[expect(clippy::cast_precision_loss, reason = "2^53 µs are 285 years")]
    fn total_at(&self, t: Duration) -> f64 {
        let mut later = self.now;
        for back in 1..=self.len {
            let record = self.records[(self.next + RING - back) % RING];
            if record.t <= t {
                let width = later.t.saturating_sub(record.t).as_secs_f64();
                let share = if width > 0.0 { t.saturating_sub(record.t).as_secs_f64() / width } else { 0.0 };
                let (from, to) = (record.total_us as f64, later.total_us as f64);
                return from + (to - from) * share.min(1.0);
            }
            later = record;
        }
        later.total_us as f64
    }

    fn oldest(&self) -> &Record {
        &self.records[(self.next + RING - self.len) % RING]
    }

    fn newest(&self) -> &Record {
        &self.records[(self.next + RING - 1) % RING]
    }
}

/// A child of a cgroup under pressure, for `target = "cgroup"`. Whoever asks has left out those that must not die.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Child {
    /// What its end would give back: anonymous memory and swap of its whole subtree, in bytes.
    pub size: u64,
    /// Its own share of the last [`LOOK`] fully stalled, in percent.
    pub percent: f64,
    /// Whether its own `memory.high` or `memory.max` was hit in that time (`memory.events.local`).
    pub at_own_limit: bool,
    /// `ManagedOOMPreference=`.
    pub preference: Preference,
}

/// Which child, by its place among `children`, is to die for its parent's pressure of at least `full` percent; none when no
/// child of at least `min_size` bytes may.
///
/// Not the one with the most pressure: who is throttled at a parent's limit is whoever *asks* for memory, and a hog that has
/// settled asks for nothing while its neighbours starve. Nor the one with the most reclaim, as systemd-oomd chooses: there may
/// be none. So, in this order,
/// 1. one that systemd is told to avoid only when nothing else is left, and one to be omitted never;
/// 2. first one that is stalled to that degree at a limit *of its own*: then the trouble is inside it, and a neighbour's end,
///    be it ever so large, would change nothing;
/// 3. the largest: its end frees most of what all of them share. Of equals, the one stalled more.
#[must_use]
pub fn worst_child(children: impl Iterator<Item = Child>, full: f64, min_size: u64) -> Option<usize> {
    let rank = |child: &Child| {
        (child.preference != Preference::Avoid, child.at_own_limit && child.percent >= full, child.size)
    };
    let may_die = |child: &Child| child.preference != Preference::Omit && child.size >= min_size.max(1);
    let worse = |a: &Child, b: &Child| rank(a).cmp(&rank(b)).then(a.percent.total_cmp(&b.percent));
    let mut worst: Option<(usize, Child)> = None;
    for (at, child) in children.enumerate().filter(|(_, child)| may_die(child)) {
        // Of equals the first, as a list sorted by name should give.
        if worst.is_none_or(|(_, so_far)| worse(&child, &so_far).is_gt()) {
            worst = Some((at, child));
        }
    }
    worst.map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: PressureTerms = PressureTerms { full: 60.0, after: Duration::from_secs(30) };

    fn s(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    /// Shows a rule stretches of (seconds, share stalled), sampled every `every` seconds; the first moment it was due.
    fn due(terms: PressureTerms, every: f64, stretches: &[(f64, f64)]) -> Option<f64> {
        let mut rule = PressureRule::new(terms);
        let end: f64 = stretches.iter().map(|(seconds, _)| seconds).sum();
        let mut n = 0.0;
        while n * every <= end {
            let t = n * every;
            let mut left = t;
            let stalled: f64 = stretches
                .iter()
                .map(|(seconds, share)| {
                    let here = left.clamp(0.0, *seconds);
                    left -= here;
                    here * share
                })
                .sum();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
            if let PressureVerdict::Due { percent, held } = rule.push(s(1000.0 + t), (stalled * 1e6) as u64) {
                assert!(percent >= terms.full && held >= terms.after, "{percent} for {held:?}");
                return Some(t);
            }
            n += 1.0;
        }
        None
    }

    #[test]
    fn due_when_the_share_of_the_last_ten_seconds_held_for_the_time() {
        let brief = PressureTerms { after: Duration::from_secs(1), ..TERMS };
        type Case<'a> = (PressureTerms, &'a [(f64, f64)], Option<f64>);
        let cases: [Case<'_>; 8] = [
            // 60 % of ten seconds are reached after 6 s of full stalling.
            (TERMS, &[(60.0, 1.0)], Some(36.0)),
            (brief, &[(60.0, 1.0)], Some(7.0)),
            (TERMS, &[(120.0, 0.59)], None),
            (TERMS, &[(120.0, 0.61)], Some(40.0)),
            // On the average above the limit, but not all the time.
            (TERMS, &[(20.0, 1.0), (10.0, 0.0), (20.0, 1.0), (10.0, 0.0), (20.0, 1.0)], None),
            // A second's breath in ten does not take a share of 90 % below 60 %.
            (TERMS, &[(20.0, 1.0), (1.0, 0.0), (40.0, 1.0)], Some(36.0)),
            // What was before does not count for what begins anew.
            (TERMS, &[(30.0, 1.0), (20.0, 0.0), (60.0, 1.0)], Some(86.0)),
            (TERMS, &[(600.0, 0.0)], None),
        ];
        for (terms, stretches, expected) in cases {
            let found = due(terms, 0.25, stretches);
            let near = match (found, expected) {
                // The cut of the window's beginning and the pace of the samples.
                (Some(found), Some(expected)) => (found - expected).abs() <= 0.75,
                (found, expected) => found == expected,
            };
            assert!(near, "{found:?} for {stretches:?}, expected {expected:?}");
        }
    }

    #[test]
    fn neither_a_slow_pace_nor_gaps_dilute_it() {
        for every in [0.1, 1.0, 3.0, 7.0, 15.0] {
            let found = due(TERMS, every, &[(120.0, 0.8)]);
            let at = found.unwrap_or_else(|| panic!("never due when sampled every {every} s"));
            // Up to a sample later at either end of the time.
            assert!((36.0..=40.0 + 2.0 * every).contains(&at), "{at} s when sampled every {every} s");
        }
        let mut rule = PressureRule::new(TERMS);
        rule.push(s(0.0), 0);
        assert!(matches!(rule.push(s(10.0), 8_000_000), PressureVerdict::Rising { .. }));
        // 25 s without a sample, in which it was stalled as before.
        assert!(matches!(rule.push(s(35.0), 28_000_000), PressureVerdict::Rising { .. }));
        assert!(matches!(rule.push(s(40.0), 32_000_000), PressureVerdict::Due { .. }));
        // In the next gap it moved.
        assert_eq!(rule.push(s(60.0), 33_000_000), PressureVerdict::Below);
    }

    #[test]
    fn it_begins_anew_for_another_cgroup_and_after_an_act() {
        let stalled = |rule: &mut PressureRule, from: u32| {
            (0..=40).map(|n| rule.push(s(f64::from(from + n)), u64::from(n) * 1_000_000)).last()
        };
        let mut rule = PressureRule::new(TERMS);
        assert!(matches!(stalled(&mut rule, 0), Some(PressureVerdict::Due { .. })));
        // The total went back: a cgroup made anew under the old name.
        assert_eq!(rule.push(s(41.0), 5), PressureVerdict::Below);
        assert!(matches!(stalled(&mut rule, 50), Some(PressureVerdict::Due { .. })));
        rule.restart();
        assert_eq!(rule.push(s(91.0), 41_000_000), PressureVerdict::Below);
        // A clock that went back.
        assert_eq!(rule.push(s(5.0), 41_000_001), PressureVerdict::Below);
        assert_eq!(rule.terms(), &TERMS);
    }

    const MIB: u64 = 1 << 20;

    const fn child(mib: u64, percent: f64) -> Child {
        Child { size: mib * MIB, percent, at_own_limit: false, preference: Preference::None }
    }

    #[test]
    fn the_worst_child() {
        let limited = |child| Child { at_own_limit: true, ..child };
        let avoid = |child| Child { preference: Preference::Avoid, ..child };
        let omit = |child| Child { preference: Preference::Omit, ..child };
        let cases: [(&str, &[Child], Option<usize>); 10] = [
            ("nobody there", &[], None),
            ("the settled hog, not the server that starves beside it", &[child(190, 2.0), child(12, 95.0)], Some(0)),
            (
                "the small one that thrashes inside its own limit",
                &[child(4000, 0.0), limited(child(300, 90.0))],
                Some(1),
            ),
            ("its own limit does not trouble it", &[child(4000, 70.0), limited(child(300, 12.0))], Some(0)),
            ("one to avoid only when nothing else is left", &[avoid(child(4000, 90.0)), child(40, 0.0)], Some(1)),
            ("one to avoid is left", &[avoid(child(4000, 90.0)), child(3, 0.0)], Some(0)),
            ("one to omit never", &[omit(child(4000, 90.0)), omit(child(40, 0.0))], None),
            ("nothing worth killing", &[child(9, 90.0), child(0, 99.0)], None),
            ("of equals the one stalled more", &[child(50, 20.0), child(50, 30.0), child(50, 10.0)], Some(1)),
            ("of equals the first", &[child(9, 99.0), child(50, 30.0), child(50, 30.0)], Some(1)),
        ];
        for (what, children, expected) in cases {
            assert_eq!(worst_child(children.iter().copied(), 60.0, 10 * MIB), expected, "{what}");
        }
        assert_eq!(worst_child([child(0, 99.0)].into_iter(), 60.0, 0), None, "the end of an empty one frees nothing");
    }
}
