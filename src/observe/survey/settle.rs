//! How the survey brings what it watches in line with what is there.

use std::collections::BTreeSet;
use std::io;

use crate::host::dir::{Dir, HeldFile};
use crate::host::notify::{Notify, Watch};
use crate::observe::Faults;
use crate::observe::cgroup_files::{CgroupFiles, OwnCounts, Unreadable, read_limit, read_own_counts};
use crate::observe::cgroups::{self, CgroupPath, is_within};
use crate::observe::parse::Limit;

use super::tree::Role;
use super::{Attention, CgroupKey, Degraded, News, Sink, Stirred, Survey};

/// How far a walk goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// The cgroup itself.
    Here,
    /// And every cgroup below that is new.
    New,
    /// And every cgroup below.
    All,
}

impl Survey {
    /// Looks at cgroups anew. A directory is watched before it is listed, and a file before it is read: what changes in
    /// between is seen twice, never not at all.
    pub(super) fn walk(&mut self, mut todo: Vec<CgroupKey>, depth: Depth, sink: Sink<'_>) {
        while let Some(key) = todo.pop() {
            // One that could not be watched may not have been listed either.
            let listed = !self.blind.remove(&key);
            let dir = match self.open(key) {
                Ok(dir) => dir,
                Err(e) => {
                    self.lose_sight(key, &e, sink);
                    continue;
                }
            };
            self.set_watches(key, &dir, sink);
            if self.tree.get(key).is_some_and(|node| node.attention == Attention::Always) {
                self.stir(key, sink);
            }
            if depth == Depth::Here && listed {
                continue;
            }
            match self.list(key, &dir, depth, sink) {
                Ok(below) => todo.extend(below),
                Err(e) => self.lose_sight(key, &e, sink),
            }
        }
    }

    /// Takes in a cgroup that was just made.
    pub(super) fn adopt(&mut self, parent: CgroupKey, name: &[u8], sink: Sink<'_>) {
        let Some(path) = self.tree.path(parent) else { return };
        let path = path.as_bytes().strip_suffix(b"/").unwrap_or(path.as_bytes());
        let Some(path) = CgroupPath::new(&[path, name].join(&b'/')) else {
            return self.tell(Degraded::PathTooLong, sink);
        };
        match cgroups::open(&self.root, path.as_bytes()).and_then(|dir| dir.inode()) {
            Ok(inode) => {
                let key = CgroupKey(inode);
                if self.insert(parent, name, key, sink) {
                    self.watch_control(parent, None, sink);
                    self.walk(vec![key], Depth::New, sink);
                }
            }
            // The parent has to be listed again.
            Err(e) => self.lose_sight(parent, &e, sink),
        }
    }

    /// Drops a cgroup and all below it.
    pub(super) fn forget(&mut self, key: CgroupKey, sink: Sink<'_>) {
        let doomed = self.doomed(key);
        for (key, node) in self.tree.remove(key) {
            self.marks.remove(key);
            node.watches().for_each(|watch| self.drop_watch(watch));
            self.blind.remove(&key);
            self.counts.remove(&key);
            if node.out {
                sink(News::Gone(key));
            }
        }
        for (path, processes) in doomed {
            self.tell_oomd_kill(&path, processes, sink);
        }
    }

    /// Hands a cgroup out, unless it is.
    pub(super) fn stir(&mut self, key: CgroupKey, sink: Sink<'_>) {
        let Some(node) = self.tree.get_mut(key).filter(|node| !node.out) else { return };
        let kept = node.kept.take().map(|files| *files);
        self.unwatch(key, Role::Events);
        let files = match kept.map_or_else(|| self.open(key).and_then(|dir| CgroupFiles::open(&dir)), Ok) {
            Ok(files) => files,
            Err(e) => return self.lose_sight(key, &e, sink),
        };
        if let Some(path) = self.tree.path(key)
            && let Some(node) = self.tree.get_mut(key)
        {
            node.out = true;
            self.counts.remove(&key);
            sink(News::Stirred(Stirred { key, path, files }));
        }
    }

    /// Watches of a cgroup what its limits and the configuration ask for, and nothing else.
    pub(super) fn set_watches(&mut self, key: CgroupKey, dir: &Dir, sink: Sink<'_>) {
        let is_new = self.tree.get(key).is_some_and(|node| node.watch(Role::Children).is_none());
        let mut complete = self.watch(key, Role::Children, |notify| notify.add_dir(dir), sink);
        if is_new {
            self.note_marks(key, dir);
        }
        if self.tree.get(key).is_some_and(|node| node.children().next().is_some()) {
            complete &= self.watch_control(key, Some(dir), sink);
        }
        complete &= self.set_limit_watches(key, dir, sink);
        complete &= self.set_events_watch(key, dir, sink);
        complete &= self.keep_files(key, dir, sink);
        if complete {
            self.counts.remove(&key);
        } else {
            self.blind.insert(key);
        }
    }

