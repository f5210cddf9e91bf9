//! `incidents why`, with a journal as systemd 252 and 257 write it.

use serde_json::{Value as Json, json};

use crate::{Place, Said, text_of};

/// 2026-07-28 03:15:02 UTC, in milliseconds.
const T0: i64 = 1_785_208_502_000;
const SINCE: &str = "2026-07-28 00:00";

/// What journalctl answers, by the source that is asked for.
#[derive(Default)]
struct Journal {
    hogwatch: Vec<Json>,
    kernel: Vec<Json>,
    oomd: Vec<Json>,
    systemd: Vec<Json>,
    last: Option<Json>,
}

/// A line so many seconds after [`T0`].
fn line(at_s: f64, fields: &Json) -> Json {
    let mut line = fields.clone();
    #[expect(clippy::cast_possible_truncation, reason = "seconds of a test")]
    let usec = T0 * 1000 + (at_s * 1e6) as i64;
    line["__REALTIME_TIMESTAMP"] = json!(usec.to_string());
    line["_BOOT_ID"] = json!("5b1c7f0e3b0a4a5e9d7f0d0c9b1f2a33");
    line
}

fn state(at_s: f64, bytes: u64, percent: &str) -> Json {
    line(
        at_s,
        &json!({"_UID": "0", "SYSLOG_IDENTIFIER": "hogwatch", "HOGWATCH_EVENT": "state", "MESSAGE": "memory: fine",
            "HOGWATCH_AVAILABLE_BYTES": bytes.to_string(), "HOGWATCH_AVAILABLE_PERCENT": percent}),
    )
}

/// systemd's lines of a service whose main process a signal ended.
fn ended_by_signal(unit: &str, at_s: f64, status: &str, name: &str) -> Vec<Json> {
    vec![
        line(
            at_s,
            &json!({"_PID": "1", "_UID": "0", "_COMM": "systemd", "UNIT": unit, "EXIT_CODE": "killed", "EXIT_STATUS": status,
                "MESSAGE_ID": "98e322203f7a4ed290d09fe03c09fe15",
                "MESSAGE": format!("{unit}: Main process exited, code=killed, status={status}/{name}")}),
        ),
        line(
            at_s + 0.01,
            &json!({"_PID": "1", "_UID": "0", "_COMM": "systemd", "UNIT": unit, "UNIT_RESULT": "signal",
                "MESSAGE_ID": "d9b373ed55a64feb8242e02dbe79a49c", "MESSAGE": format!("{unit}: Failed with result 'signal'.")}),
        ),
    ]
}

fn said_last(unit: &str, at_s: f64) -> Option<Json> {
    Some(line(at_s, &json!({"_PID": "4242", "_UID": "997", "_SYSTEMD_UNIT": unit, "MESSAGE": "epoch 12"})))
}

impl Journal {
    /// Makes it what `journalctl` answers in a place, the latest line first.
    fn put(&self, place: &Place) {
        for (name, lines) in [
            ("hogwatch", &self.hogwatch),
            ("kernel", &self.kernel),
            ("oomd", &self.oomd),
            ("systemd", &self.systemd),
            ("last", &self.last.iter().cloned().collect()),
        ] {
            let mut lines = lines.clone();
            lines.sort_by_key(|line| std::cmp::Reverse(line["__REALTIME_TIMESTAMP"].as_str().map(str::to_owned)));
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            std::fs::write(place.path(&format!("bin/{name}")), text).unwrap();
        }
        place.journalctl(
            "dir=${0%/*}\necho \"$@\" >> \"$dir/asked\"\n\
             for arg; do case \"$arg\" in _UID=*) uid=${arg#_UID=};; esac; done\n\
             case \"$*\" in\n\
             *SYSLOG_IDENTIFIER=hogwatch*_UID=*) grep \"\\\"_UID\\\":\\\"$uid\\\"\" \"$dir/hogwatch\" | head -n 3000;;\n\
             *SYSLOG_IDENTIFIER=hogwatch*) grep '\"_SYSTEMD_USER_UNIT\":\"hogwatch.service\"' \"$dir/hogwatch\" | head -n 3000;;\n\
             *_TRANSPORT=kernel*) cat \"$dir/kernel\";;\n\
             *systemd-oomd.service*) cat \"$dir/oomd\";;\n\
             *'--lines=1 _SYSTEMD_USER_UNIT='*) grep '\"_SYSTEMD_USER_UNIT\"' \"$dir/last\";;\n\
             *'--lines=1 _SYSTEMD_UNIT='*) grep -v '\"_SYSTEMD_USER_UNIT\"' \"$dir/last\";;\n\
             *'--lines=1 _PID='*) cat \"$dir/last\";;\n\
             *' USER_UNIT='*_SYSTEMD_USER_UNIT=init.scope) \n\
             grep '\"USER_UNIT\"' \"$dir/systemd\" | grep '\"_SYSTEMD_USER_UNIT\":\"init.scope\"';;\n\
             *' UNIT='*' _PID=1') grep '\"_PID\":\"1\"' \"$dir/systemd\";;\n\
             *) echo \"what is asked: $*\" >&2; exit 2;;\n\
             esac\nexit 0\n",
        );
    }

