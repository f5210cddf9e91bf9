//! A cgroup v2 made by hand: in a subtree that systemd delegated, inside another place, or where nobody manages the tree.

use std::path::Path;

use crate::host::Roots;
use crate::host::dir::Dir;
use crate::report::Size;

use super::super::tree::{
    self, Label, MAIN, MARK, Spot, enter, give_controller, gives_controller, has_controller, limit, make, set, tightest,
};
use super::super::{Kind, Limits, Place, Refusal, Wishes};

/// Where processes go that are in the way: only a cgroup without processes of its own may give its children controllers
/// ("no internal processes", `cgroups(7)`).
const REST: &str = "hogwatch-rest";

/// Whether this is a place of hogwatch's own.
pub(super) fn is_place(spot: &Spot) -> bool {
    spot.last().starts_with(MARK)
}

/// The topmost cgroup around this process whose inside is ours to arrange: the place it is in; else the unit, if systemd
/// delegated that (`Delegate=`; systemd marks it by an extended attribute, see systemd's CGROUP_DELEGATION.md); where no
/// systemd runs, all that is to be seen.
pub(super) fn boundary(own: &Spot, booted: bool) -> Option<Spot> {
    if let Some(place) = own.levels().find(is_place) {
        return Some(place);
    }
    if !booted {
        return own.levels().last();
    }
    let is_unit = |spot: &Spot| [".service", ".scope"].iter().any(|suffix| spot.last().ends_with(suffix));
    own.levels().find(is_unit).filter(|unit| {
        // The second can be read by root only, and is the only one before systemd 251.
        Dir::open(&unit.dir())
            .is_ok_and(|dir| dir.xattr_is_true(c"user.delegate") || dir.xattr_is_true(c"trusted.delegate"))
    })
}

/// The cgroup to make a place in, and whether processes have to leave it first.
#[derive(Debug, PartialEq, Eq)]
struct Parent {
    spot: Spot,
    crowded: bool,
}

/// Looks from `own` upwards for a cgroup that can give its children the memory controller; rather one that nobody has to
/// leave for that. Never beyond one that has a limit of its own, which a place above would escape.
fn choose(own: &Spot, boundary: &Spot) -> Result<Parent, Refusal> {
    let mut within = Vec::new();
    for level in own.levels() {
        let dir = level.dir();
        match tree::writable(&dir) {
            Ok(()) => {}
            Err(why) if within.is_empty() => return Err(why),
            Err(_) => break,
        }
        let last = level == *boundary || is_limited(&dir);
        within.push(level);
        if last {
            break;
        }
    }
    let ready = |spot: &&Spot| {
        let dir = spot.dir();
        gives_controller(&dir, "memory") || has_controller(&dir, "memory") && (is_root(&dir) || is_empty(&dir))
    };
    let crowded = |spot: &&Spot| has_controller(&spot.dir(), "memory");
    let found = within.iter().find(ready).map(|spot| (spot, false));
    let found = found.or_else(|| within.iter().find(crowded).map(|spot| (spot, true)));
    let (spot, crowded) = found.ok_or_else(|| Refusal(format!("{} has no memory controller", boundary.name())))?;
    Ok(Parent { spot: spot.clone(), crowded })
}

/// Whether the cgroup has a limit of its own on memory, swap or tasks.
fn is_limited(dir: &Path) -> bool {
    ["memory.max", "memory.high", "memory.swap.max", "pids.max"].iter().any(|file| limit(dir, file).is_some())
}

/// Whether it is the machine's own root, which may have processes and give controllers: the only cgroup without a type.
fn is_root(dir: &Path) -> bool {
    !dir.join("cgroup.type").exists()
}

fn is_empty(dir: &Path) -> bool {
    std::fs::read(dir.join("cgroup.procs")).is_ok_and(|text| text.is_empty())
}

/// Makes a place within `boundary` and enters it.
pub(super) fn confine(
    own: &Spot,
    boundary: &Spot,
    roots: &Roots,
    limits: &Limits,
    wishes: &Wishes<'_>,
) -> Result<Place, Refusal> {
    let parent = choose(own, boundary)?;
    let within = parent.spot.dir();
    let (place, (limits, mut remarks)) =
        tree::make_place(&parent.spot, &Label::of(wishes.name), &roots.proc, |place| {
            let mut remarks = Vec::new();
            let limits = arrange(&parent, &place.dir(), limits, &mut remarks).inspect_err(|_| {
                // Out of the way again: where it came from, unless all had to leave from there.
                let _ = enter(&own.dir()).or_else(|_| enter(&within.join(REST)));
            })?;
            Ok((limits, remarks))
        })?;
    remarks.extend(throttled(&place, limits.memory));
    Ok(Place {
        kind: Kind::Cgroup2,
        tightest: tightest(&place, |dir| limit(dir, "memory.max")),
        dir: Some(place.dir()),
        pids_dir: None,
        unit: None,
        keeper: None,
        limits,
        remarks,
    })
}

