//! What the guard leaves for whoever wants to know afterwards: the flight recorder's beat.
//!
//! It rides on the guard's own wake-ups. With plenty of memory that is a sample now and then, for which the guard reads
//! nothing; below twice `warn` the guard wakes once a second at least, and the largest are listed too.

use std::time::Duration;

use crate::decide::measure::{Level, Reading, Whose};
use crate::decide::victim::Verdict;
use crate::decide::{Act, Decision};
use crate::host::clock;
use crate::observe::parse::PressureLine;
use crate::observe::tops::{Sums, largest};
use crate::observe::{Depth, Need, Task, Tasks};
use crate::report::Recorder;
use crate::report::recorder::{LARGEST, Measured, Ranked, Top};

use super::super::scout::{Scout, Seen};
use super::timers::due;
use super::{Guard, Parts};

/// Between two samples while there is plenty of memory.
const SPARSE: Duration = Duration::from_secs(30);

/// Between two samples below twice `warn`, or while a case is open.
const BUSY: Duration = Duration::from_secs(1);

/// The threshold is so near, at the rate at which memory falls: then as often as the recorder takes it.
const SOON: Duration = Duration::from_secs(60);

/// Dates of what is recorded are right within a millisecond: so much earlier, the largest at an act are not dated after the
/// entry that tells of it, and whoever reads up to the act finds them.
const BEFORE_THE_ENTRY: Duration = Duration::from_millis(2);

/// The guard's part of the flight recorder.
pub(super) struct Recording {
    sums: Sums,
    /// When the last sample was recorded.
    sampled: Option<Duration>,
    /// When the largest were last recorded.
    listed: Option<Duration>,
    /// What the last sample's memory was of.
    whose: Whose,
    /// The recorder's memory is all there.
    touched: bool,
    /// That for cgroups that stall, too.
    touched_of_cgroups: bool,
    /// When the process table was last read for a list, and how long that took.
    scanned: Option<(Duration, Duration)>,
    /// What was decided last was decided on a look at the processes.
    pub(super) judged: bool,
}

impl Recording {
    pub(super) fn new() -> Self {
        Self {
            sums: Sums::default(),
            sampled: None,
            listed: None,
            whose: Whose::Machine,
            touched: false,
            touched_of_cgroups: false,
            scanned: None,
            judged: false,
        }
    }
}

impl Guard {
    /// Records what is due, now that nothing is to be done for as long as `pause`. Returns for how long there will be
    /// nothing to record.
    pub(super) fn record(&mut self, decision: &Decision, pause: Duration) -> Duration {
        let reading = &decision.reading;
        let busy = decision.near || self.parts.engine.cases().any_is_open();
        let every = if !busy {
            SPARSE
        } else if decision.near && is_soon(reading, self.parts.engine.fill_rate()) {
            Duration::ZERO
        } else {
            BUSY
        };
        let every = every.max(self.parts.recorder.sample_pause());
        let now = clock::now();
        if due(&mut self.recording.sampled, now, every) {
            self.record_sample(reading);
        }
        if decision.near {
            if reading.level < Level::Term {
                self.touch_recorder();
            }
            let listed = self.recording.listed;
            if listed.is_none_or(|at| now.saturating_sub(at) >= self.parts.recorder.tops_pause()) {
                self.list_largest(reading, now, pause);
            }
        }
        if !busy {
            return Duration::MAX;
        }
        self.recording.sampled.map_or(every, |at| (at + every).saturating_sub(clock::now()))
    }

    /// Has all of the recorder's memory there, as it may be needed soon: later each new page would be a page fault in the
    /// middle of the trouble, between one signal and the next. Once; a machine that never comes near never pays for it.
    pub(super) fn touch_recorder(&mut self) {
        if !std::mem::replace(&mut self.recording.touched, true) {
            self.parts.recorder.touch();
            self.recording.sums.touch();
        }
    }

    /// The same for a guard that has to do with a cgroup that stalls.
    pub(super) fn touch_recorder_of_cgroups(&mut self) {
        self.touch_recorder();
        if !std::mem::replace(&mut self.recording.touched_of_cgroups, true) {
            self.parts.recorder.touch_cgroups();
        }
    }

    fn record_sample(&mut self, reading: &Reading) {
        let Self { recording, parts, last, link, .. } = self;
        let clerk = link.as_ref().and_then(|link| link.clerk.as_ref());
        let swap_total = last.meminfo.swap_total.filter(|bytes| *bytes > 0);
        // As it was at the sample before: reading it may block, so the clerk reads it meanwhile for the next one.
        let zram = clerk.zip(swap_total).and_then(|(clerk, swap_total)| {
            let zram = clerk.zram();
            clerk.ask_for_zram(swap_total);
            zram
        });
        let centi = |line: PressureLine| u16::try_from(line.avg10_centi).ok();
        let measured = Measured {
            available: reading.available,
            swap_free: last.meminfo.swap_free,
            zram,
            psi_some_centi: last.pressure.and_then(|pressure| centi(pressure.some)),
            psi_full_centi: last.pressure.and_then(|pressure| centi(pressure.full?)),
            other_scope: recording.whose != reading.whose,
        };
        recording.whose = reading.whose;
        parts.recorder.sample(clock::since_boot(), &measured);
    }

