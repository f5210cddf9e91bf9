//! systemd is told, and sees to it that the kernel has what its units say.
//!
//! systemd 252 sets the limits of slices that are there when it reads its units again; systemd 257 does not, it only sets
//! them when a property is set. That writes a drop-in to /run, which is put away at once: what is set stays set, and the
//! units say the same.

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::commands::daemon::systemctl::DEADLINE;
use crate::host::memory::page_size;

use super::changes::Record;
use super::files::{Content, Tree};
use super::machine::{Machine, property, user_slices};
use super::plan;

/// systemd reads all its units again: milliseconds each, on an emulated or a starved machine far more.
const RELOAD: Duration = Duration::from_secs(60);

/// A limit is set right after systemd has answered; lowering one may have to write pages of files back first.
const SETTLES: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(50);

/// Where `systemctl set-property --runtime` leaves its drop-ins.
const CONTROL: &str = "/run/systemd/system.control";

/// What a weight is when none is set.
const DEFAULT_WEIGHT: &str = "100";

/// What systemd prints for a weight that is not set.
const NOT_SET: &str = "[not set]";

/// A property of units, and the kernel's file for it.
type Property = (&'static str, &'static str);
const MEMORY: &[Property] =
    &[("MemoryMax", "memory.max"), ("MemorySwapMax", "memory.swap.max"), ("MemoryHigh", "memory.high")];
const WEIGHTS: &[Property] = &[("CPUWeight", "cpu.weight"), ("IOWeight", "io.weight")];

/// What is in the way of drop-ins that systemd makes only for a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passing {
    /// The files, and what was there; none is nothing.
    pub files: Vec<(PathBuf, Option<Content>)>,
    /// The directories that were not there, the outermost first.
    pub directories: Vec<PathBuf>,
}

impl Passing {
    /// Puts all of it back.
    ///
    /// # Errors
    /// With the path that could not be.
    pub fn put_back(&self, tree: &Tree) -> Result<(), String> {
        for (path, before) in &self.files {
            // After a boot neither is there.
            if tree.has(path) {
                tree.put(path, before.as_ref())?;
            }
        }
        self.directories.iter().rev().try_for_each(|dir| tree.remove_directory(dir))
    }
}

/// Has systemd read its units again.
///
/// # Errors
/// It did not.
pub fn reload(machine: &Machine) -> Result<(), String> {
    machine.systemctl.run(&["daemon-reload"], Instant::now() + RELOAD).map(|_| ())
}

/// The slices that are there and have a drop-in in this record, for which the kernel has not what systemd's units say.
///
/// # Errors
/// systemd can't be asked.
pub fn behind(machine: &Machine, record: &Record) -> Result<Vec<Unit>, String> {
    let mut all = Vec::new();
    for entry in &record.files {
        let Some(name) = entry.path.parent().and_then(Path::file_name).and_then(|dir| dir.to_str()?.strip_suffix(".d"))
        else {
            continue;
        };
        if entry.path != plan::place(name) {
            continue;
        }
        let root = Path::new("/sys/fs/cgroup");
        match name {
            "user-.slice" => all.extend(user_slices(&machine.tree)?.into_iter().map(|uid| {
                let name = format!("user-{uid}.slice");
                Unit { dir: root.join("user.slice").join(&name), name, properties: MEMORY }
            })),
            "system.slice" => all.push(Unit { dir: root.join(name), name: name.into(), properties: WEIGHTS }),
            // Root's own has no settings of ours, and user@.service is no slice.
            "user-0.slice" | "user@.service" => {}
            _ => all.push(Unit { dir: root.join(name), name: name.into(), properties: MEMORY }),
        }
    }
    let mut behind = Vec::new();
    for unit in all {
        if !unit.is_set(machine)? {
            behind.push(unit);
        }
    }
    Ok(behind)
}

/// The files of `system.slice`'s weights that this machine has not.
pub fn lacking_weights(tree: &Tree) -> Vec<&'static str> {
    let files = WEIGHTS.iter().map(|(_, file)| *file);
    files.filter(|file| lacks(tree, Path::new("/sys/fs/cgroup/system.slice"), file)).collect()
}