    fn ask(&self, args: &[&str]) -> Said {
        let place = Place::new();
        self.put(&place);
        place.run(&[&["incidents", "why", "--since", SINCE], args].concat())
    }

    fn json(&self, target: &str) -> Json {
        let said = self.ask(&[target, "--json"]);
        assert_eq!((said.status, said.stderr.as_str()), (0, ""), "{}", said.stdout);
        serde_json::from_str(&said.stdout).unwrap()
    }
}

fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn an_exit_that_nobody_here_caused() {
    let unit = "ci-runner.service";
    let journal = Journal {
        hogwatch: vec![state(-840.0, 13_314_398_617, "52.77"), state(2760.0, 13_000_000_000, "51.52")],
        systemd: ended_by_signal(unit, 0.0, "15", "TERM"),
        last: said_last(unit, -2.0),
        ..Journal::default()
    };
    let answer = journal.json("ci-runner");
    assert_eq!(answer["schema"], 1);
    assert_eq!(answer["verdict"], "none_seen");
    assert_eq!(answer["at_ms"], T0);
    assert_eq!(
        answer["exit"],
        json!({"t_ms": T0, "code": "killed", "status": "15", "result": "signal", "asked_to_stop": false})
    );
    assert_eq!(answer["memory"]["short"], false);
    assert_eq!(answer["memory"]["before"]["available_bytes"], 13_314_398_617_u64);
    assert_eq!(answer["unseen"], json!([]));
    let said = flat(&journal.ask(&[unit]).stdout);
    for part in [
        "Verdict none_seen: ci-runner.service ended at 2026-07-28 03:15:02 UTC, and neither hogwatch nor the kernel's OOM \
         killer nor systemd-oomd did it",
        "Exit ci-runner.service: Main process exited, code=killed, status=15/TERM (result signal)",
        "Who sent it can't be known afterwards",
        "Memory the machine's was not short: 12.4 GiB (52.8 %) available 14 min before, 12.1 GiB (51.5 %) available 46 min \
         after, and no warning between",
    ] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
}

#[test]
fn hogwatch_by_its_incident_file_alone() {
    let place = Place::new();
    place.write("20260727T221400Z-3.json", text_of("machine-kill"));
    Journal::default().put(&place);
    for target in ["4242", "ci-runner.service", "ci-runner"] {
        let said = place.run(&["incidents", "why", target, "--since", SINCE, "--json"]);
        assert_eq!(said.status, 0, "{}", said.stderr);
        let answer: Json = serde_json::from_str(&said.stdout).unwrap();
        assert_eq!(answer["verdict"], "hogwatch", "{target}");
        assert_eq!(answer["incident"], "20260727T221400Z-3");
        assert_eq!(answer["target"]["unit"], "ci-runner.service");
        assert_eq!(answer["memory"]["short"], true);
    }
    let said = flat(&place.run(&["incidents", "why", "4242", "--since", SINCE]).stdout);
    assert!(
        said.contains("Verdict hogwatch: it signalled pid 4242 (of ci-runner.service) at 2026-07-28 03:15:02 UTC"),
        "{said}"
    );
    assert!(said.contains("`hogwatch incidents show 20260727T221400Z-3`"), "{said}");
}

