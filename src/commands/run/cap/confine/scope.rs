//! A transient scope of systemd's, delegated to us.
//!
//! ```text
//! hogwatch-run-make-4242.scope     limits set by systemd, so that it knows them
//! ├─ keeper                        the keeper: a scope whose last process ends is removed at once, with its counts
//! └─ hogwatch-run                  the place: the same limits again, by us; at the cap all of it dies, but not the keeper
//!    └─ main                       the command
//! ```

use std::io;
use std::path::Path;

use nix::sys::signal::Signal;

use crate::host::process::signal_by_pid;
use crate::host::{Roots, keeper};

use super::super::tree::{
    self, Here, Label, MAIN, MARK, MOST_NAMES, Spot, enter, give_controller, limit, make, tightest,
};
use super::super::{Kind, Limits, Place, Refusal, Tightest, Wishes};
use super::cgroup2::{limit_place, throttled};
use super::manager::{self, Scope};

/// The keeper's leaf.
const KEEPER: &str = "keeper";

/// Has a scope made around the calling process, and arranges it.
pub(super) fn confine(own: &Spot, roots: &Roots, limits: &Limits, wishes: &Wishes<'_>) -> Result<Place, Refusal> {
    let mut remarks = Vec::new();
    let slice = slice(own);
    let limits = not_wider(limits, escaped(own, slice.as_deref()).as_ref(), &mut remarks);
    // A container may see the tree only, while systemd, outside, does as it is asked.
    let writable = tree::may_be_written(&own.root);
    let start = |unit: &str| {
        manager::start(&Scope {
            unit,
            description: &format!("{}, run by hogwatch under a cap", wishes.name),
            slice: slice.as_deref(),
            // The keeper is one more.
            limits: Limits { tasks: limits.tasks.map(|tasks| tasks.saturating_add(1)), ..limits },
            kill_whole: !writable,
        })
    };
    let unit =
        start_first_free(&Label::of(wishes.name), start).map_err(|e| Refusal(format!("systemd made no scope: {e}")))?;
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

/// Starts the unit, by the first name that is not taken, as by a run of the same pid in another PID namespace.
fn start_first_free(label: &Label<'_>, start: impl Fn(&str) -> io::Result<()>) -> io::Result<String> {
    let mut count = 1;
    loop {
        let unit = format!("{}.scope", label.name(count));
        match start(&unit) {
            Ok(()) => return Ok(unit),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && count < MOST_NAMES => count += 1,
            Err(e) => return Err(e),
        }
    }
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

/// The tightest limit of those that this process leaves when it goes to a scope in `slice`; without one, in a slice of systemd's
/// choice, which for a user is within the one of all that is the user's.
fn escaped(own: &Spot, slice: Option<&str>) -> Option<Tightest> {
    let uid = nix::unistd::geteuid();
    let users = (!uid.is_root()).then(|| format!("user-{uid}.slice"));
    let stays = slice.map(str::to_owned).or(users);
    let left = own.levels().take_while(|level| Some(level.last()) != stays.as_deref());
    let limited =
        left.filter_map(|level| Some(Tightest { bytes: limit(&level.dir(), "memory.max")?, cgroup: level.name() }));
    limited.min_by_key(|tightest| tightest.bytes)
}

/// The limits, but the cap not above the one that is left behind.
fn not_wider(limits: &Limits, escaped: Option<&Tightest>, remarks: &mut Vec<String>) -> Limits {
    let Some(outer) = escaped.filter(|outer| limits.memory.is_none_or(|bytes| bytes > outer.bytes)) else {
        return *limits;
    };
    let size = crate::report::Size(outer.bytes);
    remarks.push(format!(
        "the cap is {size}: that is the limit of {}, which the command leaves for a scope",
        outer.cgroup
    ));
    Limits { memory: Some(outer.bytes), swap: Some(limits.swap.unwrap_or(0)), tasks: limits.tasks }
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture::Tree;
    use super::*;

    const TERMINAL: &str = "user.slice/user-0.slice/user@0.service/app.slice/term.scope";

    #[test]
    fn the_first_name_that_is_free_is_the_units() {
        let label = Label { command: "sh", parent: 2 };
        let taken = |unit: &str| match unit {
            "hogwatch-run-sh-2.scope" => Err(io::ErrorKind::AlreadyExists.into()),
            _ => Ok(()),
        };
        assert_eq!(start_first_free(&label, taken).unwrap(), "hogwatch-run-sh.2-2.scope");
        let none = |_: &str| Err(io::ErrorKind::AlreadyExists.into());
        assert_eq!(start_first_free(&label, none).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn root_stays_in_the_slice_it_is_in_unless_a_users_manager_has_it() {
        let tree = Tree::new();
        assert_eq!(slice(&tree.spot("system.slice/cron.service")).as_deref(), Some("system.slice"));
        assert_eq!(slice(&tree.spot("a.slice/a-b.slice/x.scope/leaf")).as_deref(), Some("a-b.slice"));
        assert_eq!(slice(&tree.spot("user.slice/user-7.slice/session-2.scope")).as_deref(), Some("user-7.slice"));
        assert_eq!(slice(&tree.spot(TERMINAL)), None);
        assert_eq!(slice(&tree.spot("")), None);
    }

    #[test]
    fn a_limit_that_is_left_behind_still_counts() {
        let tree = Tree::new();
        let own = tree.make("system.slice/cron.service", "memory");
        tree.make("system.slice", "memory");
        tree.write("system.slice", "memory.max", "4096\n");
        let limits = Limits { memory: Some(16384), swap: Some(0), tasks: None };
        let capped = |slice| {
            let mut remarks = Vec::new();
            (not_wider(&limits, escaped(&own, slice).as_ref(), &mut remarks).memory, remarks)
        };
        // The slice's own limit goes on to hold.
        assert_eq!(capped(Some("system.slice")), (Some(16384), vec![]));
        tree.write("system.slice/cron.service", "memory.max", "32768\n");
        assert_eq!(capped(Some("system.slice")), (Some(16384), vec![]));
        tree.write("system.slice/cron.service", "memory.max", "8192\n");
        let (bytes, remarks) = capped(Some("system.slice"));
        assert_eq!((bytes, remarks.len()), (Some(8192), 1));
        assert!(
            remarks[0].starts_with("the cap is 8.0 KiB: that is the limit of /system.slice/cron.service"),
            "{remarks:?}"
        );
        // Root, to a slice of systemd's choice.
        assert_eq!(capped(None).0, Some(4096));
        let mut remarks = Vec::new();
        let none = not_wider(&Limits::default(), escaped(&own, None).as_ref(), &mut remarks);
        assert_eq!(none, Limits { memory: Some(4096), swap: Some(0), tasks: None });
    }
}
