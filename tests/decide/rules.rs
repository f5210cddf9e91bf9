//! What the lists say of a process: each prefix, the built-in names and whom they are believed.

use hogwatch::decide::rules::{Rule, Says};
use hogwatch::observe::Task;

use crate::bench::{Bench, GIB, MIB, patterns, task};

fn says(bench: &Bench, pid: i32) -> Says {
    let task = bench.tasks.list.iter().find(|t| t.id.pid == pid).unwrap();
    bench.rules().judge(task, &bench.tasks.cgroups, Some(&bench.details))
}

#[test]
fn every_prefix_protects_by_what_it_names() {
    const RUNS: &str = "/user.slice/user-1001.slice/session-1.scope/db.service";
    let rows = [
        ("hog", true),
        ("^hog-1$", true),
        ("^hog$", false),
        ("cmdline:--fast", true),
        ("cmdline:^run --fast now$", true),
        ("cmdline:--slow", false),
        ("exe:^/opt/", true),
        ("exe:^/usr/", false),
        ("cgroup:/user-1001[.]slice/", true),
        ("cgroup:^user", false),
        ("unit:^db[.]service$", true),
        ("unit:session", false),
        ("user:^alice$", true),
        ("user:^bob$", false),
        ("user:^$", false),
    ];
    for (pattern, expected) in rows {
        let mut bench = Bench::new();
        bench.config.victim.protect = patterns(&[pattern]);
        let hog = Task { uid: Some(1001), ..task(10, "hog-1") };
        bench.add_in(RUNS, hog).know(&hog, "run\0--fast\0now\0", "/opt/hog");
        let expected = if expected { Says::Protect(Rule::Admin(0)) } else { Says::Nothing };
        assert_eq!(says(&bench, 10), expected, "{pattern}");
    }
}

#[test]
fn what_could_not_be_read_may_be_protected() {
    for pattern in ["cmdline:x", "exe:x", "cgroup:x", "unit:x", "user:x"] {
        let mut bench = Bench::new();
        bench.config.victim.protect = patterns(&["^other$", pattern]);
        bench.add(Task { uid: None, ..task(10, "hog") }).add(task(11, "other"));
        assert_eq!(says(&bench, 10), Says::Unread(Rule::Admin(1)), "{pattern}");
        // A pattern that does match is stronger than one that can't be tried.
        assert_eq!(says(&bench, 11), Says::Protect(Rule::Admin(0)), "{pattern}");
    }
}

#[test]
fn a_program_executed_since_was_not_read() {
    let mut bench = Bench::new();
    bench.config.victim.protect = patterns(&["cmdline:--keep"]);
    bench.add(task(10, "new")).know(&task(10, "old"), "old --keep", "/bin/old");
    assert_eq!(says(&bench, 10), Says::Unread(Rule::Admin(0)));
}

#[test]
fn unread_protects_only_while_another_candidate_exists() {
    let mut bench = Bench::new();
    bench.config.victim.protect = patterns(&["cmdline:--keep"]);
    let known = Task { anon: Some(GIB / 2), ..task(11, "known") };
    bench.add(Task { anon: Some(8 * GIB), ..task(10, "unread") }).add(known).know(&known, "known", "/bin/known");
    assert_eq!(bench.pid(), Some(11));
    bench.tasks.list.pop();
    assert_eq!(bench.pid(), Some(10));
}

#[test]
fn the_number_of_a_rule_is_its_place_in_the_admins_list() {
    let mut bench = Bench::new();
    bench.config.victim.avoid = patterns(&["cgroup:nowhere", "^a$", "user:^bob$"]);
    bench.config.victim.prefer = patterns(&["^c$"]);
    bench.add_in("/x", task(10, "a")).add_in("/x", task(11, "b")).add_in("/x", task(12, "c"));
    assert_eq!(says(&bench, 10), Says::Avoid(Rule::Admin(1)));
    assert_eq!(says(&bench, 11), Says::Avoid(Rule::Admin(2)));
    assert_eq!(says(&bench, 12), Says::Prefer(Rule::Admin(0)), "preferred before avoided");
}

#[test]
fn built_in_names_are_believed_of_the_system_and_of_the_small() {
    let sshd = |uid, anon| Task { uid, anon: Some(anon), ..task(10, "sshd") };
    let rows = [
        ("root's", sshd(Some(0), 4 * GIB), true),
        ("a system user's", sshd(Some(999), 4 * GIB), true),
        ("nobody knows whose", sshd(None, 4 * GIB), true),
        ("a user's, small", sshd(Some(1000), 256 * MIB - 1), true),
        ("a user's, large", sshd(Some(1000), 256 * MIB), false),
        ("a user's, swapped out", Task { swap: Some(GIB), ..sshd(Some(1000), MIB) }, false),
    ];
    for (what, task, protected) in rows {
        let mut bench = Bench::new();
        bench.add(task);
        assert_eq!(matches!(says(&bench, 10), Says::Protect(Rule::BuiltinProtect(_))), protected, "{what}");
        bench.config.victim.protect_builtin = false;
        assert_eq!(says(&bench, 10), Says::Nothing, "{what}, switched off");
    }
}

#[test]
fn a_child_of_systemds_is_its_own_only_if_it_is_roots() {
    for (uid, expected) in [(Some(0), true), (None, true), (Some(33), false), (Some(1000), false)] {
        let mut bench = Bench::new();
        bench.add(Task { uid, ..task(10, "(agetty)") });
        assert_eq!(says(&bench, 10) == Says::Protect(Rule::SystemdChild), expected, "{uid:?}");
    }
}

#[test]
fn display_servers_are_avoided_and_the_admin_may_differ() {
    let mut bench = Bench::new();
    bench.add(task(10, "Xorg")).add(task(11, "gnome-shell")).add(task(12, "Xorgy"));
    assert!(matches!(says(&bench, 10), Says::Avoid(Rule::BuiltinAvoid(_))));
    assert!(matches!(says(&bench, 11), Says::Avoid(Rule::BuiltinAvoid(_))));
    assert_eq!(says(&bench, 12), Says::Nothing);
    bench.config.victim.prefer = patterns(&["^Xorg$"]);
    assert_eq!(says(&bench, 10), Says::Prefer(Rule::Admin(0)));
    bench.config.victim.protect = patterns(&["^Xorg$"]);
    assert_eq!(says(&bench, 10), Says::Protect(Rule::Admin(0)));
}
