//! `/proc/PID/cgroup` and the files of a cgroup.

use hogwatch::observe::parse::*;

use crate::fixture;

/// What cgroup v1 writes for "no limit" on machines with 4 KiB pages.
const NO_LIMIT_4K: u64 = 9_223_372_036_854_771_712;

#[test]
fn own_paths_of_real_processes() {
    let v2 = |path| Ok(CgroupPaths { v2: Some(path), ..CgroupPaths::default() });
    assert_eq!(parse_own_paths(fixture!("linux-6.1/init.cgroup")), v2(b"/init.scope"));
    assert_eq!(parse_own_paths(fixture!("linux-6.1/kthreadd.cgroup")), v2(b"/"));
    assert_eq!(parse_own_paths(fixture!("linux-6.12/hog.cgroup")), v2(b"/odd:name"));
    assert_eq!(parse_own_paths(fixture!("linux-6.12/zombie.cgroup")), v2(b"/odd:name-gone (deleted)"));
    let v1 = parse_own_paths(fixture!("linux-6.1-cgroup1/hog.cgroup")).expect("a real file");
    let expected = CgroupPaths {
        memory_v1: Some(b"/odd:name"),
        systemd_v1: Some(b"/system.slice/lab.service"),
        pids_v1: Some(b"/system.slice/lab.service"),
        ..CgroupPaths::default()
    };
    assert_eq!(v1, expected);
}

#[test]
fn own_paths_rows() {
    let hybrid =
        b"5:cpu,memory,pids:/a\n1:name=systemd:/b c\n0::/\xff:d\\x2d\n0::/second\n3:memory2:/no\n2:freezer:/f\n";
    let expected = CgroupPaths {
        v2: Some(b"/\xff:d\\x2d"),
        memory_v1: Some(b"/a"),
        systemd_v1: Some(b"/b c"),
        pids_v1: Some(b"/a"),
    };
    assert_eq!(parse_own_paths(hybrid), Ok(expected));
    let outside = parse_own_paths(b"0::/../../init.scope\n").expect("outside the namespace");
    assert_eq!(outside.v2, Some(b"/../../init.scope".as_slice()));

    let rows: [(&[u8], &str, Fault); 8] = [
        (b"", "end of line", Fault::Missing),
        (b"0::/user.sli", "end of line", Fault::Missing),
        (b"0::/\n4:memory:/x", "end of line", Fault::Missing),
        (b"\n", "hierarchy", Fault::Unreadable),
        (b"0\n", "hierarchy", Fault::Unreadable),
        (b"0:/\n", "controllers", Fault::Unreadable),
        (b"0::\n", "path", Fault::Unreadable),
        (b"0::user.slice\n", "path", Fault::Unreadable),
    ];
    for (bytes, what, fault) in rows {
        let expected = Malformed { file: FileKind::PidCgroup, what, fault };
        assert_eq!(parse_own_paths(bytes), Err(expected), "{}", bytes.escape_ascii());
    }
}

#[test]
fn deleted_is_stripped_once() {
    let rows: [(&[u8], Option<&[u8]>); 5] = [
        (b"/a (deleted)", Some(b"/a")),
        (b"/a (deleted) (deleted)", Some(b"/a (deleted)")),
        (b"/a(deleted)", None),
        (b"/a (deleted)/b", None),
        (b"", None),
    ];
    for (path, expected) in rows {
        assert_eq!(without_deleted(path), expected);
    }
}

