//! How a value of each kind is read from TOML and written back to it.

use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::pattern::Pattern;
use super::problem::{Bad, Error, Source, quoted};
use super::suggest;
use super::units::{self, Amount};

/// A TOML value and its place in the file.
pub(super) type Value<'i> = Spanned<DeValue<'i>>;

/// The largest count a key takes; none needs more, and it fits every integer type used later.
const MAX_COUNT: u32 = 100_000;

/// One file being read: where its problems go, and the key that they are about.
pub(super) struct Reading<'a> {
    pub(super) source: &'a Source,
    pub(super) problems: &'a mut Error,
    /// The key as a message names it: `memory.term`.
    pub(super) key: String,
}

impl Reading<'_> {
    /// Notes that the current key's value is wrong.
    pub(super) fn wrong(&mut self, value: &Value, bad: Bad) {
        let message = format!("{}: {}", self.key, bad.message);
        let bad = Bad { message, ..bad };
        self.problems.add(|| self.source.problem(value.span(), bad));
    }

    pub(super) fn wrong_type(&mut self, value: &Value, expected: &str, help: impl Into<String>) {
        let message = format!("expected {expected}, found {}", describe(value.get_ref()));
        self.wrong(value, Bad::new(message, help));
    }

    /// Keeps what was read, or notes why it could not be.
    pub(super) fn keep<T>(&mut self, value: &Value, read: Result<T, Bad>) -> Option<T> {
        read.map_err(|bad| self.wrong(value, bad)).ok()
    }
}

/// How one kind of value is read and written.
#[derive(Clone, Copy)]
pub(super) struct Format<T: 'static> {
    read: fn(&mut Reading, &Value) -> Option<T>,
    /// As a TOML value, which reads back as the same.
    pub(super) write: fn(&T) -> String,
    /// Which of the readable values make sense for the key.
    rule: fn(&T) -> Result<(), Bad>,
}

impl<T> Format<T> {
    pub(super) const fn new(read: fn(&mut Reading, &Value) -> Option<T>, write: fn(&T) -> String) -> Self {
        Self { read, write, rule: |_| Ok(()) }
    }

    /// The same format with a rule of the key's own.
    pub(super) const fn with(self, rule: fn(&T) -> Result<(), Bad>) -> Self {
        Self { rule, ..self }
    }

    /// Reads a value; what is wrong with it is noted in `reading`.
    pub(super) fn read(&self, reading: &mut Reading, value: &Value) -> Option<T> {
        let read = (self.read)(reading, value)?;
        reading.keep(value, (self.rule)(&read))?;
        Some(read)
    }
}

/// An enum written as one word.
pub(super) trait Word: Copy + PartialEq + 'static {
    /// Every word and what it means.
    const WORDS: &'static [(&'static str, Self)];
}

/// A word out of a list.
pub(super) const fn word<T: Word>() -> Format<T> {
    Format::new(
        |reading, value| {
            let words: Vec<&str> = T::WORDS.iter().map(|(name, _)| *name).collect();
            let expected = format!("one of \"{}\"", words.join("\", \""));
            let text = text(reading, value, &expected)?;
            let found = T::WORDS.iter().find(|(name, _)| *name == text);
            if found.is_none() {
                let help = match suggest::nearest(text, &words) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("write {expected}"),
                };
                let message = format!("expected {expected}, found {}", quoted(text));
                reading.wrong(value, Bad::new(message, help));
            }
            found.map(|(_, word)| *word)
        },
        |value| {
            let found = T::WORDS.iter().find(|(_, word)| word == value);
            quote(found.map_or("", |(name, _)| name))
        },
    )
}

pub(super) const BOOL: Format<bool> = Format::new(
    |reading, value| match value.get_ref() {
        DeValue::Boolean(b) => Some(*b),
        _ => {
            reading.wrong_type(value, "true or false", "write true or false, without quotes");
            None
        }
    },
    bool::to_string,
);

