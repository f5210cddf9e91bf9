//! Loading: the file, its drop-ins, merged in order; every problem found is reported.

use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::format::{Format, Reading, Value, array};
use super::places::Places;
use super::problem::{Bad, Error, Problem, Source, quoted};
use super::schema::{self, Visitor};
use super::types::Config;
use super::{files, levels, suggest};

/// A good configuration, and where each value of it came from. Who only wants to act on it keeps `config` and drops
/// the rest.
#[derive(Debug)]
pub struct Loaded {
    /// The merged configuration.
    pub config: Config,
    pub(super) sources: Vec<Source>,
    pub(super) origins: Origins,
}

impl Loaded {
    /// The files it was merged from, in order; none means that the built-in defaults apply.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.sources.iter().map(|s| s.path.as_path())
    }

    /// The keys that a file sets but this version does not act on yet, as `livelock.after`.
    pub fn not_acted_on(&self) -> Vec<String> {
        let set = self.origins.set.iter();
        let inactive = set.filter(|s| schema::NOT_ACTED_ON.contains(&s.section));
        let mut keys: Vec<String> = inactive
            .map(|s| format!("{}.{}", s.section, s.key))
            .collect();
        keys.dedup();
        keys
    }
}

/// Loads the configuration: the file `explicit` (which must be there) or else the default one of `places` (which need
/// not), then its drop-ins `<file>.d/*.toml` in the order of their names. Nothing there at all means the defaults.
///
/// # Errors
/// Everything wrong in any of the files.
pub fn load(explicit: Option<&Path>, places: &Places) -> Result<Loaded, Error> {
    let mut loader = Loader::default();
    match (explicit, &places.file) {
        (Some(file), _) => {
            loader.add_found(files::read(file).map(Some));
            loader.add_drop_ins(file);
        }
        (None, Some(file)) => {
            loader.add_found(files::read_if_there(file));
            loader.add_drop_ins(file);
        }
        (None, None) => {}
    }
    loader.finish()
}

/// Loads one file by itself, without drop-ins; none when it is not there.
pub(super) fn load_alone(file: &Path) -> Result<Option<Loaded>, Error> {
    let Some(source) = files::read_if_there(file)? else {
        return Ok(None);
    };
    let mut loader = Loader::default();
    loader.add(source);
    loader.finish().map(Some)
}

/// Loads from text, as if it stood in the file `name`.
///
/// # Errors
/// Everything wrong in the text.
pub fn load_text(name: &Path, text: &str) -> Result<Loaded, Error> {
    let mut loader = Loader::default();
    loader.add(Source {
        path: name.to_owned(),
        text: text.to_owned(),
    });
    loader.finish()
}

/// Where a value was set: the source's index, and the bytes of the value there.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) source: usize,
    pub(super) span: Range<usize>,
}

/// That a key, or an item of a list that files add to, was set.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) section: &'static str,
    pub(super) key: &'static str,
    pub(super) place: Place,
}

/// Where the values of a configuration came from.
#[derive(Debug, Default)]
pub(super) struct Origins {
    /// Every key that a file sets, in the order in which it was read.
    set: Vec<Setting>,
    /// Section and key of the defaults that gave way to a value that was set.
    pub(super) adjusted: Vec<(&'static str, &'static str)>,
}

impl Origins {
    /// Where the items of a list were set, in its order.
    pub(super) fn all<'s>(
        &'s self,
        section: &'s str,
        key: &'s str,
    ) -> impl DoubleEndedIterator<Item = &'s Place> {
        let same = move |s: &&Setting| s.section == section && s.key == key;
        self.set.iter().filter(same).map(|s| &s.place)
    }

    /// Where the value that counts was set: the last place; none when it is the default.
    pub(super) fn of<'s>(&'s self, section: &'s str, key: &'s str) -> Option<&'s Place> {
        self.all(section, key).next_back()
    }
}

#[derive(Default)]
struct Loader {
    config: Config,
    sources: Vec<Source>,
    origins: Origins,
    problems: Error,
}

impl Loader {
    fn add_found(&mut self, found: Result<Option<Source>, Problem>) {
        match found {
            Ok(Some(source)) => self.add(source),
            Ok(None) => {}
            Err(problem) => self.problems.push(problem),
        }
    }

