//! The cgroups that tasks live in: each path kept once, with what systemd and the kernel say about it.

use std::fmt;

use crate::host::Host;
use crate::host::dir::Dir;

use super::Faults;

/// Longest cgroup path kept, in bytes. Kubernetes' nested slices come to about 180, systemd's escaped unit names of a
/// desktop session to about 250; a task in a deeper one counts as being in an unknown cgroup.
pub const PATH_BYTES: usize = 512;

/// A cgroup's path below the root of its hierarchy, beginning with `/`: raw bytes, as the kernel gives them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CgroupPath {
    bytes: [u8; PATH_BYTES],
    len: u16,
}

impl CgroupPath {
    /// Keeps `path`, or nothing when it is longer than [`PATH_BYTES`].
    #[must_use]
    pub fn new(path: &[u8]) -> Option<Self> {
        let len = u16::try_from(path.len()).ok()?;
        let mut bytes = [0; PATH_BYTES];
        bytes.get_mut(..path.len())?.copy_from_slice(path);
        Some(Self { bytes, len })
    }

    /// The root of the hierarchy.
    #[must_use]
    pub const fn root() -> Self {
        let mut bytes = [0; PATH_BYTES];
        bytes[0] = b'/';
        Self { bytes, len: 1 }
    }

    /// The raw path.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl fmt::Debug for CgroupPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.as_bytes()))
    }
}

/// Whether `path` is `ancestor` or below it.
#[must_use]
pub fn is_within(path: &[u8], ancestor: &[u8]) -> bool {
    let ancestor = ancestor.strip_suffix(b"/").unwrap_or(ancestor);
    path.strip_prefix(ancestor).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

/// Whether one path is directly below the other (`/a/b` below `/a`).
#[must_use]
pub fn is_child(path: &[u8], parent: &[u8]) -> bool {
    let parent = parent.strip_suffix(b"/").unwrap_or(parent);
    let name = path.strip_prefix(parent).and_then(|rest| rest.strip_prefix(b"/"));
    name.is_some_and(|name| !name.is_empty() && !name.contains(&b'/'))
}

/// The paths from `path` itself up to its topmost component, without the root: `/a/b`, `/a`.
pub fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(path);
    std::iter::from_fn(move || {
        let here = rest.filter(|p| p.len() > 1)?;
        rest = here.iter().rposition(|b| *b == b'/').map(|at| &here[..at]);
        Some(here)
    })
}

/// The unit a cgroup belongs to: its innermost component that systemd would name so (`cgroup.procs` of a unit may lie in
/// cgroups of its own making further down). Slices count only when nothing else is there.
#[must_use]
pub fn unit(path: &[u8]) -> Option<&[u8]> {
    const KINDS: [&[u8]; 5] = [b".service", b".scope", b".socket", b".mount", b".swap"];
    let named = |kinds: &[&[u8]]| {
        path.rsplit(|b| *b == b'/')
            .find(|part| kinds.iter().any(|kind| part.len() > kind.len() && part.ends_with(kind)))
    };
    named(&KINDS).or_else(|| named(&[b".slice"]))
}

/// Opens a cgroup's directory by its path below the held root of its hierarchy. Allocates nothing.
///
/// # Errors
/// Those of `openat(2)`: `ENOENT` when it is gone.
pub fn open(root: &Dir, path: &[u8]) -> std::io::Result<Dir> {
    let mut name = [0u8; PATH_BYTES + 2];
    let relative = path.strip_prefix(b"/").unwrap_or(path);
    let relative = if relative.is_empty() { b"." } else { relative };
    let room = name.get_mut(..relative.len()).ok_or_else(|| std::io::Error::from_raw_os_error(libc::ENAMETOOLONG))?;
    room.copy_from_slice(relative);
    root.dir(std::ffi::CStr::from_bytes_until_nul(&name).unwrap_or(c"."))
}

/// A cgroup of the table, valid until the table is cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CgroupId(u16);

/// What systemd's `ManagedOOMPreference=` asks (`user.oomd_avoid`, `user.oomd_omit` in systemd.resource-control(5)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preference {
    /// Nothing special.
    #[default]
    None,
    /// Only when nothing else is left.
    Avoid,
    /// Never.
    Omit,
}

/// One cgroup.
#[derive(Clone, Copy, Debug)]
struct Entry {
    start: u32,
    len: u16,
    hash: u64,
    facts: Option<Facts>,
}

