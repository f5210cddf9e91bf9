//! The memory files of one cgroup, held open, and what they say at one moment.

use std::ffi::CStr;
use std::io;
use std::time::Duration;

use crate::host::clock;
use crate::host::dir::{Dir, HeldFile};

use super::Faults;
use super::limits::STAT_BYTES;
use super::parse::{
    Fault, FileKind, Limit, Malformed, MemoryEvents, MemoryStat, parse_cgroup_bytes, parse_limit, parse_memory_events,
    parse_memory_stat, parse_pressure,
};

/// What a cgroup's files said at one moment. Counters are totals since the cgroup was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When, on a clock that only goes forward.
    pub t: Duration,
    /// `memory.current`, in bytes.
    pub current: u64,
    /// `memory.high`.
    pub high: Limit,
    /// `memory.max`.
    pub max: Limit,
    /// `memory.swap.max`.
    pub swap_max: Limit,
    /// `memory.swap.current`, in bytes; 0 where swap is not accounted.
    pub swap_current: u64,
    /// The cgroup's own counts.
    pub events: Events,
    /// `full total=` of `memory.pressure`, in microseconds.
    pub full_total_us: u64,
    /// Of `memory.stat`, when it was read: without it no stall but the OOM killer's own is found.
    pub stat: Option<Stat>,
    /// Tasks that sleep in the kernel's `mem_cgroup_handle_over_high`, when somebody looked: one sign more, not needed.
    pub over_high_tasks: Option<u32>,
}

/// Counts of `memory.events.local`: the cgroup's own, because a parent's limit is the parent's case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// `high`: reclaimed or put to sleep above `memory.high`.
    pub high: u64,
    /// `max`: about to exceed `memory.max`.
    pub max: u64,
    /// `oom`: at `memory.max` with nothing to reclaim.
    pub oom: u64,
    /// `oom_kill` of `memory.events`, the hierarchical one: the kernel counts a kill where the victim lived.
    pub oom_kill: u64,
}

impl Events {
    /// The counts of `memory.events.local`, which say by themselves whether the cgroup touched its limit.
    #[must_use]
    pub const fn own(&self) -> OwnCounts {
        OwnCounts { high: self.high, max: self.max, oom: self.oom }
    }
}

/// How often a cgroup was at its limit: `high`, `max` and `oom` of `memory.events.local`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnCounts {
    high: u64,
    max: u64,
    oom: u64,
}

/// What the detector needs of `memory.stat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// Anonymous memory, in bytes.
    pub anon: u64,
    /// Page cache that reclaim can take (both file lists), in bytes.
    pub file_lru: u64,
    /// Pages reclaimed.
    pub pgsteal: u64,
    /// Anonymous pages needed again after they were reclaimed.
    pub refault_anon: u64,
    /// File pages needed again after they were reclaimed.
    pub refault_file: u64,
    /// Of these, pages that had been in steady use before: the kernel itself says that the working set does not fit.
    pub restore_file: u64,
}

impl Stat {
    /// From a `memory.stat` that was read; `None` when it lacks what no kernel with cgroup v2 lacks. Linux < 5.9 does not
    /// count refaults of anonymous pages: there swap thrash cannot be told.
    #[must_use]
    pub fn of(stat: &MemoryStat) -> Option<Self> {
        Some(Self {
            anon: stat.anon?,
            file_lru: stat.inactive_file?.saturating_add(stat.active_file?),
            pgsteal: stat.pgsteal?,
            refault_anon: stat.workingset_refault_anon.unwrap_or(0),
            refault_file: stat.workingset_refault_file?,
            restore_file: stat.workingset_restore_file.unwrap_or(0),
        })
    }
}

/// Why a cgroup could not be sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It was removed, or its memory controller was switched off. These descriptors will never be good again.
    Gone,
    /// It has no `memory.pressure` (`psi=0`, `CONFIG_PSI=n`, or 0 in its `cgroup.pressure`): it cannot be judged.
    NoPressure,
    /// A file could not be read or made no sense; counted in [`Faults`]. The next sample may be good.
    Failed,
}

/// Room for `memory.events` and for `memory.pressure`: some 120 bytes today, and room for what newer kernels add.
const SMALL_BYTES: usize = 512;

/// The open memory files of one cgroup v2. Reading them allocates nothing and opens nothing.
#[derive(Debug)]
pub struct CgroupFiles {
    pressure: Option<HeldFile>,
    events_local: HeldFile,
    events: HeldFile,
    current: HeldFile,
    high: HeldFile,
    max: HeldFile,
    /// `memory.swap.max` and `memory.swap.current`, where swap is accounted.
    swap: Option<(HeldFile, HeldFile)>,
    stat: HeldFile,
}

