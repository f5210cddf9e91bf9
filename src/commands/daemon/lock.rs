//! One daemon at a time: a locked file in the runtime directory, with the pid in it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use crate::config::Places;

/// The lock, held as long as this lives (and by the kernel only as long as the process does).
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held, never read: dropping it unlocks")] Flock<File>);

/// Why the lock could not be had.
#[derive(Debug)]
pub enum LockError {
    /// Another daemon has it: its pid, as far as it said.
    Held(String),
    /// The file can't be made.
    Io(io::Error),
}

impl Lock {
    /// Takes the lock in `dir`, which is made if need be.
    ///
    /// # Errors
    /// When another daemon has it, or the file can't be made.
    pub fn take(dir: &Path) -> Result<Self, LockError> {
        let file = open(dir).map_err(LockError::Io)?;
        let mut file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => file,
            Err((mut file, nix::errno::Errno::EWOULDBLOCK)) => {
                let mut pid = String::new();
                let _ = file.read_to_string(&mut pid);
                let pid = pid.trim();
                return Err(LockError::Held(if pid.is_empty() { "unknown".into() } else { pid.into() }));
            }
            Err((_, e)) => return Err(LockError::Io(e.into())),
        };
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        write(&mut file).map_err(LockError::Io)?;
        Ok(Self(file))
    }
}

fn open(dir: &Path) -> io::Result<File> {
    DirBuilder::new().recursive(true).mode(0o750).create(dir)?;
    // Never through a symbolic link: the directory may be somebody else's idea.
    let flags = (nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_CLOEXEC).bits();
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        // Nobody else may so much as open it: a shared lock of a reader's would keep the guard from starting.
        .mode(0o600)
        .custom_flags(flags)
        .open(dir.join("lock"))
}

/// The runtime directory: systemd's choice, else the usual place of the system or of the user. A dry run has one of its
/// own, so that it can look on beside the real guard.
#[must_use]
pub fn runtime_dir(dry_run: bool) -> Option<PathBuf> {
    if let Some(list) = std::env::var_os("RUNTIME_DIRECTORY") {
        let list = list.into_string().ok()?;
        return list.split(':').next().filter(|dir| dir.starts_with('/')).map(PathBuf::from);
    }
    let name = if dry_run { "hogwatch-dryrun" } else { "hogwatch" };
    if nix::unistd::geteuid().is_root() {
        return Some(Path::new("/run").join(name));
    }
    Some(PathBuf::from(std::env::var_os("XDG_RUNTIME_DIR")?).join(name))
}

/// Where incidents are kept. A dry run beside the real guard has a place of its own, likewise: it must not take that one's
/// `current.json` for something left by an earlier run.
#[must_use]
pub fn state_dir(places: &Places, dry_run: bool) -> Option<PathBuf> {
    let state = places.state.clone()?;
    let is_shared = dry_run && std::env::var_os("STATE_DIRECTORY").is_none();
    Some(if is_shared { state.with_file_name("hogwatch-dryrun") } else { state })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_is_first() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("run");
        let first = Lock::take(&place).unwrap();
        let Err(LockError::Held(pid)) = Lock::take(&place) else { panic!("two locks") };
        assert_eq!(pid, std::process::id().to_string());
        drop(first);
        Lock::take(&place).unwrap();
    }

    #[test]
    fn a_dry_run_keeps_its_incidents_apart() {
        let places = Places { file: None, machine: None, state: Some("/var/lib/hogwatch".into()) };
        assert_eq!(state_dir(&places, false), places.state);
        assert_eq!(state_dir(&places, true), Some("/var/lib/hogwatch-dryrun".into()));
        assert_eq!(state_dir(&Places { state: None, ..places }, true), None);
    }

    #[test]
    fn a_symbolic_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("precious"), "keep").unwrap();
        std::os::unix::fs::symlink("precious", dir.path().join("lock")).unwrap();
        assert!(matches!(Lock::take(dir.path()), Err(LockError::Io(_))));
        assert_eq!(std::fs::read_to_string(dir.path().join("precious")).unwrap(), "keep");
    }
}
