//! What keeps memory from those who need it: caches, promises, reserves.

use serde_json::{Map, Value};

use super::super::facts::Facts;
use super::super::facts::settings::TmpfsSize;
use super::super::{Finding, Severity};
use super::{evidence, sysctl};
use crate::report::Size;

/// ZFS's cache may take more than half of the memory.
pub const ZFS_ARC_MAX: &str = "zfs-arc-max";
/// With `vm.overcommit_memory=2`, allocations fail while there is memory.
pub const OVERCOMMIT_LIMIT: &str = "overcommit-limit";
/// `vm.overcommit_memory=1`.
pub const OVERCOMMIT_ALWAYS: &str = "overcommit-always";
/// The kernel's reserve is too small, or too large.
pub const MIN_FREE_KBYTES: &str = "min-free-kbytes";
/// Huge pages that nobody uses.
pub const HUGE_PAGES_IDLE: &str = "huge-pages-idle";
/// A tmpfs that may fill the memory.
pub const TMPFS_OVERSIZED: &str = "tmpfs-oversized";
/// A container that sees the host's memory.
pub const CONTAINER_MEMORY: &str = "container-memory";

/// Until OpenZFS 2.3 the default is half of the memory; a balloon or a memory stick may have changed MemTotal a little
/// since ZFS was loaded. In percent.
const MOST_ARC_PERCENT: u64 = 52;

/// PostgreSQL's manual and others have 80 to 90 % promised at most; the kernel's default is 50 % and swap.
const LEAST_COMMIT_PERCENT: u64 = 75;

/// Promised so much of what may be, in percent, the next large allocation fails.
const MOST_COMMITTED_PERCENT: u64 = 95;

/// "if you set this to lower than 1024KB, your system will become subtly broken, and prone to deadlock under high loads"
/// (kernel: Documentation/admin-guide/sysctl/vm.rst, `min_free_kbytes`).
const LEAST_MIN_FREE_KIB: u64 = 1024;

/// The kernel itself never chooses more (set_recommended_min_free_kbytes in mm/khugepaged.c). In percent.
const MOST_MIN_FREE_PERCENT: u64 = 5;

/// Idle huge pages below this share of the memory, in percent, are a reserve.
const MOST_IDLE_HUGE_PERCENT: u64 = 25;

/// A tmpfs of this share of the memory, in percent, can fill it. The default is 50.
const MOST_TMPFS_PERCENT: u64 = 90;

/// The kubelet mounts each small secret as a tmpfs as large as the node or the pod.
const KUBELET: &str = "/var/lib/kubelet/";

/// OpenZFS: zfs(4), `zfs_arc_max`. Its default was half of the memory, and since 2.3 is all of it but 1 GiB.
pub fn zfs_arc_max(facts: &Facts) -> Vec<Finding> {
    let (Some(arc), Some(total)) = (facts.settings.arc, facts.machine.total) else { return Vec::new() };
    if arc.c_max <= percent(total, MOST_ARC_PERCENT) {
        return Vec::new();
    }
    let mut read = evidence([
        ("/proc/spl/kstat/zfs/arcstats c_max", arc.c_max.into()),
        ("/proc/spl/kstat/zfs/arcstats c_min", arc.c_min.into()),
        ("/proc/spl/kstat/zfs/arcstats size", arc.size.into()),
        (MEM_TOTAL, total.into()),
    ]);
    if let Some(set) = facts.settings.zfs_arc_max {
        read.insert("/sys/module/zfs/parameters/zfs_arc_max".to_owned(), set.into());
    }
    // Whole MiB are easier to read.
    let half = (total / 2) >> 20 << 20;
    vec![Finding {
        id: ZFS_ARC_MAX,
        severity: Severity::Warning,
        title: format!("ZFS may take {} of the machine's {} as its cache", Size(arc.c_max), Size(total)),
        evidence: read,
        why: "ZFS gives its cache back slowly. A burst of allocations meets memory that is full, and MemAvailable never \
              counted that cache, so nobody who goes by it knows how much there really is.",
        fix: format!(
            "Allow it half of the memory, or less: now, and at each start.\n  \
             echo {half} > /sys/module/zfs/parameters/zfs_arc_max\n  \
             echo 'options zfs zfs_arc_max={half}' > /etc/modprobe.d/zfs-arc-max.conf\n  \
             update-initramfs -u\n\
             Where another file in /etc/modprobe.d sets zfs_arc_max, change it there. Without update-initramfs: dracut -f."
        ),
    }]
}

