//! The machine as a whole, thrashing its swap: memory is full, what was swapped out comes back all the time and pushes
//! out what is needed next, and programs get nothing done.
//!
//! PSI does not tell it. The kernel counts a wait for a swapped page as a stall only when it takes the page for one of the
//! working set, and most of the time it spends on finding pages not at all: `full` was 0.66 on a slow disk with Linux 6.12,
//! 0.003 on the same disk with 6.1, 0.08 to 0.6 on fast ones, and 0.36 on a machine that got on. So the sign is the time
//! that programs do *not* get. Thresholds and reasons: below; margins: in `docs/livelock.md`.

mod sample;

use std::time::Duration;

use super::Kind;
use super::detector::BLIND;
use super::rules::{Findings, Rule, Unit};
use super::sums::{Name, Sums, Track, ratio};

pub use sample::MachineSample;

/// Share of the processors' time, idle time left out, that programs got: the rest went to the kernel, or into waiting for
/// a disk. Traces: 0.03 at most; parallel jobs: 0.19 and more; a hot set beside a cold one: 0.07 for the 20 s in which the
/// kernel sorts them out, then 0.4 and more.
const PROGRAMS: f64 = 0.10;

/// Less than half a processor at work is not worth a word, whoever has it: what the kernel and the disk took is a share of
/// this at least.
const AT_WORK: f64 = 0.5;

/// Mean MemAvailable, as a share of the memory: below this it is full, and each page that comes back pushes out another.
/// Traces: 0.024 at most; a set that comes home: 0.28 and more. It stands for "as many pages go out as come in", which
/// a window of 30 s may not show: the kernel reclaims in portions, and on a slow disk the next one may be due later than
/// that (one trace reclaimed for 6 s and then not for 16).
const ROOM: f64 = 0.10;

/// MemAvailable from which down it is worth sampling: the mean may be below [`ROOM`] with single samples above.
const WORTH_A_LOOK: f64 = 2.0 * ROOM;

/// Pages that came back from swap, as a share of these and of file pages needed again. Traces: 0.99 and more; files
/// that do not fit beside idle memory: 0.
const FROM_SWAP: f64 = 0.5;

/// Pages that came back from swap, a second: fewer are no reason for the lost time. The slowest disks that seek give 100
/// a second to one who waits; traces: 350 and more.
const SWAPPED_IN: f64 = 20.0;

/// Pages reclaimed because the machine had none left, as a share of all: the rest went for the limit of a cgroup, which
/// is that cgroup's case. Traces: 1; a cgroup alone at its limit: 0.
const OWN: f64 = 0.5;

/// A pause is a time of this length or more in which nothing came back from swap, or programs ran. Long enough that even
/// an emulated machine on a busy host always got some pages back in it (50 at least) ...
const PAUSE: Duration = Duration::from_secs(2);

/// ... which is when they got this share or more: twice [`PROGRAMS`], so that one moment does not undo what the window as a
/// whole shows.
const PAUSED: f64 = 0.2;

/// What is summed up.
#[derive(Clone, Copy, Debug)]
enum Of {
    /// Seconds in which no task could run (PSI `full`).
    Full,
    /// Seconds that programs ran on processors ...
    Programs,
    /// ... and that they did not get.
    Lost,
    /// Pages read from swap.
    SwappedIn,
    /// File pages needed again.
    RefaultFile,
    /// Pages reclaimed ...
    Steal,
    /// ... for the machine itself.
    StealOwn,
    /// MemAvailable as a share of the memory, times seconds.
    Available,
}

const SUMS: usize = Of::Available as usize + 1;

type Block = super::sums::Block<Of, SUMS>;

impl Name for Of {
    fn place(self) -> usize {
        self as usize
    }
}

/// What the machine's samples amount to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MachineVerdict {
    /// Nothing came back from swap for a while: there is nothing to follow.
    Quiet,
    /// Something did; it is not thrashing, or not for long enough to tell.
    Watching,
    /// It thrashes.
    Stalled(MachineStall),
}

/// A machine that thrashes its swap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MachineStall {
    /// Since when at least, on the samples' clock.
    pub since: Duration,
    /// The time of the sample that showed it.
    pub seen: Duration,
    /// The window it was judged over.
    pub window: Duration,
    /// Share of that window in which no task could run, 0 to 1.
    pub stalled: f64,
    /// Share of the processors' time, idle time left out, that programs got, 0 to 1.
    pub programs: f64,
    /// MemAvailable at that sample, in bytes.
    pub available: u64,
    /// SwapFree at that sample, in bytes.
    pub swap_free: u64,
}

