//! `docs/incidents.md` explains every key of an incident file, and no other.

use hogwatch::report::incident::schema::{
    Advice, After, Candidate, Cause, CgroupSample, CgroupStat, Entry, Host, Incident, KernelLine, KernelProcess,
    KernelReport, SCHEMA, Sample, State, Thresholds, TopCgroup, TopTask, Tops, Victim,
};
use serde_json::Value as Json;

const INCIDENTS_MD: &str = include_str!("../../docs/incidents.md");

/// An incident with something in every place.
fn full() -> Incident {
    let entry = Entry::default();
    Incident {
        schema: SCHEMA,
        id: String::new(),
        kind: String::new(),
        cause: Cause::Unknown,
        state: State::Complete,
        dry_run: false,
        begin_ms: 0,
        end_ms: None,
        host: Host {
            name: None,
            kernel: None,
            hogwatch: String::new(),
            boot_id: None,
            mem_total_bytes: None,
            swap_total_bytes: None,
            page_bytes: None,
        },
        thresholds: Some(Thresholds { warn_bytes: 0, term_bytes: 0, kill_bytes: 0 }),
        cgroup: None,
        limit_bytes: None,
        reason: String::new(),
        victim: Some(Victim::default()),
        before: vec![Sample::default()],
        cgroup_samples: vec![CgroupSample { stat: Some(CgroupStat::default()), ..CgroupSample::default() }],
        tops: vec![Tops { t_ms: 0, tasks: vec![TopTask::default()], cgroups: vec![TopCgroup::default()] }],
        candidates: vec![Candidate::default()],
        acts: Vec::new(),
        events: vec![entry],
        kernel: Some(KernelReport { processes: vec![KernelProcess::default()], ..KernelReport::default() }),
        kernel_lines: vec![KernelLine::default()],
        after: Some(After::default()),
        advice: vec![Advice::default()],
    }
}

/// Each object, by the path of keys to it, and its keys.
fn objects(path: &str, value: &Json, found: &mut Vec<(String, Vec<String>)>) {
    match value {
        Json::Object(object) => {
            found.push((path.to_owned(), object.keys().cloned().collect()));
            for (key, value) in object {
                objects(&if path.is_empty() { key.clone() } else { format!("{path}.{key}") }, value, found);
            }
        }
        Json::Array(all) => all.iter().for_each(|value| objects(&format!("{path}[]"), value, found)),
        _ => {}
    }
}

#[test]
fn every_key_is_explained_once_and_none_that_does_not_exist() {
    let (_, rest) = INCIDENTS_MD.split_once("<!-- fields: checked by tests/report/incident_docs.rs -->\n").unwrap();
    let (documented, _) = rest.split_once("<!-- end of fields -->").unwrap();
    let mut sections = documented.split("\n### ").skip(1).map(|section| {
        let (title, rows) = section.split_once('\n').unwrap();
        let keys = rows.lines().filter_map(|row| Some(row.strip_prefix("| `")?.split_once('`')?.0.to_owned()));
        (if title == "An incident" { "" } else { title }, keys.collect::<Vec<_>>())
    });
    let mut real = Vec::new();
    objects("", &serde_json::to_value(full()).unwrap(), &mut real);
    // The same form twice: explained once.
    real.retain(|(path, _)| path != "kernel.victim");
    for (path, keys) in &mut real {
        keys.sort_unstable();
        let at = sections.clone().find(|(title, _)| title == path);
        let mut told = at.unwrap_or_else(|| panic!("no section on {path:?}")).1;
        told.sort_unstable();
        assert_eq!(&told, keys, "{path}");
    }
    assert!(sections.all(|(title, _)| real.iter().any(|(path, _)| path == title)), "a section on nothing");
}
