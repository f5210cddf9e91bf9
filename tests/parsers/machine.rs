//! Pressure, `/proc/vmstat`, swap, zram, ZFS.

use hogwatch::observe::parse::*;

use crate::{fixture, missing, unreadable};

const KIB: u64 = 1024;

#[test]
fn pressure_of_real_kernels() {
    let pressure = parse_pressure(fixture!("linux-6.1/pressure_memory")).expect("a real file");
    let some = PressureLine { avg10_centi: 360, avg60_centi: 114, avg300_centi: 26, total_us: 793_195 };
    let full = PressureLine { avg10_centi: 350, avg60_centi: 111, avg300_centi: 25, total_us: 777_988 };
    assert_eq!(pressure, Pressure { some, full: Some(full) });
    let idle = parse_pressure(fixture!("linux-6.18/pressure_memory")).expect("a real file");
    assert_eq!(idle, Pressure { some: PressureLine::default(), full: Some(PressureLine::default()) });
    let in_cgroup = parse_pressure(fixture!("linux-6.12/memory.pressure")).expect("a real file");
    assert_eq!(in_cgroup.full.map(|full| full.total_us), Some(636_295));
}

#[test]
fn pressure_rows() {
    let line = |text: &str| parse_pressure(format!("some {text}\n").as_bytes()).map(|pressure| pressure.some);
    let most = line("avg10=100.00 avg60=99.99 avg300=0.01 total=18446744073709551615").expect("in range");
    assert_eq!((most.avg10_centi, most.avg60_centi, most.avg300_centi, most.total_us), (10_000, 9_999, 1, u64::MAX));
    let newer = line("avg5=1.00 avg10=0.50 total=7 avg60=0.00 avg300=0.00 more").expect("unknown words are skipped");
    assert_eq!((newer.avg10_centi, newer.total_us), (50, 7));

    let rows = [
        ("avg10=0.1 avg60=0.00 avg300=0.00 total=0", "avg10"),
        ("avg10=0.123 avg60=0.00 avg300=0.00 total=0", "avg10"),
        ("avg10=.12 avg60=0.00 avg300=0.00 total=0", "avg10"),
        ("avg10=-1.00 avg60=0.00 avg300=0.00 total=0", "avg10"),
        ("avg10=NaN avg60=0.00 avg300=0.00 total=0", "avg10"),
        ("avg10=99999999999.00 avg60=0.00 avg300=0.00 total=0", "avg10"),
        ("avg10=0.00 avg60=42949672.96 avg300=0.00 total=0", "avg60"),
        ("avg10=0.00 avg60=0.00 total=0", "avg300"),
        ("avg10=0.00 avg60=0.00 avg300=0.00 total=18446744073709551616", "total"),
    ];
    for (text, what) in rows {
        assert_eq!(line(text), Err(unreadable(FileKind::Pressure, what)), "{text}");
    }
    assert_eq!(parse_pressure(b""), Err(missing(FileKind::Pressure, "some")));
    let line = |name, total| format!("{name} avg10=0.00 avg60=0.00 avg300=0.00 total={total}\n");
    let text = [line("some", 1), line("full", 2), line("some", 3), line("full", 4)].concat();
    let twice = parse_pressure(text.as_bytes()).expect("readable");
    assert_eq!(twice.some.total_us, 1, "the first of two counts");
    assert_eq!(twice.full.map(|full| full.total_us), Some(2));
    let only_full = b"full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
    assert_eq!(parse_pressure(only_full), Err(missing(FileKind::Pressure, "some")));
}

