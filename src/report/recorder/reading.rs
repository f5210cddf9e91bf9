//! The reader's side: what was recorded, with dates, and with names that are harmless.

use std::ops::{Range, RangeInclusive};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::host::clock;

use super::super::incident::schema;
use super::paths::{Path, PathRef, is_path};
use super::{ActEntry, CandidateEntry, LARGEST, Memory, Recorder, SampleEntry, TaskEntry, TopsEntry, millis};

/// What was recorded, oldest first; times in milliseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recorded {
    /// The machine's memory.
    pub samples: Vec<schema::Sample>,
    /// The largest tasks and cgroups.
    pub tops: Vec<schema::Tops>,
    /// Who could have been chosen at the latest act, if that is not longer ago.
    pub candidates: Vec<schema::Candidate>,
}

/// Two clocks that are read within this time are read at the same moment ...
const SAME_MOMENT: Duration = Duration::from_millis(1);

/// ... which is tried so often.
const TRIES: usize = 5;

/// The same moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Anchor {
    /// Since boot, sleep included: [`clock::since_boot`].
    pub since_boot: Duration,
    /// The date.
    pub date: SystemTime,
}

impl Anchor {
    /// This moment.
    #[must_use]
    pub fn now() -> Self {
        let mut since_boot = clock::since_boot();
        // Between the two this thread may lose its processor: then the date is not that of the other.
        for _ in 0..TRIES {
            let date = SystemTime::now();
            let after = clock::since_boot();
            if after.saturating_sub(since_boot) <= SAME_MOMENT {
                return Self { since_boot, date };
            }
            since_boot = after;
        }
        Self { since_boot, date: SystemTime::now() }
    }

    /// The date, in milliseconds since 1970, of a time in milliseconds since boot; 0 before 1970.
    fn unix_ms(&self, t_ms: u64) -> u64 {
        let date = millis(self.date.duration_since(UNIX_EPOCH).unwrap_or_default());
        let age = millis(self.since_boot).checked_signed_diff(t_ms).unwrap_or(0);
        date.saturating_add_signed(age.saturating_neg())
    }
}

/// What is wanted of what was recorded: of late all of it, before that now and then one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Thinning {
    /// So far back all of it; without a number, ever.
    pub fine: Option<Duration>,
    /// Before that one sample in this time ...
    pub samples_every: Duration,
    /// ... and one list of the largest in this.
    pub tops_every: Duration,
}

impl Thinning {
    /// Says of each time, in order, whether it is wanted; at `now_ms`.
    fn keeps(&self, now_ms: u64, every: Duration) -> impl FnMut(u64) -> bool {
        let fine_ms = self.fine.map(|fine| now_ms.saturating_sub(millis(fine)));
        let mut kept: Option<u64> = None;
        move |t_ms| {
            let due = kept.is_none_or(|kept| t_ms.saturating_sub(kept) >= millis(every));
            let keep = due || fine_ms.is_none_or(|fine_ms| t_ms >= fine_ms);
            if keep {
                kept = Some(t_ms);
            }
            keep
        }
    }
}

/// How many samples are copied at a time: the guard finds the recorder taken for a microsecond, not for all of it.
const AT_ONCE: usize = 64;

impl Recorder {
    /// What was recorded in the time that ends now, no further back than the recorder is to reach.
    #[must_use]
    pub fn recorded(&self, last: Duration) -> Recorded {
        self.recorded_at(last, Anchor::now())
    }

    /// The same, as seen at a given moment.
    #[must_use]
    pub fn recorded_at(&self, last: Duration, now: Anchor) -> Recorded {
        let since_ms = self.since_ms(now.since_boot.saturating_sub(last), now);
        self.read_out(since_ms..=u64::MAX, Thinning::default(), now)
    }

    /// What was recorded from `since`, a time since boot, to `until`, both included, less what is not wanted of it, which
    /// takes no memory either. Of readings that begin where the one before ended, however late each is made, none leaves
    /// anything out.
    #[must_use]
    pub fn recorded_thinly(&self, since: Duration, until: Anchor, thinning: Thinning) -> Recorded {
        self.read_out(self.since_ms(since, until)..=millis(until.since_boot), thinning, until)
    }

