//! The parent's view of a place: what its cgroup uses, who is in it, and the end of it.

mod above;
mod after;
mod kill;
mod v1;

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use nix::poll::PollFlags;

use crate::host::dir::{Dir, HeldFile};
use crate::observe::parse::{Malformed, parse_cgroup_bytes, parse_memory_events, parse_pressure};

use super::{Kind, Place, Tightest, tree};
use above::Above;
use v1::OomNotice;

/// Room for any of the files that are read here but `cgroup.procs`: some 120 bytes today.
const SMALL_BYTES: usize = 512;

/// What the kernel's OOM killer did about a place. All counts are since the place was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OomCounts {
    /// How often the cap itself was hit with nothing left to reclaim (`oom` of `memory.events.local`; v1 does not count it:
    /// there it is the number of kills for it, unless a limit above was hit and it was not).
    pub at_cap: u64,
    /// How often all of the place was killed at once (`oom_group_kill` of `memory.events.local`; Linux 5.17): at the cap, at a
    /// limit above, or because the machine had no memory left. `None` where the kernel does not kill all of it, or does not
    /// count that.
    pub whole: Option<u64>,
    /// Processes of the place that were killed, whatever limit it was for, those of places inside this one too. When all of a
    /// place is killed the kernel counts the first of them twice.
    pub kills: u64,
    /// The limit further up that was hit since [`Cap::open`], if one was: the nearest of them.
    pub above: Option<Tightest>,
}

/// The cgroup of a place, looked at from outside.
#[derive(Debug)]
pub struct Cap {
    dir: PathBuf,
    pids_dir: Option<PathBuf>,
    is_v1: bool,
    /// Whether the kernel kills all of the place at the cap.
    kills_whole: bool,
    held: Dir,
    usage: HeldFile,
    peak: Option<HeldFile>,
    pressure: Option<HeldFile>,
    /// `memory.events`; v1's `memory.oom_control`.
    events: HeldFile,
    /// `memory.events.local`, where the cap's own hits are counted: the place's, and the scope's around it, whose limit is the
    /// same and may be met first, by what the keeper takes.
    local: Vec<HeldFile>,
    above: Above,
    notice: Option<OomNotice>,
    /// The most that was seen in use.
    seen: u64,
    /// Whose closing tells the keeper to end.
    _lifeline: OwnedFd,
}

impl Cap {
    /// Opens the cgroup's files. `lifeline` is the writing end of [`super::Wishes::lifeline`].
    ///
    /// # Errors
    /// Those of `openat(2)`: when the place has no memory controller, or is gone; `Unsupported` for a watched place, which has
    /// no cgroup.
    pub fn open(place: &Place, lifeline: OwnedFd) -> io::Result<Self> {
        let Some(dir) = place.dir.clone() else { return Err(io::ErrorKind::Unsupported.into()) };
        let is_v1 = place.kind == Kind::Cgroup1;
        let held = Dir::open(&dir)?;
        let optional = |name: &CStr| held.file(name).ok();
        let (usage, peak, events) = if is_v1 {
            (held.file(c"memory.usage_in_bytes")?, optional(c"memory.max_usage_in_bytes"), c"memory.oom_control")
        } else {
            (held.file(c"memory.current")?, optional(c"memory.peak"), c"memory.events")
        };
        // The scope's own limit is the cap's, too.
        let scope = dir.parent().filter(|_| place.keeper.is_some());
        let local = optional(c"memory.events.local").into_iter();
        let local = local.chain(scope.and_then(|dir| Dir::open(dir).ok()?.file(c"memory.events.local").ok()));
        Ok(Self {
            is_v1,
            kills_whole: !is_v1 && held.read(c"memory.oom.group", &mut [0; 8]).is_ok_and(|text| text == b"1\n"),
            usage,
            peak,
            pressure: optional(c"memory.pressure"),
            events: held.file(events)?,
            local: local.collect(),
            above: if is_v1 { Above::open_v1(&dir) } else { Above::open(scope.unwrap_or(&dir)) },
            notice: is_v1.then(|| OomNotice::of(&held).ok()).flatten(),
            held,
            dir,
            pids_dir: place.pids_dir.clone(),
            seen: 0,
            _lifeline: lifeline,
        })
    }

    /// Bytes in use: what is compared with the limit (`memory.current`).
    pub fn usage(&mut self) -> Option<u64> {
        let bytes = read(&self.usage, parse_cgroup_bytes)?;
        self.seen = self.seen.max(bytes);
        Some(bytes)
    }

