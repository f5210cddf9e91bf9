//! The cap: what is asked for, where it was put, and what its cgroup tells.
//!
//! The cap is made by the child, before it becomes the command ([`confine`]): it is the child's process that moves, and
//! whatever that takes (D-Bus above all) is gone with the exec. The parent stays outside, so that it is neither throttled nor
//! killed at the cap, gets a [`Place`] through a pipe, and looks at it from there ([`Cap`]).

mod confine;
#[cfg(test)]
mod fixture;
mod tree;
mod view;

use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use confine::confine;
pub use view::{Cap, OomCounts};

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

/// What is asked for besides the limits.
#[derive(Clone, Copy, Debug)]
pub struct Wishes<'a> {
    /// What the command is called: part of the cgroup's name.
    pub name: &'a str,
    /// Refuse where the kernel can't enforce the limits (`--require-cap`), instead of leaving them to the parent.
    pub require: bool,
    /// The reading end of a pipe whose writing end only the parent keeps: the keeper of a scope's cgroups ends when that is
    /// closed.
    pub lifeline: BorrowedFd<'a>,
}

/// Why there is no cap, or not the one that was asked for; a sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

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
    /// The process that keeps a scope's cgroups there until the parent has read them. A child of the parent's.
    pub keeper: Option<i32>,
    /// The limits as they were set.
    pub limits: Limits,
    /// The memory limit that will be hit first: the cap itself, or a tighter one further up.
    pub tightest: Option<Tightest>,
    /// What the user should know: why a better kind was not to be had, which limit could not be set.
    pub remarks: Vec<String>,
}

/// A memory limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tightest {
    /// Bytes.
    pub bytes: u64,
    /// The cgroup it is set on (`/user.slice/…`).
    pub cgroup: String,
}