fn term(at_s: f64, more: &Json) -> Json {
    let mut fields = json!({"_UID": "0", "HOGWATCH_EVENT": "term", "HOGWATCH_KIND": "memory", "HOGWATCH_PID": "4242",
        "HOGWATCH_UID": "997", "HOGWATCH_UNIT": "ci-runner.service", "HOGWATCH_SIGNAL": "SIGTERM",
        "HOGWATCH_CGROUP": "/system.slice/ci-runner.service", "HOGWATCH_AVAILABLE_BYTES": "1224065679",
        "HOGWATCH_INCIDENT": "20260727T221400Z-3", "MESSAGE": "sent SIGTERM to python3 (pid 4242, 15.4 GiB)"});
    for (key, value) in more.as_object().unwrap() {
        fields[key] = value.clone();
    }
    line(at_s, &fields)
}

#[test]
fn hogwatch_by_its_journal_entries() {
    let unit = "ci-runner.service";
    let journal = Journal {
        hogwatch: vec![term(-10.0, &json!({}))],
        systemd: ended_by_signal(unit, 0.0, "15", "TERM"),
        ..Journal::default()
    };
    assert_eq!(journal.json(unit)["verdict"], "hogwatch");
    // Long before, and for another reason.
    let journal = Journal {
        hogwatch: vec![term(-4000.0, &json!({}))],
        systemd: ended_by_signal(unit, 0.0, "15", "TERM"),
        ..Journal::default()
    };
    let answer = journal.json(unit);
    assert_eq!(answer["verdict"], "none_seen");
    let said = journal.ask(&[unit]).stdout;
    assert!(said.contains("Before   at 2026-07-28 02:08:22: sent SIGTERM to python3"), "{said}");
    // A dry run ends nobody.
    let journal = Journal {
        hogwatch: vec![term(-10.0, &json!({"HOGWATCH_DRY_RUN": "1"}))],
        systemd: ended_by_signal(unit, 0.0, "15", "TERM"),
        ..Journal::default()
    };
    assert_eq!(journal.json(unit)["verdict"], "none_seen");
}

#[test]
fn nobody_else_speaks_for_hogwatch_or_the_kernel() {
    let unit = "ci-runner.service";
    let journal = Journal {
        // Another user, who was not hit.
        hogwatch: vec![term(-1.0, &json!({"_UID": "1000"}))],
        systemd: ended_by_signal(unit, 0.0, "15", "TERM"),
        ..Journal::default()
    };
    assert_eq!(journal.json(unit)["verdict"], "none_seen");
    // Of nobody's words another's unit is ended, whatever they say of it.
    for more in [
        json!({"_UID": "997"}),
        json!({"_UID": "997", "_SYSTEMD_USER_UNIT": "hogwatch.service"}),
        json!({"_UID": "997", "HOGWATCH_UID": "997", "_SYSTEMD_USER_UNIT": "hogwatch.service",
            "HOGWATCH_CGROUP": "/user.slice/user-997.slice/user@997.service/app.slice/ci-runner.service"}),
    ] {
        let journal = Journal {
            hogwatch: vec![term(-1.0, &more)],
            systemd: ended_by_signal(unit, 0.0, "15", "TERM"),
            ..Journal::default()
        };
        assert_eq!(journal.json(unit)["verdict"], "none_seen", "{more}");
    }
    // And nobody hides what root's guard said.
    let mut hogwatch: Vec<Json> =
        (0..3001).map(|n| term(f64::from(n) / 1000.0, &json!({"_UID": "1000", "HOGWATCH_PID": "1"}))).collect();
    hogwatch.push(term(-1.0, &json!({})));
    let journal = Journal { hogwatch, systemd: ended_by_signal(unit, 0.0, "15", "TERM"), ..Journal::default() };
    assert_eq!(journal.json(unit)["verdict"], "hogwatch");
    let forged = json!({"_UID": "1000", "_PID": "77", "USER_UNIT": unit, "_SYSTEMD_UNIT": "session-3.scope",
        "UNIT_RESULT": "oom-kill", "MESSAGE_ID": "d9b373ed55a64feb8242e02dbe79a49c", "MESSAGE": "forged"});
    let journal = Journal { systemd: vec![line(0.0, &forged)], last: said_last(unit, 0.0), ..Journal::default() };
    let answer = journal.json(unit);
    assert_eq!((&answer["verdict"], &answer["exit"]), (&json!("none_seen"), &Json::Null));
}

