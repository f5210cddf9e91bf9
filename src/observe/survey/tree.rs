//! What the survey knows of each cgroup, and where it hangs in the tree.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::host::notify::Watch;
use crate::observe::cgroup_files::CgroupFiles;
use crate::observe::cgroups::CgroupPath;

use super::{Attention, CgroupKey};

/// What a watch is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The directory: cgroups below it come and go.
    Children,
    /// `cgroup.subtree_control`: the cgroups below get or lose their memory files, which nothing else tells.
    Control,
    /// `memory.high`.
    High,
    /// `memory.max`.
    Max,
    /// `memory.events.local`.
    Events,
}

impl Role {
    const COUNT: usize = 5;
}

/// A cgroup. There may be tens of thousands, so it holds no descriptor while nothing happens, and its path only as one
/// name and a parent.
#[derive(Debug)]
pub(super) struct Node {
    parent: Option<CgroupKey>,
    /// Shared with the parent's list of children.
    name: Arc<[u8]>,
    children: BTreeMap<Arc<[u8]>, CgroupKey>,
    watches: [Option<Watch>; Role::COUNT],
    /// Open files kept while it is idle: only where opening them later could be throttled.
    pub(super) kept: Option<Box<CgroupFiles>>,
    pub(super) attention: Attention,
    /// Whether it has a finite limit, when that was last looked at.
    pub(super) limited: bool,
    /// Whether it is handed out.
    pub(super) out: bool,
}

impl Node {
    fn new(parent: Option<CgroupKey>, name: Arc<[u8]>) -> Self {
        Self {
            parent,
            name,
            children: BTreeMap::new(),
            watches: [None; Role::COUNT],
            kept: None,
            attention: Attention::No,
            limited: false,
            out: false,
        }
    }

    pub(super) fn children(&self) -> impl Iterator<Item = (&[u8], CgroupKey)> {
        self.children.iter().map(|(name, key)| (&**name, *key))
    }

    pub(super) fn child(&self, name: &[u8]) -> Option<CgroupKey> {
        self.children.get(name).copied()
    }

    pub(super) fn watch(&self, role: Role) -> Option<Watch> {
        self.watches[role as usize]
    }

    pub(super) fn watch_mut(&mut self, role: Role) -> &mut Option<Watch> {
        &mut self.watches[role as usize]
    }

    pub(super) fn watches(&self) -> impl Iterator<Item = Watch> {
        self.watches.iter().flatten().copied()
    }

    pub(super) fn role_of(&self, watch: Watch) -> Option<Role> {
        use Role::{Children, Control, Events, High, Max};
        [Children, Control, High, Max, Events].into_iter().find(|role| self.watch(*role) == Some(watch))
    }
}

/// The cgroups at and below the topmost one.
#[derive(Debug)]
pub(super) struct Tree {
    top: CgroupKey,
    /// Boxed, because the table always has many free places.
    nodes: HashMap<CgroupKey, Box<Node>>,
}

impl Tree {
    /// A tree of its topmost cgroup only, at `path` in the hierarchy.
    pub(super) fn new(top: CgroupKey, path: &[u8]) -> Self {
        // The root's path is "/", of which every other path has only the slash before its first name.
        let name = path.strip_suffix(b"/").unwrap_or(path);
        Self { top, nodes: HashMap::from([(top, Box::new(Node::new(None, name.into())))]) }
    }

    pub(super) fn top(&self) -> CgroupKey {
        self.top
    }

    pub(super) fn get(&self, key: CgroupKey) -> Option<&Node> {
        self.nodes.get(&key).map(|node| &**node)
    }

    pub(super) fn get_mut(&mut self, key: CgroupKey) -> Option<&mut Node> {
        self.nodes.get_mut(&key).map(|node| &mut **node)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = CgroupKey> {
        self.nodes.keys().copied()
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Hangs a cgroup below another, which must be there. Neither the key nor the name may be in use.
    pub(super) fn insert(&mut self, parent: CgroupKey, name: &[u8], key: CgroupKey) {
        let name: Arc<[u8]> = name.into();
        if let Some(node) = self.nodes.get_mut(&parent) {
            node.children.insert(Arc::clone(&name), key);
            self.nodes.insert(key, Box::new(Node::new(Some(parent), name)));
        }
    }

    /// Takes a cgroup and all below it out of the tree.
    pub(super) fn remove(&mut self, key: CgroupKey) -> Vec<(CgroupKey, Node)> {
        let parent = self.nodes.get(&key).and_then(|node| Some((node.parent?, Arc::clone(&node.name))));
        if let Some((parent, name)) = parent
            && let Some(parent) = self.nodes.get_mut(&parent)
        {
            parent.children.remove(&name);
        }
        let (mut removed, mut below) = (Vec::new(), vec![key]);
        while let Some(key) = below.pop() {
            if let Some(node) = self.nodes.remove(&key) {
                below.extend(node.children.values());
                removed.push((key, *node));
            }
        }
        removed
    }

    /// The path of a cgroup; `None` when it is unknown or the path too long to keep.
    pub(super) fn path(&self, key: CgroupKey) -> Option<CgroupPath> {
        let mut names = Vec::new();
        let mut here = Some(key);
        while let Some(key) = here {
            let node = self.nodes.get(&key)?;
            names.push(&*node.name);
            here = node.parent;
        }
        names.reverse();
        let path = names.join(&b'/');
        CgroupPath::new(if path.is_empty() { b"/" } else { &path })
    }
}
