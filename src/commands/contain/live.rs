//! Whether the caps are there: by the kernel's own files, slice by slice.

use crate::config::units::write_size;
use crate::host::memory::page_size;
use crate::report::Size;

use super::machine::{Facts, Machine, Slice};
use super::plan::{self, Sizes, named};
use super::systemd;

/// What became of the slices that are there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// Those that have their cap, in words.
    pub capped: Vec<String>,
    /// Those that another setting rules, and what this machine has no file for, in words.
    pub others: Vec<String>,
}

/// Looks at the slices that were there before.
pub fn look(machine: &Machine, facts: &Facts, sizes: Sizes) -> Live {
    let capped = plan::capped_containers(facts, sizes);
    let containers = facts.containers.iter().filter(|slice| capped.contains(&slice.unit.as_str()));
    let containers = containers.filter_map(|slice| Some((slice, sizes.containers?)));
    let mut live = Live::default();
    for (slice, cap) in facts.users.iter().map(|slice| (slice, sizes.per_user)).chain(containers) {
        // Who has logged out meanwhile needs no cap.
        let Some(now) = machine.slice(&slice.unit, slice.uid) else { continue };
        // The kernel counts in pages.
        if now.max == Some(cap - cap % page_size()) && now.swap_max == Some(0) && now.high.is_none() {
            let (is, holds) = (Size(cap), Size(now.holds));
            live.capped.push(format!("{}: at most {is}, no swap; it holds {holds}", named(&now)));
        } else {
            let unit = &now.unit;
            live.others.push(format!("{}: {}, by another setting (systemctl cat {unit})", named(&now), limits(&now)));
        }
    }
    live.others.extend(systemd::lacking_weights(&machine.tree).into_iter().map(|file| {
        format!("system.slice: this machine has no {file}, and services don't come before users there; the caps hold")
    }));
    live
}

/// The limits, as they are.
fn limits(slice: &Slice) -> String {
    let said =
        |name: &str, limit: Option<u64>| limit.map_or(format!("{name} max"), |at| format!("{name} {}", write_size(at)));
    [said("memory.max", slice.max), said("memory.swap.max", slice.swap_max), said("memory.high", slice.high)].join(", ")
}
