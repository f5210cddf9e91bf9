//! `/proc/PID/*`: `stat`, `statm`, `status`, `oom_score`, `oom_score_adj`.

use hogwatch::observe::parse::*;

use crate::fixture;

const KIB: u64 = 1024;

#[test]
fn stat_of_real_processes() {
    let hog = parse_stat(fixture!("linux-6.1/hog.stat")).expect("a real file");
    let expected = Stat {
        pid: 324,
        comm: Comm::new(b"a) Z 1 (\n\x1b[1m"),
        state: State::Sleeping,
        ppid: 270,
        pgrp: Some(254),
        session: Some(254),
        flags: 4_194_304,
        children_minflt: 0,
        majflt: 29_867,
        num_threads: 1,
        start_time: 1_326,
        vsize: 140_333_056,
        rss_pages: 15_092,
    };
    assert_eq!(hog, expected);
    assert!(!hog.is_kernel_thread() && !hog.is_exiting() && !hog.is_dead());

    let sleep = parse_stat(fixture!("linux-6.18/sleep.stat")).expect("a real file");
    assert_eq!((sleep.pid, sleep.ppid, sleep.start_time, sleep.rss_pages), (19_425, 19_304, 144_824, 412));
    assert_eq!(sleep.comm.as_bytes(), b"sleep");
    let init = parse_stat(fixture!("linux-6.12/init.stat")).expect("a real file");
    assert_eq!((init.pid, init.ppid, init.comm.as_bytes()), (1, 0, b"systemd".as_slice()));
}

#[test]
fn stat_of_real_zombies() {
    for bytes in [fixture!("linux-6.1/zombie_leader.stat"), fixture!("linux-6.12/zombie_leader.stat")] {
        let leader = parse_stat(bytes).expect("a real file");
        assert_eq!(leader.comm.as_bytes(), "überlängé→".as_bytes());
        assert_eq!((leader.state, leader.num_threads, leader.rss_pages), (State::Zombie, 2, 0));
        assert!(leader.is_exiting() && !leader.is_dead(), "its other thread lives");
    }
    for bytes in [fixture!("linux-6.1/zombie.stat"), fixture!("linux-6.12/zombie.stat")] {
        assert!(parse_stat(bytes).expect("a real file").is_dead());
    }
}

#[test]
fn stat_of_kernel_threads() {
    let rows = [
        (fixture!("linux-6.1/kthreadd.stat"), "kthreadd"),
        (fixture!("linux-6.12/kthreadd.stat"), "kthreadd"),
        (fixture!("linux-6.1/kworker.stat"), "kworker/0:0-rcu"),
        (fixture!("linux-6.12/kworker.stat"), "kworker/R-kvfre"),
    ];
    for (bytes, comm) in rows {
        let thread = parse_stat(bytes).expect("a real file");
        assert!(thread.is_kernel_thread(), "{thread:?}");
        assert_eq!(thread.comm.to_string(), comm);
    }
}

/// A stat file with this name; what follows it says: stopped, parent 547891, 23 threads, 65528 pages.
fn stat_named(comm: &[u8]) -> Vec<u8> {
    let tail =
        b") S 547891 548000 548001 0 -1 4194304 9 8 7 6 5 4 3 2 20 0 23 0 3000 4096 65528 18446744073709551615 0\n";
    [b"549077 (", comm, tail].concat()
}

#[test]
fn no_name_can_pass_for_columns() {
    let names: [&[u8]; 15] = [
        b"gnome-shell",
        b"",
        b": - )",
        b"()()()())))(((()))()()",
        b"   \n\n    ",
        b"foo) Z ",
        b"foo) Z",
        b"foo)Z ",
        b"foo)\nZ\n",
        b"foo)\tZ\t",
        b"foo)  Z  ",
        b"\xff\xfe) R 1 1 1",
        b")",
        b"(",
        b"\0\x1b]0;x\x07",
    ];
    for name in names {
        let stat = parse_stat(&stat_named(name)).expect("well-formed");
        assert_eq!((stat.pid, stat.state, stat.ppid), (549_077, State::Sleeping, 547_891), "{}", name.escape_ascii());
        assert_eq!((stat.num_threads, stat.start_time, stat.rss_pages), (23, 3_000, 65_528));
        assert_eq!(stat.comm, Comm::new(name));
    }
}

#[test]
fn every_state_letter() {
    let rows = [
        (b'R', State::Running),
        (b'S', State::Sleeping),
        (b'D', State::DiskSleep),
        (b'T', State::Stopped),
        (b't', State::Traced),
        (b'Z', State::Zombie),
        (b'X', State::Dead),
        (b'x', State::Dead),
        (b'I', State::Idle),
        (b'P', State::Parked),
        (b'W', State::Unknown(b'W')),
        (0xff, State::Unknown(0xff)),
    ];
    for (letter, expected) in rows {
        assert_eq!(State::from(letter), expected, "{letter}");
    }
}

