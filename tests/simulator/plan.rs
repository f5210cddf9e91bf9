//! What a seed stands for: a machine, who lives on it, a configuration, and how often things go wrong.

use std::time::Duration;

use hogwatch::config::{Amount, Config, Order, Pattern, PercentOf, Scope, SwapMode, TargetKind, ZfsArc};
use hogwatch::decide::victim::Own;
use hogwatch::observe::parse::ArcStats;
use hogwatch::observe::{Preference, TaskId};

use crate::rng::Rng;
use crate::world::{Cgroup, Event, MS, Proc, S, World};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Sets of victim lists; few, because compiling them takes longer than simulating.
pub const LISTS: u64 = 16;

/// How often things go wrong, per mille.
pub struct Faults {
    /// The loop comes late.
    pub late: u64,
    /// `/proc/meminfo` can't be read.
    pub blind: u64,
    /// The limits of enclosing cgroups can't be read.
    pub no_limits: u64,
    /// A process is missing from a scan.
    pub missed: u64,
    /// A field of a process can't be read.
    pub unread: u64,
    /// Memory comes back by itself between a choice and its signal.
    pub relief: u64,
    /// Command lines of a process were not read in time.
    pub no_details: u64,
}

pub struct Plan {
    pub config: Config,
    /// Which of the [`LISTS`] it has.
    pub list: u64,
    pub own: Own,
    pub machine_is_ours: bool,
    pub dry_run: bool,
    pub faults: Faults,
    /// Room in the process table.
    pub table: usize,
    pub until: u64,
}

/// The victim lists of one set.
pub fn lists(number: u64, config: &mut Config) {
    let mut rng = Rng::new(number + 77);
    config.victim.protect_builtin = !number.is_multiple_of(4);
    let protect =
        ["^keep-me$", "precious", "cgroup:^/guarded", "unit:^db[.]service$", "user:^alice$", "cmdline:--keep"];
    let mut some = |from: &[&str], each: u64| -> Vec<Pattern> {
        from.iter().filter(|_| rng.per_mille(each)).map(|text| Pattern::parse(text).unwrap()).collect()
    };
    config.victim.protect = if number == 0 { Vec::new() } else { some(&protect, 350) };
    config.victim.avoid = some(&["^avoid-me$", "cgroup:/app-b[.]scope$"], 400);
    config.victim.prefer = some(&["^prefer-me$", "user:^bob$"], 300);
}

/// Names by number, for `user:` patterns.
pub fn users() -> Vec<(u32, Box<[u8]>)> {
    let name = |uid: u32, name: &[u8]| (uid, name.to_vec().into_boxed_slice());
    vec![name(0, b"root"), name(1000, b"bob"), name(1001, b"alice")]
}

const NAMES: [(&str, &str); 16] = [
    ("hog", "hog --fast"),
    ("python3", "python3 train.py"),
    ("java", "java -jar app.jar --keep"),
    ("firefox", "firefox"),
    ("postgres", "postgres: checkpointer"),
    ("cc1plus", "cc1plus big.cc"),
    ("node", "node server.js"),
    ("keep-me", "keep-me"),
    ("precious-db", "precious-db"),
    ("avoid-me", "avoid-me"),
    ("prefer-me", "prefer-me"),
    ("sshd", "sshd: bob"),
    ("systemd-journal", "/lib/systemd/systemd-journald"),
    ("(agetty)", "(agetty)"),
    ("Xorg", "Xorg :0"),
    ("tmux: server", "tmux"),
];

fn cgroups(rng: &mut Rng, mem_total: u64) -> Vec<Cgroup> {
    const PATHS: [&str; 14] = [
        "/",
        "/init.scope",
        "/system.slice/sshd.service",
        "/system.slice/db.service",
        "/system.slice/web.service",
        "/guarded/a",
        "/user.slice",
        "/user.slice/user-1000.slice",
        "/user.slice/user-1000.slice/session-1.scope",
        "/user.slice/user-1000.slice/user@1000.service/app.slice/app-a.scope",
        "/user.slice/user-1000.slice/user@1000.service/app.slice/app-b.scope",
        "/box",
        "/box/inner",
        "/box/inner/leaf",
    ];
    PATHS
        .into_iter()
        .map(|path| {
            let limit = match path {
                "/box" | "/box/inner" | "/user.slice" | "/user.slice/user-1000.slice" => rng.per_mille(600),
                _ => false,
            };
            let limit = limit.then(|| mem_total / 100 * rng.between(10, 90));
            Cgroup {
                path,
                oom_group: path.len() > 1 && rng.per_mille(100),
                preference: match rng.below(20) {
                    0 if path.len() > 1 => Preference::Omit,
                    1 => Preference::Avoid,
                    _ => Preference::None,
                },
                limit,
                swap_limit: (limit.is_some() && rng.per_mille(300)).then(|| mem_total / 100 * rng.below(30)),
                extra: limit.map_or(0, |l| if rng.per_mille(200) { l / 100 * rng.below(98) } else { 0 }),
            }
        })
        .collect()
}

