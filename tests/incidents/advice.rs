//! Advice: each piece from its evidence, and none without.

use hogwatch::report::incident::advice::advice;
use hogwatch::report::incident::schema::{Entry, Incident, KernelLine, TopCgroup, TopTask, Tops};
use serde_json::{Map, Value as Json, json};

use crate::text_of;

fn incident(name: &str) -> Incident {
    serde_json::from_str(&text_of(name)).unwrap()
}

fn ids(incident: &Incident) -> Vec<String> {
    advice(incident).into_iter().map(|advice| advice.id).collect()
}

fn text(incident: &Incident, id: &str) -> String {
    let advice = advice(incident);
    advice.iter().find(|advice| advice.id == id).unwrap_or_else(|| panic!("no {id} in {advice:?}")).text.clone()
}

#[test]
fn each_kind_gets_its_own() {
    let cases: [(&str, &[&str]); 12] = [
        ("machine-kill", &["set-memory-max", "stays-down"]),
        ("livelock-kill", &["no-swap-band"]),
        ("lift", &["no-swap-band"]),
        ("kernel-oom-limit", &["kernel-oom-limit", "oom-policy"]),
        ("kernel-oom-machine", &["earlier-thresholds"]),
        ("oomd-kill", &["oomd"]),
        ("unclean-end", &["set-memory-max", "zram-thrash", "unclean-end", "hung-tasks"]),
        ("refused", &["protected-hog", "set-memory-max"]),
        ("warn-only", &[]),
        ("dry-run", &["dry-run", "set-memory-max"]),
        ("group-kill", &["earlier-thresholds"]),
        ("open", &["set-memory-max"]),
    ];
    for (name, expected) in cases {
        assert_eq!(ids(&incident(name)), expected, "{name}");
    }
}

#[test]
fn the_numbers_are_in_it() {
    let growth = text(&incident("machine-kill"), "set-memory-max");
    assert!(
        growth.starts_with("ci-runner.service grew 37.1 MiB a second for 6 minutes (from 2.5 GiB to 15.6 GiB)"),
        "{growth}"
    );
    assert!(growth.ends_with("`systemctl set-property ci-runner.service MemoryMax=13G`"), "{growth}");
    let limit = text(&incident("kernel-oom-limit"), "kernel-oom-limit");
    assert!(limit.contains("its memory.max is 2.0 GiB; python3 alone held 1.6 GiB"), "{limit}");
    assert!(limit.contains("`systemctl set-property web.service MemoryMax=2560M`"), "{limit}");
    let fast = text(&incident("kernel-oom-machine"), "earlier-thresholds");
    assert!(fast.contains("by up to 8.2 GiB a second") && fast.contains("memory.term = \"5.9 GiB\""), "{fast}");
}

#[test]
fn without_the_evidence_it_says_nothing() {
    let mut no_swap_known = incident("livelock-kill");
    no_swap_known.host.swap_total_bytes = None;
    assert_eq!(ids(&no_swap_known), [""; 0]);
    let mut swap = incident("livelock-kill");
    swap.host.swap_total_bytes = Some(8 << 30);
    assert_eq!(ids(&swap), ["throttle-band"]);
    let mut squeezed_at_max = incident("livelock-kill");
    squeezed_at_max.kind = "squeezed".into();
    squeezed_at_max.reason = "64 % of the last 10 s stalled at memory.max 12.0 GiB, its page cache squeezed out".into();
    assert_eq!(ids(&squeezed_at_max), [""; 0]);
    let mut restarted = incident("machine-kill");
    restarted.after.as_mut().unwrap().unit_restarted = Some(true);
    assert_eq!(ids(&restarted), ["set-memory-max"]);
    let mut unknown = incident("machine-kill");
    unknown.after = None;
    assert_eq!(ids(&unknown), ["set-memory-max"]);
    let mut steady = incident("machine-kill");
    for tops in &mut steady.tops {
        tops.cgroups.iter_mut().for_each(|cgroup| cgroup.size_bytes = 8 << 30);
    }
    assert_eq!(ids(&steady), ["stays-down"]);
    let mut alone = incident("kernel-oom-limit");
    alone.kernel.as_mut().unwrap().listed = Some(1);
    assert_eq!(ids(&alone), ["kernel-oom-limit"]);
    let mut group = incident("kernel-oom-limit");
    group.kernel.as_mut().unwrap().group = true;
    assert_eq!(ids(&group), ["kernel-oom-limit", "oom-group"]);
    let mut same_boot = incident("unclean-end");
    same_boot.reason = "the run before ended: only hogwatch ended, the machine did not".into();
    assert!(!ids(&same_boot).contains(&"unclean-end".to_owned()));
    assert!(text(&same_boot, "hogwatch-ended").contains("UNIT=hogwatch.service --since @1785208462`"));
}