#[test]
fn a_users_own_guard_on_a_unit_of_that_user() {
    let unit = "render.service";
    let cgroup = "/user.slice/user-997.slice/user@997.service/app.slice/render.service";
    let own = json!({"_UID": "997", "_SYSTEMD_USER_UNIT": "hogwatch.service", "HOGWATCH_UNIT": unit,
        "HOGWATCH_CGROUP": cgroup});
    let exit = json!({"_COMM": "systemd", "_UID": "997", "USER_UNIT": unit, "_SYSTEMD_UNIT": "user@997.service",
        "_SYSTEMD_USER_UNIT": "init.scope", "UNIT_RESULT": "signal",
        "MESSAGE_ID": "d9b373ed55a64feb8242e02dbe79a49c", "MESSAGE": "render.service: Failed with result 'signal'."});
    let journal = Journal { hogwatch: vec![term(-1.0, &own)], systemd: vec![line(0.0, &exit)], ..Journal::default() };
    let answer = journal.json(unit);
    assert_eq!((&answer["verdict"], &answer["exit"]["result"]), (&json!("hogwatch"), &json!("signal")));
    assert_eq!(answer["memory"]["before"], Json::Null, "a user's word on the machine's memory");
    let said = flat(&journal.ask(&[unit]).stdout);
    assert!(said.contains("(the guard of uid 997)"), "{said}");
    // About another user's it says nothing.
    let foreign = json!({"_UID": "998", "_SYSTEMD_USER_UNIT": "hogwatch.service", "HOGWATCH_UNIT": unit,
        "HOGWATCH_CGROUP": cgroup});
    let journal = Journal { hogwatch: vec![term(-1.0, &foreign)], ..journal };
    assert_eq!(journal.json(unit)["verdict"], "none_seen");
}

#[test]
fn nobody_else_speaks_for_systemd() {
    let unit = "ci-runner.service";
    let more = [
        // A line that asks for the users' part of the question, and then passes for systemd's.
        json!({"_UID": "1000", "_PID": "77", "_COMM": "sh", "UNIT": unit, "USER_UNIT": unit,
            "_SYSTEMD_UNIT": "session-3.scope"}),
        json!({"_UID": "1000", "_PID": "77", "_COMM": "systemd", "UNIT": unit, "USER_UNIT": unit,
            "_SYSTEMD_UNIT": "user@1000.service", "_SYSTEMD_USER_UNIT": "evil.service"}),
        // A user's own manager, while it is a unit of the system's.
        json!({"_UID": "1000", "_PID": "77", "_COMM": "systemd", "UNIT": unit, "USER_UNIT": unit,
            "_SYSTEMD_UNIT": "user@1000.service", "_SYSTEMD_USER_UNIT": "init.scope"}),
    ];
    for mut forged in more {
        forged["MESSAGE_ID"] = json!("d9b373ed55a64feb8242e02dbe79a49c");
        forged["UNIT_RESULT"] = json!("oom-kill");
        forged["MESSAGE"] = json!("forged");
        let journal = Journal { systemd: vec![line(0.0, &forged)], last: said_last(unit, 0.0), ..Journal::default() };
        let answer = journal.json(unit);
        assert_eq!((&answer["verdict"], &answer["exit"]), (&json!("none_seen"), &Json::Null), "{forged}");
    }
}

#[test]
fn the_kernel() {
    let unit = "web.service";
    let head = "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=web.service,mems_allowed=0,\
                oom_memcg=/system.slice/web.service,task_memcg=/system.slice/web.service,task=python3,pid=911,uid=33";
    let tail = "Memory cgroup out of memory: Killed process 911 (python3) total-vm:2400000kB, anon-rss:1700000kB";
    let kernel: Vec<Json> = [head, tail, "usb 1-1: new device"]
        .iter()
        .map(|text| line(-0.2, &json!({"_TRANSPORT": "kernel", "MESSAGE": text})))
        .collect();
    let journal = Journal { kernel, systemd: ended_by_signal(unit, 0.0, "9", "KILL"), ..Journal::default() };
    for target in [unit, "911"] {
        let answer = journal.json(target);
        assert_eq!(answer["verdict"], "kernel", "{target}: {answer:#}");
    }
    assert!(journal.ask(&[unit]).stdout.contains("Memory cgroup out of memory"));
    // Of another unit.
    let answer = Journal { systemd: ended_by_signal("db.service", 0.0, "9", "KILL"), ..journal }.json("db.service");
    assert_eq!(answer["verdict"], "none_seen");
    // systemd's result alone says it too.
    let mut systemd = ended_by_signal(unit, 0.0, "9", "KILL");
    systemd[1]["UNIT_RESULT"] = json!("oom-kill");
    let answer = Journal { systemd, ..Journal::default() }.json(unit);
    assert_eq!(answer["verdict"], "kernel");
}

