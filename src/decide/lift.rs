//! Lifted limits: which `memory.high` was raised out of the way, and when it goes back.
//!
//! Pure, as the rest of this room: it is told when a lift is done and what the cgroup's files say since, and answers what is
//! to be done. Who writes the files is `commands::daemon::lifter`.

use std::time::Duration;

use crate::observe::cgroups::CgroupPath;
use crate::observe::parse::Limit;

/// Lifts at one time: as many cgroups as were made stuck at once in the lab, and some. 600 bytes each, touched only when used.
pub const LIFTS: usize = 256;

/// Below this share of the old limit the pressure counts as gone. Restored at the limit itself, the cgroup would be throttled
/// again at once: the kernel lets tasks sleep from 1.25 % above it on, and a page cache fills up what room there is.
pub const LOW: Share = Share { of: 95, out_of: 100 };

/// It has to stay below for this long. A batch job between two peaks, or a server between two requests, pauses for seconds.
pub const LOW_FOR: Duration = Duration::from_secs(30);

/// A share in whole numbers: sizes must not pass through floating point to be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    of: u64,
    out_of: u64,
}

impl Share {
    /// This share of `bytes`, rounded down.
    #[must_use]
    pub const fn of(self, bytes: u64) -> u64 {
        // Divided first: a limit may be close to 2^64.
        bytes / self.out_of * self.of + bytes % self.out_of * self.of / self.out_of
    }
}

/// One lifted cgroup.
#[derive(Clone, Copy, Debug)]
pub struct Lifted {
    /// The caller's number of the cgroup (its inode: one made anew under the old name is another one).
    pub key: u64,
    /// Its path below the cgroup root.
    pub path: CgroupPath,
    /// `memory.high` before, in bytes.
    pub old: u64,
    /// When it was lifted.
    pub since: Duration,
    /// Since when its use has been low.
    low_since: Option<Duration>,
    /// Its restore was asked for: what the file says next may be ours.
    asked: bool,
}

/// What is to be done about a lifted cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiftStep {
    /// Nothing.
    Hold,
    /// The limit goes back. Said again after another [`LOW_FOR`] for as long as the cgroup is not [removed](Lifts::remove).
    Restore,
    /// Somebody else has set this limit meanwhile, and theirs stands. What the lift left with systemd is still to be cleared
    /// away: the lifter is asked to restore all the same, and leaves their limit alone.
    Abandon(Limit),
}

/// All lifted cgroups.
#[derive(Debug)]
pub struct Lifts(Vec<Lifted>);

impl Default for Lifts {
    fn default() -> Self {
        Self::new(LIFTS)
    }
}

impl Lifts {
    /// Room for `capacity` lifts: the only allocation.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Lifted> {
        self.0.iter()
    }

    /// Whether nothing is lifted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The lift of a cgroup.
    #[must_use]
    pub fn get(&self, key: u64) -> Option<&Lifted> {
        self.0.iter().find(|lifted| lifted.key == key)
    }

    /// Whether another one finds room: to be asked before a limit is lifted.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.0.len() < self.0.capacity()
    }

    /// A cgroup's limit was lifted at `now`. `false`, and nothing is kept, when there is no room. A cgroup that is lifted
    /// already begins anew.
    pub fn push(&mut self, key: u64, path: &CgroupPath, old: u64, now: Duration) -> bool {
        self.remove(key);
        let room = self.has_room();
        if room {
            self.0.push(Lifted { key, path: *path, old, since: now, low_since: None, asked: false });
        }
        room
    }

    /// What is to be done now that `memory.current` and `memory.high` of a cgroup were seen; [`LiftStep::Hold`] for one that
    /// is not lifted.
    pub fn step(&mut self, key: u64, now: Duration, current: u64, high: Limit) -> LiftStep {
        let Some(lifted) = self.0.iter_mut().find(|lifted| lifted.key == key) else { return LiftStep::Hold };
        match high {
            Limit::Max => lifted.wait(now, current),
            // The restore is done; word of it is on its way.
            Limit::Bytes(bytes) if lifted.asked && bytes == lifted.old => LiftStep::Hold,
            Limit::Bytes(_) => LiftStep::Abandon(high),
        }
    }

    /// Forgets a cgroup: it was restored, left to somebody else, or is gone.
    pub fn remove(&mut self, key: u64) -> Option<Lifted> {
        let at = self.0.iter().position(|lifted| lifted.key == key)?;
        Some(self.0.swap_remove(at))
    }
}