    /// Records the largest tasks and cgroups, by a table that is fresh enough; by a look of its own only where that does
    /// no harm.
    fn list_largest(&mut self, reading: &Reading, now: Duration, pause: Duration) {
        let fresh = self.parts.recorder.tops_pause() / 2;
        let is_fresh = |at: Duration| now.saturating_sub(at) < fresh;
        if self.throttleable {
            let Self { parts, link, recording, .. } = self;
            let table = link.as_ref().and_then(|link| link.scout.as_ref()).and_then(Scout::found);
            // The scout looks every few seconds; each look is listed once.
            if let Some(Some(seen)) = table.as_deref()
                && recording.listed.is_none_or(|listed| seen.at > listed)
            {
                list(&parts.recorder, clock::since_boot(), &mut recording.sums, &seen.found.tasks);
                recording.listed = Some(now);
            }
            return;
        }
        let known = self.scans.last.is_some_and(is_fresh) || self.recording.scanned.is_some_and(|(at, _)| is_fresh(at));
        if !known && !self.scan_for_list(reading, pause) {
            return;
        }
        list(&self.parts.recorder, clock::since_boot(), &mut self.recording.sums, self.scanner.tasks());
        self.recording.listed = Some(now);
    }

    /// Reads the large tasks anew, unless a threshold may be crossed meanwhile, or somebody else's look at all tasks would
    /// lose what it knows.
    fn scan_for_list(&mut self, reading: &Reading, pause: Duration) -> bool {
        let took = self.recording.scanned.map_or(Duration::ZERO, |(_, took)| took);
        let need = self.parts.engine.chooser().need(reading);
        let Depth::Large { .. } = need.depth else { return false };
        if self.parts.engine.victim().is_some() || self.parts.engine.cases().any_is_open() || pause < took * 2 {
            return false;
        }
        let began = clock::now();
        let swap_used = self.last.meminfo.swap_used();
        // Not by `Guard::scan`: the regular looks go on, which read more.
        self.scanner.scan(&self.parts.host, Need { oom_score: false, ..need }, swap_used, &mut self.faults);
        self.recording.scanned = Some((began, clock::now().saturating_sub(began)));
        true
    }

    /// Records the candidates of an act that was just decided on a look at the processes, and the largest by the same
    /// look; and the memory then, where that is what the samples are of. Allocates nothing.
    pub(super) fn record_act(&mut self, act: &Act) {
        if act.reading.whose == self.recording.whose {
            self.record_sample(&act.reading);
        }
        let Self { parts: Parts { engine, recorder, .. }, scanner, link, recording, throttleable, .. } = self;
        if !recording.judged {
            return;
        }
        let table = link.as_ref().filter(|_| *throttleable).and_then(|link| link.scout.as_ref()?.found());
        let scouted = table.as_ref().and_then(|table| table.as_ref());
        let tasks = scouted.map_or_else(|| scanner.tasks(), |Seen { found, .. }| &found.tasks);
        let chooser = engine.chooser();
        // Verdicts that leave out the victim are of another look.
        let judged = tasks.list.iter().zip(chooser.verdicts()).find(|(task, _)| task.id == act.victim.id);
        if !matches!(judged, Some((_, Verdict::Eligible(..)))) {
            return;
        }
        let foremost = chooser.foremost::<LARGEST>(tasks, &act.reading);
        let ranked = foremost.iter().map(|(task, tier)| Ranked {
            task: top(tasks, task),
            uid: task.uid,
            tier: tier.word(),
            oom_score_adj: task.oom_score_adj,
        });
        recorder.candidates(clock::since_boot(), ranked);
        list(recorder, clock::since_boot().saturating_sub(BEFORE_THE_ENTRY), &mut recording.sums, tasks);
    }
}

/// Whether memory will be at the next threshold soon, at this rate in bytes a second.
fn is_soon(reading: &Reading, rate: f64) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
    let headroom = reading.headroom() as f64;
    rate * SOON.as_secs_f64() > headroom
}

fn list(recorder: &Recorder, at: Duration, sums: &mut Sums, tasks: &Tasks) {
    let (foremost, cgroups) = (largest::<LARGEST>(tasks), sums.largest::<LARGEST>(tasks));
    recorder.tops(
        at,
        foremost.iter().map(|task| top(tasks, task)),
        cgroups.iter().map(|(id, sum)| (tasks.cgroups.path(id), sum)),
    );
}

fn top<'a>(tasks: &'a Tasks, task: &'a Task) -> Top<'a> {
    Top {
        pid: task.id.pid,
        comm: task.comm.as_bytes(),
        size: task.size(),
        swap: task.swap.unwrap_or(0),
        cgroup: tasks.cgroup_path(task),
    }
}
