//! systemd's side of a lift: it writes its own value into `memory.high` again whenever it touches the unit, so it has to be
//! told, and afterwards nothing may be left behind that would outlive the lift.
//!
//! `set-property --runtime` does two things: systemd holds the new value, and writes a drop-in `50-MemoryHigh.conf` that
//! shadows what the unit's own file says from then on. There is no call that takes only this one back (`MemoryHigh=` means
//! `infinity`, and `systemctl revert` removes the admin's own drop-ins too). So the old value is set, which needs no reload to
//! take effect, and a drop-in that was not there before is removed.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::commands::daemon::systemctl::Systemctl;
use crate::observe::parse::Limit;
use crate::report::unit_of;

use super::notes::Unit;

/// systemd writes a property that is set at run time into a file of this name (since systemd 214).
const DROP_IN: &str = "50-MemoryHigh.conf";

/// The manager, and where it writes.
#[derive(Clone, Debug)]
pub struct Manager {
    /// Its client.
    pub systemctl: Systemctl,
    /// Below these are drop-ins made at run time: of units that have a file, and of transient ones (`systemd-analyze
    /// unit-paths`).
    pub folders: [PathBuf; 2],
    /// The kernel rounds limits down to whole pages of this size, systemd does not.
    pub page_size: u64,
}

/// What a restore came to.
#[derive(Clone, Copy, Debug)]
pub struct Done {
    /// systemd had the lift and was told the old limit.
    pub told: bool,
    /// A drop-in was removed, which systemd notices with a reload only.
    pub reload: bool,
}

/// What systemd says of a unit.
struct Shown {
    loaded: bool,
    cgroup: String,
    /// None for what is no limit.
    high: Option<Limit>,
}

impl Manager {
    /// The manager whose units this process may set.
    #[must_use]
    pub fn of_this_process(page_size: u64) -> Self {
        let systemctl = Systemctl::of_this_process();
        let folders = if systemctl.user {
            let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).unwrap_or_default();
            ["user.control", "transient"].map(|folder| runtime.join("systemd").join(folder))
        } else {
            ["system.control", "transient"].map(|folder| Path::new("/run/systemd").join(folder))
        };
        Self { systemctl, folders, page_size }
    }

    /// The unit whose limit `high` of this cgroup is. None when the cgroup is not exactly a unit's own (one below it is the
    /// unit's affair), or when systemd knows of another limit: then somebody wrote the file, and the file it is.
    ///
    /// # Errors
    /// systemd can't be asked.
    pub fn owner(&self, cgroup: &[u8], high: u64, deadline: Instant) -> Result<Option<Unit>, String> {
        let Some(name) = own_unit(cgroup) else { return Ok(None) };
        let shown = self.show(name, deadline)?;
        let pages = |limit| match limit {
            Some(Limit::Bytes(bytes)) => Some(bytes / self.page_size),
            Some(Limit::Max) | None => None,
        };
        let is_it = shown.cgroup.as_bytes() == cgroup && pages(shown.high) == Some(high / self.page_size);
        Ok(is_it.then(|| {
            let places = self.folders.iter().map(|folder| folder.join(format!("{name}.d")).join(DROP_IN));
            Unit { name: name.to_owned(), drop_ins: places.filter(|file| !file.exists()).collect() }
        }))
    }

    /// Tells systemd that the unit has no such limit for now.
    ///
    /// # Errors
    /// What `systemctl` complained of.
    pub fn lift(&self, unit: &Unit, deadline: Instant) -> Result<(), String> {
        self.set(&unit.name, "infinity", deadline)
    }

    /// Tells systemd the old limit, unless it has another one by now, and removes what the lift left. `theirs` says that
    /// somebody has written another limit into the file: then systemd is not told, but forgets the lift all the same.
    ///
    /// # Errors
    /// What `systemctl` complained of, or which file can't be removed.
    pub fn restore(&self, unit: &Unit, high: u64, theirs: bool, deadline: Instant) -> Result<Done, String> {
        let shown = self.show(&unit.name, deadline)?;
        let told = shown.loaded && shown.high == Some(Limit::Max) && !theirs;
        if told {
            self.set(&unit.name, &high.to_string(), deadline)?;
        }
        let mut removed = false;
        for file in unit.drop_ins.iter().filter(|file| is_ours(file, high)) {
            remove(file).map_err(|e| {
                let file = file.display();
                format!("{file} stays and shadows the unit's own MemoryHigh= ({e}): remove it, then run systemctl daemon-reload")
            })?;
            removed = true;
        }
        // With a reload systemd 252 would write its own value over theirs.
        Ok(Done { told, reload: removed && !theirs })
    }

    /// Has systemd notice that drop-ins of so many units are gone. Without a reload everything has its right value, but
    /// `systemctl status` would warn of a changed file for ever. With one, edits that somebody has not loaded yet come into
    /// force: so only when there are none.
    ///
    /// # Errors
    /// What `systemctl` complained of.
    pub fn reload_if_alone(&self, units: usize, deadline: Instant) -> Result<(), String> {
        let shown = self.systemctl.run(&["show", "--property=NeedDaemonReload", "*"], deadline)?;
        let changed = shown.lines().filter(|line| *line == "NeedDaemonReload=yes").count();
        if (1..=units).contains(&changed) { self.systemctl.run(&["daemon-reload"], deadline).map(drop) } else { Ok(()) }
    }

    fn set(&self, unit: &str, high: &str, deadline: Instant) -> Result<(), String> {
        let property = format!("MemoryHigh={high}");
        self.systemctl.run(&["set-property", "--runtime", "--", unit, &property], deadline).map(drop)
    }

    fn show(&self, unit: &str, deadline: Instant) -> Result<Shown, String> {
        let properties = "--property=LoadState,ControlGroup,MemoryHigh";
        let text = self.systemctl.run(&["show", properties, "--", unit], deadline)?;
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap_or("");
        Ok(Shown {
            loaded: value("LoadState") == "loaded",
            cgroup: value("ControlGroup").to_owned(),
            high: match value("MemoryHigh") {
                "infinity" => Some(Limit::Max),
                number => number.parse().ok().map(Limit::Bytes),
            },
        })
    }
}

