//! Limits of cgroups that freeze what is in them, or that limit nothing.

use serde_json::Value;

use super::super::facts::Facts;
use super::super::facts::cgroups::{Group, Tree};
use super::super::{Finding, Severity};
use super::{commands, evidence, limit};
use crate::observe::parse::Limit;
use crate::report::Size;
use crate::report::incident::advice::{round_up, set, systemd_size};

/// Throttled for ever, without an end by the OOM killer.
pub const LIVELOCK_BAND: &str = "livelock-band";

/// `memory.high` is reached before any `memory.max`, and no swap can take what is above it: the kernel lets the tasks
/// sleep longer and longer (`mem_cgroup_handle_over_high` in mm/memcontrol.c) and never kills.
pub fn livelock_band(facts: &Facts) -> Vec<Finding> {
    let Some(tree) = &facts.cgroups else { return Vec::new() };
    let finding = |group: &Group| {
        let high = group.throttle().unwrap_or_default();
        let to = group.cap().map_or("without end".to_owned(), |max| format!("to memory.max {}", Size(max)));
        let no_high = set(&group.path, "MemoryHigh=infinity", ("memory.high", "max"));
        let fix = if group.cap().is_some() {
            commands(&group.path, &[no_high])
        } else {
            let above = tree.above(group).filter_map(Group::cap).chain(facts.machine.total).min();
            match cap_for(group, high, above.unwrap_or(u64::MAX)) {
                Ok(cap) => commands(&group.path, &[no_high, cap]),
                Err(why) => format!("{}\n{why}", commands(&group.path, &[no_high])),
            }
        };
        Finding {
            id: LIVELOCK_BAND,
            severity: Severity::Danger,
            title: format!("{}: throttled from memory.high {} {to}, with no swap", group.path, Size(high)),
            evidence: evidence([
                ("cgroup", group.path.as_str().into()),
                ("memory.high", limit(group.high)),
                ("memory.max", limit(group.max)),
                ("swap", swap(facts, tree, group).into()),
            ]),
            why: "Above memory.high the kernel reclaims, and lets the tasks sleep when nothing can be reclaimed: each \
                  step takes seconds, memory.max is never reached, and no OOM killer ends it. One hard limit ends it \
                  at once.",
            fix,
        }
    };
    bands(facts, tree).map(finding).collect()
}

/// So much of what a cgroup holds is room to go on in (an eighth): a cap without it kills when it is pasted.
const ROOM: u64 = 8;

/// The command that caps a cgroup at `wanted`, or at what it holds and some room; both below `limit`, or else why not, and
/// what to do. In bytes.
fn cap_for(group: &Group, wanted: u64, limit: u64) -> Result<String, String> {
    let least = group.holds.map_or(0, |held| held.saturating_add(held / ROOM));
    let cap = [wanted, limit / 4 * 3].into_iter().map(|cap| round_up(cap.max(least))).find(|cap| *cap < limit);
    let Some(cap) = cap else {
        return Err(format!(
            "It holds {}: no MemoryMax below {} leaves it room. Have it hold less, or raise that limit; then set one.",
            Size(group.holds.unwrap_or_default()),
            Size(limit)
        ));
    };
    Ok(set(&group.path, &format!("MemoryMax={}", systemd_size(cap)), ("memory.max", &cap.to_string())))
}

/// Less than this part of it above `memory.high` (1.25 %) nobody sleeps, because the kernel skips sleeps of up to HZ/100
/// (`calculate_high_delay` and its caller in mm/memcontrol.c): in so narrow a band `memory.max` is reached, and its OOM
/// killer. Proxmox VE gives each container one of 1/128.
const NARROW: u64 = 80;

/// The cgroups with such a band.
pub(super) fn bands<'t>(facts: &'t Facts, tree: &'t Tree) -> impl Iterator<Item = &'t Group> {
    tree.groups.iter().filter(move |group| {
        let max = tree.above(group).chain([*group]).filter_map(Group::cap).min();
        let is_wide = |high: u64| max.is_none_or(|max| high.saturating_add(high / NARROW) < max);
        group.throttle().is_some_and(is_wide) && may_swap(facts, tree, group) == Some(false)
    })
}

