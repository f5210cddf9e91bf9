//! The marks that systemd-oomd leaves on a cgroup: `user.oomd_ooms` just before it kills there, `user.oomd_kill` (how many
//! processes) just after (`oomd_cgroup_kill` in systemd's `src/oom/oomd-util.c`). inotify tells of both.
//!
//! By the second mark the cgroup may be gone, because systemd removes what is empty; then the first one and the end of the
//! cgroup tell the same, without the number.
//!
//! Whoever owns a cgroup may set these marks on it. So one counts only with the end of everybody in the cgroup, and not more
//! often than systemd-oomd kills.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::host::clock;
use crate::host::dir::Dir;
use crate::observe::cgroups::{self, CgroupPath, is_within};
use crate::observe::parse::parse_populated;

use super::{CgroupKey, News, Sink, Survey};

/// systemd-oomd's own unit. Anybody may set these marks on a cgroup that is his own; without it they are no more than that.
const OOMD: &[u8] = b"/system.slice/systemd-oomd.service";

/// From a mark to the end of everybody in the cgroup: SIGKILL takes milliseconds, unless the processes hang. So long one
/// cgroup is told of once, too.
const SOON: Duration = Duration::from_secs(10);

/// Between two looks whether everybody is gone: systemd starts a unit anew after 100 ms.
const LOOK: Duration = Duration::from_millis(50);

/// So many cgroups are looked at at the same time.
const AT_ONCE: usize = 16;

/// So many kills are told in a [`MINUTE`]: systemd-oomd waits 15 s after each (`POST_ACTION_DELAY_USEC`), for memory and for
/// swap together.
const MOST: u32 = 6;

/// See [`MOST`].
const MINUTE: Duration = Duration::from_secs(60);

/// A kill of systemd-oomd's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OomdKill {
    /// Where it killed everything.
    pub path: CgroupPath,
    /// How many processes it killed; `None` when the cgroup was gone before that could be read.
    pub processes: Option<u64>,
}

/// What was seen on cgroups.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// Only those that have a mark at all.
    seen: BTreeMap<CgroupKey, Seen>,
    /// When the minute began in which so many were told.
    told: Option<(Duration, u32)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    ooms: u64,
    kills: u64,
    /// A kill that was not told yet.
    marked: Option<Marked>,
    /// When one was told last.
    told: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Marked {
    at: Duration,
    /// How many processes; `None` while it is only announced.
    processes: Option<u64>,
}

impl Seen {
    /// The kill that was marked a moment ago, unless one was told.
    fn fresh(&self, now: Duration) -> Option<Marked> {
        let is_soon = |at: Duration| now.saturating_sub(at) < SOON;
        self.marked.filter(|marked| is_soon(marked.at) && !self.told.is_some_and(is_soon))
    }

    /// Whether it is waited for the end of everybody.
    fn is_awaited(&self, now: Duration) -> bool {
        self.fresh(now).is_some_and(|marked| marked.processes.is_some())
    }
}

impl Marks {
    pub fn remove(&mut self, key: CgroupKey) {
        self.seen.remove(&key);
    }

    /// Whether one more may be told.
    fn admit(&mut self, now: Duration) -> bool {
        let (began, told) = self.told.filter(|(began, _)| now.saturating_sub(*began) < MINUTE).unwrap_or((now, 0));
        self.told = Some((began, told.saturating_add(1)));
        told < MOST
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }
}

impl Survey {
    /// Notes what is on a cgroup that is watched from now on.
    pub(super) fn note_marks(&mut self, key: CgroupKey, dir: &Dir) {
        let seen = read(dir);
        if seen.ooms > 0 || seen.kills > 0 {
            self.marks.seen.insert(key, seen);
        }
    }

