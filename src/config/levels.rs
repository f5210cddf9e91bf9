//! Thresholds that belong together: `kill` at or below `term`, `term` at or below `warn`, and none that always holds.

use std::cmp::Ordering;

use super::load::{Origins, Place};
use super::problem::{Bad, Error, Source};
use super::types::{Config, Memory, Swap, SwapMode};
use super::units::Amount;

/// A `kill` that was not written but must give way becomes this share of `term`, as in the defaults of `[memory]`
/// (3 % of 5 %): were it equal to `term`, SIGTERM would never come first.
const KILL_SHARE_PERCENT: u32 = 60;

/// Checks thresholds against each other as far as that needs no knowledge of the machine; [`Config::fit`] does the
/// rest. A default gives way to what the admin wrote; two values that the admin wrote must agree.
pub(super) fn check(config: &mut Config, origins: &mut Origins, sources: &[Source], problems: &mut Error) {
    let mut wrong = |place: &Place, message: String, help: &str| {
        let bad = Bad::new(message, help);
        problems.add(|| sources[place.source].problem(place.span.clone(), bad));
    };
    let pairs = [
        ("memory", config.memory.term, &mut config.memory.kill),
        ("swap", config.swap.term, &mut config.swap.kill),
        ("cgroup_limits", config.cgroup_limits.term, &mut config.cgroup_limits.kill),
    ];
    for (section, term, kill) in pairs {
        let order = kill.compare(term);
        match origins.of(section, "kill") {
            None if order.is_some_and(Ordering::is_ge) => {
                *kill = below(term);
                origins.adjusted.push((section, "kill"));
            }
            Some(place) if order == Some(Ordering::Greater) => {
                let above = format!("{section}.kill, {kill}, is above {section}.term, {term}");
                match origins.of(section, "term") {
                    Some(term) => {
                        wrong(later(place, term), above, "SIGKILL comes after SIGTERM: kill must be at or below term");
                    }
                    None => wrong(
                        place,
                        format!("{above} (the default)"),
                        "SIGKILL comes after SIGTERM: write a kill at or below term, or set term too",
                    ),
                }
            }
            _ => {}
        }
    }

    let (warn, term) = (&mut config.memory.warn, config.memory.term);
    if warn.compare(term) == Some(Ordering::Less) {
        match origins.of("memory", "warn") {
            None => {
                *warn = term;
                origins.adjusted.push(("memory", "warn"));
            }
            Some(place) => {
                let below = format!("memory.warn, {warn}, is below memory.term, {term}");
                match origins.of("memory", "term") {
                    Some(term) => {
                        wrong(
                            later(place, term),
                            below,
                            "the warning comes before SIGTERM: warn must be at or above term",
                        );
                    }
                    None => wrong(
                        place,
                        format!("{below} (the default)"),
                        "the warning comes before SIGTERM: write a warn at or above term, or set term too",
                    ),
                }
            }
        }
    }

    let swap = &config.swap;
    if let (SwapMode::Or, Amount::Percent(100.0), Some(place)) = (swap.mode, swap.term, origins.of("swap", "term")) {
        wrong(
            origins.of("swap", "mode").map_or(place, |mode| later(place, mode)),
            "swap.term, 100%, is always reached: in mode \"or\" something would be killed at once".to_owned(),
            "write a smaller threshold, or mode = \"ignore\"",
        );
    }
}

impl Config {
    /// Makes thresholds that contradict each other on this machine safe, and says what was changed: a percent beside a
    /// size can only be compared once the totals (in bytes) are known. An empty answer means that all is well.
    ///
    /// A `term` that always holds falls back to the default (it would kill at once, and for ever), a `kill` above
    /// `term` is lowered so that SIGTERM still comes first, a `warn` below `term` is raised to it.
    pub fn fit(&mut self, mem_total: u64, swap_total: u64) -> Vec<String> {
        let mut changes = Vec::new();
        let memory = &mut self.memory;
        if memory.term.of(mem_total) >= mem_total {
            fall_back("memory", &mut memory.term, Memory::default().term, mem_total, &mut changes);
        }
        lower_kill("memory", memory.term, &mut memory.kill, mem_total, &mut changes);
        if memory.warn.of(mem_total) < memory.term.of(mem_total) {
            changes.push(format!(
                "memory.warn, {}, is below memory.term, {}, on this machine and is raised to it",
                memory.warn, memory.term
            ));
            memory.warn = memory.term;
        }
        // Without swap its thresholds mean nothing, and a percent of nothing compares wrongly.
        if swap_total > 0 && self.swap.mode != SwapMode::Ignore {
            let swap = &mut self.swap;
            if swap.mode == SwapMode::Or && swap.term.of(swap_total) >= swap_total {
                fall_back("swap", &mut swap.term, Swap::default().term, swap_total, &mut changes);
            }
            lower_kill("swap", swap.term, &mut swap.kill, swap_total, &mut changes);
        }
        changes
    }
}

fn fall_back(section: &str, term: &mut Amount, default: Amount, total: u64, changes: &mut Vec<String>) {
    let what = match term.of(total) > total {
        true => "more than",
        false => "all that",
    };
    changes.push(format!(
        "{section}.term, {term}, is {what} this machine has ({}): the default, {default}, applies instead",
        roughly(total)
    ));
    *term = default;
}

fn lower_kill(section: &str, term: Amount, kill: &mut Amount, total: u64, changes: &mut Vec<String>) {
    if kill.of(total) > term.of(total) {
        let lowered = below(term);
        changes.push(format!(
            "{section}.kill, {kill}, is above {section}.term, {term}, on this machine and is lowered to {lowered}"
        ));
        *kill = lowered;
    }
}

/// The `kill` that belongs to a `term` when none that fits was written.
fn below(term: Amount) -> Amount {
    match term {
        // Rounded to hundredths of a percent, so that it is printed as a person would write it.
        Amount::Percent(percent) => Amount::Percent((percent * f64::from(KILL_SHARE_PERCENT)).round() / 100.0),
        Amount::Bytes(bytes) => Amount::Bytes(bytes / 100 * u64::from(KILL_SHARE_PERCENT)),
    }
}

/// Of the places where two values were set, the one that was read last: that is the change to look at.
fn later<'p>(a: &'p Place, b: &'p Place) -> &'p Place {
    match (b.source, b.span.start) > (a.source, a.span.start) {
        true => b,
        false => a,
    }
}

/// A size of memory or swap as a person says it.
fn roughly(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    #[expect(clippy::cast_precision_loss, reason = "one decimal of a size for people")]
    let mib = bytes as f64 / MIB as f64;
    if mib < 1024.0 { format!("{mib:.0} MiB") } else { format!("{:.1} GiB", mib / 1024.0) }
}