/// Whether anything in the cgroup may go to swap; `None` when that could not be read.
pub(super) fn may_swap(facts: &Facts, tree: &Tree, group: &Group) -> Option<bool> {
    let forbidden = tree.above(group).chain([group]).any(|group| group.swap_max == Some(Limit::Bytes(0)));
    if forbidden { Some(false) } else { facts.machine.has_swap() }
}

/// Why nothing may go to swap, or what may.
fn swap(facts: &Facts, tree: &Tree, group: &Group) -> String {
    let forbids = tree.above(group).chain([group]).find(|group| group.swap_max == Some(Limit::Bytes(0)));
    match forbids {
        Some(group) => format!("memory.swap.max 0 of {}", group.path),
        None if facts.machine.has_swap() == Some(false) => "none in /proc/swaps".to_owned(),
        None => "allowed".to_owned(),
    }
}

/// A cap that spills into memory.
pub const CAP_SWAPS: &str = "cap-swaps";

/// A cap below this part of the memory (1 %) is a small helper's: what spills from it freezes nobody else.
const SMALL: u64 = 100;

/// At its cap the cgroup goes on in compressed swap, which lives in the memory that the cap was to keep free.
pub fn cap_swaps(facts: &Facts) -> Vec<Finding> {
    let (Some(tree), Some(swaps)) = (&facts.cgroups, &facts.machine.swaps) else { return Vec::new() };
    let zram = swaps.iter().any(|swap| swap.is_zram());
    let zswap = facts.machine.zswap == Some(true) && !swaps.is_empty();
    if !zram && !zswap {
        return Vec::new();
    }
    let spills =
        |group: &&Group| group.populated && group.cap().is_some() && may_swap(facts, tree, group) == Some(true);
    // One that is cured cures those in it.
    let topmost = |group: &&Group| !tree.above(group).any(|above| spills(&above));
    let finding = |group: &Group| {
        let cap = group.cap().unwrap_or_default();
        let is_large = cap >= facts.machine.total.unwrap_or_default() / SMALL;
        let severity = match (group.swap_max.and_then(Limit::bytes), zram) {
            (None, true) if is_large => Severity::Danger,
            (None, true) => Severity::Note,
            (None, false) => Severity::Warning,
            // Somebody chose how much.
            (Some(_), _) => Severity::Note,
        };
        let kind = if zram { "zram" } else { "zswap" };
        let names: Vec<&str> = swaps.iter().map(|swap| swap.path.as_str()).collect();
        Finding {
            id: CAP_SWAPS,
            severity,
            title: format!("{}: at its cap of {} it goes on in {kind}", group.path, Size(cap)),
            evidence: evidence([
                ("cgroup", group.path.as_str().into()),
                ("memory.max", limit(group.max)),
                ("memory.swap.max", limit(group.swap_max)),
                ("/proc/swaps", names.join(" ").into()),
                ("zswap enabled", facts.machine.zswap.into()),
            ]),
            why: "At a cap without swap a task dies. With compressed swap it goes on instead, at the processor's cost \
                  and in memory outside the cap: minutes in which the machine hardly moves.",
            fix: commands(&group.path, &[set(&group.path, "MemorySwapMax=0", ("memory.swap.max", "0"))]),
        }
    };
    tree.groups.iter().filter(spills).filter(topmost).map(finding).collect()
}

/// A cap that is never reached.
pub const CAP_VOID: &str = "cap-void";

