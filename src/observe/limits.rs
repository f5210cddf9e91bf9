//! The limits of the cgroups that enclose the guard: of its container, or of the user's slice it runs in. When one of
//! those is nearer than the machine's own memory, it is the one that counts.

use std::io;

use crate::host::Host;
use crate::host::dir::{Dir, HeldFile};

use super::Faults;
use super::cgroups::{CgroupPath, ancestors, open};
use super::parse::{
    Limit, parse_cgroup_bytes, parse_limit, parse_limit_v1, parse_memory_stat, parse_memory_stat_v1, parse_own_paths,
};

/// An enclosing cgroup with a finite limit. Sizes in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Enclosing {
    /// Its path in the hierarchy whose paths the tasks carry.
    pub path: CgroupPath,
    /// `memory.max`, or v1's `memory.limit_in_bytes`.
    pub limit: u64,
    /// `memory.current`, or v1's `memory.usage_in_bytes`.
    pub current: u64,
    /// What the kernel can take back without swap: file pages and reclaimable slab. Zero also means "not looked at,
    /// because the limit is far".
    pub reclaimable: u64,
    /// Anonymous memory.
    pub anon: u64,
    /// Swap still allowed and how much of it is in use, where the cgroup has a finite swap limit.
    pub swap: Option<SwapLimit>,
    /// It does not enclose the guard: it was chosen in `[cgroup_limits]`, which has thresholds of its own.
    pub chosen: bool,
}

/// A cgroup's own swap limit, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwapLimit {
    /// `memory.swap.max`.
    pub max: u64,
    /// `memory.swap.current`.
    pub current: u64,
}

impl Enclosing {
    /// What can still be allocated below the limit.
    #[must_use]
    pub fn available(&self) -> u64 {
        self.limit.saturating_sub(self.current).saturating_add(self.reclaimable).min(self.limit)
    }
}

/// Which hierarchy accounts memory, and so whose paths matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hierarchy {
    /// cgroup v2.
    V2,
    /// The v1 memory controller.
    V1,
    /// Neither: tasks may still have a path, for rules and for the journal.
    None,
}

impl Hierarchy {
    /// Looks which one this machine has.
    #[must_use]
    pub fn of(host: &Host) -> Self {
        let v2_has_memory = host.cgroup2.as_ref().is_some_and(|root| {
            let mut buf = [0; 512];
            root.read(c"cgroup.controllers", &mut buf)
                .is_ok_and(|text| text.split(u8::is_ascii_whitespace).any(|word| word == b"memory"))
        });
        match (v2_has_memory, &host.memory_v1) {
            (true, _) => Self::V2,
            (false, Some(_)) => Self::V1,
            (false, None) => Self::None,
        }
    }

    /// The path that counts among those in a `/proc/PID/cgroup`.
    #[must_use]
    pub fn path(self, text: &[u8]) -> Option<&[u8]> {
        let paths = parse_own_paths(text).ok()?;
        let path = match self {
            Self::V2 => paths.v2,
            Self::V1 => paths.memory_v1,
            Self::None => paths.v2.or(paths.systemd_v1),
        };
        // `/../x` is how a process outside our cgroup namespace reads (cgroup_namespaces(7)): it is below none of the
        // cgroups we know, the namespace's root least of all.
        path.filter(|p| *p != b"/.." && !p.starts_with(b"/../"))
    }
}

/// How deep an enclosing cgroup may lie: systemd nests about eight deep, containers in containers twice that.
const MOST: usize = 24;

/// Below this share of free room under a limit (in percent of the limit) its `memory.stat` is read, which costs the
/// kernel a flush of its counters. Every sensible threshold is below.
const NEAR_PERCENT: u64 = 60;

/// Room for a cgroup's `memory.stat`: 1.9 KiB on Linux 6.18.
pub(super) const STAT_BYTES: usize = 8 * 1024;

/// Reads the enclosing limits through descriptors opened at start-up. Allocates nothing afterwards.
#[derive(Debug)]
pub struct EnclosingReader {
    watched: Vec<Watched>,
    /// Cgroups of `[cgroup_limits]`, by their inode.
    chosen: Vec<(u64, Watched)>,
    found: Vec<Enclosing>,
}

