//! What it takes to free a stuck cgroup.

use crate::config::SwapMode;
use crate::decide::FUTILE_KILLS;
use crate::decide::livelock::{Judged, Kind};
use crate::decide::measure::{Level, Reading, Resource, Whose};
use crate::decide::victim::{Held, Stuck};
use crate::observe::cgroups::CgroupPath;

use super::case::Case;

/// What a victim of a thrashing cgroup should give back, in percent of the limit: that much more room ends a working set
/// that just does not fit. Doubled for each victim that was not enough.
const THRASH_TARGET_PERCENT: u64 = 5;

/// Beyond its limit by how much a cgroup is lowered, in percent of the limit: freed to the byte, it would be stuck again
/// at the next allocation.
const BELOW_PERCENT: u64 = 2;

/// What it takes to free a cgroup that is stuck in this way at its limit and holds `current` bytes: what a new case of it
/// would choose by, but for what its processes held before.
#[must_use]
pub fn stuck(path: &CgroupPath, limit: Judged, current: u64, kind: Kind) -> Stuck {
    stuck_still(&Whose::Cgroup(*path), limit.bytes(), current.saturating_sub(limit.bytes()), kind, 0)
}

/// The same after so many victims in a row that changed nothing.
fn stuck_still(whose: &Whose, limit: u64, excess: u64, kind: Kind, futile: u8) -> Stuck {
    let room = match kind {
        Kind::Throttled => BELOW_PERCENT,
        // The first in rank, whatever its size.
        Kind::Pressure => 0,
        Kind::Squeezed | Kind::Thrash | Kind::SwapThrash | Kind::OomStuck => {
            THRASH_TARGET_PERCENT << futile.min(FUTILE_KILLS)
        }
    };
    let target = excess.saturating_add(limit / 100 * room);
    Stuck { reading: reading(whose, limit, excess), excess, target, before: None }
}

/// What it takes to free the cgroup of a case. `mem_total` stands for the limit that a cgroup under pressure may lack.
pub(super) fn stuck_of(case: &Case, current: u64, before: Option<Held>, mem_total: u64) -> Stuck {
    let total = case.stall.limit.map_or(mem_total, Judged::bytes);
    let excess = if case.stall.limit.is_some() { current.saturating_sub(total) } else { 0 };
    let whose = if case.id.is_some() { Whose::Cgroup(case.path) } else { Whose::Machine };
    Stuck { before, ..stuck_still(&whose, total, excess, case.stall.kind, case.futile) }
}

/// A stuck cgroup as a reading: its limit is used up, and so much is missing.
pub(super) fn reading(whose: &Whose, limit: u64, missing: u64) -> Reading {
    Reading {
        whose: *whose,
        level: Level::Term,
        resource: Resource::Memory,
        total: limit,
        base: limit,
        available: 0,
        warn: missing,
        term: missing,
        kill: 0,
        swap_total: 0,
        swap_free: 0,
        swap_term: 0,
        swap_kill: 0,
        swap_mode: SwapMode::Ignore,
    }
}