/// Kernel: Documentation/mm/overcommit-accounting.rst.
pub fn overcommit_limit(facts: &Facts) -> Vec<Finding> {
    let settings = &facts.settings;
    let (Some(2), Some(limit), Some(committed), Some(total)) =
        (settings.overcommit_memory, settings.commit_limit, settings.committed, facts.machine.total)
    else {
        return Vec::new();
    };
    // Huge pages are not counted against the limit, nor is it made from them (vm_commit_limit in mm/util.c).
    let huge: u64 = settings.huge_pages.iter().map(|pool| pool.count.saturating_mul(pool.size)).sum();
    let title = if committed >= percent(limit, MOST_COMMITTED_PERCENT) {
        format!("Allocations are about to fail: {} of {} are promised", Size(committed), Size(limit))
    } else if limit < percent(total.saturating_sub(huge), LEAST_COMMIT_PERCENT) {
        format!("Allocations fail when {} are promised, though there are {}", Size(limit), Size(total))
    } else {
        return Vec::new();
    };
    let mut read = evidence([
        ("/proc/sys/vm/overcommit_memory", 2.into()),
        ("/proc/meminfo CommitLimit", limit.into()),
        ("/proc/meminfo Committed_AS", committed.into()),
        (MEM_TOTAL, total.into()),
    ]);
    if let Some(available) = settings.available {
        read.insert("/proc/meminfo MemAvailable".to_owned(), available.into());
    }
    vec![Finding {
        id: OVERCOMMIT_LIMIT,
        severity: Severity::Warning,
        title,
        evidence: read,
        why: "What is promised is mostly never used. At the limit every program's next allocation fails, whoever took the \
              memory: sshd and the shell too, and programs that do not expect it hang or break, with memory still available. \
              Nobody is killed for it, hogwatch sees no shortage.",
        fix: format!(
            "Let the kernel judge, which is its default:\n{}\n\
             Or, where a database asks for 2, allow 90 % of the memory, and set no vm.overcommit_kbytes:\n{}",
            sysctl("vm.overcommit_memory", 0),
            sysctl("vm.overcommit_ratio", 90)
        ),
    }]
}

/// Kernel: Documentation/mm/overcommit-accounting.rst.
pub fn overcommit_always(facts: &Facts) -> Vec<Finding> {
    if facts.settings.overcommit_memory != Some(1) {
        return Vec::new();
    }
    vec![Finding {
        id: OVERCOMMIT_ALWAYS,
        severity: Severity::Note,
        title: "No allocation is ever refused".to_owned(),
        evidence: evidence([("/proc/sys/vm/overcommit_memory", 1.into())]),
        why: "Redis and Kubernetes ask for this. Elsewhere a program that asks for more than the machine has is not told so: \
              it is killed when it uses it.",
        fix: format!(
            "Where neither Redis nor a kubelet runs, let the kernel judge:\n{}",
            sysctl("vm.overcommit_memory", 0)
        ),
    }]
}