#[test]
fn flags_of_the_leader() {
    let flags = |flags: u32| {
        let text = format!("1 (x) R 1 1 1 0 -1 {flags} 0 0 0 0 0 0 0 0 20 0 1 0 5 6 7 8\n");
        let stat = parse_stat(text.as_bytes()).expect("well-formed");
        (stat.is_exiting(), stat.is_kernel_thread())
    };
    let rows = [(0, (false, false)), (4, (true, false)), (0x20_0000, (false, true)), (u32::MAX, (true, true))];
    for (bits, expected) in rows {
        assert_eq!(flags(bits), expected, "{bits:#x}");
    }
}

#[test]
fn stat_of_a_process_being_reaped() {
    let stat = parse_stat(b"7 (gone) X 0 -1 -1 0 -1 4228108 0 0 0 0 0 0 0 0 20 0 0 0 99 0 0 0\n").expect("readable");
    assert_eq!((stat.ppid, stat.pgrp, stat.session, stat.num_threads), (0, None, None, 0));
    assert!(stat.is_dead());
}

#[test]
fn stat_rows() {
    let columns = "S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 6 7 8\n";
    let with = |index: usize, word: &str| {
        let mut words: Vec<_> = columns.split(' ').collect();
        words[index] = word;
        format!("1 (x) {}", words.join(" "))
    };
    let rows = [
        (String::new(), "comm", Fault::Missing),
        ("x".into(), "comm", Fault::Missing),
        ("\0\0\0".into(), "comm", Fault::Missing),
        (")".into(), "comm", Fault::Missing),
        ("1 (x".into(), "comm", Fault::Missing),
        (format!("1 )x( {columns}"), "comm", Fault::Unreadable),
        (format!("(x) {columns}"), "pid", Fault::Unreadable),
        (format!("0 (x) {columns}"), "pid", Fault::Unreadable),
        (format!("-1 (x) {columns}"), "pid", Fault::Unreadable),
        (format!("2147483648 (x) {columns}"), "pid", Fault::Unreadable),
        ("1 (x)".into(), "state", Fault::Missing),
        ("1 (x) S".into(), "state", Fault::Missing),
        ("1 (x)S".into(), "state", Fault::Missing),
        ("1 (x) S 1 1 1\n".into(), "tty_nr", Fault::Missing),
        (with(0, "SS"), "state", Fault::Unreadable),
        (with(1, "-1"), "ppid", Fault::Unreadable),
        (with(2, "2147483648"), "pgrp", Fault::Unreadable),
        (with(3, "y"), "session", Fault::Unreadable),
        (with(6, "4294967296"), "flags", Fault::Unreadable),
        (with(9, "1.5"), "majflt", Fault::Unreadable),
        (with(17, "-2"), "num_threads", Fault::Unreadable),
        (with(19, "18446744073709551616"), "starttime", Fault::Unreadable),
        (with(20, "0x10"), "vsize", Fault::Unreadable),
        (with(21, "7\0"), "rss", Fault::Unreadable),
    ];
    assert_eq!(parse_stat(with(0, "S").as_bytes()).map(|stat| stat.rss_pages), Ok(7));
    for (text, what, fault) in rows {
        let expected = Malformed { file: FileKind::Stat, what, fault };
        assert_eq!(parse_stat(text.as_bytes()), Err(expected), "{text:?}");
    }
}

#[test]
fn statm_rows() {
    let hog = parse_statm(fixture!("linux-6.1/hog.statm")).expect("a real file");
    assert_eq!(hog, Statm { size: 34_261, resident: 15_092, shared: 1_254 });
    assert_eq!(parse_statm(fixture!("linux-6.12/kthreadd.statm")), Ok(Statm::default()));
    let rows: [(&[u8], &str, Fault); 7] = [
        (b"", "size", Fault::Missing),
        (b"\n", "size", Fault::Missing),
        (b"12", "size", Fault::Missing),
        (b"1 2\n", "shared", Fault::Missing),
        (b"1 2 3", "shared", Fault::Missing),
        (b"1 -2 3 4 5 6 7\n", "resident", Fault::Unreadable),
        (b"1 2 18446744073709551616 4 5 6 7\n", "shared", Fault::Unreadable),
    ];
    for (bytes, what, fault) in rows {
        let expected = Malformed { file: FileKind::Statm, what, fault };
        assert_eq!(parse_statm(bytes), Err(expected), "{}", bytes.escape_ascii());
    }
}

#[test]
fn status_of_real_processes() {
    let hog = parse_status(fixture!("linux-6.1/hog.status")).expect("a real file");
    let expected = Status {
        state: State::Sleeping,
        tgid: 324,
        uid_real: 0,
        uid_effective: 0,
        threads: 1,
        vm_lck: Some(0),
        vm_rss: Some(60_368 * KIB),
        rss_anon: Some(55_352 * KIB),
        rss_file: Some(5_016 * KIB),
        rss_shmem: Some(0),
        vm_swap: Some(70_488 * KIB),
    };
    assert_eq!(hog, expected);
    let sleep = parse_status(fixture!("linux-6.18/sleep.status")).expect("a real file");
    assert_eq!((sleep.tgid, sleep.rss_anon, sleep.vm_swap), (19_425, Some(108 * KIB), Some(0)));
}