impl CgroupFiles {
    /// Opens the files of the cgroup: nine descriptors at most.
    ///
    /// # Errors
    /// Those of `openat(2)`: `ENOENT` when the cgroup is gone, has no memory controller or no limits (the root), or the
    /// kernel is older than Linux 5.2 (`memory.events.local`); `EMFILE` and `ENFILE` when no descriptor is left.
    pub fn open(dir: &Dir) -> io::Result<Self> {
        let swap_max = optional(dir, c"memory.swap.max")?;
        let swap_current = optional(dir, c"memory.swap.current")?;
        Ok(Self {
            pressure: optional(dir, c"memory.pressure")?,
            events_local: dir.file(c"memory.events.local")?,
            events: dir.file(c"memory.events")?,
            current: dir.file(c"memory.current")?,
            high: dir.file(c"memory.high")?,
            max: dir.file(c"memory.max")?,
            swap: swap_max.zip(swap_current),
            stat: dir.file(c"memory.stat")?,
        })
    }

    /// Reads them all, `memory.stat` only when asked for: it has the kernel flush counters of every CPU. A `memory.stat`
    /// that makes no sense is counted and left out.
    ///
    /// # Errors
    /// See [`Unreadable`].
    pub fn sample(&self, stat: bool, faults: &mut Faults) -> Result<Sample, Unreadable> {
        let full_total_us = self.read_pressure(faults)?;
        // Between the two that become shares and rates, for these are divided by time.
        let t = clock::now();
        let own = self.own_counts(faults)?;
        let events = read(&self.events, &mut [0; SMALL_BYTES], parse_memory_events, faults)?;
        let oom_kill = required(events.oom_kill, "oom_kill", faults)?;
        let current = self.read_bytes(&self.current, faults)?;
        let (high, max) = self.read_limits(faults)?;
        let (swap_max, swap_current) = match &self.swap {
            Some((max, current)) => (read_limit(max, faults)?, self.read_bytes(current, faults)?),
            None => (Limit::Max, 0),
        };
        let stat = stat.then(|| self.read_stat(faults)).transpose()?.flatten();
        let events = Events { high: own.high, max: own.max, oom: own.oom, oom_kill };
        Ok(Sample { t, current, high, max, swap_max, swap_current, events, full_total_us, stat, over_high_tasks: None })
    }

    /// `memory.high` and `memory.max`.
    ///
    /// # Errors
    /// See [`Unreadable`].
    pub fn read_limits(&self, faults: &mut Faults) -> Result<(Limit, Limit), Unreadable> {
        Ok((read_limit(&self.high, faults)?, read_limit(&self.max, faults)?))
    }

    /// `memory.events.local`.
    ///
    /// # Errors
    /// See [`Unreadable`].
    pub fn own_counts(&self, faults: &mut Faults) -> Result<OwnCounts, Unreadable> {
        read_own_counts(&self.events_local, faults)
    }

    fn read_pressure(&self, faults: &mut Faults) -> Result<u64, Unreadable> {
        let Some(pressure) = &self.pressure else { return Err(Unreadable::NoPressure) };
        let mut buf = [0; SMALL_BYTES];
        let text = match pressure.read(&mut buf) {
            Ok(text) => text,
            Err(e) if e.raw_os_error() == Some(libc::EOPNOTSUPP) => return Err(Unreadable::NoPressure),
            // Writing 0 to `cgroup.pressure` takes this one file away and leaves the cgroup.
            Err(e) if Faults::is_gone(&e) => {
                return Err(self.read_bytes(&self.current, faults).err().unwrap_or(Unreadable::NoPressure));
            }
            Err(e) => return Err(failed(&e, faults)),
        };
        let pressure = parse_pressure(text).map_err(|e| malformed(e, faults))?;
        let full = pressure.full.ok_or(Malformed { file: FileKind::Pressure, what: "full", fault: Fault::Missing });
        Ok(full.map_err(|e| malformed(e, faults))?.total_us)
    }

    fn read_bytes(&self, file: &HeldFile, faults: &mut Faults) -> Result<u64, Unreadable> {
        read(file, &mut [0; 64], parse_cgroup_bytes, faults)
    }

    fn read_stat(&self, faults: &mut Faults) -> Result<Option<Stat>, Unreadable> {
        match read(&self.stat, &mut [0; STAT_BYTES], parse_memory_stat, faults) {
            Ok(stat) => Ok(Stat::of(&stat)),
            Err(Unreadable::Gone) => Err(Unreadable::Gone),
            Err(Unreadable::Failed | Unreadable::NoPressure) => Ok(None),
        }
    }
}

/// Reads one of a cgroup's limits.
pub(super) fn read_limit(file: &HeldFile, faults: &mut Faults) -> Result<Limit, Unreadable> {
    read(file, &mut [0; 64], parse_limit, faults)
}

/// Reads a `memory.events.local`.
pub(super) fn read_own_counts(file: &HeldFile, faults: &mut Faults) -> Result<OwnCounts, Unreadable> {
    let MemoryEvents { high, max, oom, .. } = read(file, &mut [0; SMALL_BYTES], parse_memory_events, faults)?;
    Ok(OwnCounts {
        high: required(high, "high", faults)?,
        max: required(max, "max", faults)?,
        oom: required(oom, "oom", faults)?,
    })
}

