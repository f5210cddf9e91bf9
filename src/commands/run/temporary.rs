//! `--temp-env`: paths of the run's own, so that parallel or successive runs never share a database.

use std::ffi::OsString;
use std::path::PathBuf;
use std::{env, fs, io};

/// A private directory (mode 0700), removed with all that was put into it when this is dropped.
#[derive(Debug)]
pub struct Temporary {
    dir: PathBuf,
    names: Vec<String>,
}

impl Temporary {
    /// Makes the directory in `$TMPDIR`, or `/tmp`; none when there is no name to give a path to.
    ///
    /// # Errors
    /// Those of `mkdtemp(3)`, with the place.
    pub fn new(names: &[String]) -> io::Result<Option<Self>> {
        if names.is_empty() {
            return Ok(None);
        }
        let within = env::temp_dir();
        let dir = nix::unistd::mkdtemp(&within.join("hogwatch-run-XXXXXX")).map_err(|e| {
            io::Error::other(format!(
                "no directory for --temp-env in {} ($TMPDIR, else /tmp): {}",
                within.display(),
                e.desc()
            ))
        })?;
        Ok(Some(Self { dir, names: names.to_vec() }))
    }

    /// The variables, each with a path at which nothing is yet.
    pub fn variables(&self) -> impl Iterator<Item = (&str, OsString)> {
        self.names.iter().map(|name| (name.as_str(), self.dir.join(name).into_os_string()))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // What goes on in the background may put something there while it is removed.
        if let Err(e) = fs::remove_dir_all(&self.dir) {
            super::say(format_args!("{} could not be removed: {e}", self.dir.display()));
        }
    }
}
