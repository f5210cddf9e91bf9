//! Follows the tree of cgroup v2 and hands out those cgroups that touch their limit, at no cost while none does.
//!
//! Every directory has a watch for cgroups that come and go; every cgroup of interest one on `memory.high` and one on
//! `memory.max`, so that a new limit is seen when somebody writes it; every one with a finite limit one on
//! `memory.events.local`. When that is notified the cgroup is *handed out*: its files are opened for somebody who samples
//! them, and the watch is dropped, because a cgroup that streams at its limit raises a hundred notifications a second. When
//! it is quiet again it is *taken back*.
//!
//! A cgroup that is stuck already when the survey begins needs no special care: its counts keep growing, so it is notified.
//!
//! This opens files and allocates, and may be throttled where the guard's own cgroup is: not for the guard thread.

mod degraded;
mod marks;
mod settle;
mod top;
mod tree;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use crate::host::dir::Dir;
use crate::host::notify::{Event, Notify, Watch};

use super::Faults;
use super::cgroup_files::{CgroupFiles, Events, OwnCounts, Unreadable};
use super::cgroups::{self, CgroupPath};

pub use degraded::Degraded;
pub use marks::OomdKill;
pub use top::top_for;

use marks::Marks;
use settle::Depth;
use tree::{Role, Tree};

/// How often cgroups that can't be watched are looked at: a livelock is still found within two windows of 10 s, and
/// some thousand cgroups cost less than a hundredth of a core.
pub const SLOW_SCAN: Duration = Duration::from_secs(10);

/// Which cgroup: the inode of its directory, which is unique since boot. One made anew under an old name is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CgroupKey(pub u64);

/// How much a cgroup is of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attention {
    /// Not at all.
    No,
    /// When it touches a finite `memory.high` or `memory.max`.
    WhenItStirs,
    /// From the beginning, and for as long as it exists.
    Always,
}

/// Says how much the cgroup at a path (below the hierarchy's root, with the leading slash) is of interest.
pub type Wants = Box<dyn Fn(&[u8]) -> Attention + Send>;

/// What the survey has to tell.
#[derive(Debug)]
pub enum News {
    /// A cgroup is handed out.
    Stirred(Stirred),
    /// A cgroup that was handed out is gone, or has no memory controller any more; it is not to be taken back.
    Gone(CgroupKey),
    /// systemd-oomd killed.
    OomdKill(OomdKill),
    /// Something is not watched as it should be; told once.
    Degraded(Degraded),
}

/// A cgroup that is handed out.
#[derive(Debug)]
pub struct Stirred {
    /// Which.
    pub key: CgroupKey,
    /// Where.
    pub path: CgroupPath,
    /// Its files.
    pub files: CgroupFiles,
}

/// Receives the news.
pub type Sink<'a> = &'a mut dyn FnMut(News);

/// Follows the cgroups at and below one of them.
pub struct Survey {
    /// The root of the hierarchy.
    root: Dir,
    /// The cgroup this process is in. Its files, and those of all above it, are opened at once and kept: when one of
    /// these is throttled, so is this thread, and each open may take a second or two.
    own: Box<[u8]>,
    wants: Wants,
    /// Absent when there is none to be had: then every cgroup is blind.
    notify: Option<Notify>,
    tree: Tree,
    watched: HashMap<Watch, CgroupKey>,
    /// Cgroups that could not be watched or opened as they should: the slow scan's.
    blind: BTreeSet<CgroupKey>,
    /// What the counts of blind ones were when last looked at.
    counts: BTreeMap<CgroupKey, OwnCounts>,
    /// What systemd-oomd has left on those where it was at work.
    marks: Marks,
    /// Whether the tree has to be walked, because events are lost or nothing was read yet.
    stale: bool,
    told: Vec<Degraded>,
    /// How many watches may be had, for tests of what happens without.
    #[cfg(test)]
    room: usize,
}

impl fmt::Debug for Survey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Survey").field("cgroups", &self.tree.len()).field("blind", &self.blind.len()).finish()
    }
}

impl Survey {
    /// Prepares to follow the cgroup at `top` (`/` for all) and those below it. `root` is the root of the hierarchy, `own`
    /// the path of the cgroup that this process is in. The tree is read at the first [`Survey::attend`].
    ///
    /// # Errors
    /// Those of `openat(2)` and `fstat(2)` on the topmost cgroup. Without inotify it works, slowly.
    pub fn start(root: Dir, top: &[u8], own: &[u8], wants: Wants) -> io::Result<Self> {
        let key = CgroupKey(cgroups::open(&root, top)?.inode()?);
        let mut survey = Self {
            root,
            own: own.into(),
            wants,
            notify: Notify::new().ok(),
            tree: Tree::new(key, top),
            watched: HashMap::new(),
            blind: BTreeSet::new(),
            counts: BTreeMap::new(),
            marks: Marks::default(),
            stale: true,
            told: Vec::new(),
            #[cfg(test)]
            room: usize::MAX,
        };
        survey.set_attention(key);
        Ok(survey)
    }

