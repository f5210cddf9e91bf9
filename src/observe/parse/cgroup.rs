//! Small files of a cgroup: limits, usage, `cgroup.events`, `cgroup.procs`.

use super::text::{is_cut, lines, only_word, split_once, unsigned};
use super::{FileKind, Malformed};

/// A limit of a cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// No limit.
    Max,
    /// This many bytes.
    Bytes(u64),
}

impl Limit {
    /// The limit, if there is one.
    pub const fn bytes(self) -> Option<u64> {
        match self {
            Self::Max => None,
            Self::Bytes(bytes) => Some(bytes),
        }
    }
}

/// Reads `memory.max`, `memory.high`, `memory.swap.max` and their kin of cgroup v2.
///
/// # Errors
/// When the file is neither `max` nor one number.
pub fn parse_limit(bytes: &[u8]) -> Result<Limit, Malformed> {
    match only_word(FileKind::CgroupLimit, bytes)? {
        b"max" => Ok(Limit::Max),
        number => unsigned(number).map(Limit::Bytes).ok_or(FileKind::CgroupLimit.unreadable("value")),
    }
}

/// Reads `memory.limit_in_bytes` and its kin of cgroup v1, which have no word for "no limit": since Linux 3.19 they
/// then hold the largest whole number of pages that fits a signed 64-bit number, before that the number itself.
///
/// # Errors
/// When the file is not one number.
pub fn parse_limit_v1(bytes: &[u8], page_size: u64) -> Result<Limit, Malformed> {
    const LARGEST: u64 = i64::MAX.unsigned_abs();
    let limit = parse_number(FileKind::CgroupLimit, bytes)?;
    let no_limit = LARGEST - LARGEST.checked_rem(page_size).unwrap_or(0);
    Ok(if limit >= no_limit { Limit::Max } else { Limit::Bytes(limit) })
}

/// Reads `memory.current`, `memory.swap.current`, v1's `memory.usage_in_bytes`: bytes in use.
///
/// # Errors
/// When the file is not one number.
pub fn parse_cgroup_bytes(bytes: &[u8]) -> Result<u64, Malformed> {
    parse_number(FileKind::CgroupBytes, bytes)
}

/// Reads `cgroup.events`: whether any live process is in the cgroup or below it.
///
/// # Errors
/// When there is no `populated` line, or it is neither 0 nor 1.
pub fn parse_populated(bytes: &[u8]) -> Result<bool, Malformed> {
    let value = lines(bytes).filter_map(|line| split_once(line, b' ')).find(|(key, _)| *key == b"populated");
    match value {
        Some((_, b"0")) => Ok(false),
        Some((_, b"1")) => Ok(true),
        Some(_) => Err(FileKind::CgroupEvents.unreadable("populated")),
        None => Err(FileKind::CgroupEvents.missing("populated")),
    }
}

/// A line of `cgroup.procs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Member {
    /// A process, above 0.
    Pid(i32),
    /// A process that the reader's PID namespace does not contain. The kernel writes 0, which must never reach `kill`:
    /// there it means the caller's own process group.
    Foreign,
}

/// The processes of a cgroup, from `cgroup.procs`. Neither sorted nor free of repeats (`cgroups(7)`).
///
/// # Errors
/// An item is an error when its line is no pid, or (the last one) when the line was cut off: half a pid is another's.
pub fn members(bytes: &[u8]) -> impl Iterator<Item = Result<Member, Malformed>> {
    let cut = is_cut(bytes).then_some(Err(FileKind::CgroupProcs.missing("end of line")));
    lines(bytes).map(member).chain(cut)
}

fn member(line: &[u8]) -> Result<Member, Malformed> {
    match unsigned(line) {
        Some(0) => Ok(Member::Foreign),
        Some(pid) => Ok(Member::Pid(pid)),
        None => Err(FileKind::CgroupProcs.unreadable("pid")),
    }
}

fn parse_number(file: FileKind, bytes: &[u8]) -> Result<u64, Malformed> {
    unsigned(only_word(file, bytes)?).ok_or(file.unreadable("value"))
}
