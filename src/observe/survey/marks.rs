//! The marks that systemd-oomd leaves on a cgroup: `user.oomd_ooms` just before it kills there, `user.oomd_kill` (how many
//! processes) just after (`oomd_cgroup_kill` in systemd's `src/oom/oomd-util.c`). inotify tells of both.
//!
//! By the second mark the cgroup may be gone, because systemd removes what is empty; then the first one and the end of the
//! cgroup tell the same, without the number.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::host::clock;
use crate::host::dir::Dir;
use crate::observe::cgroups::{self, CgroupPath, is_within};
use crate::observe::parse::parse_populated;

use super::{CgroupKey, News, Sink, Survey};

/// systemd-oomd's own unit. Anybody may set these marks on a cgroup that is his own; without it they are no more than that.
const OOMD: &[u8] = b"/system.slice/systemd-oomd.service";

/// From the first mark to the end of the cgroup: SIGKILL takes milliseconds, unless the processes hang.
const SOON: Duration = Duration::from_secs(10);

/// A kill of systemd-oomd's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OomdKill {
    /// Where it killed everything.
    pub path: CgroupPath,
    /// How many processes it killed; `None` when the cgroup was gone before that could be read.
    pub processes: Option<u64>,
}

/// What was seen on cgroups: only those that have a mark at all.
#[derive(Debug, Default)]
pub(super) struct Marks(BTreeMap<CgroupKey, Seen>);

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    ooms: u64,
    kills: u64,
    /// When a kill was announced that was not told yet.
    announced: Option<Duration>,
}

impl Marks {
    pub fn remove(&mut self, key: CgroupKey) {
        self.0.remove(&key);
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Survey {
    /// Notes what is on a cgroup that is watched from now on.
    pub(super) fn note_marks(&mut self, key: CgroupKey, dir: &Dir) {
        let seen = read(dir);
        if seen.ooms > 0 || seen.kills > 0 {
            self.marks.0.insert(key, seen);
        }
    }

    /// Something was set on a cgroup.
    pub(super) fn heed_mark(&mut self, key: CgroupKey, sink: Sink<'_>) {
        // Gone: what was announced is told when it is forgotten.
        let (Ok(dir), Some(path)) = (self.open(key), self.tree.path(key)) else { return };
        let now = read(&dir);
        if now.ooms == 0 && now.kills == 0 {
            return;
        }
        let seen = self.marks.0.entry(key).or_default();
        if now.ooms > seen.ooms {
            seen.announced = Some(clock::now());
        }
        let killed = now.kills.saturating_sub(seen.kills);
        (seen.ooms, seen.kills) = (now.ooms, now.kills);
        if killed > 0 {
            seen.announced = None;
            self.tell_oomd_kill(&path, Some(killed), sink);
        }
    }

    /// The cgroups at and below this one, which is gone, where a kill was announced and not told.
    pub(super) fn doomed(&self, key: CgroupKey) -> Vec<CgroupPath> {
        let now = clock::now();
        let announced = |seen: &Seen| seen.announced.is_some_and(|at| now.saturating_sub(at) < SOON);
        let Some(gone) = (!self.marks.0.is_empty()).then(|| self.tree.path(key)).flatten() else { return Vec::new() };
        let marked =
            self.marks.0.iter().filter(|(_, seen)| announced(seen)).filter_map(|(key, _)| self.tree.path(*key));
        marked.filter(|path| is_within(path.as_bytes(), gone.as_bytes())).collect()
    }

    pub(super) fn tell_oomd_kill(&self, path: &CgroupPath, processes: Option<u64>, sink: Sink<'_>) {
        if self.oomd_runs() {
            sink(News::OomdKill(OomdKill { path: *path, processes }));
        }
    }

    fn oomd_runs(&self) -> bool {
        let mut buf = [0; 128];
        cgroups::open(&self.root, OOMD)
            .and_then(|dir| dir.read(c"cgroup.events", &mut buf).map(|text| parse_populated(text) == Ok(true)))
            .unwrap_or(false)
    }
}

fn read(dir: &Dir) -> Seen {
    let number = |name| dir.xattr_number(name).unwrap_or(0);
    Seen { ooms: number(c"user.oomd_ooms"), kills: number(c"user.oomd_kill"), announced: None }
}
