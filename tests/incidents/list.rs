//! `incidents` and `incidents list`.

use serde_json::{Value as Json, json};

use crate::{KINDS, Place, check_golden, fixture, text_of};

fn with_all() -> Place {
    let place = Place::new();
    for name in KINDS {
        let document: Json = serde_json::from_str(&text_of(name)).unwrap();
        place.write(&format!("{}.json", document["id"].as_str().unwrap()), text_of(name));
    }
    place
}

#[test]
fn the_latest_comes_first() {
    let place = with_all();
    let said = place.run(&["incidents"]);
    assert_eq!((said.status, said.stderr.as_str()), (0, ""));
    check_golden("list", &said.stdout);
    assert_eq!(place.run(&["incidents", "list"]).stdout, said.stdout);
    let dir = place.path("state");
    let other = Place::new();
    assert_eq!(other.run(&["incidents", "--dir", dir.to_str().unwrap()]).stdout, said.stdout);
    let dir = place.incidents();
    assert_eq!(other.run(&["incidents", "list", "--dir", dir.to_str().unwrap()]).stdout, said.stdout);
}

#[test]
fn json_has_a_summary_of_each() {
    let place = with_all();
    let said = place.run(&["incidents", "--json"]);
    assert_eq!((said.status, said.stderr.as_str()), (0, ""));
    assert_eq!(place.run(&["incidents", "list", "--json"]).stdout, said.stdout);
    let list: Json = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(list["schema"], 1);
    let incidents = list["incidents"].as_array().unwrap();
    assert_eq!(incidents.len(), KINDS.len());
    let begins: Vec<u64> = incidents.iter().map(|one| one["begin_ms"].as_u64().unwrap()).collect();
    assert!(begins.is_sorted_by(|a, b| a >= b), "{begins:?}");
    let of = |id: &str| incidents.iter().find(|one| one["id"] == id).unwrap();
    let killed = of("20260727T221400Z-3");
    for (key, value) in [
        ("kind", json!("memory")),
        ("cause", json!("hogwatch")),
        ("outcome", json!("ended")),
        ("state", json!("complete")),
        ("dry_run", json!(false)),
        ("unit", json!("ci-runner.service")),
        ("freed_bytes", json!(16_213_501_542_u64)),
        ("recovered_ms", json!(27_400)),
        ("unit_restarted", json!(false)),
    ] {
        assert_eq!(killed[key], value, "{key}");
    }
    assert_eq!(killed["victim"]["pid"], 4242);
    let outcomes = [
        ("20260726T090000Z-1", "pretended"),
        ("20260727T221400Z-4", "signalled"),
        ("20260727T221400Z-5", "ended"),
        ("20260727T221400Z-6", "lifted"),
        ("20260727T221400Z-7", "ended"),
        ("20260727T221400Z-10", "unclean_end"),
        ("20260727T221400Z-11", "refused"),
        ("20260727T221400Z-12", "warned"),
    ];
    for (id, outcome) in outcomes {
        assert_eq!(of(id)["outcome"], outcome, "{id}");
    }
}

#[test]
fn no_incident_is_no_error() {
    let place = Place::new();
    for args in [&["incidents"][..], &["incidents", "list"]] {
        let said = place.run(args);
        assert_eq!((said.status, said.stdout.as_str()), (0, ""));
        assert!(said.stderr.starts_with("no incidents"), "{}", said.stderr);
    }
    let said = place.run(&["incidents", "--json"]);
    assert_eq!(serde_json::from_str::<Json>(&said.stdout).unwrap(), json!({"schema": 1, "incidents": []}));
    // A guard that has just started has no folder for them.
    std::fs::remove_dir(place.incidents()).unwrap();
    assert_eq!(place.run(&["incidents"]).status, 0);
    assert_eq!(place.run(&["incidents", "show", "latest"]).status, 4);
}

#[test]
fn what_is_being_written_is_not_listed() {
    let place = Place::new();
    place.write("20260727T221400Z-3.json", text_of("machine-kill"));
    place.write(".20260727T221400Z-4.json.new", &text_of("open")[..100]);
    place.write(".20260727T221400Z-5.json", text_of("open"));
    place.write("notes.txt", "x");
    let said = place.run(&["incidents"]);
    assert_eq!((said.status, said.stderr.as_str()), (0, ""));
    assert_eq!(said.stdout.lines().count(), 3, "{}", said.stdout);
    assert!(fixture("open").exists());
}
