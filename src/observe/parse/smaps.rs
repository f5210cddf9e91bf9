//! `/proc/PID/smaps_rollup`: what a process holds when each shared page is divided among those that share it.

use super::text::{kilobytes, lines, split_once};

/// A process's share of memory in bytes that is its own or shared, and of no file: `Pss_Anon`, `Pss_Shmem` and `SwapPss`; before
/// Linux 5.3, which tells them apart, `Pss` and `SwapPss`. Kernel: `Documentation/filesystems/proc.rst`.
///
/// Absent when the file has none of these, as that of a zombie.
pub fn parse_smaps_rollup(bytes: &[u8]) -> Option<u64> {
    let (mut pss, mut anon, mut shmem, mut swap) = (None, None, None, None);
    for (key, value) in lines(bytes).filter_map(|line| split_once(line, b':')) {
        match key {
            b"Pss" => pss = kilobytes(value),
            b"Pss_Anon" => anon = kilobytes(value),
            b"Pss_Shmem" => shmem = kilobytes(value),
            b"SwapPss" => swap = kilobytes(value),
            _ => {}
        }
    }
    let resident = anon.map(|anon| anon.saturating_add(shmem.unwrap_or(0))).or(pss)?;
    Some(resident.saturating_add(swap.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_summed_up() {
        let new = b"560-7ff ---p 00000000 00:00 0    [rollup]\nRss:     9 kB\nPss:                 500 kB\nPss_Dirty: 3 kB\n\
            Pss_Anon:            100 kB\nPss_File:            380 kB\nPss_Shmem:            20 kB\nSwap: 9 kB\nSwapPss:  4 kB\n";
        assert_eq!(parse_smaps_rollup(new), Some(124 * 1024));
        assert_eq!(parse_smaps_rollup(b"Rss: 9 kB\nPss: 500 kB\nSwapPss: 1 kB\n"), Some(501 * 1024));
        for bad in [&b""[..], b"Rss: 9 kB\n", b"Pss: 9\n", b"Pss: -9 kB\n", b"Pss: 9 kB"] {
            assert_eq!(parse_smaps_rollup(bad), None, "{}", bad.escape_ascii());
        }
    }
}
