//! The flight recorder: the last minutes of the machine's memory, of its largest tasks and cgroups, and of the cgroups that
//! stall, in memory.
//!
//! The guard writes, whoever puts an incident together reads ([`Recorder::recorded`]). All of it is [`RECORDER_BYTES`] at
//! most, set aside at the start. Times are kept on the clock that counts from boot and become dates when they are read,
//! so that a date that is set meanwhile puts nothing out of order; names are kept as the kernel gives them, and escaped
//! when they are read.

mod paths;
mod reading;
mod ring;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use super::event::COMM_BYTES;
use super::incident::schema::CgroupSample;
use super::text::Text;
use paths::{Path, PathRef, Paths, whole_or_end};
use ring::Ring;

pub use reading::{Anchor, Recorded, Thinning};

/// What the recorder takes at most, in bytes: untouched as long as nothing is recorded.
pub const RECORDER_BYTES: usize = 256 * 1024;

/// How many tasks, cgroups and candidates are named at a time.
pub const LARGEST: usize = 8;

/// Samples on the beat: ten minutes of two a second ...
const ON_THE_BEAT: usize = 1200;

/// ... and lists of the largest: ten minutes of one every five seconds.
const TOPS_ON_THE_BEAT: usize = 120;

/// Samples of cgroups that stall, of all of them together: 45 s of one at the guard's four a second, 22 s of two.
const OF_CGROUPS: usize = 180;

/// So many may stall at once and all their samples are kept: whoever judges the recording anew sees what the guard saw.
const WHOLE: usize = 2;

/// Of more, each has one in this time, or half a beat of the guard's less. That is coarser than some of the rules.
const OF_MANY_EVERY: Duration = Duration::from_millis(875);

/// Cgroups that stall of which samples are kept at the same time: of so many the ring has the last 22 s, twice the usual window.
/// Of hundreds that stall at once each would have a sample or two, which tell nothing.
const STALLING: usize = 8;

/// A cgroup of which there is no sample for so long does not stall any more: its place may be another's.
pub const CALM: Duration = Duration::from_secs(10);

/// Room besides for what is recorded at acts.
const AT_ACTS: usize = 8;

const SAMPLES: usize = ON_THE_BEAT + AT_ACTS;
const TOPS: usize = TOPS_ON_THE_BEAT + AT_ACTS;

/// Between two samples at the fastest, where they reach back far enough.
const FASTEST: Duration = Duration::from_millis(500);

/// Between two lists of the largest at the fastest, likewise.
const FASTEST_TOPS: Duration = Duration::from_secs(5);

const _: () = assert!(
    Ring::<SampleEntry, SAMPLES>::BYTES
        + Ring::<TopsEntry, TOPS>::BYTES
        + Ring::<CgroupSampleEntry, OF_CGROUPS>::BYTES
        + Paths::BYTES
        + size_of::<Shared>()
        <= RECORDER_BYTES
);

/// The machine's memory at a moment. Sizes in bytes, pressure in hundredths of a percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// What is available, by the reading that counts.
    pub available: u64,
    /// SwapFree.
    pub swap_free: Option<u64>,
    /// What zram holds in RAM.
    pub zram: Option<u64>,
    /// PSI `some avg10`.
    pub psi_some_centi: Option<u16>,
    /// PSI `full avg10`.
    pub psi_full_centi: Option<u16>,
    /// `available` is of another scope than it was the last time (the machine, a cgroup): the difference means nothing.
    pub other_scope: bool,
}

/// A task among the largest. Sizes in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Top<'a> {
    /// Its pid.
    pub pid: i32,
    /// Its name.
    pub comm: &'a [u8],
    /// Anonymous memory and swap.
    pub size: u64,
    /// The part in swap.
    pub swap: u64,
    /// Where it lives.
    pub cgroup: Option<&'a [u8]>,
}

/// A task that could have been chosen.
#[derive(Clone, Copy, Debug)]
pub struct Ranked<'a> {
    /// Who.
    pub task: Top<'a>,
    /// Whose.
    pub uid: Option<u32>,
    /// `prefer`, `ordinary`, `avoid`, `unread`.
    pub tier: &'static str,
    /// -1000 to 1000.
    pub oom_score_adj: Option<i32>,
}

