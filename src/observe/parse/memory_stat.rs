//! A cgroup's `memory.events` and `memory.stat`. Kernel: `Documentation/admin-guide/cgroup-v2.rst` and `cgroup-v1/memory.rst`.

use super::keyed::{self, keyed_struct};
use super::{FileKind, Malformed};

keyed_struct! {
    /// Counts of `memory.events` (the cgroup and all below it) or `memory.events.local` (its own alone, Linux ≥ 5.2).
    pub struct MemoryEvents {
        /// Reclaimed although below `memory.low`.
        b"low" => low,
        /// Throttled and reclaimed above `memory.high`.
        b"high" => high,
        /// About to exceed `memory.max`.
        b"max" => max,
        /// At the limit with nothing reclaimable: the kernel's OOM killer was considered.
        b"oom" => oom,
        /// Processes killed by the kernel's OOM killer, whatever limit caused it.
        b"oom_kill" => oom_kill,
        /// Kills of a whole cgroup by `memory.oom.group`. Linux ≥ 5.17.
        b"oom_group_kill" => oom_group_kill,
    }
}

keyed_struct! {
    /// What `memory.stat` of cgroup v2 tells: bytes, and counts of pages since the cgroup was made.
    ///
    /// Linux < 5.9 counted refaults, activations and restores of file pages only, under names without `_file`; they
    /// are in the `_file` fields here.
    pub struct MemoryStat {
        /// Anonymous memory, in bytes.
        b"anon" => anon,
        /// Page cache, tmpfs and shared memory included, in bytes.
        b"file" => file,
        /// tmpfs and shared memory, in bytes.
        b"shmem" => shmem,
        /// Anonymous memory to be reclaimed first, in bytes.
        b"inactive_anon" => inactive_anon,
        /// Anonymous memory used lately, in bytes.
        b"active_anon" => active_anon,
        /// File pages to be reclaimed first, in bytes.
        b"inactive_file" => inactive_file,
        /// File pages used lately, in bytes.
        b"active_file" => active_file,
        /// Memory that cannot be reclaimed (locked), in bytes.
        b"unevictable" => unevictable,
        /// Kernel structures that could be given back, in bytes.
        b"slab_reclaimable" => slab_reclaimable,
        /// Kernel structures that could not, in bytes.
        b"slab_unreclaimable" => slab_unreclaimable,
        /// Pages scanned by reclaim.
        b"pgscan" => pgscan,
        /// Pages reclaimed.
        b"pgsteal" => pgsteal,
        /// Faults that needed a disk.
        b"pgmajfault" => pgmajfault,
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

keyed_struct! {
    /// What `memory.stat` of cgroup v1 tells about a cgroup and all below it, in bytes.
    pub struct MemoryStatV1 {
        /// The lowest limit from here up to the root; "no limit" is a huge number, as in `memory.limit_in_bytes`.
        b"hierarchical_memory_limit" => hierarchical_memory_limit,
        /// The same for memory and swap together; absent when swap is not accounted.
        b"hierarchical_memsw_limit" => hierarchical_memsw_limit,
        /// Page cache, shared memory and tmpfs included.
        b"total_cache" => total_cache,
        /// Anonymous memory (and swap cache), without shared memory.
        b"total_rss" => total_rss,
        /// Shared memory and tmpfs.
        b"total_shmem" => total_shmem,
        /// Swapped out; absent when swap is not accounted.
        b"total_swap" => total_swap,
        /// File pages to be reclaimed first.
        b"total_inactive_file" => total_inactive_file,
        /// File pages used lately.
        b"total_active_file" => total_active_file,
    }
}

impl MemoryStat {
    /// Page cache that reclaim can give back, in bytes: on the LRU lists of files, where tmpfs is not. What is not told counts as
    /// none.
    #[must_use]
    pub fn cache(&self) -> u64 {
        self.inactive_file.unwrap_or(0).saturating_add(self.active_file.unwrap_or(0))
    }

    /// What a cap can't take away without killing, in bytes: `memory.current` without page cache, and `memory.swap.current`, for
    /// what is in swap comes back when it is touched.
    #[must_use]
    pub fn held(&self, current: u64, swap: u64) -> u64 {
        current.saturating_sub(self.cache()).saturating_add(swap)
    }
}

/// Reads `memory.events` or `memory.events.local`.
///
/// # Errors
/// When a known value is unreadable, or no known key is there at all.
pub fn parse_memory_events(bytes: &[u8]) -> Result<MemoryEvents, Malformed> {
    keyed::parse(FileKind::MemoryEvents, bytes)
}

/// Reads `memory.stat` of cgroup v2.
///
/// # Errors
/// When a known value is unreadable, or no known key is there at all.
pub fn parse_memory_stat(bytes: &[u8]) -> Result<MemoryStat, Malformed> {
    keyed::parse(FileKind::MemoryStat, bytes)
}

/// Reads `memory.stat` of cgroup v1.
///
/// # Errors
/// When a known value is unreadable, or no known key is there at all.
pub fn parse_memory_stat_v1(bytes: &[u8]) -> Result<MemoryStatV1, Malformed> {
    keyed::parse(FileKind::MemoryStat, bytes)
}
