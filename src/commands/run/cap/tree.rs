//! Where a process is in the trees of cgroups, and the few things that are done to a directory there.

use std::ffi::{CStr, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use crate::host::Roots;
use crate::host::dir::Dir;
use crate::host::memory::page_size;
use crate::observe::parse::{Member, members, parse_limit, parse_limit_v1, parse_own_paths};

use super::{Refusal, Tightest};

/// What all names begin with of the cgroups that are made here.
pub(super) const MARK: &str = "hogwatch-run";

/// The command's own leaf in a place on v2, where processes live in leaves only.
pub(super) const MAIN: &str = "main";

/// So many names are tried. More runs at once whose parents have the same pid are not to be expected.
pub(super) const MOST_NAMES: u32 = 100;

/// A cgroup in a mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    /// Where the hierarchy is mounted.
    pub(super) root: PathBuf,
    /// The cgroup's path below; empty for the root.
    pub(super) path: PathBuf,
}

impl Spot {
    /// Its directory.
    pub(super) fn dir(&self) -> PathBuf {
        // Joining nothing would end the path with a slash.
        if self.path.as_os_str().is_empty() { self.root.clone() } else { self.root.join(&self.path) }
    }

    /// As `/proc/PID/cgroup` has it: `/user.slice`.
    pub(super) fn name(&self) -> String {
        format!("/{}", self.path.display())
    }

    /// Itself and what is above it, the root last.
    pub(super) fn levels(&self) -> impl Iterator<Item = Self> {
        self.path.ancestors().map(|path| Self { root: self.root.clone(), path: path.to_owned() })
    }

    /// A cgroup below it.
    pub(super) fn child(&self, name: &str) -> Self {
        Self { root: self.root.clone(), path: self.path.join(name) }
    }

    /// The last part of its path.
    pub(super) fn last(&self) -> &str {
        self.path.file_name().and_then(OsStr::to_str).unwrap_or("")
    }
}

/// Where the calling process is.
#[derive(Debug)]
pub(super) struct Here {
    /// In the unified hierarchy, where that has the memory controller.
    pub(super) v2: Option<Spot>,
    /// In the v1 memory hierarchy.
    pub(super) memory_v1: Option<Spot>,
    /// In the v1 pids hierarchy.
    pub(super) pids_v1: Option<Spot>,
    /// Whether systemd is this machine's (or container's) init, and so the one who manages the tree (`sd_booted(3)`).
    pub(super) booted: bool,
}

impl Here {
    /// Looks.
    pub(super) fn look(roots: &Roots) -> Self {
        let text = std::fs::read(roots.proc.join("self/cgroup")).unwrap_or_default();
        let paths = parse_own_paths(&text).unwrap_or_default();
        let mounts = roots.sys.join("fs/cgroup");
        let unified = [mounts.clone(), mounts.join("unified")].into_iter().find(|root| has_controller(root, "memory"));
        Self {
            v2: unified.zip(paths.v2).and_then(|(root, path)| spot(root, path)),
            memory_v1: paths.memory_v1.and_then(|path| spot(mounts.join("memory"), path)),
            pids_v1: paths.pids_v1.and_then(|path| spot(mounts.join("pids"), path)),
            booted: sd_notify::booted().unwrap_or(false),
        }
    }
}

/// The cgroup of this path, if it is in this mount.
fn spot(root: PathBuf, path: &[u8]) -> Option<Spot> {
    // `/..` is how a cgroup outside of our namespace reads (cgroup_namespaces(7)).
    let inside = path.strip_prefix(b"/").filter(|path| *path != b".." && !path.starts_with(b"../"))?;
    let spot = Spot { root: root.clone(), path: OsStr::from_bytes(inside).into() };
    if spot.dir().join("cgroup.procs").exists() {
        return Some(spot);
    }
    // A container's mount on v1 begins with its own cgroup, and the path is the machine's.
    root.join("cgroup.procs").exists().then(|| Spot { root, path: PathBuf::new() })
}

