//! `hogwatch status`: what the guard last saw, asked for over a socket.
//!
//! The guard leaves a [`Snapshot`] whenever it has looked; the errands thread hands it to whoever connects to
//! `status.sock`, with the latest events, as one JSON document; [`fetch`] is the asking side.

mod client;
pub(super) mod document;
mod running;
pub(super) mod server;

use std::sync::{Mutex, PoisonError, TryLockError};
use std::time::SystemTime;

pub use client::{FetchError, fetch};
pub use document::{Daemon, SCHEMA, document};
pub use running::{RunningConfig, hex};
pub use server::{MAY_READ_GROUP, StatusOptions};

use super::event::CGROUP_BYTES;
use super::text::Text;

/// How many cgroups a snapshot can name: a screenful, of some 600 bytes each. The guard's memory is locked, and each
/// snapshot is copied.
pub const SNAPSHOT_CGROUPS: usize = 16;

/// What "available" is measured against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The machine's memory.
    Host,
    /// The limit of a cgroup, which is scarcer.
    Cgroup,
}

/// One cgroup whose limit counts, or that is at its own. Sizes in bytes; `None` is "no limit" or "not known".
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CgroupState {
    /// As in [`super::Event::cgroup`].
    pub path: Text<CGROUP_BYTES>,
    /// `memory.current`.
    pub current: u64,
    /// `memory.high`.
    pub high: Option<u64>,
    /// `memory.max`.
    pub max: Option<u64>,
    /// Share of the detector's window in which all of its tasks were stalled, 0 to 100.
    pub stall_percent: Option<f64>,
    /// What the livelock detector makes of it, or what is being done about it; `None` when it is not sampled.
    pub state: Option<&'static str>,
    /// What is being done about it.
    pub doing: Option<&'static str>,
}

/// The thresholds in force, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `memory.warn`.
    pub warn: u64,
    /// `memory.term`.
    pub term: u64,
    /// `memory.kill`.
    pub kill: u64,
}

/// What the guard saw when it last looked. Sizes in bytes, percents 0 to 100.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// MemTotal, or the limit (see `scope`).
    pub memory_total: u64,
    /// What of it is available.
    pub memory_available: u64,
    /// The same in percent, by the configured rule (`percent_of`).
    pub available_percent: f64,
    /// What the three above are about.
    pub scope: Scope,
    /// At or below this much available memory: a warning, SIGTERM, SIGKILL.
    pub limits: Limits,
    /// SwapTotal.
    pub swap_total: u64,
    /// SwapFree.
    pub swap_free: u64,
    /// `some avg10` of memory pressure; `None` where the kernel has no PSI.
    pub psi_some_avg10: Option<f64>,
    /// `full avg10`.
    pub psi_full_avg10: Option<f64>,
    /// Cgroups that are at their limit, the worst first, and the limits that enclose the guard.
    pub cgroups: Vec<CgroupState>,
    /// How many more are at their limit.
    pub more_cgroups: usize,
}

impl Snapshot {
    /// Nothing was seen yet. There is room for [`SNAPSHOT_CGROUPS`], set aside and not used yet.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            memory_total: 0,
            memory_available: 0,
            available_percent: 0.0,
            scope: Scope::Host,
            limits: Limits { warn: 0, term: 0, kill: 0 },
            swap_total: 0,
            swap_free: 0,
            psi_some_avg10: None,
            psi_full_avg10: None,
            cgroups: Vec::with_capacity(SNAPSHOT_CGROUPS),
            more_cgroups: 0,
        }
    }
}

/// The one place that guard and errands thread share.
#[derive(Debug)]
pub(super) struct Shared {
    /// When it was written, if it was, and what.
    latest: Mutex<(Option<SystemTime>, Snapshot)>,
}

impl Default for Shared {
    fn default() -> Self {
        Self { latest: Mutex::new((None, Snapshot::empty())) }
    }
}

impl Shared {
    /// Guard's side: has the snapshot written, in place because of its size, unless the reader is just copying the last one;
    /// then the next will do.
    pub fn publish(&self, write: impl FnOnce(&mut Snapshot)) {
        let mut latest = match self.latest.try_lock() {
            Ok(latest) => latest,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        latest.0 = Some(SystemTime::now());
        write(&mut latest.1);
    }

    /// The thresholds that were in force when the guard last looked.
    pub fn limits(&self) -> Option<Limits> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.0.map(|_| latest.1.limits)
    }

    /// Reader's side: a copy of it.
    pub fn latest(&self) -> Option<(SystemTime, Snapshot)> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.0.map(|at| (at, latest.1.clone()))
    }
}