#[test]
fn systemd_oomd() {
    let unit = "app-firefox-4321.scope";
    let cgroup = format!("/user.slice/user-1000.slice/user@1000.service/app.slice/{unit}");
    for words in ["Killed", "Marked"] {
        let due = if words == "Marked" { " for killing due to" } else { " due to" };
        let text = format!(
            "{words} {cgroup}{due} memory pressure for /user.slice/user-1000.slice being 71.20% > 60.00% for > 20s with \
             reclaim activity"
        );
        let oomd = vec![line(-0.1, &json!({"_SYSTEMD_UNIT": "systemd-oomd.service", "_UID": "998", "MESSAGE": text}))];
        let result = json!({"_COMM": "systemd", "_UID": "1000", "USER_UNIT": unit, "_SYSTEMD_UNIT": "user@1000.service",
            "_SYSTEMD_USER_UNIT": "init.scope", "UNIT_RESULT": "oom-kill", "MESSAGE_ID": "d9b373ed55a64feb8242e02dbe79a49c",
            "MESSAGE": format!("{unit}: Failed with result 'oom-kill'.")});
        let journal = Journal { oomd, systemd: vec![line(0.0, &result)], ..Journal::default() };
        let answer = journal.json(unit);
        assert_eq!(answer["verdict"], "systemd-oomd", "{words}: {answer:#}");
        assert_eq!(answer["exit"]["result"], "oom-kill");
    }
}

#[test]
fn what_systemd_was_asked_to_do_itself() {
    let unit = "web.service";
    let stopping = json!({"_PID": "1", "_UID": "0", "UNIT": unit, "MESSAGE_ID": "de5b426a63be47a7b6ac3eaac82e2f6f",
        "JOB_TYPE": "stop", "MESSAGE": "Stopping web.service..."});
    let mut systemd = ended_by_signal(unit, 0.0, "15", "TERM");
    systemd.push(line(-1.0, &stopping));
    let journal = Journal { systemd, ..Journal::default() };
    let answer = journal.json(unit);
    assert_eq!((&answer["verdict"], &answer["exit"]["asked_to_stop"]), (&json!("none_seen"), &json!(true)));
    let said = flat(&journal.ask(&[unit]).stdout);
    assert!(said.contains("Who systemd was asked to stop it"), "{said}");
    assert!(said.contains("Memory not known: no guard wrote of it"), "{said}");
}

#[test]
fn a_process_is_found_in_its_unit() {
    let journal = Journal {
        systemd: [
            ended_by_signal("web.service", -500.0, "9", "KILL"),
            ended_by_signal("web.service", 0.0, "6", "ABRT"),
            ended_by_signal("web.service", 900.0, "15", "TERM"),
        ]
        .concat(),
        last: said_last("web.service", -3.0),
        ..Journal::default()
    };
    let answer = journal.json("4242");
    assert_eq!(answer["target"], json!({"unit": "web.service", "pid": 4242}));
    assert_eq!(answer["exit"]["status"], "6", "the first end after it was last heard of");
}

#[test]
fn who_was_never_seen() {
    let journal = Journal { hogwatch: vec![state(0.0, 1 << 33, "40.00")], ..Journal::default() };
    let said = journal.ask(&["nobody.service"]);
    assert_eq!((said.status, said.stdout.as_str()), (4, ""));
    assert!(said.stderr.contains("nothing was seen of nobody.service since 2026-07-28 00:00:00"), "{}", said.stderr);
    assert_eq!(journal.ask(&["31"]).status, 4);
}

#[test]
fn who_mistyped_is_told_the_names() {
    let place = Place::new();
    place.write("20260727T221400Z-3.json", text_of("machine-kill"));
    Journal::default().put(&place);
    let said = place.run(&["incidents", "why", "python3", "--since", SINCE]);
    assert_eq!(said.status, 4);
    assert!(said.stderr.contains("hogwatch told of ci-runner.service, python3 (pid 4242)"), "{}", said.stderr);
    let said = place.run(&["incidents", "why", "ci-runner.servic", "--since", SINCE]);
    assert_eq!(said.status, 2);
    assert!(said.stderr.contains("did you mean ci-runner.service?"), "{}", said.stderr);
}

