//! The shipped default file and the page that documents it: neither may drift from the schema.

use std::path::Path;

use hogwatch::config::{BuiltIns, Config, load_text, show};

use super::good;

const MANUAL: &str = include_str!("../../docs/configuration.md");
const SHIPPED: &str = include_str!("../../config/hogwatch.toml");

/// The keys that are set in a TOML text, as `section.key`.
fn keys(text: &str) -> Vec<String> {
    let mut section = "";
    let mut keys = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.split(']').next().unwrap();
        } else if let Some((key, _)) = line.split_once(" = ").filter(|(key, _)| !key.contains(['#', ' '])) {
            keys.push(format!("{section}.{key}"));
        }
    }
    keys
}

fn uncommented() -> String {
    let key_line =
        |line: &str| line.strip_prefix('#').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()));
    let lines = SHIPPED.lines().map(|line| if key_line(line) { &line[1..] } else { line });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn it_changes_nothing_as_it_is() {
    assert_eq!(good(SHIPPED), Config::default());
    assert_eq!(keys(SHIPPED), Vec::<String>::new());
}

#[test]
fn uncommented_it_is_the_defaults() {
    assert_eq!(good(&uncommented()), Config::default());
}

#[test]
fn it_names_every_key_in_the_order_of_the_schema() {
    let nothing = BuiltIns { protect: &[], avoid: &[] };
    let all = show(&load_text(Path::new("x"), "").unwrap(), &nothing);
    let mut expected = keys(&all);
    // Arrays of tables, which the file shows as examples.
    expected.retain(|key| !key.ends_with(".override"));
    assert_eq!(keys(&uncommented()), expected);
}

#[test]
fn its_examples_of_exceptions_work() {
    let example: Vec<&str> = SHIPPED.lines().filter_map(|line| line.strip_prefix("# #")).collect();
    let config = good(&example.join("\n"));
    assert_eq!((config.livelock.overrides.len(), config.run.overrides.len()), (1, 1));
}

#[test]
fn the_manual_lists_every_key_with_its_default() {
    let nothing = BuiltIns { protect: &[], avoid: &[] };
    let all = show(&load_text(Path::new("x"), "").unwrap(), &nothing);
    let mut expected = Vec::new();
    for line in all.lines() {
        if let Some(name) = line.strip_prefix('[') {
            let name = name.trim_end_matches(']');
            expected.push(format!("### [{name}]"));
        } else if let Some((key, value)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            let (value, _) = value.split_once("  # ").unwrap();
            expected.push(format!("| `{key}` | `{value}` |"));
        }
    }
    let row = |line: &&str| line.starts_with("### [") || line.starts_with("| `");
    let found: Vec<String> = MANUAL
        .lines()
        .skip_while(|line| *line != "## Keys")
        .filter(row)
        .map(|line| match line.strip_prefix("| ") {
            Some(cells) => {
                let cells: Vec<&str> = cells.splitn(3, " | ").collect();
                format!("| {} | {} |", cells[0], cells[1])
            }
            None => line.to_owned(),
        })
        .collect();
    assert_eq!(found, expected);
}
