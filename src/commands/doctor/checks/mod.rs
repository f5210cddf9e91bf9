//! The checks: each a small pure function over [`Facts`].

mod guards;
mod kernel;
mod limits;
mod memory;
mod oom;
mod services;
mod swap;
mod uncapped;

use serde_json::{Map, Value};

use super::Finding;
use super::facts::Facts;
use crate::observe::parse::Limit;

/// A check with the id of what it finds.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// Stable; listed in docs/doctor.md.
    pub id: &'static str,
    /// Looks, and says what it found.
    pub look: fn(&Facts) -> Vec<Finding>,
}

/// All of them, in the order of the documentation.
pub const ALL: &[Check] = &[
    Check { id: limits::LIVELOCK_BAND, look: limits::livelock_band },
    Check { id: limits::CAP_SWAPS, look: limits::cap_swaps },
    Check { id: limits::CAP_VOID, look: limits::cap_void },
    Check { id: limits::CAPS_EXCEED_MEMORY, look: limits::caps_exceed_memory },
    Check { id: uncapped::USER_UNCAPPED, look: uncapped::user_uncapped },
    Check { id: uncapped::CONTAINER_UNCAPPED, look: uncapped::container_uncapped },
    Check { id: uncapped::MEMORY_NOT_DELEGATED, look: uncapped::memory_not_delegated },
    Check { id: guards::GUARD_OFF, look: guards::guard_off },
    Check { id: guards::GUARD_NOT_ENABLED, look: guards::guard_not_enabled },
    Check { id: guards::GUARD_NOT_LOCKED, look: guards::guard_not_locked },
    Check { id: guards::GUARD_KILLABLE, look: guards::guard_killable },
    Check { id: guards::SECOND_GUARD, look: guards::second_guard },
    Check { id: guards::OOMD_BLIND, look: guards::oomd_blind },
    Check { id: services::WAY_IN_EXPOSED, look: services::way_in_exposed },
    Check { id: services::SERVICE_STAYS_DOWN, look: services::service_stays_down },
    Check { id: services::SERVICE_STOPS_WHOLE, look: services::service_stops_whole },
    Check { id: kernel::PSI_OFF, look: kernel::psi_off },
    Check { id: kernel::CGROUP_V1, look: kernel::cgroup_v1 },
    Check { id: kernel::MEMORY_CONTROLLER_OFF, look: kernel::memory_controller_off },
    Check { id: swap::SWAP_SLOW, look: swap::swap_slow },
    Check { id: swap::ZRAM_OVERSIZED, look: swap::zram_oversized },
    Check { id: swap::ZRAM_AFTER_DISK, look: swap::zram_after_disk },
    Check { id: swap::ZSWAP_AND_ZRAM, look: swap::zswap_and_zram },
    Check { id: swap::SWAPPINESS_ZERO, look: swap::swappiness_zero },
    Check { id: memory::ZFS_ARC_MAX, look: memory::zfs_arc_max },
    Check { id: memory::OVERCOMMIT_LIMIT, look: memory::overcommit_limit },
    Check { id: memory::OVERCOMMIT_ALWAYS, look: memory::overcommit_always },
    Check { id: memory::MIN_FREE_KBYTES, look: memory::min_free_kbytes },
    Check { id: memory::HUGE_PAGES_IDLE, look: memory::huge_pages_idle },
    Check { id: memory::TMPFS_OVERSIZED, look: memory::tmpfs_oversized },
    Check { id: memory::CONTAINER_MEMORY, look: memory::container_memory },
    Check { id: oom::PANIC_ON_OOM, look: oom::panic_on_oom },
    Check { id: oom::OOM_KILL_ALLOCATING_TASK, look: oom::oom_kill_allocating_task },
    Check { id: oom::SYSRQ_OFF, look: oom::sysrq_off },
];

/// So many of a list are named, with their number: enough to see what they have in common.
const MOST_NAMED: usize = 20;

/// What was read, by file or property, for [`Finding::evidence`].
fn evidence<const N: usize>(read: [(&str, Value); N]) -> Map<String, Value> {
    read.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A limit as its file has it: a number of bytes, or `max`; `null` without the file.
fn limit(limit: Option<Limit>) -> Value {
    match limit {
        None => Value::Null,
        Some(Limit::Max) => "max".into(),
        Some(Limit::Bytes(bytes)) => bytes.into(),
    }
}

/// Commands to paste that change this cgroup, for [`Finding::fix`]; as whom, where it is not root.
fn commands(cgroup: &str, commands: &[String]) -> String {
    let mut fix = String::new();
    // What a user's own manager runs is that user's to set.
    if commands.iter().any(|command| command.starts_with("systemctl --user"))
        && let Some(uid) = cgroup.split('/').find_map(|part| part.strip_prefix("user@")?.strip_suffix(".service"))
    {
        fix = format!("As the user with uid {uid}:\n");
    }
    let lines: Vec<String> = commands.iter().map(|command| format!("  {command}")).collect();
    fix + &lines.join("\n")
}

/// How to add to the kernel's command line. `update-grub` is Debian's; who boots otherwise knows how.
fn command_line(what: &str) -> String {
    format!(
        "Add {what} to the kernel's command line: to GRUB_CMDLINE_LINUX in /etc/default/grub, then `update-grub` or \
         `grub2-mkconfig -o /boot/grub2/grub.cfg`, or as your boot loader has it; and reboot."
    )
}

/// The commands that set a kernel parameter, now and at each start. The file's name sorts behind those of distributions.
fn sysctl(name: &str, value: u64) -> String {
    format!("  echo '{name} = {value}' >> /etc/sysctl.d/zz-hogwatch.conf\n  sysctl -p /etc/sysctl.d/zz-hogwatch.conf")
}
