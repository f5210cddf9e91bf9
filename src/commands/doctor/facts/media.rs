//! Where swap areas lie: what is below a swap device, or below the file system of a swap file.

use super::machine::Swap;
use super::reader::Reader;

/// A swap area whose store is slow, or worse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlowSwap {
    /// As `/proc/swaps` names it.
    pub path: String,
    /// What it lies on.
    pub medium: Medium,
    /// What told that: a path and what was read there.
    pub told_by: (String, String),
}

/// What a swap area lies on, where that is no good place for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// A hard disk.
    HardDisk,
    /// An SD card.
    SdCard,
    /// A device or a file system beyond the network.
    Network,
    /// A volume of ZFS, which needs memory to write.
    ZfsVolume,
}

/// LVM on LUKS on RAID is three.
const MOST_LAYERS: usize = 8;

/// The swap areas that lie on slow media, of those in `/proc/swaps`.
#[must_use]
pub fn slow_swaps(reader: &mut Reader, swaps: &[Swap]) -> Vec<SlowSwap> {
    let slow = |swap: &Swap| {
        let (medium, what, read) = medium(reader, swap)?;
        Some(SlowSwap { path: swap.path.clone(), medium, told_by: (what, read) })
    };
    swaps.iter().filter(|swap| !swap.is_zram()).filter_map(slow).collect()
}

type Told = (Medium, String, String);

fn medium(reader: &mut Reader, swap: &Swap) -> Option<Told> {
    let device = if swap.kind == "file" {
        let mount = mount_of(&reader.text("/proc/mounts")?, &swap.path)?;
        // Those that hold swap files at all (swapon(8)), or one day may.
        if matches!(mount.kind.as_str(), "nfs" | "nfs4" | "cifs" | "smb3" | "ceph" | "9p") {
            return Some((Medium::Network, format!("/proc/mounts {}", mount.at), mount.kind));
        }
        mount.source
    } else {
        swap.path.clone()
    };
    // /dev/mapper/NAME is a link to the node, whose name sysfs has.
    let node = reader.at(&device).canonicalize().unwrap_or_else(|_| device.clone().into());
    let name = node.file_name()?.to_str()?.to_owned();
    disks(reader, name).into_iter().find_map(|disk| of_disk(reader, &disk))
}

/// A line of `/proc/mounts`.
struct Mount {
    source: String,
    at: String,
    kind: String,
}

/// The mount that a path lies in; of several on the same place the last. Names are escaped alike in both files.
fn mount_of(mounts: &str, path: &str) -> Option<Mount> {
    let mount = |line: &str| {
        let mut words = line.split(' ');
        let (source, at, kind) = (words.next()?.to_owned(), words.next()?.to_owned(), words.next()?.to_owned());
        Some(Mount { source, at, kind })
    };
    let around =
        |mount: &Mount| path.strip_prefix(mount.at.trim_end_matches('/')).is_some_and(|below| below.starts_with('/'));
    mounts.lines().filter_map(mount).filter(around).max_by_key(|mount| mount.at.len())
}

/// The disks below a block device: the whole disk of a partition, and what device mapper and md are made of.
fn disks(reader: &mut Reader, name: String) -> Vec<String> {
    let mut found = Vec::new();
    let mut next = vec![(name, 0)];
    while let Some((name, layer)) = next.pop() {
        let Some(disk) = whole_disk(reader, name) else { continue };
        let slaves = reader.names(&format!("/sys/block/{disk}/slaves"));
        if slaves.is_empty() {
            found.push(disk);
        } else if layer < MOST_LAYERS {
            next.extend(slaves.into_iter().map(|slave| (slave, layer + 1)));
        }
    }
    found
}

/// `sda` for `sda2`: a partition is a directory of its disk.
fn whole_disk(reader: &mut Reader, name: String) -> Option<String> {
    if reader.exists(&format!("/sys/block/{name}")) {
        return Some(name);
    }
    reader.names("/sys/block").into_iter().find(|disk| reader.exists(&format!("/sys/block/{disk}/{name}")))
}

