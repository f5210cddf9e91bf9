//! `hogwatch doctor` over fixture trees: each check has one that it finds fault with and one that it does not.
//!
//! `fixtures/ID/{good,bad}` hold what the check with this id looks at: `proc`, `sys`, `etc`, `run` as on a machine, and
//! `systemctl.txt`, what `systemctl show` prints of the units (without the file there is no systemd).

mod machines;

use std::fs;
use std::path::{Path, PathBuf};

use hogwatch::commands::doctor::Finding;
use hogwatch::commands::doctor::checks::ALL;
use hogwatch::commands::doctor::facts::Facts;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/doctor/fixtures")
}

fn facts(tree: &Path) -> Facts {
    let shown = fs::read_to_string(tree.join("systemctl.txt")).map_err(|e| e.to_string());
    Facts::read(tree, shown)
}

fn findings(tree: &Path) -> Vec<Finding> {
    assert!(tree.is_dir(), "{} is missing", tree.display());
    let facts = facts(tree);
    ALL.iter().flat_map(|check| (check.look)(&facts)).collect()
}

#[test]
fn each_check_finds_its_fault_and_nothing_where_there_is_none() {
    for check in ALL {
        let [bad, good] = ["bad", "good"].map(|case| findings(&fixtures().join(check.id).join(case)));
        let own = |found: &[Finding]| found.iter().filter(|finding| finding.id == check.id).count();
        assert!(own(&bad) > 0, "{}: not found in bad: {bad:#?}", check.id);
        assert_eq!(own(&good), 0, "{}: found in good: {good:#?}", check.id);
        for finding in bad.iter().filter(|finding| finding.id == check.id) {
            assert!(!finding.title.is_empty() && !finding.fix.is_empty() && !finding.why.is_empty(), "{finding:#?}");
            assert!(!finding.evidence.is_empty(), "{finding:#?}");
        }
    }
}

#[test]
fn checks_fixtures_and_documentation_are_of_the_same_ids() {
    let doc = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/doctor.md")).unwrap();
    let mut documented: Vec<&str> =
        doc.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`')).collect();
    let mut ids: Vec<&str> = ALL.iter().map(|check| check.id).collect();
    assert_eq!(documented, ids, "docs/doctor.md, in the order of checks::ALL");
    documented.sort_unstable();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(documented, ids, "an id is there twice");
    let mut trees: Vec<String> =
        fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    trees.sort_unstable();
    assert_eq!(trees, ids);
}

/// The lines of a fix that are pasted together: those between two lines that are said to a person.
fn blocks(fix: &str) -> Vec<Vec<&str>> {
    let lines: Vec<&str> = fix.lines().collect();
    let pasted = |line: &str| line.starts_with("  ");
    let runs = lines.chunk_by(|a, b| pasted(a) == pasted(b)).filter(|run| pasted(run[0]));
    runs.map(|run| run.iter().map(|line| line.trim()).collect()).collect()
}

#[test]
fn what_is_pasted_together_is_commands_or_a_files_content() {
    let is_section = |line: &str| line.starts_with('[') && line.ends_with(']');
    let is_setting = |line: &str| {
        let key = line.split_once('=').map(|(key, _)| key.trim_end());
        key.is_some_and(|key| key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'))
    };
    let mut files = 0;
    for check in ALL {
        for finding in findings(&fixtures().join(check.id).join("bad")) {
            for block in blocks(&finding.fix) {
                let content = block.iter().filter(|line| is_section(line) || is_setting(line)).count();
                files += usize::from(content > 0);
                assert!(content == 0 || content == block.len(), "{}: {block:#?}", finding.id);
            }
        }
    }
    assert!(files > 0, "no fix has a file's content");
}

#[test]
fn a_cap_to_paste_leaves_room_for_what_is_held() {
    // 1.7 GiB, of which 0.3 are page cache, and 0.1 in swap: three quarters of the slice's 2 GiB would kill.
    let found = findings(&fixtures().join("cap-void/bad"));
    let fixes: Vec<&str> =
        found.iter().filter(|finding| finding.id == "cap-void").map(|finding| finding.fix.as_str()).collect();
    assert!(fixes.contains(&"  systemctl set-property a.service MemoryMax=1792M"), "{fixes:?}");
}

#[test]
fn limits_that_are_not_looked_at_are_told() {
    for (tree, told) in [("cgroup-v1/bad", true), ("cgroup-v1/good", false)] {
        let unseen = facts(&fixtures().join(tree)).unseen;
        assert_eq!(unseen.iter().any(|unseen| unseen.what == "the limits of cgroups"), told, "{tree}: {unseen:?}");
    }
}