    /// Returns whether all went well, as do the ones below.
    fn set_limit_watches(&mut self, key: CgroupKey, dir: &Dir, sink: Sink<'_>) -> bool {
        let (mut complete, mut has_memory, mut limited) = (true, false, false);
        let wanted = self.attention(key) != Attention::No;
        for (role, name) in [(Role::High, c"memory.high"), (Role::Max, c"memory.max")] {
            match dir.file(name) {
                Ok(file) if wanted => {
                    has_memory = true;
                    complete &= self.watch(key, role, |notify| notify.add_file(&file), sink);
                    limited |= self.is_finite(&file, sink);
                }
                Ok(_) => {
                    has_memory = true;
                    self.unwatch(key, role);
                }
                Err(e) if Faults::is_gone(&e) => self.unwatch(key, role),
                Err(e) => {
                    self.trouble(&e, sink);
                    (complete, has_memory) = (false, true);
                }
            }
        }
        if let Some(node) = self.tree.get_mut(key) {
            node.limited = limited;
            // Without the controller all open files are dead.
            if !has_memory {
                node.kept = None;
                if std::mem::take(&mut node.out) {
                    sink(News::Gone(key));
                }
            }
        }
        complete
    }

    fn set_events_watch(&mut self, key: CgroupKey, dir: &Dir, sink: Sink<'_>) -> bool {
        if !self.tree.get(key).is_some_and(|node| node.limited && !node.out) {
            self.unwatch(key, Role::Events);
            return true;
        }
        match dir.file(c"memory.events.local") {
            Ok(file) => {
                let watched = self.watch(key, Role::Events, |notify| notify.add_file(&file), sink);
                if !watched && let Some(counts) = counts_of(&file) {
                    self.counts.entry(key).or_insert(counts);
                }
                watched
            }
            Err(e) if Faults::is_gone(&e) => true,
            Err(e) => {
                self.trouble(&e, sink);
                false
            }
        }
    }

    fn keep_files(&mut self, key: CgroupKey, dir: &Dir, sink: Sink<'_>) -> bool {
        let (wanted, keeps) = (self.attention(key) != Attention::No, self.keeps_files(key));
        let Some(node) = self.tree.get_mut(key) else { return true };
        if !wanted {
            node.kept = None;
        }
        if !keeps || node.out || node.kept.is_some() {
            return true;
        }
        match CgroupFiles::open(dir) {
            Ok(files) => node.kept = Some(Box::new(files)),
            Err(e) if Faults::is_gone(&e) => {}
            Err(e) => {
                self.trouble(&e, sink);
                return false;
            }
        }
        true
    }

    /// Whether a limit is set; one that makes no sense may be.
    fn is_finite(&mut self, limit: &HeldFile, sink: Sink<'_>) -> bool {
        let mut faults = Faults::default();
        let limit = read_limit(limit, &mut faults);
        if let Some(what) = faults.last {
            self.tell(Degraded::Malformed(what), sink);
        }
        !matches!(limit, Ok(Limit::Max) | Err(Unreadable::Gone))
    }

    /// Learns which cgroups are below one, and returns those to walk on to.
    fn list(&mut self, key: CgroupKey, dir: &Dir, depth: Depth, sink: Sink<'_>) -> io::Result<Vec<CgroupKey>> {
        let names = dir.directories()?;
        let there: BTreeSet<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
        let known = self.tree.get(key).into_iter().flat_map(|node| node.children());
        let gone: Vec<_> = known.filter(|(name, _)| !there.contains(name)).map(|(_, key)| key).collect();
        for child in gone {
            self.forget(child, sink);
        }
        let mut below = Vec::new();
        for name in &names {
            // One that is gone already is told of by the watch.
            let Ok(child) = dir.inode_of(name).map(CgroupKey) else { continue };
            if self.insert(key, name.as_bytes(), child, sink) || depth == Depth::All {
                below.push(child);
            }
        }
        if !names.is_empty() && !self.watch_control(key, Some(dir), sink) {
            self.blind.insert(key);
        }
        Ok(below)
    }

