//! Which cgroups a case is opened for, and what is noted about one before it is stuck.

use std::time::Duration;

use crate::config::LivelockAction;
use crate::decide::livelock::{Judged, Kind, Stall, Verdict};
use crate::decide::measure::Whose;
use crate::decide::victim::Chooser;
use crate::observe::cgroups::CgroupPath;
use crate::observe::{Depth, Observation, Tasks};

use super::case::{Case, Phase};
use super::need::reading;
use super::note::{CaseEvent, CaseNote, Plan, WhyWarn};
use super::{AGAIN, Cases, OPEN};

/// Between two looks at the processes for the sake of [`Held`]: a program that works in bursts crosses its limit every
/// few seconds, and each look walks the whole process table.
const BEFORE_EVERY: Duration = Duration::from_secs(5);

impl Cases {
    pub(super) fn wants_before(&self, now: Duration) -> bool {
        self.watched.iter().any(|w| w.wants_before)
            && self.looked_before.is_none_or(|at| now.saturating_sub(at) >= BEFORE_EVERY)
    }

    /// Notes what the processes of cgroups hold that have just gone above their limit.
    pub(super) fn look_before(&mut self, chooser: &mut Chooser, tasks: &Tasks, obs: &Observation<'_>, now: Duration) {
        if tasks.depth != Depth::All {
            return;
        }
        for watched in self.watched.iter_mut().filter(|w| w.wants_before) {
            let Some(sample) = watched.detector.last() else { continue };
            let Some(limit) = Judged::of(sample) else { continue };
            chooser.judge(tasks, obs, &reading(&Whose::Cgroup(watched.path), limit.bytes(), 0), |_| false);
            (watched.before, watched.wants_before) = (Some(chooser.held(tasks)), false);
            self.looked_before = Some(now);
        }
    }

    /// Opens a case for each cgroup that has become stuck, as far as there is room.
    pub(super) fn open_new(&mut self, next_incident: &mut u32, now: Duration) {
        for watched in &mut self.watched {
            // It makes two notes at most.
            if self.notes.len() + 2 > self.notes.capacity() {
                return;
            }
            if let Verdict::Stalled(stall) = watched.detector.verdict()
                && stall.kind == Kind::OomStuck
                && watched.action.is_some()
                && watched.oom_told.is_none_or(|told| now.saturating_sub(told) >= AGAIN)
            {
                watched.oom_told = Some(now);
                let incident = *watched.oom_incident.get_or_insert_with(|| {
                    *next_incident += 1;
                    *next_incident
                });
                self.notes.push(CaseNote::new(incident, &watched.path, &stall, &CaseEvent::OomStuck));
            }
            let Some(stall) = watched.stall() else { continue };
            let current = watched.last.map_or(0, |sample| sample.current);
            let plan = plan(watched.action, &stall);
            if let Some(case) = self.open.iter_mut().flatten().find(|case| case.id == Some(watched.id)) {
                (case.stall, case.current) = (stall, current);
                case.replan(plan);
                continue;
            }
            let Some(place) = free_place(&mut self.open, plan) else { continue };
            *next_incident += 1;
            let note = CaseNote::new(*next_incident, &watched.path, &stall, &CaseEvent::Found(plan));
            self.notes.push(note);
            self.open[place] = Some(Case::new(Some(watched.id), &watched.path, plan, &stall, current, *next_incident));
        }
    }

    /// The same for the machine; and one that was only slow may have become short of memory.
    pub(super) fn open_machine(&mut self, next_incident: &mut u32) {
        let Some(stall) = self.machine.stall() else { return };
        if self.notes.len() == self.notes.capacity() {
            return;
        }
        let plan = self.machine.plan();
        if let Some(case) = self.open.iter_mut().flatten().find(|case| case.id.is_none()) {
            (case.stall, case.current) = (stall, self.machine.used);
            case.replan(plan);
            return;
        }
        let Some(place) = free_place(&mut self.open, plan) else { return };
        *next_incident += 1;
        let root = CgroupPath::root();
        self.notes.push(CaseNote::new(*next_incident, &root, &stall, &CaseEvent::Found(plan)));
        self.open[place] = Some(Case::new(None, &root, plan, &stall, self.machine.used, *next_incident));
    }
}

/// What is to be done: only `memory.high` can be lifted, at `memory.max` the kernel's own killer is next; and pressure is
/// acted on, or not looked for.
pub(super) fn plan(configured: Option<LivelockAction>, stall: &Stall) -> Plan {
    match (configured, stall.kind, stall.limit) {
        (_, Kind::Pressure, _) | (None | Some(LivelockAction::Kill), ..) => Plan::Kill,
        (Some(LivelockAction::Warn), ..) => Plan::Warn(WhyWarn::Configured),
        (Some(LivelockAction::Lift), _, Some(Judged::High(_))) => Plan::Lift,
        (Some(LivelockAction::Lift), _, Some(Judged::Max(_)) | None) => Plan::Warn(WhyWarn::NoHigh),
    }
}

/// A place for a new case. Where all are taken, one that is only warned of makes room for one to act on, and so does one whose
/// victim was spared.
fn free_place(open: &mut Vec<Option<Case>>, plan: Plan) -> Option<usize> {
    if let Some(place) = open.iter().position(Option::is_none) {
        return Some(place);
    }
    if open.len() < OPEN.min(open.capacity()) {
        open.push(None);
        return Some(open.len() - 1);
    }
    let may_go = |case: &Option<Case>| {
        case.is_some_and(|case| {
            matches!((case.plan, case.phase), (Plan::Warn(_), Phase::Resting(_)) | (_, Phase::Spared(_)))
        })
    };
    if matches!(plan, Plan::Warn(_)) { None } else { open.iter().position(may_go) }
}