    fn add_drop_ins(&mut self, file: &Path) {
        let drop_ins: Vec<PathBuf> = match files::drop_ins(file) {
            Ok(drop_ins) => drop_ins,
            Err(problem) => return self.problems.push(problem),
        };
        for path in drop_ins {
            self.add_found(files::read(&path).map(Some));
        }
    }

    /// Merges one file over what was read before.
    fn add(&mut self, source: Source) {
        let before = self.problems.problems().len();
        let (document, errors) = DeTable::parse_recoverable(&source.text);
        let (twice, wrong): (Vec<_>, Vec<_>) = errors
            .iter()
            .partition(|error| error.message() == "duplicate key");
        for error in &twice {
            let help = "a key or section may stand only once in a file: remove one";
            let bad = Bad::new("this key or section stands twice", help);
            let span = error.span().unwrap_or(0..0);
            self.problems.push(source.problem(span, bad));
        }
        // After an error of syntax the rest is guesswork: neither further such errors nor what it seems to say count.
        if let Some(error) = wrong.first() {
            let bad = Bad::new(error.message(), syntax_help(error.message()));
            let span = error.span().unwrap_or(0..0);
            self.problems.push(source.problem(span, bad));
        } else {
            let mut reader = Reader {
                document: document.get_ref(),
                reading: Reading {
                    source: &source,
                    problems: &mut self.problems,
                    key: String::new(),
                },
                origins: &mut self.origins,
                source_index: self.sources.len(),
                section: "",
                known: Vec::new(),
            };
            schema::visit(&mut self.config, &mut reader);
            reader.note_unknown();
        }
        drop(document);
        self.problems.sort_from(before);
        self.sources.push(source);
    }

    fn finish(mut self) -> Result<Loaded, Error> {
        if self.problems.is_empty() {
            levels::check(
                &mut self.config,
                &mut self.origins,
                &self.sources,
                &mut self.problems,
            );
        }
        match self.problems.is_empty() {
            true => Ok(Loaded {
                config: self.config,
                sources: self.sources,
                origins: self.origins,
            }),
            false => Err(self.problems),
        }
    }
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
        self.origins.set.push(Setting {
            section: self.section,
            key,
            place: Place {
                source: self.source_index,
                span,
            },
        });
    }

    /// Notes every section and key of the document that the schema did not ask for.
    fn note_unknown(&mut self) {
        let mut sections: Vec<&str> = self.known.iter().map(|(section, _)| *section).collect();
        sections.dedup();
        for (name, value) in self.document {
            let table = value.get_ref().as_table();
            match (sections.contains(&name.get_ref().as_ref()), table) {
                (true, Some(keys)) => self.note_unknown_keys(name.get_ref(), keys),
                (true, None) => {
                    let message = format!("{} is a section, not a key", quoted(name.get_ref()));
                    let help = format!(
                        "write [{}] on a line of its own, its keys below",
                        name.get_ref()
                    );
                    suggest::unknown(&mut self.reading, name.span(), message, help);
                }
                (false, Some(_)) => {
                    let message = format!("unknown section {}", quoted(name.get_ref()));
                    let help = match suggest::nearest(name.get_ref(), &sections) {
                        Some(near) => format!("did you mean [{near}]?"),
                        None => format!("the sections are {}", sections.join(", ")),
                    };
                    suggest::unknown(&mut self.reading, name.span(), message, help);
                }
                (false, None) => {
                    let elsewhere = self.sections_with(name.get_ref());
                    suggest::unknown_key(
                        &mut self.reading,
                        name,
                        "outside any section",
                        &[],
                        &elsewhere,
                    );
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
        for value in items {
            if let Some(read) = item.read(&mut self.reading, value) {
                slot.push(read);
                self.set(name, value.span());
            }
        }
    }
}

/// What to do about an error of TOML's syntax.
fn syntax_help(message: &str) -> &'static str {
    match message.contains("string values must be quoted") {
        true => "write the value in quotes, such as \"5%\"",
        false => "the file is TOML: [section] lines, and key = value lines with text in quotes",
    }
}
