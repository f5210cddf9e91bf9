//! Files cut off at every byte: an error, or only values that the whole file has too.

use std::fmt::Debug;

use hogwatch::observe::parse::*;

use crate::fixture;

/// Parses `bytes` cut at every length. Each result must be an error, or the whole file's value with some fields `None`;
/// returns how many were errors.
fn cut_everywhere<T: Debug + PartialEq>(
    bytes: &'static [u8],
    parse: impl Fn(&'static [u8]) -> Result<T, Malformed>,
) -> usize {
    let whole = format!("{:?}", parse(bytes).expect("a whole file"));
    let mut errors = 0;
    for end in 0..bytes.len() {
        match parse(&bytes[..end]) {
            Ok(partial) => {
                let partial = format!("{partial:?}");
                assert_eq!(partial.split(", ").count(), whole.split(", ").count(), "{partial}");
                for (part, value) in partial.split(", ").zip(whole.split(", ")) {
                    let absent = part.trim_end_matches(" }").ends_with(": None");
                    assert!(absent || part == value, "cut at {end}: {part}, not {value}");
                }
            }
            Err(_) => errors += 1,
        }
    }
    errors
}

/// The number of lengths at which `bytes` lacks the line before the one that starts with `next`.
fn lengths_before(bytes: &[u8], next: &str) -> usize {
    let next = format!("\n{next}");
    bytes.windows(next.len()).position(|window| window == next.as_bytes()).expect("such a line") + 1
}

#[test]
fn files_of_many_lines_give_what_is_whole() {
    let files = [
        (fixture!("linux-6.1/meminfo"), "Buffers:"),
        (fixture!("linux-6.12/meminfo"), "Buffers:"),
        (fixture!("linux-6.18/meminfo"), "Buffers:"),
        (fixture!("by-hand/meminfo.linux-3.10"), "Slab:"),
    ];
    for (bytes, next) in files {
        assert_eq!(cut_everywhere(bytes, parse_meminfo), lengths_before(bytes, next));
    }
    for bytes in [fixture!("linux-6.1/vmstat"), fixture!("linux-6.12/vmstat"), fixture!("linux-6.18/vmstat")] {
        assert_eq!(cut_everywhere(bytes, parse_vmstat), lengths_before(bytes, "workingset_refault_file"));
    }
    let bytes = fixture!("linux-6.18/proc_stat");
    assert_eq!(cut_everywhere(bytes, parse_cpu_times), lengths_before(bytes, "cpu0"));
    for bytes in [fixture!("linux-6.1/memory.stat"), fixture!("linux-6.12/memory.stat")] {
        assert_eq!(cut_everywhere(bytes, parse_memory_stat), lengths_before(bytes, "file "));
    }
    let bytes = fixture!("linux-6.1-cgroup1/memory.stat");
    assert_eq!(cut_everywhere(bytes, parse_memory_stat_v1), lengths_before(bytes, "hierarchical_memsw_limit"));
    let bytes = fixture!("linux-6.1/memory.events");
    assert_eq!(cut_everywhere(bytes, parse_memory_events), lengths_before(bytes, "high"));
}

#[test]
fn the_estimate_of_available_memory_is_whole_or_absent() {
    let bytes = fixture!("by-hand/meminfo.linux-3.10");
    let whole = parse_meminfo(bytes).expect("a whole file").available();
    for end in 0..bytes.len() {
        if let Ok(partial) = parse_meminfo(&bytes[..end]) {
            assert_eq!(partial.available(), whole, "cut at {end}");
        }
    }
}

#[test]
fn a_process_is_whole_or_an_error() {
    for bytes in [
        fixture!("linux-6.1/hog.stat"),
        fixture!("linux-6.12/hog.stat"),
        fixture!("linux-6.18/sleep.stat"),
        fixture!("linux-6.1/zombie_leader.stat"),
        fixture!("linux-6.12/kworker.stat"),
    ] {
        let whole = parse_stat(bytes).expect("a whole file");
        let columns_after_rss = 28;
        let after_rss = bytes.rsplit(|byte| *byte == b' ').take(columns_after_rss).map(|word| word.len() + 1);
        let rss_ends = bytes.len() - after_rss.sum::<usize>();
        for end in 0..bytes.len() {
            match parse_stat(&bytes[..end]) {
                Ok(stat) => assert!(end > rss_ends && stat == whole, "cut at {end}"),
                Err(_) => assert!(end <= rss_ends, "cut at {end}"),
            }
        }
    }
    for bytes in [fixture!("linux-6.1/hog.statm"), fixture!("linux-6.12/init.statm")] {
        let whole = parse_statm(bytes);
        assert!((0..bytes.len()).all(|end| parse_statm(&bytes[..end]).is_err() || parse_statm(&bytes[..end]) == whole));
    }
    for bytes in [fixture!("linux-6.1/hog.status"), fixture!("linux-6.18/sleep.status")] {
        let whole = parse_status(bytes);
        let memory_ends = bytes.windows(8).position(|window| window == b"Threads:").expect("a real file");
        for end in 0..bytes.len() {
            let cut = parse_status(&bytes[..end]);
            assert!(if end <= memory_ends { cut.is_err() } else { cut.is_err() || cut == whole }, "cut at {end}");
        }
    }
}

/// Files in which any cut loses something, but for the newline that shows it.
#[test]
fn short_files_cut_anywhere_are_errors() {
    type Parser = fn(&[u8]) -> bool;
    let files: [(&[u8], Parser); 9] = [
        (fixture!("linux-6.1/hog.oom_score"), |bytes| parse_oom_score(bytes).is_err()),
        (fixture!("linux-6.1/hog.oom_score_adj"), |bytes| parse_oom_score_adj(bytes).is_err()),
        (fixture!("linux-6.1/hog.cgroup"), |bytes| parse_own_paths(bytes).is_err()),
        (fixture!("linux-6.12/zombie.cgroup"), |bytes| parse_own_paths(bytes).is_err()),
        (fixture!("linux-6.1/memory.max"), |bytes| parse_limit(bytes).is_err()),
        (fixture!("linux-6.1/memory.swap.max"), |bytes| parse_limit(bytes).is_err()),
        (fixture!("linux-6.1-cgroup1/memory.memsw.limit_in_bytes"), |bytes| parse_limit_v1(bytes, 4096).is_err()),
        (fixture!("linux-6.1/memory.current"), |bytes| parse_cgroup_bytes(bytes).is_err()),
        (fixture!("linux-6.1/mm_stat"), |bytes| parse_zram_mm_stat(bytes).is_err()),
    ];
    for (bytes, fails) in files {
        assert!(!fails(bytes), "a whole file: {}", bytes.escape_ascii());
        for end in 0..bytes.len() {
            assert!(fails(&bytes[..end]), "{} cut at {end}", bytes.escape_ascii());
        }
    }
}

#[test]
fn pressure_is_an_error_unless_cut_between_its_lines() {
    let bytes = fixture!("linux-6.1/pressure_memory");
    let first_line = bytes.iter().position(|byte| *byte == b'\n').expect("two lines") + 1;
    for end in 0..bytes.len() {
        let cut = parse_pressure(&bytes[..end]);
        if end == first_line {
            assert_eq!(cut.map(|pressure| pressure.full), Ok(None));
        } else {
            assert!(cut.is_err(), "cut at {end}");
        }
    }
}

#[test]
fn lists_end_with_an_error_where_they_are_cut() {
    for bytes in [fixture!("linux-6.12/root.cgroup.procs"), fixture!("linux-6.1-cgroup1/cgroup.procs")] {
        let whole: Vec<_> = members(bytes).collect();
        for end in 0..bytes.len() {
            let cut: Vec<_> = members(&bytes[..end]).collect();
            let lines = bytes[..end].iter().filter(|byte| **byte == b'\n').count();
            assert_eq!(cut[..lines], whole[..lines]);
            let cut_in_a_line = end > 0 && bytes[end - 1] != b'\n';
            assert_eq!(cut.len(), lines + usize::from(cut_in_a_line));
            assert!(cut[lines..].iter().all(Result::is_err));
        }
    }
    let bytes = fixture!("linux-6.1/swaps");
    let whole: Vec<_> = swap_areas(bytes).collect();
    for end in 0..bytes.len() {
        for (area, expected) in swap_areas(&bytes[..end]).zip(&whole) {
            assert!(area.is_err() || area == *expected, "cut at {end}");
        }
    }
}

#[test]
fn arcstats_is_an_error_until_its_last_wanted_line() {
    let bytes = fixture!("by-hand/arcstats");
    let whole = parse_arcstats(bytes);
    let size_at = bytes.windows(6).position(|window| window == b"\nsize ").expect("a whole file");
    for end in 0..bytes.len() {
        let cut = parse_arcstats(&bytes[..end]);
        assert!(if end <= size_at { cut.is_err() } else { cut.is_err() || cut == whole }, "cut at {end}");
    }
}
