//! The limits above a place: whether it was one of those that was hit.

use std::ffi::CStr;
use std::path::Path;

use crate::host::dir::{Dir, HeldFile};
use crate::observe::parse::{parse_cgroup_bytes, parse_memory_events};

use super::super::Tightest;
use super::super::tree::{self, Spot};
use super::read;

/// What is known of them.
#[derive(Debug)]
pub(super) enum Above {
    /// v2: how often each had nothing left to reclaim.
    V2(Vec<Level>),
    /// v1: how often each was reached, of the place's own limit too. One that is reached in reclaiming only counts as well,
    /// but for a kill one of them was.
    V1 {
        /// The place's own.
        own: Hits,
        /// Those above.
        above: Vec<Level>,
    },
}

/// A limit above the place, nearest first.
#[derive(Debug)]
pub(super) struct Level {
    limit: Tightest,
    hits: Hits,
}

/// A count that rises with each hit.
#[derive(Debug)]
pub(super) struct Hits {
    files: Vec<HeldFile>,
    count: fn(&HeldFile) -> Option<u64>,
    before: u64,
}

impl Hits {
    fn open(dir: &Path, names: &[&CStr], count: fn(&HeldFile) -> Option<u64>) -> Self {
        let held = Dir::open(dir).ok();
        let files = names.iter().filter_map(|name| held.as_ref()?.file(name).ok()).collect();
        let mut hits = Self { files, count, before: 0 };
        hits.before = hits.now();
        hits
    }

    fn now(&self) -> u64 {
        self.files.iter().filter_map(self.count).sum()
    }

    fn have_risen(&self) -> bool {
        self.now() > self.before
    }
}

impl Above {
    /// Opens those above this cgroup of v2.
    pub(super) fn open(dir: &Path) -> Self {
        let count = |file: &HeldFile| read(file, parse_memory_events)?.oom;
        let hits = |dir: &Path| Hits::open(dir, &[c"memory.events.local"], count);
        Self::V2(levels(&tree::spot_of(dir), |dir| tree::limit(dir, "memory.max"), hits))
    }

    /// The same, of v1. Where both limits are the same it is memory and swap together that is reached.
    pub(super) fn open_v1(dir: &Path) -> Self {
        let count = |file: &HeldFile| read(file, parse_cgroup_bytes);
        let hits = |dir: &Path| Hits::open(dir, &[c"memory.failcnt", c"memory.memsw.failcnt"], count);
        let limit = |dir: &Path| tree::limit_v1(dir, "memory.limit_in_bytes");
        Self::V1 { own: hits(dir), above: levels(&tree::spot_of(dir), limit, hits) }
    }

    /// The nearest that was hit. `kills`: how many processes of the place were killed.
    pub(super) fn hit(&self, kills: u64) -> Option<Tightest> {
        let above = match self {
            Self::V2(above) => above,
            Self::V1 { own, above } if kills > 0 && !own.have_risen() => above,
            Self::V1 { .. } => return None,
        };
        above.iter().find(|level| level.hits.have_risen()).map(|level| level.limit.clone())
    }
}

fn levels(own: &Spot, limit: impl Fn(&Path) -> Option<u64>, hits: impl Fn(&Path) -> Hits) -> Vec<Level> {
    let limited = own.levels().skip(1).filter_map(|level| {
        let bytes = limit(&level.dir())?;
        Some(Level { limit: Tightest { bytes, cgroup: level.name() }, hits: hits(&level.dir()) })
    });
    limited.collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture::Tree;
    use super::*;

    #[test]
    fn on_v1_the_limit_that_was_reached_is_the_one_that_was_hit() {
        let tree = Tree::new();
        for cgroup in ["a", "a/p"] {
            tree.make(cgroup, "");
            tree.write(cgroup, "memory.failcnt", "3\n");
            tree.write(cgroup, "memory.memsw.failcnt", "0\n");
        }
        tree.write("a", "memory.limit_in_bytes", "8388608\n");
        let above = Above::open_v1(&tree.dir("a/p"));
        assert_eq!(above.hit(1), None);
        // Others take what is left further up.
        tree.write("a", "memory.failcnt", "4\n");
        assert_eq!(above.hit(0), None);
        assert_eq!(above.hit(1), Some(Tightest { bytes: 8388608, cgroup: "/a".into() }));
        tree.write("a/p", "memory.memsw.failcnt", "1\n");
        assert_eq!(above.hit(1), None);
    }
}
