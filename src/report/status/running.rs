//! Which configuration the daemon runs, for commands that are to answer as it would.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value as Json, json};

/// The file and what was last read from it. Shared by whoever reads it and whoever is asked.
#[derive(Debug, Default)]
pub struct RunningConfig {
    /// An absolute path; `None` where there is no place for a file.
    file: Option<PathBuf>,
    hash: AtomicU64,
}

impl RunningConfig {
    /// A configuration that is in force from the start, by its hash.
    #[must_use]
    pub fn new(file: Option<PathBuf>, hash: u64) -> Self {
        Self { file, hash: AtomicU64::new(hash) }
    }

    /// Another one is in force.
    pub fn set(&self, hash: u64) {
        self.hash.store(hash, Ordering::Relaxed);
    }

    /// A path that is not UTF-8 is not told: JSON can't hold it.
    pub(super) fn json(&self) -> Json {
        let path = self.file.as_ref().and_then(|file| file.to_str());
        json!({"path": path, "hash": hex(self.hash.load(Ordering::Relaxed))})
    }
}

/// As the document has it: a number of 64 bits is more than many readers of JSON can hold.
#[must_use]
pub fn hex(hash: u64) -> String {
    format!("{hash:016x}")
}
