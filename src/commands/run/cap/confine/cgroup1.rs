//! A cgroup of the v1 memory hierarchy, and one of the v1 pids hierarchy.
//!
//! Kernel: `Documentation/admin-guide/cgroup-v1/memory.rst`. There is no `memory.oom.group`: the parent kills the rest of the
//! place when one was killed.

use std::path::Path;

use crate::host::Roots;

use super::super::tree::{self, Label, Spot, limit_v1, set, tightest};
use super::super::{Kind, Limits, Place, Refusal, Wishes};

/// Makes a place below the own cgroup and enters it.
pub(super) fn confine(
    own: &Spot,
    own_pids: Option<&Spot>,
    roots: &Roots,
    limits: &Limits,
    wishes: &Wishes<'_>,
) -> Result<Place, Refusal> {
    let label = Label::of(wishes.name);
    tree::writable(&own.dir())?;
    let (place, (mut done, mut remarks)) = tree::make_place(own, &label, &roots.proc, |place| {
        let (mut done, mut remarks) = (*limits, Vec::new());
        limit_memory(&place.dir(), &mut done, &mut remarks)?;
        // Inherited may be that nobody is killed, and at the cap the command would hang for ever (`oom_kill_disable`).
        set(&place.dir(), c"memory.oom_control", "0")?;
        enter(&place.dir())?;
        Ok((done, remarks))
    })?;
    let dir = place.dir();
    let tasks = limits.tasks.map(|tasks| match own_pids {
        Some(own) => limit_tasks(own, roots, &label, tasks),
        None => Err(Refusal("there is no pids hierarchy".into())),
    });
    let pids_dir = match tasks.transpose() {
        Ok(pids_dir) => pids_dir,
        Err(Refusal(why)) => {
            remarks.push(format!("the number of tasks is not limited: {why}"));
            done.tasks = None;
            None
        }
    };
    Ok(Place {
        kind: Kind::Cgroup1,
        tightest: tightest(&place, |dir| limit_v1(dir, "memory.limit_in_bytes")),
        dir: Some(dir),
        pids_dir: pids_dir.map(|place| place.dir()),
        unit: None,
        keeper: None,
        limits: done,
        remarks,
    })
}

/// The memory limit first: the one of memory and swap together can't be lower.
fn limit_memory(dir: &Path, limits: &mut Limits, remarks: &mut Vec<String>) -> Result<(), Refusal> {
    let Some(memory) = limits.memory else { return Ok(()) };
    set(dir, c"memory.limit_in_bytes", &memory.to_string())?;
    let Some(swap) = limits.swap else { return Ok(()) };
    if dir.join("memory.memsw.limit_in_bytes").exists() {
        return set(dir, c"memory.memsw.limit_in_bytes", &memory.saturating_add(swap).to_string());
    }
    // Swap is not accounted (`swapaccount=0`): it can be avoided only.
    limits.swap = None;
    if swap == 0 && set(dir, c"memory.swappiness", "0").is_ok() {
        remarks.push("swap is not accounted here: the kernel avoids it for the command, but may swap in need".into());
    } else {
        remarks.push("swap is not limited: it is not accounted here (no memory.memsw.limit_in_bytes)".into());
    }
    Ok(())
}

fn limit_tasks(own: &Spot, roots: &Roots, label: &Label<'_>, tasks: u64) -> Result<Spot, Refusal> {
    tree::writable(&own.dir())?;
    let (place, ()) = tree::make_place(own, label, &roots.proc, |place| {
        set(&place.dir(), c"pids.max", &tasks.to_string())?;
        enter(&place.dir())
    })?;
    Ok(place)
}

/// Moves the calling thread, which is the only one of its process: that takes 0.1 ms, where `cgroup.procs` waits for an RCU
/// grace period, some 10 ms, to hold off every fork and exit (`cgroup_procs_write_start` in `kernel/cgroup/cgroup.c`).
fn enter(dir: &Path) -> Result<(), Refusal> {
    set(dir, c"tasks", "0")
}
