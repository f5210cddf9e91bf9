//! Finds incident files and reads them, whatever is in them.
//!
//! A file may come from another machine, or be half of one. What can't be read is an error that says which file, what
//! was found, what was expected and what to do; the others are read all the same. Every text that was read is one
//! harmless line: control characters in it are escaped again, because nobody knows who wrote the file.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use serde_json::Value as Json;

use super::advice::quoted;
use super::schema::{Incident, SCHEMA};
use crate::report::{Escaped, Local};

/// The largest file that is read, in bytes. hogwatch writes less than a tenth of it.
pub const MAX_FILE_BYTES: u64 = 4 << 20;

/// The most files of one folder that are looked at: twice what `recorder.incidents` can ask for.
pub const MAX_FILES: usize = 200_000;

/// Below the state directory.
const FOLDER: &str = "incidents";

/// Why an incident can't be had.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No file is meant.
    #[error("no incident {which}: `hogwatch incidents{option}` lists those there are")]
    NoSuch {
        /// What was asked for.
        which: String,
        /// [`Archive::option`].
        option: String,
    },
    /// Several are meant.
    #[error("{prefix} begins several ids: {}; write more of it", ids.join(", "))]
    Ambiguous {
        /// What was asked for.
        prefix: String,
        /// The first of those it could be.
        ids: Vec<String>,
    },
    /// A folder or file that can't be read.
    #[error("{}: {what}", shown(.path))]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why, and what to do.
        what: String,
    },
    /// A file that is no incident.
    #[error("{}: {what}", shown(.path))]
    Bad {
        /// Which.
        path: PathBuf,
        /// What is wrong, and what was expected.
        what: String,
    },
}

fn shown(path: &Path) -> String {
    Escaped(path.as_os_str().as_encoded_bytes()).to_string()
}

/// An incident that was read.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// From where.
    pub path: PathBuf,
    /// What it says; texts are harmless.
    pub incident: Incident,
    /// The whole document, with keys that this version does not know.
    pub document: Json,
}

/// Folders of incident files.
#[derive(Clone, Debug)]
pub struct Archive {
    folders: Vec<PathBuf>,
    /// It was asked for by name.
    dir: Option<PathBuf>,
}

/// What is in an archive, and what could not be read.
#[derive(Debug, Default)]
pub struct Listing {
    /// The files, in no order.
    pub files: Vec<PathBuf>,
    /// Folders that can't be read, one at most being missing.
    pub problems: Vec<LoadError>,
}

impl Archive {
    /// The files of one folder: of a state directory, or of any other with incident files in it.
    #[must_use]
    pub fn at(dir: &Path) -> Self {
        let inside = dir.join(FOLDER);
        let folder = if inside.is_dir() { inside } else { dir.to_owned() };
        Self { folders: vec![folder], dir: Some(dir.to_owned()) }
    }

    /// Those of a guard whose state directory is `own`, and the system's where that is another. One that does not exist
    /// is left out, unless none does.
    #[must_use]
    pub fn of(own: Option<&Path>, system: &Path) -> Self {
        let states: Vec<&Path> = own.into_iter().chain((own != Some(system)).then_some(system)).collect();
        // What may not even be looked at is there.
        let is_there =
            |state: &&Path| !matches!(state.symlink_metadata(), Err(e) if e.kind() == io::ErrorKind::NotFound);
        let there: Vec<&Path> = states.iter().copied().filter(|state| is_there(state)).collect();
        let folders = if there.is_empty() { vec![system] } else { there };
        Self { folders: folders.into_iter().map(|state| state.join(FOLDER)).collect(), dir: None }
    }

    /// The option that a command needs to look here too, after a blank; empty where each looks by itself.
    #[must_use]
    pub fn option(&self) -> String {
        let dir = self.dir.as_deref().map(|dir| quoted(&shown(dir)));
        dir.map_or_else(String::new, |dir| format!(" --dir {dir}"))
    }

    /// All files that can be incidents.
    #[must_use]
    pub fn files(&self) -> Listing {
        let mut listing = Listing::default();
        for folder in &self.folders {
            match files_of(folder) {
                Ok(files) => listing.files.extend(files),
                Err(error) => listing.problems.push(error),
            }
        }
        listing
    }

