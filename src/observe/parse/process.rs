//! The small files of a process: `statm`, `oom_score`, `oom_score_adj`.

use super::text::{only_word, signed, unsigned, words};
use super::{FileKind, Malformed};

/// The first three columns of `/proc/PID/statm`, all in pages, not bytes. All 0 for kernel threads and zombies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statm {
    /// Virtual size.
    pub size: u64,
    /// Resident pages.
    pub resident: u64,
    /// Resident file and shared memory pages: what is left is anonymous.
    pub shared: u64,
}

/// Reads `/proc/PID/statm`.
///
/// # Errors
/// When one of the first three columns is absent, cut off or unreadable.
pub fn parse_statm(bytes: &[u8]) -> Result<Statm, Malformed> {
    const FILE: FileKind = FileKind::Statm;
    // The wanted columns have a blank behind them: four more follow.
    let end = bytes.iter().rposition(|byte| matches!(byte, b' ' | b'\n')).unwrap_or(0);
    let mut columns = words(bytes.get(..end).unwrap_or_default());
    let mut column = |name| unsigned(columns.next().ok_or(FILE.missing(name))?).ok_or(FILE.unreadable(name));
    Ok(Statm { size: column("size")?, resident: column("resident")?, shared: column("shared")? })
}

/// Reads `/proc/PID/oom_score`: the kernel's own ranking, adjustment included. 0 to about 2000 in today's kernels.
///
/// # Errors
/// When the file is not one number.
pub fn parse_oom_score(bytes: &[u8]) -> Result<u32, Malformed> {
    unsigned(only_word(FileKind::OomScore, bytes)?).ok_or(FileKind::OomScore.unreadable("value"))
}

/// Reads `/proc/PID/oom_score_adj`: −1000 (never kill) to 1000 (kill first).
///
/// # Errors
/// When the file is not one number of that range.
pub fn parse_oom_score_adj(bytes: &[u8]) -> Result<i16, Malformed> {
    let adj = signed(only_word(FileKind::OomScoreAdj, bytes)?);
    adj.filter(|adj| (-1000..=1000).contains(adj)).ok_or(FileKind::OomScoreAdj.unreadable("value"))
}
