//! Parsers and readers: they fill an [`Observation`] for the decide room.
//!
//! Three rules hold everywhere here. A process or cgroup that vanished is skipped. A field that may not be read is absent
//! (`None`). A file that makes no sense is counted in [`Faults`] and skipped. None of them ends the daemon.

pub mod cgroup_files;
pub mod cgroups;
pub mod details;
pub mod kmsg;
pub mod limits;
pub mod machine;
pub mod parse;
pub mod pressure;
pub mod roster;
pub mod scan;
pub mod survey;
pub mod tasks;
pub mod tops;
pub mod zram;

pub use cgroups::{CgroupId, CgroupPath, Cgroups, Preference};
pub use limits::Enclosing;
pub use machine::Machine;
pub use parse::Comm;
pub use tasks::{Depth, Need, Small, Task, TaskId, Tasks};

/// What the engine is shown at one step.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// The machine's memory, always fresh.
    pub machine: &'a Machine,
    /// The limits of enclosing cgroups, nearest first, always fresh.
    pub enclosing: &'a [Enclosing],
    /// Whether the victim at work has exited. Meaningless without one.
    pub victim_exited: bool,
    /// The processes, when the engine asked for them in its last decision.
    pub tasks: Option<&'a Tasks>,
    /// Command lines and executables of the largest ones, as far as they were read beforehand.
    pub details: Option<&'a details::Details>,
}

/// What could not be read, counted since start. The daemon reports changes of these once in a while.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Files whose content made no sense.
    pub malformed: u64,
    /// The last of them.
    pub last: Option<parse::Malformed>,
    /// Reads refused with `EACCES` or `EPERM`.
    pub denied: u64,
    /// Any other failed read of something that still exists.
    pub failed: u64,
    /// Scans that found more tasks than the table holds.
    pub overflowed: u64,
}

impl Faults {
    /// Counts a malformed file.
    pub fn malformed(&mut self, what: parse::Malformed) {
        self.malformed += 1;
        self.last = Some(what);
    }

    /// Counts a failed read, unless the thing is merely gone.
    pub fn failed(&mut self, error: &std::io::Error) {
        match error.raw_os_error() {
            _ if Self::is_gone(error) => {}
            Some(libc::EACCES | libc::EPERM) => self.denied += 1,
            _ => self.failed += 1,
        }
    }

    /// Whether a failed read means that the process or cgroup is gone, which is no fault.
    #[must_use]
    pub fn is_gone(error: &std::io::Error) -> bool {
        matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH | libc::ENODEV))
    }
}
