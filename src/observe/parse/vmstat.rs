//! `/proc/vmstat`: what the machine's reclaim has done since boot.

use super::keyed::{self, keyed_struct};
use super::{FileKind, Malformed};

keyed_struct! {
    /// Counts of pages (or events) since boot. Absent in kernels that do not count them: before Linux 4.8 `pgscan_*`
    /// and `pgsteal_*` are counted by zone, under other names. Linux < 5.9 counted refaults, activations and restores
    /// of file pages only, under names without `_file`; they are in the `_file` fields here.
    pub struct Vmstat {
        /// Pages read from swap.
        b"pswpin" => pswpin,
        /// Pages written to swap.
        b"pswpout" => pswpout,
        /// Faults that needed a disk.
        b"pgmajfault" => pgmajfault,
        /// Pages scanned by the background reclaim.
        b"pgscan_kswapd" => pgscan_kswapd,
        /// Pages scanned by tasks that needed memory at once.
        b"pgscan_direct" => pgscan_direct,
        /// Anonymous pages scanned, for a cgroup's limit too: the counts by cause above leave that out.
        b"pgscan_anon" => pgscan_anon,
        /// File pages scanned, for a cgroup's limit too.
        b"pgscan_file" => pgscan_file,
        /// Pages reclaimed in the background.
        b"pgsteal_kswapd" => pgsteal_kswapd,
        /// Pages reclaimed by tasks that needed memory at once.
        b"pgsteal_direct" => pgsteal_direct,
        /// Anonymous pages reclaimed, for a cgroup's limit too.
        b"pgsteal_anon" => pgsteal_anon,
        /// File pages reclaimed, for a cgroup's limit too.
        b"pgsteal_file" => pgsteal_file,
        /// Processes killed by the kernel's OOM killer, cgroups' limits included. Linux ≥ 4.13.
        b"oom_kill" => oom_kill,
        /// Anonymous pages read back soon after they were reclaimed.
        b"workingset_refault_anon" => workingset_refault_anon,
        /// File pages read back soon after they were reclaimed.
        b"workingset_refault_file" | b"workingset_refault" => workingset_refault_file,
        /// Refaulted anonymous pages made active at once.
        b"workingset_activate_anon" => workingset_activate_anon,
        /// Refaulted file pages made active at once.
        b"workingset_activate_file" | b"workingset_activate" => workingset_activate_file,
        /// Refaulted anonymous pages that had been active before.
        b"workingset_restore_anon" => workingset_restore_anon,
        /// Refaulted file pages that had been active before: the working set does not fit.
        b"workingset_restore_file" | b"workingset_restore" => workingset_restore_file,
    }
}

/// Reads `/proc/vmstat`.
///
/// # Errors
/// When a known value is unreadable, or no known key is there at all.
pub fn parse_vmstat(bytes: &[u8]) -> Result<Vmstat, Malformed> {
    keyed::parse(FileKind::Vmstat, bytes)
}
