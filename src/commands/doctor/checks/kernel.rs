//! What the kernel was started with: pressure and cgroups.

use super::super::facts::Facts;
use super::super::facts::cgroups::Hierarchy;
use super::super::{Finding, Severity};
use super::{command_line, evidence};

/// Without pressure nobody sees a stall.
pub const PSI_OFF: &str = "psi-off";

/// The kernel measures no pressure.
pub fn psi_off(facts: &Facts) -> Vec<Finding> {
    if facts.machine.pressure {
        return Vec::new();
    }
    let finding = Finding {
        id: PSI_OFF,
        severity: Severity::Warning,
        title: "The kernel does not measure memory pressure (PSI)".to_owned(),
        evidence: evidence([("/proc/pressure/memory", "can't be read".into())]),
        why: "Stalls are told by pressure. Without it nobody sees a livelock, and thrashing is found late.",
        fix: command_line("psi=1 (and no psi=0)"),
    };
    vec![finding]
}

/// Without cgroup v2 there is neither `memory.high` nor pressure of a cgroup.
pub const CGROUP_V1: &str = "cgroup-v1";

/// Memory is accounted in v1 hierarchies.
pub fn cgroup_v1(facts: &Facts) -> Vec<Finding> {
    let Some(tree) = &facts.cgroups else { return Vec::new() };
    let found = match tree.hierarchy {
        Hierarchy::V2 => return Vec::new(),
        Hierarchy::Hybrid => "hybrid",
        Hierarchy::V1 => "v1",
    };
    let finding = Finding {
        id: CGROUP_V1,
        severity: Severity::Warning,
        title: format!("Cgroups are {found}, not v2"),
        evidence: evidence([("/sys/fs/cgroup", found.into())]),
        why: "Cgroup v1 does not tell how long a cgroup's tasks stall, and systemd and container engines are dropping it: \
              neither livelocks nor thrashing below a limit are seen.",
        fix: format!("{} In a container it is the host's setting.", command_line("systemd.unified_cgroup_hierarchy=1")),
    };
    vec![finding]
}

/// Limits that limit nothing.
pub const MEMORY_CONTROLLER_OFF: &str = "memory-controller-off";

/// cgroup v2 without its memory controller.
pub fn memory_controller_off(facts: &Facts) -> Vec<Finding> {
    let root = facts.cgroups.as_ref().and_then(|tree| tree.group("/"));
    if root.is_none_or(|root| root.has_memory) {
        return Vec::new();
    }
    let finding = Finding {
        id: MEMORY_CONTROLLER_OFF,
        severity: Severity::Warning,
        title: "Cgroups do not limit memory: the controller is off".to_owned(),
        evidence: evidence([("/sys/fs/cgroup/cgroup.controllers", "without memory".into())]),
        why: "MemoryMax= and container limits are silently none.",
        fix: format!(
            "{} In a container it is the host's to delegate.",
            command_line("cgroup_enable=memory (and no cgroup_disable=memory)")
        ),
    };
    vec![finding]
}