/// Whether a cgroup never gets this file: the machine, or the container, has not its controller; or the cgroup has the
/// controller, and the kernel was built without the file (`io.weight` takes CONFIG_BLK_CGROUP_IOCOST). Elsewhere systemd
/// turns the controller on when a unit has the property.
fn lacks(tree: &Tree, cgroup: &Path, file: &str) -> bool {
    let controller = file.split('.').next().unwrap_or(file);
    let has_controller = |cgroup: &Path| {
        let controllers = std::fs::read_to_string(tree.at(&cgroup.join("cgroup.controllers"))).unwrap_or_default();
        controllers.split_ascii_whitespace().any(|name| name == controller)
    };
    tree.has(cgroup)
        && !tree.has(&cgroup.join(file))
        && (has_controller(cgroup) || !has_controller(Path::new("/sys/fs/cgroup")))
}

/// What is in the way when these are set.
///
/// # Errors
/// It can't be read.
pub fn passing(tree: &Tree, units: &[Unit]) -> Result<Passing, String> {
    let mut passing = Passing::default();
    for unit in units {
        let dir = Path::new(CONTROL).join(format!("{}.d", unit.name));
        for (property, _) in unit.properties {
            let path = dir.join(format!("50-{property}.conf"));
            passing.files.push((path.clone(), tree.read(&path)?));
            for missing in tree.missing_directories(&path) {
                if !passing.directories.contains(&missing) {
                    passing.directories.push(missing);
                }
            }
        }
    }
    Ok(passing)
}

/// A slice that is there.
#[derive(Clone, Debug)]
pub struct Unit {
    name: String,
    dir: PathBuf,
    properties: &'static [Property],
}

impl Unit {
    /// Has systemd set what its unit says, and waits until the kernel has it.
    ///
    /// # Errors
    /// It did not.
    pub fn set(&self, machine: &Machine) -> Result<(), String> {
        // To set one sets its neighbours, at times.
        if self.is_set(machine)? {
            return Ok(());
        }
        let wanted = self.wanted(machine)?;
        let assignments: Vec<_> = wanted
            .iter()
            .map(|((name, _), value)| format!("{name}={}", if value == NOT_SET { "" } else { value }))
            .collect();
        let mut arguments = vec!["set-property", "--runtime", self.name.as_str()];
        arguments.extend(assignments.iter().map(String::as_str));
        machine.systemctl.run(&arguments, Instant::now() + SETTLES)?;
        let until = Instant::now() + SETTLES;
        while !self.is_set(machine)? {
            if Instant::now() > until {
                return Err(format!(
                    "{} has other limits than systemd says, {} s after it was told",
                    self.name,
                    SETTLES.as_secs()
                ));
            }
            sleep(LOOK);
        }
        Ok(())
    }

    /// Whether the kernel has what systemd's unit says; a slice that is gone has.
    fn is_set(&self, machine: &Machine) -> Result<bool, String> {
        let file = |name: &str| std::fs::read_to_string(machine.tree.at(&self.dir.join(name))).ok();
        if !machine.tree.has(&self.dir) {
            return Ok(true);
        }
        let same = |((name, file_name), value): &(Property, String)| match (file(file_name), value.as_str()) {
            // Neither the controller nor a setting.
            (None, NOT_SET | "infinity") => true,
            // A kernel without swap.
            (None, _) if *name == "MemorySwapMax" => true,
            // Services are favoured where that can be; the caps do not hang on it.
            (None, _) => self.properties == WEIGHTS && lacks(&machine.tree, &self.dir, file_name),
            (Some(is), "infinity") => is.trim() == "max",
            (Some(is), NOT_SET) => weight(&is) == DEFAULT_WEIGHT,
            (Some(is), value) if self.properties == WEIGHTS => weight(&is) == value,
            (Some(is), value) => pages(is.trim()) == pages(value),
        };
        Ok(self.wanted(machine)?.iter().all(same))
    }

    /// The properties, as systemd says they are.
    fn wanted(&self, machine: &Machine) -> Result<Vec<(Property, String)>, String> {
        let mut arguments = vec!["show".to_owned()];
        arguments.extend(self.properties.iter().map(|(name, _)| format!("--property={name}")));
        arguments.push(self.name.clone());
        let shown = machine.systemctl.run(&arguments, Instant::now() + DEADLINE)?;
        let all = self.properties.iter();
        Ok(all.filter_map(|each| Some((*each, property(&shown, each.0)?.to_owned()))).collect())
    }
}

/// The weight in a file of the kernel's: `200`, or `default 200` before those of single disks.
fn weight(file: &str) -> &str {
    let line = file.lines().next().unwrap_or_default();
    line.strip_prefix("default ").unwrap_or(line).trim()
}

/// Whole pages of so many bytes: the kernel counts in them.
fn pages(bytes: &str) -> Option<u64> {
    Some(bytes.parse::<u64>().ok()? / page_size())
}
