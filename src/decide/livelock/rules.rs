//! What makes a cgroup stuck: every threshold, with its reason and its margin on the recorded traces.
//!
//! Throttled and oom_stuck are judged by the weakest quarter of their window. The other kinds are judged by the whole
//! window, which must hold no pause. So neither what is over suffices, nor what comes and goes.

use std::time::Duration;

use super::sums::{Block, Of, ratio};
use super::{Judged, Kind, Terms};

/// Above `memory.high` by so much: below 1.25 % no task sleeps at all, because the kernel skips sleeps of up to HZ/100
/// (64 s × 0.0125² = 10 ms). Stuck traces: 4 % and more; the mildest healthy one that stays above: 0.8 %.
const ABOVE: f64 = 0.0125;

/// Share of time in which no task could run, for throttled. Stuck traces: 0.49 and more in each quarter (0.49 is with one
/// task computing; see [`ASLEEP`] for more of them). Healthy ones above the limit: 0.01; bursts reach 0.43 for 5 s, but do
/// not stay above the limit for a window.
pub(super) const THROTTLED_STALL: f64 = 0.35;

/// Tasks asleep above `memory.high` at any moment, estimated from the count of `high` events and the excess. PSI is
/// diluted by tasks that compute (k of them leave 1/(k+1) of it); this is not. Stuck traces: 0.63 to 2.2.
pub(super) const ASLEEP: f64 = 0.5;

/// Share of looks that find a task asleep there. Stuck traces: 0.67 and more in any 5 s; healthy ones: 0.24 at most.
const SEEN_ASLEEP: f64 = 0.5;

/// Reclaim helps when within a window it gains so much of the limit for good (pages reclaimed less pages needed again),
/// and no less than the excess: then the excess is not the same memory any more. Stuck traces: 0.
const NET_GAIN: f64 = 0.02;

/// Memory that tasks give back by themselves, as a share of the limit a second: work is finished and goes, so the
/// cgroup moves. Stuck and thrashing traces: 0; builds: 0.06 to 0.57.
const RETURNED: f64 = 0.025;

/// A pause is a time of this length or more ...
pub(super) const PAUSE: Duration = Duration::from_millis(750);

/// ... with a stall share below this: the cgroup moves (the same share tells after a kill that it moves again). Thrashing
/// and squeezed cgroups have none: 0.25 and more at any time, 0.14 once on a machine short of CPU. Bursts have one
/// as soon as their memory is given back, at any length of burst and of rest.
pub(super) const PAUSED: f64 = 0.10;

/// Stall share of squeezed, where the restored pages say that the working set is what is being lost (as for thrash).
/// Recorded: 0.79 and more.
const SQUEEZED_STALL: f64 = 0.25;

/// Stall share of squeezed, where they do not: a mapped file that is read from start to end over and over stalls its
/// reader for 0.25 to 0.33 of the time, with nobody stuck.
const SQUEEZED_STALL_UNPROVED: f64 = 0.45;

/// Page cache is squeezed out when so little of the memory in use is left for it. Healthy streams beside much anonymous
/// memory: 0.29.
const SQUEEZED_FILE_LRU: f64 = 0.05;

/// Stall share of thrash. Traces: 0.31 to 0.43; healthy ones that restore pages (builds): 0.07 at most. A real disk
/// raises it for thrash (waiting for working-set pages is a memory stall) and not for streams (waiting for new ones is not).
pub(super) const THRASH_STALL: f64 = 0.20;

/// Stall share of swap thrash. Traces: 0.47 to 0.61; healthy swapping: 0.24 in 10 s, once. Above that for the mixes in
/// between: a set in heavy use that fits, beside one in light use that does not, was seen at up to 0.39, and it got on.
const SWAP_THRASH_STALL: f64 = 0.40;

/// Of the file pages needed again, so many were of the working set. Thrash: 0.31 to 1.0; streams: 0.002 at most.
const RESTORED: f64 = 0.20;

/// Of the pages reclaimed, so many were needed again: reclaim runs in a circle. All kinds of thrash: 0.84 to 1.0; swapping
/// cold memory out: 0.43. It tells circles from gains, not thrash from streams (1.0).
const REFAULTED: f64 = 0.5;

/// Mean room below the limit, as a share of it: the cgroup is pinned there. Thrash: 0.03 at most; builds, whose jobs
/// end: 0.13 to 0.18.
const ROOM: f64 = 0.10;

/// Memory in use that is no page cache, for file thrash: something holds what the page cache lacks. Without it the files
/// are simply larger than the limit, and no kill would help. Thrash: 0.51 and more; reading only: 0.02.
const HELD: f64 = 0.30;