#[test]
fn vmstat_of_real_kernels() {
    let vmstat = parse_vmstat(fixture!("linux-6.1/vmstat")).expect("a real file");
    let expected = Vmstat {
        pswpin: Some(29_823),
        pswpout: Some(47_429),
        pgmajfault: Some(30_107),
        pgscan_kswapd: Some(0),
        pgscan_direct: Some(0),
        pgscan_anon: Some(106_569),
        pgscan_file: Some(2_330),
        pgsteal_kswapd: Some(0),
        pgsteal_direct: Some(0),
        pgsteal_anon: Some(47_429),
        pgsteal_file: Some(1_360),
        oom_kill: Some(0),
        workingset_refault_anon: Some(29_823),
        workingset_refault_file: Some(471),
        workingset_activate_anon: Some(1),
        workingset_activate_file: Some(296),
        workingset_restore_anon: Some(0),
        workingset_restore_file: Some(137),
    };
    assert_eq!(vmstat, expected);
    let newest = parse_vmstat(fixture!("linux-6.18/vmstat")).expect("a real file");
    assert_eq!((newest.pswpin, newest.pswpout, newest.oom_kill), (Some(0), Some(0), Some(0)));
}

#[test]
fn vmstat_rows() {
    let old = parse_vmstat(b"pswpin 1\nworkingset_refault 7\nworkingset_restore 3\n").expect("old names");
    assert_eq!((old.workingset_refault_file, old.workingset_restore_file), (Some(7), Some(3)));
    assert_eq!((old.workingset_refault_anon, old.oom_kill), (None, None));
    let first = parse_vmstat(b"pswpin 1\npswpin 2\npswpout 34").expect("first counts, cut line does not");
    assert_eq!((first.pswpin, first.pswpout), (Some(1), None));
    for bad in ["pswpin \n", "pswpin x\n", "pswpin -1\n", "pswpin 18446744073709551616\n", "pswpin 1 2\n"] {
        assert_eq!(parse_vmstat(bad.as_bytes()), Err(unreadable(FileKind::Vmstat, "pswpin")), "{bad}");
    }
    for empty in ["", "nr_free_pages 5\n", "pswpin", "pswpin 5"] {
        assert_eq!(parse_vmstat(empty.as_bytes()), Err(missing(FileKind::Vmstat, "any known key")), "{empty}");
    }
}

#[test]
fn cpu_times_rows() {
    let real = parse_cpu_times(fixture!("linux-6.18/proc_stat")).expect("a real file");
    assert_eq!((real.user, real.system, real.iowait), (1314501, 267259, 3702));
    let line = |text: &str| parse_cpu_times(format!("{text}\n").as_bytes());
    let expected = CpuTimes { user: 1, nice: 2, system: 3, idle: 4, iowait: 5, irq: 6, softirq: 7 };
    assert_eq!(line("cpu  1 2 3 4 5 6 7"), Ok(expected), "Linux 2.6 had no more columns");
    assert_eq!(line("cpu  1 2 3 4 5 6 7 8 9 10 11"), Ok(expected));
    assert_eq!(line("cpu  1 2 3 4 5 6"), Err(missing(FileKind::CpuTimes, "softirq")));
    assert_eq!(line("cpu  1 2 -3 4 5 6 7"), Err(unreadable(FileKind::CpuTimes, "system")));
    for bad in ["", "cpu0 1 2 3 4 5 6 7", "intr 5"] {
        assert_eq!(line(bad), Err(missing(FileKind::CpuTimes, "cpu")), "{bad}");
    }
}

#[test]
fn swaps_of_a_real_kernel() {
    let areas: Vec<_> = swap_areas(fixture!("linux-6.1/swaps")).collect::<Result<_, _>>().expect("a real file");
    let zram = SwapArea {
        path: b"/dev/zram0",
        kind: SwapKind::Partition,
        size: 262_140 * KIB,
        used: 70_912 * KIB,
        priority: 5,
    };
    let file =
        SwapArea { path: b"/var/tmp/swap\\040file", kind: SwapKind::File, size: 65_532 * KIB, used: 0, priority: -2 };
    assert_eq!(areas, [zram, file]);
    assert!(zram.is_zram() && !file.is_zram());
}

