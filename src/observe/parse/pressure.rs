//! Pressure stall information: `/proc/pressure/memory` and cgroups' `memory.pressure`.

use super::text::{is_cut, lines, split_once, unsigned, words};
use super::{FileKind, Malformed};

/// How much time tasks lost waiting for memory. Kernel: `Documentation/accounting/psi.rst`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pressure {
    /// At least one task waited.
    pub some: PressureLine,
    /// All tasks that could have run waited. Absent for the machine's CPU pressure before Linux 5.13.
    pub full: Option<PressureLine>,
}

/// One line of a pressure file: averages as the kernel rounds them, and the exact sum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PressureLine {
    /// Share of the last 10 seconds, in hundredths of a percent (0 to 10,000).
    pub avg10_centi: u32,
    /// Share of the last minute, in hundredths of a percent.
    pub avg60_centi: u32,
    /// Share of the last five minutes, in hundredths of a percent.
    pub avg300_centi: u32,
    /// Microseconds lost since boot or since the cgroup was made: differences give exact shares of any window.
    pub total_us: u64,
}

/// Reads a pressure file.
///
/// # Errors
/// When the `some` line is absent, a line lacks a value, a value is unreadable, or the file was cut within a line.
pub fn parse_pressure(bytes: &[u8]) -> Result<Pressure, Malformed> {
    let (mut some, mut full) = (None, None);
    for line in lines(bytes) {
        match split_once(line, b' ') {
            Some((b"some", values)) if some.is_none() => some = Some(parse_line(values)?),
            Some((b"full", values)) if full.is_none() => full = Some(parse_line(values)?),
            _ => {}
        }
    }
    // A `full` line cut off must not pass for a kernel that has none.
    if is_cut(bytes) {
        return Err(FileKind::Pressure.missing("end of line"));
    }
    Ok(Pressure { some: some.ok_or(FileKind::Pressure.missing("some"))?, full })
}

/// `avg10=0.12 avg60=0.00 avg300=0.00 total=12345`
fn parse_line(values: &[u8]) -> Result<PressureLine, Malformed> {
    let (mut avg10, mut avg60, mut avg300, mut total) = (None, None, None, None);
    for (key, value) in words(values).filter_map(|word| split_once(word, b'=')) {
        match key {
            b"avg10" => avg10 = centi(value),
            b"avg60" => avg60 = centi(value),
            b"avg300" => avg300 = centi(value),
            b"total" => total = unsigned(value),
            _ => {}
        }
    }
    let need = |what| FileKind::Pressure.unreadable(what);
    Ok(PressureLine {
        avg10_centi: avg10.ok_or(need("avg10"))?,
        avg60_centi: avg60.ok_or(need("avg60"))?,
        avg300_centi: avg300.ok_or(need("avg300"))?,
        total_us: total.ok_or(need("total"))?,
    })
}

/// `12.34` as 1234. The kernel always writes two decimals.
fn centi(value: &[u8]) -> Option<u32> {
    let (whole, hundredths) = split_once(value, b'.')?;
    if hundredths.len() != 2 {
        return None;
    }
    unsigned::<u32>(whole)?.checked_mul(100)?.checked_add(unsigned(hundredths)?)
}
