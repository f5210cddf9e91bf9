//! The files on disk: each is there as a whole or not at all, and all together are bounded.
//!
//! The state directory is opened anew for every file: it may be replaced, or come and go with a disk, while the daemon runs.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{Mode, fstat, fstatat, mkdirat};
use nix::unistd::{Gid, UnlinkatFlags, fchown, unlinkat};

use super::super::incident::schema::{Incident, SCHEMA};
use super::super::time::Utc;

/// Where the incidents are, below the state directory.
pub const INCIDENTS: &str = "incidents";

/// What is known of the incident under way.
pub const CURRENT: &str = "current.json";

/// A [`CURRENT`] that was no use, out of the way and kept for whoever wants to look.
pub const SET_ASIDE: &str = "current.json.bad";

/// All incident files together: two hundred of the usual 100 KiB and as much again, and a share of a small root disk that
/// nobody misses.
const MOST_BYTES: u64 = 64 << 20;

/// A longer file is none of ours: those are cut to size before they are written (see `story`).
const MOST_FILE_BYTES: u64 = 4 << 20;

/// The beginning of a file holds its state: `schema`, `id`, `kind` and `cause` come before it, all of them short.
const HEAD_BYTES: usize = 512;

/// How that state is written while what followed is not known.
const OPEN: &str = r#""state":"open""#;