/// Kernel: Documentation/admin-guide/sysctl/vm.rst, `min_free_kbytes`.
pub fn min_free_kbytes(facts: &Facts) -> Vec<Finding> {
    let (Some(kib), Some(total)) = (facts.settings.min_free_kbytes, facts.machine.total) else { return Vec::new() };
    let most = percent(total, MOST_MIN_FREE_PERCENT) / 1024;
    let (severity, title, why) = if kib < LEAST_MIN_FREE_KIB {
        let title = format!("The kernel keeps only {kib} KiB for itself");
        let why =
            "The kernel needs memory to free memory. With less than 1024 KiB it may deadlock when memory is short.";
        (Severity::Danger, title, why)
    } else if kib > most {
        let title = format!("The kernel keeps {} of {} free", Size(kib.saturating_mul(1024)), Size(total));
        let why = "Programs can't have that memory, and MemAvailable does not count it: shortage, swapping and kills begin \
                   while memory lies free. Set much too high it is out of memory at once.";
        (Severity::Warning, title, why)
    } else {
        return Vec::new();
    };
    // What the kernel would choose: 4 * sqrt(KiB), 128 KiB to 256 MiB (calculate_min_free_kbytes in mm/page_alloc.c), and at
    // least what keeps huge pages to be had, some 44 MiB on common machines. Room for both.
    let chosen = (4 * (total / 1024).isqrt()).max(45056).min(most).max(LEAST_MIN_FREE_KIB);
    vec![Finding {
        id: MIN_FREE_KBYTES,
        severity,
        title,
        evidence: evidence([("/proc/sys/vm/min_free_kbytes", kib.into()), (MEM_TOTAL, total.into())]),
        why,
        fix: format!(
            "Delete the setting from /etc/sysctl.conf or /etc/sysctl.d and reboot: the kernel chooses well. Until then:\n  \
             sysctl -w vm.min_free_kbytes={chosen}"
        ),
    }]
}

/// Kernel: Documentation/admin-guide/mm/hugetlbpage.rst.
pub fn huge_pages_idle(facts: &Facts) -> Vec<Finding> {
    let Some(total) = facts.machine.total else { return Vec::new() };
    let pools = &facts.settings.huge_pages;
    let idle: u64 = pools.iter().map(|pool| pool.idle()).sum();
    if idle < percent(total, MOST_IDLE_HUGE_PERCENT) {
        return Vec::new();
    }
    let mut read = evidence([(MEM_TOTAL, total.into())]);
    let mut fix = "While the program runs that they are for, keep those that are in use or promised:".to_owned();
    for pool in pools.iter().filter(|pool| pool.idle() > 0) {
        let at = format!("/sys/kernel/mm/hugepages/{}", pool.name);
        read.insert(format!("{at}/nr_hugepages"), pool.count.into());
        read.insert(format!("{at}/free_hugepages"), pool.free.into());
        read.insert(format!("{at}/resv_hugepages"), pool.reserved.into());
        let kept = pool.count.saturating_sub(pool.free.saturating_sub(pool.reserved));
        fix.push_str(&format!("\n  echo {kept} > {at}/nr_hugepages"));
    }
    fix.push_str(
        "\nSet the same number where they are reserved at the start: on the kernel's command line (hugepages=), or in \
         /etc/sysctl.d (vm.nr_hugepages).",
    );
    vec![Finding {
        id: HUGE_PAGES_IDLE,
        severity: Severity::Warning,
        title: format!("{} of {} lie in huge pages that nobody uses", Size(idle), Size(total)),
        evidence: read,
        why: "Nothing else can have reserved huge pages, and they are never swapped or given back: the machine is that much \
              smaller, and no kill helps.",
        fix,
    }]
}

