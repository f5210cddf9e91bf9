//! `/proc/stat`: what the processors have done since boot.

use super::text::{lines, unsigned, words};
use super::{FileKind, Malformed};

/// The first line of `/proc/stat`: all processors together, in ticks of 10 ms (`USER_HZ` is 100 on every architecture
/// but alpha, whatever the kernel's own `HZ`). proc(5): `iowait` is an estimate, and may fall a little.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuTimes {
    /// Running programs, with guests of virtual machines.
    pub user: u64,
    /// The same, of programs with low priority.
    pub nice: u64,
    /// In the kernel.
    pub system: u64,
    /// Nothing to do.
    pub idle: u64,
    /// Nothing to do but wait for a disk.
    pub iowait: u64,
    /// In interrupts.
    pub irq: u64,
    /// In soft interrupts.
    pub softirq: u64,
}

/// Reads the first line of `/proc/stat`. What follows (a line a processor, interrupts) may be cut off.
///
/// # Errors
/// When the line is absent or cut, or one of its values is missing or no number.
pub fn parse_cpu_times(bytes: &[u8]) -> Result<CpuTimes, Malformed> {
    let first = lines(bytes).next().ok_or(FileKind::CpuTimes.missing("cpu"))?;
    let mut columns = words(first);
    if columns.next() != Some(b"cpu") {
        return Err(FileKind::CpuTimes.missing("cpu"));
    }
    let mut next = |name| match columns.next() {
        Some(word) => unsigned(word).ok_or(FileKind::CpuTimes.unreadable(name)),
        None => Err(FileKind::CpuTimes.missing(name)),
    };
    Ok(CpuTimes {
        user: next("user")?,
        nice: next("nice")?,
        system: next("system")?,
        idle: next("idle")?,
        iowait: next("iowait")?,
        irq: next("irq")?,
        softirq: next("softirq")?,
    })
}
