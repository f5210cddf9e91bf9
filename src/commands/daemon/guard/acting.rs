//! From a decision to a signal: the victim is pinned down, the cause is looked at once more, the signal is sent and told.

use std::io;

use crate::act::Aim;
use crate::decide::measure::Whose;
use crate::decide::{Act, Outcome};
use crate::host::clock;
use crate::host::process::PidFd;
use crate::host::wait::Source;
use crate::observe::Observation;
use crate::report::{EventKind, Text};

use super::super::{others, tell};
use super::{Guard, Parts};

impl Guard {
    /// Does what was decided, unless the cause or the victim is gone by now.
    pub(super) fn perform(&mut self, act: &Act) {
        let episode = self.parts.engine.episode();
        self.forget_spared(act, None);
        let outcome = self.attempt(act);
        self.parts.engine.acted(act, outcome, clock::now());
        // A SIGKILL that was not needed after all leaves the victim of the SIGTERM before it where it was.
        if self.parts.engine.victim().is_none() {
            self.let_go();
        }
        self.tell_notes(episode);
    }

    fn attempt(&mut self, act: &Act) -> Outcome {
        if act.reading.whose == Whose::Machine && !self.machine_is_ours_still() {
            return Outcome::Recovered;
        }
        let opened = self.opened(act);
        if self.parts.actor.aim(&self.parts.host, &act.victim, opened) == Aim::Gone {
            return Outcome::Gone;
        }
        if !self.cause_holds(act) || self.wait_for_hook(act, None) && !self.cause_holds(act) {
            return Outcome::Recovered;
        }
        let Parts { actor, engine, host, dry_run, .. } = &mut self.parts;
        let sent = if *dry_run { Ok(0) } else { actor.fire(host, act, engine.members()) };
        if let (Ok(_), Some(fd)) = (&sent, actor.wake_up()) {
            let _ = self.wait_set.add(fd, Source::Victim);
        }
        self.tell_sent(act, sent, None)
    }

    /// Looks at the cause once more. Who can't look does not shoot; the next turn will.
    fn cause_holds(&mut self, act: &Act) -> bool {
        let Ok(machine) = self.parts.machine.read(&mut self.faults) else { return false };
        let enclosing = self.parts.enclosing.read(&mut self.faults);
        let obs = Observation { machine: &machine, enclosing, victim_exited: false, tasks: None, details: None };
        self.parts.engine.still_holds(act, &obs)
    }

    /// Whether the machine's memory is still this guard's business. The clerk looks every few seconds; a system's guard that
    /// started since would take a second victim for one shortage. Three opens, which a guard that may be throttled leaves
    /// to the clerk.
    pub(super) fn machine_is_ours_still(&mut self) -> bool {
        let looks = !self.parts.own.may_signal_others && !self.throttleable;
        if looks && others::system_guard_runs(&self.parts.host) {
            self.parts.engine.set_machine_is_ours(false);
            return false;
        }
        true
    }

    /// The pidfd that the scout opened beforehand, where the guard itself may be throttled.
    pub(super) fn opened(&self, act: &Act) -> Option<PidFd> {
        let link = self.link.as_ref().filter(|_| self.throttleable)?;
        link.scout.as_ref()?.found()?.as_ref()?.found.roster.pidfd(act.victim.id)
    }

    /// Says what became of a signal.
    pub(super) fn tell_sent(&mut self, act: &Act, sent: io::Result<u32>, incident: Option<u32>) -> Outcome {
        let decided = clock::now().saturating_sub(act.seen_at);
        match sent {
            Ok(_) => {
                self.record_act(act);
                let details = self.link.as_ref().and_then(|link| link.reader.as_ref()?.table());
                let mut event = tell::acted(act, details.as_deref());
                drop(details);
                event.incident = incident;
                event.decide_usec = u64::try_from(decided.as_micros()).ok();
                self.cmdlines.keep(&event);
                self.send(&event);
                if self.parts.dry_run { Outcome::Pretended } else { Outcome::Sent }
            }
            Err(e) if e.raw_os_error() == Some(libc::ESRCH) => Outcome::Gone,
            Err(e) => {
                let mut event = tell::acted(act, None);
                event.event = EventKind::Refused;
                event.incident = incident;
                event.reason =
                    Text::format(format_args!("{} could not be sent: {e}", tell::posix(act.signal).as_str()));
                self.send(&event);
                Outcome::Failed
            }
        }
    }

    pub(super) fn let_go(&mut self) {
        if let Some(fd) = self.parts.actor.wake_up() {
            self.wait_set.remove(fd);
        }
        self.parts.actor.release();
    }
}
