//! `hogwatch contain`: caps for every user and for containers, printed, applied, taken back.
//!
//! It looks (`machine`), says what shall be (`plan`), works out which files change and keeps a record of that
//! (`changes`), carries it out (`carry`) with `systemd`'s help, and looks whether the caps are there (`live`).

mod carry;
mod changes;
mod docker;
mod files;
mod live;
mod machine;
mod plan;
mod systemd;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use crate::commands::daemon::systemctl::Systemctl;
use crate::config::units::{size, write_size};

use super::{print, users};
use changes::{Change, Step};
use files::Tree;
use machine::{DAEMON_JSON, MACHINES, Machine};
use plan::Sizes;

const EXAMPLES: &str = "\
Examples:
  hogwatch contain --per-user 16G                          what would be written and run
  hogwatch contain --per-user 16G --apply                  set it, for sessions that are open too
  hogwatch contain --per-user 16G --containers 8G --apply  docker's and podman's containers as well
  hogwatch contain --revert                                take all of it back

Without --apply nothing is changed. Root's own sessions get no cap. No session and no service is restarted. An
option that is left out is taken back: to keep containers' caps, give --containers each time.

Exit status: 0 done (without --apply: said, also that --apply would refuse now), 1 failed (then nothing has changed,
or it says what), 2 wrong usage.";

/// Caps for every user and for containers: printed, applied, or taken back
#[derive(Args, Debug)]
#[command(
    after_help = EXAMPLES,
    override_usage = "hogwatch contain --per-user SIZE [--containers SIZE] [--apply]\n       hogwatch contain --revert"
)]
pub struct ContainArgs {
    /// What each user may use of memory, all sessions together (256 MiB at least)
    #[arg(long, value_name = "SIZE", value_parser = cap, required_unless_present = "revert", conflicts_with = "revert")]
    per_user: Option<u64>,
    /// What docker's containers together may use, and as much root's podman (256 MiB at least)
    #[arg(long, value_name = "SIZE", value_parser = cap, conflicts_with = "revert")]
    containers: Option<u64>,
    /// Write it, and set it at once
    #[arg(long, conflicts_with = "revert")]
    apply: bool,
    /// Take back all that --apply did
    #[arg(long)]
    revert: bool,
}

fn cap(text: &str) -> Result<u64, String> {
    let bytes = size(text).map_err(|e| e.to_string())?;
    if bytes < plan::LEAST {
        return Err(format!(
            "a cap below {} keeps people out (write a size, such as \"4 GiB\")",
            write_size(plan::LEAST)
        ));
    }
    Ok(bytes)
}

/// What a run of the command comes to; nothing has been printed yet.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    failed: bool,
    stdout: Vec<String>,
    stderr: Vec<String>,
}

/// Runs `hogwatch contain`.
#[must_use]
pub fn run(args: &ContainArgs) -> ExitCode {
    let systemctl = Systemctl { program: "systemctl".into(), user: false };
    let machine = Machine { tree: Tree::new(Path::new("/")), systemctl, names: users() };
    let is_root = nix::unistd::geteuid().is_root();
    let outcome = outcome(args, &machine, is_root).unwrap_or_else(|why| Outcome {
        failed: true,
        stderr: vec![format!("hogwatch: {why}")],
        ..Outcome::default()
    });
    let text: String = outcome.stdout.iter().map(|line| format!("{line}\n")).collect();
    let status = print(&text, outcome.failed.into());
    // Behind a listing of many lines: what is wrong is read last.
    for line in &outcome.stderr {
        eprintln!("{line}");
    }
    status
}

fn outcome(args: &ContainArgs, machine: &Machine, is_root: bool) -> Result<Outcome, String> {
    if (args.apply || args.revert) && !is_root {
        let option = if args.apply { "--apply" } else { "--revert" };
        return Err(format!(
            "{option} needs root: it changes files in /etc, and the limits of others (sudo hogwatch contain ...)"
        ));
    }
    // What another call does meanwhile would be in nobody's record.
    let _lock = (args.apply || args.revert).then(|| machine.tree.lock()).transpose()?;
    match args.per_user {
        Some(per_user) => contain(machine, Sizes { per_user, containers: args.containers }, args.apply, is_root),
        // There is nothing else without it.
        None => revert(machine),
    }
}