    fn read_out(&self, times: RangeInclusive<u64>, thinning: Thinning, now: Anchor) -> Recorded {
        let wanted = |every| {
            let mut keeps = thinning.keeps(millis(now.since_boot), every);
            let times = times.clone();
            move |t_ms| times.contains(&t_ms) && keeps(t_ms)
        };
        Recorded {
            samples: self.samples(wanted(thinning.samples_every), now),
            tops: self.read_tops(wanted(thinning.tops_every), now),
            candidates: self.read_candidates(*times.start()),
        }
    }

    /// No further back than the recorder is to reach.
    fn since_ms(&self, since: Duration, now: Anchor) -> u64 {
        millis(since.max(now.since_boot.saturating_sub(self.keep())))
    }

    /// What was recorded of one cgroup, as [`Recorder::recorded_thinly`] has it, all of it; its path as incidents have it.
    #[must_use]
    pub fn of_cgroup(&self, path: &str, since: Duration, until: Anchor) -> Vec<schema::CgroupSample> {
        self.read_cgroup(path, self.since_ms(since, until)..=millis(until.since_boot), until)
    }

    /// The same in the time that ends at a given moment.
    #[must_use]
    pub fn of_cgroup_at(&self, path: &str, last: Duration, now: Anchor) -> Vec<schema::CgroupSample> {
        let since_ms = self.since_ms(now.since_boot.saturating_sub(last), now);
        self.read_cgroup(path, since_ms..=u64::MAX, now)
    }

    fn read_cgroup(&self, path: &str, times: RangeInclusive<u64>, now: Anchor) -> Vec<schema::CgroupSample> {
        let (stalling, end) = {
            let memory = self.read();
            (memory.stalling.clone(), memory.of_cgroups.end())
        };
        let mut found = Vec::new();
        let known = stalling.iter().flatten().filter(|known| is_path(&known.path, path));
        let Some(id) = known.max_by_key(|known| known.last_ms).map(|known| known.id) else { return found };
        let mut chunk = Vec::with_capacity(AT_ONCE);
        let mut next = 0;
        while next < end {
            chunk.clear();
            next = copy_of_cgroup(&self.read(), next..end, id, &mut chunk);
            let wanted = chunk.iter().filter(|sample| times.contains(&sample.t_ms));
            found.extend(wanted.map(|sample| schema::CgroupSample { t_ms: now.unix_ms(sample.t_ms), ..*sample }));
        }
        found
    }

    fn samples(&self, mut wanted: impl FnMut(u64) -> bool, now: Anchor) -> Vec<schema::Sample> {
        let mut samples = Vec::new();
        let mut chunk = Vec::with_capacity(AT_ONCE);
        // No further than it has come now: whoever writes on must not keep the reader for ever.
        let (mut next, end, mut before) = (0, self.read().samples.end(), None);
        while next < end {
            chunk.clear();
            next = copy_samples(&self.read(), next..end, &mut chunk);
            for entry in &chunk {
                if wanted(entry.t_ms) {
                    samples.push(sample(entry, before.as_ref(), now));
                }
                before = Some(*entry);
            }
        }
        samples
    }

    fn read_tops(&self, mut wanted: impl FnMut(u64) -> bool, now: Anchor) -> Vec<schema::Tops> {
        let mut all = Vec::new();
        let (mut next, end) = (0, self.read().tops.end());
        while next < end {
            // The lock is given back at the end of this line.
            let copy = TopsCopy::of(&self.read(), next);
            let Some(copy) = copy else { break };
            next = copy.number + 1;
            if wanted(copy.entry.t_ms) {
                all.push(copy.written_out(now));
            }
        }
        all
    }

    fn read_candidates(&self, since_ms: u64) -> Vec<schema::Candidate> {
        let act: Option<ActEntry> = self.read().act.clone();
        let recent = act.filter(|act| act.t_ms >= since_ms);
        let candidates = recent.iter().flat_map(|act| act.candidates.iter().flatten());
        candidates.zip(1..).map(|(candidate, rank)| written_candidate(candidate, rank)).collect()
    }
}

