//! `/proc/spl/kstat/zfs/arcstats`: the size of ZFS's own page cache, which `MemAvailable` takes for used.

use super::text::{lines, unsigned, words};
use super::{FileKind, Malformed};

/// The sizes of the ARC, in bytes. What is above `c_min` can be given back. Meaning: OpenZFS `zfs(4)`, `arcstats`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ArcStats {
    /// What it takes now.
    pub size: u64,
    /// What it aims at.
    pub c: u64,
    /// What it never shrinks below.
    pub c_min: u64,
    /// What it never grows above.
    pub c_max: u64,
}

/// Reads `arcstats`: two lines of headings, then lines of `name type value`.
///
/// # Errors
/// When one of the four values is absent or unreadable.
pub fn parse_arcstats(bytes: &[u8]) -> Result<ArcStats, Malformed> {
    const FILE: FileKind = FileKind::Arcstats;
    let (mut size, mut c, mut c_min, mut c_max) = (None, None, None, None);
    for line in lines(bytes) {
        let mut columns = words(line);
        let (name, slot) = match columns.next() {
            Some(b"size") => ("size", &mut size),
            Some(b"c") => ("c", &mut c),
            Some(b"c_min") => ("c_min", &mut c_min),
            Some(b"c_max") => ("c_max", &mut c_max),
            _ => continue,
        };
        let value = columns.nth(1).and_then(unsigned).ok_or(FILE.unreadable(name))?;
        slot.get_or_insert(value);
    }
    Ok(ArcStats {
        size: size.ok_or(FILE.missing("size"))?,
        c: c.ok_or(FILE.missing("c"))?,
        c_min: c_min.ok_or(FILE.missing("c_min"))?,
        c_max: c_max.ok_or(FILE.missing("c_max"))?,
    })
}