#[derive(Debug)]
struct Watched {
    path: CgroupPath,
    version: Hierarchy,
    page_size: u64,
    limit: HeldFile,
    current: HeldFile,
    stat: HeldFile,
    swap: Option<(HeldFile, HeldFile)>,
}

impl EnclosingReader {
    /// Opens the limits above this process. `own_unit` says that the innermost cgroup is hogwatch's own unit: its limit
    /// is there to bound hogwatch, not to be guarded.
    #[must_use]
    pub fn open(host: &Host, hierarchy: Hierarchy, own_unit: bool) -> Self {
        let mut buf = [0; 4096];
        let own = host.proc.read(c"self/cgroup", &mut buf).ok().and_then(|text| hierarchy.path(text)).unwrap_or(b"/");
        let root = match hierarchy {
            Hierarchy::V2 => host.cgroup2.as_ref(),
            Hierarchy::V1 => host.memory_v1.as_ref(),
            Hierarchy::None => None,
        };
        let paths =
            ancestors(own).skip(usize::from(own_unit)).filter(|p| !p.ends_with(b"/hogwatch.slice")).chain([&b"/"[..]]);
        let watched: Vec<_> = root
            .map(|root| {
                paths.take(MOST).filter_map(|p| Watched::open(root, hierarchy, host.page_size, p).ok()).collect()
            })
            .unwrap_or_default();
        Self { found: Vec::with_capacity(watched.len()), watched, chosen: Vec::new() }
    }

    /// Reads this cgroup's limit too from now on, one of v2. Allocates, and opens some files: not on the kill path.
    ///
    /// # Errors
    /// Those of `openat(2)`; a cgroup of another inode under this path.
    pub fn adopt(&mut self, host: &Host, inode: u64, path: &CgroupPath) -> io::Result<()> {
        let root = host.cgroup2.as_ref().ok_or(io::ErrorKind::NotFound)?;
        if self.chosen.iter().any(|(known, _)| *known == inode) {
            return Ok(());
        }
        if open(root, path.as_bytes())?.inode()? != inode {
            return Err(io::ErrorKind::NotFound.into());
        }
        let watched = Watched::open(root, Hierarchy::V2, host.page_size, path.as_bytes())?;
        self.chosen.push((inode, watched));
        self.found.reserve(self.watched.len() + self.chosen.len());
        Ok(())
    }

    /// Reads a limit that was adopted no longer.
    pub fn release(&mut self, inode: u64) {
        self.chosen.retain(|(known, _)| *known != inode);
    }

    /// The enclosing cgroups that have a finite limit now, nearest first.
    pub fn read(&mut self, faults: &mut Faults) -> &[Enclosing] {
        self.found.clear();
        for watched in &self.watched {
            if let Some(enclosing) = watched.read(faults) {
                self.found.push(enclosing);
            }
        }
        for (_, watched) in &self.chosen {
            // One that encloses the guard as well is there already, and its own thresholds come first.
            if let Some(chosen) = watched.read(faults) {
                self.found.retain(|e| e.path != chosen.path);
                self.found.push(Enclosing { chosen: true, ..chosen });
            }
        }
        &self.found
    }

    /// What the last [`EnclosingReader::read`] found.
    #[must_use]
    pub fn found(&self) -> &[Enclosing] {
        &self.found
    }
}

/// The `memory.high` of every cgroup this process is in, its own unit's included: above one of them the guard itself is
/// throttled whenever it allocates in the kernel.
#[derive(Debug)]
pub struct OwnHighs(Vec<HeldFile>);

impl OwnHighs {
    /// Opens them; there are none on v1.
    #[must_use]
    pub fn open(host: &Host) -> Self {
        let mut buf = [0; 4096];
        let own =
            host.proc.read(c"self/cgroup", &mut buf).ok().and_then(|text| Hierarchy::V2.path(text)).unwrap_or(b"/");
        let held = |path| open(host.cgroup2.as_ref()?, path).ok()?.file(c"memory.high").ok();
        Self(ancestors(own).chain([&b"/"[..]]).take(MOST).filter_map(held).collect())
    }

