//! The survey on a made-up tree.

mod marks;
mod shortage;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

use super::fixture::{Fixture, write_files};
use super::*;
use crate::observe::parse::Fault;

fn survey(tree: &Fixture, own: &str, wants: fn(&[u8]) -> Attention) -> Survey {
    Survey::start(Dir::open(tree.0.path()).unwrap(), b"/", own.as_bytes(), Box::new(wants)).unwrap()
}

fn all(_: &[u8]) -> Attention {
    Attention::WhenItStirs
}

fn always(_: &[u8]) -> Attention {
    Attention::Always
}

fn nothing(_: &[u8]) -> Attention {
    Attention::No
}

fn attend(survey: &mut Survey) -> Vec<News> {
    collect(|sink| survey.attend(sink))
}

fn collect(f: impl FnOnce(Sink<'_>)) -> Vec<News> {
    let mut news = Vec::new();
    f(&mut |item| news.push(item));
    news
}

/// The one cgroup that was handed out, and nothing else.
#[track_caller]
fn stirred(mut news: Vec<News>) -> Stirred {
    assert_eq!(news.len(), 1, "{news:?}");
    match news.remove(0) {
        News::Stirred(stirred) => stirred,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_gone(news: &[News], keys: &[CgroupKey]) {
    let gone = news.iter().map(|item| match item {
        News::Gone(key) => *key,
        other => panic!("{other:?}"),
    });
    assert_eq!(gone.collect::<BTreeSet<_>>(), keys.iter().copied().collect());
}

#[track_caller]
fn assert_quiet(news: &[News]) {
    assert!(news.is_empty(), "{news:?}");
}

/// How many watches the kernel counts.
fn kernel_watches(survey: &Survey) -> usize {
    let fd = survey.fd().unwrap().as_raw_fd();
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap();
    info.lines().filter(|line| line.starts_with("inotify")).count()
}

/// The descriptors that lead into the fixture, or to what was removed from it.
fn descriptors_into(fixture: &Fixture) -> usize {
    let fds = fs::read_dir("/proc/self/fd").unwrap();
    let targets = fds.filter_map(|fd| fs::read_link(fd.unwrap().path()).ok());
    targets.filter(|target| target.starts_with(fixture.0.path())).count()
}

fn seen(files: &CgroupFiles) -> Events {
    files.sample(false, &mut Faults::default()).unwrap().events
}

#[test]
fn a_cgroup_at_its_limit_is_handed_out_and_taken_back() {
    let tree = Fixture::new();
    tree.make("a", "max\n", "max\n");
    tree.make("a/b", "4096\n", "max\n");
    let mut survey = survey(&tree, "/", all);
    assert_quiet(&attend(&mut survey));
    assert_eq!(descriptors_into(&tree), 1, "an idle cgroup holds none; this is the root");

    tree.touch("a", 1);
    assert_quiet(&attend(&mut survey));
    tree.touch("a/b", 1);
    let out = stirred(attend(&mut survey));
    assert_eq!((out.key, out.path.as_bytes()), (tree.key("a/b"), &b"/a/b"[..]));
    assert_eq!(out.files.sample(true, &mut Faults::default()).unwrap().events.high, 1);

    tree.touch("a/b", 2);
    assert_quiet(&attend(&mut survey));
    let events = seen(&out.files);
    assert_quiet(&collect(|sink| survey.take_back(out.key, out.files, &events, sink)));
    assert_eq!(descriptors_into(&tree), 1);
    tree.touch("a/b", 3);
    stirred(attend(&mut survey));
}

#[test]
fn counts_that_move_before_it_is_taken_back_are_not_lost() {
    let tree = Fixture::new();
    tree.make("a", "4096\n", "max\n");
    let mut survey = survey(&tree, "/", all);
    attend(&mut survey);
    tree.touch("a", 1);
    let out = stirred(attend(&mut survey));
    let events = seen(&out.files);
    tree.touch("a", 2);
    let again = stirred(collect(|sink| survey.take_back(out.key, out.files, &events, sink)));
    let events = seen(&again.files);
    assert_eq!(events.high, 2);
    assert_quiet(&collect(|sink| survey.take_back(again.key, again.files, &events, sink)));
}

#[test]
fn limits_are_followed_as_they_are_written() {
    let tree = Fixture::new();
    tree.make("a", "max\n", "max\n");
    let mut survey = survey(&tree, "/", all);
    attend(&mut survey);
    tree.write("a", "memory.max", "4096\n");
    assert_quiet(&attend(&mut survey));
    tree.touch("a", 1);
    let out = stirred(attend(&mut survey));
    tree.write("a", "memory.max", "max\n");
    assert_quiet(&attend(&mut survey));
    let events = seen(&out.files);
    tree.touch("a", 2);
    assert_quiet(&collect(|sink| survey.take_back(out.key, out.files, &events, sink)));
    tree.touch("a", 3);
    assert_quiet(&attend(&mut survey));
    tree.write("a", "memory.high", "8192\n");
    assert_quiet(&attend(&mut survey));
    tree.touch("a", 4);
    stirred(attend(&mut survey));
}

#[test]
fn cgroups_come_and_go_at_any_depth() {
    let tree = Fixture::new();
    let mut survey = survey(&tree, "/", all);
    attend(&mut survey);
    let before = (survey.tree.len(), kernel_watches(&survey));
    tree.make("a", "max\n", "max\n");
    tree.make("a/b", "max\n", "max\n");
    tree.make("a/b/c", "4096\n", "max\n");
    assert_quiet(&attend(&mut survey));
    tree.touch("a/b/c", 1);
    let out = stirred(attend(&mut survey));
    assert_eq!(out.path.as_bytes(), b"/a/b/c");
    tree.remove("a");
    assert_gone(&attend(&mut survey), &[out.key]);
    drop(out);
    assert_quiet(&attend(&mut survey));
    // The root has learnt to watch cgroup.subtree_control.
    assert_eq!((survey.tree.len(), kernel_watches(&survey)), (before.0, before.1 + 1));
    assert_eq!(survey.watched.len(), kernel_watches(&survey));
}

#[test]
fn one_made_anew_under_the_same_name_is_another() {
    let tree = Fixture::new();
    tree.make("a", "4096\n", "max\n");
    let mut survey = survey(&tree, "/", all);
    attend(&mut survey);
    tree.touch("a", 1);
    let old = stirred(attend(&mut survey));
    // Removed and made anew, twice, before anybody looks.
    for _ in 0..2 {
        tree.remove("a");
        tree.make("a", "4096\n", "max\n");
    }
    assert_gone(&attend(&mut survey), &[old.key]);
    tree.touch("a", 1);
    let new = stirred(attend(&mut survey));
    assert_ne!(new.key, old.key);
    let events = Events::default();
    assert_quiet(&collect(|sink| survey.take_back(old.key, old.files, &events, sink)));
    assert_eq!(survey.tree.len(), 2);
}

#[test]
fn a_memory_controller_may_come_later_and_go() {
    let tree = Fixture::new();
    fs::create_dir(tree.path("a")).unwrap();
    let mut survey = survey(&tree, "/", always);
    assert_quiet(&attend(&mut survey));
    write_files(&tree.path("a"), "4096\n", "max\n");
    tree.write("", "cgroup.subtree_control", "memory\n");
    let out = stirred(attend(&mut survey));
    for file in ["memory.high", "memory.max", "memory.events.local"] {
        fs::remove_file(tree.path("a").join(file)).unwrap();
    }
    tree.write("", "cgroup.subtree_control", "\n");
    assert_gone(&attend(&mut survey), &[out.key]);
    assert_quiet(&collect(|sink| survey.take_back(out.key, out.files, &Events::default(), sink)));
    assert_eq!(descriptors_into(&tree), 1);
    write_files(&tree.path("a"), "4096\n", "max\n");
    tree.write("", "cgroup.subtree_control", "memory\n");
    stirred(attend(&mut survey));
}

#[test]
fn those_wanted_always_are_out_from_the_beginning_and_a_new_configuration_is_followed() {
    let tree = Fixture::new();
    tree.make("a", "max\n", "max\n");
    tree.make("b", "4096\n", "max\n");
    let a_always = |path: &[u8]| if path == b"/a" { Attention::Always } else { Attention::No };
    let mut survey = survey(&tree, "/", a_always);
    let a = stirred(attend(&mut survey));
    assert_eq!(a.key, tree.key("a"));
    tree.touch("b", 1);
    assert_quiet(&attend(&mut survey));

    assert_quiet(&collect(|sink| survey.rescope(Box::new(all), sink)));
    let events = seen(&a.files);
    assert_quiet(&collect(|sink| survey.take_back(a.key, a.files, &events, sink)));
    tree.touch("b", 2);
    let b = stirred(attend(&mut survey));
    assert_eq!(b.key, tree.key("b"));

    assert_quiet(&collect(|sink| survey.rescope(Box::new(nothing), sink)));
    let events = Events::default();
    assert_quiet(&collect(|sink| survey.take_back(b.key, b.files, &events, sink)));
    assert_eq!(kernel_watches(&survey), 4, "a directory each, and the root's cgroup.subtree_control");
}

#[test]
fn the_cgroups_this_process_is_in_are_open_beforehand() {
    let tree = Fixture::new();
    tree.make("a", "4096\n", "max\n");
    tree.make("a/b", "max\n", "max\n");
    tree.make("a/other", "4096\n", "max\n");
    let mut survey = survey(&tree, "/a/b", all);
    attend(&mut survey);
    const FILES: usize = 7;
    assert_eq!(descriptors_into(&tree), 1 + 2 * FILES);
    tree.touch("a", 1);
    let out = stirred(attend(&mut survey));
    let events = seen(&out.files);
    assert_eq!(descriptors_into(&tree), 1 + 2 * FILES);
    assert_quiet(&collect(|sink| survey.take_back(out.key, out.files, &events, sink)));
    assert_eq!(descriptors_into(&tree), 1 + 2 * FILES);
    tree.remove("a/b");
    attend(&mut survey);
    assert_eq!(descriptors_into(&tree), 1 + FILES);
}

#[test]
fn nothing_is_missed_while_others_make_and_remove() {
    let tree = Fixture::new();
    let mut survey = survey(&tree, "/", all);
    std::thread::scope(|scope| {
        let makers = ["a", "b"].map(|name| {
            let top = tree.path(name);
            scope.spawn(move || {
                for round in 0..300 {
                    let deep = top.join((round % 7).to_string()).join("x/y");
                    fs::create_dir_all(&deep).unwrap();
                    write_files(&deep, "4096\n", "max\n");
                    if round % 3 == 0 {
                        fs::remove_dir_all(top.join((round % 5).to_string())).ok();
                    }
                }
            })
        });
        while !makers.iter().all(|maker| maker.is_finished()) {
            attend(&mut survey);
        }
    });
    attend(&mut survey);
    let mut there = BTreeSet::new();
    let mut todo = vec![tree.path("")];
    while let Some(dir) = todo.pop() {
        there.insert(CgroupKey(fs::metadata(&dir).unwrap().ino()));
        let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        todo.extend(entries.filter(|path| path.is_dir()));
    }
    assert_eq!(survey.tree.keys().collect::<BTreeSet<_>>(), there);
    assert_eq!(survey.watched.len(), kernel_watches(&survey));
}

#[test]
fn ten_thousand_that_come_and_go_leave_nothing_behind() {
    let tree = Fixture::new();
    tree.make("stays", "4096\n", "max\n");
    let mut survey = survey(&tree, "/", all);
    attend(&mut survey);
    let before = (survey.tree.len(), kernel_watches(&survey), descriptors_into(&tree));
    let mut out = Vec::new();
    for round in 0..100_u32 {
        for number in 0..100 {
            let name = format!("{round}-{number}");
            fs::create_dir(tree.path(&name)).unwrap();
            // One in ten lives long enough to be seen with files; one of these is stuck.
            if number % 10 == 0 {
                write_files(&tree.path(&name), "4096\n", "max\n");
            }
        }
        assert_quiet(&attend(&mut survey));
        tree.touch(&format!("{round}-0"), 1);
        out.push(stirred(attend(&mut survey)));
        for number in 0..100 {
            tree.remove(&format!("{round}-{number}"));
        }
        if round % 3 != 0 {
            assert_gone(&attend(&mut survey), &[out.remove(0).key]);
        } else {
            // Removed with others made meanwhile.
            fs::create_dir(tree.path("meanwhile")).unwrap();
            assert_gone(&attend(&mut survey), &[out.remove(0).key]);
            tree.remove("meanwhile");
        }
    }
    assert_quiet(&attend(&mut survey));
    assert_eq!((survey.tree.len(), kernel_watches(&survey), descriptors_into(&tree)), before);
    assert_eq!(survey.watched.len(), before.1);
    assert!(!survey.needs_slow_scan());
}

#[test]
fn names_are_bytes_and_too_long_a_path_is_told_once() {
    let tree = Fixture::new();
    let long = "x".repeat(255);
    let names: [&[u8]; 3] = [b"new\nline", b"\xff\xfe", long.as_bytes()];
    let mut survey = survey(&tree, "/", all);
    attend(&mut survey);
    for name in names {
        let dir = tree.0.path().join(OsStr::from_bytes(name));
        fs::create_dir(&dir).unwrap();
        write_files(&dir, "4096\n", "max\n");
        assert_quiet(&attend(&mut survey));
        fs::write(dir.join("memory.events.local"), "high 1\nmax 0\noom 0\n").unwrap();
        let out = stirred(attend(&mut survey));
        assert_eq!(out.path.as_bytes(), [b"/", name].concat());
    }
    tree.make(&format!("{long}/{long}"), "4096\n", "max\n");
    assert_quiet(&attend(&mut survey));
    fs::create_dir_all(tree.path(&format!("{long}/{long}/too/long"))).unwrap();
    let news = attend(&mut survey);
    assert!(matches!(news[..], [News::Degraded(Degraded::PathTooLong)]), "{news:?}");
    fs::create_dir(tree.path(&format!("{long}/{long}/again"))).unwrap();
    assert_quiet(&attend(&mut survey));
    assert_eq!(survey.tree.len(), 5);
}

#[test]
fn files_that_make_no_sense_are_told_once_and_hide_nothing() {
    let tree = Fixture::new();
    for (name, high) in [("a", ""), ("b", "12"), ("c", "garbage\n"), ("d", "18446744073709551615\n")] {
        tree.make(name, high, "max\n");
    }
    let mut survey = survey(&tree, "/", all);
    let news = attend(&mut survey);
    let faults = news.iter().map(|item| match item {
        News::Degraded(Degraded::Malformed(what)) => what.fault,
        other => panic!("{other:?}"),
    });
    let faults: Vec<Fault> = faults.collect();
    assert_eq!(faults.len(), 2, "{faults:?}");
    for name in ["a", "b", "c", "d"] {
        tree.touch(name, 1);
        let out = stirred(attend(&mut survey));
        assert_eq!(out.key, tree.key(name));
        // A count that makes no sense is no reason to hand it out again.
        tree.write(name, "memory.events.local", "nonsense\n");
        assert_quiet(&collect(|sink| survey.take_back(out.key, out.files, &Events::default(), sink)));
    }
}
