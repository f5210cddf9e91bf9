//! Who is chosen among processes that are looked at one by one.

use hogwatch::config::{Amount, Order};
use hogwatch::decide::measure::{Reading, Whose};
use hogwatch::decide::victim::{Choice, Refusal, Tier};
use hogwatch::observe::CgroupPath;
use hogwatch::observe::cgroups::Preference;
use hogwatch::observe::parse::State;
use hogwatch::observe::{Depth, Small, Task};

use crate::bench::{Bench, GIB, MIB, OWN, limit, patterns, task};

fn sized(pid: i32, comm: &str, anon: u64) -> Task {
    Task { anon: Some(anon), rss: anon, ..task(pid, comm) }
}

#[test]
fn the_largest_by_anonymous_memory_and_swap() {
    let mut bench = Bench::new();
    bench.add(sized(10, "a", 3 * GIB));
    bench.add(Task { swap: Some(2 * GIB), ..sized(11, "b", 2 * GIB) });
    // Resident file pages and shared memory free nothing worth counting.
    bench.add(Task { rss: 9 * GIB, shmem: Some(6 * GIB), ..sized(12, "c", GIB) });
    let victim = bench.victim();
    assert_eq!((victim.id.pid, victim.size, victim.swap), (11, 4 * GIB, 2 * GIB));
}

#[test]
fn a_kernel_that_tells_only_the_resident_size_ranks_by_it() {
    let mut bench = Bench::new();
    bench.add(Task { anon: None, shmem: None, swap: None, rss: 5 * GIB, ..task(10, "old") });
    bench.add(sized(11, "b", 4 * GIB));
    assert_eq!(bench.pid(), Some(10));
}

#[test]
fn shared_memory_breaks_ties_and_then_the_lower_pid_comes_first() {
    let mut bench = Bench::new();
    bench
        .add(task(10, "a"))
        .add(Task { shmem: Some(MIB), ..task(11, "b") })
        .add(Task { shmem: Some(MIB), ..task(12, "c") });
    assert_eq!(bench.pid(), Some(11));
}

#[test]
fn a_databases_backends_do_not_outrank_a_hog_by_the_buffers_they_share() {
    let mut bench = Bench::new();
    for pid in 10..30 {
        bench.add(Task { shmem: Some(8 * GIB), ..sized(pid, "postgres", 30 * MIB) });
    }
    bench.add(sized(40, "hog", 200 * MIB));
    bench.available = 700 * MIB;
    assert_eq!(bench.pid(), Some(40));
}

#[test]
fn shared_memory_ranks_when_nobody_is_worth_killing_without() {
    let mut bench = Bench::new();
    bench.add(Task { shmem: Some(2 * GIB), ..sized(10, "a", 10 * MIB) });
    bench.add(Task { shmem: Some(3 * GIB), ..sized(11, "b", 20 * MIB) });
    let victim = bench.victim();
    assert_eq!((victim.id.pid, victim.size), (11, 3 * GIB + 20 * MIB));
}

#[test]
fn tiers_come_before_size() {
    let mut bench = Bench::new();
    bench.config.victim.prefer = patterns(&["^browser$"]);
    bench.config.victim.avoid = patterns(&["^editor$"]);
    bench.config.victim.protect = patterns(&["cmdline:--keep"]);
    bench.config.victim.protect_builtin = false;
    let unread = sized(10, "unread", 8 * GIB);
    let editor = sized(11, "editor", 4 * GIB);
    let ordinary = sized(12, "ordinary", 2 * GIB);
    let browser = sized(13, "browser", GIB);
    let order = [(browser, Tier::Prefer), (ordinary, Tier::Ordinary), (editor, Tier::Avoid), (unread, Tier::Unread)];
    // One after the other goes; the next tier is taken when nothing else is left.
    for gone in 0..order.len() {
        bench.tasks.list.clear();
        for (task, _) in &order[gone..] {
            bench.add(*task);
        }
        for known in [editor, ordinary, browser] {
            bench.know(&known, "run", "/bin/run");
        }
        let victim = bench.victim();
        assert_eq!((victim.id, victim.tier), (order[gone].0.id, order[gone].1));
    }
}