#[test]
fn swaps_rows() {
    let headings = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
    assert_eq!(swap_areas(b"").count(), 0);
    assert_eq!(swap_areas(headings.as_bytes()).count(), 0, "no swap");
    let rows = [
        ("/swap file 10\n", missing(FileKind::Swaps, "Used")),
        ("/swap disk 10 0 1\n", unreadable(FileKind::Swaps, "Type")),
        ("/swap file ten 0 1\n", unreadable(FileKind::Swaps, "Size")),
        ("/swap file 10 18014398509481984 1\n", unreadable(FileKind::Swaps, "Used")),
        ("/swap file 10 0 4294967296\n", unreadable(FileKind::Swaps, "Priority")),
        ("/swap file 10 0 -2", missing(FileKind::Swaps, "end of line")),
    ];
    for (row, expected) in rows {
        let text = format!("{headings}/dev/sda2 partition 8 4 -2\n{row}");
        let items: Vec<_> = swap_areas(text.as_bytes()).collect();
        assert_eq!(items.len(), 2, "{row}");
        assert_eq!(items[0].map(|area| area.used), Ok(4 * KIB), "{row}");
        assert_eq!(items[1], Err(expected), "{row}");
    }
}

#[test]
fn zram_of_real_and_old_kernels() {
    let zram = parse_zram_mm_stat(fixture!("linux-6.1/mm_stat")).expect("a real file");
    let expected = ZramStat {
        orig_data_size: 72_376_320,
        compr_data_size: 1_695_681,
        mem_used_total: 2_514_944,
        mem_limit: 0,
        mem_used_max: 2_514_944,
        same_pages: 77,
        huge_pages: Some(0),
    };
    assert_eq!(zram, expected);
    assert_eq!(parse_zram_mm_stat(fixture!("linux-6.12/mm_stat")).map(|zram| zram.mem_used_max), Ok(3_547_136));
    let seven_columns = parse_zram_mm_stat(b" 8 4 5 6 7 2 1\n").expect("4.1 to 4.17");
    assert_eq!((seven_columns.same_pages, seven_columns.huge_pages), (2, None));
}

#[test]
fn zram_rows() {
    let rows: [(&[u8], Malformed); 6] = [
        (b"", missing(FileKind::ZramMmStat, "orig_data_size")),
        (b"\n", missing(FileKind::ZramMmStat, "orig_data_size")),
        (b"8 4 5 6 7 2 1 0", missing(FileKind::ZramMmStat, "orig_data_size")),
        (b"8 4 5 6\n", missing(FileKind::ZramMmStat, "mem_used_max")),
        (b"8 4 -5 6 7 2 1\n", unreadable(FileKind::ZramMmStat, "mem_used_total")),
        (b"8 4 5 6 7 2 1 many\n", unreadable(FileKind::ZramMmStat, "huge_pages")),
    ];
    for (bytes, expected) in rows {
        assert_eq!(parse_zram_mm_stat(bytes), Err(expected), "{}", bytes.escape_ascii());
    }
}

#[test]
fn arcstats_rows() {
    let arc = parse_arcstats(fixture!("by-hand/arcstats")).expect("complete");
    const GIB: u64 = 1 << 30;
    assert_eq!(arc, ArcStats { size: 8_053_063_680, c: 8 * GIB, c_min: GIB, c_max: 16 * GIB });

    let headings = "13 1 0x01 4 192 1 2\nname type data\n";
    let values = ["c 4 1\n", "c_min 4 2\n", "c_max 4 3\n", "size 4 4\n"];
    for (index, what) in ["c", "c_min", "c_max", "size"].into_iter().enumerate() {
        let mut text = headings.to_owned();
        values.iter().enumerate().filter(|(at, _)| *at != index).for_each(|(_, line)| text.push_str(line));
        assert_eq!(parse_arcstats(text.as_bytes()), Err(missing(FileKind::Arcstats, what)));
        text.push_str(what);
        text.push_str(" 3 -1\n");
        assert_eq!(parse_arcstats(text.as_bytes()), Err(unreadable(FileKind::Arcstats, what)));
    }
    let text = format!("{headings}{}size 4 9\n", values.concat());
    let twice = parse_arcstats(text.as_bytes());
    assert_eq!(twice.map(|arc| arc.size), Ok(4), "the first of two counts");
    let no_value = format!("{headings}size 4\n");
    assert_eq!(parse_arcstats(no_value.as_bytes()), Err(unreadable(FileKind::Arcstats, "size")));
}