fn of_disk(reader: &mut Reader, disk: &str) -> Option<Told> {
    let at = format!("/sys/block/{disk}");
    // Volumes of ZFS are zd0, zd16 and so on.
    if numbered(disk, "zd") {
        return Some((Medium::ZfsVolume, at, "a ZFS volume".to_owned()));
    }
    if ["nbd", "rbd", "drbd"].iter().any(|prefix| numbered(disk, prefix)) {
        return Some((Medium::Network, at, "a network block device".to_owned()));
    }
    // The place among the devices tells iSCSI (drivers/scsi/scsi_transport_iscsi.c) and NVMe over fabrics.
    let place = reader.at(&at).read_link().ok().and_then(|link| link.into_os_string().into_string().ok());
    if let Some(place) = place.filter(|place| place.contains("/nvme-fabrics/") || is_iscsi(place)) {
        return Some((Medium::Network, at, place));
    }
    let card = format!("{at}/device/type");
    if disk.starts_with("mmcblk") && reader.word(&card).as_deref() == Some("SD") {
        return Some((Medium::SdCard, card, "SD".to_owned()));
    }
    let rotational = format!("{at}/queue/rotational");
    let turns = reader.number(&rotational) == Some(1) && !is_virtual(reader, disk);
    turns.then(|| (Medium::HardDisk, rotational, "1".to_owned()))
}

fn is_iscsi(place: &str) -> bool {
    place.split('/').any(|part| numbered(part, "session"))
}

