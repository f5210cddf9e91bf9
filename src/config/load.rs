//! Loading: the file, its drop-ins, merged in order; every problem found is reported.

use std::mem::take;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::places::Places;
use super::problem::{Error, Problem, Source, escape};
use super::types::{Config, Victim};
use super::{doubts, files, levels, reader};

/// A good configuration, and where each value of it came from. Who only wants to act on it keeps `config` and drops
/// the rest.
#[derive(Debug)]
pub struct Loaded {
    /// The merged configuration.
    pub config: Config,
    pub(super) sources: Vec<Source>,
    /// So many of the sources, the first ones, are the machine's, of which only `[run]` counts: see [`load_run`].
    pub(super) machines: usize,
    /// The user's own file was left out, because this folder is somebody else's and may not be searched: see [`load_run`].
    pub kept_out_by: Option<PathBuf>,
    pub(super) origins: Origins,
}

impl Loaded {
    /// The files it was merged from, in order; none means that the built-in defaults apply.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.sources.iter().map(|s| s.path.as_path())
    }

    /// Regexes that can never match, or match every process, each with its place and what to write instead:
    /// `/etc/hogwatch/hogwatch.toml:7: victim.protect: "..." ...`.
    pub fn doubts(&self) -> Vec<String> {
        let Victim { protect, avoid, prefer, .. } = &self.config.victim;
        let lists = [("protect", protect), ("avoid", avoid), ("prefer", prefer)];
        let patterns = lists.into_iter().flat_map(|(key, list)| {
            let places = self.origins.all("victim", key);
            list.iter().zip(places).map(move |(pattern, place)| (key, pattern, place))
        });
        let doubts = patterns.filter_map(|(key, pattern, place)| {
            let doubt = doubts::doubt(pattern)?;
            Some(escape(&format!("{}: victim.{key}: {doubt}", self.place(place))))
        });
        doubts.chain(self.section_doubts()).collect()
    }

    /// The same about sections that were filled in and do nothing.
    fn section_doubts(&self) -> impl Iterator<Item = String> {
        let of = |section, key| self.origins.of(section, key);
        let said = doubts::sections(&self.config, |section, key| of(section, key).is_some());
        let globs = [
            ("livelock", &self.config.livelock.cgroups),
            ("cgroup_limits", &self.config.cgroup_limits.cgroups),
            ("pressure", &self.config.pressure.cgroups),
        ];
        let globs = globs.into_iter().filter(move |(section, _)| of(section, "cgroups").is_some());
        let globs = globs.flat_map(|(section, list)| {
            list.iter().filter_map(move |glob| Some((section, "cgroups", doubts::glob(glob)?)))
        });
        said.into_iter().chain(globs).filter_map(move |(section, key, doubt)| {
            Some(escape(&format!("{}: {section}.{key}: {doubt}", self.place(of(section, key)?))))
        })
    }

    /// `FILE:LINE` of where a key was set; none when it was not.
    pub fn place_of(&self, section: &'static str, key: &'static str) -> Option<String> {
        self.origins.of(section, key).map(|place| self.place(place))
    }

    /// `FILE:LINE` of where a value was set.
    pub(super) fn place(&self, place: &Place) -> String {
        let source = &self.sources[place.source];
        format!("{}:{}", escape(&source.path.to_string_lossy()), source.line(place.span.start))
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
            loader.add_drop_ins(file, |_| false);
        }
        (None, Some(file)) => {
            loader.add_found(files::read_if_there(file));
            loader.add_drop_ins(file, |_| false);
        }
        (None, None) => {}
    }
    loader.finish()
}

/// Loads what `hogwatch run` goes by: the machine's `[run]`, and over it the user's own configuration, whose exceptions
/// come first. Files of the machine that the user may not read are left out, and so is the user's own where it would be in
/// a folder of somebody else's that may not be searched ([`Loaded::kept_out_by`]). For root it is the same as [`load`].
///
/// # Errors
/// Everything wrong in any of the files, in all sections of them.
pub fn load_run(places: &Places) -> Result<Loaded, Error> {
    let mut loader = Loader::default();
    if let Some(machine) = &places.machine {
        if !files::is_forbidden(machine) {
            loader.add_found(files::read_if_there(machine));
        }
        loader.add_drop_ins(machine, files::is_forbidden);
    }
    loader.machines = loader.sources.len();
    // The other sections are about the machine's guard.
    loader.config = Config { run: loader.config.run, ..Config::default() };
    loader.origins.set.retain(|s| s.section == "run");
    let exceptions = take(&mut loader.config.run.overrides);
    let of_exceptions = loader.origins.set.extract_if(.., |s| s.key == "override").collect::<Vec<_>>();
    // HOME is another's after `su` without `-`, or in a container that sets no user's: no file of this user's is there.
    loader.kept_out_by = places.file.as_deref().and_then(files::kept_out_by).map(Path::to_owned);
    if let Some(own) = places.file.as_ref().filter(|_| loader.kept_out_by.is_none()) {
        loader.add_found(files::read_if_there(own));
        loader.add_drop_ins(own, |_| false);
    }
    loader.config.run.overrides.extend(exceptions);
    loader.origins.set.extend(of_exceptions);
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
    loader.add(Source { path: name.to_owned(), text: text.to_owned() });
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
struct Setting {
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
    pub(super) fn add(&mut self, section: &'static str, key: &'static str, place: Place) {
        self.set.push(Setting { section, key, place });
    }

    /// Where the items of a list were set, in its order.
    pub(super) fn all<'s>(&'s self, section: &'s str, key: &'s str) -> impl DoubleEndedIterator<Item = &'s Place> {
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
    machines: usize,
    kept_out_by: Option<PathBuf>,
    origins: Origins,
    problems: Error,
}

impl Loader {
    fn add_found(&mut self, found: Result<Option<Source>, Problem>) {
        match found {
            Ok(Some(source)) => self.add(source),
            Ok(None) => {}
            Err(problem) => self.problems.add(|| problem),
        }
    }

    /// Adds the drop-ins of a file, but for those that are `left_out`.
    fn add_drop_ins(&mut self, file: &Path, left_out: fn(&Path) -> bool) {
        if left_out(&files::folder_of_drop_ins(file)) {
            return;
        }
        let drop_ins: Vec<PathBuf> = match files::drop_ins(file) {
            Ok(drop_ins) => drop_ins,
            Err(problem) => return self.problems.add(|| problem),
        };
        for path in drop_ins.iter().filter(|path| !left_out(path)) {
            self.add_found(files::read(path).map(Some));
        }
    }

    /// Merges one file over what was read before.
    fn add(&mut self, source: Source) {
        let index = self.sources.len();
        reader::read(&source, index, &mut self.config, &mut self.origins, &mut self.problems);
        self.sources.push(source);
    }

    fn finish(mut self) -> Result<Loaded, Error> {
        if self.problems.is_empty() {
            levels::check(&mut self.config, &mut self.origins, &self.sources, &mut self.problems);
        }
        match self.problems.is_empty() {
            true => Ok(Loaded {
                config: self.config,
                sources: self.sources,
                machines: self.machines,
                kept_out_by: self.kept_out_by,
                origins: self.origins,
            }),
            false => Err(self.problems),
        }
    }
}