/// What the kernel and systemd say about a cgroup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The length of the topmost ancestor-or-self path that has `memory.oom.group` = 1: the kernel kills that as one
    /// (Documentation/admin-guide/cgroup-v2.rst).
    pub oom_group: Option<u16>,
    /// Of this cgroup or an ancestor.
    pub preference: Preference,
}

/// The table of known cgroups: of fixed capacity between two calls of [`Cgroups::reserve`].
#[derive(Clone, Debug)]
pub struct Cgroups {
    arena: Vec<u8>,
    entries: Vec<Entry>,
}

impl Cgroups {
    /// Bytes of path set aside for each cgroup: twice what is usual, so the entries run out first.
    const PATH_SHARE: usize = 96;

    /// A table for `capacity` cgroups.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self { arena: Vec::with_capacity(capacity * Self::PATH_SHARE), entries: Vec::with_capacity(capacity) }
    }

    /// Grows to `capacity`. Allocates, so only while the machine is healthy.
    pub fn reserve(&mut self, capacity: usize) {
        self.entries.reserve(capacity.saturating_sub(self.entries.len()));
        self.arena.reserve((capacity * Self::PATH_SHARE).saturating_sub(self.arena.len()));
    }

    /// How many are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many fit without growing.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.entries.capacity()
    }

    /// Whether the next scan should start with an empty table, because paths of cgroups long gone fill it.
    #[must_use]
    pub fn is_nearly_full(&self) -> bool {
        self.entries.len() * 4 > self.entries.capacity() * 3 || self.arena.len() * 4 > self.arena.capacity() * 3
    }

    /// Forgets all. Every [`CgroupId`] given out before is void.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.entries.clear();
    }

    /// Forgets what is known about each cgroup but its path, so that it is read anew.
    pub fn expire_facts(&mut self) {
        for entry in &mut self.entries {
            entry.facts = None;
        }
    }

    /// The id of `path`; `None` when there is no room.
    pub fn intern(&mut self, path: &[u8]) -> Option<CgroupId> {
        let hash = fnv1a(path);
        let known = self.entries.iter().position(|e| e.hash == hash && self.arena[e.range()] == *path);
        if let Some(index) = known {
            return u16::try_from(index).ok().map(CgroupId);
        }
        let room = self.entries.len() < self.entries.capacity()
            && self.arena.len() + path.len() <= self.arena.capacity()
            && path.len() <= PATH_BYTES;
        if !room {
            return None;
        }
        let id = u16::try_from(self.entries.len()).ok()?;
        let start = u32::try_from(self.arena.len()).ok()?;
        self.arena.extend_from_slice(path);
        self.entries.push(Entry { start, len: u16::try_from(path.len()).ok()?, hash, facts: None });
        Some(CgroupId(id))
    }

    /// The path of a cgroup.
    #[must_use]
    pub fn path(&self, id: CgroupId) -> &[u8] {
        self.entries.get(usize::from(id.0)).map_or(b"", |e| &self.arena[e.range()])
    }

    /// Position in the table, for tables beside it.
    #[must_use]
    pub fn index(id: CgroupId) -> usize {
        usize::from(id.0)
    }

    /// The ids of all.
    pub fn ids(&self) -> impl Iterator<Item = CgroupId> + use<> {
        (0..self.entries.len()).filter_map(|i| u16::try_from(i).ok().map(CgroupId))
    }

    /// What is known about a cgroup; nothing special where it was not or could not be read.
    #[must_use]
    pub fn facts(&self, id: CgroupId) -> Facts {
        self.entries.get(usize::from(id.0)).and_then(|e| e.facts).unwrap_or_default()
    }

    /// Sets what is known about a cgroup (simulations and tests; [`Cgroups::read_facts`] otherwise).
    pub fn set_facts(&mut self, id: CgroupId, facts: Facts) {
        if let Some(entry) = self.entries.get_mut(usize::from(id.0)) {
            entry.facts = Some(facts);
        }
    }

    /// Reads what the kernel and systemd say about a cgroup, unless it is known. Only v2 has any of it.
    pub fn read_facts(&mut self, host: &Host, id: CgroupId, faults: &mut Faults) {
        let index = usize::from(id.0);
        let Some(root) = &host.cgroup2 else { return };
        let Some(entry) = self.entries.get(index).copied().filter(|e| e.facts.is_none()) else { return };
        let mut facts = Facts::default();
        for path in ancestors(&self.arena[entry.range()]) {
            let dir = match open(root, path) {
                Ok(dir) => dir,
                Err(e) => {
                    faults.failed(&e);
                    continue;
                }
            };
            if dir.read(c"memory.oom.group", &mut [0; 8]).is_ok_and(|text| text.first() == Some(&b'1')) {
                facts.oom_group = u16::try_from(path.len()).ok();
            }
            facts.preference = stronger(facts.preference, preference(&dir));
        }
        self.entries[index].facts = Some(facts);
    }
}