/// `oom` events a second: the fault is retried for ever. Stuck: by the thousand; a kernel that can kill: one to a few an
/// episode, and then `oom_kill` rises.
const OOM_RATE: f64 = 1.0;

/// Stall share from which `memory.stat` is worth its price (it walks the subtree): well below every threshold.
pub(super) const STALL_WORTH_A_LOOK: f64 = 0.15;

/// Parts of the window of throttled and oom_stuck: a stall that is over, or has only begun, may fill up to two thirds of
/// the window and is not called stuck.
pub(super) const PARTS: usize = 4;

/// Most rules of a kind.
const RULES: usize = 9;

/// What happened in a window, as a whole and by equal parts.
#[derive(Debug)]
pub(super) struct Window {
    /// How much of it there is yet.
    pub(super) reach: Duration,
    pub(super) whole: Block,
    pub(super) parts: [Block; PARTS],
}

/// What there is to judge.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    pub(super) now: Duration,
    pub(super) terms: &'a Terms,
    pub(super) limit: Judged,
    pub(super) stuck: Window,
    pub(super) thrash: Window,
    /// Since when every sample has been above the limit.
    pub(super) above: Option<Duration>,
    /// Since when there has been no pause.
    pub(super) unbroken: Option<Duration>,
}

/// Bytes as a share of the limit. A limit of 0 is taken as one byte: any use is far above.
pub(super) fn fill(limit: Judged, bytes: u64) -> f64 {
    bytes as f64 / limit.bytes().max(1) as f64
}

pub(super) fn is_above(limit: Judged, current: u64) -> bool {
    matches!(limit, Judged::High(_)) && fill(limit, current) >= 1.0 + ABOVE
}

/// The least share of time stalled that each kind takes: what stalls less is not stuck in this way any more.
pub(in crate::decide) fn least_stall(kind: Kind) -> Option<f64> {
    match kind {
        Kind::Throttled => Some(THROTTLED_STALL),
        Kind::Squeezed => Some(SQUEEZED_STALL),
        Kind::Thrash => Some(THRASH_STALL),
        Kind::SwapThrash => Some(SWAP_THRASH_STALL),
        Kind::OomStuck | Kind::Pressure => None,
    }
}

/// On which side of its threshold a value must lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sense {
    /// The threshold or more.
    AtLeast,
    /// Less than the threshold.
    Below,
}

/// What a rule's numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A share; 1 is all.
    Share,
    /// Seconds.
    Seconds,
    /// A number.
    Count,
}

/// One rule of a kind, with its value now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// Its name in JSON and in the documentation.
    pub name: &'static str,
    /// Its value; `None` when nothing is known of it.
    pub value: Option<f64>,
    /// Its threshold.
    pub threshold: f64,
    /// On which side the value must lie.
    pub sense: Sense,
    /// What both are.
    pub unit: Unit,
}

impl Rule {
    pub(super) const fn at_least(name: &'static str, unit: Unit, value: Option<f64>, threshold: f64) -> Self {
        Self { name, value, threshold, sense: Sense::AtLeast, unit }
    }

    pub(super) const fn below(name: &'static str, unit: Unit, value: Option<f64>, threshold: f64) -> Self {
        Self { name, value, threshold, sense: Sense::Below, unit }
    }

    /// Whether it holds.
    #[must_use]
    pub fn met(&self) -> bool {
        match (self.value, self.sense) {
            (None, _) => false,
            (Some(value), Sense::AtLeast) => value >= self.threshold,
            (Some(value), Sense::Below) => value < self.threshold,
        }
    }

    /// How many times over it holds: 2 is twice as much as needed, 0.5 half of it; 0 when nothing is known.
    #[must_use]
    pub fn margin(&self) -> f64 {
        let (of, to) = match (self.value, self.sense) {
            (None, _) => return 0.0,
            (Some(value), Sense::AtLeast) => (value, self.threshold),
            (Some(value), Sense::Below) => (self.threshold, value),
        };
        if to > 0.0 { of / to } else { f64::INFINITY }
    }
}

/// The rules of one kind.
#[derive(Clone, Copy, Debug)]
pub struct Findings {
    /// The kind.
    pub kind: Kind,
    all: [Option<Rule>; RULES],
    any: [Option<Rule>; RULES],
}

impl Findings {
    pub(super) fn new<const N: usize, const M: usize>(kind: Kind, all: [Rule; N], any: [Rule; M]) -> Self {
        const { assert!(N <= RULES && M <= RULES) };
        Self {
            kind,
            all: std::array::from_fn(|i| all.get(i).copied()),
            any: std::array::from_fn(|i| any.get(i).copied()),
        }
    }