fn config(rng: &mut Rng, mem_total: u64, swap_total: u64) -> Config {
    let mut config = Config::default();
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let share = |rng: &mut Rng, low: u64, high: u64| rng.between(low, high) as f64 / 10.0;
    let amount = |rng: &mut Rng, percent: f64| match rng.per_mille(250) {
        true => Amount::Bytes(Amount::Percent(percent).of(mem_total)),
        false => Amount::Percent(percent),
    };
    if rng.per_mille(700) {
        let kill = share(rng, 5, 60);
        let term = kill + share(rng, 0, 50);
        config.memory.kill = amount(rng, kill);
        config.memory.term = amount(rng, term);
        let warn = term + share(rng, 0, 80);
        config.memory.warn = amount(rng, warn);
    }
    config.memory.percent_of = if rng.per_mille(200) { PercentOf::User } else { PercentOf::Total };
    config.memory.scope = *rng.pick(&[Scope::Auto, Scope::Auto, Scope::Auto, Scope::Host, Scope::Cgroup]);
    config.memory.zfs_arc = *rng.pick(&[ZfsArc::Auto, ZfsArc::Count, ZfsArc::Ignore]);
    config.swap.mode = *rng.pick(&[SwapMode::Ignore, SwapMode::Ignore, SwapMode::And, SwapMode::Or]);
    if rng.per_mille(300) {
        config.swap.term = Amount::Bytes(swap_total / 10);
        config.swap.kill = Amount::Bytes(swap_total / 20);
    }
    config.victim.min_size = match rng.below(8) {
        0 => Amount::Percent(0.0),
        1 => Amount::Percent(5.0),
        2 => Amount::Bytes(64 * MIB),
        _ => Amount::Percent(0.5),
    };
    config.victim.order = if rng.per_mille(250) { Order::Badness } else { Order::Size };
    config.victim.target = if rng.per_mille(200) { TargetKind::Cgroup } else { TargetKind::Process };
    config.escalation.grace = Duration::from_millis(*rng.pick(&[0, 200, 1000, 5000, 10_000, 10_000, 20_000]));
    let _ = config.fit(mem_total, swap_total);
    config
}

/// The plan of a seed, and the world it begins in.
pub fn draw(rng: &mut Rng) -> (Plan, World) {
    let mem_total = rng.magnitude(256 * MIB, 1024 * GIB);
    let swap_total = if rng.per_mille(400) { mem_total / 100 * rng.between(5, 120) } else { 0 };
    let mut config = config(rng, mem_total, swap_total);
    let list = rng.below(LISTS);
    lists(list, &mut config);
    let mut world = World::new(mem_total, swap_total, cgroups(rng, mem_total));
    world.has_pressure = rng.per_mille(900);
    world.base = mem_total / 100 * rng.between(2, 15);
    if rng.per_mille(100) {
        let size = mem_total / 100 * rng.between(5, 40);
        world.arc = Some(ArcStats { size, c: size, c_min: size / 10, c_max: mem_total / 2 });
        world.arc_stuck = rng.per_mille(300);
    }
    let privileged = rng.per_mille(800);
    let own = Own { pid: 700, uid: if privileged { 0 } else { 1000 }, may_signal_others: privileged };
    world.own_cgroup = *rng.pick(&[0, 4, 9, 13, 13]);
    inhabit(&mut world, rng, &own);
    trouble(&mut world, rng);
    world.tally();
    let count = world.procs.len();
    let often = |rng: &mut Rng, most: u64| if rng.per_mille(500) { 0 } else { rng.below(most) };
    let faults = Faults {
        late: often(rng, 60),
        blind: often(rng, 60),
        no_limits: often(rng, 40),
        missed: often(rng, 20),
        unread: often(rng, 60),
        relief: often(rng, 300),
        no_details: rng.pick(&[0, 200, 1000]).to_owned(),
    };
    let plan = Plan {
        config,
        list,
        own,
        machine_is_ours: privileged || rng.per_mille(500),
        dry_run: rng.per_mille(30),
        faults,
        table: if rng.per_mille(50) { count / 2 + 2 } else { 8192 },
        until: world.now + rng.between(15, 75) * S,
    };
    (plan, world)
}