fn arrange(parent: &Parent, dir: &Path, limits: &Limits, remarks: &mut Vec<String>) -> Result<Limits, Refusal> {
    let within = parent.spot.dir();
    make(&dir.join(MAIN))?;
    enter(&dir.join(MAIN))?;
    if parent.crowded {
        make_room(&within)?;
    }
    give_controller(&within, "memory")?;
    // Without it only the limit of tasks is not to be had, and that is found out when it is set.
    let _ = give_controller(&within, "pids");
    limit_place(dir, limits, remarks)
}

/// Moves all processes of a cgroup to a leaf of its own.
fn make_room(dir: &Path) -> Result<(), Refusal> {
    /// Whoever forks faster than it is moved this often is not to be had.
    const ROUNDS: usize = 100;
    let rest = dir.join(REST);
    if !rest.exists() {
        make(&rest)?;
    }
    for _ in 0..ROUNDS {
        let text = std::fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
        if text.is_empty() {
            return Ok(());
        }
        for pid in text.lines() {
            match tree::write(&rest, c"cgroup.procs", pid) {
                Ok(()) => {}
                Err(e) if e.raw_os_error() == Some(libc::ESRCH) => {}
                Err(e) => return Err(Refusal(format!("can't move process {pid} out of {}: {e}", dir.display()))),
            }
        }
    }
    Err(Refusal(format!("{} does not become empty", dir.display())))
}

/// Sets the limits of a place, and returns those that could be set. At the cap all of it dies, or a parent would be left
/// without its worker.
pub(super) fn limit_place(dir: &Path, limits: &Limits, remarks: &mut Vec<String>) -> Result<Limits, Refusal> {
    let mut done = *limits;
    if let Some(bytes) = limits.memory {
        set(dir, c"memory.max", &bytes.to_string())?;
    }
    // Since Linux 4.19; the parent looks whether it is set, and kills the rest itself otherwise.
    let _ = tree::write(dir, c"memory.oom.group", "1");
    if let Some(bytes) = limits.swap
        && let Err(Refusal(why)) = set(dir, c"memory.swap.max", &bytes.to_string())
    {
        remarks.push(format!("swap is not limited: {why}"));
        done.swap = None;
    }
    if let Some(tasks) = limits.tasks
        && let Err(Refusal(why)) = set(dir, c"pids.max", &tasks.to_string())
    {
        remarks.push(format!("the number of tasks is not limited: {why}"));
        done.tasks = None;
    }
    Ok(done)
}