#[test]
fn limits() {
    assert_eq!(parse_limit(fixture!("linux-6.1/memory.max")), Ok(Limit::Bytes(200 << 20)));
    assert_eq!(parse_limit(fixture!("linux-6.12/memory.high")), Ok(Limit::Bytes(60 << 20)));
    assert_eq!(parse_limit(fixture!("linux-6.12/memory.swap.max")), Ok(Limit::Max));
    assert_eq!(parse_limit(b"0\n"), Ok(Limit::Bytes(0)));
    assert_eq!((Limit::Max.bytes(), Limit::Bytes(7).bytes()), (None, Some(7)));
    let bad = Malformed { file: FileKind::CgroupLimit, what: "value", fault: Fault::Unreadable };
    for text in ["maximum\n", "-1\n", "1 2\n", "max\nmax\n", "18446744073709551616\n", "4G\n"] {
        assert_eq!(parse_limit(text.as_bytes()), Err(bad), "{text:?}");
    }
    for text in ["", "\n", "max", "209715200"] {
        assert_eq!(parse_limit(text.as_bytes()), Err(Malformed { fault: Fault::Missing, ..bad }), "{text:?}");
    }
}

#[test]
fn limits_of_v1_know_no_limit_by_the_page_size() {
    let real = parse_limit_v1(fixture!("linux-6.1-cgroup1/memory.limit_in_bytes"), 4096);
    assert_eq!(real, Ok(Limit::Bytes(60 << 20)));
    let unlimited = parse_limit_v1(fixture!("linux-6.1-cgroup1/memory.memsw.limit_in_bytes"), 4096);
    assert_eq!(unlimited, Ok(Limit::Max));
    let rows = [
        (NO_LIMIT_4K, 4096, Limit::Max),
        (NO_LIMIT_4K - 4096, 4096, Limit::Bytes(NO_LIMIT_4K - 4096)),
        // 64 KiB pages
        (9_223_372_036_854_710_272, 65_536, Limit::Max),
        (9_223_372_036_854_710_272, 4096, Limit::Bytes(9_223_372_036_854_710_272)),
        // before Linux 3.19
        (9_223_372_036_854_775_807, 4096, Limit::Max),
        (u64::MAX, 4096, Limit::Max),
        (1 << 30, 0, Limit::Bytes(1 << 30)),
    ];
    for (number, page_size, expected) in rows {
        assert_eq!(parse_limit_v1(format!("{number}\n").as_bytes(), page_size), Ok(expected), "{number} {page_size}");
    }
    assert!(parse_limit_v1(b"max\n", 4096).is_err());
}

#[test]
fn usage() {
    assert_eq!(parse_cgroup_bytes(fixture!("linux-6.1/memory.current")), Ok(59_023_360));
    assert_eq!(parse_cgroup_bytes(fixture!("linux-6.1-cgroup1/memory.usage_in_bytes")), Ok(59_150_336));
    let bad = Malformed { file: FileKind::CgroupBytes, what: "value", fault: Fault::Unreadable };
    for text in ["max\n", "-1\n", "1.5\n"] {
        assert_eq!(parse_cgroup_bytes(text.as_bytes()), Err(bad), "{text:?}");
    }
    assert_eq!(parse_cgroup_bytes(b"590"), Err(Malformed { fault: Fault::Missing, ..bad }));
}

#[test]
fn populated() {
    assert_eq!(parse_populated(fixture!("linux-6.1/cgroup.events")), Ok(true));
    assert_eq!(parse_populated(b"frozen 1\npopulated 0\n"), Ok(false));
    let missing = Malformed { file: FileKind::CgroupEvents, what: "populated", fault: Fault::Missing };
    for text in ["", "frozen 0\n", "populated 1", "populated\n"] {
        assert_eq!(parse_populated(text.as_bytes()), Err(missing), "{text:?}");
    }
    for text in ["populated 2\n", "populated \n", "populated 01\n", "populated 0 0\n"] {
        let unreadable = Malformed { fault: Fault::Unreadable, ..missing };
        assert_eq!(parse_populated(text.as_bytes()), Err(unreadable), "{text:?}");
    }
}

