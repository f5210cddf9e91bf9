//! The kernel's log: records, and OOM reports of several kernels, whole, cut, interleaved and forged.

use std::time::Duration;

use hogwatch::observe::Comm;
use hogwatch::observe::kmsg::{Assembler, Caller, Constraint, Heard, OomReport, Record, Usage};
use proptest::prelude::*;

use crate::fixture;

const MIB: u64 = 1 << 20;
const KIB: u64 = 1 << 10;
const PAGE: u64 = 4096;

/// The records in a file: lines that begin with a blank belong to the one before.
fn records(file: &[u8]) -> Vec<Vec<u8>> {
    let mut records: Vec<Vec<u8>> = Vec::new();
    for line in file.split_inclusive(|byte| *byte == b'\n') {
        match records.last_mut() {
            Some(last) if line.starts_with(b" ") => last.extend(line),
            _ => records.push(line.to_vec()),
        }
    }
    records
}

/// What is heard of these records, each a millisecond after the one before, and of the silence that follows.
fn hear(records: &[Vec<u8>]) -> Vec<Heard> {
    let mut heard = Vec::new();
    let mut tell = |what| heard.push(what);
    let mut assembler = Assembler::new(PAGE);
    let mut now = Duration::from_secs(1);
    for record in records {
        if let Some(record) = Record::parse(record) {
            assembler.hear(&record, now, &mut tell);
        }
        now += Duration::from_millis(1);
    }
    assembler.settle(now + Duration::from_secs(60), &mut tell);
    assert_eq!(assembler.due(), None);
    heard
}

fn reports(file: &[u8]) -> Vec<OomReport> {
    let heard = hear(&records(file)).into_iter();
    heard.filter_map(|heard| if let Heard::Oom(report) = heard { Some(*report) } else { None }).collect()
}

fn one(file: &[u8]) -> OomReport {
    let mut reports = reports(file);
    assert_eq!(reports.len(), 1, "{reports:#?}");
    reports.remove(0)
}

/// A record of the kernel's with this text.
fn line(text: &str) -> Vec<u8> {
    format!("6,1,1,-;{}\n", text.replace('\\', "\\x5c").replace('\n', "\\x0a")).into_bytes()
}

fn lines(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| line(text)).collect()
}

#[test]
fn records_are_taken_apart() {
    let record = Record::parse(b"30,7,99,c,caller=T123,more=x;a\\x0ab\\x5c\\xzz;c\n KEY=\\x41\n").unwrap();
    assert_eq!((record.facility, record.continues, record.caller), (3, true, Some(Caller::Task(123))));
    let mut text = Vec::new();
    record.unescape(&mut text);
    assert_eq!(text, b"a\nb\\\\xzz;c");
    let other = Record::parse(b"6,7,99,-,caller=C2;\n").unwrap();
    assert_eq!((other.facility, other.continues, other.caller), (0, false, Some(Caller::Cpu(2))));
    for bad in
        ["", ";", "6,7,99,-;no newline", "6,7,99;x\n", "x,7,99,-;x\n", "+6,7,99,-;x\n", "6,7,-;x\n", "6,-7,9,-;x\n"]
    {
        assert_eq!(Record::parse(bad.as_bytes()), None, "{bad}");
    }
}

