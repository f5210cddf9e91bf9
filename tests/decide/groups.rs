//! Victims that are several: oom.group, `target = "cgroup"`, and crowds of small ones.

use hogwatch::config::TargetKind;
use hogwatch::decide::victim::{Choice, Group, GroupWhy};
use hogwatch::observe::cgroups::Preference;
use hogwatch::observe::{Depth, Task};

use crate::bench::{Bench, GIB, MIB, limit, patterns, task};

fn sized(pid: i32, comm: &str, anon: u64) -> Task {
    Task { anon: Some(anon), rss: anon, ..task(pid, comm) }
}

/// A service of three, the largest of which is the largest of all.
fn service() -> Bench {
    let mut bench = Bench::new();
    bench.add_in("/app/web", sized(10, "leader", 3 * GIB));
    bench.add_in("/app/web/deep", sized(11, "helper", 2 * MIB));
    bench.add_in("/app/web", sized(12, "worker", GIB));
    bench.add_in("/other", sized(13, "other", 2 * GIB));
    bench
}

#[test]
fn oom_group_makes_the_subtree_one_victim() {
    let mut bench = service();
    for cgroup in ["/app/web", "/app/web/deep"] {
        bench.mark(cgroup, Some("/app/web"), Preference::None);
    }
    let victim = bench.victim();
    assert_eq!(victim.group, Some(Group { members: 3, why: GroupWhy::OomGroup, whole: true }));
    assert_eq!((victim.id.pid, victim.size), (10, 4 * GIB + 2 * MIB));
    assert_eq!(victim.cgroup.unwrap().as_bytes(), b"/app/web");
    assert_eq!(bench.members(), [10, 11, 12]);
}

#[test]
fn target_cgroup_takes_the_leaf_but_never_the_root() {
    let mut bench = service();
    bench.config.victim.target = TargetKind::Cgroup;
    assert_eq!(bench.victim().group, Some(Group { members: 3, why: GroupWhy::Configured, whole: true }));
    bench.add_in("/", sized(20, "rooted", 5 * GIB));
    let victim = bench.victim();
    assert_eq!((victim.id.pid, victim.group, victim.spared_group), (20, None, false));
}

#[test]
fn a_group_is_looked_at_whole_before_it_is_chosen() {
    let mut bench = service();
    bench.config.victim.target = TargetKind::Cgroup;
    bench.depth(Depth::Large { floor: 80 * MIB });
    assert_eq!(bench.choose().0, Choice::NeedAll);
}

#[test]
fn a_group_with_somebody_who_must_live_is_spared_but_for_one() {
    let rows: [(&str, Task); 6] = [
        ("protected", task(30, "keep-me")),
        ("-1000", Task { oom_score_adj: Some(-1000), ..task(30, "x") }),
        ("hogwatch", task(700, "x")),
        ("pid 1", task(1, "x")),
        ("perhaps protected", task(30, "unread")),
        ("perhaps -1000", Task { oom_score_adj: None, ..task(30, "x") }),
    ];
    for (what, tenant) in rows {
        let mut bench = service();
        bench.config.victim.target = TargetKind::Cgroup;
        bench.config.victim.protect = patterns(&["^keep-me$", "cmdline:--keep"]);
        bench.add_in("/app/web/deep", Task { anon: Some(MIB), ..tenant });
        for known in bench.tasks.list.clone().iter().filter(|t| t.comm.as_bytes() != b"unread") {
            bench.know(known, "run", "/bin/run");
        }
        let victim = bench.victim();
        assert_eq!((victim.id.pid, victim.group, victim.spared_group), (10, None, true), "{what}");
        assert_eq!(bench.members(), [0; 0], "{what}");
    }
}

#[test]
fn somebody_in_an_unknown_cgroup_may_be_in_the_group() {
    let mut bench = service();
    bench.config.victim.target = TargetKind::Cgroup;
    bench.add(task(700, "hogwatch"));
    assert!(bench.victim().spared_group);
}

#[test]
fn a_table_that_lost_somebody_spares_the_group() {
    let mut bench = service();
    bench.config.victim.target = TargetKind::Cgroup;
    bench.tasks.lost_some = true;
    assert!(bench.victim().spared_group);
}

#[test]
fn a_group_that_reaches_out_of_the_limit_is_spared() {
    let mut bench = service();
    bench.available = 8 * GIB;
    bench.enclosing = vec![limit("/app/web/deep", 64 * MIB, 64 * MIB)];
    bench.add_in("/app/web/deep", sized(20, "inside", 60 * MIB));
    bench.mark("/app/web/deep", Some("/app/web"), Preference::None);
    let victim = bench.victim();
    assert_eq!((victim.id.pid, victim.group, victim.spared_group), (20, None, true));
}

/// Two crowds, nobody of whom is worth killing.
fn crowds() -> Bench {
    let mut bench = Bench::new();
    bench.available = 750 * MIB;
    for n in 0..60 {
        bench.add_in("/user/bomb", sized(1000 + n, "bomb", 3 * MIB));
        bench.add_in("/user/crowd", sized(2000 + n, "crowd", 2 * MIB));
    }
    bench
}

#[test]
fn a_fork_bomb_dies_together() {
    let mut bench = crowds();
    let victim = bench.victim();
    assert_eq!(victim.group, Some(Group { members: 60, why: GroupWhy::ManySmall, whole: true }));
    assert_eq!((victim.size, victim.cgroup.unwrap().as_bytes()), (180 * MIB, &b"/user/bomb"[..]));
    assert_eq!(bench.members().len(), 60);
}

#[test]
fn in_a_crowd_those_who_must_live_do() {
    let mut bench = crowds();
    bench.add_in("/user/bomb", Task { anon: Some(MIB), oom_score_adj: Some(-1000), ..task(3000, "guarded") });
    let victim = bench.victim();
    // Not by `cgroup.kill` then.
    assert_eq!(victim.group, Some(Group { members: 60, why: GroupWhy::ManySmall, whole: false }));
    assert!(!bench.members().contains(&3000));
}

#[test]
fn a_crowd_of_avoided_ones_comes_after_a_smaller_one() {
    let mut bench = crowds();
    bench.config.victim.avoid = patterns(&["^bomb$"]);
    assert_eq!(bench.victim().cgroup.unwrap().as_bytes(), b"/user/crowd");
    bench.tasks.list.retain(|t| t.comm.as_bytes() == b"bomb");
    assert_eq!(bench.victim().cgroup.unwrap().as_bytes(), b"/user/bomb");
}

#[test]
fn a_group_that_is_regrouped_has_the_members_of_now() {
    let mut bench = crowds();
    let (choice, mut chooser) = bench.choose();
    let Choice::Victim(before) = choice else { panic!("{choice:?}") };
    bench.tasks.list.retain(|t| t.comm.as_bytes() != b"bomb" || t.id.pid >= 1050);
    bench.add_in("/user/bomb", sized(4000, "child", 3 * MIB));
    let (_, judged) = bench.choose();
    assert_eq!(chooser.members().len(), 60);
    chooser = judged;
    let now = chooser.regroup(&bench.tasks, &before).unwrap();
    assert_eq!((now.group.unwrap().members, now.cgroup), (11, before.cgroup));
    bench.tasks.list.retain(|t| t.comm.as_bytes() == b"crowd");
    let (_, mut judged) = bench.choose();
    assert_eq!(judged.regroup(&bench.tasks, &before), None);
}