fn read<T>(
    file: &HeldFile,
    buf: &mut [u8],
    parse: fn(&[u8]) -> Result<T, Malformed>,
    faults: &mut Faults,
) -> Result<T, Unreadable> {
    let text = file.read(buf).map_err(|e| failed(&e, faults))?;
    parse(text).map_err(|e| malformed(e, faults))
}

fn required(value: Option<u64>, what: &'static str, faults: &mut Faults) -> Result<u64, Unreadable> {
    let absent = Malformed { file: FileKind::MemoryEvents, what, fault: Fault::Missing };
    value.ok_or_else(|| malformed(absent, faults))
}

fn failed(error: &io::Error, faults: &mut Faults) -> Unreadable {
    faults.failed(error);
    if Faults::is_gone(error) { Unreadable::Gone } else { Unreadable::Failed }
}

fn malformed(what: Malformed, faults: &mut Faults) -> Unreadable {
    faults.malformed(what);
    Unreadable::Failed
}

/// A file that some kernels do not have.
fn optional(dir: &Dir, name: &CStr) -> io::Result<Option<HeldFile>> {
    match dir.file(name) {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::survey::fixture::Fixture;

    fn open(tree: &Fixture) -> CgroupFiles {
        CgroupFiles::open(&Dir::open(&tree.path("a")).unwrap()).unwrap()
    }

    fn fixture() -> Fixture {
        let tree = Fixture::new();
        tree.make("a", "8192\n", "max\n");
        tree
    }

    #[test]
    fn a_sample_has_what_the_files_say() {
        let tree = fixture();
        tree.write("a", "memory.events.local", "low 1\nhigh 2\nmax 3\noom 4\noom_kill 5\nnew_key 9\n");
        tree.write("a", "memory.events", "low 0\nhigh 20\nmax 30\noom 40\noom_kill 50\n");
        let files = open(&tree);
        let before = clock::now();
        let sample = files.sample(true, &mut Faults::default()).unwrap();
        assert!(before <= sample.t && sample.t <= clock::now());
        let expected = Sample {
            t: sample.t,
            current: 4096,
            high: Limit::Bytes(8192),
            max: Limit::Max,
            swap_max: Limit::Max,
            swap_current: 0,
            events: Events { high: 2, max: 3, oom: 4, oom_kill: 50 },
            full_total_us: 7,
            stat: Some(Stat { anon: 1, file_lru: 2, ..Stat::default() }),
            over_high_tasks: None,
        };
        assert_eq!(sample, expected);

        tree.write("a", "memory.swap.max", "0\n");
        tree.write("a", "memory.swap.current", "18446744073709551615\n");
        let sample = open(&tree).sample(false, &mut Faults::default()).unwrap();
        assert_eq!((sample.swap_max, sample.swap_current, sample.stat), (Limit::Bytes(0), u64::MAX, None));
    }

    #[test]
    fn a_file_that_makes_no_sense_fails_one_sample_and_is_counted() {
        let files = [
            ("memory.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=9\nfull avg10=0.0"),
            ("memory.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=9\n"),
            ("memory.events.local", ""),
            ("memory.events.local", "high 1\nmax 0\n"),
            ("memory.events.local", "high 1\nmax 0\noom 18446744073709551616\n"),
            ("memory.events", "high 1\nmax 0\noom 0\noom_ki"),
            ("memory.current", "max\n"),
            ("memory.high", "12"),
            ("memory.max", "-1\n"),
            ("memory.swap.max", "\n"),
            ("memory.swap.current", "12 13\n"),
        ];
        let tree = fixture();
        tree.write("a", "memory.swap.max", "max\n");
        tree.write("a", "memory.swap.current", "0\n");
        let held = open(&tree);
        for (file, text) in files {
            let good = std::fs::read_to_string(tree.path("a").join(file)).unwrap();
            tree.write("a", file, text);
            let mut faults = Faults::default();
            assert_eq!(held.sample(true, &mut faults), Err(Unreadable::Failed), "{file}: {text:?}");
            assert_eq!(faults.malformed, 1, "{file}: {text:?}");
            tree.write("a", file, &good);
            assert!(held.sample(true, &mut faults).is_ok(), "{file}");
        }
    }

    #[test]
    fn without_memory_stat_the_rest_is_a_sample() {
        let tree = fixture();
        tree.write("a", "memory.stat", "anon x\n");
        let mut faults = Faults::default();
        assert_eq!(open(&tree).sample(true, &mut faults).unwrap().stat, None);
        assert_eq!(faults.malformed, 1);
    }

    #[test]
    fn without_pressure_it_cannot_be_judged_and_without_limits_not_be_opened() {
        let tree = fixture();
        std::fs::remove_file(tree.path("a").join("memory.pressure")).unwrap();
        assert_eq!(open(&tree).sample(true, &mut Faults::default()), Err(Unreadable::NoPressure));
        std::fs::remove_file(tree.path("a").join("memory.high")).unwrap();
        let error = CgroupFiles::open(&Dir::open(&tree.path("a")).unwrap()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
