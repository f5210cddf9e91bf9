//! Docker's configuration: one key is put into it, and not a byte else is changed.

use serde_json::{Map, Value};

/// The slice that docker's containers are to live in, and the key that says so.
pub const SLICE: &str = "docker.slice";
const KEY: &str = "cgroup-parent";

/// With this driver a parent is a path that systemd knows nothing of.
const OTHER_DRIVER: &str = "native.cgroupdriver=cgroupfs";

/// What the parent is, by a text of `daemon.json`.
#[derive(Debug, PartialEq, Eq)]
pub enum Parent {
    /// Docker's default.
    Unset,
    /// [`SLICE`] already.
    Ours,
    /// Another one.
    Other(String),
}

/// Reads which parent a `daemon.json` names; no text is no file.
///
/// # Errors
/// What is wrong with the text, or why no parent can be named in it.
pub fn parent(text: Option<&str>) -> Result<Parent, String> {
    let map = map(text.unwrap_or_default())?;
    let drivers = map.get("exec-opts").and_then(Value::as_array).into_iter().flatten();
    if drivers.into_iter().any(|option| option.as_str() == Some(OTHER_DRIVER)) {
        return Err(format!("exec-opts has {OTHER_DRIVER}: such containers are in no slice of systemd's"));
    }
    Ok(match map.get(KEY) {
        None => Parent::Unset,
        Some(Value::String(slice)) if slice == SLICE => Parent::Ours,
        Some(Value::String(other)) => Parent::Other(other.clone()),
        Some(other) => return Err(format!("{KEY} is {other}, no name")),
    })
}

/// The text with [`SLICE`] as the parent; everything else in it stays where it is, blanks included.
///
/// # Errors
/// As [`parent`].
pub fn with_parent(text: Option<&str>) -> Result<String, String> {
    let text = text.filter(|text| !text.trim().is_empty()).unwrap_or("{}\n");
    let mut wanted = map(text)?;
    let (before, after) = text.split_once('{').ok_or("it is no JSON object")?;
    let comma = if wanted.is_empty() { "\n" } else { "," };
    let after = if wanted.is_empty() { after.trim_start() } else { after };
    let new = format!("{before}{{\n  \"{KEY}\": \"{SLICE}\"{comma}{after}");
    wanted.insert(KEY.into(), SLICE.into());
    if map(&new)? == wanted { Ok(new) } else { Err("its JSON can't be added to".into()) }
}

/// The keys of the file. Docker takes an empty file for one without keys.
fn map(text: &str) -> Result<Map<String, Value>, String> {
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err("it is no JSON object".into()),
        Err(e) => Err(format!("it is no valid JSON: {e}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_is_put_in_and_nothing_else_changes() {
        let alone = "{\n  \"cgroup-parent\": \"docker.slice\"\n}\n";
        for (before, after) in [
            (None, alone),
            (Some(""), alone),
            (Some(" \n"), alone),
            (Some("{}\n"), alone),
            (Some("{\n}\n"), alone),
            (
                Some("{\n\t\"dns\": [\"1.1.1.1\"],\n\t\"a\": {\"b\": 1e3}\n}"),
                "{\n  \"cgroup-parent\": \"docker.slice\",\n\t\"dns\": [\"1.1.1.1\"],\n\t\"a\": {\"b\": 1e3}\n}",
            ),
            (Some("  {\"z\": 1, \"a\": 2}"), "  {\n  \"cgroup-parent\": \"docker.slice\",\"z\": 1, \"a\": 2}"),
        ] {
            assert_eq!(with_parent(before).as_deref(), Ok(after), "{before:?}");
            assert_eq!(parent(before), Ok(Parent::Unset));
            assert_eq!(parent(Some(after)), Ok(Parent::Ours));
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (text, why) in [
            ("{\"a\": 1,}", "no valid JSON"),
            ("{\"a\": 1} x", "no valid JSON"),
            ("// a comment\n{}", "no valid JSON"),
            ("[]", "no JSON object"),
            ("\"{\"", "no JSON object"),
            ("{\"exec-opts\": [\"native.cgroupdriver=cgroupfs\"]}", "no slice"),
            ("{\"cgroup-parent\": 1}", "cgroup-parent is 1"),
        ] {
            let told = parent(Some(text)).unwrap_err();
            assert!(told.contains(why), "{text}: {told}");
        }
        let other = "{\"cgroup-parent\": \"mine.slice\", \"exec-opts\": [\"native.cgroupdriver=systemd\"]}";
        assert_eq!(parent(Some(other)), Ok(Parent::Other("mine.slice".into())));
    }
}
