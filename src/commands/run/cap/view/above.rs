//! The limits above a place: whether it was one of those that was hit.

use std::path::Path;

use crate::host::dir::{Dir, HeldFile};
use crate::observe::parse::parse_memory_events;

use super::super::{Place, Tightest, tree};
use super::read;

/// What is known of them.
#[derive(Debug)]
pub(super) enum Above {
    /// v2, nearest first: each with its count of hits at first.
    Counted(Vec<(Tightest, HeldFile, u64)>),
    /// v1 counts no hits: a limit that is tighter than the cap is the one that is hit.
    Tighter(Option<Tightest>),
}

impl Above {
    /// Opens those above this cgroup.
    pub(super) fn open(dir: &Path) -> Self {
        let own = tree::spot_of(dir);
        let limited = own.levels().skip(1).filter_map(|level| {
            let dir = level.dir();
            let bytes = tree::limit(&dir, "memory.max")?;
            let file = Dir::open(&dir).ok()?.file(c"memory.events.local").ok()?;
            let count = hits(&file)?;
            Some((Tightest { bytes, cgroup: level.name() }, file, count))
        });
        Self::Counted(limited.collect())
    }

    /// The one that matters of those above a place on v1.
    pub(super) fn of_v1(place: &Place) -> Self {
        let own = place.dir.as_deref().map(|dir| tree::spot_of(dir).name());
        Self::Tighter(place.tightest.clone().filter(|tightest| Some(&tightest.cgroup) != own.as_ref()))
    }

    /// The nearest that was hit. `kills`: how many processes of the place were killed.
    pub(super) fn hit(&self, kills: u64) -> Option<Tightest> {
        match self {
            Self::Counted(all) => all
                .iter()
                .find(|(_, file, before)| hits(file).is_some_and(|now| now > *before))
                .map(|(tightest, ..)| tightest.clone()),
            Self::Tighter(tightest) => tightest.clone().filter(|_| kills > 0),
        }
    }
}

fn hits(file: &HeldFile) -> Option<u64> {
    read(file, parse_memory_events)?.oom
}