/// "If you oversize your tmpfs instances the machine will deadlock since the OOM handler will not be able to free that
/// memory" (kernel: Documentation/filesystems/tmpfs.rst).
pub fn tmpfs_oversized(facts: &Facts) -> Vec<Finding> {
    let Some(total) = facts.machine.total else { return Vec::new() };
    // In a container shares are of the host's memory, whatever its own `/proc/meminfo` says (lxcfs), and what is in a tmpfs
    // counts as the container's.
    if facts.settings.container.as_ref().is_some_and(|limit| limit.bytes <= total) {
        return Vec::new();
    }
    let most = percent(total, MOST_TMPFS_PERCENT);
    let (mut read, mut fix) = (Map::new(), "Half of the memory, which is the default:".to_owned());
    for mount in facts.settings.tmpfs.iter().filter(|mount| !mount.at.starts_with(KUBELET)) {
        let size = match mount.size {
            TmpfsSize::Bytes(bytes) if bytes > most => Value::from(bytes),
            TmpfsSize::Unlimited => "no limit".into(),
            TmpfsSize::Bytes(_) | TmpfsSize::Half => continue,
        };
        // The same place is there twice when it was mounted over.
        if read.insert(format!("{} size", mount.at), size).is_none() {
            fix.push_str(&format!("\n  mount -o remount,size=50% {}", mount.at));
        }
    }
    let Some(first) = read.keys().next() else { return Vec::new() };
    let title = match read.len() {
        1 => format!("{} may fill the memory", first.trim_end_matches(" size")),
        more => format!("{more} file systems may each fill the memory"),
    };
    fix.push_str("\nAnd in /etc/fstab, in the mount's unit, or where the container is started.");
    read.insert(MEM_TOTAL.to_owned(), total.into());
    vec![Finding {
        id: TMPFS_OVERSIZED,
        severity: Severity::Warning,
        title,
        evidence: read,
        why: "Files in a tmpfs are memory that belongs to no process: whoever fills it up runs the machine out of memory, and \
              no kill gives it back.",
        fix,
    }]
}

/// Kernel: Documentation/admin-guide/cgroup-v2.rst: `memory.max` "exists on non-root cgroups". Nothing of `/proc/meminfo`
/// knows of cgroups, but for lxcfs's, whose MemTotal is the limit.
pub fn container_memory(facts: &Facts) -> Vec<Finding> {
    let (Some(limit), Some(total)) = (&facts.settings.container, facts.machine.total) else { return Vec::new() };
    if limit.bytes >= total {
        return Vec::new();
    }
    vec![Finding {
        id: CONTAINER_MEMORY,
        severity: Severity::Note,
        title: format!("This container may have {}, but sees the host's {}", Size(limit.bytes), Size(total)),
        evidence: evidence([(limit.file, limit.bytes.into()), (MEM_TOTAL, total.into())]),
        why: "free, top and every program that goes by /proc/meminfo tell of the host's memory: \"available\" looks fine until \
              the container is killed at its own limit. hogwatch goes by the scarcer of the two.",
        fix: "Nothing for hogwatch, unless memory.scope = \"host\" is set. For the others, on the host: install lxcfs, and start \
              the container with its files, for Docker and podman:\n  \
              -v /var/lib/lxcfs/proc/meminfo:/proc/meminfo:ro"
            .to_owned(),
    }]
}

const MEM_TOTAL: &str = "/proc/meminfo MemTotal";

fn percent(of: u64, percent: u64) -> u64 {
    of / 100 * percent
}

#[cfg(test)]
mod tests {
    use super::super::super::facts::machine::Machine;
    use super::super::super::facts::settings::{ContainerLimit, HugePages, Settings, Tmpfs};
    use super::*;

    const GIB: u64 = 1 << 30;

    fn facts(total: u64, settings: Settings) -> Facts {
        Facts { machine: Machine { total: Some(total), ..Machine::default() }, settings, ..Facts::default() }
    }

    fn title(found: &[Finding]) -> &str {
        found.first().map_or("", |finding| &finding.title)
    }

    #[test]
    fn strict_overcommit_is_judged_by_what_it_leaves() {
        let rows = [
            (2, 15 * GIB, 4 * GIB, ""),
            (2, 8 * GIB, 4 * GIB, "Allocations fail when 8.0 GiB are promised, though there are 16.0 GiB"),
            (2, 24 * GIB, 23 * GIB, "Allocations are about to fail: 23.0 GiB of 24.0 GiB are promised"),
            // The limit is there to be read in the other modes too, and means nothing.
            (0, 8 * GIB, 9 * GIB, ""),
            (1, 8 * GIB, 9 * GIB, ""),
        ];
        for (mode, limit, committed, expected) in rows {
            let settings = Settings {
                overcommit_memory: Some(mode),
                commit_limit: Some(limit),
                committed: Some(committed),
                ..Settings::default()
            };
            assert_eq!(title(&overcommit_limit(&facts(16 * GIB, settings))), expected);
        }
    }

