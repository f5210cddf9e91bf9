//! The only door to the system: `/proc`, `/sys` and the cgroup tree as held directory handles, the clock, and every
//! raw system call. `unsafe` lives here and nowhere else.
//!
//! Everything that reads takes the directory it reads from, so tests hand in a fixture tree and production hands in the
//! real one.

pub mod child;
pub mod clock;
pub mod dir;
pub mod keeper;
pub mod kmsg;
pub mod memory;
pub mod notify;
pub mod ordinary;
pub mod process;
pub mod wait;
pub mod watchdog;

use std::io;
use std::path::PathBuf;

use dir::Dir;

/// Where the kernel's file systems are. Tests point these at a fixture tree.
#[derive(Clone, Debug)]
pub struct Roots {
    /// procfs, normally `/proc`.
    pub proc: PathBuf,
    /// sysfs, normally `/sys`.
    pub sys: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self { proc: "/proc".into(), sys: "/sys".into() }
    }
}

/// The opened door: directory handles held from start-up on, so that nothing needs a path look-up from `/` later.
#[derive(Debug)]
pub struct Host {
    /// procfs.
    pub proc: Dir,
    /// sysfs, absent in minimal containers.
    pub sys: Option<Dir>,
    /// The unified (v2) hierarchy, if one is mounted. On a hybrid machine it has no memory controller.
    pub cgroup2: Option<Dir>,
    /// The v1 memory hierarchy, if one is mounted.
    pub memory_v1: Option<Dir>,
    /// Bytes in a page: the unit of `rss` in `/proc/PID/stat`.
    pub page_size: u64,
}

impl Host {
    /// Opens the roots.
    ///
    /// # Errors
    /// When procfs can't be opened: without it there is nothing to guard. Everything else is optional.
    pub fn open(roots: &Roots) -> io::Result<Self> {
        let cgroup = roots.sys.join("fs/cgroup");
        let unified = if cgroup.join("cgroup.controllers").exists() { cgroup.clone() } else { cgroup.join("unified") };
        Ok(Self {
            proc: Dir::open(&roots.proc)?,
            sys: Dir::open(&roots.sys).ok(),
            cgroup2: unified.join("cgroup.controllers").exists().then(|| Dir::open(&unified).ok()).flatten(),
            memory_v1: Dir::open(&cgroup.join("memory")).ok(),
            page_size: memory::page_size(),
        })
    }
}
