//! Reading one TOML document into the configuration.

use std::ops::Range;

use toml::Spanned;
use toml::de::DeTable;

use super::format::{Format, Reading, Value, array};
use super::load::{Origins, Place};
use super::problem::{Bad, Error, Source, quoted};
use super::schema::{self, Visitor};
use super::suggest;
use super::types::Config;

/// The most items of a list to which files add. Each regex costs time at every choice of a victim, and some KiB for as
/// long as the daemon runs.
const MAX_ITEMS: usize = 200;

/// How the parser calls a key that stands twice.
const DUPLICATE: &str = "duplicate key";

/// Reads `source`, the file with the index `source_index`, over what `config` holds already. Everything wrong goes to
/// `problems`, in the order of its places.
pub(super) fn read(
    source: &Source,
    source_index: usize,
    config: &mut Config,
    origins: &mut Origins,
    problems: &mut Error,
) {
    let before = problems.problems().len();
    if let Some(document) = parse(source, problems) {
        let mut reader = Reader {
            document: document.get_ref(),
            reading: Reading { source, problems, key: String::new() },
            origins,
            source_index,
            section: "",
            known: Vec::new(),
        };
        schema::visit(config, &mut reader);
        reader.note_unknown();
    }
    problems.sort_from(before);
}

/// Parses the text. Keys that stand twice are noted and the rest is read; after another error of syntax the rest is
/// guesswork, so that neither further such errors nor what it seems to say count.
fn parse<'s>(source: &'s Source, problems: &mut Error) -> Option<Spanned<DeTable<'s>>> {
    let error = match DeTable::parse(&source.text) {
        Ok(document) => return Some(document),
        Err(error) => error,
    };
    let mut note = |error: &toml::de::Error, message: &str, help: &str| {
        let span = error.span().unwrap_or(0..0);
        problems.add(|| source.problem(span, Bad::new(message, help)));
    };
    if error.message() != DUPLICATE {
        note(&error, error.message(), syntax_help(error.message()));
        return None;
    }
    let (document, errors) = DeTable::parse_recoverable(&source.text);
    for error in &errors {
        if error.message() != DUPLICATE {
            note(error, error.message(), syntax_help(error.message()));
            return None;
        }
        note(error, "this key or section stands twice", "a key or section may stand only once in a file: remove one");
    }
    Some(document)
}

/// Reads one document into the configuration, key by key as the schema shows them.
struct Reader<'a, 'i> {
    document: &'a DeTable<'i>,
    reading: Reading<'a>,
    origins: &'a mut Origins,
    source_index: usize,
    section: &'static str,
    /// Every section and key seen so far, for what is unknown.
    known: Vec<(&'static str, &'static str)>,
}

impl<'a, 'i> Reader<'a, 'i> {
    /// The value of a key in the present section, if the document has it.
    fn value(&mut self, name: &'static str) -> Option<&'a Value<'i>> {
        self.known.push((self.section, name));
        self.reading.key = format!("{}.{name}", self.section);
        let section = self.document.get(self.section)?.get_ref();
        section.as_table()?.get(name)
    }

    fn set(&mut self, key: &'static str, span: Range<usize>) {
        let place = Place { source: self.source_index, span };
        self.origins.add(self.section, key, place);
    }

    /// Notes every section and key of the document that the schema did not ask for.
    fn note_unknown(&mut self) {
        let mut sections: Vec<&str> = self.known.iter().map(|(section, _)| *section).collect();
        sections.dedup();
        for (name, value) in self.document {
            let table = value.get_ref().as_table();
            match (sections.contains(&name.get_ref().as_ref()), table) {
                (true, Some(keys)) => self.note_unknown_keys(name.get_ref(), keys),
                (true, None) => suggest::unknown(&mut self.reading, name.span(), || {
                    let name = name.get_ref();
                    let help = format!("write [{name}] on a line of its own, its keys below");
                    Bad::new(format!("{} is a section, not a key", quoted(name)), help)
                }),
                (false, Some(_)) => suggest::unknown(&mut self.reading, name.span(), || {
                    let name = name.get_ref();
                    let help = match suggest::nearest(name, &sections) {
                        Some(near) => format!("did you mean [{near}]?"),
                        None => format!("the sections are {}", sections.join(", ")),
                    };
                    Bad::new(format!("unknown section {}", quoted(name)), help)
                }),
                (false, None) => {
                    let elsewhere = self.sections_with(name.get_ref());
                    suggest::unknown_key(&mut self.reading, name, "outside any section", &[], &elsewhere);
                }
            }
        }
    }

    fn note_unknown_keys(&mut self, section: &str, keys: &DeTable) {
        let here = self.known.iter().filter(|(s, _)| *s == section);
        let here: Vec<&str> = here.map(|(_, key)| *key).collect();
        for (name, _) in keys {
            if !here.contains(&name.get_ref().as_ref()) {
                let elsewhere = self.sections_with(name.get_ref());
                let place = format!("in [{section}]");
                suggest::unknown_key(&mut self.reading, name, &place, &here, &elsewhere);
            }
        }
    }

    fn sections_with(&self, key: &str) -> Vec<&'static str> {
        let same = self.known.iter().filter(|(_, k)| *k == key);
        same.map(|(section, _)| *section).collect()
    }
}

impl Visitor for Reader<'_, '_> {
    fn section(&mut self, name: &'static str) {
        self.section = name;
    }

    fn key<T: 'static>(&mut self, name: &'static str, slot: &mut T, format: &Format<T>) {
        let Some(value) = self.value(name) else {
            return;
        };
        if let Some(read) = format.read(&mut self.reading, value) {
            *slot = read;
            self.set(name, value.span());
        }
    }

    fn list<T: 'static>(&mut self, name: &'static str, slot: &mut Vec<T>, item: &Format<T>) {
        let Some(value) = self.value(name) else {
            return;
        };
        let Some(items) = array(&mut self.reading, value, "a list") else {
            return;
        };
        let before = slot.len();
        for (i, value) in items.iter().enumerate() {
            if before + i >= MAX_ITEMS {
                let message = format!("the list has more than {MAX_ITEMS} items in all");
                let bad = Bad::new(message, "join several regexes to one with |");
                self.reading.wrong(value, bad);
                return;
            }
            if let Some(read) = item.read(&mut self.reading, value) {
                slot.push(read);
                self.set(name, value.span());
            }
        }
    }
}

/// How the parser calls a backslash in double quotes before something that it does not escape.
const ESCAPE_ERRORS: &[&str] = &["missing escaped value", "unicode hexadecimal value"];

/// What to do about an error of TOML's syntax.
fn syntax_help(message: &str) -> &'static str {
    match message {
        m if m.contains("string values must be quoted") => "write the value in quotes, such as \"5%\"",
        m if ESCAPE_ERRORS.iter().any(|e| m.contains(e)) => {
            "in double quotes a backslash has a meaning of its own: put regexes in single quotes, '\\.service$'"
        }
        _ => "the file is TOML: [section] lines, and key = value lines with text in quotes",
    }
}
