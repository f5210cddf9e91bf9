//! What the checks look at. Everything is optional: what could not be read is named in `unseen`, and a check that needs it
//! says nothing.

pub mod cgroups;
pub mod machine;
pub mod media;
pub mod processes;
pub mod reader;
pub mod settings;
pub mod units;

use std::path::Path;

use serde::Serialize;

use cgroups::Tree;
use machine::Machine;
use media::SlowSwap;
use processes::Processes;
use reader::Reader;
use settings::Settings;
use units::Units;

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The cgroup v2 tree; `None` where none with a memory controller is mounted.
    pub cgroups: Option<Tree>,
    /// systemd's units; `None` where systemd does not answer.
    pub units: Option<Units>,
    /// The processes that can be seen.
    pub processes: Processes,
    /// Whether hogwatch guards this machine.
    pub guard: Guard,
    /// Memory, swap and the kernel's settings.
    pub machine: Machine,
    /// How the kernel's memory management is set.
    pub settings: Settings,
    /// The swap areas that lie where swap should not.
    pub slow_swaps: Vec<SlowSwap>,
    /// What could not be seen, and why.
    pub unseen: Vec<Unseen>,
}

impl Facts {
    /// Reads all of it below `root`: `/`, or a fixture tree with `proc`, `sys`, `etc` and `run` in it. `shown` is what
    /// `systemctl show` printed of the units ([`units::ARGUMENTS`]), or why it did not.
    #[must_use]
    pub fn read(root: &Path, shown: Result<String, String>) -> Self {
        let mut reader = Reader::new(root);
        let machine = Machine::read(&mut reader);
        let settings = Settings::read(&mut reader);
        let slow_swaps = media::slow_swaps(&mut reader, machine.swaps.as_deref().unwrap_or_default());
        let cgroups = Tree::read(&mut reader);
        let processes = Processes::read(&mut reader);
        let units = match shown {
            Ok(text) => Some(Units::parse(&text)),
            Err(why) => {
                reader.unseen("systemd's units", &why);
                None
            }
        };
        let guard = Guard::read(&mut reader, units.as_ref(), &processes);
        Self { cgroups, units, processes, guard, machine, settings, slow_swaps, unseen: reader.into_unseen() }
    }
}

/// Whether the system's daemon runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Guard {
    /// It does, with this pid.
    Runs(u64),
    /// It does not.
    Off,
    /// That can't be seen from here.
    #[default]
    Unknown,
}

/// Files that there are only in a container. The last one is the kernel's own sign: a cgroup has it, the machine's root
/// has not (Documentation/admin-guide/cgroup-v2.rst, `cgroup.events`). containerd leaves none of the others.
const CONTAINER_SIGNS: [&str; 4] =
    ["/run/systemd/container", "/.dockerenv", "/run/.containerenv", "/sys/fs/cgroup/cgroup.events"];

impl Guard {
    /// By its unit; where it has none, by the lock it holds (`/run/hogwatch/lock`, for root only).
    fn read(reader: &mut Reader, units: Option<&Units>, processes: &Processes) -> Self {
        const LOCK: &str = "/run/hogwatch/lock";
        let unit = units.and_then(|units| units.get("hogwatch.service")).filter(|unit| unit.is_active());
        if let Some(pid) = unit.and_then(|unit| unit.word("MainPID").parse().ok()) {
            return Self::Runs(pid);
        }
        // The host's guard watches a container, too, and is not seen in it.
        if CONTAINER_SIGNS.iter().any(|sign| reader.exists(sign)) {
            reader.unseen("the guard", "this is a container: the host's is not seen from here");
            return Self::Unknown;
        }
        match reader.try_text(LOCK) {
            Err(e) => {
                reader.unseen(LOCK, &e.to_string());
                Self::Unknown
            }
            // What is in the file outlives its writer.
            Ok(lock) => {
                let pid = lock.and_then(|text| text.trim().parse().ok());
                let is_it = |pid: &u64| processes.get(*pid).is_some_and(|process| process.name == "hogwatch");
                pid.filter(is_it).map_or(Self::Off, Self::Runs)
            }
        }
    }
}

/// Something that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unseen {
    /// What: a path, or a question to systemd.
    pub what: String,
    /// Why not.
    pub why: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guard_is_told_by_its_unit_or_its_lock() {
        let active = "Id=hogwatch.service\nActiveState=active\nMainPID=7\n";
        let inactive = "Id=hogwatch.service\nActiveState=inactive\nMainPID=0\n";
        let (lock, own) = (("run/hogwatch/lock", "812\n"), ("proc/812/status", "Name:\thogwatch\n"));
        type Row<'a> = (Option<&'a str>, &'a [(&'a str, &'a str)], Guard);
        let rows: [Row<'_>; 7] = [
            (Some(active), &[], Guard::Runs(7)),
            (Some(inactive), &[], Guard::Off),
            // Started by hand.
            (Some(inactive), &[lock, own], Guard::Runs(812)),
            (None, &[lock, own], Guard::Runs(812)),
            // The file outlives the daemon, and its pid may be another's by now.
            (None, &[lock], Guard::Off),
            (None, &[lock, ("proc/812/status", "Name:\tcron\n")], Guard::Off),
            (None, &[("run/.containerenv", "")], Guard::Unknown),
        ];
        for (shown, files, expected) in rows {
            let tree = tempfile::tempdir().unwrap();
            for (name, content) in files {
                let to = tree.path().join(name);
                std::fs::create_dir_all(to.parent().unwrap()).unwrap();
                std::fs::write(to, content).unwrap();
            }
            let shown = shown.map(ToOwned::to_owned).ok_or("no systemd".to_owned());
            assert_eq!(Facts::read(tree.path(), shown).guard, expected, "{files:?}");
        }
    }

    #[test]
    fn units_are_read_as_systemd_prints_them() {
        let units =
            Units::parse("Id=a.service\nMainPID=\nX=1=2\n\nId=b.service\n\nId=a.service\nX=later\n\n\nnonsense\n");
        let ids: Vec<&str> = units.iter().map(units::Unit::id).collect();
        assert_eq!(ids, ["a.service", "b.service"]);
        let first = units.get("a.service").unwrap();
        assert_eq!((first.word("X"), first.word("MainPID"), first.word("Y")), ("1=2", "", ""));
        assert!(units.get("nonsense").is_none() && Units::parse("").iter().next().is_none());
    }
}
