//! The machine as a whole, thrashing its swap: memory is full, what was swapped out comes back all the time and pushes
//! out what is needed next, and programs get nothing done.
//!
//! PSI alone does not tell it. On a slow disk `full` is 0.6 to 0.9; with swap on a fast disk or zram it was seen at 0.01
//! for half a minute while nothing on the machine answered: the kernel counts a wait for a swapped page as a stall only
//! when it takes the page for one of the working set, and the time it spends on finding pages not at all. So the time
//! that programs do *not* get is a sign of its own. Thresholds, reasons and margins: below, and in `docs/livelock.md`.

use std::time::Duration;

use crate::observe::machine::Reclaim;
use crate::observe::parse::{CpuTimes, Meminfo};

use super::Kind;
use super::detector::BLIND;
use super::rules::{Findings, Rule, Unit};
use super::sums::{Name, Sums, Track, ratio};

/// Share of time in which all tasks that could have run waited for memory (PSI `full`).
const STALLED: f64 = 0.40;

/// Share of the processors' time, idle time left out, that programs did not get: it went to the kernel, or into waiting
/// for a disk.
const LOST: f64 = 0.90;

/// Less than half a processor at work is not worth a word, whoever has it: a lost share is one of this at least.
const AT_WORK: f64 = 0.5;

/// Mean MemAvailable, as a share of the memory: below this it is full, and each page that comes back pushes out another.
const ROOM: f64 = 0.10;

/// Pages that came back from swap, as a share of these and of file pages needed again.
const FROM_SWAP: f64 = 0.5;

/// Pages reclaimed because the machine had none left, as a share of all: the rest went for the limit of a cgroup, which
/// is that cgroup's case.
const OWN: f64 = 0.5;

/// A pause is a time of this length or more in which nothing came back from swap, or programs ran ...
const PAUSE: Duration = Duration::from_secs(2);

/// ... which is when both [`STALLED`] and [`LOST`] were missed by more than this share of them.
const PAUSED: f64 = 0.5;

/// The machine's files at one moment. Counters are totals since boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MachineSample {
    /// When, on a clock that only goes forward.
    pub t: Duration,
    /// `full total=` of `/proc/pressure/memory`, in microseconds.
    pub full_total_us: u64,
    /// `pswpin` of `/proc/vmstat`: pages read from swap.
    pub swapped_in: u64,
    /// `workingset_refault_file`: file pages needed again after they were reclaimed.
    pub refault_file: u64,
    /// `pgsteal_anon` + `pgsteal_file`: pages reclaimed, for limits of cgroups too.
    pub steal: u64,
    /// `pgsteal_kswapd` + `pgsteal_direct`: pages reclaimed because the machine had none left.
    pub steal_own: u64,
    /// Of `/proc/stat`, when it was read: without it only PSI tells.
    pub cpu: Option<Cpu>,
    /// MemTotal, in bytes.
    pub mem_total: u64,
    /// MemAvailable, in bytes.
    pub available: u64,
    /// SwapTotal, in bytes.
    pub swap_total: u64,
    /// SwapFree, in bytes.
    pub swap_free: u64,
}

impl MachineSample {
    /// From what was read; `available` as the memory guard counts it, in bytes. `None` when it lacks what no kernel with
    /// PSI and swap lacks. Linux < 5.8 does not count what is reclaimed for limits of cgroups: there every page counts as
    /// the machine's own.
    #[must_use]
    pub fn of(reclaim: &Reclaim, meminfo: &Meminfo, available: u64) -> Option<Self> {
        let vmstat = &reclaim.vmstat;
        let steal_own = vmstat.pgsteal_kswapd?.saturating_add(vmstat.pgsteal_direct?);
        let steal = vmstat.pgsteal_anon.zip(vmstat.pgsteal_file).map_or(steal_own, |(a, f)| a.saturating_add(f));
        Some(Self {
            t: reclaim.t,
            full_total_us: reclaim.pressure.full?.total_us,
            swapped_in: vmstat.pswpin?,
            refault_file: vmstat.workingset_refault_file?,
            steal,
            steal_own,
            cpu: reclaim.cpu.as_ref().map(Cpu::of),
            mem_total: meminfo.mem_total,
            available,
            swap_total: meminfo.swap_total?,
            swap_free: meminfo.swap_free?,
        })
    }
}

/// What the processors did, all together, in milliseconds since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    /// Ran programs (`user`, `nice`).
    pub programs_ms: u64,
    /// Worked in the kernel, or had nothing to do but wait for a disk (`system`, `irq`, `softirq`, `iowait`).
    pub lost_ms: u64,
}