impl MachineStall {
    /// Whether it is bad enough to kill for: MemAvailable is below twice `term`, or no more than `swap_term` of swap is
    /// free (both in bytes). Else it is worth a warning: the machine is slow, but there is memory to be had.
    #[must_use]
    pub fn is_short(&self, term: u64, swap_term: u64) -> bool {
        self.available < term.saturating_mul(2) || self.swap_free <= swap_term
    }
}

/// Follows the machine. Of fixed size: nothing is allocated after it was made.
#[derive(Clone, Debug)]
pub struct MachineDetector {
    thrash_after: Duration,
    state: Option<State>,
    verdict: MachineVerdict,
}

#[derive(Clone, Debug)]
struct State {
    last: MachineSample,
    sums: Sums<Of, SUMS>,
    track: Track<Of, SUMS>,
    /// Since when there has been no pause ...
    unbroken: Option<Duration>,
    /// ... as far as looked at: the time, and the sums until then.
    paced: (Duration, Sums<Of, SUMS>),
}

impl MachineDetector {
    /// A detector; `thrash_after` is the window.
    #[must_use]
    pub fn new(thrash_after: Duration) -> Self {
        Self { thrash_after, state: None, verdict: MachineVerdict::Quiet }
    }

    /// The verdict on the last sample.
    #[must_use]
    pub fn verdict(&self) -> MachineVerdict {
        self.verdict
    }

    /// Forgets what it has seen, as after an act.
    pub fn restart(&mut self) {
        self.state = None;
        self.verdict = MachineVerdict::Quiet;
    }

    /// Learns from a sample. Another amount of memory or swap, totals that fell, time that went backwards, and a gap
    /// longer than the window begin a new window with it; a second sample of the same time says nothing new.
    pub fn push(&mut self, sample: &MachineSample) -> MachineVerdict {
        let window = self.thrash_after;
        match &mut self.state {
            Some(state) if state.continues(sample, window) => {
                if sample.t > state.last.t {
                    state.step(sample);
                    self.verdict = state.verdict(window);
                }
            }
            state => {
                *state = Some(State::begin(sample, window));
                self.verdict = MachineVerdict::Quiet;
            }
        }
        self.verdict
    }

    /// Whether sampling (once a second is enough) can find anything: memory is nearly full, and something is in swap. All
    /// in bytes; `available` as in the samples.
    #[must_use]
    pub fn is_worth_sampling(available: u64, mem_total: u64, swap_used: u64) -> bool {
        swap_used > 0 && (available as f64) < mem_total as f64 * WORTH_A_LOOK
    }

    /// Every rule with its value and threshold, as they stand now; `None` before the first sample.
    #[must_use]
    pub fn judge(&self) -> Option<Findings> {
        self.state.as_ref().map(|state| state.judge(self.thrash_after))
    }

    /// Whether the machine moved in the last `span`: programs ran, nothing came back from swap, or there was room for it (after
    /// an act, what was pushed out comes home). `None` when nothing is known of that time. Reaches back a window at most.
    #[must_use]
    pub fn moves(&self, span: Duration) -> Option<bool> {
        let block = self.state.as_ref()?.track.last(span);
        let relieved = block.sums.get(Of::SwappedIn) == 0.0 || block.share(Of::Available) >= ROOM;
        (block.seconds > 0.0).then(|| relieved || programs(&block) >= PAUSED)
    }
}

/// One act an episode, and one more when a stall that was only worth a warning becomes one to kill for. An episode ends
/// when the machine was not found thrashing for as long as it takes to find it.
#[derive(Clone, Copy, Debug, Default)]
pub struct MachineEpisode {
    /// The last verdict that found it thrashing, and whether an act was due in the episode.
    last: Option<(Duration, bool)>,
}

impl MachineEpisode {
    /// Follows the verdict on a sample made at `t`; the stall when there is something to do about it. `short` is
    /// [`MachineStall::is_short`].
    pub fn follow(
        &mut self,
        verdict: &MachineVerdict,
        t: Duration,
        thrash_after: Duration,
        short: impl Fn(&MachineStall) -> bool,
    ) -> Option<MachineStall> {
        // A clock that went backwards leaves nothing to count from.
        self.last = self.last.filter(|(last, _)| t.checked_sub(*last).is_some_and(|ago| ago < thrash_after));
        let MachineVerdict::Stalled(stall) = verdict else { return None };
        let short = short(stall);
        let due = match self.last {
            None => true,
            Some((_, acted)) => short && !acted,
        };
        self.last = Some((t, short || self.last.is_some_and(|(_, acted)| acted)));
        due.then_some(*stall)
    }
}

impl State {
    fn begin(sample: &MachineSample, window: Duration) -> Self {
        let sums = Sums::default();
        Self { last: *sample, sums, track: Track::new(window, sample.t), unbroken: None, paced: (sample.t, sums) }
    }

