//! Where swap lies, and in which order it is used.

use serde_json::{Map, Value};

use super::super::facts::Facts;
use super::super::facts::machine::Swap;
use super::super::facts::media::{Medium, SlowSwap};
use super::super::{Finding, Severity};
use super::{command_line, evidence, sysctl};
use crate::report::Size;

/// Swap on a slow or a network device.
pub const SWAP_SLOW: &str = "swap-slow";
/// More zram than the memory can hold.
pub const ZRAM_OVERSIZED: &str = "zram-oversized";
/// The disk is swapped to before zram.
pub const ZRAM_AFTER_DISK: &str = "zram-after-disk";
/// zswap in front of zram.
pub const ZSWAP_AND_ZRAM: &str = "zswap-and-zram";
/// `vm.swappiness=0` although there is swap.
pub const SWAPPINESS_ZERO: &str = "swappiness-zero";

/// "There is little point creating a zram of greater than twice the size of memory since we expect a 2:1 compression ratio"
/// (kernel: Documentation/admin-guide/blockdev/zram.rst).
const MOST_ZRAM_TIMES: u64 = 2;

/// What zram-generator gives its devices when nothing is said (zram-generator.conf(5), `swap-priority`).
const ZRAM_PRIORITY: i32 = 100;

/// Swap on a hard disk, an SD card, beyond the network, or on a ZFS volume.
pub fn swap_slow(facts: &Facts) -> Vec<Finding> {
    facts.slow_swaps.iter().map(slow).collect()
}

fn slow(swap: &SlowSwap) -> Finding {
    let (severity, on, why) = match swap.medium {
        // A page read back takes some 10 ms, one at a time: a GiB of them half an hour and more.
        Medium::HardDisk => (
            Severity::Warning,
            "a hard disk",
            "A hard disk reads about a hundred scattered pages a second. When memory is short programs wait minutes for what \
             was swapped out, and the machine seems frozen long before it is out of memory.",
        ),
        Medium::SdCard => (
            Severity::Warning,
            "an SD card",
            "SD cards write small blocks slowly and wear out by it. When memory is short the machine seems frozen long before \
             it is out of memory.",
        ),
        Medium::Network => (
            Severity::Warning,
            "the network",
            "Sending a page away takes memory for the packets, at the very time when there is none; and when the network \
             stalls, all that was swapped out stalls, sshd and hogwatch's neighbours too.",
        ),
        // OpenZFS FAQ, "Using a zvol for a swap device on Linux": "for now swap on zvol may lead to deadlock".
        Medium::ZfsVolume => (
            Severity::Danger,
            "a ZFS volume",
            "ZFS needs memory to write. When there is none, swapping waits for ZFS and ZFS for swapping: a deadlock that \
             OpenZFS itself warns of.",
        ),
    };
    let path = &swap.path;
    let (what, read) = &swap.told_by;
    Finding {
        id: SWAP_SLOW,
        severity,
        title: format!("Swap is on {on}: {path}"),
        evidence: evidence([("/proc/swaps", path.as_str().into()), (what, read.as_str().into())]),
        why,
        fix: format!(
            "Put swap on a local SSD or do without it, and take this one away while it is nearly empty:\n  \
             swapoff {path}\n\
             Then delete it from /etc/fstab, or mask its unit (systemctl list-units --type=swap)."
        ),
    }
}

/// zram that is larger than what compression can fit in the memory, without a limit of its own.
pub fn zram_oversized(facts: &Facts) -> Vec<Finding> {
    let Some(total) = facts.machine.total else { return Vec::new() };
    let zram: Vec<&Swap> = swaps(facts).iter().filter(|swap| swap.is_zram()).collect();
    let size: u64 = zram.iter().map(|swap| swap.size).sum();
    if size <= total.saturating_mul(MOST_ZRAM_TIMES) || facts.settings.zram_limited {
        return Vec::new();
    }
    let mut read: Map<String, Value> =
        zram.iter().map(|swap| (format!("/proc/swaps {}", swap.path), swap.size.into())).collect();
    read.insert("/proc/meminfo MemTotal".to_owned(), total.into());
    vec![Finding {
        id: ZRAM_OVERSIZED,
        severity: Severity::Warning,
        title: format!("{} of zram swap on a machine of {}", Size(size), Size(total)),
        evidence: read,
        why: "What is swapped to zram stays in memory, at half of its size or so. This much does not fit: memory fills up with \
              compressed pages, and the machine thrashes while swap still looks free.",
        fix: "Make it as large as the memory at most. With zram-generator, in /etc/systemd/zram-generator.conf:\n  \
              [zram0]\n  \
              zram-size = ram / 2\n\
              Then, while it is nearly empty:\n  \
              systemctl daemon-reload && systemctl restart systemd-zram-setup@zram0.service"
            .to_owned(),
    }]
}