#[test]
fn badness_ranks_by_the_kernels_score_then_by_size() {
    let mut bench = Bench::new();
    bench.config.victim.order = Order::Badness;
    bench.add(Task { oom_score: Some(700), ..sized(10, "large", 6 * GIB) });
    bench.add(Task { oom_score: Some(900), ..sized(11, "marked", GIB) });
    bench.add(Task { oom_score: Some(900), ..sized(12, "marked too", 2 * GIB) });
    bench.add(Task { oom_score: Some(1900), ..sized(13, "too small", MIB) });
    assert_eq!(bench.pid(), Some(12));
}

#[test]
fn a_zombie_leader_with_live_threads_is_a_process_like_any() {
    let mut bench = Bench::new();
    bench.add(Task { state: State::Zombie, threads: 3, ..sized(10, "leader", 5 * GIB) }).add(task(11, "b"));
    assert_eq!(bench.pid(), Some(10));
}

#[test]
fn who_is_never_chosen() {
    let rows: [(&str, Task); 4] = [
        ("pid 1", Task { uid: Some(0), ..task(1, "init-of-ours") }),
        ("hogwatch itself", task(700, "x")),
        ("-1000", Task { oom_score_adj: Some(-1000), ..task(10, "x") }),
        ("protected", task(11, "keep-me")),
    ];
    for (what, task) in rows {
        let mut bench = Bench::new();
        bench.config.victim.protect = patterns(&["^keep-me$"]);
        bench.add(task);
        assert_eq!(bench.refusal(), Refusal::NobodyEligible, "{what}");
    }
}

#[test]
fn a_user_s_guard_chooses_among_its_own() {
    let mut bench = Bench::new();
    bench.own.uid = 1000;
    bench.own.may_signal_others = false;
    bench.add(Task { uid: Some(0), ..sized(10, "root's", 6 * GIB) });
    bench.add(Task { uid: None, ..sized(11, "nobody knows", 5 * GIB) });
    bench.add(sized(12, "own", GIB));
    assert_eq!(bench.pid(), Some(12));
}

#[test]
fn marks_of_systemd_oomd_hold_unless_the_admin_prefers() {
    let mut bench = Bench::new();
    bench.add_in("/omit", sized(10, "a", 6 * GIB)).mark("/omit", None, Preference::Omit);
    bench.add_in("/avoid", sized(11, "b", 4 * GIB)).mark("/avoid", None, Preference::Avoid);
    bench.add(sized(12, "c", GIB));
    assert_eq!(bench.pid(), Some(12));
    bench.config.victim.prefer = patterns(&["^b$", "^a$"]);
    assert_eq!(bench.pid(), Some(11));
}

#[test]
fn only_what_lives_below_the_limit_that_fired() {
    let mut bench = Bench::new();
    bench.available = 8 * GIB;
    bench.enclosing = vec![limit("/box", 4 * GIB, 4 * GIB)];
    bench.add_in("/other", sized(10, "outside", 6 * GIB));
    bench.add_in("/boxer", sized(11, "another box", 5 * GIB));
    bench.add(sized(12, "who knows where", 5 * GIB));
    bench.add_in("/box/deep", sized(13, "inside", GIB));
    assert_eq!(bench.pid(), Some(13));
}

#[test]
fn what_is_too_small_is_not_worth_killing() {
    let mut bench = Bench::new();
    // 0.5 % of 16 GiB are 82 MiB; without cgroups there are no crowds.
    bench.available = 810 * MIB;
    bench.add(sized(10, "a", 60 * MIB)).add(sized(11, "b", 50 * MIB));
    let Refusal::NothingWorthKilling { largest, min_size } = bench.refusal() else { panic!() };
    assert_eq!((largest, min_size), (60 * MIB, 16 * GIB / 200));
    bench.config.victim.min_size = Amount::Bytes(60 * MIB);
    assert_eq!(bench.pid(), Some(10));
}

#[test]
fn min_size_is_of_the_limit_in_a_cgroup() {
    let mut bench = Bench::new();
    bench.available = 8 * GIB;
    bench.enclosing = vec![limit("/box", GIB, GIB - 50 * MIB)];
    bench.add_in("/box", sized(10, "a", 10 * MIB));
    assert_eq!(bench.pid(), Some(10));
}