/// Something above the cap is tighter: another cgroup, or the machine itself.
pub fn cap_void(facts: &Facts) -> Vec<Finding> {
    let Some(tree) = &facts.cgroups else { return Vec::new() };
    let finding = |group: &Group| {
        // The root has a cap in a container only: the container's own, which lxcfs makes the machine's memory too.
        let cap = group.cap().filter(|_| group.populated && group.path != "/")?;
        let limits = |above: &&Group| above.cap().into_iter().chain(above.throttle()).min();
        let tightest = tree.above(group).filter(|above| limits(above).is_some()).min_by_key(limits);
        let (who, bytes) = match (tightest.and_then(|above| Some((above, limits(&above)?))), facts.machine.total) {
            (Some((above, bytes)), _) if bytes < cap => (above.path.as_str(), bytes),
            (_, Some(total)) if total <= cap => ("the machine", total),
            _ => return None,
        };
        let fix = cap_for(group, bytes / 4 * 3, bytes).map_or_else(|why| why, |cap| commands(&group.path, &[cap]));
        Some(Finding {
            id: CAP_VOID,
            severity: Severity::Warning,
            title: format!("{}: its cap of {} is not below the {} of {who}", group.path, Size(cap), Size(bytes)),
            evidence: evidence([
                ("cgroup", group.path.as_str().into()),
                ("memory.max", limit(group.max)),
                ("tighter", who.into()),
                ("tighter limit", bytes.into()),
            ]),
            why: "The cap is never reached: at the tighter limit somebody else may die for this one's growth.",
            fix,
        })
    };
    tree.groups.iter().filter_map(finding).collect()
}

/// Caps that together promise more than there is.
pub const CAPS_EXCEED_MEMORY: &str = "caps-exceed-memory";

