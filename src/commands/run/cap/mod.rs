//! The cap: what is asked for, where it was put, and what its cgroup tells.
//!
//! The cap is made by the child, before it becomes the command ([`confine`]): it is the child's process that moves, and
//! whatever that takes (D-Bus above all) is gone with the exec. The parent stays outside, so that it is neither throttled nor
//! killed at the cap, and gets a [`Place`] through a pipe.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What the command may use. `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of memory (`memory.max`).
    pub memory: Option<u64>,
    /// Bytes of swap on top (`memory.swap.max`); `Some(0)` unless asked otherwise, wherever `memory` is set.
    pub swap: Option<u64>,
    /// Processes and threads (`pids.max`).
    pub tasks: Option<u64>,
}

/// What enforces the cap, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A transient scope of systemd's, delegated to us.
    Scope,
    /// A cgroup v2 made by hand, in a delegated subtree or where no systemd manages the tree.
    Cgroup2,
    /// A cgroup of the v1 memory hierarchy.
    Cgroup1,
    /// No cgroup: the parent sums up the memory of the process tree and kills it at the limit.
    Watched,
}

/// Where the command was put.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// What enforces it.
    pub kind: Kind,
    /// The cgroup that carries the limits, as a directory; none when only watched. The command itself is in `main` below
    /// it on v2 (processes live in leaves), in itself on v1.
    pub dir: Option<PathBuf>,
    /// The same, of the v1 `pids` hierarchy, when tasks are limited there.
    pub pids_dir: Option<PathBuf>,
    /// The unit's name, of a scope.
    pub unit: Option<String>,
    /// The process that keeps a scope's cgroups there until the parent has read them.
    pub keeper: Option<i32>,
    /// The limits as they were set.
    pub limits: Limits,
    /// A limit further up that is tighter, or the cap itself.
    pub tightest: Option<Tightest>,
    /// What the user should know: why a better kind was not to be had, which limit could not be set.
    pub remarks: Vec<String>,
}

/// The memory limit that will be hit first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tightest {
    /// Bytes.
    pub bytes: u64,
    /// The cgroup it is set on (`/user.slice/…`).
    pub cgroup: String,
}