    #[test]
    fn huge_pages_are_no_part_of_what_may_be_promised() {
        let pool = HugePages { name: "hugepages-1048576kB".into(), size: GIB, count: 8, free: 0, reserved: 0 };
        let settings = Settings {
            overcommit_memory: Some(2),
            commit_limit: Some(7 * GIB),
            committed: Some(GIB),
            huge_pages: vec![pool],
            ..Settings::default()
        };
        assert_eq!(overcommit_limit(&facts(16 * GIB, settings)), []);
    }

    #[test]
    fn the_kernels_reserve_has_two_bounds() {
        let rows = [
            (1023, Some(Severity::Danger)),
            (1024, None),
            (67_584, None),
            // The kernel's own cap.
            (16 * GIB / 20 / 1024, None),
            (16 * GIB / 20 / 1024 + 1024, Some(Severity::Warning)),
        ];
        for (kib, expected) in rows {
            let settings = Settings { min_free_kbytes: Some(kib), ..Settings::default() };
            let found = min_free_kbytes(&facts(16 * GIB, settings));
            assert_eq!(found.first().map(|finding| finding.severity), expected, "{kib}");
        }
    }

    #[test]
    fn promised_huge_pages_are_not_idle() {
        let rows = [(4, 0, true), (4, 1, false), (3, 0, false), (0, 0, false), (2, 4, false)];
        for (free, reserved, expected) in rows {
            let pool = HugePages { name: "hugepages-1048576kB".into(), size: GIB, count: 8, free, reserved };
            let settings = Settings { huge_pages: vec![pool], ..Settings::default() };
            let found = huge_pages_idle(&facts(16 * GIB, settings));
            assert_eq!(!found.is_empty(), expected, "{free} {reserved}");
            // What is in use or promised stays, for the program's next start too.
            let kept = format!("  echo {} > /sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages\n", 8 - free);
            assert!(found.iter().all(|finding| finding.fix.contains(&kept)), "{found:?}");
        }
    }

    #[test]
    fn each_tmpfs_is_named_once() {
        let mount = |at: &str, size| Tmpfs { at: at.to_owned(), size };
        let tmpfs = vec![
            mount("/tmp", TmpfsSize::Half),
            mount("/dev/shm", TmpfsSize::Bytes(16 * GIB)),
            mount("/dev/shm", TmpfsSize::Bytes(16 * GIB)),
            mount("/var/lib/kubelet/pods/1/volumes/token", TmpfsSize::Bytes(16 * GIB)),
            mount("/run", TmpfsSize::Bytes(3 * GIB)),
        ];
        let settings = Settings { tmpfs: tmpfs.clone(), ..Settings::default() };
        let found = tmpfs_oversized(&facts(16 * GIB, settings));
        assert_eq!(title(&found), "/dev/shm may fill the memory");
        assert_eq!(found[0].fix.matches("remount").count(), 1);

        let settings =
            Settings { tmpfs: [tmpfs, vec![mount("/scratch", TmpfsSize::Unlimited)]].concat(), ..Settings::default() };
        assert_eq!(title(&tmpfs_oversized(&facts(16 * GIB, settings))), "2 file systems may each fill the memory");
    }

    #[test]
    fn a_limit_above_the_memory_is_none() {
        for (bytes, expected) in [(2 * GIB, 1), (16 * GIB, 0), (9_223_372_036_854_771_712, 0)] {
            let container = Some(ContainerLimit { file: "/sys/fs/cgroup/memory.max", bytes });
            let settings = Settings { container, ..Settings::default() };
            assert_eq!(container_memory(&facts(16 * GIB, settings)).len(), expected, "{bytes}");
        }
    }

    #[test]
    fn what_could_not_be_read_is_no_finding() {
        for check in [
            zfs_arc_max,
            overcommit_limit,
            overcommit_always,
            min_free_kbytes,
            huge_pages_idle,
            tmpfs_oversized,
            container_memory,
        ] {
            assert_eq!(check(&Facts::default()), []);
        }
    }
}