#[test]
fn status_without_memory_or_without_its_parts() {
    let memoryless = [
        fixture!("linux-6.1/kthreadd.status"),
        fixture!("linux-6.18/kthreadd.status"),
        fixture!("linux-6.1/zombie.status"),
        fixture!("linux-6.12/zombie_leader.status"),
    ];
    for bytes in memoryless {
        let status = parse_status(bytes).expect("a real file");
        assert_eq!((status.vm_rss, status.rss_anon, status.vm_swap), (None, None, None));
    }
    let old = parse_status(fixture!("by-hand/status.linux-4.4")).expect("an old file");
    assert_eq!((old.vm_rss, old.vm_swap, old.vm_lck), (Some(3_604 * KIB), Some(512 * KIB), Some(64 * KIB)));
    assert_eq!((old.rss_anon, old.rss_file, old.rss_shmem), (None, None, None));
    assert_eq!((old.uid_real, old.uid_effective), (33, 33));
}

#[test]
fn a_process_cannot_hide_its_memory_behind_its_groups() {
    let groups: String = (0..65_536).map(|group| format!("{group} ")).collect();
    let text = format!(
        "Name:\tx\nState:\tS (sleeping)\nTgid:\t9\nUid:\t1000\t1001\t1000\t1000\nGroups:\t{groups}\n\
         VmRSS:\t 64 kB\nRssAnon:\t 32 kB\nThreads:\t3\n"
    );
    let whole = parse_status(text.as_bytes()).expect("whole");
    assert_eq!((whole.uid_real, whole.uid_effective, whole.rss_anon), (1000, 1001, Some(32 * KIB)));
    let cut = parse_status(&text.as_bytes()[..4096]);
    assert_eq!(cut, Err(Malformed { file: FileKind::Status, what: "Threads", fault: Fault::Missing }));
}

#[test]
fn status_rows() {
    let base = "Name:\tx\\nThreads:\t9\nState:\tR (running)\nTgid:\t9\nUid:\t1\t2\t3\t4\nVmRSS:\t64 kB\nThreads:\t3\n";
    assert_eq!(parse_status(base.as_bytes()).map(|status| status.threads), Ok(3), "a name is no line");
    let rows = [
        ("State:\tR (running)\n", "", "State"),
        ("Tgid:\t9\n", "", "Tgid"),
        ("Tgid:\t9\n", "Tgid:\tnine\n", "Tgid"),
        ("Uid:\t1\t2\t3\t4\n", "", "Uid"),
        ("Uid:\t1\t2\t3\t4\n", "Uid:\t1\n", "Uid"),
        ("Uid:\t1\t2\t3\t4\n", "Uid:\t1\t-2\t3\t4\n", "Uid"),
        ("64 kB", "64", "VmRSS"),
        ("64 kB", "18014398509481984 kB", "VmRSS"),
        ("\t3\n", "\tmany\n", "Threads"),
    ];
    for (from, to, what) in rows {
        let text = base.replacen(from, to, 1);
        let expected = Malformed { file: FileKind::Status, what, fault: Fault::Unreadable };
        assert_eq!(parse_status(text.as_bytes()), Err(expected), "{text:?}");
    }
}

#[test]
fn oom_scores() {
    assert_eq!(parse_oom_score(fixture!("linux-6.1/hog.oom_score")), Ok(732));
    assert_eq!(parse_oom_score_adj(fixture!("linux-6.1/hog.oom_score_adj")), Ok(0));
    for (text, expected) in [("0\n", 0), ("-1000\n", -1000), ("1000\n", 1000), ("-0\n", 0)] {
        assert_eq!(parse_oom_score_adj(text.as_bytes()), Ok(expected));
    }
    let score = Malformed { file: FileKind::OomScore, what: "value", fault: Fault::Unreadable };
    for text in ["-1\n", "x\n", "4294967296\n", "1 2\n", "1\n2\n", "\0\n"] {
        assert_eq!(parse_oom_score(text.as_bytes()), Err(score), "{text:?}");
    }
    let adj = Malformed { file: FileKind::OomScoreAdj, what: "value", fault: Fault::Unreadable };
    for text in ["-1001\n", "1001\n", "+5\n", "-\n", "--5\n", "99999999999999999999\n"] {
        assert_eq!(parse_oom_score_adj(text.as_bytes()), Err(adj), "{text:?}");
    }
    // "-1000" cut to "-100" would make an untouchable process a candidate
    let cut = Malformed { fault: Fault::Missing, ..adj };
    for text in ["", "\n", "-1000", "-100"] {
        assert_eq!(parse_oom_score_adj(text.as_bytes()), Err(cut), "{text:?}");
    }
}
