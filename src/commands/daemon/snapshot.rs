//! What the guard leaves for whoever asks for the status.

use std::cmp::Ordering;

use crate::decide::livelock::{Sample, Verdict};
use crate::decide::measure::{Reading, Whose};
use crate::observe::cgroups::CgroupPath;
use crate::observe::{Enclosing, Machine};
use crate::report::Text;
use crate::report::status::{CgroupState, Limits, SNAPSHOT_CGROUPS, Scope, Snapshot};

/// Places kept for the limits that enclose the guard: the nearest ones, rarely more than two.
const ENCLOSING: usize = 4;

/// Places for cgroups that are at their limit.
pub const AT_LIMIT: usize = SNAPSHOT_CGROUPS - ENCLOSING;

/// A cgroup that is at its limit.
#[derive(Clone, Copy, Debug)]
pub struct AtLimit<'a> {
    /// Where.
    pub path: &'a CgroupPath,
    /// Its files.
    pub sample: &'a Sample,
    /// What the livelock detector makes of it; `None` where none looked.
    pub verdict: Option<Verdict>,
    /// Share of the time that was looked at in which none of its tasks could run, 0 to 1.
    pub stalled: Option<f64>,
    /// What is being done about it.
    pub doing: Option<&'static str>,
}

/// Writes down the present view.
pub fn snapshot<'a>(
    into: &mut Snapshot,
    reading: &Reading,
    machine: &Machine,
    enclosing: &[Enclosing],
    at_limit: impl Iterator<Item = AtLimit<'a>>,
) {
    let avg10 = |centi: u32| f64::from(centi) / 100.0;
    let (worst, more_cgroups) = worst(at_limit);
    let is_told = |e: &&Enclosing| worst.iter().flatten().any(|cgroup| *cgroup.path == e.path);
    let enclosing = enclosing.iter().filter(|e| !is_told(e)).map(limit).take(ENCLOSING);
    // Never beyond the room that was set aside: nothing is allocated here.
    let room = into.cgroups.capacity().min(SNAPSHOT_CGROUPS);
    into.cgroups.clear();
    into.cgroups.extend(worst.iter().flatten().map(AtLimit::state).chain(enclosing).take(room));
    into.memory_total = reading.total;
    into.memory_available = reading.available;
    into.available_percent = reading.available_percent();
    into.scope = match reading.whose {
        Whose::Machine => Scope::Host,
        Whose::Cgroup(_) => Scope::Cgroup,
    };
    into.limits = Limits { warn: reading.warn, term: reading.term, kill: reading.kill };
    into.swap_total = reading.swap_total;
    into.swap_free = reading.swap_free;
    into.psi_some_avg10 = machine.pressure.map(|p| avg10(p.some.avg10_centi));
    into.psi_full_avg10 = machine.pressure.and_then(|p| p.full).map(|full| avg10(full.avg10_centi));
    into.more_cgroups = more_cgroups;
}

/// The worst of them, worst first, and how many more there are. Sorted into place: nothing is allocated.
fn worst<'a>(all: impl Iterator<Item = AtLimit<'a>>) -> ([Option<AtLimit<'a>>; AT_LIMIT], usize) {
    let mut worst = [None; AT_LIMIT];
    let mut more = 0;
    for cgroup in all {
        let mut next = Some(cgroup);
        for slot in &mut worst {
            let Some(one) = next else { break };
            if slot.is_none_or(|there| one.by_severity(&there) == Ordering::Greater) {
                next = slot.replace(one);
            }
        }
        more += usize::from(next.is_some());
    }
    (worst, more)
}

impl AtLimit<'_> {
    /// Stuck ones are worse than others, then those that stall more.
    fn by_severity(&self, other: &Self) -> Ordering {
        let is_stuck = |one: &Self| one.doing.is_some() || matches!(one.verdict, Some(Verdict::Stalled(_)));
        let stalled = |one: &Self| one.stalled.unwrap_or(0.0);
        is_stuck(self).cmp(&is_stuck(other)).then(stalled(self).total_cmp(&stalled(other)))
    }

    fn state(&self) -> CgroupState {
        let verdict = self.verdict.map(|verdict| match verdict {
            Verdict::Quiet => "quiet",
            Verdict::Watching => "watching",
            Verdict::Stalled(stall) => stall.kind.name(),
        });
        CgroupState {
            path: Text::from_bytes(self.path.as_bytes()),
            current: self.sample.current,
            high: self.sample.high.bytes(),
            max: self.sample.max.bytes(),
            stall_percent: self.stalled.map(|share| (share * 100.0).min(100.0)),
            state: verdict,
            doing: self.doing,
        }
    }
}

fn limit(cgroup: &Enclosing) -> CgroupState {
    CgroupState {
        path: Text::from_bytes(cgroup.path.as_bytes()),
        current: cgroup.current,
        high: None,
        max: Some(cgroup.limit),
        stall_percent: None,
        state: None,
        doing: None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::decide::livelock::Events;
    use crate::observe::parse::Limit;

    fn sample(current: u64) -> Sample {
        Sample {
            t: Duration::ZERO,
            current,
            high: Limit::Bytes(100),
            max: Limit::Max,
            swap_max: Limit::Max,
            swap_current: 0,
            events: Events::default(),
            full_total_us: 0,
            stat: None,
            over_high_tasks: None,
        }
    }

    #[test]
    fn the_worst_come_first_and_the_rest_is_counted() {
        let samples: Vec<Sample> = (0..20).map(sample).collect();
        let paths: Vec<CgroupPath> = (0..20).map(|n| CgroupPath::new(format!("/{n}").as_bytes()).unwrap()).collect();
        let all = samples.iter().zip(&paths).enumerate().map(|(n, (sample, path))| AtLimit {
            path,
            sample,
            verdict: Some(Verdict::Watching),
            // The thirteenth stalls most, the eighth hardly; but somebody is dying for it.
            stalled: Some(if n == 12 { 0.9 } else { f64::from(u8::try_from(n).unwrap()) / 100.0 }),
            doing: (n == 7).then_some("killing"),
        });
        let (worst, more) = worst(all);
        let order: Vec<u64> = worst.iter().flatten().map(|cgroup| cgroup.sample.current).collect();
        assert_eq!(order, [7, 12, 19, 18, 17, 16, 15, 14, 13, 11, 10, 9]);
        assert_eq!(more, 8);
        let states: Vec<_> = worst.iter().flatten().take(2).map(AtLimit::state).collect();
        assert_eq!((states[0].doing, states[1].doing), (Some("killing"), None));
        assert_eq!((states[0].state, states[1].state), (Some("watching"), Some("watching")));
        assert_eq!((states[1].stall_percent, states[1].high, states[1].max), (Some(90.0), Some(100), None));
    }
}