/// The cgroup of a directory: the hierarchy begins where no cgroup is further up.
pub(super) fn spot_of(dir: &Path) -> Spot {
    let root = dir.ancestors().take_while(|dir| dir.join("cgroup.procs").exists()).last().unwrap_or(dir);
    Spot { root: root.to_owned(), path: dir.strip_prefix(root).unwrap_or(Path::new("")).to_owned() }
}

/// Whether this cgroup's children may be given the controller (`cgroup.controllers`).
pub(super) fn has_controller(dir: &Path, name: &str) -> bool {
    has_word(dir, "cgroup.controllers", name)
}

/// Whether its children have it (`cgroup.subtree_control`).
pub(super) fn gives_controller(dir: &Path, name: &str) -> bool {
    has_word(dir, "cgroup.subtree_control", name)
}

fn has_word(dir: &Path, file: &str, word: &str) -> bool {
    std::fs::read_to_string(dir.join(file)).is_ok_and(|text| text.split_ascii_whitespace().any(|w| w == word))
}

/// Gives the children of a cgroup a controller.
pub(super) fn give_controller(dir: &Path, name: &str) -> Result<(), Refusal> {
    if gives_controller(dir, name) {
        return Ok(());
    }
    let file = c"cgroup.subtree_control";
    write(dir, file, &format!("+{name}"))
        .map_err(|e| Refusal(format!("can't give the children of {} the {name} controller: {e}", dir.display())))
}

/// Whether a finite limit is set in a file of the cgroup v2. A file that is not there limits nothing.
pub(super) fn limit(dir: &Path, file: &str) -> Option<u64> {
    parse_limit(&std::fs::read(dir.join(file)).ok()?).ok()?.bytes()
}

/// The same, of v1.
pub(super) fn limit_v1(dir: &Path, file: &str) -> Option<u64> {
    parse_limit_v1(&std::fs::read(dir.join(file)).ok()?, page_size()).ok()?.bytes()
}

/// Writes a file of a cgroup.
pub(super) fn write(dir: &Path, file: &CStr, value: &str) -> io::Result<()> {
    Dir::open(dir)?.write(file, value.as_bytes())
}

/// Writes it, and says what could not be written.
pub(super) fn set(dir: &Path, file: &CStr, value: &str) -> Result<(), Refusal> {
    write(dir, file, value)
        .map_err(|e| Refusal(format!("can't write {value} to {}/{}: {e}", dir.display(), file.to_string_lossy())))
}

/// Makes a cgroup.
pub(super) fn make(dir: &Path) -> Result<(), Refusal> {
    std::fs::create_dir(dir).map_err(|e| Refusal(format!("can't make {}: {e}", dir.display())))
}

/// Moves the calling process, all its threads, to a cgroup: 0 means whoever writes it.
pub(super) fn enter(dir: &Path) -> Result<(), Refusal> {
    write(dir, c"cgroup.procs", "0").map_err(|e| Refusal(format!("can't enter {}: {e}", dir.display())))
}

/// Whether the caller may make cgroups below this one and move itself there.
pub(super) fn writable(dir: &Path) -> Result<(), Refusal> {
    for file in ["", "cgroup.procs", "cgroup.subtree_control"] {
        let path = if file.is_empty() { dir.to_owned() } else { dir.join(file) };
        match access(&path, AccessFlags::W_OK) {
            // v1 has no such file.
            Ok(()) | Err(nix::errno::Errno::ENOENT) => {}
            Err(e) => return Err(Refusal(format!("can't write to {}: {}", path.display(), e.desc()))),
        }
    }
    Ok(())
}

/// Whether the hierarchy is mounted so that anything in it can be written.
pub(super) fn may_be_written(root: &Path) -> bool {
    use nix::sys::statvfs::{FsFlags, statvfs};
    statvfs(root).is_ok_and(|mount| !mount.flags().contains(FsFlags::ST_RDONLY))
}

