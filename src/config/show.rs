//! Printing the merged configuration as TOML, each value with where it came from.

use std::fmt::Write;

use super::format::Format;
use super::load::Loaded;
use super::problem::escape;
use super::schema::{self, Visitor};

/// The lists of regexes built into hogwatch, which `victim.protect_builtin` switches on and off together.
#[derive(Clone, Copy, Debug)]
pub struct BuiltIns<'a> {
    /// Never killed.
    pub protect: &'a [&'a str],
    /// Killed only when nothing else is left.
    pub avoid: &'a [&'a str],
}

/// The merged configuration as valid TOML, defaults included: each value with its source (`FILE:LINE` or `default`)
/// in a comment, the built-in lists as comments.
pub fn show(loaded: &Loaded, built_ins: &BuiltIns<'_>) -> String {
    let mut text = match loaded.sources.len() {
        0 => "# no configuration file: these are the built-in defaults\n".to_owned(),
        _ => "# merged from, in this order:\n".to_owned(),
    };
    for (index, file) in loaded.files().enumerate() {
        let part = if index < loaded.machines { " ([run] only)" } else { "" };
        _ = writeln!(text, "#   {}{part}", escape(&file.to_string_lossy()));
    }
    write_all(loaded, &mut Writer { loaded, text: &mut text, section: "", what: What::Everything });
    let switch = match loaded.config.victim.protect_builtin {
        true => "in force (victim.protect_builtin = true)",
        false => "switched off (victim.protect_builtin = false)",
    };
    for (name, list) in [("protect", built_ins.protect), ("avoid", built_ins.avoid)] {
        _ = writeln!(text, "\n# built-in {name} list, {switch}:");
        for regex in list {
            _ = writeln!(text, "#   {}", escape(regex));
        }
    }
    text
}

/// The values that files set, merged into one TOML text: what is kept as the last good configuration. Defaults are left
/// out, so that a later version's own apply.
pub(super) fn merged(loaded: &Loaded) -> String {
    let mut text =
        "# The last good configuration, kept by hogwatch for a start with a bad file. Do not edit.\n".to_owned();
    write_all(loaded, &mut Writer { loaded, text: &mut text, section: "", what: What::SetValues });
    text
}

fn write_all(loaded: &Loaded, writer: &mut Writer<'_>) {
    schema::visit(&mut loaded.config.clone(), writer);
}

#[derive(Clone, Copy, PartialEq)]
enum What {
    /// Every value, with its source.
    Everything,
    /// The values that a file set, bare.
    SetValues,
}

struct Writer<'a> {
    loaded: &'a Loaded,
    text: &'a mut String,
    section: &'static str,
    what: What,
}

impl Writer<'_> {
    fn line(&mut self, text: &str, source: &str) {
        _ = match self.what {
            What::Everything => writeln!(self.text, "{text}  # {source}"),
            What::SetValues => writeln!(self.text, "{text}"),
        };
    }
}

impl Visitor for Writer<'_> {
    fn section(&mut self, name: &'static str) {
        self.section = name;
        _ = writeln!(self.text, "\n[{name}]");
    }

    fn key<T: 'static>(&mut self, name: &'static str, slot: &mut T, format: &Format<T>) {
        let place = self.loaded.origins.of(self.section, name);
        if place.is_none() && self.what == What::SetValues {
            return;
        }
        let source = match place {
            Some(place) => self.loaded.place(place),
            None if self.loaded.origins.adjusted.contains(&(self.section, name)) => "default, to suit term".to_owned(),
            None => "default".to_owned(),
        };
        let value = (format.write)(slot);
        self.line(&format!("{name} = {value}"), &source);
    }

    fn list<T: 'static>(&mut self, name: &'static str, slot: &mut Vec<T>, item: &Format<T>) {
        if slot.is_empty() {
            if self.what == What::Everything {
                self.line(&format!("{name} = []"), "default");
            }
            return;
        }
        let places = self.loaded.origins.all(self.section, name);
        let sources: Vec<String> = places.map(|place| self.loaded.place(place)).collect();
        _ = writeln!(self.text, "{name} = [");
        for (value, source) in slot.iter().zip(&sources) {
            self.line(&format!("  {},", (item.write)(value)), source);
        }
        _ = writeln!(self.text, "]");
    }
}
