//! Parsers of the kernel's text files: pure functions from bytes to values.
//!
//! They run on the kill path, so they allocate nothing, read nothing and cannot panic, whatever the bytes are. Names
//! are the kernel's; sizes are bytes (`u64`) unless a field says pages or counts.
//!
//! Rules that hold for every parser here:
//!
//! - **A line counts only with its newline, a column only with the blank or newline after it.** The kernel ends every
//!   line, so an unended one was cut by a full buffer, and half a number is a wrong number.
//! - **Unknown lines, keys and columns are skipped**: newer kernels add some.
//! - **The first of two equal keys counts.** The kernel writes none twice.
//! - **An absent value is `None`, never a made-up number.** What a parser cannot do without is a [`Malformed`] error, and
//!   so is a value that no kernel would write (the one exception is [`Meminfo::doubt`]).

mod arcstats;
mod cgroup;
mod cgroup_path;
mod comm;
mod cpu;
mod escape;
mod keyed;
mod malformed;
mod meminfo;
mod memory_stat;
mod pressure;
mod process;
mod smaps;
mod stat;
mod status;
mod swap;
mod text;
mod vmstat;

pub use arcstats::{ArcStats, parse_arcstats};
pub use cgroup::{Limit, Member, members, parse_cgroup_bytes, parse_limit, parse_limit_v1, parse_populated};
pub use cgroup_path::{CgroupPaths, parse_own_paths, without_deleted};
pub use comm::Comm;
pub use cpu::{CpuTimes, parse_cpu_times};
pub use escape::Escaped;
pub use malformed::{Fault, FileKind, Malformed};
pub use meminfo::{Meminfo, parse_meminfo};
pub use memory_stat::{
    MemoryEvents, MemoryStat, MemoryStatV1, parse_memory_events, parse_memory_stat, parse_memory_stat_v1,
};
pub use pressure::{Pressure, PressureLine, parse_pressure};
pub use process::{Statm, parse_oom_score, parse_oom_score_adj, parse_statm};
pub use smaps::parse_smaps_rollup;
pub use stat::{Stat, State, parse_stat};
pub use status::{Status, parse_status};
pub use swap::{SwapArea, SwapKind, ZramStat, parse_zram_mm_stat, swap_areas};
pub use vmstat::{Vmstat, parse_vmstat};