    fn continues(&self, sample: &MachineSample, window: Duration) -> bool {
        let last = &self.last;
        let same_machine = (last.mem_total, last.swap_total) == (sample.mem_total, sample.swap_total);
        let totals_rise = last.full_total_us <= sample.full_total_us
            && last.swapped_in <= sample.swapped_in
            && last.refault_file <= sample.refault_file
            && last.steal <= sample.steal
            && last.steal_own <= sample.steal_own;
        let gap = sample.t.checked_sub(last.t);
        same_machine && totals_rise && gap.is_some_and(|gap| gap <= window)
    }

    fn step(&mut self, sample: &MachineSample) {
        let last = &self.last;
        let dt = sample.t.saturating_sub(last.t).as_secs_f64();
        let sums = &mut self.sums;
        let rise = |from: u64, to: u64| to.saturating_sub(from) as f64;
        sums.add(Of::Full, rise(last.full_total_us, sample.full_total_us) / 1e6);
        sums.add(Of::SwappedIn, rise(last.swapped_in, sample.swapped_in));
        sums.add(Of::RefaultFile, rise(last.refault_file, sample.refault_file));
        sums.add(Of::Steal, rise(last.steal, sample.steal));
        sums.add(Of::StealOwn, rise(last.steal_own, sample.steal_own));
        let available = |s: &MachineSample| s.available as f64 / s.mem_total.max(1) as f64;
        sums.add(Of::Available, (available(last) + available(sample)) / 2.0 * dt);
        // The kernel's own sum of iowait may fall a little (proc(5)).
        sums.add(Of::Programs, rise(last.programs_ms, sample.programs_ms) / 1e3);
        sums.add(Of::Lost, rise(last.lost_ms, sample.lost_ms) / 1e3);
        self.track.advance(sample.t, &self.sums);
        self.last = *sample;
        self.follow_pauses(sample.t);
    }

    fn follow_pauses(&mut self, t: Duration) {
        let (from, until) = self.paced;
        let length = t.saturating_sub(from);
        if length < PAUSE {
            return;
        }
        let block = Block { seconds: length.as_secs_f64(), sums: self.sums.since(&until) };
        // What happened when in a longer time is not known, so it must be stalled enough as a whole.
        let most = if length > BLIND + PAUSE { PROGRAMS } else { PAUSED };
        let paused = programs(&block) >= most || block.sums.get(Of::SwappedIn) == 0.0;
        self.unbroken = (!paused).then_some(self.unbroken.unwrap_or(from));
        self.paced = (t, self.sums);
    }

    fn judge(&self, window: Duration) -> Findings {
        let block = self.track.last(window);
        let unbroken = self.unbroken.map_or(0.0, |since| self.last.t.saturating_sub(since).as_secs_f64());
        let sum = |of| block.sums.get(of);
        // Where nothing was reclaimed, no cgroup's limit is to blame.
        let own = if sum(Of::Steal) > 0.0 { sum(Of::StealOwn) / sum(Of::Steal) } else { 1.0 };
        let known = block.seconds > 0.0;
        let room = known.then(|| block.share(Of::Available));
        let from_swap = ratio(sum(Of::SwappedIn), sum(Of::SwappedIn) + sum(Of::RefaultFile));
        Findings::new(
            Kind::SwapThrash,
            [
                Rule::at_least("unbroken", Unit::Seconds, Some(unbroken), window.as_secs_f64()),
                Rule::below("room", Unit::Share, room, ROOM),
                Rule::at_least("swapped_in", Unit::Count, Some(block.share(Of::SwappedIn)), SWAPPED_IN),
                Rule::below("programs", Unit::Share, known.then(|| programs(&block)), PROGRAMS),
                Rule::at_least("from_swap", Unit::Share, Some(from_swap), FROM_SWAP),
                Rule::at_least("own", Unit::Share, Some(own), OWN),
            ],
            [],
        )
    }

    fn verdict(&self, window: Duration) -> MachineVerdict {
        let block = self.track.last(window);
        if !self.judge(window).met() {
            let watch = block.sums.get(Of::SwappedIn) > 0.0;
            return if watch { MachineVerdict::Watching } else { MachineVerdict::Quiet };
        }
        let MachineSample { t, available, swap_free, .. } = self.last;
        MachineVerdict::Stalled(MachineStall {
            since: self.unbroken.unwrap_or(t.saturating_sub(window)),
            seen: t,
            window: self.track.reach(),
            stalled: block.share(Of::Full).min(1.0),
            programs: programs(&block),
            available,
            swap_free,
        })
    }
}

/// The share of the processors' time that programs got.
fn programs(block: &Block) -> f64 {
    let lost = block.sums.get(Of::Lost);
    let at_work = (lost + block.sums.get(Of::Programs)).max(block.seconds * AT_WORK);
    1.0 - ratio(lost, at_work)
}
