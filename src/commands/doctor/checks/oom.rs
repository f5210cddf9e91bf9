//! What the kernel does when memory is gone, and what a person at the keyboard can still do.

use super::super::facts::Facts;
use super::super::{Finding, Severity};
use super::{evidence, sysctl};

/// The kernel panics instead of killing.
pub const PANIC_ON_OOM: &str = "panic-on-oom";
/// The kernel kills who asked for memory, not who took it.
pub const OOM_KILL_ALLOCATING_TASK: &str = "oom-kill-allocating-task";
/// A frozen machine can't be restarted cleanly from its keyboard.
pub const SYSRQ_OFF: &str = "sysrq-off";

/// The bits of `kernel.sysrq` that sync (S), remount read-only (U) and reboot (B) need (kernel:
/// Documentation/admin-guide/sysrq.rst). Debian's 438 and Ubuntu's 176 have them all; systemd's 16 has the first.
const SYNC_REMOUNT_REBOOT: u64 = 16 | 32 | 128;

/// Debian's default: all but dumps of processes and signals to them, which would end a screen lock.
const DEBIANS_SYSRQ: u64 = 438;

/// Kernel: Documentation/admin-guide/sysctl/vm.rst, `panic_on_oom`.
pub fn panic_on_oom(facts: &Facts) -> Vec<Finding> {
    let (title, why) = match facts.settings.panic_on_oom {
        Some(1) => (
            "The machine panics when it is out of memory",
            "Instead of killing one process the kernel stops the whole machine. That is for clusters with a fail-over.",
        ),
        Some(value) if value > 1 => (
            "The machine panics when any cgroup is out of memory",
            "A single container at its own limit stops the whole machine, with all its memory free.",
        ),
        _ => return Vec::new(),
    };
    let mut read = evidence([("/proc/sys/vm/panic_on_oom", facts.settings.panic_on_oom.into())]);
    if let Some(timeout) = facts.settings.panic_timeout {
        read.insert("/proc/sys/kernel/panic".to_owned(), timeout.into());
    }
    vec![Finding {
        id: PANIC_ON_OOM,
        severity: Severity::Danger,
        title: title.to_owned(),
        evidence: read,
        why,
        fix: format!(
            "Let the kernel kill a process:\n{}\n\
             In a cluster that wants the panic, see that the machine starts again after it (kernel.panic above 0).",
            sysctl("vm.panic_on_oom", 0)
        ),
    }]
}

/// Kernel: Documentation/admin-guide/sysctl/vm.rst, `oom_kill_allocating_task`.
pub fn oom_kill_allocating_task(facts: &Facts) -> Vec<Finding> {
    let Some(value) = facts.settings.oom_kill_allocating_task.filter(|value| *value != 0) else { return Vec::new() };
    vec![Finding {
        id: OOM_KILL_ALLOCATING_TASK,
        severity: Severity::Warning,
        title: "Out of memory, the kernel kills whoever asks next".to_owned(),
        evidence: evidence([("/proc/sys/vm/oom_kill_allocating_task", value.into())]),
        why: "The kernel's OOM killer takes the process that happened to ask, not the one that holds the memory: one innocent \
              after the other dies, and the hog stays.",
        fix: format!("Let it choose the largest:\n{}", sysctl("vm.oom_kill_allocating_task", 0)),
    }]
}

/// Kernel: Documentation/admin-guide/sysrq.rst. What is written to `/proc/sysrq-trigger` works with any value.
pub fn sysrq_off(facts: &Facts) -> Vec<Finding> {
    let (severity, title) = match facts.settings.sysrq {
        Some(0) => (Severity::Warning, "The SysRq key is off"),
        Some(mask) if mask != 1 && mask & SYNC_REMOUNT_REBOOT != SYNC_REMOUNT_REBOOT => {
            (Severity::Note, "The SysRq key can't restart a frozen machine cleanly")
        }
        _ => return Vec::new(),
    };
    vec![Finding {
        id: SYSRQ_OFF,
        severity,
        title: title.to_owned(),
        evidence: evidence([("/proc/sys/kernel/sysrq", facts.settings.sysrq.into())]),
        why: "When nothing else answers, Alt+SysRq and S, U, B at the keyboard (or a break on the serial console) still write \
              the disks out, make them read-only and reboot. Without, only the power switch is left, and what was not written \
              is lost.",
        fix: format!(
            "438 allows these three, and is Debian's default:\n{}\n\
             502 allows F too, which makes the kernel kill the largest process, but also to end a screen lock.",
            sysctl("kernel.sysrq", DEBIANS_SYSRQ)
        ),
    }]
}

#[cfg(test)]
mod tests {
    use super::super::super::facts::settings::Settings;
    use super::*;

    #[test]
    fn sysrq_is_judged_by_what_it_leaves_to_do() {
        let rows = [
            (Some(0), Some(Severity::Warning)),
            (Some(1), None),
            // systemd's default; Ubuntu's; Debian's; all but reboot.
            (Some(16), Some(Severity::Note)),
            (Some(176), None),
            (Some(438), None),
            (Some(511 - 128), Some(Severity::Note)),
            // Without CONFIG_MAGIC_SYSRQ.
            (None, None),
        ];
        for (sysrq, expected) in rows {
            let facts = Facts { settings: Settings { sysrq, ..Settings::default() }, ..Facts::default() };
            assert_eq!(sysrq_off(&facts).first().map(|finding| finding.severity), expected, "{sysrq:?}");
        }
    }

    #[test]
    fn a_panic_of_either_kind_is_told() {
        for (panic_on_oom, expected) in [
            (None, None),
            (Some(0), None),
            (Some(1), Some("The machine panics when it is out of memory")),
            (Some(2), Some("The machine panics when any cgroup is out of memory")),
        ] {
            let facts = Facts { settings: Settings { panic_on_oom, ..Settings::default() }, ..Facts::default() };
            assert_eq!(super::panic_on_oom(&facts).first().map(|finding| finding.title.as_str()), expected);
        }
    }
}