pub(super) const COUNT: Format<u32> = Format::new(
    |reading, value| {
        let expected = "a whole number from 0 to 100000";
        let DeValue::Integer(integer) = value.get_ref() else {
            reading.wrong_type(value, expected, "write it without quotes, such as 200");
            return None;
        };
        let count = u32::from_str_radix(integer.as_str(), integer.radix());
        match count {
            Ok(count) if count <= MAX_COUNT => Some(count),
            _ => {
                let message = format!("expected {expected}, found {}", quoted(integer.as_str()));
                reading.wrong(value, Bad::new(message, "write a number in that range"));
                None
            }
        }
    },
    u32::to_string,
);

/// A percent or a size.
pub(super) const AMOUNT: Format<Amount> = Format::new(
    |reading, value| {
        let expected = "a percent such as \"5%\" or a size such as \"800 MiB\"";
        let text = text(reading, value, expected)?;
        reading.keep(value, units::amount(text))
    },
    |amount| quote(&amount.to_string()),
);

/// A percent.
pub(super) const PERCENT: Format<f64> = Format::new(
    |reading, value| {
        let text = text(reading, value, "a percent such as \"60%\"")?;
        reading.keep(value, units::percent(text))
    },
    |percent| quote(&Amount::Percent(*percent).to_string()),
);

pub(super) const DURATION: Format<Duration> = Format::new(
    |reading, value| {
        let text = text(reading, value, "a duration such as \"10s\"")?;
        reading.keep(value, units::duration(text))
    },
    |duration| quote(&units::write_duration(*duration)),
);

/// A duration; `"0"` means never.
pub(super) const DURATION_OR_NEVER: Format<Option<Duration>> = Format::new(
    |reading, value| {
        let text = text(reading, value, "a duration such as \"1h\", or \"0\" for never")?;
        match text {
            "0" => Some(None),
            _ => reading.keep(value, units::duration(text)).map(Some),
        }
    },
    |duration| quote(&duration.map_or("0".to_owned(), units::write_duration)),
);

/// A duration; the empty string means none.
pub(super) const DURATION_OR_NONE: Format<Option<Duration>> = Format::new(
    |reading, value| {
        let text = text(reading, value, "a duration such as \"5m\", or \"\" for none")?;
        match text {
            "" => Some(None),
            _ => reading.keep(value, units::duration(text)).map(Some),
        }
    },
    |duration| quote(&duration.map_or(String::new(), units::write_duration)),
);

/// A size; the empty string means none.
pub(super) const SIZE_OR_NONE: Format<Option<u64>> = Format::new(
    |reading, value| {
        let text = text(reading, value, "a size such as \"4 GiB\", or \"\" for none")?;
        match text {
            "" => Some(None),
            _ => reading.keep(value, units::size(text)).map(Some),
        }
    },
    |size| quote(&size.map_or(String::new(), units::write_size)),
);

/// An absolute path; the empty string means none.
pub(super) const PATH_OR_NONE: Format<Option<PathBuf>> = Format::new(
    |reading, value| {
        let text = text(reading, value, "an absolute path, or \"\" for none")?;
        let path = (!text.is_empty()).then(|| PathBuf::from(text));
        match &path {
            Some(p) if !p.is_absolute() || text.contains('\0') => {
                let message = format!("{} is not an absolute path", quoted(text));
                reading.wrong(value, Bad::new(message, "write the path from / on"));
                None
            }
            _ => Some(path),
        }
    },
    |path| quote(&path.as_deref().unwrap_or("".as_ref()).to_string_lossy()),
);

/// A command: its program and arguments; empty means none.
pub(super) const COMMAND: Format<Vec<String>> = Format::new(
    |reading, value| {
        let expected = "a list of a program and its arguments, such as [\"/usr/bin/logger\", \"low memory\"]";
        strings(reading, value, expected, |text| match text.contains('\0') {
            true => Err(Bad::new("an argument holds a NUL character", "remove it")),
            false => Ok(text.to_owned()),
        })
    },
    |words| list(words),
)
.with(|words| match words.first() {
    Some(program) if program.is_empty() => {
        Err(Bad::new("the program's name is empty", "write its path, or [] for no command"))
    }
    _ => Ok(()),
});