/// Fills the world with processes: mostly small, a few large, one or more hogs.
fn inhabit(world: &mut World, rng: &mut Rng, own: &Own) {
    let count = match rng.below(200) {
        0 => rng.between(400, 2000),
        1..20 => rng.between(60, 300),
        _ => rng.between(5, 50),
    };
    let room = world.available();
    let filled = room / 100 * rng.between(20, 95);
    let oddities = rng.pick(&[0, 30, 150, 600]).to_owned();
    let hogs = rng.below(5);
    let mut left = filled;
    for n in 0..count {
        let pid = match n {
            0 => 1,
            1 => own.pid,
            // Before and after the guard's own.
            n if n < 20 => i32::try_from(n * 10).unwrap(),
            n => i32::try_from(1000 + n).unwrap(),
        };
        let (comm, cmdline) = match n {
            0 => ("systemd", "/sbin/init"),
            1 => ("hogwatch", "hogwatch daemon"),
            _ => *rng.pick(&NAMES),
        };
        let hog = n >= 2 && n < 2 + hogs;
        let anon = match n {
            0 | 1 => {
                if rng.per_mille(300) {
                    room / 20
                } else {
                    10 * MIB
                }
            }
            _ if rng.per_mille(80) => left / 100 * rng.between(5, 80),
            _ => rng.between(1, (room / 300).max(2)),
        };
        let anon = anon.min(left);
        left -= anon;
        let uid = if n < 2 { own.uid } else { *rng.pick(&[0, 33, 1000, 1000, 1001]) };
        let id = world.fresh_id(pid);
        let shared = rng.per_mille(100);
        world.procs.push(Proc {
            id,
            comm,
            cmdline,
            uid,
            adj: if (n == 1 && rng.per_mille(500)) || rng.per_mille(60) {
                -1000
            } else {
                *rng.pick(&[0, 0, 0, 500, -500])
            },
            cgroup: match n {
                0 => 1,
                1 => world.own_cgroup,
                _ => usize::try_from(rng.below(world.cgroups.len() as u64)).unwrap(),
            },
            anon,
            swap: 0,
            shmem: if shared { room / 10 } else { 0 },
            file: rng.below(8 * MIB),
            grow: if hog { world.mem_total / rng.magnitude(1, 1000) } else { 0 },
            grows: {
                let from = world.now + rng.below(10 * S);
                (from, if rng.per_mille(500) { from + rng.below(20 * S) } else { u64::MAX })
            },
            on_term: match rng.below(10) {
                0..2 => None,
                2..6 => Some(rng.below(20 * MS)),
                _ => Some(rng.below(15 * S)),
            },
            on_kill: match rng.below(1000) {
                n if n < 50 + oddities => None,
                n if n < 50 + 2 * oddities => Some(rng.below(6 * S)),
                _ => Some(rng.below(100 * MS)),
            },
            give_back: if rng.per_mille(400) { rng.below(4 * S) } else { rng.below(50 * MS) },
            leak: if rng.per_mille(oddities / 2) { rng.between(20, 100) } else { 0 },
            exit_at: None,
            shows_dying: rng.per_mille(100 + oddities / 2),
            untouchable: rng.per_mille(oddities / 4),
            forks: None,
            next_fork: 0,
            zombie_leader: rng.per_mille(30),
        });
    }
    world.procs.sort_by_key(|p| p.id.pid);
    // Time has passed since they began.
    world.tally();
}

/// What will happen besides growth.
fn trouble(world: &mut World, rng: &mut Rng) {
    let (from, total) = (world.now, world.mem_total);
    if rng.per_mille(300) {
        // Something that no kill gives back takes nearly all.
        for _ in 0..rng.between(1, 6) {
            let at = from + rng.below(30 * S);
            world.events.push((at, Event::Burst(total / 100 * rng.between(5, 60))));
        }
    }
    if rng.per_mille(200) {
        // It comes and goes: about as much as is missing.
        let (every, most) = (rng.between(2, 15) * S, total / 100 * rng.between(20, 95));
        for n in 0..60 * S / every {
            world.events.push((from + n * every, Event::Burst(most)));
            world.events.push((from + n * every + rng.between(1, every), Event::Relief(most)));
        }
    }
    for _ in 0..rng.below(12) {
        let at = from + rng.below(60 * S);
        world.events.push((at, Event::Relief(total / 100 * rng.between(1, 40))));
        if rng.per_mille(500) {
            world.events.push((at + rng.below(20 * S), Event::Burst(total / 100 * rng.between(1, 20))));
        }
        let id = { rng.pick(&world.procs).id };
        if id.pid != 1 && id.pid != 700 {
            world.events.push((from + rng.below(60 * S), Event::Exit(id)));
        }
    }
    if rng.per_mille(60) {
        let eligible: Vec<TaskId> =
            world.procs.iter().filter(|p| p.id.pid > 1 && p.id.pid != 700).map(|p| p.id).collect();
        if !eligible.is_empty() {
            let id = *rng.pick(&eligible);
            let bomber = world.procs.iter_mut().find(|p| p.id == id).unwrap();
            bomber.forks = Some(S / rng.between(20, 400));
            bomber.next_fork = from + rng.below(5 * S);
        }
    }
}
