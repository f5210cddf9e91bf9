//! The guard's look at the machine as a whole: does it thrash its swap?

use std::time::Duration;

use crate::decide::livelock::{MachineDetector, MachineSample};
use crate::host::clock;

use super::Guard;

/// Between two samples of a machine whose memory is full and swapped out in part: short against any window, and three
/// small files.
const EVERY: Duration = Duration::from_secs(1);

impl Guard {
    /// Samples the machine if that can find anything and is due. Whether it did.
    pub(super) fn sample_machine(&mut self) -> bool {
        let info = &self.last.meminfo;
        let worth = MachineDetector::is_worth_sampling(info.available().unwrap_or(0), info.mem_total, info.swap_used());
        let ours = self.parts.engine.gauge().machine_is_ours && self.parts.plan.livelock().enabled;
        if !ours || !(worth || self.parts.engine.cases().machine_is_open()) {
            self.breaker.machine_due = None;
            return false;
        }
        let now = clock::now();
        if self.breaker.machine_due.is_some_and(|due| due > now) {
            return false;
        }
        self.breaker.machine_due = Some(now + EVERY);
        self.sample_machine_now()
    }

    /// Samples the machine. Whether it could be read.
    pub(super) fn sample_machine_now(&mut self) -> bool {
        let Some(reclaim) = self.parts.machine.reclaim(&mut self.faults) else { return false };
        let Ok(machine) = self.parts.machine.read(&mut self.faults) else { return false };
        let reading = self.parts.engine.gauge().machine(&machine);
        let Some(sample) = MachineSample::of(&reclaim, &machine.meminfo, reading.available) else { return false };
        self.parts.engine.cases_mut().machine_sampled(&sample, reading.term, reading.swap_term);
        true
    }
}
