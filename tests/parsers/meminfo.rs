//! `/proc/meminfo`.

use hogwatch::observe::parse::*;

use crate::{fixture, missing, unreadable};

const KIB: u64 = 1024;

#[test]
fn meminfo_of_6_1_field_by_field() {
    let meminfo = parse_meminfo(fixture!("linux-6.1/meminfo")).expect("a real file");
    let expected = Meminfo {
        mem_total: 995_344 * KIB,
        mem_free: Some(813_396 * KIB),
        mem_available: Some(770_864 * KIB),
        buffers: Some(3_868 * KIB),
        cached: Some(39_344 * KIB),
        swap_cached: Some(0),
        active_file: Some(22_268 * KIB),
        inactive_file: Some(20_636 * KIB),
        swap_total: Some(327_672 * KIB),
        swap_free: Some(256_760 * KIB),
        // this kernel was built without zswap
        zswap: None,
        zswapped: None,
        anon_pages: Some(70_680 * KIB),
        shmem: Some(308 * KIB),
        slab: Some(27_572 * KIB),
        s_reclaimable: Some(14_644 * KIB),
        s_unreclaim: Some(12_928 * KIB),
        committed_as: Some(164_692 * KIB),
        huge_pages_total: Some(0),
        huge_page_size: Some(2_048 * KIB),
        hugetlb: Some(0),
        doubt: None,
    };
    assert_eq!(meminfo, expected);
    assert_eq!(meminfo.available(), Some(770_864 * KIB));
    assert!(!meminfo.available_is_estimated());
}

#[test]
fn meminfo_of_newer_kernels() {
    let trixie = parse_meminfo(fixture!("linux-6.12/meminfo")).expect("a real file");
    assert_eq!((trixie.mem_total, trixie.available()), (989_876 * KIB, Some(763_056 * KIB)));
    assert_eq!((trixie.swap_cached, trixie.doubt), (Some(1_104 * KIB), None));
    let newest = parse_meminfo(fixture!("linux-6.18/meminfo")).expect("a real file");
    assert_eq!((newest.mem_total, newest.available()), (24_684_092 * KIB, Some(22_832_756 * KIB)));
    assert_eq!((newest.swap_total, newest.zswap, newest.doubt), (Some(0), Some(0), None));
}

#[test]
fn meminfo_before_3_14_is_estimated_from_all_four_parts() {
    let meminfo = parse_meminfo(fixture!("by-hand/meminfo.linux-3.10")).expect("an old file");
    assert!(meminfo.available_is_estimated());
    assert_eq!(meminfo.available(), Some((312_456 + 1_204_820 + 21_044 - 167_588) * KIB));
    // no Hugetlb line yet: 64 pages of 2 MiB
    assert_eq!((meminfo.hugetlb, meminfo.huge_pages()), (None, Some(64 * 2_048 * KIB)));

    for part in ["MemFree", "Buffers", "Cached", "Shmem"] {
        let text = ["MemFree", "Buffers", "Cached", "Shmem"]
            .iter()
            .filter(|key| **key != part)
            .fold("MemTotal: 100 kB\n".to_owned(), |text, key| text + key + ": 7 kB\n");
        let error = parse_meminfo(text.as_bytes()).expect_err(part);
        assert_eq!(error, missing(FileKind::Meminfo, "MemAvailable"), "without {part}");
    }
}

#[test]
fn meminfo_estimate_neither_underflows_nor_overflows() {
    let row = |shmem: &str, free: &str| {
        format!("MemTotal: 9 kB\nMemFree: {free} kB\nBuffers: 1 kB\nCached: 2 kB\nShmem: {shmem} kB\n")
    };
    let more_shmem_than_cache = parse_meminfo(row("50", "4").as_bytes()).expect("complete");
    assert_eq!(more_shmem_than_cache.available(), Some(4 * KIB));
    let huge = parse_meminfo(row("0", "18014398509481983").as_bytes()).expect("complete");
    assert_eq!(huge.available(), Some(u64::MAX));
}

#[test]
fn a_garbled_value_of_a_container_is_absent_and_told() {
    let meminfo = parse_meminfo(fixture!("by-hand/meminfo.container")).expect("usable");
    assert_eq!((meminfo.swap_total, meminfo.swap_free), (Some(1_048_576 * KIB), None));
    assert_eq!(meminfo.doubt, Some(unreadable(FileKind::Meminfo, "SwapFree")));
    assert_eq!(meminfo.available(), Some(1_048_576 * KIB));
}

#[test]
fn a_garbled_memavailable_falls_back_on_the_estimate() {
    let text = b"MemTotal: 9 kB\nMemFree: 4 kB\nMemAvailable: -3 kB\nBuffers: 1 kB\nCached: 2 kB\nShmem: 1 kB\n";
    let meminfo = parse_meminfo(text).expect("usable");
    assert_eq!(meminfo.doubt, Some(unreadable(FileKind::Meminfo, "MemAvailable")));
    assert!(meminfo.available_is_estimated());
    assert_eq!(meminfo.available(), Some(6 * KIB));
}

#[test]
fn meminfo_that_cannot_be_used() {
    let rows: [(&[u8], Malformed); 9] = [
        (b"", missing(FileKind::Meminfo, "MemTotal")),
        (b"\n\n\n", missing(FileKind::Meminfo, "MemTotal")),
        (b"\0\xff\x80", missing(FileKind::Meminfo, "MemTotal")),
        (b"MemAvailable: 5 kB\n", missing(FileKind::Meminfo, "MemTotal")),
        (b"MemTotal: 9 kB\n", missing(FileKind::Meminfo, "MemAvailable")),
        (b"MemTotal: nine kB\nMemAvailable: 5 kB\n", unreadable(FileKind::Meminfo, "MemTotal")),
        (b"MemTotal: 9\nMemAvailable: 5 kB\n", unreadable(FileKind::Meminfo, "MemTotal")),
        (b"MemTotal: 18014398509481984 kB\nMemAvailable: 5 kB\n", unreadable(FileKind::Meminfo, "MemTotal")),
        (b"MemTotal: 9 kB\nMemAvailable: 5 MB\n", unreadable(FileKind::Meminfo, "MemAvailable")),
    ];
    for (bytes, expected) in rows {
        assert_eq!(parse_meminfo(bytes), Err(expected), "{}", bytes.escape_ascii());
    }
}

#[test]
fn meminfo_with_strange_lines() {
    let long = "y".repeat(4096);
    let text = format!(
        "no colon\n: 3 kB\nMem Total: 1 kB\n{long}: 7 kB\nMemTotal:\t 9 kB \nMemTotal: 8 kB\n\nNew: {long}\n\
         memavailable: 1 kB\nMemAvailable:{}5 kB\nMemAvailable: 4 kB\nMemFree: 777",
        " ".repeat(4096)
    );
    let meminfo = parse_meminfo(text.as_bytes()).expect("usable");
    assert_eq!((meminfo.mem_total, meminfo.mem_available), (9 * KIB, Some(5 * KIB)), "the first of two counts");
    assert_eq!((meminfo.mem_free, meminfo.doubt), (None, None), "a line without its end is no line");
}
