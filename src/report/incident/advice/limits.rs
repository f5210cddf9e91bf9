//! Advice on the limits of cgroups.

use super::super::schema::{Advice, Cause, Incident};
use super::command::{round_up, set, set_property, systemd_size};
use super::{advise, events, is_the_machine};
use crate::report::{Size, unit_of};

/// The part of a `memory.max` that was too small that is added: enough to see whether it was only a little too small.
const ROOM: u64 = 4;

/// `memory.high` below `memory.max` and nothing to reclaim: the brake that never ends.
pub(super) fn band(incident: &Incident) -> Option<Advice> {
    if !matches!(incident.kind.as_str(), "throttled" | "squeezed") {
        return None;
    }
    // Squeezed at memory.max is another matter: nothing of it can be lifted.
    let is_high = incident.kind == "throttled" || incident.reason.contains("memory.high");
    let (cgroup, limit) = (incident.cgroup.as_deref()?, incident.limit_bytes?);
    if !is_high {
        return None;
    }
    let command = set(cgroup, "MemoryHigh=infinity", ("memory.high", "max"));
    let limit = Size(limit);
    match incident.host.swap_total_bytes {
        Some(0) => advise(
            "no-swap-band",
            format!(
                "memory.high ({limit}) below memory.max with no swap: above it nothing can be reclaimed, and the kernel \
                 brakes for ever instead of ending anything. Set MemoryHigh=infinity and keep MemoryMax=: `{command}`"
            ),
        ),
        Some(swap) => advise(
            "throttle-band",
            format!(
                "above memory.high ({limit}) nothing more could be reclaimed, though the machine has {} of swap: this \
                 cgroup may not use it or has used its share up (memory.swap.max). Raise memory.high, or set \
                 MemoryHigh=infinity and keep MemoryMax=: `{command}`",
                Size(swap)
            ),
        ),
        None => None,
    }
}

/// The files in use do not fit the limit.
pub(super) fn too_small_for_its_files(incident: &Incident) -> Option<Advice> {
    if incident.kind != "thrash" || is_the_machine(incident) {
        return None;
    }
    let (cgroup, limit) = (incident.cgroup.as_deref()?, incident.limit_bytes?);
    advise(
        "limit-below-working-set",
        format!(
            "the files in use do not fit into the limit of {} ({}): they were dropped and read again all the time. Raise \
             the limit, or make the unit need less",
            Size(limit),
            name(cgroup)
        ),
    )
}

/// A cgroup at its limit that swaps its own working set.
pub(super) fn swaps_itself(incident: &Incident) -> Option<Advice> {
    if incident.kind != "swap_thrash" || is_the_machine(incident) {
        return None;
    }
    let (cgroup, limit) = (incident.cgroup.as_deref()?, incident.limit_bytes?);
    let command = set(cgroup, "MemorySwapMax=0", ("memory.swap.max", "0"));
    advise(
        "swap-thrash",
        format!(
            "its own memory went to swap and back at the limit of {}. Raise the limit, or keep it out of swap, so that it \
             ends at MemoryMax= at once instead of crawling: `{command}`",
            Size(limit)
        ),
    )
}

/// The kernel killed at a cgroup's `memory.max`.
pub(super) fn kernel_oom_at_limit(incident: &Incident) -> Option<Advice> {
    let kernel = incident.kernel.as_ref().filter(|_| incident.cause == Cause::Kernel)?;
    let cgroup = kernel.limit_cgroup.as_deref().filter(|path| *path != "/")?;
    let limit = kernel.limit_bytes.or(incident.limit_bytes)?;
    let raised = systemd_size(round_up(limit.saturating_add(limit / ROOM)));
    let property = format!("MemoryMax={raised}");
    let command = set_property(cgroup, &property).map_or_else(String::new, |command| format!(": `{command}`"));
    let swap = match kernel.victim.as_ref().and_then(|victim| victim.swap_bytes) {
        Some(swap) if swap > 0 => format!(" and {} in swap", Size(swap)),
        _ => String::new(),
    };
    let used = match kernel.victim.as_ref().and_then(|victim| Some((victim, victim.size_bytes?))) {
        Some((victim, size)) => format!("; {} alone held {}{swap}", victim.comm, Size(size)),
        None => String::new(),
    };
    advise(
        "kernel-oom-limit",
        format!(
            "{} was full: its memory.max is {}{used}. If that is what it needs, raise it by a quarter and look again\
             {command}; if not, it leaks",
            name(cgroup),
            Size(limit)
        ),
    )
}

/// One of several processes was killed, and the rest stayed.
pub(super) fn oom_policy(incident: &Incident) -> Option<Advice> {
    let kernel = incident.kernel.as_ref().filter(|_| incident.cause == Cause::Kernel)?;
    let listed = kernel.listed.filter(|listed| *listed > 1)?;
    let cgroup = kernel.limit_cgroup.as_deref().filter(|path| *path != "/")?;
    let unit = unit_of(cgroup.as_bytes()).map(String::from_utf8_lossy).filter(|unit| unit.ends_with(".service"))?;
    if kernel.group {
        return advise(
            "oom-group",
            format!(
                "the whole of {unit} was killed, {listed} processes, because its memory.oom.group is 1. If one may go \
                 alone, set OOMPolicy=continue (`systemctl edit {unit}`)"
            ),
        );
    }
    advise(
        "oom-policy",
        format!(
            "the kernel killed one of {listed} processes of {unit}. OOMPolicy= says what becomes of the rest: `stop` \
             (systemd's default) ends the unit, `continue` leaves it without the one, `kill` (memory.oom.group) takes all \
             at once: `systemctl edit {unit}`"
        ),
    )
}

/// Everybody there is exempt.
pub(super) fn nobody_may_be_killed(incident: &Incident) -> Option<Advice> {
    if incident.kind != "oom_stuck" && events(incident, "oom_stuck").next().is_none() {
        return None;
    }
    let (cgroup, limit) = (incident.cgroup.as_deref()?, incident.limit_bytes?);
    advise(
        "oom-exempt",
        format!(
            "{} is at its memory.max ({}) and every process in it has oom_score_adj -1000: neither the kernel nor hogwatch \
             may kill there. Raise the limit, or give the unit an OOMScoreAdjust= above -1000",
            name(cgroup),
            Size(limit)
        ),
    )
}

/// The unit, or the path where there is none.
fn name(cgroup: &str) -> String {
    let unit = unit_of(cgroup.as_bytes()).map(String::from_utf8_lossy);
    unit.map_or_else(|| cgroup.to_owned(), std::borrow::Cow::into_owned)
}