/// Adds the processes of a cgroup, and of those below it, to `pids`. Zombies are not listed (`cgroups(7)`).
pub(super) fn processes(dir: &Path, pids: &mut Vec<i32>) -> io::Result<()> {
    let text = match std::fs::read(dir.join("cgroup.procs")) {
        Ok(text) => text,
        // Removed meanwhile; or of threads only, whose process is listed further up.
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ENODEV | libc::EOPNOTSUPP)) => return Ok(()),
        Err(e) => return Err(e),
    };
    pids.extend(members(&text).filter_map(|member| match member {
        Ok(Member::Pid(pid)) => Some(pid),
        Ok(Member::Foreign) | Err(_) => None,
    }));
    let Ok(held) = Dir::open(dir) else { return Ok(()) };
    for name in held.directories()? {
        processes(&dir.join(OsStr::from_bytes(name.as_bytes())), pids)?;
    }
    Ok(())
}

/// Removes a cgroup with those below it, as far as nobody is in them.
pub(super) fn remove(dir: &Path) -> io::Result<()> {
    for name in Dir::open(dir)?.directories()? {
        remove(&dir.join(OsStr::from_bytes(name.as_bytes())))?;
    }
    std::fs::remove_dir(dir)
}

/// Makes a place below `parent` and has it filled: the limits set, and the caller in it. Its name may be taken, by a run of the
/// same pid in another PID namespace; and such a run, on its start, may take it for a leftover before anybody is in it.
/// Either way the next name is tried.
///
/// # Errors
/// Those of `fill`, with nothing left behind; when it can't be made, or all names are taken.
pub(super) fn make_place<T>(
    parent: &Spot,
    label: &Label<'_>,
    proc: &Path,
    mut fill: impl FnMut(&Spot) -> Result<T, Refusal>,
) -> Result<(Spot, T), Refusal> {
    remove_leftovers(&parent.dir(), proc, label.parent);
    for count in 1..=MOST_NAMES {
        let place = parent.child(&label.name(count));
        let dir = place.dir();
        match std::fs::create_dir(&dir) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(e) => return Err(Refusal(format!("can't make {}: {e}", dir.display()))),
        }
        match fill(&place) {
            Ok(filled) => return Ok((place, filled)),
            Err(_) if !dir.exists() => {}
            Err(why) => {
                let _ = remove(&dir);
                return Err(why);
            }
        }
    }
    Err(Refusal(format!("{} and the names after it are taken", parent.child(&label.name(1)).dir().display())))
}

/// Removes what runs left here whose parent was killed: a place is named after its parent's pid ([`Label`]). No other run has
/// the pid of our own parent, but in another PID namespace. What is not empty stays: somebody still lives there, capped.
fn remove_leftovers(dir: &Path, proc: &Path, parent: i32) {
    let Ok(names) = Dir::open(dir).and_then(|dir| dir.directories()) else { return };
    for name in names.iter().filter_map(|name| name.to_str().ok()) {
        let pid = name.strip_prefix(MARK).and_then(|rest| rest.rsplit('-').next()?.parse::<i32>().ok());
        if pid.is_some_and(|pid| pid == parent || !proc.join(pid.to_string()).exists()) {
            let _ = remove(&dir.join(name));
        }
    }
}

/// What a place is called: `hogwatch-run-NAME-PID`, by the command's name and the pid of the parent, which is the one that
/// people see.
#[derive(Clone, Copy, Debug)]
pub(super) struct Label<'a> {
    /// The command's name.
    pub(super) command: &'a str,
    /// The parent's pid.
    pub(super) parent: i32,
}

impl<'a> Label<'a> {
    /// For the calling process.
    pub(super) fn of(command: &'a str) -> Self {
        Self { command, parent: nix::unistd::getppid().as_raw() }
    }