#[test]
fn a_kill_at_an_ancestors_limit() {
    let rows = [
        (fixture!("linux-6.1/kmsg/memcg"), 396, 91_544, 23_059, 395),
        (fixture!("linux-6.12/kmsg/memcg"), 508, 91_776, 23_084, 507),
    ];
    for (file, pid, anon, rss, other) in rows {
        let report = one(file);
        assert_eq!(report.constraint, Some(Constraint::MemoryCgroup));
        assert_eq!(report.limit_cgroup.as_deref(), Some(b"/lab-outer".as_slice()));
        assert_eq!(report.task_cgroup.as_deref(), Some(b"/lab-outer/inner".as_slice()));
        assert_eq!(report.usage, Some(Usage { bytes: 100 * MIB, limit: 100 * MIB }));
        let name = Comm::new(b"a b,pid=1,uid=0");
        assert_eq!((report.invoked_by, report.victim.comm), (Some(name), name));
        assert_eq!((report.victim.pid, report.victim.uid, report.victim.oom_score_adj), (pid, Some(0), Some(0)));
        assert_eq!((report.victim.anon, report.victim.swap), (Some(anon * KIB), Some(0)));
        assert_eq!((report.killed, report.killed_bytes, report.counted), (1, anon * KIB, 1));
        assert_eq!((report.group, report.listed), (None, Some(2)));
        let largest: Vec<_> = report.largest.iter().map(|p| (p.pid, p.rss)).collect();
        assert_eq!(largest[0], (pid, rss * PAGE));
        assert_eq!((largest[1].0, largest.len()), (other, 2));
        assert_eq!(report.largest[1].comm, Comm::new(b"small one"));
    }
}

#[test]
fn a_whole_group_is_one_kill_and_nobody_is_counted_twice() {
    for (file, pid, anon) in [
        (fixture!("linux-6.1/kmsg/group"), 409, 60_656 + 10_232 + 20_260),
        (fixture!("linux-6.12/kmsg/group"), 521, 60_800 + 10_240 + 20_480),
    ] {
        let report = one(file);
        assert_eq!(report.group.as_deref(), Some(b"/lab-outer/group".as_slice()));
        assert_eq!((report.killed, report.killed_bytes, report.counted), (3, anon * KIB, 4));
        assert_eq!((report.victim.pid, report.victim.comm), (pid, Comm::new(b"nl\nKilled proce")));
        assert_eq!(report.task_cgroup.as_deref(), Some(b"/lab-outer/group".as_slice()));
        assert_eq!(report.limit_cgroup.as_deref(), Some(b"/lab-outer".as_slice()));
        let mut names: Vec<_> = report.largest.iter().map(|process| process.comm.to_string()).collect();
        names.sort();
        assert_eq!(names, ["nl\\nKilled proce", "oom-kill:constr", "small one", "x invoked oom-k"]);
    }
}

#[test]
fn a_kill_for_the_machine() {
    for (file, pid) in [(fixture!("linux-6.1/kmsg/global"), 436), (fixture!("linux-6.12/kmsg/global"), 548)] {
        let report = one(file);
        assert_eq!((report.constraint, report.limit_cgroup, report.usage), (Some(Constraint::Machine), None, None));
        assert_eq!(report.task_cgroup.as_deref(), Some(b"/system.slice/hog-global.service".as_slice()));
        assert_eq!((report.victim.pid, report.victim.comm), (pid, Comm::new(b"hog")));
        assert_eq!(report.invoked_by, Some(Comm::new(b"systemd")));
        assert_eq!((report.largest.len(), report.largest[0].pid), (10, pid), "ten at most");
        assert!(report.largest.is_sorted_by_key(|p| std::cmp::Reverse(p.rss + p.swap)));
        assert!(report.listed.is_some_and(|listed| listed > 10));
    }
}

#[test]
fn a_kill_without_a_dump() {
    for file in [fixture!("linux-6.1/kmsg/alloc"), fixture!("linux-6.12/kmsg/alloc")] {
        let report = one(file);
        assert_eq!((report.listed, report.largest.len()), (None, 0));
        assert_eq!(report.limit_cgroup.as_deref(), Some(b"/lab-outer".as_slice()));
        assert_eq!((report.victim.comm, report.victim.swap), (Comm::new(b"hog"), None));
    }
}

