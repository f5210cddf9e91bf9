//! What a parser says about a file it cannot believe.

use std::fmt;

/// The kind of kernel file some bytes came from. Usable as an index of counters: `counts[kind as usize]`, with
/// [`FileKind::ALL`] for their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// `/proc/meminfo`
    Meminfo,
    /// `/proc/pressure/memory`, or a cgroup's `memory.pressure`
    Pressure,
    /// `/proc/PID/stat`
    Stat,
    /// `/proc/PID/statm`
    Statm,
    /// `/proc/PID/status`
    Status,
    /// `/proc/PID/oom_score`
    OomScore,
    /// `/proc/PID/oom_score_adj`
    OomScoreAdj,
    /// `/proc/PID/cgroup`
    PidCgroup,
    /// `memory.max`, `memory.high` and their kin, and cgroup v1's `memory.limit_in_bytes`
    CgroupLimit,
    /// `memory.current` and other cgroup files of one number
    CgroupBytes,
    /// `memory.events`, `memory.events.local`
    MemoryEvents,
    /// a cgroup's `memory.stat`, v2 or v1
    MemoryStat,
    /// `cgroup.events`
    CgroupEvents,
    /// `cgroup.procs`
    CgroupProcs,
    /// `/sys/block/zramN/mm_stat`
    ZramMmStat,
    /// `/proc/swaps`
    Swaps,
    /// `/proc/spl/kstat/zfs/arcstats`
    Arcstats,
    /// `/proc/vmstat`
    Vmstat,
    /// `/proc/stat`
    CpuTimes,
}

impl FileKind {
    /// Every kind, in the order of its number.
    pub const ALL: [Self; 19] = [
        Self::Meminfo,
        Self::Pressure,
        Self::Stat,
        Self::Statm,
        Self::Status,
        Self::OomScore,
        Self::OomScoreAdj,
        Self::PidCgroup,
        Self::CgroupLimit,
        Self::CgroupBytes,
        Self::MemoryEvents,
        Self::MemoryStat,
        Self::CgroupEvents,
        Self::CgroupProcs,
        Self::ZramMmStat,
        Self::Swaps,
        Self::Arcstats,
        Self::Vmstat,
        Self::CpuTimes,
    ];

    /// The name an admin knows the file by.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Meminfo => "/proc/meminfo",
            Self::Pressure => "memory pressure",
            Self::Stat => "/proc/PID/stat",
            Self::Statm => "/proc/PID/statm",
            Self::Status => "/proc/PID/status",
            Self::OomScore => "/proc/PID/oom_score",
            Self::OomScoreAdj => "/proc/PID/oom_score_adj",
            Self::PidCgroup => "/proc/PID/cgroup",
            Self::CgroupLimit => "cgroup memory limit",
            Self::CgroupBytes => "cgroup memory usage",
            Self::MemoryEvents => "memory.events",
            Self::MemoryStat => "memory.stat",
            Self::CgroupEvents => "cgroup.events",
            Self::CgroupProcs => "cgroup.procs",
            Self::ZramMmStat => "zram mm_stat",
            Self::Swaps => "/proc/swaps",
            Self::Arcstats => "ZFS arcstats",
            Self::Vmstat => "/proc/vmstat",
            Self::CpuTimes => "/proc/stat",
        }
    }

    pub(super) const fn missing(self, what: &'static str) -> Malformed {
        Malformed { file: self, what, fault: Fault::Missing }
    }

    pub(super) const fn unreadable(self, what: &'static str) -> Malformed {
        Malformed { file: self, what, fault: Fault::Unreadable }
    }
}

/// What is wrong with the value that [`Malformed`] names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Not there, or cut before its end.
    Missing,
    /// There, but not a value that the kernel writes: not a number, a wrong unit, out of range.
    Unreadable,
}

/// A file that could not be believed: which kind, which value of it, and why. Small and `Copy`, to be counted on the
/// kill path and reported later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub struct Malformed {
    /// The kind of file.
    pub file: FileKind,
    /// The key or column, by the kernel's name.
    pub what: &'static str,
    /// What is wrong with it.
    pub fault: Fault,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fault = match self.fault {
            Fault::Missing => "is missing or cut off",
            Fault::Unreadable => "is not a value the kernel writes",
        };
        write!(f, "{}: {} {fault}", self.file.name(), self.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_number_their_own_counters() {
        for (index, kind) in FileKind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, index, "{kind:?}");
        }
    }

    #[test]
    fn the_message_names_file_value_and_fault() {
        let message = FileKind::Meminfo.missing("MemTotal").to_string();
        assert_eq!(message, "/proc/meminfo: MemTotal is missing or cut off");
    }
}
