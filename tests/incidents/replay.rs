//! `hogwatch replay` of incident files.

use serde_json::Value as Json;

use crate::{Place, Said, fixture, text_of};

/// Replays with a configuration's text.
fn replay(place: &Place, file: &str, config: &str, args: &[&str]) -> Said {
    let path = place.path("new.toml");
    std::fs::write(&path, config).unwrap();
    place.run(&[&["replay", file, "--config", path.to_str().unwrap()], args].concat())
}

/// When (s after 03:15:02), what, whom.
fn acts(said: &Said) -> Vec<(i64, String, Option<i64>)> {
    let lines = said.stdout.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
    lines
        .map(|line| {
            assert_eq!(line["schema"], 1);
            for key in ["kind", "cgroup", "event", "reason"] {
                assert!(line.get(key).is_some(), "{key} is missing: {line}");
            }
            let at = (line["t_ms"].as_i64().unwrap() - 1_785_208_502_000) / 1000;
            (at, line["action"].as_str().unwrap().to_owned(), line["pid"].as_i64())
        })
        .collect()
}

#[test]
fn other_thresholds_act_at_other_times() {
    let place = Place::new();
    let file = fixture("machine-kill");
    let file = file.to_str().unwrap();
    let as_it_was = replay(&place, file, "", &["--json"]);
    assert_eq!(as_it_was.status, 0);
    let of = |at: i64, what: &str, pid: Option<i64>| (at, what.to_owned(), pid);
    assert_eq!(acts(&as_it_was), [of(-32, "warn", None), of(0, "term", Some(4242)), of(1, "none", None)]);
    let earlier = replay(&place, file, "[memory]\nwarn = \"20%\"\nterm = \"12%\"\nkill = \"10%\"\n", &["--json"]);
    assert_eq!(
        acts(&earlier),
        [of(-90, "warn", None), of(-44, "term", Some(4242)), of(-32, "kill", Some(4242)), of(1, "none", None)]
    );
    let never = replay(&place, file, "[memory]\nwarn = \"2%\"\nterm = \"1%\"\nkill = \"1%\"\n", &["--json"]);
    assert_eq!((never.status, never.stdout.as_str()), (0, ""));
    assert!(
        never.stderr.contains("memory was never short by this configuration (lowest 1.1 GiB, warn 481 MiB)"),
        "{}",
        never.stderr
    );
    let other = replay(&place, file, "[victim]\nprotect = [\"^python3$\"]\n", &["--json"]);
    assert_eq!(acts(&other)[1], of(0, "term", Some(911)), "the next in rank");
}

#[test]
fn in_words_with_what_the_recording_can_not_tell() {
    let place = Place::new();
    let said = replay(&place, fixture("machine-kill").to_str().unwrap(), "", &[]);
    let lines: Vec<&str> = said.stdout.lines().collect();
    assert!(lines[0].starts_with("03:14:30: would warn: 9."), "{}", lines[0]);
    assert_eq!(
        lines[1],
        "03:15:02: would send SIGTERM to python3 (pid 4242): 4.85 % available (1.1 GiB of 23.5 GiB), at or below term 1.2 GiB"
    );
    assert!(said.stderr.contains("from 03:15:02 on the recording shows what was done then"), "{}", said.stderr);
    let user = replay(&place, fixture("warn-only").to_str().unwrap(), "[memory]\npercent_of = \"user\"\n", &[]);
    assert!(user.stderr.contains("memory.percent_of = \"user\" can't be replayed"), "{}", user.stderr);
}