/// The kind of an incident in which only somebody else killed: as the file's beginning has it.
const BY_OTHERS: [&str; 2] = [r#""kind":"kernel_oom""#, r#""kind":"oomd_kill""#];

/// A buffer of the size of two pages: a file is a hundred KiB, written in small pieces.
const BUFFER: usize = 8 * 1024;

/// The directories to write to.
#[derive(Debug)]
pub struct Store {
    state: PathBuf,
}

/// What is in place of [`CURRENT`].
#[derive(Debug)]
pub enum Found {
    /// Nothing: the run before ended in good order.
    Nothing,
    /// An incident that nobody ended.
    Incident(Box<Incident>),
    /// Something else; what, in words.
    Bad(String),
}

impl Store {
    /// Nothing is made or opened yet.
    pub fn new(state: PathBuf) -> Self {
        Self { state }
    }

    /// The first second from `start` on of which no incident is there: ids are made of it, and a clock that begins at the
    /// same date at every boot would give those of an earlier run again.
    pub fn free_start(&self, start: SystemTime) -> SystemTime {
        let runs: Vec<String> = entries(&self.state.join(INCIDENTS))
            .filter_map(|(name, _)| id_of(&name)?.rsplit_once('-').map(|(run, _)| run.to_owned()))
            .collect();
        let is_taken = |start: SystemTime| runs.contains(&Utc::at(start).compact().to_string());
        let mut free = start;
        while is_taken(free) {
            free += Duration::from_secs(1);
        }
        free
    }

    /// Reads an incident back; `None` when there is no such file.
    pub fn load(&self, id: &str) -> Result<Option<Incident>, String> {
        let name = file_name(id);
        let path = self.state.join(INCIDENTS).join(&name);
        match self.incidents(false).and_then(|folder| read(&folder, &name)) {
            Ok(incident) => Ok(Some(incident)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(format!("{} can't be read: {e}", path.display())),
        }
    }

    /// Writes an incident in place of what was known of it before. The directory is made if need be.
    pub fn save(&self, incident: &Incident) -> Result<(), String> {
        let name = file_name(&incident.id);
        let wrote = self.incidents(true).and_then(|folder| replace(&folder, &name, incident));
        wrote.map_err(|e| format!("{} can't be written: {e}", self.state.join(INCIDENTS).join(&name).display()))
    }

    /// Writes what is known of the incident under way.
    pub fn save_current(&self, incident: &Incident) -> Result<(), String> {
        let wrote = self.state(true).and_then(|folder| replace(&folder, CURRENT, incident));
        wrote.map_err(|e| format!("{} can't be written: {e}", self.state.join(CURRENT).display()))
    }

    /// Takes [`CURRENT`] away; that there is none is no error.
    pub fn remove_current(&self) -> Result<(), String> {
        let removed = self.state(false).and_then(|folder| {
            unlinkat(&folder, CURRENT, UnlinkatFlags::NoRemoveDir)?;
            Ok(nix::unistd::fsync(&folder)?)
        });
        match removed {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                Err(format!("{} can't be removed: {e}", self.state.join(CURRENT).display()))
            }
            _ => Ok(()),
        }
    }

    /// What a run before left. What is no incident is out of the way afterwards.
    pub fn take_current(&self) -> Found {
        let path = self.state.join(CURRENT);
        let folder = match self.state(false) {
            Ok(folder) => folder,
            Err(e) if e.kind() == ErrorKind::NotFound => return Found::Nothing,
            Err(e) => return Found::Bad(e.to_string()),
        };
        let why = match read(&folder, CURRENT) {
            Ok(incident) => return Found::Incident(Box::new(incident)),
            Err(e) if e.kind() == ErrorKind::NotFound => return Found::Nothing,
            Err(e) => e,
        };
        let then = match renameat(&folder, CURRENT, &folder, SET_ASIDE) {
            Ok(()) => format!("set aside as {SET_ASIDE}"),
            Err(e) => format!("and it can't be set aside: {}", e.desc()),
        };
        Found::Bad(format!("{} is not what an earlier run would have left, {then}: {why}", path.display()))
    }

    /// Removes what a crash left half-written.
    pub fn clear_half_written(&self) {
        for folder in [self.state.clone(), self.state.join(INCIDENTS)] {
            for (name, _) in entries(&folder) {
                if name.starts_with('.') && name.ends_with(NEW) {
                    // One that stays is in nobody's way but its own: the next file of this name removes it first.
                    let _ = fs::remove_file(folder.join(&name));
                }
            }
        }
    }

    /// The ids of the files that say of themselves that something is still to come.
    pub fn open_ids(&self) -> Vec<String> {
        let folder = self.state.join(INCIDENTS);
        let is_open = |name: &str| begins_with(&folder.join(name), &[OPEN]);
        let mut ids: Vec<String> = entries(&folder)
            .filter(|(name, _)| is_open(name))
            .filter_map(|(name, _)| id_of(&name).map(str::to_owned))
            .collect();
        ids.sort_unstable();
        ids
    }

    /// Removes the oldest files until there are `most` at most and they fit in [`MOST_BYTES`]; never that of `spared`. While
    /// more than half of them are of kills by others, those go first: a container that fails again and again, or a user
    /// with limits of his own, is not to push out what hogwatch did.
    ///
    /// A file dated in the future was written while the clock was wrong; nobody knows how old it is, so it goes before all.
    pub fn prune(&self, most: usize, spared: &str) {
        let folder = self.state.join(INCIDENTS);
        let now = SystemTime::now();
        let mut files: Vec<(bool, SystemTime, u64, String)> = entries(&folder)
            .filter(|(name, _)| id_of(name).is_some())
            .filter_map(|(name, meta)| {
                let written = meta.modified().ok()?;
                Some((written <= now, written, meta.len(), name))
            })
            .collect();
        let (mut number, mut bytes) = (files.len(), files.iter().map(|file| file.2).sum::<u64>());
        let fits = |number: usize, bytes: u64| number <= most && bytes <= MOST_BYTES;
        if fits(number, bytes) {
            return;
        }
        files.sort_unstable();
        let by_others = |name: &str| begins_with(&folder.join(name), &BY_OTHERS);
        let mut kept: Vec<_> = files.into_iter().map(|file| (by_others(&file.3), file)).collect();
        let mut others = kept.iter().filter(|(by_others, _)| *by_others).count();
        kept.retain(|(_, file)| id_of(&file.3) != Some(spared));
        while !fits(number, bytes) && !kept.is_empty() {
            let too_many = others > number / 2;
            let goes_first = |(by_others, file): &(bool, (bool, _, _, _))| !file.0 || !too_many || *by_others;
            let (is_others, (_, _, size, name)) = kept.remove(kept.iter().position(goes_first).unwrap_or(0));
            if fs::remove_file(folder.join(name)).is_ok() {
                number -= 1;
                bytes -= size;
                others -= usize::from(is_others);
            }
        }
    }

    fn state(&self, make: bool) -> io::Result<OwnedFd> {
        if make {
            DirBuilder::new().recursive(true).mode(0o750).create(&self.state)?;
        }
        let opened = OpenOptions::new().read(true).custom_flags(FOLDER.bits()).open(&self.state);
        opened.map(OwnedFd::from).map_err(|e| match fs::symlink_metadata(&self.state) {
            Ok(meta) if meta.is_symlink() => is_link(&self.state),
            _ => e,
        })
    }

    fn incidents(&self, make: bool) -> io::Result<OwnedFd> {
        let state = self.state(make)?;
        if make {
            match mkdirat(&state, INCIDENTS, Mode::from_bits_truncate(0o750)) {
                // As with the files: to the group that may read the state directory.
                Ok(()) => drop(nix::unistd::fchownat(&state, INCIDENTS, None, group(&state), AtFlags::empty())),
                Err(nix::errno::Errno::EEXIST) => {}
                Err(e) => return Err(e.into()),
            }
        }
        openat(&state, INCIDENTS, FOLDER, Mode::empty()).map_err(|e| {
            let path = self.state.join(INCIDENTS);
            if fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_symlink()) { is_link(&path) } else { e.into() }
        })
    }
}

/// A directory itself, never where a link points.
const FOLDER: OFlag = OFlag::O_DIRECTORY.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// What a file's name ends in while it is being written; it begins with a dot then.
const NEW: &str = ".json.new";

/// `ID.json`.
fn file_name(id: &str) -> String {
    format!("{id}.json")
}

/// The id of an incident, from the name of its file: `20260728T031502Z-3` and the like; what else lies in the directory is
/// left alone.
fn id_of(name: &str) -> Option<&str> {
    let id = name.strip_suffix(".json")?;
    let (run, number) = id.rsplit_once('-')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    let (day, time) = run.strip_suffix('Z')?.split_once('T')?;
    (digits(day) && digits(time) && digits(number)).then_some(id)
}

