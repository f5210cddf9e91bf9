//! The cgroup tree: limits and use of each.

use crate::observe::cgroups;
use crate::observe::parse::{Limit, parse_limit, parse_memory_stat, parse_populated};

use super::reader::Reader;

/// So many are looked at: a machine with a thousand containers has as many. Each is some ten small reads.
const MOST_GROUPS: usize = 5000;

/// Where cgroups are mounted.
const ROOT: &str = "/sys/fs/cgroup";

/// Which hierarchies are mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hierarchy {
    /// Everything is in the unified one.
    V2,
    /// v1 hierarchies, memory among them, and a unified one beside them without controllers.
    Hybrid,
    /// v1 only.
    V1,
}

/// What is mounted, and what is in it.
#[derive(Clone, Debug)]
pub struct Tree {
    /// v1, v2 or both.
    pub hierarchy: Hierarchy,
    /// The cgroups of the unified hierarchy that have a memory controller; each after its parent, the root first.
    pub groups: Vec<Group>,
}

/// A cgroup. Sizes in bytes; `None` where there is no such file: the root has none but in a container, and no cgroup
/// whose memory controller is off.
#[derive(Clone, Debug)]
pub struct Group {
    /// Below the root of the hierarchy, beginning with `/`; `/` itself is the root.
    pub path: String,
    /// What reclaim leaves alone: `memory.min` or `memory.low`, the larger.
    pub protected: Option<u64>,
    /// `memory.high`.
    pub high: Option<Limit>,
    /// `memory.max`.
    pub max: Option<Limit>,
    /// `memory.swap.max`.
    pub swap_max: Option<Limit>,
    /// `anon` of `memory.stat` and `memory.swap.current`: what only swap or an end can free.
    pub anon: Option<u64>,
    /// What a cap can't take away without killing: `memory.current` without page cache, and `memory.swap.current`.
    pub holds: Option<u64>,
    /// There is a process in it or below it (`cgroup.events`).
    pub populated: bool,
    /// How many processes are in it, those below it not counted.
    pub processes: usize,
    /// `cgroup.controllers` has `memory`.
    pub has_memory: bool,
}

impl Tree {
    /// Reads it; `None` without any cgroups.
    pub fn read(reader: &mut Reader) -> Option<Self> {
        let v1 = reader.exists(&format!("{ROOT}/memory/memory.limit_in_bytes"));
        let (hierarchy, root) = if reader.exists(&format!("{ROOT}/cgroup.controllers")) {
            (Hierarchy::V2, Some(ROOT.to_owned()))
        } else if reader.exists(&format!("{ROOT}/unified/cgroup.controllers")) {
            (Hierarchy::Hybrid, None)
        } else if v1 {
            (Hierarchy::V1, None)
        } else {
            return None;
        };
        if root.is_none() {
            reader.unseen("the limits of cgroups", "they are v1's, and only v2's are looked at");
        }
        let mut groups = Vec::new();
        if let Some(root) = root {
            let mut next = vec!["/".to_owned()];
            while let Some(path) = next.pop() {
                if groups.len() == MOST_GROUPS {
                    reader.unseen("cgroups", &format!("there are more than the {MOST_GROUPS} that were looked at"));
                    break;
                }
                let base = path.trim_end_matches('/');
                let at = format!("{root}{base}");
                groups.push(Group::read(reader, &at, &path));
                // The last is taken first.
                let children = reader.names(&at).into_iter().rev().map(|name| format!("{base}/{name}"));
                next.extend(children.filter(|child| reader.at(&format!("{root}{child}")).is_dir()));
            }
        }
        Some(Self { hierarchy, groups })
    }

    /// The cgroup of this path.
    #[must_use]
    pub fn group(&self, path: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.path == path)
    }

    /// The cgroups that enclose this one, the root first, without itself.
    pub fn above<'t>(&'t self, group: &'t Group) -> impl Iterator<Item = &'t Group> {
        self.groups.iter().filter(move |other| other.path != group.path && is_within(&group.path, &other.path))
    }

    /// This one and those below it.
    pub fn within<'t>(&'t self, path: &'t str) -> impl Iterator<Item = &'t Group> {
        self.groups.iter().filter(move |other| is_within(&other.path, path))
    }
}

impl Group {
    /// `memory.max`, where it is one.
    #[must_use]
    pub fn cap(&self) -> Option<u64> {
        self.max.and_then(Limit::bytes)
    }

    /// `memory.high`, where it is one.
    #[must_use]
    pub fn throttle(&self) -> Option<u64> {
        self.high.and_then(Limit::bytes)
    }

    /// The last part of the path.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// The uid whose slice (`user-UID.slice`) this is.
    #[must_use]
    pub fn user(&self) -> Option<u32> {
        self.name().strip_prefix("user-")?.strip_suffix(".slice")?.parse().ok()
    }

    fn read(reader: &mut Reader, at: &str, path: &str) -> Self {
        let file = |name: &str| format!("{at}/{name}");
        let mut limit = |name: &str| reader.text(&file(name)).and_then(|text| parse_limit(text.as_bytes()).ok());
        let [min, low, high, max, swap_max] =
            ["memory.min", "memory.low", "memory.high", "memory.max", "memory.swap.max"].map(&mut limit);
        // `max` stands for all of it.
        let protection = |limit: Limit| limit.bytes().unwrap_or(u64::MAX);
        let events = reader.text(&file("cgroup.events"));
        let processes = reader.text(&file("cgroup.procs")).map_or(0, |text| text.lines().count());
        let stat = reader.text(&file("memory.stat"));
        let stat = stat.and_then(|text| parse_memory_stat(text.as_bytes()).ok()).unwrap_or_default();
        let swap = reader.number(&file("memory.swap.current")).unwrap_or(0);
        let current = reader.number(&file("memory.current"));
        Self {
            path: path.to_owned(),
            protected: min.map(protection).max(low.map(protection)),
            high,
            max,
            swap_max,
            anon: stat.anon.map(|anon| anon.saturating_add(swap)),
            holds: current.map(|current| stat.held(current, swap)),
            populated: events.is_some_and(|text| parse_populated(text.as_bytes()).unwrap_or(false)),
            processes,
            has_memory: reader
                .text(&file("cgroup.controllers"))
                .is_some_and(|text| text.split_ascii_whitespace().any(|word| word == "memory")),
        }
    }
}

fn is_within(path: &str, ancestor: &str) -> bool {
    cgroups::is_within(path.as_bytes(), ancestor.as_bytes())
}
