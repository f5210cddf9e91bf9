//! The configuration that the daemon runs, read where it read it: a command that foretells it must not go by another.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::config::{self, Error, Places, Started};
use crate::report::status::hex;

use super::status;

/// How long a daemon may take to answer; one that does not is told by the default place.
const DEADLINE: Duration = Duration::from_secs(1);

/// Where a daemon reads its configuration, and what it last read there: `daemon.config` of the status document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Running {
    path: Option<PathBuf>,
    hash: Option<String>,
}

/// What stands in the file now.
#[derive(Debug)]
pub struct Found {
    /// The configuration, as a daemon would start with it.
    pub started: Started,
    /// The running daemon goes by other values than these.
    pub changed: bool,
}

/// What the daemon tells, if one runs that this user may ask.
pub fn asked() -> Option<Running> {
    let document = status::ask(DEADLINE).ok()?;
    serde_json::from_value(document["daemon"]["config"].clone()).ok()
}

/// Reads the daemon's file; the default one without a daemon.
///
/// # Errors
/// Everything wrong with a file that is not at this user's default place. At that place the last good one is taken instead,
/// as the daemon does.
pub fn read(running: Option<&Running>, places: &Places) -> Result<Found, Error> {
    let elsewhere = running.and_then(|running| running.path.as_ref()).filter(|path| places.file.as_ref() != Some(path));
    let started = match elsewhere {
        Some(path) => config::reload(None, &Places { file: Some(path.clone()), machine: None, state: None })?,
        None => config::at_start(None, places)?,
    };
    let hash = running.and_then(|running| running.hash.as_ref());
    let changed = hash.is_some_and(|hash| *hash != hex(started.hash));
    Ok(Found { started, changed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_daemons_file_is_read_and_a_change_of_it_told() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let file = dir.path().join(name);
            std::fs::write(&file, text).unwrap();
            file
        };
        let own = write("own.toml", "[memory]\nterm = \"8%\"\n");
        let named = write("named.toml", "[memory]\nterm = \"7%\"\n");
        let places = Places { file: Some(own.clone()), machine: None, state: None };
        let term = |running: Option<&Running>| {
            let found = read(running, &places).unwrap();
            (found.started.config.memory.term.to_string(), found.changed)
        };
        assert_eq!(term(None), ("8%".to_owned(), false));

        let hash = hex(config::at_start(Some(&named), &places).unwrap().hash);
        let running = Running { path: Some(named.clone()), hash: Some(hash) };
        assert_eq!(term(Some(&running)), ("7%".to_owned(), false));
        write("named.toml", "[memory]\nterm = \"6%\"\n");
        assert_eq!(term(Some(&running)), ("6%".to_owned(), true));
        write("named.toml", "[memory]\nterm = 6\n");
        assert!(read(Some(&running), &places).is_err(), "what the daemon runs is not in any file");
        std::fs::remove_file(&named).unwrap();
        assert!(read(Some(&running), &places).unwrap().changed);

        // One that does not tell, and one at the default place.
        assert_eq!(term(Some(&Running::default())), ("8%".to_owned(), false));
        let running = Running { path: Some(own), hash: Some("0".to_owned()) };
        assert_eq!(term(Some(&running)), ("8%".to_owned(), true));
    }
}
