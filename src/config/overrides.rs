//! Reading and writing one `[[livelock.override]]`.

use toml::de::DeTable;

use super::format::{DURATION, Format, GLOBS, Reading, Value, list, word};
use super::problem::Bad;
use super::schema::WINDOW;
use super::suggest;
use super::types::{LivelockAction, LivelockOverride};

pub(super) const OVERRIDE: Format<LivelockOverride> = Format::new(read_override, |over| {
    let action = over.action.as_ref().map(word::<LivelockAction>().write);
    let fields = [
        ("cgroups", Some(list(&over.cgroups))),
        ("action", action),
        ("after", over.after.as_ref().map(DURATION.write)),
        ("thrash_after", over.thrash_after.as_ref().map(DURATION.write)),
    ];
    let fields = fields.into_iter().filter_map(|(name, value)| Some(format!("{name} = {}", value?)));
    format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
});

/// Reads one `[[livelock.override]]`.
fn read_override(reading: &mut Reading, value: &Value) -> Option<LivelockOverride> {
    const KEYS: &[&str] = &["cgroups", "action", "after", "thrash_after"];
    let Some(table) = value.get_ref().as_table() else {
        reading.wrong_type(value, "a table", "write [[livelock.override]] on a line of its own, its keys below");
        return None;
    };
    let mut over = LivelockOverride::default();
    let outer = reading.key.clone();
    for (key, field) in table {
        let name: &str = key.get_ref();
        reading.key = format!("{outer}.{name}");
        match name {
            "cgroups" => over.cgroups = SOME_GLOBS.read(reading, field).unwrap_or_default(),
            "action" => over.action = word().read(reading, field),
            "after" => over.after = WINDOW.read(reading, field),
            "thrash_after" => over.thrash_after = WINDOW.read(reading, field),
            _ => suggest::unknown_key(reading, key, "in [[livelock.override]]", KEYS, &[]),
        }
    }
    reading.key = outer;
    match lacking(table) {
        Some(bad) => {
            reading.wrong(value, bad);
            None
        }
        None => Some(over),
    }
}

/// What an exception lacks: it must say for which cgroups it holds, and what differs.
fn lacking(table: &DeTable) -> Option<Bad> {
    match (table.contains_key("cgroups"), table.len()) {
        (false, _) => {
            Some(Bad::new("an exception needs cgroups", "add cgroups = [\"...\"], the globs that it holds for"))
        }
        (true, 1) => Some(Bad::new("an exception needs something that differs", "add action, after or thrash_after")),
        (true, _) => None,
    }
}

/// Globs of which there must be one at least.
const SOME_GLOBS: Format<Vec<String>> = GLOBS.with(|globs| match globs.is_empty() {
    true => Err(Bad::new("an empty list matches no cgroup", "write at least one glob")),
    false => Ok(()),
});