impl Cpu {
    fn of(times: &CpuTimes) -> Self {
        /// `USER_HZ` is 100 (see [`CpuTimes`]).
        const MS_PER_TICK: u64 = 10;
        let ms = |ticks: &[u64]| ticks.iter().fold(0, |sum: u64, n| sum.saturating_add(*n)).saturating_mul(MS_PER_TICK);
        Self {
            programs_ms: ms(&[times.user, times.nice]),
            lost_ms: ms(&[times.system, times.iowait, times.irq, times.softirq]),
        }
    }
}

/// What is summed up.
#[derive(Clone, Copy, Debug)]
enum Of {
    /// Seconds in which no task could run (PSI `full`).
    Full,
    /// Seconds that programs ran on processors ...
    Programs,
    /// ... and that they did not get.
    Lost,
    /// Seconds between samples that both had [`Cpu`].
    Known,
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
    /// Share of the processors' time, idle time left out, that programs did not get, 0 to 1; `None` when nobody looked.
    pub lost: Option<f64>,
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

    /// Whether it is worth while to go on sampling: something came back from swap in the last window. A machine whose
    /// memory was not under pressure until now is looked at when a PSI trigger, or the guard's own look, says that it is.
    #[must_use]
    pub fn wants_samples(&self) -> bool {
        self.verdict != MachineVerdict::Quiet
    }

    /// Every rule with its value and threshold, as they stand now; `None` before the first sample.
    #[must_use]
    pub fn judge(&self) -> Option<Findings> {
        self.state.as_ref().map(|state| state.judge(self.thrash_after))
    }

    /// Share of the last `span` that was stalled, by PSI or by what programs did not get, whichever is more, 0 to 1; `None`
    /// when nothing is known of that time. Reaches back a window at most. After an act: whether the machine moves again.
    #[must_use]
    pub fn stalled(&self, span: Duration) -> Option<f64> {
        let block = self.state.as_ref()?.track.last(span);
        (block.seconds > 0.0).then(|| block.share(Of::Full).max(lost(&block).unwrap_or(0.0)).min(1.0))
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
        if let (Some(from), Some(to)) = (&last.cpu, &sample.cpu) {
            sums.add(Of::Known, dt);
            // The kernel's own sum of iowait may fall a little (proc(5)).
            sums.add(Of::Programs, rise(from.programs_ms, to.programs_ms) / 1e3);
            sums.add(Of::Lost, rise(from.lost_ms, to.lost_ms) / 1e3);
        }
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
        let share = if length > BLIND + PAUSE { 1.0 } else { PAUSED };
        let stuck = block.share(Of::Full) >= STALLED * share || lost(&block).is_some_and(|lost| lost >= LOST * share);
        let paused = !stuck || block.sums.get(Of::SwappedIn) == 0.0;
        self.unbroken = (!paused).then_some(self.unbroken.unwrap_or(from));
        self.paced = (t, self.sums);
    }

    fn judge(&self, window: Duration) -> Findings {
        let block = self.track.last(window);
        let unbroken = self.unbroken.map_or(0.0, |since| self.last.t.saturating_sub(since).as_secs_f64());
        let sum = |of| block.sums.get(of);
        // Where nothing was reclaimed, no cgroup's limit is to blame.
        let own = if sum(Of::Steal) > 0.0 { sum(Of::StealOwn) / sum(Of::Steal) } else { 1.0 };
        let from_swap = ratio(sum(Of::SwappedIn), sum(Of::SwappedIn) + sum(Of::RefaultFile));
        Findings::new(
            Kind::SwapThrash,
            [
                Rule::at_least("unbroken", Unit::Seconds, Some(unbroken), window.as_secs_f64()),
                Rule::below("room", Unit::Share, Some(block.share(Of::Available)), ROOM),
                Rule::at_least("from_swap", Unit::Share, Some(from_swap), FROM_SWAP),
                Rule::at_least("own", Unit::Share, Some(own), OWN),
            ],
            [
                Rule::at_least("stalled", Unit::Share, Some(block.share(Of::Full)), STALLED),
                Rule::at_least("lost", Unit::Share, lost(&block), LOST),
            ],
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
            lost: lost(&block),
            available,
            swap_free,
        })
    }
}

/// The share of the processors' time that programs did not get; `None` when less than half of the block is known.
fn lost(block: &Block) -> Option<f64> {
    let (known, lost) = (block.sums.get(Of::Known), block.sums.get(Of::Lost));
    let at_work = (lost + block.sums.get(Of::Programs)).max(known * AT_WORK);
    (known > 0.0 && known * 2.0 >= block.seconds).then(|| ratio(lost, at_work))
}