/// Copies the samples that have these numbers into the room there is, and says which is the next.
fn copy_samples(memory: &Memory, numbers: Range<usize>, into: &mut Vec<SampleEntry>) -> usize {
    let numbers = memory.samples.some_of(numbers, into.capacity());
    into.extend(numbers.clone().filter_map(|number| memory.samples.get(number).copied()));
    numbers.end
}

/// Copies the samples of one cgroup that are among these, as many as are copied at a time, and says which is the next.
fn copy_of_cgroup(memory: &Memory, numbers: Range<usize>, id: u64, into: &mut Vec<schema::CgroupSample>) -> usize {
    let numbers = memory.of_cgroups.some_of(numbers, into.capacity());
    let entries = numbers.clone().filter_map(|number| memory.of_cgroups.get(number));
    into.extend(entries.filter(|entry| entry.id == id).map(|entry| entry.sample));
    numbers.end
}

/// A list of the largest, and the paths it names.
struct TopsCopy {
    number: usize,
    entry: TopsEntry,
    of_tasks: [Option<Path>; LARGEST],
    of_cgroups: [Option<Path>; LARGEST],
}

impl TopsCopy {
    /// The one of this number, or the oldest after it; `None` when there is none yet.
    fn of(memory: &Memory, next: usize) -> Option<Self> {
        let number = next.max(memory.tops.oldest());
        let entry = *memory.tops.get(number)?;
        let path = |path: Option<PathRef>| path.and_then(|path| memory.paths.get(path)).copied();
        Some(Self {
            number,
            entry,
            of_tasks: entry.tasks.map(|task| path(task.and_then(|task| task.cgroup))),
            of_cgroups: entry.cgroups.map(|cgroup| path(cgroup.map(|cgroup| cgroup.path))),
        })
    }

    fn written_out(&self, now: Anchor) -> schema::Tops {
        let tasks = self.entry.tasks.iter().flatten().zip(&self.of_tasks).map(|(task, path)| {
            let TaskEntry { size, swap, pid, comm, .. } = task;
            let cgroup = path.as_ref().map(ToString::to_string);
            schema::TopTask { pid: *pid, comm: comm.to_string(), size_bytes: *size, swap_bytes: *swap, cgroup }
        });
        // Whose path was crowded out says nothing any more.
        let cgroups = self.entry.cgroups.iter().zip(&self.of_cgroups).filter_map(|(cgroup, path)| {
            Some(schema::TopCgroup { path: path.as_ref()?.to_string(), size_bytes: cgroup.as_ref()?.size })
        });
        schema::Tops { t_ms: now.unix_ms(self.entry.t_ms), tasks: tasks.collect(), cgroups: cgroups.collect() }
    }
}

fn sample(entry: &SampleEntry, before: Option<&SampleEntry>, now: Anchor) -> schema::Sample {
    let percent = |centi: u16| f64::from(centi) / 100.0;
    let SampleEntry { t_ms, measured } = entry;
    schema::Sample {
        t_ms: now.unix_ms(*t_ms),
        available_bytes: measured.available,
        swap_free_bytes: measured.swap_free,
        zram_bytes: measured.zram,
        psi_some_percent: measured.psi_some_centi.map(percent),
        psi_full_percent: measured.psi_full_centi.map(percent),
        fill_bytes_per_s: before.and_then(|before| fill_rate(before, entry)),
    }
}

/// How fast available memory fell between two samples, bytes a second.
fn fill_rate(before: &SampleEntry, after: &SampleEntry) -> Option<i64> {
    if after.measured.other_scope {
        return None;
    }
    let took_ms = i128::from(after.t_ms.checked_sub(before.t_ms)?);
    let fallen = i128::from(before.measured.available) - i128::from(after.measured.available);
    (fallen * 1000).checked_div(took_ms).and_then(|rate| i64::try_from(rate).ok())
}

fn written_candidate(candidate: &CandidateEntry, rank: u32) -> schema::Candidate {
    let CandidateEntry { task, uid, tier, oom_score_adj, cgroup } = candidate;
    schema::Candidate {
        rank,
        pid: task.pid,
        comm: task.comm.to_string(),
        uid: *uid,
        cgroup: cgroup.as_ref().map(ToString::to_string),
        tier: (*tier).to_owned(),
        size_bytes: task.size,
        swap_bytes: task.swap,
        oom_score_adj: *oom_score_adj,
    }
}
