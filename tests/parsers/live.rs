//! This machine's own files, read once each and given to both our parsers and the procfs crate's.

use std::fs;
use std::io::Cursor;

use hogwatch::observe::parse::*;
use procfs::FromRead;
use procfs::process as theirs;

fn read(path: &str) -> Vec<u8> {
    fs::read(path).expect(path)
}

#[test]
fn meminfo_agrees_with_procfs() {
    let bytes = read("/proc/meminfo");
    let ours = parse_meminfo(&bytes).expect("this machine's meminfo");
    let theirs = procfs::Meminfo::from_read(Cursor::new(&bytes)).expect("this machine's meminfo");
    assert_eq!(ours.mem_total, theirs.mem_total);
    assert_eq!(ours.mem_free, Some(theirs.mem_free));
    assert_eq!(ours.mem_available, theirs.mem_available);
    assert_eq!(ours.buffers, Some(theirs.buffers));
    assert_eq!(ours.cached, Some(theirs.cached));
    assert_eq!(ours.swap_cached, Some(theirs.swap_cached));
    assert_eq!(ours.active_file, theirs.active_file);
    assert_eq!(ours.inactive_file, theirs.inactive_file);
    assert_eq!(ours.swap_total, Some(theirs.swap_total));
    assert_eq!(ours.swap_free, Some(theirs.swap_free));
    assert_eq!(ours.zswap, theirs.z_swap);
    assert_eq!(ours.zswapped, theirs.z_swapped);
    assert_eq!(ours.anon_pages, theirs.anon_pages);
    assert_eq!(ours.shmem, theirs.shmem);
    assert_eq!(ours.slab, Some(theirs.slab));
    assert_eq!(ours.s_reclaimable, theirs.s_reclaimable);
    assert_eq!(ours.s_unreclaim, theirs.s_unreclaim);
    assert_eq!(ours.committed_as, Some(theirs.committed_as));
    assert_eq!(ours.huge_pages_total, theirs.hugepages_total);
    assert_eq!(ours.huge_page_size, theirs.hugepagesize);
    assert_eq!(ours.hugetlb, theirs.hugetlb);
    assert_eq!(ours.doubt, None);
}

#[test]
fn own_stat_statm_and_status_agree_with_procfs() {
    let bytes = read("/proc/self/stat");
    let ours = parse_stat(&bytes).expect("own stat");
    let stat = theirs::Stat::from_read(Cursor::new(&bytes)).expect("own stat");
    assert_eq!((ours.pid, ours.ppid), (stat.pid, stat.ppid));
    assert_eq!((ours.pgrp, ours.session), (Some(stat.pgrp), Some(stat.session)));
    assert_eq!(ours.comm.as_bytes(), stat.comm.as_bytes());
    assert_eq!(ours.state, State::from(u8::try_from(stat.state).expect("a letter")));
    assert_eq!((ours.flags, ours.majflt), (stat.flags, stat.majflt));
    assert_eq!(i64::from(ours.num_threads), stat.num_threads);
    assert_eq!((ours.start_time, ours.vsize, ours.rss_pages), (stat.starttime, stat.vsize, stat.rss));

    let bytes = read("/proc/self/statm");
    let ours = parse_statm(&bytes).expect("own statm");
    let statm = theirs::StatM::from_read(Cursor::new(&bytes)).expect("own statm");
    assert_eq!((ours.size, ours.resident, ours.shared), (statm.size, statm.resident, statm.shared));

    let bytes = read("/proc/self/status");
    let ours = parse_status(&bytes).expect("own status");
    let status = theirs::Status::from_read(Cursor::new(&bytes)).expect("own status");
    let bytes_of = |kib: Option<u64>| kib.map(|kib| kib * 1024);
    assert_eq!((ours.tgid, ours.uid_real, ours.uid_effective), (status.tgid, status.ruid, status.euid));
    assert_eq!(u64::from(ours.threads), status.threads);
    assert_eq!((ours.vm_lck, ours.vm_rss), (bytes_of(status.vmlck), bytes_of(status.vmrss)));
    assert_eq!((ours.rss_anon, ours.rss_file), (bytes_of(status.rssanon), bytes_of(status.rssfile)));
    assert_eq!((ours.rss_shmem, ours.vm_swap), (bytes_of(status.rssshmem), bytes_of(status.vmswap)));
}

/// Processes may vanish between listing and reading; what can be read must parse.
#[test]
fn every_process_of_this_machine_parses() {
    let mut parsed = 0;
    for entry in fs::read_dir("/proc").expect("/proc").filter_map(Result::ok) {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let read = |name: &str| fs::read(entry.path().join(name)).ok().filter(|bytes| !bytes.is_empty());
        if let Some(bytes) = read("stat") {
            assert_eq!(parse_stat(&bytes).map(|stat| stat.pid), Ok(pid));
            parsed += 1;
        }
        if let Some(bytes) = read("statm") {
            parse_statm(&bytes).expect("statm");
        }
        if let Some(bytes) = read("status") {
            let tgid = parse_status(&bytes).expect("status").tgid;
            assert!(tgid == pid || tgid == 0, "{pid}: {tgid}");
        }
        if let Some(bytes) = read("oom_score") {
            parse_oom_score(&bytes).expect("oom_score");
        }
        if let Some(bytes) = read("oom_score_adj") {
            parse_oom_score_adj(&bytes).expect("oom_score_adj");
        }
        if let Some(bytes) = read("cgroup") {
            parse_own_paths(&bytes).expect("cgroup");
        }
    }
    assert!(parsed > 0);
}

#[test]
fn this_machine_s_vmstat_and_swaps_parse() {
    parse_vmstat(&read("/proc/vmstat")).expect("vmstat");
    parse_cpu_times(&read("/proc/stat")).expect("stat");
    // a container may have hidden it
    if let Ok(bytes) = fs::read("/proc/swaps") {
        assert!(swap_areas(&bytes).all(|area| area.is_ok()));
    }
    // absent where the kernel was built without it, an error where psi=0 switched it off
    if let Ok(bytes) = fs::read("/proc/pressure/memory") {
        parse_pressure(&bytes).expect("pressure");
    }
}