    /// Something was set on a cgroup.
    pub(super) fn heed_mark(&mut self, key: CgroupKey, sink: Sink<'_>) {
        // Gone: what was announced is told when it is forgotten.
        let Ok(dir) = self.open(key) else { return };
        let (now, marks) = (clock::now(), read(&dir));
        if marks.ooms == 0 && marks.kills == 0 {
            return;
        }
        let awaited = self.marks.seen.values().filter(|seen| seen.is_awaited(now)).count();
        let seen = self.marks.seen.entry(key).or_default();
        let killed = marks.kills.saturating_sub(seen.kills);
        if killed > 0 && awaited < AT_ONCE {
            seen.marked = Some(Marked { at: now, processes: Some(killed) });
        } else if marks.ooms > seen.ooms {
            seen.marked = Some(Marked { at: now, processes: None });
        }
        (seen.ooms, seen.kills) = (marks.ooms, marks.kills);
        self.look_at_marked(key, now, sink);
    }

    /// When to [`Survey::look_at_marks`] again, if at all.
    #[must_use]
    pub fn look_at_marks_after(&self) -> Option<Duration> {
        let now = clock::now();
        self.marks.seen.values().any(|seen| seen.is_awaited(now)).then_some(LOOK)
    }

    /// Looks whether those are gone whom systemd-oomd says it has killed.
    pub fn look_at_marks(&mut self, sink: Sink<'_>) {
        let now = clock::now();
        let awaited = self.marks.seen.iter().filter(|(_, seen)| seen.is_awaited(now)).map(|(key, _)| *key);
        for key in awaited.collect::<Vec<_>>() {
            self.look_at_marked(key, now, sink);
        }
    }

    /// Tells of a kill if nobody is left there.
    fn look_at_marked(&mut self, key: CgroupKey, now: Duration, sink: Sink<'_>) {
        let Some(marked) = self.marks.seen.get(&key).filter(|seen| seen.is_awaited(now)).and_then(|seen| seen.marked)
        else {
            return;
        };
        let (Ok(dir), Some(path)) = (self.open(key), self.tree.path(key)) else { return };
        if is_populated(&dir) != Some(false) {
            return;
        }
        if let Some(seen) = self.marks.seen.get_mut(&key) {
            (seen.marked, seen.told) = (None, Some(now));
        }
        self.tell_oomd_kill(&path, marked.processes, sink);
    }

    /// The cgroups at and below this one, which is gone, where a kill was marked and not told, and of how many processes.
    pub(super) fn doomed(&self, key: CgroupKey) -> Vec<(CgroupPath, Option<u64>)> {
        let now = clock::now();
        let Some(gone) = (!self.marks.seen.is_empty()).then(|| self.tree.path(key)).flatten() else {
            return Vec::new();
        };
        let marked = self.marks.seen.iter().filter_map(|(key, seen)| {
            let processes = seen.fresh(now)?.processes;
            Some((self.tree.path(*key)?, processes))
        });
        marked.filter(|(path, _)| is_within(path.as_bytes(), gone.as_bytes())).collect()
    }

    pub(super) fn tell_oomd_kill(&mut self, path: &CgroupPath, processes: Option<u64>, sink: Sink<'_>) {
        if self.oomd_runs() && self.marks.admit(clock::now()) {
            sink(News::OomdKill(OomdKill { path: *path, processes }));
        }
    }

    fn oomd_runs(&self) -> bool {
        cgroups::open(&self.root, OOMD).is_ok_and(|dir| is_populated(&dir) == Some(true))
    }
}

/// Whether anybody is in a cgroup or below it; `None` when that can't be read.
fn is_populated(dir: &Dir) -> Option<bool> {
    parse_populated(dir.read(c"cgroup.events", &mut [0; 128]).ok()?).ok()
}

fn read(dir: &Dir) -> Seen {
    let number = |name| dir.xattr_number(name).unwrap_or(0);
    Seen { ooms: number(c"user.oomd_ooms"), kills: number(c"user.oomd_kill"), marked: None, told: None }
}