    /// Puts a cgroup into the tree; returns whether it is new there.
    fn insert(&mut self, parent: CgroupKey, name: &[u8], key: CgroupKey, sink: Sink<'_>) -> bool {
        match self.tree.get(parent).map(|node| node.child(name)) {
            None => return false,
            Some(Some(known)) if known == key => return false,
            Some(Some(old)) => self.forget(old, sink),
            Some(None) => {}
        }
        // Known at another place: that one must be gone, for no two exist at a time.
        self.forget(key, sink);
        self.tree.insert(parent, name, key);
        if self.tree.path(key).is_none() {
            self.tree.remove(key);
            self.tell(Degraded::PathTooLong, sink);
            return false;
        }
        self.set_attention(key);
        true
    }

    /// Opens a cgroup's directory.
    ///
    /// # Errors
    /// Those of `openat(2)`, and `ENOENT` when another cgroup has its place now.
    pub(super) fn open(&self, key: CgroupKey) -> io::Result<Dir> {
        let gone = || io::Error::from_raw_os_error(libc::ENOENT);
        let dir = cgroups::open(&self.root, self.tree.path(key).ok_or_else(gone)?.as_bytes())?;
        if CgroupKey(dir.inode()?) == key { Ok(dir) } else { Err(gone()) }
    }

    /// What `memory.events.local` says now.
    pub(super) fn own_counts(&self, key: CgroupKey) -> Option<OwnCounts> {
        counts_of(&self.open(key).ok()?.file(c"memory.events.local").ok()?)
    }

    pub(super) fn set_attention(&mut self, key: CgroupKey) {
        let Some(path) = self.tree.path(key) else { return };
        let attention = (self.wants)(path.as_bytes());
        if let Some(node) = self.tree.get_mut(key) {
            node.attention = attention;
        }
    }

    /// Whether the files of a cgroup stay open while it is idle: this process is in it.
    pub(super) fn keeps_files(&self, key: CgroupKey) -> bool {
        let is_above = |path: CgroupPath| is_within(&self.own, path.as_bytes());
        self.attention(key) != Attention::No && self.tree.path(key).is_some_and(is_above)
    }

    /// Closes the files that were kept.
    pub(super) fn close(&mut self, key: CgroupKey) {
        if let Some(node) = self.tree.get_mut(key) {
            node.kept = None;
        }
    }

    fn attention(&self, key: CgroupKey) -> Attention {
        self.tree.get(key).map_or(Attention::No, |node| node.attention)
    }

    /// A cgroup could not be opened: when it is there, the slow scan has to try again.
    pub(super) fn lose_sight(&mut self, key: CgroupKey, error: &io::Error, sink: Sink<'_>) {
        if !Faults::is_gone(error) {
            self.trouble(error, sink);
            self.blind.insert(key);
        }
    }

    /// Watches which controllers a cgroup gives to those below it.
    fn watch_control(&mut self, key: CgroupKey, dir: Option<&Dir>, sink: Sink<'_>) -> bool {
        if self.tree.get(key).is_none_or(|node| node.watch(Role::Control).is_some()) {
            return true;
        }
        const FILE: &std::ffi::CStr = c"cgroup.subtree_control";
        match dir.map_or_else(|| self.open(key).and_then(|dir| dir.file(FILE)), |dir| dir.file(FILE)) {
            Ok(file) => self.watch(key, Role::Control, |notify| notify.add_file(&file), sink),
            Err(e) => {
                self.lose_sight(key, &e, sink);
                Faults::is_gone(&e)
            }
        }
    }

    fn watch(
        &mut self,
        key: CgroupKey,
        role: Role,
        add: impl FnOnce(&Notify) -> io::Result<Watch>,
        sink: Sink<'_>,
    ) -> bool {
        let Some(notify) = &self.notify else { return false };
        #[cfg(test)]
        let add = |notify: &Notify| match self.watched.len() < self.room {
            true => add(notify),
            false => Err(io::Error::from_raw_os_error(libc::ENOSPC)),
        };
        match add(notify) {
            Ok(watch) => {
                let old = self.tree.get_mut(key).and_then(|node| node.watch_mut(role).replace(watch));
                // The file was taken away and made anew.
                if let Some(old) = old.filter(|old| *old != watch) {
                    self.drop_watch(old);
                }
                self.watched.insert(watch, key);
                true
            }
            Err(e) => {
                self.trouble(&e, sink);
                false
            }
        }
    }

    fn unwatch(&mut self, key: CgroupKey, role: Role) {
        if let Some(watch) = self.tree.get_mut(key).and_then(|node| node.watch_mut(role).take()) {
            self.drop_watch(watch);
        }
    }

    fn drop_watch(&mut self, watch: Watch) {
        self.watched.remove(&watch);
        if let Some(notify) = &self.notify {
            notify.remove(watch);
        }
    }
}

fn counts_of(file: &HeldFile) -> Option<OwnCounts> {
    read_own_counts(file, &mut Faults::default()).ok()
}