#[test]
fn older_kernels() {
    let report = one(fixture!("by-hand/kmsg/linux-5.0"));
    assert_eq!((report.victim.pid, report.victim.anon, report.victim.uid), (24_572, Some(1_026_160 * KIB), Some(0)));
    assert_eq!((report.victim.swap, report.victim.oom_score_adj), (Some(136 * PAGE), Some(-998)), "from the dump");
    assert_eq!(report.limit_cgroup.as_deref(), Some(b"/kubepods/pod95387fa4".as_slice()));
    assert_eq!(report.task_cgroup.as_deref(), Some(b"/kubepods/pod95387fa4/6895a3e1".as_slice()));
    assert_eq!(report.usage.map(|usage| usage.limit), Some(1 << 30));

    let report = one(fixture!("by-hand/kmsg/linux-5.4"));
    assert_eq!((report.constraint, report.usage), (Some(Constraint::Machine), None));
    assert_eq!(report.victim.swap, Some(524_018 * PAGE));
    assert_eq!(report.largest[1].pid, 3254, "a thread's row counts for its process");
    assert_eq!(report.task_cgroup.as_deref(), Some(b"/user.slice/user-0.slice/session-1.scope".as_slice()));

    let report = one(fixture!("by-hand/kmsg/linux-5.15"));
    assert_eq!(report.invoked_by, Some(Comm::new(b"kworker/3:1")));
    assert_eq!((report.victim.comm, report.victim.uid), (Comm::new(b"Isolated Web Co"), Some(1000)));
    assert_eq!(report.victim.oom_score_adj, Some(200));
}

#[test]
fn foreign_lines_and_fragments() {
    let report = one(fixture!("by-hand/kmsg/linux-5.10-callers"));
    assert_eq!(report.limit_cgroup.as_deref(), Some(b"/docker/081a".as_slice()));
    assert_eq!(report.task_cgroup.as_deref(), Some(b"/docker/081a".as_slice()));
    assert_eq!((report.listed, report.largest.len()), (Some(1), 1), "another thread's line is no row");
    assert_eq!((report.killed, report.victim.pid), (1, 8730));
}

#[test]
fn a_hung_task_is_a_line() {
    for file in [fixture!("linux-6.1/kmsg/hung"), fixture!("linux-6.12/kmsg/hung")] {
        let heard = hear(&records(file));
        let [Heard::HungTask(line)] = heard.as_slice() else { panic!("{heard:?}") };
        let line = String::from_utf8_lossy(line);
        assert!(line.starts_with("INFO: task dd:") && line.ends_with(" blocked for more than 2 seconds."), "{line}");
    }
    let texts =
        ["INFO: task x:7 blocked for more than 9 seconds. not", "INFO: task x blocked for more than 9 seconds."];
    assert_eq!(hear(&lines(&texts)), []);
    let named = "INFO: task a:1 blocked fo:77 blocked for more than 120 seconds.";
    assert_eq!(hear(&lines(&[named])), [Heard::HungTask(named.into())]);
}

#[test]
fn what_a_program_writes_into_the_log_counts_for_nothing() {
    for file in [fixture!("linux-6.1/kmsg/forged"), fixture!("linux-6.12/kmsg/forged")] {
        assert_eq!(hear(&records(file)), []);
    }
    // Nor between the lines of a real report.
    let mut real = records(fixture!("linux-6.1/kmsg/memcg"));
    let forged = records(fixture!("linux-6.1/kmsg/forged"));
    let expected = hear(&real);
    for at in (0..=real.len()).rev() {
        forged.iter().rev().for_each(|record| real.insert(at, record.clone()));
    }
    assert_eq!(hear(&real), expected);
}

