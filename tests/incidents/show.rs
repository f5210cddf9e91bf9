//! `incidents show`: the answer in it, and the whole page.

use serde_json::Value as Json;

use crate::{KINDS, Place, check_golden, fixture, said, text_of};

fn page(name: &str) -> String {
    let said = Place::new().run(&["incidents", "show", &format!("tests/incidents/{name}.json")]);
    assert_eq!((said.status, said.stderr.as_str()), (0, ""), "{name}");
    said.stdout
}

/// One line, however it was wrapped.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn every_kind_of_incident_is_a_page() {
    for name in KINDS {
        check_golden(name, &page(name));
    }
}

#[test]
fn the_page_answers() {
    let answers: [(&str, &[&str]); 9] = [
        (
            "machine-kill",
            &[
                "What SIGTERM was sent to python3 (pid 4242, 15.4 GiB, user 997) of ci-runner.service",
                "Who hogwatch. Its parent saw exit status 143",
                "Why the machine's memory was short: 4.85 % available",
                "Helped yes: 15.1 GiB came back",
                "ci-runner.service does NOT run again",
                "systemctl set-property ci-runner.service MemoryMax=",
                "Restart=on-failure leaves it down",
            ],
        ),
        (
            "livelock-kill",
            &[
                "SIGKILL followed 5.0 s later; it was killed",
                "Why livelock: user-1000.slice was stuck at its limit",
                "`systemctl set-property user-1000.slice MemoryHigh=infinity`",
            ],
        ),
        (
            "kernel-oom-limit",
            &[
                "Who the kernel's OOM killer",
                "web.service was at its own memory.max of 2.0 GiB",
                "not the machine's memory that ran out",
                "limit memory.max 2.0 GiB, in use 2.0 GiB, of /system.slice/web.service",
                "its dump, the largest of 5: RSS",
                "OOMPolicy=",
            ],
        ),
        ("kernel-oom-machine", &["Why the whole machine was out of memory", "Set memory.term ="]),
        ("oomd-kill", &["Who systemd-oomd.", "everybody in app-firefox-4321.scope was killed"]),
        (
            "unclean-end",
            &["the machine ended without shutting down", "The last record is of 03:15:02", "blocked for more than 120"],
        ),
        ("refused", &["nobody was signalled, though it was needed", "postgres (pid 911) held 18.4 GiB"]),
        ("lift", &["memory.high of build.service was raised from 4.0 GiB to max; put back at 03:16:06"]),
        ("dry-run", &["nothing: a dry run", "It would have sent SIGTERM to python3"]),
    ];
    for (name, parts) in answers {
        let page = flat(&page(name));
        for part in parts {
            assert!(page.contains(part), "{name} does not say {part:?}:\n{page}");
        }
    }
}

#[test]
fn what_is_not_over_or_was_only_pretended_claims_nothing() {
    let place = Place::new();
    let mut refused: Json = serde_json::from_str(&text_of("refused")).unwrap();
    refused["dry_run"] = true.into();
    refused["after"]["recovered_ms"] = Json::Null;
    let file = place.write("20260727T221400Z-3.json", refused.to_string());
    let page = flat(&place.run(&["incidents", "show", file.to_str().unwrap()]).stdout);
    assert!(page.contains("What nothing: a dry run; armed, it would not have signalled either: refused"), "{page}");
    assert!(page.contains("Helped the trouble was not seen to end, 3.4 GiB available at the end"), "{page}");
    refused["kind"] = "unclean_end".into();
    refused["reason"] = "without a stop: only hogwatch ended, the machine did not".into();
    place.write("20260727T221400Z-3.json", refused.to_string());
    let page = flat(&place.run(&["incidents", "show", "latest"]).stdout);
    assert!(page.contains("What hogwatch itself ended in the middle of an incident"), "{page}");
    assert!(place.run(&["incidents"]).stdout.contains("hogwatch died"));
}