    /// The rules that must all hold.
    pub fn all(&self) -> impl Iterator<Item = &Rule> {
        self.all.iter().flatten()
    }

    /// The rules of which one must hold; empty where there is no such choice.
    pub fn any(&self) -> impl Iterator<Item = &Rule> {
        self.any.iter().flatten()
    }

    /// Whether the cgroup, or the machine, is stuck in this way.
    #[must_use]
    pub fn met(&self) -> bool {
        self.all().all(Rule::met) && (self.any().next().is_none() || self.any().any(Rule::met))
    }

    /// The rule that decides: the one that holds by the smallest margin, or fails by the largest. Of those of which one
    /// suffices, the strongest stands for all.
    #[must_use]
    pub fn weakest(&self) -> Option<&Rule> {
        self.counted().min_by(|a, b| a.margin().total_cmp(&b.margin()))
    }

    /// The rules that count: all that must hold, and the strongest of those of which one suffices.
    pub fn counted(&self) -> impl Iterator<Item = &Rule> {
        self.all().chain(self.any().max_by(|a, b| a.margin().total_cmp(&b.margin())))
    }
}

/// Every rule of every kind, with its value: why a cgroup is stuck, or is not.
#[derive(Clone, Copy, Debug)]
pub struct Judgement {
    /// The limit that was judged.
    pub limit: Judged,
    /// The rules, a kind each, in the order of [`Kind::ALL`].
    pub kinds: [Findings; Kind::ALL.len()],
}

impl Judgement {
    /// The kind that holds; the first of [`Kind::ALL`] where several do.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        self.kinds.iter().find(|findings| findings.met()).map(|findings| findings.kind)
    }

    /// The rules of one kind.
    #[must_use]
    pub fn of(&self, kind: Kind) -> Option<&Findings> {
        self.kinds.iter().find(|findings| findings.kind == kind)
    }
}

pub(super) fn judge(evidence: &Evidence<'_>) -> Judgement {
    // In the order of `Kind::ALL`.
    let kinds = [throttled(evidence), squeezed(evidence), swap_thrash(evidence), thrash(evidence), oom_stuck(evidence)];
    Judgement { limit: evidence.limit, kinds }
}

fn throttled(evidence: &Evidence<'_>) -> Findings {
    let window = &evidence.stuck;
    let above = evidence.seconds_since(evidence.above);
    let excess = (window.whole.share(Of::Fill) - 1.0).max(0.0);
    Findings::new(
        Kind::Throttled,
        [
            Rule::at_least("above", Unit::Seconds, Some(above), evidence.terms.after.as_secs_f64()),
            Rule::at_least("hits", Unit::Count, window.least(|b| Some(b.sums.get(Of::Hits))), 1.0),
            Rule::below("net_gain", Unit::Share, net_gain(&window.whole, evidence), NET_GAIN.max(excess)),
            returned(&window.whole),
        ],
        [
            Rule::at_least("stalled", Unit::Share, window.least(|b| Some(b.share(Of::Full))), THROTTLED_STALL),
            Rule::at_least("asleep", Unit::Count, window.least(|b| Some(b.share(Of::Asleep))), ASLEEP),
            Rule::at_least("seen_asleep", Unit::Share, window.least(|b| b.out_of(Of::Seen, Of::Looked)), SEEN_ASLEEP),
        ],
    )
}

fn squeezed(evidence: &Evidence<'_>) -> Findings {
    let block = &evidence.stuck.whole;
    let restored = restored(block);
    let stall = if restored.met() { SQUEEZED_STALL } else { SQUEEZED_STALL_UNPROVED };
    let [unbroken, hits, stalled, room, refaulted, returned] = circling(evidence, block, evidence.terms.after, stall);
    let file_refaults = Rule::at_least("file_refaults", Unit::Share, file_refaults(block), 0.5);
    let file_lru = Rule::below("file_lru", Unit::Share, block.known(Of::FileLru), SQUEEZED_FILE_LRU);
    Findings::new(Kind::Squeezed, [unbroken, hits, stalled, room, refaulted, returned, file_refaults, file_lru], [])
}

