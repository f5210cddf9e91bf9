//! The configuration's contract: what is read, how it merges, and what is said about what is wrong.

mod arbitrary;
mod command;
mod errors;
mod files;
mod import;
mod levels;
mod merge;
mod patterns;
mod run;
mod shipped;
mod start;
mod units;

use std::path::{Path, PathBuf};

use hogwatch::config::{Config, Error, Places, load, load_text};

/// Reads a text as if it stood in `hogwatch.toml`.
fn parse(text: &str) -> Result<Config, Error> {
    load_text(Path::new("hogwatch.toml"), text).map(|loaded| loaded.config)
}

/// Reads a text that must be good.
fn good(text: &str) -> Config {
    parse(text).unwrap_or_else(|error| panic!("refused:\n{text}\n{error}"))
}

/// The problems of a text that must be bad, each as it is printed.
fn problems(text: &str) -> Vec<String> {
    let error = parse(text).expect_err(text);
    error.problems().iter().map(ToString::to_string).collect()
}

/// A folder with a default file, drop-ins and a state directory to play with.
struct Machine {
    folder: tempfile::TempDir,
    places: Places,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let places = Places {
            file: Some(folder.path().join("hogwatch.toml")),
            machine: Some(folder.path().join("etc/hogwatch.toml")),
            state: Some(folder.path().join("state")),
        };
        Self { folder, places }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    fn load(&self) -> Result<hogwatch::config::Loaded, Error> {
        load(None, &self.places)
    }
}