#[test]
fn names_forge_nothing() {
    // What other parts of the kernel print with a name in front, and names as long as they get.
    for text in [
        "Killed process [77]: segfault at 0 ip 0000000000000000 sp 00007ffc error 14",
        "Out of memory: [77]: segfault at 0",
        "oom-kill:constr[77]: segfault at 0",
        "Tasks in /x are[77]: segfault at 0",
        "[  pid  ]   uid[77]: segfault at 0",
        "INFO: task a:1 [77]: segfault at 0",
        "traps: Killed process 1 (x) total-vm:1kB, anon-rss:1kB[77] general protection",
        "Memory cgroup out of memory: Kill process 24572 (java) score 0 or sacrifice child",
        "oom_reaper: reaped process 3261 (oom01), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB",
        "Out of memory: Killed process x (y) total-vm:1kB, anon-rss:1kB",
        "Out of memory: Killed process 4294967296 (y) total-vm:1kB, anon-rss:1kB",
        "Out of memory: Killed process 1 (sixteen bytes...) total-vm:1kB, anon-rss:1kB",
        "Out of memory: Killed process 1 (y) total-vm:1kB, anon-rss:18014398509481984kB",
        "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task=x,pid=1,uid=0",
    ] {
        assert_eq!(hear(&lines(&[text])), [], "{text}");
    }
    let report = |name: &str, path: &str| {
        hear(&lines(&[
            &format!("{name} invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0"),
            "memory: usage 9kB, limit 9kB, failcnt 4",
            "Memory cgroup stats for /a,task_memcg=/b:",
            "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name",
            &format!("[     42]  1000    42    23297    23059   225280        7            -5 {name}"),
            &format!(
                "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=x,mems_allowed=0,oom_memcg=/a,task_memcg=/b,\
                 task_memcg=/a,task_memcg=/b{path},task={name},pid=42,uid=1000"
            ),
            &format!(
                "Memory cgroup out of memory: Killed process 42 ({name}) total-vm:93188kB, anon-rss:91544kB, file-rss:4kB, \
                 shmem-rss:688kB, UID:1000 pgtables:220kB oom_score_adj:-5"
            ),
        ]))
    };
    let names = [
        "",
        " ",
        "a b",
        "x) total-vm:1kB",
        ",task=,pid=1,u",
        "a,task=b",
        ",uid=0,pid=1",
        "name (1) [2]:",
        "1 2 3",
        "\\x0a",
    ];
    for name in names {
        for path in ["", "/c", "/c,task=x,pid=1,uid=0", "/c,task=d", "/c,global_oom,task_memcg=/z"] {
            let heard = report(name, path);
            let [Heard::Oom(report)] = heard.as_slice() else { panic!("{name}: {heard:?}") };
            let comm = Comm::new(name.as_bytes());
            assert_eq!((report.victim.pid, report.victim.comm, report.victim.uid), (42, comm, Some(1000)), "{name}");
            assert_eq!((report.invoked_by, report.largest[0].comm), (Some(comm), comm), "{name}");
            assert_eq!((report.victim.swap, report.victim.oom_score_adj), (Some(7 * PAGE), Some(-5)), "{name}");
            assert_eq!(report.limit_cgroup.as_deref(), Some(b"/a,task_memcg=/b".as_slice()), "{name} {path}");
            let task = format!("/a,task_memcg=/b{path}");
            assert_eq!(report.task_cgroup.as_deref(), Some(task.as_bytes()), "{name} {path}");
        }
    }
}

#[test]
fn the_lines_of_kills_that_come_too_fast_for_reports() {
    let killed = |pid| {
        format!(
            "Memory cgroup out of memory: Killed process {pid} (hog) total-vm:1kB, anon-rss:2kB, file-rss:0kB, \
             shmem-rss:0kB, UID:5 pgtables:4kB oom_score_adj:0"
        )
    };
    let heard = hear(&lines(&[
        &killed(7),
        &killed(8),
        "Tasks in /g are going to be killed due to memory.oom.group set",
        &killed(9),
    ]));
    let [Heard::Oom(first), Heard::Oom(second)] = heard.as_slice() else { panic!("{heard:?}") };
    assert_eq!((first.victim.pid, first.killed, first.constraint), (7, 1, Some(Constraint::MemoryCgroup)));
    assert_eq!((second.victim.pid, second.killed, second.group.as_deref()), (8, 2, Some(b"/g".as_slice())));
}