fn is_link(path: &Path) -> io::Error {
    io::Error::other(format!(
        "{} is a symbolic link, which is not followed; put a directory in its place, or name one by STATE_DIRECTORY=",
        path.display()
    ))
}

/// Regular files in a directory; none when it can't be read.
fn entries(folder: &Path) -> impl Iterator<Item = (String, fs::Metadata)> {
    fs::read_dir(folder).into_iter().flatten().flatten().filter_map(|entry| {
        // Not followed: the metadata of a symbolic link is its own.
        let meta = entry.metadata().ok().filter(fs::Metadata::is_file)?;
        Some((entry.file_name().into_string().ok()?, meta))
    })
}

/// Whether the beginning of a file has one of these in it.
fn begins_with(path: &Path, one_of: &[&str]) -> bool {
    let file = OpenOptions::new().read(true).custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits()).open(path);
    let mut head = Vec::with_capacity(HEAD_BYTES);
    file.and_then(|file| file.take(HEAD_BYTES as u64).read_to_end(&mut head)).is_ok()
        && one_of.iter().any(|part| head.windows(part.len()).any(|window| window == part.as_bytes()))
}

fn group(folder: &OwnedFd) -> Option<Gid> {
    fstat(folder).ok().map(|stat| Gid::from_raw(stat.st_gid))
}

/// Reads an incident from a regular file of a sane size.
fn read(folder: &OwnedFd, name: &str) -> io::Result<Incident> {
    let refused = |what: &str| Err(io::Error::other(what.to_owned()));
    let there = fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    match there.st_mode & libc::S_IFMT {
        libc::S_IFREG => {}
        libc::S_IFLNK => return refused("it is a symbolic link, which is not followed"),
        _ => return refused("it is no regular file"),
    }
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = File::from(openat(folder, name, flags, Mode::empty())?);
    let size = file.metadata()?.len();
    if size > MOST_FILE_BYTES {
        return refused(&format!("it has {size} bytes, more than the {MOST_FILE_BYTES} that an incident may have"));
    }
    let incident: Incident = serde_json::from_reader(BufReader::with_capacity(BUFFER, file.take(MOST_FILE_BYTES)))
        .map_err(|e| io::Error::other(format!("it holds no incident: {e}")))?;
    match incident.schema {
        SCHEMA => Ok(incident),
        other => refused(&format!("it is of schema {other}, this version knows {SCHEMA}")),
    }
}

/// Writes a file under another name, then gives it its own: a crash leaves the old one or the new one.
fn replace(folder: &OwnedFd, name: &str, incident: &Incident) -> io::Result<()> {
    // In the middle of what ends it: `.ID.json.new`.
    let new = format!(".{name}.new");
    match unlinkat(folder, new.as_str(), UnlinkatFlags::NoRemoveDir) {
        Err(e) if e != nix::errno::Errno::ENOENT => return Err(e.into()),
        _ => {}
    }
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file = File::from(openat(folder, new.as_str(), flags, Mode::from_bits_truncate(0o640))?);
    let wrote = fill(file, folder, incident)
        .and_then(|()| Ok(renameat(folder, new.as_str(), folder, name)?))
        .and_then(|()| Ok(nix::unistd::fsync(folder)?));
    if wrote.is_err() {
        let _ = unlinkat(folder, new.as_str(), UnlinkatFlags::NoRemoveDir);
    }
    wrote
}

fn fill(file: File, folder: &OwnedFd, incident: &Incident) -> io::Result<()> {
    // To the group that may read the directory; who is not in it keeps its own.
    let _ = fchown(&file, None, group(folder));
    let mut to = BufWriter::with_capacity(BUFFER, file);
    serde_json::to_writer(&mut to, incident)?;
    to.write_all(b"\n")?;
    to.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_has_ids_of_its_own() {
        let state = tempfile::tempdir().unwrap();
        let store = Store::new(state.path().to_owned());
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(store.free_start(at(1)), at(1), "no directory");
        fs::create_dir(state.path().join(INCIDENTS)).unwrap();
        for name in ["19700101T000001Z-3.json", "19700101T000002Z-0.json", "19700101T000004Z-1.json"] {
            fs::write(state.path().join(INCIDENTS).join(name), "").unwrap();
        }
        assert_eq!([0, 1, 2, 3, 4].map(|start| store.free_start(at(start))), [0, 3, 3, 3, 5].map(at));
    }

    #[test]
    fn ids_are_told_from_other_names() {
        for (name, id) in [
            ("20260728T031502Z-3.json", Some("20260728T031502Z-3")),
            ("20260728T031502Z-0.json", Some("20260728T031502Z-0")),
            (".20260728T031502Z-3.json.new", None),
            ("20260728T031502Z-3.json.new", None),
            ("notes.json", None),
            ("a-b-3.json", None),
            ("20260728T031502Z-.json", None),
            ("20260728T031502Z-3", None),
        ] {
            assert_eq!(id_of(name), id, "{name}");
        }
    }
}