#[test]
fn a_stuck_cgroup_is_judged_anew() {
    let place = Place::new();
    let file = fixture("livelock-kill");
    let file = file.to_str().unwrap();
    let as_it_was = replay(&place, file, "", &[]);
    assert_eq!(
        as_it_was.stdout,
        "03:15:02: would send SIGTERM to pid 5151: /user.slice/user-1000.slice is stuck (throttled), 81 % of the last 10 s \
         stalled, 6.4 % above memory.high 12.0 GiB, nothing reclaimed\n"
    );
    let decisions = |config: &str| acts(&replay(&place, file, config, &["--json"]));
    let of = |at: i64, what: &str| (at, what.to_owned(), Some(5151));
    assert_eq!(decisions("[livelock]\nafter = \"6s\"\n"), [of(-4, "term")]);
    assert_eq!(decisions("[livelock]\nafter = \"14s\"\n"), [of(4, "term")], "a sample is part of the last second");
    assert_eq!(decisions("[livelock]\naction = \"lift\"\n"), [of(0, "lift")]);
    assert_eq!(decisions("[livelock]\nexclude = [\"/user.slice/*\"]\n"), []);
    assert_eq!(decisions("[livelock]\nenabled = false\n"), []);

    // Without samples of the cgroup only the memory guard can be replayed, and that is said.
    let mut incident: Json = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    incident["cgroup_samples"] = Json::Array(Vec::new());
    let bare = place.path("bare.json");
    std::fs::write(&bare, incident.to_string()).unwrap();
    let bare = replay(&place, bare.to_str().unwrap(), "", &[]);
    assert_eq!((bare.status, bare.stdout.as_str()), (0, ""));
    let said = "the throttled of /user.slice/user-1000.slice can't be replayed, only the memory guard: the incident has no \
                samples of its counters";
    assert!(bare.stderr.contains(said), "{}", bare.stderr);
}

#[test]
fn an_unclean_end_shows_what_would_have_been_in_time() {
    let place = Place::new();
    let config = "[memory]\nwarn = \"15%\"\nterm = \"11%\"\n[escalation]\ngrace = \"10s\"\n";
    let said = replay(&place, fixture("unclean-end").to_str().unwrap(), config, &["--json"]);
    let acts = acts(&said);
    let told: Vec<(i64, &str, Option<i64>)> = acts.iter().map(|(at, what, pid)| (*at, what.as_str(), *pid)).collect();
    assert_eq!(told, [(-40, "warn", None), (-35, "term", Some(8123)), (-25, "kill", Some(8123))]);
}

#[test]
fn a_refusal_says_that_not_everybody_is_recorded() {
    let place = Place::new();
    let said = replay(&place, fixture("group-kill").to_str().unwrap(), "[memory]\nterm = \"8%\"\n", &["--json"]);
    assert!(said.stdout.contains("; only 8 processes are recorded, the largest\""), "{}", said.stdout);
    assert!(!said.stdout.contains("most memory is held by"), "{}", said.stdout);
}

#[test]
fn bad_incidents_exit_65() {
    let place = Place::new();
    let good = text_of("machine-kill");
    let cases = [
        (good[..good.len() / 2].to_owned(), "cut short"),
        (good.replacen("\"schema\": 1", "\"schema\": 2", 1), "written by a later hogwatch"),
        (
            good.replacen("\"mem_total_bytes\": 25", "\"mem_total_bytes\": null, \"x\": 25", 1),
            "no \"host.mem_total_bytes\"",
        ),
        (good.replacen("\"kind\": \"memory\"", "\"kind\": \"cgroup_limit\"", 1), "can't be replayed"),
        ("{\"schema\": 1}".to_owned(), "no incident: missing field"),
    ];
    for (text, fault) in cases {
        let path = place.write("x.json", text);
        let said = replay(&place, path.to_str().unwrap(), "", &["--json"]);
        assert_eq!((said.status, said.stdout.as_str()), (65, ""), "{fault}");
        assert!(said.stderr.contains(fault), "{fault:?} is not in {}", said.stderr);
    }
    let mut empty: Json = serde_json::from_str(&good).unwrap();
    empty["before"] = Json::Array(Vec::new());
    let path = place.write("x.json", empty.to_string());
    let said = replay(&place, path.to_str().unwrap(), "", &[]);
    assert_eq!(said.status, 65);
    assert!(said.stderr.contains("no samples in \"before\""), "{}", said.stderr);
}
