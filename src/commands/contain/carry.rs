//! Carries changes out: the record first, then the files, then systemd is told. Whatever fails on the way is undone.

use std::path::{Path, PathBuf};

use super::changes::{RECORD, Record, Step};
use super::files::{Content, Tree};
use super::machine::Machine;
use super::systemd;

/// The state directory's mode, as the daemon's unit has it.
const STATE_MODE: u32 = 0o750;

/// The mode of directories that everybody may read.
const MODE: u32 = 0o755;

/// The record's mode: it holds docker's configuration, which may hold a proxy's password.
const RECORD_MODE: u32 = 0o600;

/// Does all of it, or nothing.
///
/// # Errors
/// What could not be done; and what could not be undone then.
pub fn all_or_nothing(machine: &Machine, step: &Step) -> Result<(), String> {
    let Err(why) = forward(machine, step) else { return Ok(()) };
    match back(machine, step) {
        Ok(()) => Err(format!("{why}; all was put back")),
        Err(also) => {
            Err(format!("{why}; and not all could be put back: {also}. Mend that, then \"hogwatch contain --revert\""))
        }
    }
}

/// Does all of it; what is done when something fails stays done, and can be done again.
///
/// # Errors
/// What could not be done.
pub fn forward(machine: &Machine, step: &Step) -> Result<(), String> {
    let tree = &machine.tree;
    // Of a call that was cut short while systemd was at it.
    if let Some(before) = &step.before {
        before.passing.put_back(tree)?;
    }
    // Every directory to be made is in the record before it is made, but for those of the record itself.
    let (for_record, for_files): (Vec<_>, Vec<_>) =
        step.during.directories.iter().partition(|dir| Path::new(RECORD).starts_with(dir));
    for dir in for_record {
        tree.make_directory(dir, if Some(dir.as_path()) == Path::new(RECORD).parent() { STATE_MODE } else { MODE })?;
    }
    save(tree, Some(&step.during))?;
    let written = || step.changes.iter().filter(|change| change.to.is_some());
    for dir in for_files.into_iter().filter(|dir| written().any(|change| change.path.starts_with(dir))) {
        tree.make_directory(dir, MODE)?;
    }
    for entry in &step.during.files {
        tree.sweep(&entry.path)?;
    }
    for change in &step.changes {
        if tree.read(&change.path)? != change.from {
            return Err(format!("{}: somebody else is changing it at this moment", change.path.display()));
        }
        tree.put(&change.path, change.to.as_ref())?;
    }
    tell_systemd(machine, &step.during)?;
    save(tree, step.after.as_ref())?;
    remove_directories(tree, &step.during, step.after.as_ref())
}

/// Puts everything back as it was before [`forward`].
fn back(machine: &Machine, step: &Step) -> Result<(), String> {
    let tree = &machine.tree;
    let mut told = false;
    for change in step.changes.iter().rev() {
        if tree.read(&change.path)? != change.from {
            tree.put(&change.path, change.from.as_ref())?;
            told = true;
        }
    }
    if told {
        tell_systemd(machine, &step.during)?;
    }
    save(tree, step.before.as_ref())?;
    remove_directories(tree, &step.during, step.before.as_ref())
}

/// systemd reads its units again, and sets what it would set only at the next start of a slice.
fn tell_systemd(machine: &Machine, record: &Record) -> Result<(), String> {
    if !machine.has_systemd() {
        return Ok(());
    }
    systemd::reload(machine)?;
    let behind = systemd::behind(machine, record)?;
    if behind.is_empty() {
        return Ok(());
    }
    let passing = systemd::passing(&machine.tree, &behind)?;
    save(&machine.tree, Some(&Record { passing: passing.clone(), ..record.clone() }))?;
    let set = behind.iter().try_for_each(|unit| unit.set(machine));
    passing.put_back(&machine.tree)?;
    systemd::reload(machine)?;
    set
}

fn save(tree: &Tree, record: Option<&Record>) -> Result<(), String> {
    let text =
        record.map(|record| serde_json::to_string_pretty(record).map_err(|e| format!("{RECORD}: {e}"))).transpose()?;
    let content = text.map(|text| Content { mode: RECORD_MODE, ..Content::of_ours(text + "\n") });
    if tree.read(Path::new(RECORD))? == content {
        return Ok(());
    }
    tree.put(Path::new(RECORD), content.as_ref())
}

fn remove_directories(tree: &Tree, made: &Record, needed: Option<&Record>) -> Result<(), String> {
    let needed: &[PathBuf] = needed.map_or(&[], |record| &record.directories);
    made.directories.iter().rev().filter(|dir| !needed.contains(dir)).try_for_each(|dir| tree.remove_directory(dir))
}
