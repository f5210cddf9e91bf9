//! The file itself: replaced as a whole, so that whoever reads it reads one moment; removed with its writer.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg, OFlag};

/// Anybody may read it: node_exporter runs as a user of its own.
const MODE: u32 = 0o644;

/// A file that one daemon owns, by a lock on it: a dry run beside the guard, with the same configuration, must not
/// replace the guard's numbers by its own.
#[derive(Debug)]
pub(super) struct Textfile {
    path: PathBuf,
    /// Where the next one is written: in the same directory, for rename(2); not ending in `.prom`, for node_exporter
    /// reads all that do.
    unfinished: PathBuf,
    /// What was put at `path`, held open for the lock.
    current: Option<Flock<File>>,
}

impl Textfile {
    /// Nothing is written yet.
    pub fn new(path: PathBuf) -> Self {
        let mut name = std::ffi::OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(".new");
        Self { unfinished: path.with_file_name(name), path, current: None }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts a file with this text in place of the last one. Not synced: after a crash the numbers would be of no use.
    ///
    /// # Errors
    /// There is something else, or another daemon's file; or it can't be written. Then what was there stays.
    pub fn replace(&mut self, text: &str) -> io::Result<()> {
        self.may_replace()?;
        // What a daemon that was killed left half-written.
        match fs::remove_file(&self.unfinished) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC).bits())
            .open(&self.unfinished)?;
        let finished = self.finish(file, text);
        if finished.is_err() {
            let _ = fs::remove_file(&self.unfinished);
        }
        self.current = Some(finished?);
        Ok(())
    }

    fn finish(&self, mut file: File, text: &str) -> io::Result<Flock<File>> {
        file.write_all(text.as_bytes())?;
        // By chmod, whatever the umask.
        file.set_permissions(Permissions::from_mode(MODE))?;
        let file = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno)?;
        fs::rename(&self.unfinished, &self.path)?;
        Ok(file)
    }

    /// Whether what is there is ours, or nobody's.
    fn may_replace(&self) -> io::Result<()> {
        let there = match fs::symlink_metadata(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            there => there?,
        };
        if !there.is_file() {
            return Err(io::Error::new(ErrorKind::AlreadyExists, "it is there and is no regular file"));
        }
        if let Some(current) = &self.current {
            let ours = current.metadata()?;
            if (ours.dev(), ours.ino()) == (there.dev(), there.ino()) {
                return Ok(());
            }
        }
        let flags = OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(&self.path)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(_) => Ok(()),
            Err(_) => Err(io::Error::new(ErrorKind::ResourceBusy, "another daemon writes it")),
        }
    }
}

impl Drop for Textfile {
    fn drop(&mut self) {
        // Numbers that no longer change are worse than none. What can't be removed is found out by its age.
        if self.current.is_some() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use tempfile::{TempDir, tempdir};

    fn names(dir: &TempDir) -> Vec<String> {
        let entries = fs::read_dir(dir.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn it_is_replaced_as_a_whole_and_goes_with_its_writer() {
        let dir = tempdir().unwrap();
        let path = dir.path().join("x.prom");
        let mut file = Textfile::new(path.clone());
        file.replace("one\n").unwrap();
        let reader = File::open(&path).unwrap();
        file.replace("two\n").unwrap();
        assert_eq!(io::read_to_string(reader).unwrap(), "one\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o644);
        assert_eq!(names(&dir), ["x.prom"]);
        drop(file);
        assert_eq!(names(&dir), [""; 0]);
    }

    #[test]
    fn what_is_left_of_a_killed_daemon_is_taken_over() {
        let dir = tempdir().unwrap();
        let path = dir.path().join("x.prom");
        fs::write(&path, "stale").unwrap();
        fs::write(dir.path().join(".x.prom.new"), "half").unwrap();
        let mut file = Textfile::new(path.clone());
        file.replace("new\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new\n");
        assert_eq!(names(&dir), ["x.prom"]);
    }

    #[test]
    fn a_link_where_the_next_one_is_written_leads_nowhere() {
        let dir = tempdir().unwrap();
        let precious = dir.path().join("precious");
        fs::write(&precious, "precious").unwrap();
        symlink(&precious, dir.path().join(".x.prom.new")).unwrap();
        Textfile::new(dir.path().join("x.prom")).replace("new\n").unwrap();
        assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    }

    #[test]
    fn what_is_no_regular_file_stays() {
        let dir = tempdir().unwrap();
        let (link, subdir) = (dir.path().join("link.prom"), dir.path().join("dir.prom"));
        symlink("/dev/null", &link).unwrap();
        fs::create_dir(&subdir).unwrap();
        for path in [link, subdir] {
            let mut file = Textfile::new(path.clone());
            assert_eq!(file.replace("x").unwrap_err().to_string(), "it is there and is no regular file");
            drop(file);
            assert!(path.symlink_metadata().is_ok());
        }
        assert_eq!(names(&dir).len(), 2);
    }

    #[test]
    fn one_daemon_writes_it() {
        let dir = tempdir().unwrap();
        let path = dir.path().join("x.prom");
        let (mut first, mut second) = (Textfile::new(path.clone()), Textfile::new(path.clone()));
        first.replace("first\n").unwrap();
        assert_eq!(second.replace("second\n").unwrap_err().to_string(), "another daemon writes it");
        first.replace("first again\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "first again\n");
        drop(first);
        second.replace("second\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "second\n");
    }

    #[test]
    fn a_failed_attempt_leaves_what_was_there() {
        let dir = tempdir().unwrap();
        let mut file = Textfile::new(dir.path().join("missing/x.prom"));
        assert_eq!(file.replace("x").unwrap_err().kind(), ErrorKind::NotFound);
        fs::create_dir(dir.path().join("missing")).unwrap();
        file.replace("x").unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("missing/x.prom")).unwrap(), "x");
    }
}
