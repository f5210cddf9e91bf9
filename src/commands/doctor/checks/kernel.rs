//! What the kernel was started with: pressure and cgroups.

use super::super::facts::Facts;
use super::super::{Finding, Severity};
use super::evidence;

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
        evidence: evidence([("/proc/pressure/memory", "absent".into())]),
        why: "Stalls are found by pressure: without it no livelock and no thrashing is seen, by nobody.",
        fix: "Add psi=1 to the kernel's command line (GRUB_CMDLINE_LINUX in /etc/default/grub, then update-grub) and reboot."
            .to_owned(),
    };
    vec![finding]
}
