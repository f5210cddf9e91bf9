//! The survey on a made-up tree.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;

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
fn an_overflown_queue_is_made_up_for() {
    let tree = Fixture::new();
    tree.make("old", "4096\n", "max\n");
    tree.make("relimited", "max\n", "max\n");
    let mut survey = survey(&tree, "/", all);
    attend(&mut survey);
    tree.touch("old", 1);
    let old = stirred(attend(&mut survey));
    let most: u32 = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
    for number in 0..=most / 2 {
        fs::create_dir(tree.path(&format!("{number}"))).unwrap();
        fs::remove_dir(tree.path(&format!("{number}"))).unwrap();
    }
    tree.remove("old");
    tree.make("new", "4096\n", "max\n");
    tree.write("relimited", "memory.high", "4096\n");
    assert_gone(&attend(&mut survey), &[old.key]);
    tree.touch("new", 1);
    assert_eq!(stirred(attend(&mut survey)).key, tree.key("new"));
    tree.touch("relimited", 1);
    assert_eq!(stirred(attend(&mut survey)).key, tree.key("relimited"));
    assert_eq!(survey.tree.len(), 3);
}

#[test]
fn without_watches_a_slow_scan_finds_what_stirs() {
    let tree = Fixture::new();
    for name in ["a", "b", "c"] {
        tree.make(name, "4096\n", "max\n");
    }
    let mut survey = survey(&tree, "/", all);
    survey.room = 6;
    let news = attend(&mut survey);
    assert!(matches!(news[..], [News::Degraded(Degraded::Watches)]), "{news:?}");
    assert!(survey.needs_slow_scan());
    for name in ["a", "b", "c"] {
        tree.touch(name, 1);
    }
    let mut found = attend(&mut survey);
    found.extend(collect(|sink| survey.slow_scan(sink)));
    let keys = |news: &[News]| -> BTreeSet<_> {
        let key = |item: &News| match item {
            News::Stirred(stirred) => stirred.key,
            other => panic!("{other:?}"),
        };
        news.iter().map(key).collect()
    };
    assert_eq!(keys(&found), ["a", "b", "c"].map(|name| tree.key(name)).into());
    for item in found {
        let News::Stirred(out) = item else { unreachable!() };
        let events = seen(&out.files);
        assert_quiet(&collect(|sink| survey.take_back(out.key, out.files, &events, sink)));
    }
    assert_quiet(&collect(|sink| survey.slow_scan(sink)));

    // New ones are found, and old ones missed, where not even the directory is watched.
    survey.room = 0;
    tree.make("a/below", "4096\n", "max\n");
    tree.make("b/below", "4096\n", "max\n");
    tree.make("c/below", "4096\n", "max\n");
    attend(&mut survey);
    assert_quiet(&collect(|sink| survey.slow_scan(sink)));
    for name in ["a", "b", "c"] {
        tree.touch(&format!("{name}/below"), 1);
    }
    let found = collect(|sink| survey.slow_scan(sink));
    assert_eq!(keys(&found), ["a/below", "b/below", "c/below"].map(|name| tree.key(name)).into());
    let gone = tree.key("c/below");
    tree.remove("c/below");
    let mut news = attend(&mut survey);
    news.extend(collect(|sink| survey.slow_scan(sink)));
    assert_gone(&news, &[gone]);
    drop(found);

    survey.room = usize::MAX;
    tree.remove("a/below");
    tree.remove("b/below");
    attend(&mut survey);
    collect(|sink| survey.slow_scan(sink));
    assert!(!survey.needs_slow_scan(), "{survey:?}");
    tree.touch("c", 2);
    assert_eq!(stirred(attend(&mut survey)).key, tree.key("c"));
}

#[test]
fn without_inotify_the_slow_scan_does_it_all() {
    let tree = Fixture::new();
    tree.make("a", "4096\n", "max\n");
    let mut survey = survey(&tree, "/", all);
    survey.notify = None;
    let news = attend(&mut survey);
    assert!(matches!(news[..], [News::Degraded(Degraded::Instances)]), "{news:?}");
    assert!(survey.fd().is_none());
    tree.touch("a", 1);
    assert_eq!(stirred(collect(|sink| survey.slow_scan(sink))).key, tree.key("a"));
    assert_quiet(&attend(&mut survey));
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

/// Set in the process that this test starts to run itself in: few descriptors are too few for the other tests.
const ALONE: &str = "HOGWATCH_TEST_FEW_DESCRIPTORS";

#[test]
fn without_descriptors_it_tries_again() {
    if std::env::var_os(ALONE).is_none() {
        let name = "observe::survey::tests::without_descriptors_it_tries_again";
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        let output = again.args(["--exact", name]).env(ALONE, "1").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        return assert!(output.status.success() && said.contains("1 passed"), "{said}");
    }
    let tree = Fixture::new();
    let names = ["a", "b", "c", "d"];
    for name in names {
        tree.make(name, "4096\n", "max\n");
    }
    let mut survey = survey(&tree, "/", all);
    attend(&mut survey);
    // A cgroup takes seven, the fourth has too few, and the test needs some itself.
    let next = fs::File::open("/dev/null").unwrap().as_raw_fd();
    let most = u64::try_from(next).unwrap() + 24;
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, most, most).unwrap();
    let mut out = Vec::new();
    let denied = names.into_iter().find(|name| {
        tree.touch(name, 1);
        let mut news = attend(&mut survey);
        match news.remove(0) {
            News::Stirred(stirred) => out.push(stirred),
            other => assert!(matches!(other, News::Degraded(Degraded::Descriptors)), "{other:?}"),
        }
        assert_quiet(&news);
        survey.needs_slow_scan()
    });
    let denied = denied.unwrap();
    assert_quiet(&collect(|sink| survey.slow_scan(sink)));
    tree.touch(denied, 2);
    assert_quiet(&attend(&mut survey));
    assert!(survey.needs_slow_scan());

    let first = out.remove(0);
    let events = seen(&first.files);
    assert_quiet(&collect(|sink| survey.take_back(first.key, first.files, &events, sink)));
    assert_quiet(&collect(|sink| survey.slow_scan(sink)));
    assert!(!survey.needs_slow_scan());
    tree.touch(denied, 3);
    assert_eq!(stirred(attend(&mut survey)).key, tree.key(denied));
}