#[test]
fn nobody_dies_for_what_something_else_holds() {
    let mut bench = Bench::new();
    // 819 MiB are `term`; tmpfs has the rest.
    bench.available = 300 * MIB;
    bench.add(sized(10, "a", 300 * MIB)).add(sized(11, "b", 200 * MIB));
    let deficit = 16 * GIB / 20 - 300 * MIB;
    assert_eq!(bench.refusal(), Refusal::WouldNotSuffice { together: 500 * MIB, deficit });
    // The part that was left out as small counts too.
    bench.depth(Depth::Large { floor: 80 * MIB }).tasks.small = Small { count: 50, bytes: 100 * MIB };
    assert_eq!(bench.pid(), Some(10));
}

#[test]
fn a_shallow_look_without_a_victim_asks_for_a_deep_one() {
    let mut bench = Bench::new();
    bench.depth(Depth::Large { floor: 80 * MIB }).tasks.small = Small { count: 900, bytes: 2 * GIB };
    assert_eq!(bench.choose().0, Choice::NeedAll);
}

#[test]
fn whose_oom_score_adj_is_unknown_comes_last() {
    let mut bench = Bench::new();
    bench.add(Task { oom_score_adj: None, ..sized(10, "a", 6 * GIB) }).add(task(11, "b"));
    assert_eq!(bench.pid(), Some(11));
    bench.tasks.list.pop();
    assert_eq!(bench.pid(), Some(10));
}

#[test]
fn of_those_who_are_spared_only_one_that_would_have_been_enough_is_named() {
    // At 512 MiB available of 16 GiB 307 MiB are missing to term.
    for (what, hog, named) in [
        ("enough", sized(20, "keep", 800 * MIB), Some(20)),
        ("less than is missing", sized(20, "keep", 200 * MIB), None),
        ("the guard itself", sized(OWN.pid, "hogwatch", 800 * MIB), None),
    ] {
        let mut bench = Bench::new();
        bench.config.victim.protect = patterns(&["^keep$"]);
        bench.add(hog);
        let (choice, chooser) = bench.choose();
        assert!(matches!(choice, Choice::Refused(_)), "{what}: {choice:?}");
        let spared = chooser.largest_spared(&bench.tasks, &bench.reading());
        assert_eq!(spared.map(|spared| spared.id.pid), named, "{what}");
    }
}

#[test]
fn the_foremost_are_the_first_in_rank() {
    let mut bench = Bench::new();
    bench.config.victim.prefer = patterns(&["^p"]);
    bench.config.victim.avoid = patterns(&["^a"]);
    bench.config.victim.protect = patterns(&["^keep"]);
    for (pid, name) in (10..200).zip(["p1", "o1", "a1", "keep", "o2", "p2"].into_iter().cycle()) {
        // Some are too small to be worth it, some equal.
        let size = u64::try_from(pid % 23).unwrap() * 30 * MIB;
        bench.add_in(if pid % 2 == 0 { "/even" } else { "/odd" }, sized(pid, name, size));
    }
    let (_, chooser) = bench.choose();
    let reading = bench.reading();
    let ranked = chooser.ranked(&bench.tasks, &reading);
    let expected: Vec<i32> = ranked.iter().map(|index| bench.tasks.list[*index].id.pid).collect();
    let foremost = |reading: &Reading| -> Vec<i32> {
        chooser.foremost::<8>(&bench.tasks, reading).iter().map(|(task, _)| task.id.pid).collect()
    };
    assert_eq!(foremost(&reading), expected[..8]);
    assert_eq!(chooser.foremost::<8>(&bench.tasks, &reading).iter().next().unwrap().1, Tier::Prefer);

    // Of a narrower scope than they were judged for: those within.
    let path = CgroupPath::new(b"/odd").unwrap();
    let odd: Vec<i32> = expected.iter().copied().filter(|pid| pid % 2 == 1).take(8).collect();
    assert_eq!(foremost(&Reading { whose: Whose::Cgroup(path), ..reading }), odd);
    let elsewhere = CgroupPath::new(b"/elsewhere").unwrap();
    assert_eq!(foremost(&Reading { whose: Whose::Cgroup(elsewhere), ..reading }), [0_i32; 0]);
}
