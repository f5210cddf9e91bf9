//! Where the configuration and the last good copy of it are kept.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// The default places of one guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// The default file, which need not exist; none when a user has neither `XDG_CONFIG_HOME` nor `HOME`.
    pub file: Option<PathBuf>,
    /// The machine's file, whose `[run]` holds for a user's commands too; none for root, whose own it is.
    pub machine: Option<PathBuf>,
    /// The state directory, which need not exist; none when a user has neither `XDG_STATE_HOME` nor `HOME`.
    pub state: Option<PathBuf>,
}

impl Places {
    /// The places for a user id, with the environment looked up by `env`: `/etc/hogwatch` and `/var/lib/hogwatch` for
    /// root, those of the XDG base directory specification for others. `STATE_DIRECTORY`, which systemd sets, wins.
    pub fn new(uid: u32, env: impl Fn(&str) -> Option<OsString>) -> Self {
        let base = |variable: &str, below_home: &str| {
            // The specification wants relative paths in these variables ignored.
            let absolute = |name: &str| env(name).map(PathBuf::from).filter(|p| p.is_absolute());
            absolute(variable).or_else(|| Some(absolute("HOME")?.join(below_home)))
        };
        let (config, state) = match uid {
            0 => (Some(PathBuf::from("/etc")), Some(PathBuf::from("/var/lib"))),
            _ => (base("XDG_CONFIG_HOME", ".config"), base("XDG_STATE_HOME", ".local/state")),
        };
        let file = |dir: PathBuf| dir.join("hogwatch/hogwatch.toml");
        let given = env("STATE_DIRECTORY").and_then(|list| first_of(&list));
        Self {
            file: config.map(file),
            machine: (uid != 0).then(|| file(PathBuf::from("/etc"))),
            state: given.or_else(|| Some(state?.join("hogwatch"))),
        }
    }

    /// The places of the user who runs this process.
    pub fn of_this_process() -> Self {
        Self::new(nix::unistd::geteuid().as_raw(), |name| std::env::var_os(name))
    }
}

/// The first path of a list separated by colons, as systemd writes several state directories.
fn first_of(list: &OsStr) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    let first = list.as_bytes().split(|b| *b == b':').next()?;
    let path = Path::new(OsStr::from_bytes(first));
    path.is_absolute().then(|| path.to_owned())
}