/// The area of the highest priority is filled first (swapon(2)).
pub fn zram_after_disk(facts: &Facts) -> Vec<Finding> {
    let (zram, disk): (Vec<&Swap>, Vec<&Swap>) = swaps(facts).iter().partition(|swap| swap.is_zram());
    let Some(first) = disk.iter().max_by_key(|swap| swap.priority) else { return Vec::new() };
    let late: Vec<&&Swap> = zram.iter().filter(|swap| swap.priority <= first.priority).collect();
    let Some(swap) = late.first() else { return Vec::new() };
    let all = late.iter().copied().chain([first]);
    let read = all.map(|swap| (format!("/proc/swaps {} priority", swap.path), swap.priority.into())).collect();
    let above = ZRAM_PRIORITY.max(first.priority.saturating_add(1));
    let again: String =
        late.iter().map(|swap| format!("\n  swapoff {0} && swapon -p {above} {0}", swap.path)).collect();
    vec![Finding {
        id: ZRAM_AFTER_DISK,
        severity: Severity::Warning,
        title: format!("{} is swapped to before {}", first.path, swap.path),
        evidence: read,
        why: "The area of the highest priority is filled first. The slow one takes what is swapped out, and zram, which is \
              hundreds of times faster, lies idle.",
        fix: format!(
            "Give zram the higher priority. Now, while it is nearly empty:{again}\n\
             And at each start, with zram-generator, in /etc/systemd/zram-generator.conf:\n  \
             [zram0]\n  \
             swap-priority = {above}"
        ),
    }]
}

/// Kernel: Documentation/admin-guide/mm/zswap.rst: a cache in front of swap devices, zram among them.
pub fn zswap_and_zram(facts: &Facts) -> Vec<Finding> {
    let zram = swaps(facts).iter().find(|swap| swap.is_zram());
    let (Some(true), Some(zram)) = (facts.machine.zswap, zram) else { return Vec::new() };
    vec![Finding {
        id: ZSWAP_AND_ZRAM,
        severity: Severity::Warning,
        title: "Pages are compressed twice: by zswap, then by zram".to_owned(),
        evidence: evidence([
            ("/sys/module/zswap/parameters/enabled", "Y".into()),
            ("/proc/swaps", zram.path.as_str().into()),
        ]),
        why: "zswap keeps what is on its way to swap, compressed, in memory. When its pool is full it unpacks pages and \
              swaps them to zram, which packs them again, in memory too: work and memory at the time when both are short. zram's \
              figures show only what passed zswap.",
        fix: format!(
            "Turn zswap off now:\n  \
             echo 0 > /sys/module/zswap/parameters/enabled\n{}",
            command_line("zswap.enabled=0")
        ),
    }]
}

/// Kernel: Documentation/admin-guide/sysctl/vm.rst, `swappiness`.
pub fn swappiness_zero(facts: &Facts) -> Vec<Finding> {
    let (Some(0), Some(first)) = (facts.settings.swappiness, swaps(facts).first()) else { return Vec::new() };
    vec![Finding {
        id: SWAPPINESS_ZERO,
        severity: Severity::Warning,
        title: "Swap is not used until the page cache is gone".to_owned(),
        evidence: evidence([("/proc/sys/vm/swappiness", 0.into()), ("/proc/swaps", first.path.as_str().into())]),
        why: "With 0 the kernel swaps nothing out until free memory and file pages together are nearly used up. Till then it \
              drops file pages, running programs' own code among them, and reads them back again and again: the machine crawls \
              with its swap empty.",
        fix: format!("1 swaps as little as can be without that:\n{}", sysctl("vm.swappiness", 1)),
    }]
}