/// What to say of a `memory.high` further up that is reached before the cap: there the command would be slowed down without
/// end, instead of being killed.
pub(super) fn throttled(place: &Spot, cap: Option<u64>) -> Option<String> {
    let cap = cap?;
    let (bytes, level) = place
        .levels()
        .filter_map(|level| Some((limit(&level.dir(), "memory.high")?, level)))
        .min_by_key(|(bytes, _)| *bytes)?;
    (bytes < cap).then(|| {
        let size = Size(bytes);
        format!(
            "{} has a memory.high of {size}, below the cap: there the command is slowed down before it is killed",
            level.name()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture::Tree;
    use super::*;

    const USER: &str = "user.slice/user-1000.slice/user@1000.service";

    fn delegate(tree: &Tree, path: &str) {
        Dir::open(&tree.dir(path)).unwrap().set_xattr(c"user.delegate", b"1").unwrap();
    }

    fn chosen(own: &Spot, boundary: &Spot) -> Result<(String, bool), String> {
        let parent = choose(own, boundary).map_err(|Refusal(why)| why)?;
        Ok((parent.spot.name(), parent.crowded))
    }

    #[test]
    fn under_systemd_only_a_delegated_unit_is_ours_and_the_users_manager_is_not() {
        let tree = Tree::new();
        tree.make(USER, "memory pids");
        delegate(&tree, USER);
        let terminal = tree.make(&format!("{USER}/app.slice/term.scope"), "memory pids");
        assert_eq!(boundary(&terminal, true), None);
        let below = tree.make("system.slice/ci.service/jobs/one", "memory");
        assert_eq!(boundary(&below, true), None);
        delegate(&tree, "system.slice/ci.service");
        assert_eq!(boundary(&below, true), Some(tree.spot("system.slice/ci.service")));
        assert_eq!(boundary(&tree.spot("system.slice/ci.service"), true), Some(tree.spot("system.slice/ci.service")));
    }

    #[test]
    fn a_place_is_ours_whoever_manages_the_tree() {
        let tree = Tree::new();
        let place = tree.make(&format!("{USER}/app.slice/hogwatch-run-make-7.scope/hogwatch-run"), "memory pids");
        let own = place.child("main");
        for booted in [true, false] {
            assert_eq!(boundary(&own, booted), Some(place.clone()));
        }
    }

    #[test]
    fn without_systemd_all_that_is_seen_is_ours() {
        let tree = Tree::new();
        let own = tree.make("a/b", "memory");
        assert_eq!(boundary(&own, false), Some(tree.spot("")));
        assert_eq!(boundary(&tree.spot(""), false), Some(tree.spot("")));
    }

    #[test]
    fn inside_a_place_the_next_one_is_beside_main() {
        let tree = Tree::new();
        let place = tree.make("x.scope/hogwatch-run", "memory pids");
        tree.write("x.scope/hogwatch-run", "memory.max", "1048576\n");
        let own = tree.make("x.scope/hogwatch-run/main", "");
        tree.write("x.scope/hogwatch-run/main", "cgroup.procs", "12\n");
        assert_eq!(chosen(&own, &place), Ok(("/x.scope/hogwatch-run".into(), false)));
    }

    #[test]
    fn the_machines_root_takes_a_place_beside_its_processes() {
        let tree = Tree::new();
        tree.write("", "cgroup.procs", "1\n2\n");
        assert_eq!(chosen(&tree.spot(""), &tree.spot("")), Ok(("/".into(), false)));
    }

    #[test]
    fn the_root_of_a_container_has_to_be_left_first() {
        let tree = Tree::new();
        tree.write("", "cgroup.type", "domain\n");
        tree.write("", "cgroup.procs", "1\n");
        assert_eq!(chosen(&tree.spot(""), &tree.spot("")), Ok(("/".into(), true)));
        // Unless somebody has done so already.
        tree.write("", "cgroup.subtree_control", "cpu memory\n");
        tree.write("", "cgroup.procs", "");
        let own = tree.make("init", "cpu memory");
        tree.write("init", "cgroup.procs", "1\n");
        assert_eq!(chosen(&own, &tree.spot("")), Ok(("/".into(), false)));
    }

    #[test]
    fn a_limit_is_never_escaped_by_going_above_it() {
        for file in ["memory.max", "memory.high", "memory.swap.max", "pids.max"] {
            let tree = Tree::new();
            tree.make("outer", "memory pids");
            tree.write("outer", "cgroup.subtree_control", "memory pids\n");
            let own = tree.make("outer/mine", "memory pids");
            tree.write("outer/mine", "cgroup.procs", "12\n");
            assert_eq!(chosen(&own, &tree.spot("outer")), Ok(("/outer".into(), false)), "{file}");
            tree.write("outer/mine", file, "4096\n");
            assert_eq!(chosen(&own, &tree.spot("outer")), Ok(("/outer/mine".into(), true)), "{file}");
        }
    }

    #[test]
    fn nothing_is_done_beyond_the_boundary_or_without_the_controller() {
        let tree = Tree::new();
        tree.make("unit.service", "cpu pids");
        let own = tree.make("unit.service/leaf", "");
        let error = chosen(&own, &tree.spot("unit.service")).unwrap_err();
        assert_eq!(error, "/unit.service has no memory controller");
    }

    #[test]
    fn the_limits_that_can_not_be_set_are_told() {
        let tree = Tree::new();
        let place = tree.make("p", "memory");
        tree.write("p", "memory.oom.group", "0\n");
        for file in ["memory.swap.max", "pids.max"] {
            std::fs::remove_file(place.dir().join(file)).unwrap();
        }
        let limits = Limits { memory: Some(4096), swap: Some(0), tasks: Some(9) };
        let mut remarks = Vec::new();
        let set = limit_place(&place.dir(), &limits, &mut remarks).unwrap();
        assert_eq!(set, Limits { memory: Some(4096), swap: None, tasks: None });
        assert_eq!(remarks.len(), 2, "{remarks:?}");
        assert!(remarks[0].starts_with("swap is not limited: can't write 0 to "), "{remarks:?}");
        assert!(remarks[1].starts_with("the number of tasks is not limited: can't write 9 to "), "{remarks:?}");
        assert_eq!(limit(&place.dir(), "memory.max"), None, "written without the kernel's newline");
        assert_eq!(std::fs::read_to_string(place.dir().join("memory.max")).unwrap(), "4096");
        assert_eq!(std::fs::read_to_string(place.dir().join("memory.oom.group")).unwrap(), "1");
        std::fs::remove_file(place.dir().join("memory.max")).unwrap();
        assert!(limit_place(&place.dir(), &limits, &mut Vec::new()).is_err());
    }

    #[test]
    fn a_memory_high_below_the_cap_is_told() {
        let tree = Tree::new();
        tree.make("a", "memory");
        let place = tree.make("a/p", "memory");
        assert_eq!(throttled(&place, Some(1 << 30)), None);
        tree.write("a", "memory.high", "1048576\n");
        assert_eq!(throttled(&place, None), None);
        assert_eq!(throttled(&place, Some(1 << 20)), None);
        let told = throttled(&place, Some(1 << 30)).unwrap();
        assert!(told.starts_with("/a has a memory.high of 1.0 MiB, below the cap"), "{told}");
    }
}
