//! The machine's memory at one moment, read through descriptors opened at start-up.

use crate::host::Host;
use crate::host::dir::{Dir, HeldFile, SmallPath};

use super::Faults;
use super::parse::{
    ArcStats, Malformed, Meminfo, Pressure, ZramStat, parse_arcstats, parse_meminfo, parse_pressure, parse_zram_mm_stat,
};

/// The machine's memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Machine {
    /// `/proc/meminfo`, in bytes.
    pub meminfo: Meminfo,
    /// The ZFS cache, which MemAvailable does not count though it can be given back.
    pub arc: Option<ArcStats>,
    /// `/proc/pressure/memory`; absent without PSI, and when it was not asked for.
    pub pressure: Option<Pressure>,
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
}

/// Room for `/proc/meminfo`: 1.6 KiB on Linux 6.18, and twice that with every option on. What is cut off lies behind the
/// lines that matter.
const MEMINFO_BYTES: usize = 8 * 1024;

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
        })
    }

    /// Whether this kernel has PSI (`CONFIG_PSI`, `psi=1`).
    #[must_use]
    pub fn has_pressure(&self) -> bool {
        self.pressure.is_some()
    }

    /// Reads the memory, and the pressure when it is wanted or when ZFS makes it matter.
    ///
    /// # Errors
    /// When `/proc/meminfo` can't be read or makes no sense; everything else is optional and only counted in `faults`.
    pub fn read(&self, want_pressure: bool, faults: &mut Faults) -> Result<Machine, ReadError> {
        let mut buf = [0; MEMINFO_BYTES];
        let meminfo = parse_meminfo(self.meminfo.read(&mut buf)?).map_err(|e| {
            faults.malformed(e);
            ReadError::Malformed(e)
        })?;
        if let Some(doubt) = meminfo.doubt {
            faults.malformed(doubt);
        }
        let arc = optional(self.arc.as_ref(), &mut buf, parse_arcstats, faults);
        let pressure = (want_pressure || arc.is_some())
            .then(|| optional(self.pressure.as_ref(), &mut buf, parse_pressure, faults))
            .flatten();
        Ok(Machine { meminfo, arc, pressure })
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