fn swaps(facts: &Facts) -> &[Swap] {
    facts.machine.swaps.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::super::facts::machine::Machine;
    use super::super::super::facts::settings::Settings;
    use super::*;

    const GIB: u64 = 1 << 30;

    /// Path, size, priority.
    type Area = (&'static str, u64, i32);

    fn facts(swaps: &[Area]) -> Facts {
        let swap = |(path, size, priority): &Area| Swap {
            path: (*path).to_owned(),
            kind: "partition".to_owned(),
            size: *size,
            used: 0,
            priority: *priority,
        };
        let swaps = Some(swaps.iter().map(swap).collect());
        Facts { machine: Machine { total: Some(16 * GIB), swaps, ..Machine::default() }, ..Facts::default() }
    }

    #[test]
    fn zram_comes_first_or_is_told() {
        let rows: [(&[Area], Option<&str>); 6] = [
            (&[("/dev/zram0", GIB, 100), ("/dev/sda2", GIB, -2)], None),
            (&[("/dev/zram0", GIB, 5), ("/dev/sda2", GIB, 10)], Some("swapon -p 100 /dev/zram0")),
            // Equal priorities are used in turns.
            (&[("/dev/zram0", GIB, 100), ("/dev/sda2", GIB, 100)], Some("swapon -p 101 /dev/zram0")),
            (&[("/dev/sda2", GIB, -2), ("/dev/zram0", GIB, -3)], Some("swapon -p 100 /dev/zram0")),
            (&[("/dev/zram0", GIB, -2)], None),
            (&[("/dev/sda2", GIB, -2)], None),
        ];
        for (swaps, expected) in rows {
            let found = zram_after_disk(&facts(swaps));
            assert_eq!(found.len(), usize::from(expected.is_some()), "{swaps:?}");
            if let Some(command) = expected {
                assert!(found[0].fix.contains(command), "{}", found[0].fix);
            }
        }
    }

    #[test]
    fn zram_may_be_twice_the_memory_together() {
        let rows: [(&[Area], usize); 4] = [
            (&[("/dev/zram0", 32 * GIB, 100)], 0),
            (&[("/dev/zram0", 33 * GIB, 100)], 1),
            (&[("/dev/zram0", 20 * GIB, 100), ("/dev/zram1", 20 * GIB, 100)], 1),
            (&[("/dev/sda2", 64 * GIB, -2), ("/dev/zram0", 8 * GIB, 100)], 0),
        ];
        for (swaps, expected) in rows {
            assert_eq!(zram_oversized(&facts(swaps)).len(), expected, "{swaps:?}");
        }
        let limited = Settings { zram_limited: true, ..Settings::default() };
        assert_eq!(zram_oversized(&Facts { settings: limited, ..facts(&[("/dev/zram0", 33 * GIB, 100)]) }), []);
    }

    #[test]
    fn a_swappiness_of_zero_is_nothing_without_swap() {
        for (swaps, swappiness, expected) in
            [(&[("/dev/sda2", GIB, -2)][..], 0, 1), (&[("/dev/sda2", GIB, -2)], 1, 0), (&[], 0, 0)]
        {
            let settings = Settings { swappiness: Some(swappiness), ..Settings::default() };
            assert_eq!(swappiness_zero(&Facts { settings, ..facts(swaps) }).len(), expected, "{swaps:?}");
        }
    }

    #[test]
    fn a_zfs_volume_is_worse_than_a_slow_disk() {
        for (medium, expected) in [
            (Medium::HardDisk, Severity::Warning),
            (Medium::SdCard, Severity::Warning),
            (Medium::Network, Severity::Warning),
            (Medium::ZfsVolume, Severity::Danger),
        ] {
            let swap = SlowSwap { path: "/dev/x".into(), medium, told_by: ("a".into(), "b".into()) };
            let facts = Facts { slow_swaps: vec![swap], ..Facts::default() };
            assert_eq!(swap_slow(&facts).first().map(|finding| finding.severity), Some(expected), "{medium:?}");
        }
    }
}