#[test]
fn a_page_fits_eighty_columns_but_for_what_is_pasted() {
    for name in KINDS {
        for line in page(name).lines() {
            let longest = line.split(' ').map(|word| word.chars().count()).max().unwrap_or(0);
            let is_pasted = line.contains('`') || longest > 40;
            assert!(line.chars().count() <= 80 || is_pasted, "{name}: {line}");
            assert!(!line.contains('\x1b'), "{name}: {line:?}");
        }
    }
}

#[test]
fn a_terminal_without_utf8_gets_ascii() {
    let place = Place::new();
    let mut command = place.command(&["incidents", "show", fixture("machine-kill").to_str().unwrap()]);
    command.env("LC_ALL", "C");
    let page = said(command).stdout;
    assert!(page.is_ascii(), "{page}");
    let (_, chart) = page.split_once("Available memory of the machine\n").unwrap();
    let line = chart.lines().next().unwrap();
    assert!(line.starts_with("  **") && line.contains('_') && line.ends_with("###"), "{line}");
}

#[test]
fn times_are_local() {
    let place = Place::new();
    let mut command = place.command(&["incidents", "show", fixture("warn-only").to_str().unwrap()]);
    command.env("TZ", "XXX-02:30");
    let page = said(command).stdout;
    assert!(page.contains("When    2026-07-28 05:45:02 UTC+02:30"), "{page}");
}

#[test]
fn json_is_the_file_itself() {
    for name in KINDS {
        let said = Place::new().run(&["incidents", "show", "--json", fixture(name).to_str().unwrap()]);
        let shown: Json = serde_json::from_str(&said.stdout).unwrap();
        let file: Json = serde_json::from_str(&text_of(name)).unwrap();
        assert_eq!(shown, file, "{name}");
    }
}

#[test]
fn an_incident_is_found_by_id_by_its_beginning_and_as_the_latest() {
    let place = Place::new();
    place.write("20260727T221400Z-3.json", text_of("machine-kill"));
    place.write("20260727T221400Z-31.json", text_of("warn-only"));
    place.write("20260729T000000Z-1.json", text_of("open"));
    for (which, comm) in [
        ("20260727T221400Z-3", "Incident 20260727T221400Z-3 on"),
        ("20260727T221400Z-31", "Incident 20260727T221400Z-12 on"),
        ("20260729", "Incident 20260727T221400Z-4 on"),
        ("latest", "Incident 20260727T221400Z-4 on"),
    ] {
        let said = place.run(&["incidents", "show", which]);
        assert_eq!((said.status, said.stderr.as_str()), (0, ""), "{which}");
        assert!(said.stdout.starts_with(comm), "{which}: {}", said.stdout);
    }
    let several = place.run(&["incidents", "show", "2026"]);
    assert_eq!((several.status, several.stdout.as_str()), (4, ""));
    assert_eq!(
        several.stderr,
        "hogwatch incidents: 2026 begins several ids: 20260727T221400Z-3, 20260727T221400Z-31, 20260729T000000Z-1; write \
         more of it\n"
    );
    for which in ["1999", "", "20260727T221400Z-33", "../state/x"] {
        let said = place.run(&["incidents", "show", which]);
        assert_eq!(said.stdout, "", "{which}");
        assert_eq!(said.status, if which.contains('/') { 1 } else { 4 }, "{which}: {}", said.stderr);
    }
}

#[test]
fn hostile_names_reach_no_terminal() {
    let place = Place::new();
    let evil = text_of("machine-kill").replace("\"python3\"", "\"\\u001b[2Jevil\\nWhat    nothing\\u202e\"");
    place.write("20260727T221400Z-3.json", evil);
    for args in [&["incidents", "show", "latest"][..], &["incidents"], &["incidents", "why", "4242", "--since", "@0"]] {
        let said = place.run(args);
        assert_eq!(said.status, 0, "{args:?}");
        assert!(!said.stdout.contains(['\x1b', '\u{202e}']), "{args:?}: {}", said.stdout);
        assert!(!said.stdout.contains("\nWhat    nothing"), "{args:?}: {}", said.stdout);
    }
}