    /// The incident that is meant by an id, the beginning of one, `latest`, or the path of a file (with a `/`, or ending
    /// with `.json`).
    ///
    /// # Errors
    /// There is none, or several; or its file can't be read.
    pub fn load(&self, which: &str) -> Result<Loaded, LoadError> {
        if which.contains('/') || which.ends_with(".json") {
            return load_file(Path::new(which), Link::Follow);
        }
        let Listing { files, mut problems } = self.files();
        if which == "latest" {
            let loaded = files.iter().filter_map(|path| load_file(path, Link::Refuse).ok());
            let latest = loaded.max_by(|a, b| by_time(&a.incident, &b.incident));
            let nothing = || problems.pop().unwrap_or(self.no_such("was ever kept".to_owned()));
            return latest.ok_or_else(nothing);
        }
        let id = |path: &Path| path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        let exact = files.iter().find(|path| id(path) == which);
        let meant: Vec<&PathBuf> = match exact {
            Some(path) => vec![path],
            None => files.iter().filter(|path| !which.is_empty() && id(path).starts_with(which)).collect(),
        };
        // Whoever copied a file here may have given it another name.
        let renamed: Vec<&PathBuf> = if meant.is_empty() && !which.is_empty() {
            let is_meant =
                |path: &&PathBuf| load_file(path, Link::Refuse).is_ok_and(|l| l.incident.id.starts_with(which));
            files.iter().filter(is_meant).collect()
        } else {
            Vec::new()
        };
        let meant = if meant.is_empty() { renamed } else { meant };
        match meant.as_slice() {
            [path] => load_file(path, Link::Refuse),
            [] => Err(problems.pop().unwrap_or_else(|| self.no_such(Escaped(which.as_bytes()).to_string()))),
            several => {
                /// As many as fit a line.
                const SHOWN: usize = 3;
                let mut ids: Vec<String> =
                    several.iter().map(|path| Escaped(id(path).as_bytes()).to_string()).collect();
                ids.sort();
                let more = ids.len().saturating_sub(SHOWN);
                ids.truncate(SHOWN);
                ids.extend((more > 0).then(|| format!("… ({more} more)")));
                Err(LoadError::Ambiguous { prefix: Escaped(which.as_bytes()).to_string(), ids })
            }
        }
    }
}

impl Archive {
    fn no_such(&self, which: String) -> LoadError {
        LoadError::NoSuch { which, option: self.option() }
    }
}

/// By when they began; of those that began together, by id.
#[must_use]
pub fn by_time(a: &Incident, b: &Incident) -> std::cmp::Ordering {
    a.begin_ms.cmp(&b.begin_ms).then_with(|| a.id.cmp(&b.id))
}

fn files_of(folder: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let unreadable = |what: String| LoadError::Unreadable { path: folder.to_owned(), what };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        // A guard that has seen no incident yet has no folder for them.
        Err(e) if e.kind() == io::ErrorKind::NotFound && folder.ends_with(FOLDER) => {
            let state = folder.parent().unwrap_or(folder);
            return match state.symlink_metadata() {
                Ok(_) => Ok(Vec::new()),
                Err(e) => Err(LoadError::Unreadable { path: state.to_owned(), what: why_not(&e, Kind::State) }),
            };
        }
        Err(e) => return Err(unreadable(why_not(&e, Kind::Folder))),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| unreadable(format!("can't be read to its end: {e}")))?.path();
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        // A dot file is one that is being written.
        if name.ends_with(b".json") && !name.starts_with(b".") {
            files.push(path);
        }
        if files.len() > MAX_FILES {
            return Err(unreadable(format!(
                "more than {MAX_FILES} files; expected a folder of incidents (move some elsewhere, or name one file by its path)"
            )));
        }
    }
    Ok(files)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    State,
    Folder,
    File,
}

fn why_not(error: &io::Error, kind: Kind) -> String {
    match (error.kind(), kind) {
        (io::ErrorKind::PermissionDenied, _) => {
            "may not be read: a system's incidents are for root and members of the group hogwatch (use sudo, or \
             `usermod -aG hogwatch USER` and log in anew)"
                .to_owned()
        }
        (io::ErrorKind::NotFound, Kind::State) => {
            "there is no such directory: no hogwatch daemon has kept its state here (`systemctl status hogwatch`; --dir \
             names another place)"
                .to_owned()
        }
        (io::ErrorKind::NotFound, Kind::Folder) => "there is no such directory".to_owned(),
        (io::ErrorKind::NotFound, Kind::File) => "there is no such file".to_owned(),
        (io::ErrorKind::NotADirectory, _) => "not a directory; expected a folder of incident files".to_owned(),
        _ => format!("can't be read: {error}"),
    }
}