fn contain(machine: &Machine, sizes: Sizes, apply: bool, is_root: bool) -> Result<Outcome, String> {
    let facts = machine.look()?;
    plan::possible(&facts, sizes)?;
    let full = plan::too_full(&facts, sizes);
    // Only root reads the record; to others, what bears our mark is ours.
    let before = if is_root { changes::recorded(&machine.tree)? } else { Some(changes::presumed(&machine.tree)) };
    let step = changes::to_apply(&machine.tree, &facts, sizes, before)?;
    let remarks = plan::remarks(&facts, sizes).into_iter().chain(uncapped(&step, sizes));
    let mut stderr: Vec<String> = remarks.map(|remark| format!("note: {remark}")).collect();
    if !apply {
        let mut stdout = listing(&step);
        if !step.changes.is_empty() {
            let how = if full.is_empty() { "; --apply does this" } else { "" };
            stdout.push(format!("nothing has been changed{how}"));
        }
        stderr.extend(full.into_iter().map(|why| format!("note: --apply would refuse now: {why}")));
        return Ok(Outcome { stdout, stderr, failed: false });
    }
    if !full.is_empty() {
        return Err(full.join("\nhogwatch: "));
    }
    carry::all_or_nothing(machine, &step)?;
    let live = live::look(machine, &facts, sizes);
    let mut stdout: Vec<String> = step.changes.iter().map(done).collect();
    if stdout.is_empty() {
        stdout.push("nothing to change: all of it was there".into());
    }
    stdout.extend(live.capped);
    stdout.extend(docker_restart(&step));
    stderr.extend(live.others.into_iter().map(|other| format!("note: {other}")));
    Ok(Outcome { failed: false, stdout, stderr })
}

fn revert(machine: &Machine) -> Result<Outcome, String> {
    let Some(record) = changes::recorded(&machine.tree)? else {
        let orphans = changes::presumed(&machine.tree).files;
        if orphans.is_empty() {
            return Ok(Outcome { stdout: vec!["nothing to take back".into()], ..Outcome::default() });
        }
        let paths: Vec<_> = orphans.iter().map(|entry| entry.path.display().to_string()).collect();
        return Err(format!(
            "{} is not there, which says what was before; remove what hogwatch wrote by hand: rm {}; systemctl daemon-reload",
            changes::RECORD,
            paths.join(" ")
        ));
    };
    let step = changes::to_revert(&machine.tree, record)?;
    carry::forward(machine, &step)
        .map_err(|why| format!("{why}; what is left to take back is still in {}", changes::RECORD))?;
    let stdout = step.changes.iter().filter(|change| change.from != change.to).map(done).chain(docker_restart(&step));
    let stderr = step.kept.iter().map(|why| format!("hogwatch: {why}"));
    Ok(Outcome { failed: !step.kept.is_empty(), stdout: stdout.collect(), stderr: stderr.collect() })
}

/// What would be written and run.
fn listing(step: &Step) -> Vec<String> {
    if step.changes.is_empty() {
        return vec!["nothing to change: all of it is there".into()];
    }
    let mut lines = Vec::new();
    for Change { path, to, .. } in &step.changes {
        match to {
            Some(content) => {
                lines.push(format!("write {}", path.display()));
                lines.extend(content.text.lines().map(|line| format!("    {line}")));
            }
            None => lines.push(format!("remove {}", path.display())),
        }
    }
    lines.push("run systemctl daemon-reload".into());
    lines.extend(docker_restart(step));
    lines
}

/// The caps of containers that go because their option was left out.
fn uncapped(step: &Step, sizes: Sizes) -> Option<String> {
    let goes = |unit: &&str| step.changes.iter().any(|change| change.path == plan::place(unit) && change.to.is_none());
    let units: Vec<&str> = [docker::SLICE, MACHINES].into_iter().filter(goes).collect();
    (sizes.containers.is_none() && !units.is_empty()).then(|| {
        format!("{} had a cap by --containers, which this takes away: give it again to keep that", units.join(" and "))
    })
}

fn done(change: &Change) -> String {
    let what = match (&change.from, &change.to) {
        (_, None) => "removed",
        (None, Some(_)) => "wrote",
        (Some(_), Some(_)) => "changed",
    };
    format!("{what} {}", change.path.display())
}

/// What is left for the admin to do.
fn docker_restart(step: &Step) -> Option<String> {
    let changed = step.changes.iter().any(|change| change.path == Path::new(DAEMON_JSON) && change.from != change.to);
    changed.then(|| {
        "docker reads its file when it starts, and a container moves when it is started: at a time that suits you, run \
         systemctl restart docker (contain never does)"
            .into()
    })
}
