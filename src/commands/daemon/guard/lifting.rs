//! The guard's side of lifts: what is asked of the lifter, and what it answers.

use std::time::Duration;

use crate::decide::cases::LiftOutcome;
use crate::decide::lift::{LiftStep, Lifts};
use crate::host::clock;
use crate::host::wait::Source;
use crate::observe::cgroup_files::Sample;
use crate::observe::cgroups::CgroupPath;
use crate::report::{Event, EventKind, REASON_BYTES, Text};

use super::super::lifter::{Answer, Lifter};
use super::Guard;

/// What is lifted, and who does it.
#[derive(Default)]
pub(super) struct Lifting {
    lifter: Option<Lifter>,
    lifts: Lifts,
    /// Asked for, but the lifter had no room yet.
    postponed: Vec<u64>,
}

impl Lifting {
    /// Whether this cgroup is lifted, and so has to be sampled until its limit is back.
    pub(super) fn is_lifted(&self, id: u64) -> bool {
        self.lifts.get(id).is_some()
    }
}

/// At the end, for putting everything back: the service manager waits 10 s, and the reporter wants some of them.
const AT_THE_END: Duration = Duration::from_secs(6);

impl Guard {
    /// Starts the lifter where there may be something to lift, or an earlier daemon left something lifted.
    pub(super) fn prepare_lifter(&mut self) {
        let (plan, runtime) = (&self.parts.plan, self.parts.runtime.as_deref());
        if self.lifting.lifter.is_some() || self.parts.dry_run {
            return;
        }
        let Some(runtime) = runtime.filter(|runtime| Lifter::is_needed(plan.livelock(), runtime)) else { return };
        match Lifter::start(runtime) {
            Ok(lifter) => {
                let _ = self.wait_set.add(lifter.bell(), Source::Errand);
                self.lifting.lifter = Some(lifter);
            }
            Err(e) => self.degraded(format_args!("memory.high can't be lifted: {e}")),
        }
    }

    /// Has the `memory.high` of a stuck cgroup raised.
    pub(super) fn lift(&mut self, id: u64) {
        if self.parts.dry_run {
            let cases = self.parts.engine.cases();
            let case = cases.case_of(id).map(|(path, incident, stall)| (*path, incident, *stall));
            if let Some((path, incident, stall)) = case {
                let limit_bytes = stall.limit.map(crate::decide::livelock::Judged::bytes);
                self.send(&Event { limit_bytes, incident: Some(incident), ..lift_event(EventKind::Lift, Some(&path)) });
            }
            self.parts.engine.cases_mut().lifted(id, LiftOutcome::Pretended, clock::now());
        } else if self.lifting.lifter.is_none() || !self.lifting.lifts.has_room() {
            self.degraded(format_args!(
                "memory.high can't be lifted: too much is lifted already, or there is no lifter"
            ));
            self.parts.engine.cases_mut().lifted(id, LiftOutcome::Failed, clock::now());
        } else {
            self.lifting.postponed.push(id);
            self.ask_lifter();
        }
    }

    /// Follows the use of a lifted cgroup.
    pub(super) fn follow_lift(&mut self, id: u64, sample: &Sample) {
        match self.lifting.lifts.step(id, sample.t, sample.current, sample.high) {
            LiftStep::Hold => {}
            // The lifter leaves a limit alone that somebody else has set, and clears away what it left with systemd.
            LiftStep::Restore | LiftStep::Abandon(_) => self.ask_to_restore(id),
        }
    }

    /// A cgroup is gone: nothing can be put back, but the lifter's note on it goes.
    pub(super) fn forget_lift(&mut self, id: u64) {
        if self.lifting.lifts.remove(id).is_some() {
            self.ask_to_restore(id);
        }
    }

    fn ask_to_restore(&self, id: u64) {
        // No room: `Lifts` says it again later, and the next start sees to the note.
        let _ = self.lifting.lifter.as_ref().is_some_and(|lifter| lifter.restore(id));
    }

    /// Hands the lifter what waits, as far as it has room.
    fn ask_lifter(&mut self) {
        let Some(lifter) = &self.lifting.lifter else { return };
        let cases = self.parts.engine.cases();
        self.lifting.postponed.retain(|id| match cases.case_of(*id) {
            Some((path, ..)) => !lifter.lift(*id, path),
            None => false,
        });
    }

    /// Takes what the lifter has to say.
    pub(super) fn take_lifts(&mut self) {
        while let Some(answer) = self.lifting.lifter.as_ref().and_then(Lifter::answer) {
            self.take_lift(answer);
        }
        self.ask_lifter();
    }

    fn take_lift(&mut self, answer: Answer) {
        let now = clock::now();
        match answer {
            Answer::Lifted { id, old, remark } => {
                let case = self.parts.engine.cases().case_of(id).map(|(path, incident, _)| (*path, incident));
                if let Some((path, incident)) = case {
                    if !self.lifting.lifts.push(id, &path, old, now) {
                        self.ask_to_restore(id);
                    }
                    let event = lift_event(EventKind::Lift, Some(&path));
                    self.send(&Event { limit_bytes: Some(old), reason: remark, incident: Some(incident), ..event });
                } else {
                    // The case was closed meanwhile: nobody needs the lift any more.
                    self.ask_to_restore(id);
                }
                self.parts.engine.cases_mut().lifted(id, LiftOutcome::Done, now);
            }
            Answer::NotLifted { id, why } => {
                let case = self.parts.engine.cases().case_of(id).map(|(path, incident, _)| (*path, incident));
                if let Some((path, incident)) = case {
                    let reason = Text::format(format_args!("memory.high could not be lifted: {why}"));
                    let event = lift_event(EventKind::Refused, Some(&path));
                    self.send(&Event { reason, incident: Some(incident), ..event });
                }
                self.parts.engine.cases_mut().lifted(id, LiftOutcome::Failed, now);
            }
            Answer::Restored { id, path, old, remark } => {
                self.lifting.lifts.remove(id);
                let event = lift_event(EventKind::LiftRestored, path.as_ref());
                self.send(&Event { limit_bytes: Some(old), reason: remark, ..event });
            }
            Answer::Left { id, path, why } => {
                self.lifting.lifts.remove(id);
                self.say_not(path.as_ref(), "the lifted memory.high is not put back", &why);
            }
            Answer::NotRestored { path, why, .. } => {
                self.say_not(path.as_ref(), "the lifted memory.high could not be put back", &why);
            }
            Answer::Dropped(why) => self.say_not(None, "a note on a lifted memory.high was dropped", &why),
        }
    }

    fn say_not(&self, path: Option<&CgroupPath>, what: &str, why: &Text<REASON_BYTES>) {
        let reason = Text::format(format_args!("{what}: {why}"));
        self.send(&Event { reason, kind: None, ..lift_event(EventKind::Degraded, path) });
    }

    /// Puts everything back that is lifted.
    pub fn end_lifts(&mut self) {
        if let Some(lifter) = self.lifting.lifter.take() {
            self.wait_set.remove(lifter.bell());
            let mut answers = Vec::new();
            let all = lifter.stop(AT_THE_END, |answer| answers.push(answer));
            answers.into_iter().for_each(|answer| self.take_lift(answer));
            if !all {
                self.degraded(format_args!("not every lifted memory.high is back; the next start sees to the rest"));
            }
        }
    }
}

fn lift_event(kind: EventKind, path: Option<&CgroupPath>) -> Event {
    let cgroup = path.map_or_else(Text::new, |path| Text::from_bytes(path.as_bytes()));
    Event { kind: Some("livelock"), cgroup, ..Event::new(kind) }
}