/// Whether a symbolic link leads to an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// In a folder of hogwatch's: it writes none, so somebody else put it there.
    Refuse,
    /// Where a person names a file.
    Follow,
}

/// Reads one file.
///
/// # Errors
/// It can't be read, is no regular file, is larger than [`MAX_FILE_BYTES`], or is no incident of this version.
pub fn load_file(path: &Path, link: Link) -> Result<Loaded, LoadError> {
    let bytes = read(path, link)?;
    let bad = |what: String| LoadError::Bad { path: path.to_owned(), what };
    let (incident, document) = parse(&bytes).map_err(bad)?;
    Ok(Loaded { path: path.to_owned(), incident, document })
}

/// Reads an incident from what a file holds.
///
/// # Errors
/// What is wrong with it, and what was expected.
pub fn parse(bytes: &[u8]) -> Result<(Incident, Json), String> {
    if bytes.is_empty() {
        return Err("empty; expected an incident in JSON (was the disk full when it was written?)".to_owned());
    }
    let document: Json = serde_json::from_slice(bytes).map_err(|e| {
        let cut = if e.is_eof() { "cut short" } else { "not JSON" };
        format!("{cut} ({}); expected an incident file of hogwatch's", Escaped(e.to_string().as_bytes()))
    })?;
    match document.get("schema").map(Json::as_u64) {
        None if document.is_object() => {
            return Err("no \"schema\" in it; expected an incident file of hogwatch's".into());
        }
        None | Some(None) => return Err(format!("no incident: expected an object with \"schema\": {SCHEMA}")),
        Some(Some(schema)) if schema > u64::from(SCHEMA) => {
            return Err(format!(
                "schema {schema}; this version reads {SCHEMA}: it was written by a later hogwatch, update this one"
            ));
        }
        Some(Some(schema)) if schema < u64::from(SCHEMA) => return Err(format!("schema {schema}; expected {SCHEMA}")),
        Some(Some(_)) => {}
    }
    let mut harmless = document.clone();
    escape(&mut harmless);
    serde_json::from_value(harmless).map(|incident| (incident, document)).map_err(|e| {
        // Read once more for the line, which a document in memory has not.
        let e = serde_json::from_slice::<Incident>(bytes).err().unwrap_or(e);
        format!("no incident: {}", Escaped(e.to_string().as_bytes()))
    })
}

/// Makes every text one harmless line.
fn escape(value: &mut Json) {
    match value {
        Json::String(text) => *text = Escaped(text.as_bytes()).to_string(),
        Json::Array(values) => values.iter_mut().for_each(escape),
        Json::Object(map) => map.values_mut().for_each(escape),
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

fn read(path: &Path, link: Link) -> Result<Vec<u8>, LoadError> {
    let unreadable = |what: String| LoadError::Unreadable { path: path.to_owned(), what };
    let bad = |what: String| LoadError::Bad { path: path.to_owned(), what };
    let follow = if link == Link::Refuse { OFlag::O_NOFOLLOW } else { OFlag::empty() };
    // A fifo must not make us wait for its writer.
    let flags = (follow | OFlag::O_NONBLOCK).bits();
    let file: File = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|e| {
        match e.raw_os_error() {
            Some(libc::ELOOP) => {
                bad("a symbolic link; expected a file that hogwatch wrote (name what it points to)".into())
            }
            // A socket.
            Some(libc::ENXIO) => bad("no regular file; expected an incident file".into()),
            _ => unreadable(why_not(&e, Kind::File)),
        }
    })?;
    let metadata = file.metadata().map_err(|e| unreadable(why_not(&e, Kind::File)))?;
    let kind = metadata.file_type();
    if !kind.is_file() {
        let what = match () {
            () if kind.is_dir() => "a directory",
            () if kind.is_fifo() => "a fifo",
            () => "no regular file",
        };
        return Err(bad(format!("{what}; expected an incident file")));
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|e| unreadable(format!("can't be read: {e}")))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        let limit = crate::report::Size(MAX_FILE_BYTES);
        return Err(bad(format!("larger than {limit}; no incident of hogwatch's is")));
    }
    Ok(bytes)
}

/// When an incident began, for people.
#[must_use]
pub fn began(incident: &Incident) -> Local {
    Local::at_ms(incident.begin_ms)
}