/// Each of the siblings keeps to its cap, and the machine is full all the same.
pub fn caps_exceed_memory(facts: &Facts) -> Vec<Finding> {
    let (Some(tree), Some(total)) = (&facts.cgroups, facts.machine.total) else { return Vec::new() };
    let finding = |parent: &Group| {
        if tree.above(parent).chain([parent]).filter_map(Group::cap).any(|cap| cap < total) {
            return None;
        }
        let prefix = parent.path.trim_end_matches('/');
        let is_child = |group: &&Group| group.path.rsplit_once('/').is_some_and(|(above, _)| above == prefix);
        // Those at or above all of memory are found one by one.
        let caps: Vec<u64> = tree
            .groups
            .iter()
            .filter(|group| group.path != "/" && group.populated)
            .filter(is_child)
            .filter_map(|group| group.cap().filter(|cap| *cap < total))
            .collect();
        let sum = caps.iter().fold(0_u64, |sum, cap| sum.saturating_add(*cap));
        (caps.len() > 1 && sum > total).then(|| {
            // A cap on all of the system's services would be the way in's, too.
            let cure = if matches!(parent.path.as_str(), "/" | "/system.slice") {
                "Put them below one slice that has a cap (Slice=), or lower the caps.".to_owned()
            } else {
                let swap = set(&parent.path, "MemorySwapMax=0", ("memory.swap.max", "0"));
                cap_for(parent, total / 8 * 7, total).map_or_else(|why| why, |cap| commands(&parent.path, &[cap, swap]))
            };
            Finding {
                id: CAPS_EXCEED_MEMORY,
                severity: Severity::Note,
                title: format!(
                    "{}: {} caps below it come to {} of {}",
                    parent.path,
                    caps.len(),
                    Size(sum),
                    Size(total)
                ),
                evidence: evidence([
                    ("cgroup", parent.path.as_str().into()),
                    ("caps", caps.len().into()),
                    ("sum of memory.max", Value::from(sum)),
                    ("MemTotal", total.into()),
                ]),
                why: "All can be below their caps while the machine is out of memory. A cap on what encloses them \
                      bounds them together.",
                fix: cure,
            }
        })
    };
    tree.groups.iter().filter_map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::facts::cgroups::Hierarchy;
    use super::super::super::facts::machine::{Machine, Swap};
    use super::*;

    const GIB: u64 = 1 << 30;

    /// A populated cgroup with `memory.high`, `memory.max` and `memory.swap.max` in GiB; `None` is `max`.
    fn group(path: &str, [high, max, swap_max]: [Option<u64>; 3]) -> Group {
        let limit = |gib: Option<u64>| Some(gib.map_or(Limit::Max, |gib| Limit::Bytes(gib * GIB)));
        Group {
            path: path.to_owned(),
            protected: None,
            high: limit(high),
            max: limit(max),
            swap_max: limit(swap_max),
            anon: None,
            holds: None,
            populated: true,
            processes: 1,
            has_memory: true,
        }
    }

    /// A machine of 8 GiB; `swaps` are the paths, `None` when that is not known.
    fn facts(groups: &[Group], swaps: Option<&[&str]>) -> Facts {
        let swap =
            |path: &&str| Swap { path: (*path).to_owned(), kind: "partition".into(), size: GIB, used: 0, priority: 1 };
        let swaps = swaps.map(|paths| paths.iter().map(swap).collect());
        let tree = Tree { hierarchy: Hierarchy::V2, groups: groups.to_vec() };
        Facts {
            cgroups: Some(tree),
            machine: Machine { total: Some(8 * GIB), swaps, ..Machine::default() },
            ..Facts::default()
        }
    }

    fn titles(found: &[Finding]) -> Vec<&str> {
        found.iter().map(|finding| finding.title.as_str()).collect()
    }

    #[test]
    fn a_band_takes_a_limit_that_throttles_and_nowhere_to_go() {
        let none: Option<&[&str]> = Some(&[]);
        let (disk, unknown): (Option<&[&str]>, _) = (Some(&["/dev/sda2"]), None);
        let found = "/a: throttled from memory.high 2.0 GiB to memory.max 3.0 GiB, with no swap";
        let rows = [
            ([Some(2), Some(3), None], none, found),
            ([Some(2), Some(3), None], disk, ""),
            ([Some(2), Some(3), Some(0)], disk, found),
            ([Some(2), Some(3), None], unknown, ""),
            ([Some(2), None, None], none, "/a: throttled from memory.high 2.0 GiB without end, with no swap"),
            ([Some(3), Some(3), None], none, ""),
            ([None, Some(3), None], none, ""),
        ];
        for (limits, swaps, expected) in rows {
            let found = livelock_band(&facts(&[group("/a", limits)], swaps));
            assert_eq!(titles(&found).concat(), expected, "{limits:?} {swaps:?}");
        }
        // What encloses it may forbid swap, or end it first.
        let inner = || group("/a/b", [Some(2), Some(3), None]);
        assert_eq!(livelock_band(&facts(&[group("/a", [None, None, Some(0)]), inner()], disk)).len(), 1);
        assert!(livelock_band(&facts(&[group("/a", [None, Some(1), None]), inner()], none)).is_empty());
        let endless = livelock_band(&facts(&[group("/a.slice", [Some(2), None, None])], none));
        assert_eq!(
            endless[0].fix,
            "  systemctl set-property a.slice MemoryHigh=infinity\n  systemctl set-property a.slice MemoryMax=2048M"
        );
    }

    #[test]
    fn no_cap_is_below_what_is_held() {
        // The machine has 8 GiB.
        let rows = [
            (10, "  systemctl set-property db.service MemoryMax=6144M"),
            // With an eighth of it on top, rounded up.
            (56, "  systemctl set-property db.service MemoryMax=6656M"),
            (
                72,
                "It holds 7.2 GiB: no MemoryMax below 8.0 GiB leaves it room. Have it hold less, or raise that \
                  limit; then set one.",
            ),
        ];
        for (tenths, expected) in rows {
            let mut db = group("/system.slice/db.service", [None, Some(64), None]);
            db.holds = Some(GIB / 10 * tenths);
            assert_eq!(cap_void(&facts(&[db.clone()], None))[0].fix, expected);
            // Throttled at 4 GiB, where it may not even be reclaimed.
            (db.high, db.max) = (Some(Limit::Bytes(4 * GIB)), Some(Limit::Max));
            let cured = expected.replace("6144M", "4096M");
            let fix = format!("  systemctl set-property db.service MemoryHigh=infinity\n{cured}");
            assert_eq!(livelock_band(&facts(&[db], Some(&[])))[0].fix, fix);
        }
        let mut small = group("/a.service", [None; 3]);
        small.high = Some(Limit::Bytes(512 << 10));
        assert!(livelock_band(&facts(&[small.clone()], Some(&[])))[0].fix.ends_with("MemoryMax=1M"));
        // What encloses it bounds it, too.
        let inner = group("/a.slice/a.service", [Some(2), None, None]);
        let fix = &livelock_band(&facts(&[group("/a.slice", [None, Some(3), None]), inner], Some(&[])))[0].fix;
        assert!(fix.ends_with("MemoryMax=2048M"), "{fix}");
        let [mut parent, six] = [group("/u", [None; 3]), group("/u/a", [None, Some(6), None])];
        parent.holds = Some(8 * GIB - 1);
        let other = Group { path: "/u/b".into(), ..six.clone() };
        assert!(caps_exceed_memory(&facts(&[parent, six, other], None))[0].fix.starts_with("It holds 8.0 GiB: no "));
    }

    #[test]
    fn compressed_swap_is_as_bad_as_there_is_much_of_it() {
        let zram: Option<&[&str]> = Some(&["/dev/zram0"]);
        let severity = |limits, swaps, zswap| {
            let mut facts = facts(&[group("/a", limits)], swaps);
            facts.machine.zswap = zswap;
            cap_swaps(&facts).first().map(|finding| finding.severity)
        };
        assert_eq!(severity([None, Some(2), None], zram, None), Some(Severity::Danger));
        assert_eq!(severity([None, Some(2), Some(1)], zram, None), Some(Severity::Note));
        assert_eq!(severity([None, Some(2), Some(0)], zram, None), None);
        assert_eq!(severity([None, None, None], zram, None), None);
        let disk: Option<&[&str]> = Some(&["/dev/sda2"]);
        assert_eq!(severity([None, Some(2), None], disk, Some(true)), Some(Severity::Warning));
        assert_eq!(severity([None, Some(2), None], disk, Some(false)), None);
        assert_eq!(severity([None, Some(2), None], Some(&[]), Some(true)), None);
        // The topmost is cured, and with it those below.
        let nested = [group("/a", [None, Some(4), None]), group("/a/b", [None, Some(2), None])];
        let found = cap_swaps(&facts(&nested, zram));
        assert_eq!(titles(&found), ["/a: at its cap of 4.0 GiB it goes on in zram"]);
    }

    #[test]
    fn the_tightest_limit_is_named() {
        let tree = [
            group("/a", [None, Some(4), None]),
            group("/a/b", [Some(2), Some(3), None]),
            group("/a/b/c", [None, Some(3), None]),
            group("/d", [None, Some(8), None]),
        ];
        let found = cap_void(&facts(&tree, None));
        let expected = [
            "/a/b/c: its cap of 3.0 GiB is not below the 2.0 GiB of /a/b",
            "/d: its cap of 8.0 GiB is not below the 8.0 GiB of the machine",
        ];
        assert_eq!(titles(&found), expected);
    }

    #[test]
    fn caps_are_added_up_among_siblings_only() {
        let six = || [None, Some(6), None];
        let pair = [group("/", [None; 3]), group("/u", [None; 3]), group("/u/a", six()), group("/u/b", six())];
        assert_eq!(
            titles(&caps_exceed_memory(&facts(&pair, None))),
            ["/u: 2 caps below it come to 12.0 GiB of 8.0 GiB"]
        );
        let apart = [
            group("/", [None; 3]),
            group("/u", [None; 3]),
            group("/u/a", six()),
            group("/v", [None; 3]),
            group("/v/b", six()),
        ];
        assert!(caps_exceed_memory(&facts(&apart, None)).is_empty());
        let top = [group("/", [None; 3]), group("/a", six()), group("/b", six())];
        assert_eq!(titles(&caps_exceed_memory(&facts(&top, None))), ["/: 2 caps below it come to 12.0 GiB of 8.0 GiB"]);
    }
}