impl Lifted {
    fn wait(&mut self, now: Duration, current: u64) -> LiftStep {
        if current > LOW.of(self.old) {
            self.low_since = None;
            return LiftStep::Hold;
        }
        if now.saturating_sub(*self.low_since.get_or_insert(now)) < LOW_FOR {
            return LiftStep::Hold;
        }
        self.low_since = Some(now);
        self.asked = true;
        LiftStep::Restore
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const OLD: u64 = 200 * MIB;
    const KEY: u64 = 4711;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn lifted_at(seconds: u64) -> Lifts {
        let mut lifts = Lifts::new(2);
        assert!(lifts.push(KEY, &CgroupPath::new(b"/system.slice/a.service").unwrap(), OLD, s(seconds)));
        lifts
    }

    /// Steps of (second, current in MiB, high), and what each must answer.
    fn check(script: &[(u64, u64, Limit, LiftStep)]) {
        let mut lifts = lifted_at(100);
        for (at, current, high, expected) in script {
            assert_eq!(lifts.step(KEY, s(*at), current * MIB, *high), *expected, "at {at} s");
        }
    }

    #[test]
    fn restored_once_use_has_been_low_for_thirty_seconds() {
        use LiftStep::{Hold, Restore};
        check(&[
            (101, 210, Limit::Max, Hold),
            (110, 190, Limit::Max, Hold),
            (139, 190, Limit::Max, Hold),
            (140, 190, Limit::Max, Restore),
        ]);
    }

    #[test]
    fn a_peak_begins_the_wait_anew() {
        use LiftStep::{Hold, Restore};
        check(&[
            (101, 100, Limit::Max, Hold),
            (130, 191, Limit::Max, Hold),
            (132, 190, Limit::Max, Hold),
            (161, 0, Limit::Max, Hold),
            (162, 0, Limit::Max, Restore),
        ]);
    }

    #[test]
    fn a_restore_that_nobody_did_is_asked_for_again() {
        use LiftStep::{Hold, Restore};
        check(&[
            (100, 10, Limit::Max, Hold),
            (130, 10, Limit::Max, Restore),
            (131, 10, Limit::Max, Hold),
            (160, 10, Limit::Max, Restore),
        ]);
    }

    #[test]
    fn what_somebody_else_sets_stands() {
        use LiftStep::{Abandon, Hold, Restore};
        let theirs = Limit::Bytes(300 * MIB);
        check(&[(101, 210, Limit::Max, Hold), (102, 210, theirs, Abandon(theirs))]);
        // The old value, set by somebody else, is somebody else's too: nothing is left to be restored.
        check(&[(102, 210, Limit::Bytes(OLD), Abandon(Limit::Bytes(OLD)))]);
        // Once the restore was asked for, the old value is ours.
        check(&[
            (100, 10, Limit::Max, Hold),
            (130, 10, Limit::Max, Restore),
            (131, 10, Limit::Bytes(OLD), Hold),
            (132, 10, theirs, Abandon(theirs)),
        ]);
    }

    #[test]
    fn a_time_that_stands_still_or_goes_back_restores_nothing() {
        use LiftStep::Hold;
        check(&[(100, 10, Limit::Max, Hold), (100, 10, Limit::Max, Hold), (40, 10, Limit::Max, Hold)]);
    }

    #[test]
    fn room_is_bounded_and_comes_back() {
        let mut lifts = lifted_at(0);
        let path = &CgroupPath::new(b"/b").unwrap();
        assert!(lifts.push(2, path, OLD, s(1)));
        assert!(!lifts.has_room());
        assert!(!lifts.push(3, path, OLD, s(2)), "a third in a table for two");
        assert!(lifts.get(3).is_none());
        // One that is there already needs no room.
        assert!(lifts.push(2, path, 2 * OLD, s(3)));
        assert_eq!(lifts.get(2).map(|lifted| (lifted.old, lifted.since)), Some((2 * OLD, s(3))));
        assert_eq!(lifts.remove(KEY).map(|lifted| lifted.key), Some(KEY));
        assert!(lifts.remove(KEY).is_none());
        assert_eq!(lifts.step(KEY, s(9), 0, Limit::Bytes(1)), LiftStep::Hold, "not lifted any more");
        assert_eq!(lifts.iter().count(), 1);
    }

    #[test]
    fn shares_of_any_limit() {
        for (bytes, low) in [(0, 0), (1, 0), (100, 95), (199, 189), (u64::MAX, u64::MAX / 100 * 95 + 14)] {
            assert_eq!(LOW.of(bytes), low, "of {bytes}");
        }
    }
}