    /// Whether any of them is finite now.
    #[must_use]
    pub fn any_is_finite(&self) -> bool {
        self.0.iter().any(|file| {
            let mut buf = [0; 64];
            file.read(&mut buf).is_ok_and(|text| matches!(parse_limit(text), Ok(Limit::Bytes(_))))
        })
    }
}

impl Watched {
    fn open(root: &Dir, version: Hierarchy, page_size: u64, path: &[u8]) -> io::Result<Self> {
        let dir = open(root, path)?;
        let path = CgroupPath::new(path).ok_or(io::ErrorKind::InvalidFilename)?;
        let (limit, current) = match version {
            Hierarchy::V2 => (c"memory.max", c"memory.current"),
            Hierarchy::V1 | Hierarchy::None => (c"memory.limit_in_bytes", c"memory.usage_in_bytes"),
        };
        let swap = dir.file(c"memory.swap.max").ok().zip(dir.file(c"memory.swap.current").ok());
        Ok(Self {
            path,
            version,
            page_size,
            limit: dir.file(limit)?,
            current: dir.file(current)?,
            stat: dir.file(c"memory.stat")?,
            swap,
        })
    }

    fn read(&self, faults: &mut Faults) -> Option<Enclosing> {
        let limit = self.limit(&self.limit, faults)?;
        let current = number(&self.current, faults)?;
        let mut enclosing =
            Enclosing { path: self.path, limit, current, reclaimable: 0, anon: 0, swap: None, chosen: false };
        if limit.saturating_sub(current) / 100 < limit / 100 * NEAR_PERCENT / 100 {
            self.read_stat(&mut enclosing, faults);
            enclosing.swap = self.swap.as_ref().and_then(|(max, current)| {
                Some(SwapLimit { max: self.limit(max, faults)?, current: number(current, faults)? })
            });
        }
        Some(enclosing)
    }

    fn limit(&self, file: &HeldFile, faults: &mut Faults) -> Option<u64> {
        let mut buf = [0; 64];
        let text = file.read(&mut buf).map_err(|e| faults.failed(&e)).ok()?;
        let limit = match self.version {
            Hierarchy::V2 => parse_limit(text),
            Hierarchy::V1 | Hierarchy::None => parse_limit_v1(text, self.page_size),
        };
        match limit.map_err(|e| faults.malformed(e)).ok()? {
            Limit::Max => None,
            // A cgroup whose limit is 0 may hold nothing at all; there is nothing to guard in it.
            Limit::Bytes(0) => None,
            Limit::Bytes(bytes) => Some(bytes),
        }
    }

    fn read_stat(&self, enclosing: &mut Enclosing, faults: &mut Faults) {
        let mut buf = [0; STAT_BYTES];
        let text = match self.stat.read(&mut buf) {
            Ok(text) => text,
            Err(e) => return faults.failed(&e),
        };
        match self.version {
            Hierarchy::V2 => match parse_memory_stat(text) {
                Ok(stat) => {
                    enclosing.reclaimable = stat.cache().saturating_add(stat.slab_reclaimable.unwrap_or(0));
                    enclosing.anon = stat.anon.unwrap_or(0);
                }
                Err(e) => faults.malformed(e),
            },
            Hierarchy::V1 | Hierarchy::None => match parse_memory_stat_v1(text) {
                Ok(stat) => {
                    let inactive = stat.total_inactive_file.unwrap_or(0);
                    enclosing.reclaimable = inactive.saturating_add(stat.total_active_file.unwrap_or(0));
                    enclosing.anon = stat.total_rss.unwrap_or(0);
                }
                Err(e) => faults.malformed(e),
            },
        }
    }
}

fn number(file: &HeldFile, faults: &mut Faults) -> Option<u64> {
    let mut buf = [0; 64];
    let text = file.read(&mut buf).map_err(|e| faults.failed(&e)).ok()?;
    parse_cgroup_bytes(text).map_err(|e| faults.malformed(e)).ok()
}