#[test]
fn an_unclean_end_is_judged_by_the_last_look() {
    let mut incident = incident("unclean-end");
    for (available, says) in [
        (900_u64 << 20, "below memory.term"),
        (1900 << 20, "nothing was done yet"),
        (6 << 30, "memory was not what ended it"),
    ] {
        incident.before.last_mut().unwrap().available_bytes = available;
        let text = text(&incident, "unclean-end");
        assert!(text.contains(says), "{available}: {text}");
    }
}

fn entry(t_ms: u64, event: &str, fields: Json) -> Entry {
    let Json::Object(fields) = fields else { panic!("no object") };
    Entry { t_ms, event: event.into(), fields, ..Entry::default() }
}

#[test]
fn acts_are_looked_at() {
    let mut twice = incident("machine-kill");
    let act = |t: u64, event: &str, pid: i32| {
        entry(twice_begin() + t, event, json!({"pid": pid, "comm": "python3", "unit": "ci-runner.service"}))
    };
    twice.acts = vec![act(0, "term", 1), act(9_000, "kill", 1), act(60_000, "term", 2), act(90_000, "term", 3)];
    let ids = ids(&twice);
    assert!(ids.contains(&"repeated-victim".to_owned()) && ids.contains(&"ignores-sigterm".to_owned()), "{ids:?}");
    assert!(text(&twice, "repeated-victim").starts_with("ci-runner.service was hit 3 times within 90 s"));
    assert!(text(&twice, "ignores-sigterm").starts_with("python3 was still there 9 s after SIGTERM"));
    assert!(text(&twice, "stays-down").contains("Restart=on-failure brings it back after SIGKILL"));
    let mut spared = incident("refused");
    for event in &mut spared.events {
        event.fields.insert("reason".into(), json!("memory came back while it was given time to exit: 12 % available"));
    }
    assert_eq!(self::ids(&spared), ["set-memory-max"], "sparing a victim is no refusal");
    let mut tiny = incident("refused");
    let change = |incident: &mut Incident, field: &str, value: Json| {
        let refused = incident.events.iter_mut().find(|event| event.event == "refused").unwrap();
        refused.fields.insert(field.into(), value);
    };
    change(&mut tiny, "comm", json!("sshd"));
    change(&mut tiny, "size_bytes", json!(40 << 20));
    assert_eq!(self::ids(&tiny), ["set-memory-max"], "what holds next to nothing is not what fills memory");
    let mut own = incident("refused");
    change(&mut own, "comm", json!("hogwatch"));
    assert_eq!(self::ids(&own), ["set-memory-max"], "nobody takes the guard off its list");
    assert!(text(&incident("refused"), "protected-hog").contains("may not be killed, so nobody was. Give"));
    let mut later = incident("refused");
    later.acts.push(act(90_000, "term", 3));
    assert!(text(&later, "protected-hog").contains("may not be killed. Give"));
    let mut in_cgroup = incident("refused");
    in_cgroup.cgroup = Some("/small.slice".into());
    in_cgroup.kind = "throttled".into();
    in_cgroup.limit_bytes = Some(512 << 20);
    change(&mut in_cgroup, "size_bytes", json!(40 << 20));
    assert!(self::ids(&in_cgroup).contains(&"protected-hog".to_owned()), "of a limit of 512 MiB it is much");
    let mut tmpfs = incident("refused");
    let refused = tmpfs.events.iter_mut().find(|event| event.event == "refused").unwrap();
    refused.fields = Map::from_iter([(
        "reason".to_owned(),
        json!(
            "4 % available, but …; most memory is held by shared memory and tmpfs (18.0 GiB) and kernel slab (1.0 GiB)"
        ),
    )]);
    let text = text(&tmpfs, "not-in-processes");
    assert!(text.contains("held by shared memory and tmpfs (18.0 GiB) and kernel slab (1.0 GiB)"), "{text}");
    let refused = tmpfs.events.iter_mut().find(|event| event.event == "refused").unwrap();
    refused
        .fields
        .insert("reason".into(), json!("…; most memory is held by anonymous memory (9 GiB) and kernel slab (1 GiB)"));
    assert!(!self::ids(&tmpfs).contains(&"not-in-processes".to_owned()));
}

