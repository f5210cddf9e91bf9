//! The cgroup tree: limits and use of each.

use crate::observe::parse::{Limit, parse_limit, parse_populated};

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

/// A cgroup. Sizes in bytes; `None` where there is no such file.
#[derive(Clone, Debug)]
pub struct Group {
    /// Below the root of the hierarchy, beginning with `/`; `/` itself is the root.
    pub path: String,
    /// `memory.min`.
    pub min: Option<Limit>,
    /// `memory.high`.
    pub high: Option<Limit>,
    /// `memory.max`.
    pub max: Option<Limit>,
    /// `memory.swap.max`.
    pub swap_max: Option<Limit>,
    /// `memory.current`.
    pub current: Option<u64>,
    /// `memory.swap.current`.
    pub swap_current: Option<u64>,
    /// `memory.oom.group` is 1.
    pub oom_group: bool,
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
}

impl Group {
    fn read(reader: &mut Reader, at: &str, path: &str) -> Self {
        let file = |name: &str| format!("{at}/{name}");
        let mut limit = |name: &str| reader.text(&file(name)).and_then(|text| parse_limit(text.as_bytes()).ok());
        let [min, high, max, swap_max] = ["memory.min", "memory.high", "memory.max", "memory.swap.max"].map(&mut limit);
        let events = reader.text(&file("cgroup.events"));
        let processes = reader.text(&file("cgroup.procs")).map_or(0, |text| text.lines().count());
        Self {
            path: path.to_owned(),
            min,
            high,
            max,
            swap_max,
            current: reader.number(&file("memory.current")),
            swap_current: reader.number(&file("memory.swap.current")),
            oom_group: reader.number(&file("memory.oom.group")) == Some(1),
            populated: events.is_some_and(|text| parse_populated(text.as_bytes()).unwrap_or(false)),
            processes,
            has_memory: reader
                .text(&file("cgroup.controllers"))
                .is_some_and(|text| text.split_ascii_whitespace().any(|word| word == "memory")),
        }
    }
}