    /// The first name, or where that is taken the second and so on: `hogwatch-run-NAME.2-PID`. Only characters that systemd
    /// takes in a unit's name (`systemd.unit(5)`).
    pub(super) fn name(&self, count: u32) -> String {
        /// Long enough to tell commands apart: unit names may have 255 bytes.
        const MOST: usize = 40;
        let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '.') { c } else { '_' };
        let command: String = self.command.chars().take(MOST).map(plain).collect();
        let dash = if command.is_empty() { "" } else { "-" };
        let next = if count > 1 { format!(".{count}") } else { String::new() };
        format!("{MARK}{dash}{command}{next}-{}", self.parent)
    }
}

/// The tightest memory limit of a cgroup and those above it; of equal ones the nearest.
pub(super) fn tightest(spot: &Spot, limit: impl Fn(&Path) -> Option<u64>) -> Option<Tightest> {
    let limited = spot.levels().filter_map(|level| {
        let bytes = limit(&level.dir())?;
        Some(Tightest { bytes, cgroup: level.name() })
    });
    limited.min_by_key(|tightest| tightest.bytes)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Tree;
    use super::*;

    #[test]
    fn the_tightest_limit_is_the_lowest_and_of_equal_ones_the_nearest() {
        let tree = Tree::new();
        tree.make("a", "memory");
        tree.make("a/b", "memory");
        let place = tree.make("a/b/c", "memory");
        let found = || tightest(&place, |dir| limit(dir, "memory.max"));
        assert_eq!(found(), None);
        let expected = |bytes, cgroup: &str| Some(Tightest { bytes, cgroup: cgroup.into() });
        tree.write("a", "memory.max", "8192\n");
        assert_eq!(found(), expected(8192, "/a"));
        tree.write("a/b/c", "memory.max", "8192\n");
        assert_eq!(found(), expected(8192, "/a/b/c"));
        tree.write("a/b", "memory.max", "4096\n");
        assert_eq!(found(), expected(4096, "/a/b"));
    }

    #[test]
    fn names_are_what_systemd_takes() {
        let name = |command, count| Label { command, parent: 42 }.name(count);
        assert_eq!(name("make", 1), "hogwatch-run-make-42");
        assert_eq!(name("make", 2), "hogwatch-run-make.2-42");
        assert_eq!(name("", 1), "hogwatch-run-42");
        assert_eq!(name("", 2), "hogwatch-run.2-42");
        assert_eq!(name("../a b-c\n\u{e9}", 1), "hogwatch-run-.._a_b_c__-42");
        assert_eq!(name(&"x".repeat(300), 1).len(), "hogwatch-run--42".len() + 40);
    }

    #[test]
    fn leftovers_of_dead_parents_go_and_those_of_living_ones_stay() {
        let tree = tempfile::tempdir().unwrap();
        let proc = tempfile::tempdir().unwrap();
        let dirs = [
            "hogwatch-run-a-7/main",
            "hogwatch-run-a-8/main",
            "hogwatch-run-9",
            "hogwatch-run-b.2-11",
            "hogwatch-rest",
            "hogwatch-run",
            "x-8",
        ];
        for dir in dirs {
            std::fs::create_dir_all(tree.path().join(dir)).unwrap();
        }
        // The second is our own parent.
        for pid in ["7", "11"] {
            std::fs::create_dir(proc.path().join(pid)).unwrap();
        }
        // Somebody still lives there.
        std::fs::create_dir_all(tree.path().join("hogwatch-run-b-10/main")).unwrap();
        std::fs::write(tree.path().join("hogwatch-run-b-10/main/cgroup.procs"), "1\n").unwrap();
        remove_leftovers(tree.path(), proc.path(), 11);
        let mut left: Vec<_> = std::fs::read_dir(tree.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["hogwatch-rest", "hogwatch-run", "hogwatch-run-a-7", "hogwatch-run-b-10", "x-8"]);
    }

    #[test]
    fn a_name_that_is_taken_or_a_place_that_somebody_removes_is_no_hindrance() {
        let tree = tempfile::tempdir().unwrap();
        let parent = Spot { root: tree.path().to_owned(), path: "".into() };
        let label = Label { command: "sh", parent: 2 };
        // Of a run with the same pid in another PID namespace.
        std::fs::create_dir_all(tree.path().join("hogwatch-run-sh-2/main")).unwrap();
        std::fs::write(tree.path().join("hogwatch-run-sh-2/main/cgroup.procs"), "1\n").unwrap();
        let mut tried = Vec::new();
        let (place, ()) = make_place(&parent, &label, Path::new("/proc"), |place| {
            tried.push(place.name());
            match tried.len() {
                1 => std::fs::remove_dir(place.dir())
                    .map_err(|e| Refusal(e.to_string()))
                    .and(Err(Refusal("gone".into()))),
                _ => Ok(()),
            }
        })
        .unwrap();
        assert_eq!(tried, ["/hogwatch-run-sh.2-2", "/hogwatch-run-sh.3-2"]);
        assert_eq!(place.name(), tried[1]);
        // What is refused otherwise is refused, and leaves nothing.
        let refused = make_place(&parent, &label, Path::new("/proc"), |_| Err::<(), _>(Refusal("no".into())));
        assert_eq!(refused, Err(Refusal("no".into())));
        let left = std::fs::read_dir(tree.path()).unwrap().map(|e| e.unwrap().file_name());
        assert_eq!(left.collect::<Vec<_>>(), ["hogwatch-run-sh-2"]);
    }

    #[test]
    fn processes_are_those_of_the_whole_subtree() {
        let tree = Tree::new();
        tree.make("p", "memory");
        tree.make("p/main", "");
        tree.make("p/inner", "memory");
        tree.make("p/inner/main", "");
        tree.write("p/main", "cgroup.procs", "7\n8\n0\n");
        tree.write("p/inner/main", "cgroup.procs", "9\n");
        let mut pids = vec![1];
        processes(&tree.dir("p"), &mut pids).unwrap();
        pids.sort_unstable();
        assert_eq!(pids, [1, 7, 8, 9]);
        processes(&tree.dir("gone"), &mut pids).unwrap();
        assert_eq!(pids.len(), 4);
    }

    #[test]
    fn where_one_is_follows_from_the_files() {
        let roots = tempfile::tempdir().unwrap();
        let (proc, sys) = (roots.path().join("proc"), roots.path().join("sys"));
        let write = |path: PathBuf, text: &str| {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let look = || Here::look(&Roots { proc: proc.clone(), sys: sys.clone() });
        write(proc.join("self/cgroup"), "0::/a/b\n");
        assert_eq!(look().v2, None);
        let root = sys.join("fs/cgroup");
        write(root.join("cgroup.controllers"), "cpu\n");
        write(root.join("a/b/cgroup.procs"), "");
        assert_eq!(look().v2, None, "no memory controller");
        write(root.join("cgroup.controllers"), "cpu memory\n");
        assert_eq!(look().v2, Some(Spot { root: root.clone(), path: "a/b".into() }));
        write(proc.join("self/cgroup"), "0::/../b\n");
        assert_eq!(look().v2, None, "outside of the namespace");
        // v1 in a container: the path is the machine's, the mount begins with the container.
        write(proc.join("self/cgroup"), "9:pids:/docker/7\n4:memory:/docker/7\n");
        write(root.join("memory/cgroup.procs"), "");
        write(root.join("pids/docker/7/cgroup.procs"), "");
        let here = look();
        assert_eq!(here.memory_v1, Some(Spot { root: root.join("memory"), path: "".into() }));
        assert_eq!(here.pids_v1, Some(Spot { root: root.join("pids"), path: "docker/7".into() }));
        let place = here.pids_v1.unwrap();
        write(root.join("pids/cgroup.procs"), "");
        write(root.join("pids/docker/cgroup.procs"), "");
        assert_eq!(spot_of(&place.dir()), place);
        assert_eq!(place.name(), "/docker/7");
    }
}
