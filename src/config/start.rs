//! Which configuration a guard runs: at its start, at a reload, and when the file is bad.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::load::{Loaded, load, load_alone};
use super::places::Places;
use super::problem::{Error, escape};
use super::show;
use super::types::Config;

/// The copy of the last good configuration, in the state directory.
const LAST_GOOD: &str = "last-good.toml";

/// Longest [`Started::problem`] in bytes: what a journal entry has room for.
const PROBLEM_BYTES: usize = 256;

/// Its name while it is being written.
const LAST_GOOD_NEW: &str = "last-good.toml.new";

/// A configuration to run, and what to say and do about it.
#[derive(Debug)]
pub struct Started {
    /// What to run.
    pub config: Config,
    /// Where it came from.
    pub source: Origin,
    /// What to say at error priority: why this is not the configuration that the admin wrote, and what runs instead.
    /// One line that fits a journal entry's reason; `hogwatch config check` has the full report.
    pub problem: Option<String>,
    /// The text to keep with [`save_last_good`]: there when a good configuration was read from the default place.
    pub last_good: Option<String>,
    /// Tells two configurations apart by the values that files set, wherever these stand: equal values, equal hash.
    pub hash: u64,
}

/// Where the configuration that runs came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// These files, merged in this order.
    Files(Vec<PathBuf>),
    /// The copy kept of the last good configuration.
    LastGood(PathBuf),
    /// The built-in defaults.
    Defaults,
}

/// Finds the configuration to start with. A file named by the admin (`explicit`) must be good. At the default place no
/// file means the defaults; a bad one means the last good configuration, or with none kept the defaults: a typo never
/// leaves the machine unguarded.
///
/// # Errors
/// Everything wrong with the explicit file; the caller exits 78.
pub fn at_start(explicit: Option<&Path>, places: &Places) -> Result<Started, Error> {
    let error = match reload(explicit, places) {
        Ok(started) => return Ok(started),
        Err(error) if explicit.is_some() => return Err(error),
        Err(error) => error,
    };
    let kept = places.state.as_deref().map(load_last_good);
    let Started { config, source, hash: unset, .. } = reload(None, &Places { file: None, machine: None, state: None })?;
    let defaults = (config, source, unset);
    let ((config, source, hash), running) = match kept {
        Some(Ok(Some((file, loaded)))) => {
            let running = format!("the last good configuration runs instead: {}", escape(&file.to_string_lossy()));
            let hash = hash(&show::merged(&loaded));
            ((loaded.config, Origin::LastGood(file), hash), running)
        }
        None | Some(Ok(None)) => (defaults, "the built-in defaults run instead".to_owned()),
        Some(Err(_)) => {
            let running = "the built-in defaults run instead, as the last good configuration is bad too".to_owned();
            (defaults, running)
        }
    };
    Ok(Started { config, source, problem: Some(one_line(&error.summary(), &running)), last_good: None, hash })
}

/// FNV-1a of 64 bits: the same in every version of hogwatch, which the standard library does not promise of its own.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// What is wrong and what runs instead, in at most [`PROBLEM_BYTES`] bytes as far as that goes: what is wrong is cut first,
/// for what runs can be learned nowhere else.
fn one_line(wrong: &str, running: &str) -> String {
    const CUT: &str = "...";
    let room = PROBLEM_BYTES.saturating_sub("; ".len() + running.len());
    if wrong.len() <= room {
        return format!("{wrong}; {running}");
    }
    let end = wrong.floor_char_boundary(room.saturating_sub(CUT.len()));
    format!("{}{CUT}; {running}", &wrong[..end])
}

/// Reads the configuration anew. On an error the caller keeps the one it has.
///
/// # Errors
/// Everything wrong with the files.
pub fn reload(explicit: Option<&Path>, places: &Places) -> Result<Started, Error> {
    let loaded = load(explicit, places)?;
    let merged = show::merged(&loaded);
    let hash = hash(&merged);
    let files: Vec<PathBuf> = loaded.files().map(Path::to_owned).collect();
    let Loaded { config, .. } = loaded;
    Ok(Started {
        config,
        source: match files.is_empty() {
            true => Origin::Defaults,
            false => Origin::Files(files),
        },
        problem: None,
        last_good: explicit.is_none().then_some(merged),
        hash,
    })
}

/// Keeps the text of [`Started::last_good`] in the state directory, which is made if need be (mode 0750). The file is
/// replaced as a whole: a crash leaves the old one or the new one. It waits for the disk: not for the guard thread.
///
/// # Errors
/// When the directory or the file can't be written; what was kept before stays.
pub fn save_last_good(state: &Path, text: &str) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o750).create(state)?;
    let new = state.join(LAST_GOOD_NEW);
    // What a crash may have left is in the way of create_new, which in turn follows nobody's symbolic link.
    match fs::remove_file(&new) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, state.join(LAST_GOOD))?;
    File::open(state)?.sync_all()
}

/// Reads the kept configuration back, with the path of its file; none when none was kept.
///
/// # Errors
/// Everything wrong with the kept file.
pub fn load_last_good(state: &Path) -> Result<Option<(PathBuf, Loaded)>, Error> {
    let file = state.join(LAST_GOOD);
    let loaded = load_alone(&file)?;
    Ok(loaded.map(|loaded| (file, loaded)))
}
