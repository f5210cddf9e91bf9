//! Reads small files below one root, and remembers what could not be read.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::Unseen;

/// No file that is read here is longer, but for a kernel's command line nobody would write.
const MOST_BYTES: u64 = 256 * 1024;

/// So many are named; a plain user misses the same thing of a thousand processes.
const MOST_UNSEEN: usize = 50;

/// Reads files by their path on a real machine, below `root`.
#[derive(Debug)]
pub struct Reader {
    root: PathBuf,
    unseen: Vec<Unseen>,
}

impl Reader {
    /// Of the tree below `root`: `/`, or a fixture.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), unseen: Vec::new() }
    }

    /// Where an absolute path of the real machine is in this tree.
    #[must_use]
    pub fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Whether there is something of this name. What may not be looked at is not there.
    #[must_use]
    pub fn exists(&self, path: &str) -> bool {
        self.at(path).symlink_metadata().is_ok()
    }

    /// A file's text; `None` where there is none. What is no UTF-8 is replaced, what is longer than 256 KiB cut.
    ///
    /// # Errors
    /// Those of `open(2)` and `read(2)`, but those that say that there is no such thing.
    pub fn try_text(&self, path: &str) -> io::Result<Option<String>> {
        let mut bytes = Vec::new();
        let read = File::open(self.at(path)).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes));
        // ENODEV, ESRCH: the cgroup or the process went meanwhile. EOPNOTSUPP: pressure files with psi=0.
        let absent = [libc::ENOENT, libc::ENOTDIR, libc::ENODEV, libc::ESRCH, libc::EOPNOTSUPP];
        match read {
            Ok(_) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(e) if e.raw_os_error().is_some_and(|errno| absent.contains(&errno)) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The same; where it can't be read, it is unseen.
    pub fn text(&mut self, path: &str) -> Option<String> {
        self.try_text(path).unwrap_or_else(|e| {
            self.unseen(path, &e.to_string());
            None
        })
    }

    /// The same; nobody misses it when it can't be read: it is one of many of its kind.
    #[must_use]
    pub fn quiet(&self, path: &str) -> Option<String> {
        self.try_text(path).unwrap_or_default()
    }

    /// A file that holds one word, without the white space around it.
    pub fn word(&mut self, path: &str) -> Option<String> {
        self.text(path).map(|text| text.trim().to_owned())
    }

    /// A file that holds one number and nothing else.
    pub fn number(&mut self, path: &str) -> Option<u64> {
        self.word(path)?.parse().ok()
    }

    /// The names in a directory, in order; those that are no UTF-8 are left out. Empty where there is none.
    pub fn names(&mut self, path: &str) -> Vec<String> {
        let entries = match std::fs::read_dir(self.at(path)) {
            Ok(entries) => entries,
            Err(e) => {
                if e.kind() == ErrorKind::PermissionDenied {
                    self.unseen(path, &e.to_string());
                }
                return Vec::new();
            }
        };
        let mut names: Vec<String> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort_unstable();
        names
    }

    /// Takes down what could not be seen, once.
    pub fn unseen(&mut self, what: &str, why: &str) {
        let unseen = Unseen { what: what.to_owned(), why: why.to_owned() };
        if self.unseen.len() < MOST_UNSEEN && !self.unseen.contains(&unseen) {
            self.unseen.push(unseen);
        }
    }

    /// All that could not be seen, in the order in which it was looked for.
    #[must_use]
    pub fn into_unseen(self) -> Vec<Unseen> {
        self.unseen
    }
}