#[test]
fn machines_are_not_mixed() {
    let place = Place::new();
    let mut file: Json = serde_json::from_str(&text_of("machine-kill")).unwrap();
    file["before"] = json!([]);
    place.write("a.json", file.to_string());
    let mut other: Json = serde_json::from_str(&text_of("warn-only")).unwrap();
    other["host"]["name"] = json!("db-2");
    place.write("b.json", other.to_string());
    Journal { hogwatch: vec![state(0.0, 1 << 33, "40.00")], ..Journal::default() }.put(&place);
    let dir = place.path("state");
    let dir = dir.to_str().unwrap();
    let said = place.run(&["incidents", "why", "4242", "--since", SINCE, "--dir", dir, "--json"]);
    let answer: Json = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(answer["verdict"], "hogwatch");
    assert_eq!(answer["memory"], json!({"short": null, "before": null, "after": null}), "{answer:#}");
    let said = flat(&place.run(&["incidents", "why", "4242", "--since", SINCE, "--dir", dir]).stdout);
    assert!(said.contains(&format!("`hogwatch incidents show 20260727T221400Z-3 --dir {dir}`")), "{said}");
    let listed = place.run(&["incidents", "--dir", dir]).stdout;
    assert!(listed.contains("on db-2\n") && listed.contains("ci-runner.service on ci-7\n"), "{listed}");
    // By the id that is in it, whatever the file is called.
    let said = place.run(&["incidents", "show", "20260727T221400Z-3", "--dir", dir]);
    assert!(said.stdout.starts_with("Incident 20260727T221400Z-3 on ci-7\n"), "{said:?}");
    let said = place.run(&["incidents", "show", "20250101", "--dir", dir]);
    assert_eq!(said.status, 4);
    assert!(said.stderr.contains(&format!("`hogwatch incidents --dir {dir}` lists")), "{}", said.stderr);
}

#[test]
fn a_journal_that_can_not_be_asked() {
    let place = Place::new();
    place.write("20260727T221400Z-3.json", text_of("machine-kill"));
    // No journalctl at all: the incident files answer, and the rest is said.
    let said = place.run(&["incidents", "why", "4242", "--since", SINCE]);
    assert_eq!(said.status, 0, "{}", said.stderr);
    assert!(said.stdout.contains("Verdict  hogwatch"), "{}", said.stdout);
    assert!(
        said.stdout.contains("Could not be looked at\n  the journal: journalctl can't be started"),
        "{}",
        said.stdout
    );
    // One that fails.
    place.journalctl("echo 'Failed to open the journal: bad disk' >&2; exit 1\n");
    let said = place.run(&["incidents", "why", "4242", "--since", SINCE, "--json"]);
    assert_eq!(said.status, 0, "{}", said.stderr);
    assert!(said.stdout.contains("bad disk"), "{}", said.stdout);
    // Neither files nor a journal.
    std::fs::remove_dir_all(place.path("state")).unwrap();
    let dir = place.path("state");
    let said = place.run(&["incidents", "why", "4242", "--dir", dir.to_str().unwrap()]);
    assert_eq!((said.status, said.stdout.as_str()), (1, ""));
    assert!(said.stderr.contains("could not look at"), "{}", said.stderr);
}

#[test]
fn who_may_not_read_all_of_the_journal_is_told() {
    let place = Place::new();
    place.write("20260727T221400Z-3.json", text_of("machine-kill"));
    place.journalctl("echo 'Hint: You are currently not seeing messages from other users and the system.' >&2\n");
    let said = place.run(&["incidents", "why", "4242", "--since", SINCE]);
    assert!(said.stdout.contains("be root or in the group\n  systemd-journal"), "{}", said.stdout);
}

#[test]
fn what_is_asked_can_not_become_an_option() {
    let place = Place::new();
    Journal::default().put(&place);
    for args in
        [&["--", "--file=/etc/shadow"][..], &["a b"], &["x", "--since", "soon"], &["x", "--since", "-o verbose"]]
    {
        let said = place.run(&[&["incidents", "why"], args].concat());
        assert_eq!((said.status, said.stdout.as_str()), (2, ""), "{args:?}: {}", said.stderr);
    }
    assert!(!place.path("bin/asked").exists());
    place.run(&["incidents", "why", "web", "--since", "2026-07-28 03:00 UTC"]);
    let asked = std::fs::read_to_string(place.path("bin/asked")).unwrap();
    assert!(asked.lines().all(|line| line.contains("--since=@1785207600.000")), "{asked}");
}
