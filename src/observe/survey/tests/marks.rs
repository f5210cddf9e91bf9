//! systemd-oomd's marks.

use super::*;

const OOMD: &str = "system.slice/systemd-oomd.service";

/// A tree with systemd-oomd in it, and a cgroup `a/b` that it may kill.
fn with_oomd() -> Fixture {
    let tree = Fixture::new();
    for cgroup in ["a", "a/b", "system.slice", OOMD] {
        tree.make(cgroup, "max\n", "max\n");
        populate(&tree, cgroup, cgroup == OOMD);
    }
    tree
}

/// Says whether anybody is in there.
fn populate(tree: &Fixture, cgroup: &str, is: bool) {
    tree.write(cgroup, "cgroup.events", &format!("populated {}\nfrozen 0\n", u8::from(is)));
}

fn mark(tree: &Fixture, cgroup: &str, name: &std::ffi::CStr, value: &str) {
    let dir = Dir::open(&tree.path(cgroup)).unwrap();
    dir.set_xattr(name, value.as_bytes()).expect("tmpfs takes user attributes since Linux 6.6");
}

fn kills(news: Vec<News>) -> Vec<(String, Option<u64>)> {
    let kill = |item| match item {
        News::OomdKill(kill) => (String::from_utf8_lossy(kill.path.as_bytes()).into_owned(), kill.processes),
        other => panic!("{other:?}"),
    };
    news.into_iter().map(kill).collect()
}

#[test]
fn a_kill_is_told_with_its_number() {
    let tree = with_oomd();
    mark(&tree, "a", c"user.oomd_kill", "9");
    let mut survey = survey(&tree, "/", nothing);
    assert_quiet(&attend(&mut survey));
    mark(&tree, "a/b", c"user.oomd_ooms", "1");
    assert_quiet(&attend(&mut survey));
    mark(&tree, "a/b", c"user.oomd_kill", "3");
    assert_eq!(kills(attend(&mut survey)), [("/a/b".to_owned(), Some(3))]);
    mark(&tree, "a/b", c"user.invocation_id", "x");
    mark(&tree, "a", c"user.oomd_kill", "9");
    assert_quiet(&attend(&mut survey));
    mark(&tree, "a", c"user.oomd_kill", "11");
    mark(&tree, "a/b", c"user.oomd_kill", "4");
    let one = [("/a".to_owned(), Some(2))];
    assert_eq!(kills(attend(&mut survey)), one, "what was there before is not told again, nor so soon the other");
    tree.remove("a");
    assert_quiet(&attend(&mut survey));
}

#[test]
fn a_cgroup_that_is_gone_before_the_number_could_be_read() {
    let tree = with_oomd();
    let mut survey = survey(&tree, "/", nothing);
    assert_quiet(&attend(&mut survey));
    mark(&tree, "a/b", c"user.oomd_ooms", "1");
    assert_quiet(&attend(&mut survey));
    tree.remove("a/b");
    assert_eq!(kills(attend(&mut survey)), [("/a/b".to_owned(), None)]);
    // With the slice around it, in one go.
    tree.make("a/b", "max\n", "max\n");
    assert_quiet(&attend(&mut survey));
    mark(&tree, "a/b", c"user.oomd_ooms", "1");
    assert_quiet(&attend(&mut survey));
    tree.remove("a");
    assert_eq!(kills(attend(&mut survey)), [("/a/b".to_owned(), None)]);
    assert!(survey.marks.is_empty(), "nothing is kept of what is gone");
}

#[test]
fn a_mark_counts_when_nobody_is_left() {
    let tree = with_oomd();
    populate(&tree, "a/b", true);
    let mut survey = survey(&tree, "/", nothing);
    assert_quiet(&attend(&mut survey));
    assert_eq!(survey.look_at_marks_after(), None);
    mark(&tree, "a/b", c"user.oomd_kill", "3");
    assert_quiet(&attend(&mut survey));
    assert_quiet(&collect(|sink| survey.look_at_marks(sink)));
    assert!(survey.look_at_marks_after().is_some());
    populate(&tree, "a/b", false);
    assert_eq!(kills(collect(|sink| survey.look_at_marks(sink))), [("/a/b".to_owned(), Some(3))]);
    assert_quiet(&collect(|sink| survey.look_at_marks(sink)));
    assert_eq!(survey.look_at_marks_after(), None);

    // With the number, when the cgroup is removed before the next look.
    populate(&tree, "a", true);
    mark(&tree, "a", c"user.oomd_kill", "2");
    assert_quiet(&attend(&mut survey));
    tree.remove("a");
    assert_eq!(kills(attend(&mut survey)), [("/a".to_owned(), Some(2))]);
}

#[test]
fn marks_that_anybody_can_set_are_bounded() {
    let tree = with_oomd();
    let mut survey = survey(&tree, "/", nothing);
    assert_quiet(&attend(&mut survey));
    let mut told = 0;
    for n in 0..40 {
        let cgroup = format!("a/{n}");
        tree.make(&cgroup, "max\n", "max\n");
        populate(&tree, &cgroup, n % 2 == 0);
        assert_quiet(&attend(&mut survey));
        mark(&tree, &cgroup, c"user.oomd_kill", "1");
        told += kills(attend(&mut survey)).len();
    }
    assert_eq!(told, 6, "a minute");
}

#[test]
fn without_systemd_oomd_a_mark_is_no_kill() {
    let tree = with_oomd();
    tree.write(OOMD, "cgroup.events", "populated 0\nfrozen 0\n");
    let mut survey = survey(&tree, "/", nothing);
    assert_quiet(&attend(&mut survey));
    mark(&tree, "a/b", c"user.oomd_kill", "3");
    assert_quiet(&attend(&mut survey));
    tree.remove("system.slice");
    mark(&tree, "a/b", c"user.oomd_kill", "x");
    mark(&tree, "a/b", c"user.oomd_kill", "5");
    assert_quiet(&attend(&mut survey));
}
