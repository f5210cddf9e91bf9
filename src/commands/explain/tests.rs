//! Cgroups on made-up trees and from recorded traces: what is said of them, and who would go.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;

use clap::Parser;
use tempfile::TempDir;

use super::livelock::{Case, Outlook, Reach};
use super::*;
use crate::commands::replay::trace::Trace;
use crate::config::{Livelock, LivelockAction};
use crate::decide::livelock::{Detector, Judged, Kind, Terms};
use crate::observe::survey::fixture::write_files;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: ExplainArgs,
}

fn args(words: &[&str]) -> ExplainArgs {
    Cli::try_parse_from([&["explain"], words].concat()).unwrap().args
}

/// A recorded cgroup as it was judged after `seconds` of watching, from the sample at `from` on.
fn recorded(name: &str, from: f64, seconds: f64, reach: Reach) -> Case {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces").join(format!("{name}.jsonl.gz"));
    let mut trace = Trace::open(BufReader::new(File::open(file).unwrap())).unwrap();
    let livelock = Livelock::default();
    let terms = Terms { after: livelock.after, thrash_after: livelock.thrash_after, page_size: 4096 };
    let mut detector = Detector::new(terms);
    while let Some(entry) = trace.next_entry().unwrap() {
        let t = entry.sample.t.as_secs_f64();
        if t >= from && detector.reach().as_secs_f64() < seconds {
            detector.push(&entry.sample);
        }
    }
    Case::of(&CgroupPath::new(b"/lab.slice").unwrap(), &detector, reach).unwrap()
}

const KILL: Reach = Reach::Within(LivelockAction::Kill);

fn text_of(case: &Case) -> String {
    let mut out = String::new();
    text::write_case(&mut out, case).unwrap();
    out
}

#[test]
fn the_first_sentence_says_how_it_stands() {
    for (name, from, seconds, expected) in [
        ("throttle-plateau", 110.0, 2.0, "is not a livelock: it did not touch memory.high while it was watched."),
        (
            "throttle-plateau",
            130.0,
            2.0,
            "looks throttled so far: 2.0 s of 10.0 s, as long as was watched; watch a whole window with --for 10s.",
        ),
        (
            "throttle-plateau",
            130.0,
            10.0,
            "is a livelock (throttled): 80 % of the last 10 s stalled, 6.3 % above memory.high 200 MiB, nothing reclaimed.",
        ),
        (
            "max-thrash",
            645.0,
            12.0,
            "looks swap_thrash so far: 12.3 s of 30.0 s, as long as was watched; watch a whole window with --for 30s.",
        ),
        (
            "max-thrash",
            645.0,
            31.0,
            "is a livelock (swap_thrash): 60 % of the last 30 s stalled at memory.max 200 MiB, its own memory swapped out \
             and in.",
        ),
        (
            "stream-cache",
            30.0,
            12.0,
            "is not a livelock: nearest is squeezed, but `file_lru` (page cache, of the memory in use) is 98.9 %, not \
             below 5.0 %.",
        ),
    ] {
        let text = text_of(&recorded(&format!("6.12-{name}"), from, seconds, KILL));
        assert_eq!(text.lines().next(), Some(format!("/lab.slice {expected}").as_str()), "{name}\n{text}");
    }
}

