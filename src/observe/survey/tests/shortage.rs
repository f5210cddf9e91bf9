//! What happens when the kernel gives no more: of its queue, of watches, of descriptors.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::AsRawFd;

use super::*;

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
    (survey.notify, survey.room) = (None, 0);
    let news = attend(&mut survey);
    assert!(matches!(news[..], [News::Degraded(Degraded::Instances)]), "{news:?}");
    assert!(survey.fd().is_none());
    tree.touch("a", 1);
    let out = stirred(collect(|sink| survey.slow_scan(sink)));
    assert_eq!(out.key, tree.key("a"));
    assert_quiet(&attend(&mut survey));
    let events = seen(&out.files);
    assert_quiet(&collect(|sink| survey.take_back(out.key, out.files, &events, sink)));

    survey.room = usize::MAX;
    assert_quiet(&collect(|sink| survey.slow_scan(sink)));
    assert!(!survey.needs_slow_scan());
    tree.touch("a", 2);
    assert_eq!(stirred(attend(&mut survey)).key, tree.key("a"));
}

/// Set in the process that this test starts to run itself in: few descriptors are too few for the other tests.
const ALONE: &str = "HOGWATCH_TEST_FEW_DESCRIPTORS";

#[test]
fn without_descriptors_it_tries_again() {
    if std::env::var_os(ALONE).is_none() {
        let name = "observe::survey::tests::shortage::without_descriptors_it_tries_again";
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
