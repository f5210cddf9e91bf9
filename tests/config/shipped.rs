//! The shipped default file and the page that documents it: neither may drift from the schema.

use std::path::Path;

use hogwatch::config::{BuiltIns, Config, NOT_ACTED_ON, load_text, show};

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
    // An array of tables, which the file shows as an example.
    expected.retain(|key| key != "livelock.override");
    assert_eq!(keys(&uncommented()), expected);
}

#[test]
fn it_marks_the_sections_that_nothing_acts_on() {
    let lines: Vec<&str> = SHIPPED.lines().collect();
    let marked = |pair: &&[&str]| pair[1] == "# Not acted on by this version yet.";
    let found: Vec<String> = lines.windows(2).filter(marked).map(|pair| pair[0].to_owned()).collect();
    let expected: Vec<String> = NOT_ACTED_ON.iter().map(|name| format!("[{name}]")).collect();
    assert_eq!(found, expected);
}

#[test]
fn its_example_of_an_exception_works() {
    let example: Vec<&str> = SHIPPED.lines().filter_map(|line| line.strip_prefix("# #")).collect();
    let config = good(&example.join("\n"));
    assert_eq!(config.livelock.overrides.len(), 1);
}

#[test]
fn the_manual_lists_every_key_with_its_default_and_marks_the_inactive_ones() {
    let nothing = BuiltIns { protect: &[], avoid: &[] };
    let all = show(&load_text(Path::new("x"), "").unwrap(), &nothing);
    let mut expected = Vec::new();
    for line in all.lines() {
        if let Some(name) = line.strip_prefix('[') {
            let name = name.trim_end_matches(']');
            let mark = if NOT_ACTED_ON.contains(&name) { " (later)" } else { "" };
            expected.push(format!("### [{name}]{mark}"));
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
