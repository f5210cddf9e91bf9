//! Whole machines as they are common: what is found there, and nothing else.
//!
//! `machines/NAME.txt` is a comment, `expect SEVERITY ID` for each finding, and files: `=== PATH`, then its content.

use std::fs;
use std::path::Path;

use hogwatch::commands::doctor::findings;

#[test]
fn common_machines_have_no_false_alarms() {
    let machines = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/doctor/machines");
    let mut wrong = Vec::new();
    for entry in fs::read_dir(machines).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let tree = tempfile::tempdir().unwrap();
        let mut files = text.split("=== ");
        let head = files.next().unwrap();
        for file in files {
            let (name, content) = file.split_once('\n').unwrap();
            let to = tree.path().join(name);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::write(to, content).unwrap();
        }
        let mut expected: Vec<&str> = head.lines().filter_map(|line| line.strip_prefix("expect ")).collect();
        let severity = |finding| serde_json::to_value(finding).unwrap().as_str().unwrap().to_owned();
        let facts = super::facts(tree.path());
        let found = findings(&facts);
        let mut ids: Vec<String> =
            found.iter().map(|finding| format!("{} {}", severity(finding.severity), finding.id)).collect();
        ids.sort_unstable();
        expected.sort_unstable();
        if ids != expected {
            wrong.push(format!("{}: expected {expected:?}, found {ids:?}: {found:#?}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