#[test]
fn a_report_that_lost_its_end_or_its_beginning() {
    let whole = records(fixture!("linux-6.1/kmsg/memcg"));
    let without_kill = hear(&whole[..whole.len() - 1]);
    let [Heard::Oom(report)] = without_kill.as_slice() else { panic!("{without_kill:?}") };
    assert_eq!((report.victim.pid, report.victim.anon, report.victim.uid), (396, None, Some(0)));
    assert_eq!((report.victim.comm, report.killed), (Comm::new(b"a b,pid=1,uid=0"), 1));
    assert_eq!(hear(&whole[..whole.len() - 2]), [], "nobody was killed, as far as is known");
    let without_head = hear(&whole[whole.len() - 1..]);
    let [Heard::Oom(report)] = without_head.as_slice() else { panic!("{without_head:?}") };
    assert_eq!((report.victim.pid, report.limit_cgroup.clone()), (396, None));
    assert_eq!(report.constraint, Some(Constraint::MemoryCgroup));

    let mut heard = Vec::new();
    let mut assembler = Assembler::new(PAGE);
    let half = whole.len() / 2;
    for record in &whole[..half] {
        assembler.hear(&Record::parse(record).unwrap(), Duration::ZERO, &mut |what| heard.push(what));
    }
    assembler.lost(&mut |what| heard.push(what));
    for record in &whole[whole.len() - 1..] {
        assembler.hear(&Record::parse(record).unwrap(), Duration::ZERO, &mut |what| heard.push(what));
    }
    assembler.lost(&mut |what| heard.push(what));
    let [Heard::Oom(report)] = heard.as_slice() else { panic!("{heard:?}") };
    assert_eq!((report.listed, report.invoked_by), (None, None), "what came before the gap is another's");
}

#[test]
fn a_report_waits_for_its_end_and_not_for_ever() {
    let whole = records(fixture!("linux-6.1/kmsg/memcg"));
    let mut heard = Vec::new();
    let mut assembler = Assembler::new(PAGE);
    assert_eq!(assembler.due(), None);
    let mut now = Duration::from_secs(100);
    for record in &whole[..whole.len() - 1] {
        now += Duration::from_millis(100);
        assembler.hear(&Record::parse(record).unwrap(), now, &mut |what| heard.push(what));
        assembler.settle(now, &mut |what| heard.push(what));
    }
    assert!(assembler.due().is_some_and(|due| due > now));
    assembler.hear(&Record::parse(&whole[whole.len() - 1]).unwrap(), now, &mut |what| heard.push(what));
    assert!(heard.is_empty(), "members of its group may follow");
    let due = assembler.due().unwrap();
    assert!(due > now && due < now + Duration::from_secs(1));
    assembler.settle(due, &mut |what| heard.push(what));
    assert_eq!((heard.len(), assembler.due()), (1, None));
}

#[test]
fn reports_cut_at_every_byte_and_without_any_one_line() {
    /// One for each line that says "Killed process", should the line that ties them together be lost.
    const MOST: usize = 4;
    for file in [fixture!("linux-6.12/kmsg/group"), fixture!("by-hand/kmsg/linux-5.10-callers")] {
        let whole = records(file);
        for cut in 0..whole.len() {
            let mut less = whole.clone();
            less.remove(cut);
            assert!(hear(&less).len() <= MOST);
            for end in 0..whole[cut].len() {
                less = whole.clone();
                less[cut].truncate(end);
                less[cut].push(b'\n');
                assert!(hear(&less).len() <= MOST);
            }
        }
    }
}

proptest! {
    #[test]
    fn nothing_panics(text in ".{0,80}", head in prop::sample::select(&[
        "oom-kill:constraint=CONSTRAINT_MEMCG,", "Out of memory: Killed process 4 (", "[  pid  ] ", "[ 12] ",
        "Memory cgroup stats for /", "memory: usage ", "Tasks in /", "INFO: task ", "x invoked oom-killer: gfp_mask=", "",
    ][..])) {
        let mut all = lines(&[
            "x invoked oom-killer: gfp_mask=", "[  pid  ]   uid  tgid rss swapents oom_score_adj name",
            &format!("{head}{text}"),
            "Out of memory: Killed process 4 (a) total-vm:1kB, anon-rss:2kB, file-rss:0kB",
        ]);
        all.push(text.clone().into_bytes());
        let heard = hear(&all);
        prop_assert!(heard.iter().any(|heard| matches!(heard, Heard::Oom(report) if report.victim.pid == 4)), "{:?}", heard);
    }
}
