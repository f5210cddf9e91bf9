//! What compressed swap takes of the memory, through files held open.

use crate::host::Host;
use crate::host::dir::{HeldFile, SmallPath};

use super::Faults;
use super::parse::{parse_zram_mm_stat, swap_areas};

/// More devices than anybody swaps to.
const MOST: usize = 32;

/// Room for `/proc/swaps`: a line of some 60 bytes for each area.
const SWAPS_BYTES: usize = 4096;

/// Room for an `mm_stat`: nine numbers.
const MM_STAT_BYTES: usize = 256;

/// Reads the zram devices that are swapped to, and no others: only one that is in use can't be in the middle of being set
/// up or taken down, for which its `mm_stat` would wait. It may wait all the same: `mm_stat_show` takes the device's
/// `init_lock` for reading (drivers/block/zram/zram_drv.c), and whoever holds that as a writer, or waits for it, keeps
/// readers out: with some kernels for as long as writeback or recompression takes. So the guard does not read it.
#[derive(Debug)]
pub struct ZramReader {
    devices: Vec<HeldFile>,
    /// How much swap there was when they were opened.
    swap_total: u64,
}

impl Default for ZramReader {
    fn default() -> Self {
        Self { devices: Vec::with_capacity(MOST), swap_total: 0 }
    }
}

impl ZramReader {
    /// Opens the devices that are swapped to now, if the swap there is (bytes, by `/proc/meminfo`) has changed since the
    /// last time.
    pub fn follow(&mut self, host: &Host, swap_total: u64, faults: &mut Faults) {
        if swap_total == self.swap_total {
            return;
        }
        self.devices.clear();
        self.swap_total = swap_total;
        let Some(sys) = host.sys.as_ref().filter(|_| swap_total > 0) else { return };
        let mut buf = [0; SWAPS_BYTES];
        let areas = match host.proc.read(c"swaps", &mut buf) {
            Ok(text) => swap_areas(text),
            Err(e) => return faults.failed(&e),
        };
        for area in areas.flatten().filter(|area| area.is_zram()).take(MOST) {
            let Some(name) = area.path.strip_prefix(b"/dev/").and_then(|name| std::str::from_utf8(name).ok()) else {
                continue;
            };
            match sys.file(SmallPath::build(format_args!("block/{name}/mm_stat")).as_c_str()) {
                Ok(device) => self.devices.push(device),
                Err(e) => faults.failed(&e),
            }
        }
    }

    /// What they hold of the memory together, in bytes; `None` when nothing is swapped to zram. Opens nothing.
    pub fn read(&self, faults: &mut Faults) -> Option<u64> {
        self.devices.iter().fold(None, |sum: Option<u64>, device| {
            let mut buf = [0; MM_STAT_BYTES];
            let text = device.read(&mut buf).map_err(|e| faults.failed(&e)).ok();
            let stat = text.and_then(|text| parse_zram_mm_stat(text).map_err(|e| faults.malformed(e)).ok());
            match stat {
                Some(stat) => Some(sum.unwrap_or(0).saturating_add(stat.mem_used_total)),
                None => sum,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Roots;

    const HEAD: &str = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";

    #[test]
    fn the_devices_that_are_swapped_to_are_summed_up() {
        let tree = tempfile::tempdir().unwrap();
        let root = tree.path();
        let write = |path: &str, text: &str| {
            std::fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            std::fs::write(root.join(path), text).unwrap();
        };
        for (device, used) in [(0, 1000), (1, 20), (2, 300)] {
            let text = format!("9 9 {used} 0 0 0 0 0 0\n");
            write(&format!("sys/block/zram{device}/mm_stat"), &text);
        }
        let partition = |name: &str| format!("{name}  partition\t1048576\t\t0\t\t100\n");
        write(
            "proc/swaps",
            &(HEAD.to_owned() + &partition("/dev/zram0") + &partition("/dev/sda2") + &partition("/dev/zram2")),
        );
        let host = Host::open(&Roots { proc: root.join("proc"), sys: root.join("sys") }).unwrap();

        let mut faults = Faults::default();
        let mut zram = ZramReader::default();
        assert_eq!(zram.read(&mut faults), None);
        zram.follow(&host, 3 << 30, &mut faults);
        assert_eq!(zram.read(&mut faults), Some(1300));
        write("sys/block/zram0/mm_stat", "9 9 5000 0 0 0 0 0 0\n");
        assert_eq!(zram.read(&mut faults), Some(5300), "read anew each time");

        // Another list is noticed by the swap there is.
        write("proc/swaps", &(HEAD.to_owned() + &partition("/dev/zram1")));
        zram.follow(&host, 3 << 30, &mut faults);
        assert_eq!(zram.read(&mut faults), Some(5300));
        zram.follow(&host, 1 << 30, &mut faults);
        assert_eq!(zram.read(&mut faults), Some(20));
        zram.follow(&host, 0, &mut faults);
        assert_eq!(zram.read(&mut faults), None);
        assert_eq!(faults, Faults::default());

        write("sys/block/zram1/mm_stat", "nonsense\n");
        zram.follow(&host, 1 << 30, &mut faults);
        assert_eq!((zram.read(&mut faults), faults.malformed), (None, 1));
    }
}
