//! An act for a stuck cgroup: the victim pinned, the cause looked at once more, then the signal.

use crate::act::Aim;
use crate::commands::daemon::guard::{Guard, Parts};
use crate::decide::measure::Whose;
use crate::decide::{Act, Outcome};
use crate::host::clock;
use crate::host::dir::SmallPath;
use crate::host::wait::Source;
use crate::observe::cgroups::is_within;

impl Guard {
    /// A bit for each place whose victim is gone.
    pub(super) fn exited(&mut self) -> u64 {
        let Parts { engine, host, .. } = &mut self.parts;
        let actors = &self.breaker.actors;
        let gone = engine.cases().in_flight().filter(|(place, victim, members)| {
            actors.get(*place).is_some_and(|actor| actor.exited(host, victim, members))
        });
        gone.fold(0, |bits, (place, ..)| bits | 1 << place)
    }

    pub(super) fn perform_for(&mut self, place: usize, act: &Act) {
        self.forget_spared(act, Some(place));
        let outcome = self.attempt_for(place, act);
        self.parts.engine.cases_mut().acted(place, act, outcome, clock::now());
        self.tell_cases();
        self.let_go_of_cases();
    }

    fn attempt_for(&mut self, place: usize, act: &Act) -> Outcome {
        while self.breaker.actors.len() <= place {
            self.breaker.actors.push(self.parts.actor.another());
        }
        let opened = self.opened(act);
        if self.breaker.actors[place].aim(&self.parts.host, &act.victim, opened) == Aim::Gone {
            return Outcome::Gone;
        }
        if !self.still_lives_there(act) {
            return Outcome::Recovered;
        }
        // The cause once more, right before the signal.
        let incident = self.parts.engine.cases().incident(place);
        if !self.case_holds(place) || self.wait_for_hook(act, incident) && !self.case_holds(place) {
            return Outcome::Recovered;
        }
        let Parts { engine, host, dry_run, .. } = &mut self.parts;
        let actor = &mut self.breaker.actors[place];
        let sent = if *dry_run { Ok(0) } else { actor.fire(host, act, engine.cases().members(place)) };
        if let (Ok(_), Some(fd)) = (&sent, actor.wake_up()) {
            let _ = self.wait_set.add(fd, Source::Victim);
        }
        self.tell_sent(act, sent, incident)
    }

    /// Looks at what a case is about once more.
    fn case_holds(&mut self, place: usize) -> bool {
        let again = match self.parts.engine.cases().cgroup_of(place) {
            Some(id) => self.sample_again(id),
            None => self.machine_is_ours_still() && self.sample_machine_now(),
        };
        again && self.parts.engine.cases().still_holds(place)
    }

    /// Whether the one victim still lives in the stuck cgroup: somebody may have moved it out, to save it. A guard that may be
    /// throttled opens nothing now.
    fn still_lives_there(&self, act: &Act) -> bool {
        let Whose::Cgroup(limited) = &act.reading.whose else { return true };
        if self.throttleable || act.victim.group.is_some() {
            return true;
        }
        let mut buf = [0; 4096];
        let path = SmallPath::under(act.victim.id.pid, "cgroup");
        let text = self.parts.host.proc.read(path.as_c_str(), &mut buf).ok();
        let home = text.and_then(|text| self.parts.hierarchy.path(text));
        // Gone, or not to be read: the pidfd knows better.
        home.is_none_or(|home| is_within(home, limited.as_bytes()))
    }

    /// Samples a cgroup once more; whether it could be.
    fn sample_again(&mut self, id: u64) -> bool {
        let Some(stirring) = self.breaker.stirring.iter().find(|s| s.key.0 == id) else { return false };
        let Ok(sample) = stirring.files.sample(true, &mut self.faults) else { return false };
        self.parts.engine.cases_mut().sampled(id, &sample).is_some()
    }
}