#[test]
fn each_rule_stands_on_a_line_of_its_own_that_fits_a_terminal() {
    let text = text_of(&recorded("6.12-throttle-plateau", 130.0, 2.0, KILL));
    for line in [
        "  current 213 MiB   high 200 MiB   max 400 MiB   swap 0 B of 0 B",
        "throttled: so far (above memory.high, nothing to reclaim: whoever allocates sleeps)",
        "  above             2.0 s of 10.0 s  so far   as long as was watched",
        "    stalled        99.6 % >= 35.0 %  met      time in which no task could run",
        "  oom                   0 <  1       not met  `oom` events a second",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
    for name in ["6.12-throttle-plateau", "6.12-max-thrash", "6.12-squeezed", "6.12-stream-cache"] {
        let case = recorded(name, 0.0, 40.0, KILL);
        for line in text_of(&case).lines().skip(1) {
            assert!(line.chars().count() <= 100, "{line}");
        }
        for rule in case.judgement.kinds.iter().flat_map(|findings| findings.all().chain(findings.any())) {
            assert_ne!(text::describe(rule), "", "{}", rule.name);
        }
    }
}

#[test]
fn what_was_not_watched_for_long_enough_is_not_stuck() {
    let case = recorded("6.12-throttle-plateau", 130.0, 2.0, KILL);
    assert!(matches!(case.outlook(), Some(Outlook::SoFar(..))) && !case.is_acted_on());
    // Above its limit only since a moment ago: that is less than was watched.
    let onset = recorded("6.12-throttle-plateau", 112.0, 4.0, KILL);
    assert!(matches!(onset.outlook(), Some(Outlook::Not(..))));
    for (reach, acted_on) in [
        (KILL, true),
        (Reach::Within(LivelockAction::Warn), false),
        (Reach::Within(LivelockAction::Lift), false),
        (Reach::LeftOut, false),
    ] {
        let case = recorded("6.12-throttle-plateau", 130.0, 12.0, reach);
        assert!(matches!(case.outlook(), Some(Outlook::Stuck(_))));
        assert_eq!(case.is_acted_on(), acted_on, "{reach:?}");
    }
    let at_max = recorded("6.12-max-thrash", 645.0, 31.0, Reach::Within(LivelockAction::Lift));
    assert_eq!(at_max.action(), Some(LivelockAction::Warn), "memory.max is not lifted");
}

/// A machine of files: cgroup v2, and processes whose numbers no kernel gives.
struct Machine(TempDir);

const MIB: u64 = 1 << 20;

/// Above the kernel's `PID_MAX_LIMIT`, 4,194,304.
const FIRST_PID: u32 = 5_000_000;

impl Machine {
    fn new() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        machine.write("sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
        machine.write("proc/self/cgroup", "0::/\n");
        machine.write(
            "proc/meminfo",
            "MemTotal: 16777216 kB\nMemFree: 8388608 kB\nMemAvailable: 8388608 kB\nShmem: 2097152 kB\n",
        );
        machine
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn cgroup(&self, path: &str, current: u64, high: &str, max: &str) {
        let dir = self.0.path().join("sys/fs/cgroup").join(&path[1..]);
        fs::create_dir_all(&dir).unwrap();
        write_files(&dir, high, max);
        fs::write(dir.join("memory.current"), format!("{current}\n")).unwrap();
    }

    fn process(&self, number: u32, name: &str, cgroup: &str, anon: u64) {
        let (pid, uid, kib) = (FIRST_PID + number, nix::unistd::geteuid(), anon / 1024);
        let zeroes = "0 ".repeat(22);
        let pages = anon / 4096;
        self.write(
            &format!("proc/{pid}/stat"),
            &format!(
                "{pid} ({name}) S 1 1 1 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 1 0 77 {anon} {pages} {zeroes}0 0 0 0 0 0\n"
            ),
        );
        self.write(
            &format!("proc/{pid}/status"),
            &format!(
                "Name:\t{name}\nState:\tS (sleeping)\nTgid:\t{pid}\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\nVmRSS:\t{kib} kB\n\
                 RssAnon:\t{kib} kB\nRssFile:\t0 kB\nRssShmem:\t0 kB\nVmSwap:\t0 kB\nThreads:\t1\n"
            ),
        );
        self.write(&format!("proc/{pid}/oom_score"), "1\n");
        self.write(&format!("proc/{pid}/oom_score_adj"), "0\n");
        self.write(&format!("proc/{pid}/cgroup"), &format!("0::{cgroup}\n"));
    }

    /// By one sample: nothing moves here.
    fn explain(&self, cgroup: &str, config: &Config) -> Result<Explained, String> {
        self.watch(cgroup, config, Duration::ZERO)
    }

    fn watch(&self, cgroup: &str, config: &Config, span: Duration) -> Result<Explained, String> {
        let roots = Roots { proc: self.0.path().join("proc"), sys: self.0.path().join("sys") };
        let args = ExplainArgs { span, ..args(&["--cgroup", cgroup]) };
        answer(&args, config.clone(), &Host::open(&roots).unwrap())
    }
}

/// A service whose processes hold so many MiB, 13 MiB above its limit of 200, and a larger process elsewhere.
fn service(sizes: &[(&str, u64)]) -> Machine {
    let machine = Machine::new();
    machine.cgroup("/system.slice", 900 * MIB, "max\n", "max\n");
    machine.cgroup("/system.slice/web.service", 213 * MIB, "209715200\n", "419430400\n");
    machine.process(0, "elsewhere", "/system.slice/db.service", 900 * MIB);
    for ((name, mib), number) in sizes.iter().zip(1..) {
        machine.process(number, name, "/system.slice/web.service/workers", mib * MIB);
    }
    machine
}

fn names(explained: &Explained) -> Vec<String> {
    explained.candidates.iter().map(|c| c.task.comm.to_string()).collect()
}

#[test]
fn the_largest_of_the_cgroup_goes_and_nobody_outside() {
    let machine = service(&[("small", 40), ("hog", 150)]);
    let explained = machine.explain("/system.slice/web.service/", &Config::default()).unwrap();
    assert_eq!(names(&explained), ["hog", "small"]);
    let json = explained.json();
    assert_eq!(json["victim"], FIRST_PID + 2);
    // Of the limit: half a percent of 200 MiB.
    assert_eq!(json["min_size_bytes"], MIB);
    assert_eq!(
        json["cgroup"],
        serde_json::json!({
            "path": "/system.slice/web.service", "current": 213 * MIB, "high": 200 * MIB, "max": 400 * MIB,
            "swap_current": 0, "swap_max": null, "judged_at": "memory.high", "limit": 200 * MIB, "kind": null,
            "so_far": null, "watched_ms": 0, "action": "kill", "not_judged": null,
        })
    );
    let rule = |name: &str| json["rules"].as_array().unwrap().iter().find(|r| r["name"] == name).unwrap().clone();
    assert_eq!(
        rule("livelock.throttled.above"),
        serde_json::json!({
            "name": "livelock.throttled.above", "value": 0, "threshold": 10_000, "met": false, "unit": "ms",
            "sense": "at_least",
        })
    );
    assert_eq!(rule("livelock.throttled.seen_asleep")["value"], serde_json::Value::Null);
    assert_eq!(rule("livelock.squeezed.file_lru")["threshold"], 5.0);
    assert_eq!(rule("memory.term")["unit"], "bytes");

    let text = explained.text(false);
    assert!(text.contains("\nIf it were stuck, the first to go would be hog (pid 5000002, 150 MiB).\n"), "{text}");
    assert!(!text.contains("elsewhere") && !text.contains("never killed"), "{text}");
}

#[test]
fn as_many_go_as_it_takes_and_stand_first() {
    let mut config = Config::default();
    config.victim.prefer = vec![config::Pattern::parse("^tiny$").unwrap()];
    // 17 MiB have to go: what is above the limit, and 2 % of it.
    let machine = service(&[("c", 8), ("a", 12), ("tiny", 0), ("b", 10)]);
    let explained = machine.explain("/system.slice/web.service", &config).unwrap();
    assert_eq!(explained.json()["group"], 3);
    assert_eq!(names(&explained), ["tiny", "a", "b", "c"]);
    assert!(explained.text(false).contains("because one alone would not free it"), "{}", explained.text(false));
}

#[test]
fn nobody_goes_in_place_of_a_protected_hog() {
    let mut config = Config::default();
    config.victim.protect = vec![config::Pattern::parse("^hog$").unwrap()];
    let machine = service(&[("small", 40), ("hog", 150)]);
    let explained = machine.explain("/system.slice/web.service", &config).unwrap();
    assert_eq!(explained.json()["victim"], serde_json::Value::Null);
    let text = explained.text(true);
    assert!(
        text.contains("If it were stuck, nobody would be killed: whoever made it stuck may not be killed"),
        "{text}"
    );
    assert!(text.contains("5000002  hog              protected by victim.protect"), "{text}");
}

#[test]
fn what_the_configuration_leaves_out_is_said() {
    let machine = service(&[("hog", 150)]);
    let with = |change: fn(&mut Livelock)| {
        let mut config = Config::default();
        change(&mut config.livelock);
        let explained = machine.explain("/system.slice/web.service", &config).unwrap();
        (explained.json()["cgroup"]["action"].as_str().unwrap().to_owned(), explained.text(false))
    };
    let (action, text) = with(|livelock| livelock.cgroups = vec!["user.slice/**".to_owned()]);
    assert_eq!(action, "none");
    assert!(text.contains("livelock.cgroups leaves this cgroup out"), "{text}");
    let (action, text) = with(|livelock| livelock.enabled = false);
    assert_eq!(action, "none");
    assert!(text.contains("livelock.enabled is false"), "{text}");
    let (action, text) = with(|livelock| livelock.action = LivelockAction::Warn);
    assert_eq!(action, "warn");
    assert!(text.contains("livelock.action is \"warn\": the journal says so, and nobody is killed"), "{text}");
}

#[test]
fn what_other_sections_ask_of_the_cgroup_is_shown_and_obeyed() {
    // 12 MiB below its memory.max, which is 3 % of it; nowhere near stuck at memory.high, of which there is none.
    let machine = service(&[("small", 40), ("hog", 300)]);
    machine.cgroup("/system.slice/web.service", 388 * MIB, "max\n", "419430400\n");
    let mut config = Config::default();
    config.cgroup_limits.enabled = true;
    config.cgroup_limits.cgroups = vec!["system.slice/*".to_owned()];
    config.pressure.enabled = true;
    config.pressure.cgroups = vec!["system.slice/web.service".to_owned()];
    let explained = machine.watch("/system.slice/web.service", &config, SHORTEST).unwrap();
    let json = explained.json();
    let rule = |name: &str| json["rules"].as_array().unwrap().iter().find(|r| r["name"] == name).unwrap().clone();
    // With the two bytes of files that it has.
    assert_eq!(
        rule("cgroup_limits.term"),
        serde_json::json!({
            "name": "cgroup_limits.term", "value": 12 * MIB + 2, "threshold": 20 * MIB, "met": true, "unit": "bytes",
        })
    );
    assert_eq!(rule("cgroup_limits.kill")["threshold"], 12 * MIB);
    assert_eq!(rule("cgroup_limits.kill")["met"], false);
    assert_eq!(
        rule("pressure.full"),
        serde_json::json!({
            "name": "pressure.full", "value": 0.0, "threshold": 60.0, "met": false, "unit": "percent",
            "sense": "at_least",
        })
    );
    assert_eq!(json["level"], "SIGTERM is due");
    assert_eq!(json["victim"], FIRST_PID + 2);
    let text = explained.text(false);
    assert!(
        text.contains("\n[cgroup_limits]: 3.00 % available below memory.max (12.0 MiB of 400 MiB): SIGTERM is due\n"),
        "{text}"
    );
    assert!(
        text.contains("\n[pressure]: all tasks stalled 0.0 % of the time watched <  60 %: not met; it acts after 30s"),
        "{text}"
    );

    // A pressure rule needs no limit; and what no section chooses shows none.
    config.pressure.cgroups = vec!["system.slice".to_owned()];
    let explained = machine.explain("/system.slice", &config).unwrap();
    assert!(explained.text(false).contains("[pressure]: "), "{}", explained.text(false));
    assert!(!explained.text(false).contains("[cgroup_limits]"), "{}", explained.text(false));
}

#[test]
fn where_it_can_not_be_judged_the_memory_guard_answers() {
    let machine = service(&[("small", 40), ("hog", 150)]);
    let look = |machine: &Machine, path: &str, why: &str| {
        let explained = machine.explain(path, &Config::default()).unwrap();
        let json = explained.json();
        assert!(json["cgroup"]["not_judged"].as_str().unwrap().starts_with(why), "{json}");
        assert!(json["rules"].as_array().unwrap().iter().all(|r| r["name"].as_str().unwrap().starts_with("memory.")));
        assert!(explained.text(false).contains("can't be judged for a livelock: "), "{}", explained.text(false));
        names(&explained)
    };
    assert_eq!(
        look(&machine, "/system.slice", "it has no memory.high and no memory.max"),
        ["elsewhere", "hog", "small"]
    );
    let workers = "/system.slice/web.service/workers";
    fs::create_dir(machine.0.path().join("sys/fs/cgroup").join(&workers[1..])).unwrap();
    assert_eq!(look(&machine, workers, "it has no memory.events.local"), ["hog", "small"]);
    machine.write("sys/fs/cgroup/system.slice/web.service/memory.current", "many\n");
    look(&machine, "/system.slice/web.service", "one of its memory files can't be read or makes no sense: ");
    fs::remove_file(machine.0.path().join("sys/fs/cgroup/system.slice/web.service/memory.pressure")).unwrap();
    look(&machine, "/system.slice/web.service", "the kernel keeps no memory.pressure");

    machine.write("sys/fs/cgroup/cgroup.controllers", "cpu\n");
    fs::create_dir(machine.0.path().join("sys/fs/cgroup/memory")).unwrap();
    for number in 0..3 {
        machine.write(&format!("proc/{}/cgroup", FIRST_PID + number), "4:memory:/old\n0::/\n");
    }
    assert_eq!(look(&machine, "/old", "that needs cgroup v2"), ["elsewhere", "hog", "small"]);
}

#[test]
fn a_mistyped_path_is_no_cgroup_in_which_all_is_well() {
    let machine = service(&[("hog", 150)]);
    for (path, expected) in [
        ("system.slice", "--cgroup system.slice: expected a path from the cgroup root"),
        ("/system.slice/wbe.service", "--cgroup /system.slice/wbe.service: there is no such cgroup"),
    ] {
        let error = machine.explain(path, &Config::default()).err().unwrap();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn the_time_to_watch_is_a_duration_and_wants_a_cgroup() {
    assert_eq!(args(&["--cgroup", "/a"]).span, Duration::from_secs(2));
    assert_eq!(args(&["--cgroup", "/a", "--for", "12s"]).span, Duration::from_secs(12));
    for words in [&["--for", "12s"][..], &["--cgroup", "/a", "--for", "12"], &["--cgroup", "/a", "--for", "500ms"]] {
        assert!(Cli::try_parse_from([&["explain"], words].concat()).is_err(), "{words:?}");
    }
}

#[test]
fn the_short_answer_is_the_long_ones_first() {
    let machine = service(&[("small", 40), ("hog", 150)]);
    let roots = Roots { proc: machine.0.path().join("proc"), sys: machine.0.path().join("sys") };
    let host = Host::open(&roots).unwrap();
    let next = |stuck: Option<&Stuck>, config: &Config| next(config, &host, own_self(&host), stuck).unwrap();
    let path = CgroupPath::new(b"/system.slice/web.service").unwrap();
    let stuck = Stuck { path, limit: Judged::High(200 * MIB), current: 213 * MIB, kind: Kind::Throttled };

    let of_cgroup = next(Some(&stuck), &Config::default());
    assert!(of_cgroup.whom.unwrap().starts_with("hog (pid "));
    assert_eq!(of_cgroup.cgroup.as_deref(), Some("/system.slice/web.service/workers"));
    assert_eq!(of_cgroup.why, "in no list; 150 MiB would come back");
    let of_memory = next(None, &Config::default());
    assert!(of_memory.whom.unwrap().starts_with("elsewhere (pid "));

    let mut nobody = Config::default();
    nobody.victim.protect = ["hog", "small", "elsewhere"].map(|name| config::Pattern::parse(name).unwrap()).to_vec();
    let refused = next(None, &nobody);
    assert_eq!((refused.whom, refused.why.as_str()), (None, "no process is eligible"));
    let text = super::explain(Subject::Memory, &nobody, &host, own_self(&host)).unwrap().text(false);
    assert!(text.contains("On the machine most memory is held by shared memory and tmpfs (2.0 GiB) and"), "{text}");
    let gone = Stuck { path: CgroupPath::new(b"/gone").unwrap(), ..stuck };
    assert!(super::next(&Config::default(), &host, own_self(&host), Some(&gone)).is_err());
}
