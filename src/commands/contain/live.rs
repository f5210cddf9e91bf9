//! Whether the caps are there: by the kernel's own files, slice by slice.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::commands::daemon::systemctl::DEADLINE;
use crate::config::units::write_size;
use crate::host::memory::page_size;
use crate::report::Size;

use super::machine::{Facts, Machine, Slice};
use super::plan::{self, Sizes, named};

/// systemd sets limits right after it has answered; on a busy machine that takes a moment.
const SETTLES: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);

/// What became of the slices that are there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// Those that have their cap, in words.
    pub capped: Vec<String>,
    /// Those that another setting rules.
    pub others: Vec<String>,
    /// Those that systemd did not set.
    pub failed: Vec<String>,
}

/// Waits until the slices that were seen have their caps, and says how each is.
pub fn settled(machine: &Machine, facts: &Facts, sizes: Sizes) -> Live {
    let capped = plan::capped_containers(facts, sizes);
    let containers = facts.containers.iter().filter(|slice| capped.contains(&slice.unit.as_str()));
    let containers = containers.filter_map(|slice| Some((slice, sizes.containers?)));
    let mut live = Live::default();
    let until = Instant::now() + SETTLES;
    for (slice, cap) in facts.users.iter().map(|slice| (slice, sizes.per_user)).chain(containers) {
        // Who has logged out meanwhile needs no cap.
        let now = || machine.slice(&slice.unit, slice.uid);
        let mut seen = now();
        while seen.as_ref().is_some_and(|seen| !is_capped(seen, cap)) && !slice.set_property && Instant::now() < until {
            sleep(LOOK);
            seen = now();
        }
        let Some(seen) = seen else { continue };
        if is_capped(&seen, cap) {
            let (is, holds) = (Size(cap), Size(seen.holds));
            live.capped.push(format!("{}: at most {is}, no swap; it holds {holds}", named(&seen)));
        } else if systemd_wants(machine, &seen, cap) {
            live.failed.push(format!("{} was not set by systemd: {}", named(&seen), limits(&seen)));
        } else {
            let unit = &seen.unit;
            live.others.push(format!("{}: {}, by another setting (systemctl cat {unit})", named(&seen), limits(&seen)));
        }
    }
    live
}

fn is_capped(slice: &Slice, cap: u64) -> bool {
    // The kernel counts in pages.
    slice.max == Some(cap - cap % page_size()) && slice.swap_max == Some(0) && slice.high.is_none()
}

/// Whether systemd, asked, says our cap: then it is the one that has not set it.
fn systemd_wants(machine: &Machine, slice: &Slice, cap: u64) -> bool {
    let arguments = ["show", "--value", "--property=MemoryMax", "--property=MemorySwapMax", "--property=MemoryHigh", &slice.unit];
    let shown = machine.systemctl.run(&arguments, Instant::now() + DEADLINE).unwrap_or_default();
    let mut values: Vec<_> = shown.lines().filter(|line| !line.is_empty()).collect();
    values.sort_unstable();
    let cap = cap.to_string();
    let mut wanted = ["0", "infinity", cap.as_str()];
    wanted.sort_unstable();
    values == wanted
}

/// The limits, as they are.
fn limits(slice: &Slice) -> String {
    let said = |name: &str, limit: Option<u64>| limit.map_or(format!("{name} max"), |at| format!("{name} {}", write_size(at)));
    [said("memory.max", slice.max), said("memory.swap.max", slice.swap_max), said("memory.high", slice.high)].join(", ")
}
