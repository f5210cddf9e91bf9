//! How the kernel's memory management is set, and what that makes of the machine's memory.

use crate::observe::parse::{ArcStats, parse_arcstats, parse_limit, parse_zram_mm_stat};

use super::reader::Reader;

/// Settings and sizes, in bytes unless a name says otherwise; `None` where the kernel has no such file.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `vm.overcommit_memory`: 0 heuristic, 1 always, 2 never.
    pub overcommit_memory: Option<u64>,
    /// `CommitLimit` of `/proc/meminfo`: what may be promised to processes with `vm.overcommit_memory=2`.
    pub commit_limit: Option<u64>,
    /// `Committed_AS`: what has been promised.
    pub committed: Option<u64>,
    /// `MemAvailable`.
    pub available: Option<u64>,
    /// `vm.swappiness`, 0 to 200.
    pub swappiness: Option<u64>,
    /// `vm.min_free_kbytes`, in KiB.
    pub min_free_kbytes: Option<u64>,
    /// `vm.panic_on_oom`: 0, 1 or 2.
    pub panic_on_oom: Option<u64>,
    /// `kernel.panic`: seconds until a panicked machine starts again; 0 never, negative at once.
    pub panic_timeout: Option<i64>,
    /// `vm.oom_kill_allocating_task`.
    pub oom_kill_allocating_task: Option<u64>,
    /// `kernel.sysrq`: 0 off, 1 on, else a mask.
    pub sysrq: Option<u64>,
    /// The sizes of ZFS's cache.
    pub arc: Option<ArcStats>,
    /// ZFS's `zfs_arc_max`; 0 is its default.
    pub zfs_arc_max: Option<u64>,
    /// The pools of huge pages, one a size.
    pub huge_pages: Vec<HugePages>,
    /// Each zram device has a limit of its own (`mem_limit`), and there is one.
    pub zram_limited: bool,
    /// What is mounted and kept in memory, and may be written to.
    pub tmpfs: Vec<Tmpfs>,
    /// The limit at the root of the cgroups that can be seen. The machine's own root has none: who sees one is in a
    /// container.
    pub container: Option<ContainerLimit>,
}

/// A pool of huge pages. Kernel: `Documentation/admin-guide/mm/hugetlbpage.rst`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HugePages {
    /// Its directory below `/sys/kernel/mm/hugepages`: `hugepages-2048kB`.
    pub name: String,
    /// The size of a page, in bytes.
    pub size: u64,
    /// `nr_hugepages`: how many there are.
    pub count: u64,
    /// `free_hugepages`: how many nobody uses yet.
    pub free: u64,
    /// `resv_hugepages`: how many of those have been promised to somebody.
    pub reserved: u64,
}

impl HugePages {
    /// Bytes that nobody uses and nobody was promised.
    #[must_use]
    pub fn idle(&self) -> u64 {
        self.free.saturating_sub(self.reserved).saturating_mul(self.size)
    }
}

/// A file system in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tmpfs {
    /// Where it is mounted, escaped as in `/proc/mounts`.
    pub at: String,
    /// How large it may grow.
    pub size: TmpfsSize,
}

/// The `size=` of a tmpfs. Kernel: `Documentation/filesystems/tmpfs.rst`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TmpfsSize {
    /// Not said: half of the memory.
    Half,
    /// So many bytes.
    Bytes(u64),
    /// No limit (`size=0`).
    Unlimited,
}

/// The limit of the container that this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerLimit {
    /// The file it was read from.
    pub file: &'static str,
    /// In bytes.
    pub bytes: u64,
}

impl Settings {
    /// Reads them.
    pub fn read(reader: &mut Reader) -> Self {
        let meminfo = reader.text("/proc/meminfo").unwrap_or_default();
        let mut sysctl = |name: &str| reader.number(&format!("/proc/sys/{name}"));
        Self {
            overcommit_memory: sysctl("vm/overcommit_memory"),
            commit_limit: kilobytes(&meminfo, "CommitLimit"),
            committed: kilobytes(&meminfo, "Committed_AS"),
            available: kilobytes(&meminfo, "MemAvailable"),
            swappiness: sysctl("vm/swappiness"),
            min_free_kbytes: sysctl("vm/min_free_kbytes"),
            panic_on_oom: sysctl("vm/panic_on_oom"),
            oom_kill_allocating_task: sysctl("vm/oom_kill_allocating_task"),
            sysrq: sysctl("kernel/sysrq"),
            panic_timeout: reader.word("/proc/sys/kernel/panic").and_then(|word| word.parse().ok()),
            arc: reader.text("/proc/spl/kstat/zfs/arcstats").and_then(|text| parse_arcstats(text.as_bytes()).ok()),
            zfs_arc_max: reader.number("/sys/module/zfs/parameters/zfs_arc_max"),
            huge_pages: huge_pages(reader),
            zram_limited: zram_limited(reader),
            tmpfs: reader.text("/proc/mounts").unwrap_or_default().lines().filter_map(tmpfs).collect(),
            container: container(reader),
        }
    }
}

