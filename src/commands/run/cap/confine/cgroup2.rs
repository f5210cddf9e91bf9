//! A cgroup v2 made by hand: in a subtree that systemd delegated, inside another place, or where nobody manages the tree.

use std::path::Path;

use crate::host::Roots;
use crate::host::dir::Dir;
use crate::report::Size;

use super::super::tree::{
    self, MAIN, MARK, Spot, enter, give_controller, gives_controller, has_controller, limit, make, set, tightest,
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
    tree::remove_leftovers(&within, &roots.proc);
    let place = parent.spot.child(&tree::label(wishes.name, nix::unistd::getppid().as_raw()));
    let dir = place.dir();
    make(&dir)?;
    let mut remarks = Vec::new();
    let made = arrange(&parent, &dir, limits, &mut remarks);
    let limits = made.inspect_err(|_| {
        // Out of the way again: where it came from, unless all had to leave from there.
        let _ = enter(&own.dir()).or_else(|_| enter(&within.join(REST)));
        let _ = tree::remove(&dir);
    })?;
    remarks.extend(throttled(&place, limits.memory));
    Ok(Place {
        kind: Kind::Cgroup2,
        tightest: tightest(&place, |dir| limit(dir, "memory.max")),
        dir: Some(dir),
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
