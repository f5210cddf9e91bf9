//! Swap areas (`/proc/swaps`) and compressed memory behind them (zram's `mm_stat`).

use super::text::{is_cut, kib, lines, signed, unsigned, words};
use super::{FileKind, Malformed};

/// What holds a swap area.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SwapKind {
    /// A block device; zram is one.
    Partition,
    /// A file.
    File,
}

/// A line of `/proc/swaps`; sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SwapArea<'a> {
    /// Where it is, as printed: blank, tab, newline and backslash as `\040`, `\011`, `\012`, `\134`, and ` (deleted)`
    /// (escaped likewise) behind the name of a removed file.
    pub path: &'a [u8],
    /// What holds it.
    pub kind: SwapKind,
    /// Its size.
    pub size: u64,
    /// What of it is in use.
    pub used: u64,
    /// The area of the highest priority is filled first.
    pub priority: i32,
}

impl SwapArea<'_> {
    /// Whether the area is a zram device: what is swapped there still takes memory.
    pub fn is_zram(&self) -> bool {
        self.path.starts_with(b"/dev/zram")
    }
}

/// The areas of `/proc/swaps`, behind its line of headings (`proc_swaps(5)`).
///
/// # Errors
/// An item is an error when its line lacks a column, holds an unreadable one, or (the last one) was cut off.
pub fn swap_areas(bytes: &[u8]) -> impl Iterator<Item = Result<SwapArea<'_>, Malformed>> {
    let cut = is_cut(bytes).then_some(Err(FileKind::Swaps.missing("end of line")));
    lines(bytes).skip(1).map(swap_area).chain(cut)
}

fn swap_area(line: &[u8]) -> Result<SwapArea<'_>, Malformed> {
    const FILE: FileKind = FileKind::Swaps;
    let mut columns = words(line);
    let mut column = |name| columns.next().ok_or(FILE.missing(name));
    Ok(SwapArea {
        path: column("Filename")?,
        kind: match column("Type")? {
            b"partition" => SwapKind::Partition,
            b"file" => SwapKind::File,
            _ => return Err(FILE.unreadable("Type")),
        },
        size: kib(column("Size")?).ok_or(FILE.unreadable("Size"))?,
        used: kib(column("Used")?).ok_or(FILE.unreadable("Used"))?,
        priority: signed(column("Priority")?).ok_or(FILE.unreadable("Priority"))?,
    })
}

/// The columns of `/sys/block/zramN/mm_stat` that hogwatch uses. Kernel: `Documentation/admin-guide/blockdev/zram.rst`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ZramStat {
    /// Bytes stored, before compression (pages of one repeated value not counted).
    pub orig_data_size: u64,
    /// Bytes stored, after compression.
    pub compr_data_size: u64,
    /// Bytes of memory the device takes.
    pub mem_used_total: u64,
    /// Bytes of memory the device may take; 0 means no limit.
    pub mem_limit: u64,
    /// The most it ever took, in bytes.
    pub mem_used_max: u64,
    /// Pages of one repeated value: stored, but taking no memory.
    pub same_pages: u64,
    /// Pages that do not compress and are stored as they are. Linux ≥ 4.18.
    pub huge_pages: Option<u64>,
}

/// Reads a zram device's `mm_stat` (Linux ≥ 4.1).
///
/// # Errors
/// When one of the first six columns is absent, or a wanted one is unreadable.
pub fn parse_zram_mm_stat(bytes: &[u8]) -> Result<ZramStat, Malformed> {
    const FILE: FileKind = FileKind::ZramMmStat;
    let line = lines(bytes).next().ok_or(FILE.missing("orig_data_size"))?;
    let mut columns = words(line);
    let mut column = |name| unsigned(columns.next().ok_or(FILE.missing(name))?).ok_or(FILE.unreadable(name));
    Ok(ZramStat {
        orig_data_size: column("orig_data_size")?,
        compr_data_size: column("compr_data_size")?,
        mem_used_total: column("mem_used_total")?,
        mem_limit: column("mem_limit")?,
        mem_used_max: column("mem_used_max")?,
        same_pages: column("same_pages")?,
        // pages_compacted, which tells nothing about memory in use, stands between
        huge_pages: columns.nth(1).map(|word| unsigned(word).ok_or(FILE.unreadable("huge_pages"))).transpose()?,
    })
}
