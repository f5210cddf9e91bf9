//! The documentation and the catalog say what the table says.

use std::collections::BTreeMap;
use std::fmt::Write;

use hogwatch::report::{EVENTS, EventSpec, Field};

const JOURNAL_MD: &str = include_str!("../../docs/journal.md");
const CATALOG: &str = include_str!("../../packaging/catalog/hogwatch.catalog");

fn events_table() -> String {
    let mut table = String::from("\n| event | priority | MESSAGE_ID | fields |\n| --- | --- | --- | --- |\n");
    for EventSpec { name, priority, message_id, .. } in &EVENTS {
        let fields = fields_of(name).collect::<Vec<_>>().join(", ");
        writeln!(table, "| `{name}` | {} | `{message_id}` | {fields} |", priority.word()).unwrap();
    }
    table
}

fn fields_of(event: &str) -> impl Iterator<Item = &'static str> {
    let spec = EVENTS.iter().find(|spec| spec.name == event).unwrap();
    spec.fields().map(|field| field.journal_name().strip_prefix("HOGWATCH_").unwrap())
}

#[test]
fn the_documented_table_is_the_real_one() {
    let (_, rest) = JOURNAL_MD.split_once("<!-- events: checked by tests/report/docs.rs -->\n").unwrap();
    let (documented, _) = rest.split_once("\n<!-- end of events -->").unwrap_or(("", ""));
    let real = events_table();
    assert!(documented == real, "docs/journal.md needs this between its marks:\n{real}");
}

#[test]
fn every_field_is_explained_once() {
    for field in Field::ALL {
        let row = format!("| `{}` | ", field.journal_name());
        assert_eq!(JOURNAL_MD.matches(&row).count(), 1, "{row}");
    }
    assert_eq!(JOURNAL_MD.matches("| `HOGWATCH_").count(), Field::ALL.len(), "a field that does not exist");
}

/// The catalog's blocks: message id to header and text (<https://systemd.io/CATALOG/>).
fn blocks() -> BTreeMap<&'static str, (BTreeMap<&'static str, &'static str>, &'static str)> {
    let mut blocks = BTreeMap::new();
    for block in CATALOG.split("\n-- ").skip(1) {
        let (id, rest) = block.split_once('\n').unwrap();
        let (header, text) = rest.split_once("\n\n").unwrap();
        let header = header.lines().map(|line| line.split_once(": ").unwrap()).collect();
        assert!(blocks.insert(id, (header, text)).is_none(), "{id} twice");
    }
    blocks
}

#[test]
fn the_catalog_explains_every_event_and_says_what_to_do() {
    let blocks = blocks();
    for spec in &EVENTS {
        let (header, text) = blocks.get(spec.message_id).unwrap_or_else(|| panic!("{} is missing", spec.name));
        assert!(!header["Subject"].is_empty(), "{}", spec.name);
        assert_eq!(header["Defined-By"], "hogwatch", "{}", spec.name);
        assert!(header["Support"].starts_with("https://"), "{}", spec.name);
        assert!(text.contains("What to do: "), "{}", spec.name);
        let words = [header["Subject"], text].join("\n");
        for placeholder in words.split('@').skip(1).step_by(2) {
            let name = placeholder.strip_prefix("HOGWATCH_").expect("a field of ours");
            assert!(fields_of(spec.name).any(|field| field == name), "{}: @{placeholder}@", spec.name);
        }
        assert_eq!(words.matches('@').count() % 2, 0, "{}", spec.name);
    }
    assert_eq!(blocks.len(), EVENTS.len(), "an entry for an event that does not exist");
}
