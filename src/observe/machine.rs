//! The machine's memory at one moment, read through descriptors opened at start-up.

use std::time::Duration;

use crate::host::Host;
use crate::host::clock;
use crate::host::dir::{Dir, HeldFile, SmallPath};

use super::Faults;
use super::parse::{
    ArcStats, CpuTimes, Malformed, Meminfo, Pressure, Vmstat, ZramStat, parse_arcstats, parse_cpu_times, parse_meminfo,
    parse_pressure, parse_vmstat, parse_zram_mm_stat,
};

/// The machine's memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Machine {
    /// `/proc/meminfo`, in bytes.
    pub meminfo: Meminfo,
    /// The ZFS cache, which MemAvailable does not count though it can be given back.
    pub arc: Option<ArcStats>,
    /// `/proc/pressure/memory`; absent without PSI.
    pub pressure: Option<Pressure>,
}

/// What the machine's reclaim has done until a moment: read only while tasks stall.
#[derive(Clone, Copy, Debug)]
pub struct Reclaim {
    /// When, on [`clock::now`]'s clock: at the pressure's reading.
    pub t: Duration,
    /// `/proc/pressure/memory`.
    pub pressure: Pressure,
    /// `/proc/vmstat`.
    pub vmstat: Vmstat,
    /// Of `/proc/stat`.
    pub cpu: CpuTimes,
}

/// Why the machine's memory could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The read itself failed.
    #[error("/proc/meminfo can't be read: {0}")]
    Io(#[from] std::io::Error),
    /// What was read makes no sense.
    #[error("/proc/meminfo makes no sense: {0}")]
    Malformed(Malformed),
}

/// Reads the machine. Allocates nothing after it was opened.
#[derive(Debug)]
pub struct MachineReader {
    meminfo: HeldFile,
    pressure: Option<HeldFile>,
    arc: Option<HeldFile>,
    vmstat: Option<HeldFile>,
    stat: Option<HeldFile>,
}

/// Room for `/proc/meminfo`: 1.6 KiB on Linux 6.18, and twice that with every option on. What is cut off lies behind the
/// lines that matter.
const MEMINFO_BYTES: usize = 8 * 1024;

/// Room for `/proc/vmstat`: 4 KiB on Linux 6.18. What is cut off is absent, not wrong.
const VMSTAT_BYTES: usize = 8 * 1024;

/// Room for the first line of `/proc/stat`: ten numbers of 20 digits at most.
const STAT_BYTES: usize = 256;

impl MachineReader {
    /// Opens the files.
    ///
    /// # Errors
    /// When `/proc/meminfo` can't be opened. PSI and ZFS are optional.
    pub fn open(host: &Host) -> std::io::Result<Self> {
        Ok(Self {
            meminfo: host.proc.file(c"meminfo")?,
            pressure: host.proc.file(c"pressure/memory").ok().filter(|f| f.read(&mut [0; 16]).is_ok()),
            arc: host.proc.file(c"spl/kstat/zfs/arcstats").ok(),
            vmstat: host.proc.file(c"vmstat").ok(),
            stat: host.proc.file(c"stat").ok(),
        })
    }

    /// Whether this kernel has PSI (`CONFIG_PSI`, `psi=1`).
    #[must_use]
    pub fn has_pressure(&self) -> bool {
        self.pressure.is_some()
    }

    /// Reads the memory, the pressure and the ARC.
    ///
    /// # Errors
    /// When `/proc/meminfo` can't be read or makes no sense; everything else is optional and only counted in `faults`.
    pub fn read(&self, faults: &mut Faults) -> Result<Machine, ReadError> {
        let mut buf = [0; MEMINFO_BYTES];
        let meminfo = parse_meminfo(self.meminfo.read(&mut buf)?).map_err(|e| {
            faults.malformed(e);
            ReadError::Malformed(e)
        })?;
        if let Some(doubt) = meminfo.doubt {
            faults.malformed(doubt);
        }
        let arc = optional(self.arc.as_ref(), &mut buf, parse_arcstats, faults);
        let pressure = optional(self.pressure.as_ref(), &mut buf, parse_pressure, faults);
        Ok(Machine { meminfo, arc, pressure })
    }

    /// Reads what tells a machine that thrashes its swap. `None` without PSI, `/proc/vmstat` or `/proc/stat`, or when one of them could
    /// not be read, which is counted in `faults`.
    pub fn reclaim(&self, faults: &mut Faults) -> Option<Reclaim> {
        let mut buf = [0; VMSTAT_BYTES];
        // The time belongs to the stall's total: what is judged is the quotient of the two.
        let t = clock::now();
        let pressure = optional(self.pressure.as_ref(), &mut buf, parse_pressure, faults)?;
        let vmstat = optional(self.vmstat.as_ref(), &mut buf, parse_vmstat, faults)?;
        let cpu = optional(self.stat.as_ref(), &mut buf[..STAT_BYTES], parse_cpu_times, faults)?;
        Some(Reclaim { t, pressure, vmstat, cpu })
    }
}

fn optional<T>(
    file: Option<&HeldFile>,
    buf: &mut [u8],
    parse: impl Fn(&[u8]) -> Result<T, Malformed>,
    faults: &mut Faults,
) -> Option<T> {
    let text = file?.read(buf).map_err(|e| faults.failed(&e)).ok()?;
    parse(text).map_err(|e| faults.malformed(e)).ok()
}

/// What all zram devices hold together. Not on the hot path: a person or the recorder asks.
#[must_use]
pub fn zram(sys: &Dir) -> Option<ZramStat> {
    /// More devices than anybody has; each is one small read.
    const MOST: i32 = 64;
    let block = sys.dir(c"block").ok()?;
    let mut sum: Option<ZramStat> = None;
    for number in 0..MOST {
        let mut buf = [0; 256];
        let path = SmallPath::build(format_args!("zram{number}/mm_stat"));
        let Some(one) = block.read(path.as_c_str(), &mut buf).ok().and_then(|text| parse_zram_mm_stat(text).ok())
        else {
            continue;
        };
        let total = sum.get_or_insert_default();
        total.orig_data_size = total.orig_data_size.saturating_add(one.orig_data_size);
        total.compr_data_size = total.compr_data_size.saturating_add(one.compr_data_size);
        total.mem_used_total = total.mem_used_total.saturating_add(one.mem_used_total);
    }
    sum
}
