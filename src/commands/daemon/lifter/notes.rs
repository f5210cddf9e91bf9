//! Notes on what was lifted, in the runtime directory: what a daemon that was killed leaves to the next one.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A note is a path of 4 KiB at most, a unit's name and two paths more.
const MOST_BYTES: u64 = 32 * 1024;

/// One lift.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// Of `/proc/sys/kernel/random/boot_id`: limits do not outlive a boot.
    pub boot: String,
    /// The cgroup's path below the cgroup root.
    pub cgroup: PathBuf,
    /// Its inode: a cgroup made anew under the old name is another one.
    pub inode: u64,
    /// `memory.high` before, in bytes. It was set to `max`.
    pub high: u64,
    /// What systemd knows of it; none where the limit is not systemd's.
    pub unit: Option<Unit>,
}

/// A unit whose limit was lifted through systemd.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// Its name.
    pub name: String,
    /// Where systemd may have written the lifted limit down, of those files that were not there before.
    pub drop_ins: Vec<PathBuf>,
}

/// The folder of notes, a file each.
#[derive(Clone, Debug)]
pub struct Notes(PathBuf);

impl Notes {
    /// The folder below a runtime directory. It is made with the first note.
    #[must_use]
    pub fn below(runtime: &Path) -> Self {
        Self(runtime.join("lift"))
    }

    /// Writes a note, or replaces it: whole or not at all, and on its way to the disk where the directory is on one.
    ///
    /// # Errors
    /// The folder or the file can't be written, or the cgroup's path is no UTF-8.
    pub fn keep(&self, note: &Note) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        let new = self.0.join(format!("{}.new", note.inode));
        let text = serde_json::to_vec_pretty(note)?;
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(&new, self.file(note.inode))?;
        File::open(&self.0)?.sync_all()
    }

    /// Removes the note on a cgroup.
    ///
    /// # Errors
    /// Those of `unlink(2)`; one that is not there is none.
    pub fn drop(&self, inode: u64) -> io::Result<()> {
        match std::fs::remove_file(self.file(inode)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    /// Whether there is anything that looks like a note.
    #[must_use]
    pub fn are_there(&self) -> bool {
        std::fs::read_dir(&self.0).is_ok_and(|mut entries| entries.next().is_some())
    }

    /// All notes that were left, in no order. One that can't be read is removed, and the reason given: it would be in the
    /// way at every start.
    #[must_use]
    pub fn left(&self) -> Vec<Result<Note, String>> {
        let Ok(entries) = std::fs::read_dir(&self.0) else { return Vec::new() };
        let files = entries.flatten().map(|entry| entry.path());
        files.filter_map(|file| self.read(&file).transpose()).collect()
    }

    fn read(&self, file: &Path) -> Result<Option<Note>, String> {
        let note = match file.extension().and_then(OsStr::to_str) {
            Some("json") => parse(file).map(Some),
            // The daemon ended before it was whole, and so before anything was lifted.
            _ => Ok(None),
        };
        if !matches!(note, Ok(Some(_))) {
            let _ = std::fs::remove_file(file);
        }
        note.map_err(|why| format!("the note {} was dropped: {why}", file.display()))
    }

    fn file(&self, inode: u64) -> PathBuf {
        self.0.join(format!("{inode}.json"))
    }
}

fn parse(file: &Path) -> Result<Note, String> {
    use std::io::Read;
    let mut text = String::new();
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(file);
    let read = opened.and_then(|file| file.take(MOST_BYTES).read_to_string(&mut text));
    read.map_err(|e| format!("it can't be read: {e}"))?;
    serde_json::from_str(&text).map_err(|e| format!("it is damaged: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn note(inode: u64) -> Note {
        Note {
            boot: "7c4b".to_owned(),
            cgroup: PathBuf::from("/system.slice/a\n\"b\".service"),
            inode,
            high: u64::MAX / 4096 * 4096,
            unit: Some(Unit {
                name: "a.service".to_owned(),
                drop_ins: vec![PathBuf::from("/run/x/50-MemoryHigh.conf")],
            }),
        }
    }

    #[test]
    fn kept_replaced_found_again_and_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let notes = Notes::below(dir.path());
        assert!(!notes.are_there());
        assert_eq!(notes.left(), []);
        notes.drop(1).unwrap();
        notes.keep(&note(1)).unwrap();
        let replaced = Note { unit: None, ..note(1) };
        notes.keep(&replaced).unwrap();
        notes.keep(&note(2)).unwrap();
        assert!(notes.are_there());
        let mut left: Vec<_> = notes.left().into_iter().map(Result::unwrap).collect();
        left.sort_by_key(|note| note.inode);
        assert_eq!(left, [replaced, note(2)]);
        notes.drop(1).unwrap();
        notes.drop(2).unwrap();
        assert!(!notes.are_there());
    }

    #[test]
    fn what_is_no_note_is_said_once_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let notes = Notes::below(dir.path());
        notes.keep(&note(1)).unwrap();
        let at = |name: &str| dir.path().join("lift").join(name);
        std::fs::write(at("2.json"), "{\"boot\": 1").unwrap();
        std::fs::write(at("3.json"), "").unwrap();
        std::fs::write(at("4.new"), "half a no").unwrap();
        std::os::unix::fs::symlink("1.json", at("5.json")).unwrap();
        let (good, bad): (Vec<_>, Vec<_>) = notes.left().into_iter().partition(Result::is_ok);
        assert_eq!(good, [Ok(note(1))]);
        assert_eq!(bad.len(), 3, "{bad:?}");
        assert!(bad.iter().all(|why| why.as_ref().unwrap_err().contains("was dropped")), "{bad:?}");
        assert_eq!(notes.left(), [Ok(note(1))]);
        assert_eq!(std::fs::read_dir(dir.path().join("lift")).unwrap().count(), 1);
    }

    #[test]
    fn a_path_that_is_no_text_is_refused_before_anything_happens() {
        use std::os::unix::ffi::OsStrExt;
        let dir = tempfile::tempdir().unwrap();
        let notes = Notes::below(dir.path());
        let odd = Note { cgroup: PathBuf::from(OsStr::from_bytes(b"/a\xff")), ..note(1) };
        assert!(notes.keep(&odd).is_err());
        assert!(!notes.are_there());
    }
}