/// A line of `/proc/meminfo`, in bytes.
fn kilobytes(meminfo: &str, key: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn huge_pages(reader: &mut Reader) -> Vec<HugePages> {
    const POOLS: &str = "/sys/kernel/mm/hugepages";
    let pool = |reader: &mut Reader, name: String| {
        let kib: u64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
        let mut number = |file: &str| reader.number(&format!("{POOLS}/{name}/{file}"));
        let (count, free, reserved) = (number("nr_hugepages")?, number("free_hugepages")?, number("resv_hugepages")?);
        Some(HugePages { size: kib.checked_mul(1024)?, name, count, free, reserved })
    };
    reader.names(POOLS).into_iter().filter_map(|name| pool(reader, name)).collect()
}

fn zram_limited(reader: &mut Reader) -> bool {
    let devices = reader.names("/sys/block").into_iter().filter(|name| name.starts_with("zram"));
    let limits: Vec<u64> = devices
        .filter_map(|name| reader.text(&format!("/sys/block/{name}/mm_stat")))
        .filter_map(|text| Some(parse_zram_mm_stat(text.as_bytes()).ok()?.mem_limit))
        .collect();
    !limits.is_empty() && limits.iter().all(|limit| *limit > 0)
}

/// A line of `/proc/mounts`: source, place, type, options (`proc_pid_mounts(5)`).
fn tmpfs(line: &str) -> Option<Tmpfs> {
    let mut words = line.split(' ');
    let (at, kind, options) = (words.nth(1)?, words.next()?, words.next()?);
    let mut options = options.split(',');
    if kind != "tmpfs" || options.clone().any(|option| option == "ro") {
        return None;
    }
    let size = match options.find_map(|option| option.strip_prefix("size=")) {
        None => TmpfsSize::Half,
        // The kernel prints it in KiB, whatever it was given in (shmem_show_options in mm/shmem.c).
        Some(size) => match size.strip_suffix('k')?.parse::<u64>().ok()? {
            0 => TmpfsSize::Unlimited,
            kib => TmpfsSize::Bytes(kib.checked_mul(1024)?),
        },
    };
    Some(Tmpfs { at: at.to_owned(), size })
}

fn container(reader: &mut Reader) -> Option<ContainerLimit> {
    const V2: &str = "/sys/fs/cgroup/memory.max";
    const V1: &str = "/sys/fs/cgroup/memory/memory.limit_in_bytes";
    if let Some(text) = reader.text(V2) {
        return Some(ContainerLimit { file: V2, bytes: parse_limit(text.as_bytes()).ok()?.bytes()? });
    }
    // v1 prints a number of 2^63 and a bit for no limit; that is above any machine's memory.
    Some(ContainerLimit { file: V1, bytes: reader.number(V1)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_a_tmpfs() {
        let rows = [
            ("tmpfs /tmp tmpfs rw,nosuid,nodev,nr_inodes=1048576,inode64 0 0", Some(TmpfsSize::Half)),
            ("tmpfs /run tmpfs rw,size=202052k,mode=755 0 0", Some(TmpfsSize::Bytes(202_052 << 10))),
            ("none /mnt tmpfs rw,size=0k 0 0", Some(TmpfsSize::Unlimited)),
            ("tmpfs /run/credentials/x tmpfs ro,size=1024k 0 0", None),
            ("udev /dev devtmpfs rw,size=997944k 0 0", None),
            ("tmpfs /mnt tmpfs rw,size=garbage 0 0", None),
            ("tmpfs /mnt", None),
            ("", None),
        ];
        for (line, expected) in rows {
            assert_eq!(tmpfs(line).map(|mount| mount.size), expected, "{line}");
        }
    }

    #[test]
    fn meminfo_is_read_by_whole_keys() {
        let meminfo = "MemTotal:  100 kB\nCommitLimitX: 1 kB\nCommitLimit: 7 kB\nCommitted_AS: x kB\nMemAvailable: 5\n";
        assert_eq!(kilobytes(meminfo, "CommitLimit"), Some(7 << 10));
        for key in ["Committed_AS", "MemAvailable", "SwapTotal"] {
            assert_eq!(kilobytes(meminfo, key), None, "{key}");
        }
    }
}
