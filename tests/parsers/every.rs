//! Every parser at once, and files for all of them.

use std::fmt::{self, Debug, Write};
use std::hint::black_box;

use hogwatch::observe::parse::*;

use crate::fixture;

/// Runs every parser on `bytes`, its results and their texts used, and allocates nothing itself.
pub fn parse_with_all(bytes: &[u8]) {
    fn check<T: Debug>(result: Result<T, Malformed>) {
        match black_box(result) {
            Ok(value) => write!(Nowhere, "{value:?}"),
            Err(malformed) => write!(Nowhere, "{malformed}"),
        }
        .expect("writing nowhere");
    }
    check(parse_meminfo(bytes).map(|meminfo| (meminfo.available(), meminfo.huge_pages())));
    check(parse_pressure(bytes));
    check(parse_stat(bytes));
    check(parse_statm(bytes));
    check(parse_status(bytes));
    check(parse_oom_score(bytes));
    check(parse_oom_score_adj(bytes));
    check(parse_own_paths(bytes));
    check(parse_limit(bytes));
    check(parse_limit_v1(bytes, 4096));
    check(parse_cgroup_bytes(bytes));
    check(parse_memory_events(bytes));
    check(parse_memory_stat(bytes));
    check(parse_memory_stat_v1(bytes));
    check(parse_populated(bytes));
    members(bytes).for_each(check);
    check(parse_zram_mm_stat(bytes));
    swap_areas(bytes).for_each(check);
    check(parse_arcstats(bytes));
    check(parse_vmstat(bytes));
    check(parse_cpu_times(bytes));
    write!(Nowhere, "{} {}", Comm::new(bytes), Escaped(bytes)).expect("writing nowhere");
    black_box(without_deleted(bytes));
}

/// Text that is thrown away.
struct Nowhere;

impl Write for Nowhere {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        black_box(text);
        Ok(())
    }
}

/// A fixture for each parser, and one for each form of its file.
pub const FIXTURES: [&[u8]; 29] = [
    fixture!("linux-6.1/meminfo"),
    fixture!("linux-6.12/meminfo"),
    fixture!("linux-6.18/meminfo"),
    fixture!("by-hand/meminfo.linux-3.10"),
    fixture!("by-hand/meminfo.container"),
    fixture!("linux-6.1/pressure_memory"),
    fixture!("linux-6.1/hog.stat"),
    fixture!("linux-6.12/zombie_leader.stat"),
    fixture!("linux-6.12/kworker.stat"),
    fixture!("linux-6.1/hog.statm"),
    fixture!("linux-6.1/hog.status"),
    fixture!("linux-6.18/kthreadd.status"),
    fixture!("linux-6.1/hog.oom_score"),
    fixture!("linux-6.1/hog.oom_score_adj"),
    fixture!("linux-6.1-cgroup1/hog.cgroup"),
    fixture!("linux-6.12/zombie.cgroup"),
    fixture!("linux-6.1/memory.max"),
    fixture!("linux-6.1-cgroup1/memory.memsw.limit_in_bytes"),
    fixture!("linux-6.1/memory.current"),
    fixture!("linux-6.1/memory.events"),
    fixture!("linux-6.12/memory.stat"),
    fixture!("linux-6.1-cgroup1/memory.stat"),
    fixture!("linux-6.1/cgroup.events"),
    fixture!("linux-6.12/root.cgroup.procs"),
    fixture!("linux-6.1/mm_stat"),
    fixture!("linux-6.1/swaps"),
    fixture!("by-hand/arcstats"),
    fixture!("linux-6.18/vmstat"),
    fixture!("linux-6.18/proc_stat"),
];