#[test]
fn members_of_a_cgroup() {
    assert!(members(fixture!("linux-6.1/cgroup.procs")).eq([Ok(Member::Pid(324))]));
    assert!(members(fixture!("linux-6.12/root.cgroup.procs")).all(|member| matches!(member, Ok(Member::Pid(2..)))));
    assert_eq!(members(b"").count(), 0);
    let missing = Malformed { file: FileKind::CgroupProcs, what: "end of line", fault: Fault::Missing };
    let unreadable = Malformed { file: FileKind::CgroupProcs, what: "pid", fault: Fault::Unreadable };
    let items = members(b"12\n0\n2147483647\n2147483648\n-3\n\nx\n12\n34");
    assert!(items.eq([
        Ok(Member::Pid(12)),
        Ok(Member::Foreign),
        Ok(Member::Pid(i32::MAX)),
        Err(unreadable),
        Err(unreadable),
        Err(unreadable),
        Err(unreadable),
        Ok(Member::Pid(12)),
        Err(missing),
    ]));
}

#[test]
fn memory_events() {
    let real = parse_memory_events(fixture!("linux-6.1/memory.events")).expect("a real file");
    let expected = MemoryEvents {
        low: Some(0),
        high: Some(292),
        max: Some(0),
        oom: Some(0),
        oom_kill: Some(0),
        oom_group_kill: Some(0),
    };
    assert_eq!(real, expected);
    let old = parse_memory_events(b"low 1\nhigh 2\nmax 3\noom 4\n").expect("before 4.13");
    assert_eq!((old.oom, old.oom_kill, old.oom_group_kill), (Some(4), None, None));
    let newer = parse_memory_events(b"low 1\nsock_throttled 9\nhigh 2\n").expect("a key we do not know");
    assert_eq!(newer.high, Some(2));
    for bad in ["high\n", "high \n", "high x\n", "high -1\n", "high  7\n"] {
        assert!(parse_memory_events(bad.as_bytes()).is_err(), "{bad:?}");
    }
}

#[test]
fn memory_stat_of_v2() {
    let real = parse_memory_stat(fixture!("linux-6.12/memory.stat")).expect("a real file");
    let expected = MemoryStat {
        anon: Some(52_961_280),
        file: Some(4_423_680),
        shmem: Some(0),
        inactive_anon: Some(31_154_176),
        active_anon: Some(22_933_504),
        inactive_file: Some(3_977_216),
        active_file: Some(446_464),
        unevictable: Some(0),
        slab_reclaimable: Some(41_928),
        slab_unreclaimable: Some(20_672),
        pgscan: Some(79_523),
        pgsteal: Some(49_837),
        pgmajfault: Some(30_881),
        workingset_refault_anon: Some(30_854),
        workingset_refault_file: Some(218),
        workingset_activate_anon: Some(1),
        workingset_activate_file: Some(3),
        workingset_restore_anon: Some(1),
        workingset_restore_file: Some(3),
    };
    assert_eq!(real, expected);
    let old = parse_memory_stat(fixture!("by-hand/memory.stat.linux-5.4")).expect("an old file");
    assert_eq!(old.workingset_refault_file, Some(77));
    assert_eq!(old.workingset_activate_file, Some(33));
    assert_eq!(old.workingset_restore_file, Some(11));
    assert_eq!(old.workingset_refault_anon, None);
    let bad = Malformed { file: FileKind::MemoryStat, what: "pgscan", fault: Fault::Unreadable };
    assert_eq!(parse_memory_stat(b"anon 1\npgscan one\n"), Err(bad));
}

#[test]
fn memory_stat_of_v1() {
    let real = parse_memory_stat_v1(fixture!("linux-6.1-cgroup1/memory.stat")).expect("a real file");
    let expected = MemoryStatV1 {
        hierarchical_memory_limit: Some(60 << 20),
        hierarchical_memsw_limit: Some(NO_LIMIT_4K),
        total_cache: Some(2_306_048),
        total_rss: Some(56_463_360),
        total_shmem: Some(0),
        total_swap: Some(72_396_800),
        total_inactive_file: Some(1_052_672),
        total_active_file: Some(1_253_376),
    };
    assert_eq!(real, expected);
    assert!(parse_memory_stat_v1(fixture!("linux-6.12/memory.stat")).is_err(), "v2's keys are others");
}