/// The recorder: a handle, of which each side has one.
#[derive(Clone, Debug)]
pub struct Recorder(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    memory: Mutex<Memory>,
    /// How far back it reaches, in milliseconds.
    keep_ms: AtomicU64,
    /// What could not be written because somebody was reading.
    missed: AtomicU64,
}

#[derive(Debug)]
struct Memory {
    samples: Ring<SampleEntry, SAMPLES>,
    tops: Ring<TopsEntry, TOPS>,
    of_cgroups: Ring<CgroupSampleEntry, OF_CGROUPS>,
    stalling: [Option<Stalling>; STALLING],
    paths: Paths,
    act: Option<ActEntry>,
}

/// Times are milliseconds since boot.
#[derive(Clone, Copy, Debug, Default)]
struct SampleEntry {
    t_ms: u64,
    measured: Measured,
}

#[derive(Clone, Copy, Debug, Default)]
struct TopsEntry {
    t_ms: u64,
    tasks: [Option<TaskEntry>; LARGEST],
    cgroups: [Option<CgroupEntry>; LARGEST],
}

#[derive(Clone, Copy, Debug)]
struct TaskEntry {
    size: u64,
    swap: u64,
    pid: i32,
    cgroup: Option<PathRef>,
    comm: Text<COMM_BYTES>,
}

#[derive(Clone, Copy, Debug)]
struct CgroupEntry {
    size: u64,
    path: PathRef,
}

/// A cgroup that stalls. One that is made anew under the same path is another one.
#[derive(Clone, Debug)]
struct Stalling {
    id: u64,
    path: Path,
    /// When its last sample was recorded.
    last_ms: u64,
}

/// What its files said.
#[derive(Clone, Copy, Debug)]
struct CgroupSampleEntry {
    id: u64,
    sample: CgroupSample,
}

/// The candidates of the latest act. Their paths stay, whatever is recorded afterwards.
#[derive(Clone, Debug)]
struct ActEntry {
    t_ms: u64,
    candidates: [Option<CandidateEntry>; LARGEST],
}

#[derive(Clone, Copy, Debug)]
struct CandidateEntry {
    task: TaskEntry,
    uid: Option<u32>,
    tier: &'static str,
    oom_score_adj: Option<i32>,
    cgroup: Option<Path>,
}

/// The guard's side. None of it blocks or allocates: while somebody copies out of the recorder, what was to be written is
/// lost and counted. `at` is the time since boot.
impl Recorder {
    /// A recorder that reaches back as far as `keep`.
    #[must_use]
    pub fn new(keep: Duration) -> Self {
        let memory = Memory {
            samples: Ring::new(),
            tops: Ring::new(),
            of_cgroups: Ring::new(),
            stalling: [const { None }; STALLING],
            paths: Paths::new(),
            act: None,
        };
        let recorder = Self(Arc::new(Shared {
            memory: Mutex::new(memory),
            keep_ms: AtomicU64::new(0),
            missed: AtomicU64::new(0),
        }));
        recorder.set_keep(keep);
        recorder
    }

    /// From now on it reaches back so far.
    pub fn set_keep(&self, keep: Duration) {
        self.0.keep_ms.store(millis(keep), Ordering::Relaxed);
    }

    /// The least time between two samples with which they still reach back as far as they are to.
    #[must_use]
    pub fn sample_pause(&self) -> Duration {
        FASTEST.max(self.keep() / entries(ON_THE_BEAT))
    }

    /// The same between two lists of the largest.
    #[must_use]
    pub fn tops_pause(&self) -> Duration {
        FASTEST_TOPS.max(self.keep() / entries(TOPS_ON_THE_BEAT))
    }

    /// Has all of the memory there that was set aside. Some 60 page faults: before memory is short.
    pub fn touch(&self) {
        self.write(|memory| {
            memory.samples.touch();
            memory.tops.touch();
            memory.paths.touch();
        });
    }

    /// The same of what there is for cgroups that stall: most machines have none, ever.
    pub fn touch_cgroups(&self) {
        self.write(|memory| memory.of_cgroups.touch());
    }

