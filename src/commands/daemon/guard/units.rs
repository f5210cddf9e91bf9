//! The guard's side of what systemd will do with a victim's unit.

use std::time::Duration;

use crate::host::clock;
use crate::observe::scan::Scanner;
use crate::observe::{CgroupPath, Task, Tasks};

use super::super::units::{UNITS, Wanted};
use super::Guard;
use super::timers::due;

/// Between two questions about cgroups that stall: the answer is wanted before the detector's window is over.
const ASK_OF_STUCK: Duration = Duration::from_secs(3);

/// What was asked.
#[derive(Default)]
pub(super) struct Units {
    asked_of_stuck: Option<Duration>,
}

impl Guard {
    /// Has systemd asked for the units of the largest tasks of the last scan.
    pub(super) fn ask_of_largest(&mut self) {
        let wanted = cgroups_of_largest(&mut self.scanner, |_, _| true);
        self.ask_for_units(&wanted);
    }

    /// The same for cgroups that stall.
    pub(super) fn ask_of_stuck(&mut self, path: &CgroupPath) {
        if due(&mut self.units.asked_of_stuck, clock::now(), ASK_OF_STUCK) {
            let mut wanted = [None; UNITS];
            wanted[0] = Some(*path);
            self.ask_for_units(&wanted);
        }
    }

    pub(super) fn ask_for_units(&self, wanted: &Wanted) {
        if let Some(clerk) = self.link.as_ref().and_then(|link| link.clerk.as_ref()) {
            clerk.ask_for_units(wanted);
        }
    }
}

/// Where the largest tasks of the last scan live. Allocates nothing.
pub(super) fn cgroups_of_largest(scanner: &mut Scanner, of: impl Fn(&Tasks, &Task) -> bool) -> Wanted {
    let mut largest = [None; UNITS];
    for (slot, task) in largest.iter_mut().zip(scanner.largest(of)) {
        *slot = Some(*task);
    }
    let tasks = scanner.tasks();
    largest.map(|task| task.and_then(|task| CgroupPath::new(tasks.cgroup_path(&task)?)))
}
