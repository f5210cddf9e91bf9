//! What the guard leaves for whoever asks for the status.

use crate::decide::measure::{Reading, Whose};
use crate::observe::{Enclosing, Machine};
use crate::report::Text;
use crate::report::status::{CgroupState, Limits, SNAPSHOT_CGROUPS, Scope, Snapshot};

/// The guard's present view.
#[must_use]
pub fn snapshot(reading: &Reading, machine: &Machine, enclosing: &[Enclosing]) -> Snapshot {
    let avg10 = |centi: u32| f64::from(centi) / 100.0;
    let mut cgroups = [None; SNAPSHOT_CGROUPS];
    for (slot, cgroup) in cgroups.iter_mut().zip(enclosing) {
        *slot = Some(CgroupState {
            path: Text::from_bytes(cgroup.path.as_bytes()),
            current: cgroup.current,
            high: None,
            max: Some(cgroup.limit),
            stall_percent: None,
            state: None,
        });
    }
    Snapshot {
        memory_total: reading.total,
        memory_available: reading.available,
        available_percent: reading.available_percent(),
        scope: match reading.whose {
            Whose::Machine => Scope::Host,
            Whose::Cgroup(_) => Scope::Cgroup,
        },
        limits: Limits { warn: reading.warn, term: reading.term, kill: reading.kill },
        swap_total: reading.swap_total,
        swap_free: reading.swap_free,
        psi_some_avg10: machine.pressure.map(|p| avg10(p.some.avg10_centi)),
        psi_full_avg10: machine.pressure.and_then(|p| p.full).map(|full| avg10(full.avg10_centi)),
        cgroups,
    }
}
