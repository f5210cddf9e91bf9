//! The checks: each a small pure function over [`Facts`].

mod kernel;
mod memory;
mod oom;
mod swap;

use serde_json::{Map, Value};

use super::Finding;
use super::facts::Facts;

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
    Check { id: kernel::PSI_OFF, look: kernel::psi_off },
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

/// What was read, by file or property, for [`Finding::evidence`].
fn evidence<const N: usize>(read: [(&str, Value); N]) -> Map<String, Value> {
    read.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The commands that set a kernel parameter, now and at each start. The file's name sorts behind those of distributions.
fn sysctl(name: &str, value: u64) -> String {
    format!("  echo '{name} = {value}' >> /etc/sysctl.d/zz-hogwatch.conf\n  sysctl -p /etc/sysctl.d/zz-hogwatch.conf")
}
