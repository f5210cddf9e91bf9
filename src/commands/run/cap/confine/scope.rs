//! A transient scope of systemd's, delegated to us.
//!
//! ```text
//! hogwatch-run-make-4242.scope     limits set by systemd, so that it knows them
//! ├─ keeper                        the keeper: a scope whose last process ends is removed at once, with its counts
//! └─ hogwatch-run                  the place: the same limits again, by us; at the cap all of it dies, but not the keeper
//!    └─ main                       the command
//! ```

use std::path::Path;

use nix::sys::signal::Signal;

use crate::host::process::signal_by_pid;
use crate::host::{Roots, keeper};

use super::super::tree::{self, Here, MAIN, MARK, Spot, enter, give_controller, limit, make, tightest};
use super::super::{Kind, Limits, Place, Refusal, Tightest, Wishes};
use super::cgroup2::{limit_place, throttled};
use super::manager::{self, Scope};

/// The keeper's leaf.
const KEEPER: &str = "keeper";

/// Has a scope made around the calling process, and arranges it.
pub(super) fn confine(own: &Spot, roots: &Roots, limits: &Limits, wishes: &Wishes<'_>) -> Result<Place, Refusal> {
    let unit = format!("{}.scope", tree::label(wishes.name, nix::unistd::getppid().as_raw()));
    let mut remarks = Vec::new();
    let limits = not_wider(limits, &escaped(own), &mut remarks);
    // A container may see the tree only, while systemd, outside, does as it is asked.
    let writable = tree::may_be_written(&own.root);
    manager::start(&Scope {
        unit: &unit,
        description: &format!("{}, run by hogwatch under a cap", wishes.name),
        slice: slice(own).as_deref(),
        // The keeper is one more.
        limits: Limits { tasks: limits.tasks.map(|tasks| tasks.saturating_add(1)), ..limits },
        kill_whole: !writable,
    })?;
    let scope = Here::look(roots).v2.filter(|now| now.last() == unit);
    let scope = scope.ok_or_else(|| Refusal(format!("systemd made {unit}, but this process is not in it")))?;
    if limits.memory.is_some() && limit(&scope.dir(), "memory.max").is_none() {
        return Err(Refusal(format!("{unit} has no memory controller: this systemd may not use it")));
    }
    let arranged = if writable {
        arrange(&scope.dir(), &limits, wishes, &mut remarks)
    } else {
        Err(Refusal(format!("{} is mounted read-only", own.root.display())))
    };
    let (place, limits, keeper) = match arranged {
        Ok((limits, keeper)) => (scope.child(MARK), limits, Some(keeper)),
        Err(Refusal(why)) => {
            remarks.push(format!("{unit} is limited by systemd alone: {why}"));
            (scope, limits, None)
        }
    };
    remarks.extend(throttled(&place, limits.memory));
    Ok(Place {
        kind: Kind::Scope,
        tightest: tightest(&place, |dir| limit(dir, "memory.max")),
        dir: Some(place.dir()),
        pids_dir: None,
        unit: Some(unit),
        keeper,
        limits,
        remarks,
    })
}

/// The place within the scope, and its keeper.
fn arrange(
    scope: &Path,
    limits: &Limits,
    wishes: &Wishes<'_>,
    remarks: &mut Vec<String>,
) -> Result<(Limits, i32), Refusal> {
    let place = scope.join(MARK);
    for dir in [&scope.join(KEEPER), &place, &place.join(MAIN)] {
        make(dir)?;
    }
    let keeper = keeper::start(wishes.lifeline).map_err(|e| Refusal(format!("can't start its keeper: {e}")))?;
    let arranged = (|| {
        tree::write(&scope.join(KEEPER), c"cgroup.procs", &keeper.to_string())
            .map_err(|e| Refusal(format!("can't put its keeper in its place: {e}")))?;
        enter(&place.join(MAIN))?;
        give_controller(scope, "memory")?;
        let _ = give_controller(scope, "pids");
        limit_place(&place, limits, remarks)
    })();
    let limits = arranged.inspect_err(|_| {
        let _ = signal_by_pid(keeper, Some(Signal::SIGKILL));
        let _ = enter(scope);
    })?;
    Ok((limits, keeper))
}

/// The slice the caller is in, if it is one of the manager's that will be asked: there the new scope belongs too.
fn slice(own: &Spot) -> Option<String> {
    let manager = own.levels().find(|level| level.last().starts_with("user@") && level.last().ends_with(".service"));
    let slice = own.levels().find(|level| level.last().ends_with(".slice"))?;
    let root = nix::unistd::geteuid().is_root();
    let belongs = match manager {
        Some(manager) => !root && slice.path.starts_with(&manager.path),
        None => root,
    };
    belongs.then(|| slice.last().to_owned())
}

/// The tightest limit of those that this process leaves when it goes to a scope: those of its own unit, which is none of ours
/// to arrange; slices above stay the same, for a user's own.
fn escaped(own: &Spot) -> Option<Tightest> {
    let uid = nix::unistd::geteuid();
    let users = format!("user-{uid}.slice");
    let stays = |level: &Spot| if uid.is_root() { level.last().ends_with(".slice") } else { level.last() == users };
    let left = own.levels().take_while(|level| !stays(level) && !level.path.as_os_str().is_empty());
    let limited =
        left.filter_map(|level| Some(Tightest { bytes: limit(&level.dir(), "memory.max")?, cgroup: level.name() }));
    limited.min_by_key(|tightest| tightest.bytes)
}

/// The limits, but the cap not above the one that is left behind.
fn not_wider(limits: &Limits, escaped: &Option<Tightest>, remarks: &mut Vec<String>) -> Limits {
    let Some(outer) = escaped.as_ref().filter(|outer| limits.memory.is_none_or(|bytes| bytes > outer.bytes)) else {
        return *limits;
    };
    let size = crate::report::Size(outer.bytes);
    remarks.push(format!(
        "the cap is {size}: that is the limit of {}, which the command leaves for a scope",
        outer.cgroup
    ));
    Limits { memory: Some(outer.bytes), swap: Some(limits.swap.unwrap_or(0)), tasks: limits.tasks }
}