    /// The most bytes that were ever in use (`memory.peak`, Linux 5.19; v1: `memory.max_usage_in_bytes`); where the kernel does
    /// not tell, the most that [`Cap::usage`] has seen.
    #[must_use]
    pub fn peak(&self) -> Option<u64> {
        let told = self.peak.as_ref().and_then(|file| read(file, parse_cgroup_bytes));
        told.or(Some(self.seen).filter(|seen| *seen > 0))
    }

    /// Microseconds in which no process of the place could run for lack of memory (`full` of `memory.pressure`). `None` on v1,
    /// and where the kernel keeps no account of pressure.
    #[must_use]
    pub fn stall_usec(&self) -> Option<u64> {
        Some(read(self.pressure.as_ref()?, parse_pressure)?.full?.total_us)
    }

    /// What the OOM killer did.
    #[must_use]
    pub fn oom(&self) -> OomCounts {
        let kills = match &self.notice {
            Some(notice) => notice.kills(&self.dir),
            None => read(&self.events, parse_memory_events).and_then(|events| events.oom_kill).unwrap_or(0),
        };
        let local = || self.local.iter().filter_map(|file| read(file, parse_memory_events));
        let above = self.above.hit(kills);
        OomCounts {
            at_cap: match (self.is_v1, &above) {
                (false, _) => local().filter_map(|events| events.oom).sum(),
                (true, None) => kills,
                (true, Some(_)) => 0,
            },
            whole: local().next().and_then(|events| events.oom_group_kill).filter(|_| self.kills_whole),
            kills,
            above,
        }
    }

    /// Fills `pids` with the processes of the place, those of cgroups below included. Zombies are not among them.
    ///
    /// # Errors
    /// When a `cgroup.procs` can't be read.
    pub fn pids(&self, pids: &mut Vec<i32>) -> io::Result<()> {
        pids.clear();
        tree::processes(&self.dir, pids)
    }

    /// Sends SIGKILL to all of them, and to what they start meanwhile. Does not wait for their end; where the kernel can't kill
    /// a cgroup (`cgroup.kill`, Linux 5.14), somebody may have escaped by forking, so look at [`Cap::pids`] and call it again.
    ///
    /// # Errors
    /// When the processes can't be listed.
    pub fn kill_all(&self) -> io::Result<()> {
        if !self.is_v1 && self.held.write(c"cgroup.kill", b"1").is_ok() {
            return Ok(());
        }
        // Frozen they start nobody, and SIGKILL reaches them all the same (Linux 5.2).
        let frozen = !self.is_v1 && self.held.write(c"cgroup.freeze", b"1").is_ok();
        let killed = kill::one_by_one(&self.dir);
        if frozen {
            let _ = self.held.write(c"cgroup.freeze", b"0");
        }
        killed
    }

    /// What to poll, and for what, to learn of a kill where the rest of the place has to be killed by the parent: v1, and a
    /// scope whose cgroup could not be written to. The kill itself may come some milliseconds later: see `kills` of
    /// [`Cap::oom`], which also makes ready for the next.
    #[must_use]
    pub fn limit_hit(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        match &self.notice {
            Some(notice) => Some((notice.as_fd(), PollFlags::POLLIN)),
            // "Something has changed" is POLLPRI there, for POLLIN is always true.
            None => (!self.is_v1 && !self.kills_whole).then(|| (self.events.as_fd(), PollFlags::POLLPRI)),
        }
    }

    /// Makes ready for the next hit. Call it when [`Cap::limit_hit`] was ready, before [`Cap::oom`].
    pub fn heard(&self) {
        if let Some(notice) = &self.notice {
            notice.heard();
        }
    }

    /// Forgets a hit that no kill followed. Call it when [`Cap::limit_hit`] was not ready for a while.
    pub fn rest(&self) {
        if let Some(notice) = &self.notice {
            notice.rest(&self.dir);
        }
    }

    /// Removes the cgroups, if nobody is left in them, and lets the keeper go. Returns who is left: the cap stays on them.
    pub fn remove(self) -> Vec<i32> {
        let mut left = Vec::new();
        let _ = tree::processes(&self.dir, &mut left);
        if left.is_empty() {
            // Somebody who is on the way out may still be in it; then the next run removes it.
            let _ = tree::remove(&self.dir);
        }
        if let Some(dir) = &self.pids_dir {
            let _ = tree::remove(dir);
        }
        let left: BTreeSet<i32> = left.into_iter().collect();
        left.into_iter().collect()
    }
}