    /// Records the machine's memory.
    pub fn sample(&self, at: Duration, measured: &Measured) {
        self.write(|memory| memory.samples.push(SampleEntry { t_ms: millis(at), measured: *measured }));
    }

    /// Records the largest tasks, and the largest cgroups by what is in them; the first [`LARGEST`] of each count.
    pub fn tops<'a>(
        &self,
        at: Duration,
        tasks: impl Iterator<Item = Top<'a>>,
        cgroups: impl Iterator<Item = (&'a [u8], u64)>,
    ) {
        self.write(|Memory { tops, paths, .. }| {
            let mut entry = TopsEntry { t_ms: millis(at), ..TopsEntry::default() };
            for (slot, top) in entry.tasks.iter_mut().zip(tasks) {
                *slot = Some(TaskEntry { cgroup: top.cgroup.and_then(|path| paths.keep(path)), ..task(&top) });
            }
            for (slot, (path, size)) in entry.cgroups.iter_mut().zip(cgroups) {
                *slot = paths.keep(path).map(|path| CgroupEntry { size, path });
            }
            tops.push(entry);
        });
    }

    /// Records what the files of a cgroup that stalls said. Its time is `at`, whatever it says. Whether it was recorded: not
    /// while somebody reads, nor where too many others stall.
    pub fn cgroup(&self, at: Duration, id: u64, path: &[u8], sample: &CgroupSample) -> bool {
        let t_ms = millis(at);
        let recorded = self.write(|Memory { of_cgroups, stalling, .. }| {
            let is_calm = |known: &Stalling| t_ms.saturating_sub(known.last_ms) >= millis(CALM);
            let many = stalling.iter().flatten().filter(|known| !is_calm(known)).count() > WHOLE;
            let own = stalling.iter().position(|place| place.as_ref().is_some_and(|known| known.id == id));
            let place = own.or_else(|| stalling.iter().position(|place| place.as_ref().is_none_or(is_calm)));
            let Some(place) = place else { return false };
            match &mut stalling[place] {
                Some(known) if known.id == id => {
                    if many && t_ms.saturating_sub(known.last_ms) < millis(OF_MANY_EVERY) {
                        return false;
                    }
                    known.last_ms = t_ms;
                }
                other => *other = Some(Stalling { id, path: whole_or_end(path), last_ms: t_ms }),
            }
            of_cgroups.push(CgroupSampleEntry { id, sample: CgroupSample { t_ms, ..*sample } });
            true
        });
        recorded == Some(true)
    }

    /// Records who could have been chosen for an act, as ranked then, in place of those of the act before; the first
    /// [`LARGEST`] count.
    pub fn candidates<'a>(&self, at: Duration, ranked: impl Iterator<Item = Ranked<'a>>) {
        self.write(|memory| {
            let mut candidates = [None; LARGEST];
            for (slot, Ranked { task: top, uid, tier, oom_score_adj }) in candidates.iter_mut().zip(ranked) {
                let cgroup = top.cgroup.map(whole_or_end);
                *slot = Some(CandidateEntry { task: task(&top), uid, tier, oom_score_adj, cgroup });
            }
            memory.act = Some(ActEntry { t_ms: millis(at), candidates });
        });
    }

    /// How often something was not recorded because somebody was reading.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.0.missed.load(Ordering::Relaxed)
    }

    fn keep(&self) -> Duration {
        Duration::from_millis(self.0.keep_ms.load(Ordering::Relaxed))
    }

    /// `None` when somebody is reading.
    fn write<T>(&self, write: impl FnOnce(&mut Memory) -> T) -> Option<T> {
        match self.0.memory.try_lock() {
            Ok(mut memory) => Some(write(&mut memory)),
            Err(TryLockError::Poisoned(poisoned)) => Some(write(&mut poisoned.into_inner())),
            Err(TryLockError::WouldBlock) => {
                self.0.missed.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }

    /// The reader's: waits for the guard's few microseconds.
    fn read(&self) -> MutexGuard<'_, Memory> {
        self.0.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn task(top: &Top<'_>) -> TaskEntry {
    TaskEntry { size: top.size, swap: top.swap, pid: top.pid, cgroup: None, comm: Text::from_bytes(top.comm) }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn entries(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