    /// Becomes readable when there is something to [`Survey::attend`] to; `None` when only the slow scan works.
    #[must_use]
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.notify.as_ref().map(AsFd::as_fd)
    }

    /// Deals with all that has happened. Call it once before waiting.
    pub fn attend(&mut self, sink: Sink<'_>) {
        if self.notify.is_none() {
            self.tell(Degraded::Instances, sink);
        }
        loop {
            if self.stale {
                self.stale = false;
                self.walk(vec![self.tree.top()], Depth::All, sink);
            }
            let events = match self.notify.as_ref().map(Notify::read) {
                Some(Ok(events)) if !events.is_empty() => events,
                Some(Err(e)) => return self.trouble(&e, sink),
                Some(Ok(_)) | None => return,
            };
            for event in events {
                self.heed(event, sink);
            }
        }
    }

    /// Takes a cgroup back that was handed out. `seen` are the counts of its last sample: if they have moved since, it is
    /// handed out again at once, so nothing is lost between the last sample and the watch. One that is wanted always
    /// stays back too, until something about it changes.
    pub fn take_back(&mut self, key: CgroupKey, files: CgroupFiles, seen: &Events, sink: Sink<'_>) {
        let Some(node) = self.tree.get_mut(key).filter(|node| node.out) else { return };
        node.out = false;
        node.kept = Some(Box::new(files));
        match self.open(key) {
            Ok(dir) => self.set_watches(key, &dir, sink),
            Err(e) => self.lose_sight(key, &e, sink),
        }
        let Some(node) = self.tree.get(key) else { return };
        let counts = node.kept.as_ref().map(|files| files.own_counts(&mut Faults::default()));
        if node.limited && matches!(counts, Some(Ok(counts)) if counts != seen.own()) {
            self.stir(key, sink);
        } else if matches!(counts, Some(Err(Unreadable::Gone))) || !self.keeps_files(key) {
            self.close(key);
        }
    }

    /// Whether some cgroups need [`Survey::slow_scan`], every [`SLOW_SCAN`].
    #[must_use]
    pub fn needs_slow_scan(&self) -> bool {
        !self.blind.is_empty()
    }

    /// Looks at the cgroups that can't be watched: tries to watch them again, and hands out those whose counts moved.
    pub fn slow_scan(&mut self, sink: Sink<'_>) {
        if self.notify.is_none() {
            self.notify = self.new_notify();
        }
        for key in self.blind.clone() {
            let before = self.counts.get(&key).copied();
            self.walk(vec![key], Depth::New, sink);
            let is_idle = self.tree.get(key).is_some_and(|node| node.limited && !node.out);
            if before.is_some_and(|before| is_idle && self.own_counts(key).is_some_and(|now| now != before)) {
                self.stir(key, sink);
            }
        }
    }

    /// Follows a new configuration. A cgroup that is handed out and no longer wanted stays out until it is taken back.
    pub fn rescope(&mut self, wants: Wants, sink: Sink<'_>) {
        self.wants = wants;
        for key in self.tree.keys().collect::<Vec<_>>() {
            self.set_attention(key);
        }
        self.stale = true;
        self.attend(sink);
    }

    /// inotify, if there is any to be had.
    fn new_notify(&self) -> Option<Notify> {
        #[cfg(test)]
        if self.room == 0 {
            return None;
        }
        Notify::new().ok()
    }

    fn heed(&mut self, event: Event, sink: Sink<'_>) {
        match event {
            Event::Made(watch, name) => {
                if let Some(parent) = self.watched.get(&watch).copied() {
                    self.adopt(parent, &name, sink);
                }
            }
            Event::Removed(watch, name) => {
                let parent = self.watched.get(&watch).and_then(|key| self.tree.get(*key));
                // A name that leads to the one known was removed earlier and made anew, and adopted since.
                if let Some(child) = parent.and_then(|node| node.child(&name))
                    && self.open(child).is_err()
                {
                    self.forget(child, sink);
                }
            }
            Event::Marked(watch) => {
                if let Some(key) = self.watched.get(&watch).copied() {
                    self.heed_mark(key, sink);
                }
            }
            Event::Modified(watch) => {
                let Some(key) = self.watched.get(&watch).copied() else { return };
                match self.tree.get(key).and_then(|node| node.role_of(watch)) {
                    Some(Role::Events) => self.stir(key, sink),
                    Some(Role::High | Role::Max) => self.walk(vec![key], Depth::Here, sink),
                    Some(Role::Control) => {
                        let below = self.tree.get(key).map(|node| node.children().map(|(_, key)| key).collect());
                        self.walk(below.unwrap_or_default(), Depth::Here, sink);
                    }
                    Some(Role::Children) | None => {}
                }
            }
            Event::Ended(watch) => {
                if let Some(key) = self.watched.remove(&watch)
                    && let Some(node) = self.tree.get_mut(key)
                    && let Some(role) = node.role_of(watch)
                {
                    *node.watch_mut(role) = None;
                }
            }
            Event::Overflow => self.stale = true,
        }
    }

    /// Tells what is wrong, unless it has been told.
    fn tell(&mut self, what: Degraded, sink: Sink<'_>) {
        if !self.told.contains(&what) {
            self.told.push(what);
            sink(News::Degraded(what));
        }
    }

    fn trouble(&mut self, error: &io::Error, sink: Sink<'_>) {
        if let Some(what) = Degraded::of(error).filter(|_| !Faults::is_gone(error)) {
            self.tell(what, sink);
        }
    }
}