fn read<T>(file: &HeldFile, parse: fn(&[u8]) -> Result<T, Malformed>) -> Option<T> {
    parse(file.read(&mut [0; SMALL_BYTES]).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Tree;
    use super::super::{Limits, Place};
    use super::*;

    /// A place in a scope with a keeper, within a limited slice.
    fn fixture() -> (Tree, Place) {
        let tree = Tree::new();
        tree.make("a.slice", "memory");
        tree.write("a.slice", "memory.max", "8192\n");
        tree.write("a.slice", "memory.events.local", "oom 5\n");
        tree.make("a.slice/x.scope", "memory");
        tree.write("a.slice/x.scope", "memory.max", "4096\n");
        let place = tree.make("a.slice/x.scope/hogwatch-run", "memory");
        for (file, text) in [
            ("memory.max", "4096\n"),
            ("memory.current", "1024\n"),
            ("memory.events", "oom 0\noom_kill 0\noom_group_kill 0\n"),
            ("memory.oom.group", "1\n"),
            (
                "memory.pressure",
                "some avg10=0.00 avg60=0.00 avg300=0.00 total=9\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n",
            ),
        ] {
            tree.write("a.slice/x.scope/hogwatch-run", file, text);
        }
        let place = Place {
            kind: Kind::Scope,
            dir: Some(place.dir()),
            pids_dir: None,
            unit: Some("x.scope".into()),
            keeper: Some(1),
            limits: Limits { memory: Some(4096), ..Limits::default() },
            tightest: None,
            remarks: Vec::new(),
        };
        (tree, place)
    }

    fn open(place: &Place) -> Cap {
        let (_, lifeline) = std::io::pipe().unwrap();
        Cap::open(place, lifeline.into()).unwrap()
    }

    #[test]
    fn the_files_are_told_and_a_peak_is_what_was_seen_where_there_is_none() {
        let (tree, place) = fixture();
        let dir = "a.slice/x.scope/hogwatch-run";
        let mut cap = open(&place);
        assert_eq!((cap.peak(), cap.stall_usec()), (None, Some(7)));
        assert_eq!(cap.usage(), Some(1024));
        tree.write(dir, "memory.current", "2048\n");
        cap.usage();
        tree.write(dir, "memory.current", "512\n");
        assert_eq!((cap.usage(), cap.peak()), (Some(512), Some(2048)));
        tree.write(dir, "memory.peak", "4096\n");
        assert_eq!(open(&place).peak(), Some(4096));
        assert!(cap.limit_hit().is_none(), "the kernel kills all of it");
    }

    #[test]
    fn hits_of_the_scope_are_the_caps_and_those_further_up_are_not() {
        let (tree, place) = fixture();
        let cap = open(&place);
        let none = OomCounts { whole: Some(0), ..OomCounts::default() };
        assert_eq!(cap.oom(), none);
        // A run inside this one was killed at its own cap.
        tree.write("a.slice/x.scope/hogwatch-run", "memory.events", "oom 1\noom_kill 2\noom_group_kill 1\n");
        assert_eq!(cap.oom(), OomCounts { kills: 2, ..none.clone() });
        tree.write("a.slice/x.scope/hogwatch-run", "memory.events.local", "oom 1\noom_kill 0\noom_group_kill 1\n");
        tree.write("a.slice/x.scope", "memory.events.local", "oom 1\n");
        assert_eq!(cap.oom(), OomCounts { at_cap: 2, whole: Some(1), kills: 2, above: None });
        tree.write("a.slice", "memory.events.local", "oom 6\n");
        let above = Tightest { bytes: 8192, cgroup: "/a.slice".into() };
        assert_eq!(cap.oom().above, Some(above));
    }

    #[test]
    fn without_a_group_kill_the_parent_is_told_to_look() {
        let (tree, mut place) = fixture();
        let dir = "a.slice/x.scope/hogwatch-run";
        tree.write(dir, "memory.oom.group", "0\n");
        tree.write(dir, "memory.events.local", "oom 1\noom_group_kill 0\n");
        let cap = open(&place);
        assert_eq!((cap.oom().whole, cap.limit_hit().unwrap().1), (None, PollFlags::POLLPRI));
        place.dir = None;
        let (_, lifeline) = std::io::pipe().unwrap();
        assert!(Cap::open(&place, lifeline.into()).is_err());
    }

    #[test]
    fn who_is_left_keeps_the_place() {
        let (tree, place) = fixture();
        let dir = "a.slice/x.scope/hogwatch-run";
        tree.write(dir, "cgroup.procs", "7\n7\n8\n");
        assert_eq!(open(&place).remove(), [7, 8]);
        assert!(tree.dir(dir).exists());
    }
}