/// The unit that the cgroup's last component names.
fn own_unit(cgroup: &[u8]) -> Option<&str> {
    let last = cgroup.rsplit(|byte| *byte == b'/').next()?;
    let unit = unit_of(cgroup)?;
    // systemd puts a `_` before a name that would clash with a file of the kernel's.
    let is_last = last == unit || last.strip_prefix(b"_") == Some(unit);
    is_last.then(|| std::str::from_utf8(unit).ok()).flatten()
}

/// Whether a drop-in says nothing but what a lift and its restore make systemd write.
fn is_ours(file: &Path, high: u64) -> bool {
    let Ok(text) = std::fs::read_to_string(file) else { return false };
    let said: Vec<_> = text.lines().filter(|line| !line.is_empty() && !line.starts_with(['#', '['])).collect();
    said == ["MemoryHigh=infinity"] || said == [format!("MemoryHigh={high}")]
}

/// Removes a drop-in, and its folder when nothing else is in it.
fn remove(file: &Path) -> io::Result<()> {
    std::fs::remove_file(file)?;
    if let Some(folder) = file.parent() {
        let _ = std::fs::remove_dir(folder);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_cgroup_that_is_a_unit_has_one() {
        for (cgroup, unit) in [
            ("/system.slice/ssh.service", Some("ssh.service")),
            ("/user.slice", Some("user.slice")),
            ("/system.slice/a\\x2db.scope", Some("a\\x2db.scope")),
            ("/system.slice/_cpu.service", Some("cpu.service")),
            ("/system.slice/docker-1.scope/payload", None),
            ("/system.slice/x.service/y.slice ", None),
            ("/kubepods/pod1", None),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(own_unit(cgroup.as_bytes()), unit, "{cgroup}");
        }
    }

    #[test]
    fn a_drop_in_is_ours_when_it_says_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(DROP_IN);
        assert!(!is_ours(&file, 4096), "not there");
        let head = "# This is a drop-in unit file extension, created via \"systemctl set-property\"\n[Service]\n";
        for (text, ours) in [
            ("MemoryHigh=infinity\n", true),
            ("MemoryHigh=4096\n", true),
            ("MemoryHigh=8192\n", false),
            ("MemoryHigh=infinity\nMemoryMax=1G\n", false),
            ("", false),
        ] {
            std::fs::write(&file, format!("{head}{text}")).unwrap();
            assert_eq!(is_ours(&file, 4096), ours, "{text:?}");
        }
    }
}