fn twice_begin() -> u64 {
    incident("machine-kill").begin_ms
}

#[test]
fn what_is_pasted_is_quoted() {
    let mut evil = incident("livelock-kill");
    for (cgroup, command) in [
        ("/user.slice/user-1000.slice", "`systemctl set-property user-1000.slice MemoryHigh=infinity`"),
        (
            "/user.slice/user-1000.slice/user@1000.service/app.slice/a.service",
            "`systemctl --user set-property a.service MemoryHigh=infinity`",
        ),
        ("/system.slice/a\\x2db.service", "`systemctl set-property 'a\\x2db.service' MemoryHigh=infinity`"),
        ("/system.slice/web.service/inner", "`echo max > /sys/fs/cgroup/system.slice/web.service/inner/memory.high`"),
        ("/x'; reboot; '", "`echo max > '/sys/fs/cgroup/x'\\''; reboot; '\\''/memory.high'`"),
        ("/a/$(reboot)", "`echo max > '/sys/fs/cgroup/a/$(reboot)/memory.high'`"),
    ] {
        evil.cgroup = Some(cgroup.into());
        let text = text(&evil, "no-swap-band");
        assert!(text.ends_with(command), "{text}");
    }
}

#[test]
fn odd_files_make_no_panic() {
    let mut odd = incident("machine-kill");
    let huge = u64::MAX;
    odd.tops = vec![
        Tops {
            t_ms: huge,
            tasks: vec![TopTask::default()],
            cgroups: vec![TopCgroup { path: String::new(), size_bytes: 0 }],
        },
        Tops { t_ms: 0, tasks: Vec::new(), cgroups: vec![TopCgroup { path: String::new(), size_bytes: huge }] },
    ];
    odd.begin_ms = huge;
    odd.host.mem_total_bytes = Some(0);
    odd.kernel_lines = vec![KernelLine { t_ms: 0, text: "blocked for more than".into() }];
    odd.before.iter_mut().for_each(|sample| sample.fill_bytes_per_s = Some(i64::MAX));
    odd.acts.iter_mut().for_each(|act| act.t_ms = huge);
    assert!(ids(&odd).contains(&"hung-tasks".to_owned()));
    let mut zero = incident("group-kill");
    zero.before.iter_mut().for_each(|sample| sample.fill_bytes_per_s = Some(0));
    assert_eq!(ids(&zero), [""; 0]);
}

#[test]
fn every_piece_is_documented() {
    let docs = include_str!("../../docs/oncall.md");
    let (_, table) = docs.split_once("<!-- advice: checked by tests/incidents/advice.rs -->").unwrap();
    let (table, _) = table.split_once("<!-- end of advice -->").unwrap();
    let documented: Vec<&str> = table.lines().filter_map(|row| row.strip_prefix("| `")?.split('`').next()).collect();
    let rooms = [
        include_str!("../../src/report/incident/advice/acts.rs"),
        include_str!("../../src/report/incident/advice/limits.rs"),
        include_str!("../../src/report/incident/advice/machine.rs"),
    ];
    let mut given: Vec<&str> = Vec::new();
    for source in rooms {
        let calls = source.split("advise(").skip(1);
        given.extend(calls.filter_map(|call| call.trim_start().strip_prefix('"')?.split('"').next()));
    }
    let sorted = |mut ids: Vec<&'static str>| {
        ids.sort_unstable();
        ids
    };
    assert_eq!(sorted(documented), sorted(given));
}
