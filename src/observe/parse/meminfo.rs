//! `/proc/meminfo`: the state of the machine's memory.

use super::text::{kilobytes, lines, split_once, unsigned};
use super::{FileKind, Malformed};

/// The values of `/proc/meminfo` that hogwatch uses, in bytes. Meaning: `proc_meminfo(5)` and the kernel's
/// `Documentation/filesystems/proc.rst`.
///
/// All but the total are optional: kernels lack some, containers' emulations of the file lack or garble others, and a
/// caller must not take "not told" for "none" (no `SwapFree` is not "swap is full").
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Meminfo {
    /// Usable memory of the machine.
    pub mem_total: u64,
    /// Memory that nothing uses.
    pub mem_free: Option<u64>,
    /// What could be had without swapping, as the kernel estimates it. Linux ≥ 3.14; see [`Meminfo::available`].
    pub mem_available: Option<u64>,
    /// Raw block device cache.
    pub buffers: Option<u64>,
    /// Page cache, shared memory and tmpfs included.
    pub cached: Option<u64>,
    /// Swapped out, but still in memory too.
    pub swap_cached: Option<u64>,
    /// File pages used lately.
    pub active_file: Option<u64>,
    /// File pages to be reclaimed first.
    pub inactive_file: Option<u64>,
    /// Size of all swap areas; 0 without swap.
    pub swap_total: Option<u64>,
    /// Swap that nothing uses.
    pub swap_free: Option<u64>,
    /// Memory that zswap's compressed pool takes. Linux ≥ 5.19.
    pub zswap: Option<u64>,
    /// What is stored in that pool, before compression. Linux ≥ 5.19.
    pub zswapped: Option<u64>,
    /// Anonymous pages in page tables.
    pub anon_pages: Option<u64>,
    /// Shared memory and tmpfs.
    pub shmem: Option<u64>,
    /// Kernel data structures, both kinds below.
    pub slab: Option<u64>,
    /// The part of slab that could be given back.
    pub s_reclaimable: Option<u64>,
    /// The part of slab that could not.
    pub s_unreclaim: Option<u64>,
    /// Memory that has been promised to processes.
    pub committed_as: Option<u64>,
    /// Reserved huge pages of the default size: a count, not bytes.
    pub huge_pages_total: Option<u64>,
    /// The default size of a huge page.
    pub huge_page_size: Option<u64>,
    /// Reserved huge pages of all sizes. Linux ≥ 4.18; see [`Meminfo::huge_pages`].
    pub hugetlb: Option<u64>,
    /// The first known key whose value could not be read; that value counts as absent. Some emulations of this file
    /// write `18446744073709551612 kB` for a negative number: that must not blind the guard, and must be told.
    pub doubt: Option<Malformed>,
}

impl Meminfo {
    /// Memory that could be had without swapping: MemAvailable, or the estimate for kernels without it. `None` for a
    /// `Meminfo` that has neither, which [`parse_meminfo`] never returns.
    pub fn available(&self) -> Option<u64> {
        self.mem_available.or_else(|| self.estimate())
    }

    /// Whether [`Meminfo::available`] had to be estimated. The estimate is too high: it counts reclaimable what the
    /// kernel would rather keep.
    pub fn available_is_estimated(&self) -> bool {
        self.mem_available.is_none()
    }

    /// Swap in use, in bytes; 0 where the kernel does not tell.
    pub fn swap_used(&self) -> u64 {
        self.swap_total.unwrap_or(0).saturating_sub(self.swap_free.unwrap_or(u64::MAX))
    }

    /// Bytes in reserved huge pages, used or not: nothing else can have them.
    pub fn huge_pages(&self) -> Option<u64> {
        self.hugetlb.or_else(|| self.huge_pages_total?.checked_mul(self.huge_page_size?))
    }

    /// What earlyoom and `free` take for available before Linux 3.14: free memory and page cache, without the part of
    /// the cache that is shared memory. All four are needed: with only some of them the result would be far too low.
    fn estimate(&self) -> Option<u64> {
        let cache = self.cached?.saturating_add(self.buffers?).saturating_sub(self.shmem?);
        Some(self.mem_free?.saturating_add(cache))
    }

    /// Why there is no `name`.
    fn fault_of(&self, name: &'static str) -> Malformed {
        self.doubt.filter(|doubt| doubt.what == name).unwrap_or(FileKind::Meminfo.missing(name))
    }

    /// The field for `key`, with the key's name.
    fn slot(&mut self, key: &[u8]) -> Option<(&'static str, &mut Option<u64>)> {
        Some(match key {
            b"MemFree" => ("MemFree", &mut self.mem_free),
            b"MemAvailable" => ("MemAvailable", &mut self.mem_available),
            b"Buffers" => ("Buffers", &mut self.buffers),
            b"Cached" => ("Cached", &mut self.cached),
            b"SwapCached" => ("SwapCached", &mut self.swap_cached),
            b"Active(file)" => ("Active(file)", &mut self.active_file),
            b"Inactive(file)" => ("Inactive(file)", &mut self.inactive_file),
            b"SwapTotal" => ("SwapTotal", &mut self.swap_total),
            b"SwapFree" => ("SwapFree", &mut self.swap_free),
            b"Zswap" => ("Zswap", &mut self.zswap),
            b"Zswapped" => ("Zswapped", &mut self.zswapped),
            b"AnonPages" => ("AnonPages", &mut self.anon_pages),
            b"Shmem" => ("Shmem", &mut self.shmem),
            b"Slab" => ("Slab", &mut self.slab),
            b"SReclaimable" => ("SReclaimable", &mut self.s_reclaimable),
            b"SUnreclaim" => ("SUnreclaim", &mut self.s_unreclaim),
            b"Committed_AS" => ("Committed_AS", &mut self.committed_as),
            b"HugePages_Total" => (HUGE_PAGES_TOTAL, &mut self.huge_pages_total),
            b"Hugepagesize" => ("Hugepagesize", &mut self.huge_page_size),
            b"Hugetlb" => ("Hugetlb", &mut self.hugetlb),
            _ => return None,
        })
    }
}

/// The one key we read whose value is a count, without a unit.
const HUGE_PAGES_TOTAL: &str = "HugePages_Total";

/// Reads `/proc/meminfo`.
///
/// # Errors
/// When `MemTotal` is absent or unreadable, or when there is nothing to compute available memory from: neither
/// `MemAvailable` nor all of `MemFree`, `Buffers`, `Cached` and `Shmem`. Any other bad value is only noted, in
/// [`Meminfo::doubt`].
pub fn parse_meminfo(bytes: &[u8]) -> Result<Meminfo, Malformed> {
    let mut meminfo = Meminfo::default();
    let mut mem_total = None;
    for line in lines(bytes) {
        let Some((key, value)) = split_once(line, b':') else {
            continue;
        };
        let slot = if key == b"MemTotal" { Some(("MemTotal", &mut mem_total)) } else { meminfo.slot(key) };
        let Some((name, slot @ None)) = slot else {
            continue;
        };
        let number = if name == HUGE_PAGES_TOTAL { unsigned(value.trim_ascii()) } else { kilobytes(value) };
        *slot = number;
        if number.is_none() {
            meminfo.doubt.get_or_insert(FileKind::Meminfo.unreadable(name));
        }
    }
    match (mem_total, meminfo.available()) {
        (Some(mem_total), Some(_)) => Ok(Meminfo { mem_total, ..meminfo }),
        (None, _) => Err(meminfo.fault_of("MemTotal")),
        (Some(_), None) => Err(meminfo.fault_of("MemAvailable")),
    }
}
