//! Memory, swap and the kernel's settings.

use super::reader::Reader;

/// What the machine has and how its kernel is set.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// `MemTotal`, in bytes.
    pub total: Option<u64>,
    /// What is swapped to, by `/proc/swaps`.
    pub swaps: Option<Vec<Swap>>,
    /// `/sys/module/zswap/parameters/enabled`; `None` where the kernel has no zswap.
    pub zswap: Option<bool>,
    /// `/proc/pressure/memory` can be read.
    pub pressure: bool,
}

/// A swap area.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swap {
    /// As `/proc/swaps` names it: a device or a file.
    pub path: String,
    /// `partition` or `file`.
    pub kind: String,
    /// In bytes.
    pub size: u64,
    /// In bytes.
    pub used: u64,
    /// Who is filled first.
    pub priority: i32,
}

impl Swap {
    /// It lives in memory, compressed.
    #[must_use]
    pub fn is_zram(&self) -> bool {
        self.path.starts_with("/dev/zram")
    }
}

impl Machine {
    /// Reads it.
    pub fn read(reader: &mut Reader) -> Self {
        let swaps = reader.text("/proc/swaps").map(|text| text.lines().skip(1).filter_map(swap).collect());
        Self {
            total: reader.text("/proc/meminfo").as_deref().and_then(total),
            swaps,
            zswap: reader.word("/sys/module/zswap/parameters/enabled").map(|word| word == "Y" || word == "1"),
            pressure: reader.text("/proc/pressure/memory").is_some(),
        }
    }

    /// Whether there is anything to swap to; `None` when that could not be read.
    #[must_use]
    pub fn has_swap(&self) -> Option<bool> {
        self.swaps.as_ref().map(|swaps| !swaps.is_empty())
    }
}

fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// A line of `/proc/swaps`: path, type, size, used (KiB), priority. White space in a path is escaped (`\040`).
fn swap(line: &str) -> Option<Swap> {
    let mut words = line.split_ascii_whitespace();
    let (path, kind) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut bytes = || words.next()?.parse::<u64>().ok()?.checked_mul(1024);
    Some(Swap { path, kind, size: bytes()?, used: bytes()?, priority: words.next()?.parse().ok()? })
}