impl Entry {
    fn range(&self) -> std::ops::Range<usize> {
        self.start as usize..self.start as usize + usize::from(self.len)
    }
}

/// systemd-oomd honours these marks only on cgroups that belong to root, or to the user whose limit is at stake; a mark
/// set by an ordinary user on his own cgroup would otherwise shield it from the system's guard.
fn preference(dir: &Dir) -> Preference {
    let trusted = dir.owner().is_ok_and(|uid| uid == 0 || uid == nix::unistd::geteuid().as_raw());
    if !trusted {
        Preference::None
    } else if dir.xattr_is_true(c"user.oomd_omit") {
        Preference::Omit
    } else if dir.xattr_is_true(c"user.oomd_avoid") {
        Preference::Avoid
    } else {
        Preference::None
    }
}

fn stronger(a: Preference, b: Preference) -> Preference {
    match (a, b) {
        (Preference::Omit, _) | (_, Preference::Omit) => Preference::Omit,
        (Preference::Avoid, _) | (_, Preference::Avoid) => Preference::Avoid,
        (Preference::None, Preference::None) => Preference::None,
    }
}

/// FNV-1a, to compare paths by one number before comparing them by bytes.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn within_means_at_or_below_a_whole_component() {
        for (path, ancestor, expected) in [
            ("/a/b", "/a", true),
            ("/a", "/a", true),
            ("/ab", "/a", false),
            ("/a", "/a/b", false),
            ("/a", "/", true),
            ("/", "/", true),
            ("/x/../a", "/a", false),
        ] {
            assert_eq!(is_within(path.as_bytes(), ancestor.as_bytes()), expected, "{path} within {ancestor}");
        }
    }

    #[test]
    fn ancestors_end_before_the_root() {
        let all: Vec<_> = ancestors(b"/a/b/c").collect();
        assert_eq!(all, [&b"/a/b/c"[..], b"/a/b", b"/a"]);
        assert_eq!(ancestors(b"/").count(), 0);
        assert_eq!(ancestors(b"").count(), 0);
    }

    #[test]
    fn interning_keeps_one_id_a_path_and_refuses_when_full() {
        let mut table = Cgroups::with_capacity(2);
        let a = table.intern(b"/a").unwrap();
        assert_eq!(table.intern(b"/a"), Some(a));
        let weird = table.intern(b"/b\n\xff").unwrap();
        assert_eq!(table.path(weird), b"/b\n\xff");
        assert!(table.intern(&[b'x'; PATH_BYTES + 1]).is_none());
        while table.len() < table.capacity() {
            table.intern(format!("/{}", table.len()).as_bytes()).unwrap();
        }
        assert!(table.intern(b"/one more").is_none());
        assert_eq!(table.path(a), b"/a");
    }

    #[test]
    fn oom_group_of_the_topmost_ancestor_counts() {
        let tree = tempfile::tempdir().unwrap();
        let sys = tree.path().join("sys/fs/cgroup");
        std::fs::create_dir_all(sys.join("a/b/c")).unwrap();
        std::fs::create_dir_all(tree.path().join("proc")).unwrap();
        std::fs::write(sys.join("cgroup.controllers"), "memory\n").unwrap();
        std::fs::write(sys.join("a/memory.oom.group"), "0\n").unwrap();
        std::fs::write(sys.join("a/b/memory.oom.group"), "1\n").unwrap();
        std::fs::write(sys.join("a/b/c/memory.oom.group"), "1\n").unwrap();
        let roots = crate::host::Roots { proc: tree.path().join("proc"), sys: tree.path().join("sys") };
        let host = Host::open(&roots).unwrap();
        let mut table = Cgroups::with_capacity(8);
        let id = table.intern(b"/a/b/c").unwrap();
        table.read_facts(&host, id, &mut Faults::default());
        assert_eq!(table.facts(id), Facts { oom_group: Some(4), preference: Preference::None });
    }
}
