//! Running sums of what happened in a cgroup, or on the machine, kept so that any window up to now can be cut out of them.

use std::marker::PhantomData;
use std::time::Duration;

use super::rules::{PARTS, Window};

/// What is summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// Seconds in which no task could run (PSI `full`).
    Full,
    /// Times the judged limit was hit.
    Hits,
    /// Seconds that tasks are estimated to have slept above `memory.high`, of all tasks together.
    Asleep,
    /// Seconds with a task seen asleep there ...
    Seen,
    /// ... of so many in which somebody looked.
    Looked,
    /// Use as a share of the limit, times seconds.
    Fill,
    /// Seconds between samples that both had `memory.stat`: what follows is known of these only.
    Known,
    /// Pages reclaimed.
    Steal,
    /// Anonymous pages needed again.
    RefaultAnon,
    /// File pages needed again.
    RefaultFile,
    /// Of these, of the working set.
    Restore,
    /// Memory that tasks gave back themselves, as a share of the limit.
    Returned,
    /// Reclaimable page cache as a share of use, times seconds.
    FileLru,
    /// `oom` events.
    Oom,
    /// `oom_kill` events.
    Kills,
}

/// How many sums a cgroup has.
const SUMS: usize = Of::Kills as usize + 1;

/// Names the sums of a set: a cgroup's ([`Of`]), or the machine's.
pub(super) trait Name: Copy {
    /// Its place in the set.
    fn place(self) -> usize;
}

impl Name for Of {
    fn place(self) -> usize {
        self as usize
    }
}

/// A set of sums.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sums<K = Of, const N: usize = SUMS>([f64; N], PhantomData<K>);

impl<K, const N: usize> Default for Sums<K, N> {
    fn default() -> Self {
        Self([0.0; N], PhantomData)
    }
}

impl<K: Name, const N: usize> Sums<K, N> {
    pub(super) fn add(&mut self, of: K, amount: f64) {
        self.0[of.place()] += amount;
    }

    pub(super) fn get(&self, of: K) -> f64 {
        self.0[of.place()]
    }

    /// The sums a `share` of the way from these to `later`.
    fn towards(&self, later: &Self, share: f64) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + (later.0[i] - self.0[i]) * share), PhantomData)
    }

    /// What came to these since `earlier`.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] - earlier.0[i]), PhantomData)
    }
}

/// What happened in a stretch of time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block<K = Of, const N: usize = SUMS> {
    pub(super) seconds: f64,
    pub(super) sums: Sums<K, N>,
}

impl<K: Name, const N: usize> Block<K, N> {
    /// A sum as a share of the time.
    pub(super) fn share(&self, of: K) -> f64 {
        ratio(self.sums.get(of), self.seconds)
    }
}

impl Block {
    /// A sum per second of known `memory.stat`; `None` when less than half of the time is known.
    pub(super) fn known(&self, of: Of) -> Option<f64> {
        self.out_of(of, Of::Known)
    }

    /// A sum out of a time looked at; `None` when that is less than half of the block.
    pub(super) fn out_of(&self, of: Of, looked: Of) -> Option<f64> {
        let looked = self.sums.get(looked);
        (looked > 0.0 && looked * 2.0 >= self.seconds).then(|| self.sums.get(of) / looked)
    }
}

pub(super) fn ratio(of: f64, to: f64) -> f64 {
    if to > 0.0 { of / to } else { 0.0 }
}

/// Records a window is kept in. Windows are cut out at any point between two records by a straight line, which errs by
/// less than one of these parts of a window: a third of the part that is judged by itself. More
/// would cost memory in every detector (128 bytes each), and the guard's memory is locked.
const RECORDS: usize = 12;

/// The records of one window, and one more on each side for the cut.
const RING: usize = RECORDS + 2;

#[derive(Clone, Copy, Debug)]
struct Record<K, const N: usize> {
    t: Duration,
    sums: Sums<K, N>,
}

/// The sums of the last window.
#[derive(Clone, Debug)]
pub(super) struct Track<K = Of, const N: usize = SUMS> {
    window: Duration,
    records: [Record<K, N>; RING],
    len: usize,
    next: usize,
    now: Record<K, N>,
}

impl<K: Name, const N: usize> Track<K, N> {
    /// An empty track that begins at `t`.
    pub(super) fn new(window: Duration, t: Duration) -> Self {
        let begin = Record { t, sums: Sums::default() };
        Self { window, records: [begin; RING], len: 1, next: 1, now: begin }
    }

    /// Goes on to `t`, at which the sums are `sums`.
    pub(super) fn advance(&mut self, t: Duration, sums: &Sums<K, N>) {
        self.now = Record { t, sums: *sums };
        if t.saturating_sub(self.newest().t) >= self.window / u32::try_from(RECORDS).unwrap_or(u32::MAX) {
            self.records[self.next] = self.now;
            self.next = (self.next + 1) % RING;
            self.len = (self.len + 1).min(RING);
        }
    }

    /// How far back it reaches, at most a window.
    pub(super) fn reach(&self) -> Duration {
        self.now.t.saturating_sub(self.oldest().t).min(self.window)
    }

    /// What happened in the last `span`.
    pub(super) fn last(&self, span: Duration) -> Block<K, N> {
        let from = self.now.t.saturating_sub(span).max(self.oldest().t);
        Block { seconds: self.now.t.saturating_sub(from).as_secs_f64(), sums: self.now.sums.since(&self.at(from)) }
    }

    /// The sums at `t`, on the straight line between the two records around it.
    fn at(&self, t: Duration) -> Sums<K, N> {
        let mut later = self.now;
        for back in 1..=self.len {
            let record = self.records[(self.next + RING - back) % RING];
            if record.t <= t {
                let width = later.t.saturating_sub(record.t).as_secs_f64();
                let share = ratio(t.saturating_sub(record.t).as_secs_f64(), width).min(1.0);
                return record.sums.towards(&later.sums, share);
            }
            later = record;
        }
        later.sums
    }

    fn newest(&self) -> &Record<K, N> {
        &self.records[(self.next + RING - 1) % RING]
    }

    fn oldest(&self) -> &Record<K, N> {
        &self.records[(self.next + RING - self.len) % RING]
    }
}

impl Track {
    /// What happened in the last window, as a whole and cut into equal parts. Where the track does not reach that far back,
    /// it is what is there that is cut.
    pub(super) fn cut(&self) -> Window {
        let reach = self.reach();
        let begin = self.now.t.saturating_sub(reach);
        let part = reach / u32::try_from(PARTS).unwrap_or(u32::MAX);
        let mut from = (begin, self.at(begin));
        let first = from.1;
        let parts = std::array::from_fn(|n| {
            let to = if n + 1 == PARTS { (self.now.t, self.now.sums) } else { (from.0 + part, self.at(from.0 + part)) };
            let block = Block { seconds: to.0.saturating_sub(from.0).as_secs_f64(), sums: to.1.since(&from.1) };
            from = to;
            block
        });
        Window { reach, whole: Block { seconds: reach.as_secs_f64(), sums: self.now.sums.since(&first) }, parts }
    }
}