/// Whether it is `prefix` with a number behind it.
fn numbered(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

/// A virtual machine's disks say that they turn, whatever they lie on: virtio's default, and hypervisors' for IDE and SCSI.
fn is_virtual(reader: &mut Reader, disk: &str) -> bool {
    /// `device/vendor` of the disks that hypervisors make.
    const VENDORS: [&str; 5] = ["QEMU", "VMware", "Msft", "Google", "VBOX"];
    if disk.starts_with("vd") || disk.starts_with("xvd") {
        return true;
    }
    let vendor = reader.word(&format!("/sys/block/{disk}/device/vendor")).unwrap_or_default();
    // x86 tells a guest by a flag of its processor; it is among the first lines of the file.
    let cpu = reader.text("/proc/cpuinfo").unwrap_or_default();
    let flags = cpu.lines().find_map(|line| line.strip_prefix("flags")).unwrap_or_default();
    VENDORS.iter().any(|hypervisor| vendor.starts_with(hypervisor))
        || flags.split_ascii_whitespace().any(|flag| flag == "hypervisor")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;

    /// A machine's files below a temporary root; a target with `->` is a link.
    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match text.strip_prefix("-> ") {
                Some(target) => {
                    fs::create_dir_all(path.parent().unwrap().join(target)).unwrap();
                    symlink(target, &path).unwrap();
                }
                None => fs::write(&path, text).unwrap(),
            }
        }
        root
    }

    fn swap(path: &str, kind: &str) -> Swap {
        Swap { path: path.to_owned(), kind: kind.to_owned(), size: 1 << 30, used: 0, priority: -2 }
    }

    fn medium_of(root: &Path, path: &str, kind: &str) -> Option<Medium> {
        let found = slow_swaps(&mut Reader::new(root), &[swap(path, kind)]);
        found.first().map(|slow| slow.medium)
    }

    #[test]
    fn devices_are_judged_by_what_they_are() {
        let root = tree(&[
            ("sys/block/sda/queue/rotational", "1\n"),
            ("sys/block/sda/sda2/partition", "2\n"),
            ("sys/block/nvme0n1/queue/rotational", "0\n"),
            ("sys/block/nvme0n1/nvme0n1p3/partition", "3\n"),
            ("sys/block/vda/queue/rotational", "1\n"),
            ("sys/block/vda/vda5/partition", "5\n"),
            ("sys/block/nbd0/queue/rotational", "0\n"),
            ("sys/block/zd0/queue/rotational", "0\n"),
            ("sys/block/mmcblk0/device/type", "SD\n"),
            ("sys/block/mmcblk0/mmcblk0p2/partition", "2\n"),
            ("sys/block/mmcblk1/device/type", "MMC\n"),
            ("sys/block/sdb", "-> ../devices/platform/host3/session1/target3:0:0/3:0:0:1/block/sdb"),
            ("sys/block/nvme1n1", "-> ../devices/virtual/nvme-fabrics/ctl/nvme1/nvme1n1"),
        ]);
        let rows = [
            ("/dev/sda", Some(Medium::HardDisk)),
            ("/dev/sda2", Some(Medium::HardDisk)),
            ("/dev/nvme0n1p3", None),
            ("/dev/vda5", None),
            ("/dev/nbd0", Some(Medium::Network)),
            ("/dev/zd0", Some(Medium::ZfsVolume)),
            ("/dev/mmcblk0p2", Some(Medium::SdCard)),
            ("/dev/mmcblk1", None),
            ("/dev/sdb", Some(Medium::Network)),
            ("/dev/nvme1n1", Some(Medium::Network)),
            ("/dev/gone", None),
            ("/dev/zram0", None),
        ];
        for (path, expected) in rows {
            assert_eq!(medium_of(root.path(), path, "partition"), expected, "{path}");
        }
    }

    #[test]
    fn a_guest_does_not_know_whether_its_disks_turn() {
        let files =
            [("sys/block/sda/queue/rotational", "1\n"), ("proc/cpuinfo", "flags\t\t: fpu hypervisor lahf_lm\n")];
        assert_eq!(medium_of(tree(&files).path(), "/dev/sda", "partition"), None);
        let files = [("sys/block/sda/queue/rotational", "1\n"), ("sys/block/sda/device/vendor", "Msft    \n")];
        assert_eq!(medium_of(tree(&files).path(), "/dev/sda", "partition"), None);
        let files = [("sys/block/sda/queue/rotational", "1\n"), ("proc/cpuinfo", "flags\t\t: fpu lahf_lm\n")];
        assert_eq!(medium_of(tree(&files).path(), "/dev/sda", "partition"), Some(Medium::HardDisk));
    }

    #[test]
    fn what_is_mapped_is_judged_by_its_disks() {
        let root = tree(&[
            ("sys/block/md0/slaves/sda1", "-> ../../sda/sda1"),
            ("sys/block/md0/slaves/nvme0n1", "-> ../../nvme0n1"),
            ("sys/block/sda/queue/rotational", "1\n"),
            ("sys/block/nvme0n1/queue/rotational", "0\n"),
            // A loop of layers, which no kernel makes, has an end.
            ("sys/block/dm-0/slaves/dm-0", "-> ../../dm-0/self"),
        ]);
        assert_eq!(medium_of(root.path(), "/dev/md0", "partition"), Some(Medium::HardDisk), "one slow disk is enough");
        assert_eq!(medium_of(root.path(), "/dev/dm-0", "partition"), None);
    }

    #[test]
    fn a_file_is_judged_by_its_file_system() {
        let root = tree(&[
            (
                "proc/mounts",
                "/dev/nvme0n1p2 / ext4 rw 0 0\n/dev/mapper/vg-data /data xfs rw 0 0\nnas:/swap /mnt/swap nfs4 rw 0 0\n\
                 /dev/sda1 /mnt ext4 rw 0 0\n",
            ),
            ("dev/dm-7", ""),
            ("sys/block/dm-7/slaves/sda2", "-> ../../sda/sda2"),
            ("sys/block/sda/queue/rotational", "1\n"),
            ("sys/block/sda/sda1/partition", "1\n"),
            ("sys/block/nvme0n1/queue/rotational", "0\n"),
            ("sys/block/nvme0n1/nvme0n1p2/partition", "2\n"),
        ]);
        fs::create_dir(root.path().join("dev/mapper")).unwrap();
        symlink("../dm-7", root.path().join("dev/mapper/vg-data")).unwrap();
        let rows = [
            ("/swapfile", None),
            ("/database/swap", None),
            ("/data/swap", Some(Medium::HardDisk)),
            ("/mnt/swap/file", Some(Medium::Network)),
            ("/mnt/swapfile", Some(Medium::HardDisk)),
        ];
        for (path, expected) in rows {
            assert_eq!(medium_of(root.path(), path, "file"), expected, "{path}");
        }
    }
}