fn thrash(evidence: &Evidence<'_>) -> Findings {
    let block = &evidence.thrash.whole;
    let long_enough = evidence.terms.thrash_after;
    let [unbroken, hits, stalled, room, refaulted, returned] = circling(evidence, block, long_enough, THRASH_STALL);
    let file_refaults = Rule::at_least("file_refaults", Unit::Share, file_refaults(block), 0.5);
    let held = block.known(Of::FileLru).map(|file| 1.0 - file);
    let held = Rule::at_least("held", Unit::Share, held, HELD);
    Findings::new(
        Kind::Thrash,
        [unbroken, hits, stalled, room, refaulted, returned, file_refaults, restored(block), held],
        [],
    )
}

fn swap_thrash(evidence: &Evidence<'_>) -> Findings {
    let block = &evidence.thrash.whole;
    let long_enough = evidence.terms.thrash_after;
    let [unbroken, hits, stalled, room, refaulted, returned] =
        circling(evidence, block, long_enough, SWAP_THRASH_STALL);
    let anon = file_refaults(block).map(|file| 1.0 - file);
    let anon_refaults = Rule::at_least("anon_refaults", Unit::Share, anon, 0.5);
    Findings::new(Kind::SwapThrash, [unbroken, hits, stalled, room, refaulted, returned, anon_refaults], [])
}

fn oom_stuck(evidence: &Evidence<'_>) -> Findings {
    let window = &evidence.stuck;
    let (reach, after) = (window.reach.as_secs_f64(), evidence.terms.after.as_secs_f64());
    Findings::new(
        Kind::OomStuck,
        [
            Rule::at_least("watched", Unit::Seconds, Some(reach), after),
            Rule::at_least("oom", Unit::Count, window.least(|b| Some(b.share(Of::Oom))), OOM_RATE),
            // Counts of events are whole: less than one is none.
            Rule::below("oom_kill", Unit::Count, Some(window.whole.sums.get(Of::Kills)), 1.0),
        ],
        [],
    )
}

/// The rules that squeezed and both kinds of thrash share: pinned at the limit for so long without a pause, stalled, and
/// reclaim running in a circle.
fn circling(evidence: &Evidence<'_>, block: &Block, long_enough: Duration, stall: f64) -> [Rule; 6] {
    let unbroken = evidence.seconds_since(evidence.unbroken);
    let again = block.sums.get(Of::RefaultAnon) + block.sums.get(Of::RefaultFile);
    let refaulted = block.known(Of::Steal).map(|_| ratio(again, block.sums.get(Of::Steal)));
    [
        Rule::at_least("unbroken", Unit::Seconds, Some(unbroken), long_enough.as_secs_f64()),
        Rule::at_least("hits", Unit::Count, Some(block.sums.get(Of::Hits)), 1.0),
        Rule::at_least("stalled", Unit::Share, Some(block.share(Of::Full)), stall),
        Rule::below("room", Unit::Share, Some((1.0 - block.share(Of::Fill)).max(0.0)), ROOM),
        Rule::at_least("refaulted", Unit::Share, refaulted, REFAULTED),
        returned(block),
    ]
}

fn returned(block: &Block) -> Rule {
    Rule::below("returned", Unit::Share, block.known(Of::Returned), RETURNED)
}

fn restored(block: &Block) -> Rule {
    let value = block.known(Of::Restore).map(|_| ratio(block.sums.get(Of::Restore), block.sums.get(Of::RefaultFile)));
    Rule::at_least("restored", Unit::Share, value, RESTORED)
}

/// The share of file pages among the pages needed again.
fn file_refaults(block: &Block) -> Option<f64> {
    let (anon, file) = (block.sums.get(Of::RefaultAnon), block.sums.get(Of::RefaultFile));
    block.known(Of::RefaultFile).map(|_| ratio(file, anon + file))
}

/// What reclaim gained for good, as a share of the limit.
fn net_gain(block: &Block, evidence: &Evidence<'_>) -> Option<f64> {
    let gained = |of| block.known(of).map(|rate| rate * block.seconds);
    let pages = gained(Of::Steal)? - gained(Of::RefaultAnon)? - gained(Of::RefaultFile)?;
    Some(pages * evidence.terms.page_size as f64 / evidence.limit.bytes().max(1) as f64)
}

impl Window {
    /// The least value of all parts; `None` when it is unknown of one.
    fn least(&self, value: impl Fn(&Block) -> Option<f64>) -> Option<f64> {
        self.parts.iter().try_fold(f64::INFINITY, |least, part| value(part).map(|value| least.min(value)))
    }
}

impl Evidence<'_> {
    /// Seconds from `begin` to now; none when it has not begun.
    fn seconds_since(&self, begin: Option<Duration>) -> f64 {
        begin.map_or(0.0, |begin| self.now.saturating_sub(begin).as_secs_f64())
    }
}