/// Globs of cgroups. A leading slash, as the journal prints paths, is dropped.
pub(super) const GLOBS: Format<Vec<String>> = Format::new(
    |reading, value| {
        let expected = "a list of globs, such as [\"system.slice/**\"]";
        strings(reading, value, expected, |text| match text.strip_prefix('/').unwrap_or(text) {
            "" => Err(Bad::new(
                "an empty glob matches no cgroup",
                "write the path below the cgroup root; ** matches every cgroup",
            )),
            glob => Ok(glob.to_owned()),
        })
    },
    |globs| list(globs),
);

pub(super) const PATTERN: Format<Pattern> = Format::new(
    |reading, value| {
        let text = text(reading, value, "a regex in quotes")?;
        reading.keep(value, Pattern::parse(text))
    },
    |pattern| quote(&pattern.text),
);

/// The string in `value`; another type is noted as wrong, with the string that was probably meant.
pub(super) fn text<'v>(reading: &mut Reading, value: &'v Value, expected: &str) -> Option<&'v str> {
    let number = match value.get_ref() {
        DeValue::String(text) => return Some(text),
        DeValue::Integer(n) => Some(n.as_str()),
        DeValue::Float(n) => Some(n.as_str()),
        _ => None,
    };
    let help = match number.filter(|n| n.starts_with(|c: char| c.is_ascii_digit())) {
        Some(number) if expected.contains('%') && expected.contains("size") => units::write_amount(number),
        Some(number) if expected.contains('%') => format!("write \"{number}%\""),
        Some(number) if expected.contains("duration") => format!("write \"{number}s\""),
        Some(_) if expected.contains("size") => "write a size, such as \"4 GiB\"".to_owned(),
        _ => "write it in quotes".to_owned(),
    };
    reading.wrong_type(value, expected, help);
    None
}

/// A list of strings, each read by `item`; every wrong one is noted at its own place.
pub(super) fn strings(
    reading: &mut Reading,
    value: &Value,
    expected: &str,
    item: fn(&str) -> Result<String, Bad>,
) -> Option<Vec<String>> {
    let items = array(reading, value, expected)?;
    let read = items.iter().map(|v| {
        let text = text(reading, v, "a string")?;
        reading.keep(v, item(text))
    });
    // Not short-circuited: every item is looked at, so that every wrong one is noted.
    read.collect::<Vec<Option<String>>>().into_iter().collect()
}

/// The items of a list; another type is noted as wrong.
pub(super) fn array<'v, 'i>(reading: &mut Reading, value: &'v Value<'i>, expected: &str) -> Option<&'v [Value<'i>]> {
    match value.get_ref() {
        DeValue::Array(items) => Some(items),
        DeValue::String(text) => {
            reading.wrong_type(value, expected, format!("write [{}]", quote(text)));
            None
        }
        DeValue::Table(_) => {
            reading.wrong_type(value, expected, "write its name in double brackets, [[ ]]");
            None
        }
        _ => {
            reading.wrong_type(value, expected, "write a list in [ ]");
            None
        }
    }
}

/// A TOML value as a message names it.
fn describe(value: &DeValue) -> String {
    match value {
        DeValue::String(text) => format!("the string {}", quoted(text)),
        DeValue::Integer(n) => format!("the number {n}"),
        DeValue::Float(n) => format!("the number {}", n.as_str()),
        DeValue::Boolean(b) => format!("{b}"),
        DeValue::Datetime(_) => "a date or time".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

pub(super) fn list(items: &[String]) -> String {
    let items: Vec<String> = items.iter().map(|i| quote(i)).collect();
    format!("[{}]", items.join(", "))
}

/// A string as TOML: literal where it holds a backslash, as regexes do, else basic.
pub(super) fn quote(text: &str) -> String {
    let printable = !text.contains(|c: char| c.is_control());
    if printable && text.contains('\\') && !text.contains('\'') {
        return format!("'{text}'");
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out + "\""
}
