//! Which cgroups systemd wants relieved of pressure: `ManagedOOMMemoryPressure=kill`, as systemd-oomd would be told it.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::observe::cgroups::CgroupPath;

use super::systemctl::{DEADLINE, Systemctl, output};

/// What is compiled into systemd-oomd (oomd.conf(5)).
const DEFAULTS: Defaults = Defaults { full_percent: 60.0, after: Duration::from_secs(30) };

/// Where systemd-oomd runs, it comes first: it looks once a second at an average that lags by some seconds, and after an act
/// waits 15 s for its effect. What still holds then is what it does not act on, such as a cgroup without any reclaim.
pub const AFTER_OOMD: Duration = Duration::from_secs(15);

/// The kinds of unit that have a cgroup (systemd.resource-control(5)).
const TYPES: &str = "--type=service,slice,scope,socket,mount,swap";

/// A unit to be relieved of pressure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ManagedUnit {
    /// Its cgroup.
    pub cgroup: CgroupPath,
    /// Share of time fully stalled, in percent.
    pub full_percent: f64,
    /// At or above it for this long; [`AFTER_OOMD`] is in it where that is due.
    pub after: Duration,
}

/// All of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Managed {
    /// Those that run.
    pub units: Vec<ManagedUnit>,
    /// systemd-oomd is at work too.
    pub oomd_is_active: bool,
}

/// Who is asked.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The manager of the units.
    pub systemctl: Systemctl,
    /// `systemd-analyze`, which knows where `oomd.conf` and its drop-ins are.
    pub analyze: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Defaults {
    full_percent: f64,
    after: Duration,
}

impl Sources {
    /// The manager whose units this process may signal.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self { systemctl: Systemctl::of_this_process(), analyze: "systemd-analyze".into() }
    }

    /// Asks systemd. Takes about 10 ms of its time for a hundred units, so once a minute is often enough.
    ///
    /// # Errors
    /// systemd can't be asked. That `oomd.conf` can't be read is none: its defaults hold.
    pub fn ask(&self) -> Result<Managed, String> {
        let deadline = Instant::now() + DEADLINE;
        let properties = "--property=ControlGroup,ManagedOOMMemoryPressure,ManagedOOMMemoryPressureLimit,\
                          ManagedOOMMemoryPressureDurationUSec";
        let units = self.systemctl.run(&["show", TYPES, properties, "*"], deadline)?;
        let mut analyze = Command::new(&self.analyze);
        analyze.args(["cat-config", "systemd/oomd.conf"]);
        let defaults = output(analyze, deadline).map_or(DEFAULTS, |text| defaults(&text));
        // There is one systemd-oomd, and it is the system's.
        let system = Systemctl { user: false, ..self.systemctl.clone() };
        let oomd = system.run(&["show", "--property=ActiveState", "systemd-oomd.service"], deadline);
        let oomd_is_active = oomd.is_ok_and(|text| text.trim() == "ActiveState=active");
        let later = if oomd_is_active { AFTER_OOMD } else { Duration::ZERO };
        Ok(Managed { units: units_of(&units, defaults, later), oomd_is_active })
    }
}

/// Reads blocks of `KEY=VALUE` lines with an empty line between them.
fn units_of(text: &str, defaults: Defaults, later: Duration) -> Vec<ManagedUnit> {
    text.split("\n\n").filter_map(|block| unit(block, defaults, later)).collect()
}

fn unit(block: &str, defaults: Defaults, later: Duration) -> Option<ManagedUnit> {
    let value = |key: &str| block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    if value("ManagedOOMMemoryPressure")? != "kill" {
        return None;
    }
    // One that does not run has none.
    let cgroup = value("ControlGroup").filter(|path| path.starts_with('/'))?;
    let limit = value("ManagedOOMMemoryPressureLimit").and_then(scaled_percent).filter(|percent| *percent > 0.0);
    // Only since systemd 257; "[not set]" or "infinity" there means the default.
    let after = value("ManagedOOMMemoryPressureDurationUSec").and_then(span).filter(|after| !after.is_zero());
    Some(ManagedUnit {
        cgroup: CgroupPath::new(cgroup.as_bytes())?,
        full_percent: limit.unwrap_or(defaults.full_percent),
        after: after.unwrap_or(defaults.after).saturating_add(later),
    })
}

/// systemd holds a share as a part of 2³² − 1, and gives that number out; it was set in hundredths of a percent.
fn scaled_percent(text: &str) -> Option<f64> {
    let share = f64::from(text.parse::<u32>().ok()?) / f64::from(u32::MAX);
    Some((share * 10_000.0).round() / 100.0)
}

/// Reads what `systemd-analyze cat-config` prints: all files one after the other, the last value wins.
fn defaults(text: &str) -> Defaults {
    let mut found = DEFAULTS;
    let mut ours = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            ours = line == "[OOM]";
        }
        let Some((key, value)) = line.split_once('=').filter(|_| ours) else { continue };
        match key.trim_end() {
            "DefaultMemoryPressureLimit" => {
                found.full_percent =
                    share(value.trim()).filter(|percent| *percent > 0.0).unwrap_or(DEFAULTS.full_percent);
            }
            "DefaultMemoryPressureDurationSec" => {
                found.after = span(value.trim()).filter(|after| !after.is_zero()).unwrap_or(DEFAULTS.after);
            }
            _ => {}
        }
    }
    found
}

/// A share as systemd's files have it, in percent.
fn share(text: &str) -> Option<f64> {
    let scales = [("%", 1.0), ("‰", 0.1), ("‱", 0.01)];
    let (number, scale) = scales.iter().find_map(|(sign, scale)| Some((text.strip_suffix(sign)?, scale)))?;
    number.parse::<f64>().ok().map(|number| number * scale).filter(|percent| (0.0..=100.0).contains(percent))
}

/// A time span as systemd reads and prints it (systemd.time(7)): `1min 30s`, `20`; none for `infinity`.
fn span(text: &str) -> Option<Duration> {
    const UNITS: [(&[&str], f64); 6] = [
        (&["us", "usec", "µs", "μs"], 1e-6),
        (&["ms", "msec"], 1e-3),
        (&["", "s", "sec", "second", "seconds"], 1.0),
        (&["m", "min", "minute", "minutes"], 60.0),
        (&["h", "hr", "hour", "hours"], 3600.0),
        (&["d", "day", "days"], 86400.0),
    ];
    let mut rest = text.trim();
    let mut seconds = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..end].parse().ok()?;
        rest = rest[end..].trim_start();
        let end = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
        let (_, scale) = UNITS.iter().find(|(names, _)| names.contains(&&rest[..end]))?;
        seconds += number * scale;
        rest = rest[end..].trim_start();
    }
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::daemon::systemctl::fake;

    /// Of `systemctl show`, systemd 252, cut to a few units.
    const SHOWN_252: &str = "\
ControlGroup=/system.slice/m1.service
ManagedOOMMemoryPressure=kill
ManagedOOMMemoryPressureLimit=2147483648

ControlGroup=/system.slice/m2.service
ManagedOOMMemoryPressure=kill
ManagedOOMMemoryPressureLimit=1431512599

ControlGroup=
ManagedOOMMemoryPressure=auto
ManagedOOMMemoryPressureLimit=0

ControlGroup=/system.slice/m3.service
ManagedOOMMemoryPressure=kill
ManagedOOMMemoryPressureLimit=0

ControlGroup=
ManagedOOMMemoryPressure=kill
ManagedOOMMemoryPressureLimit=2147483648

ControlGroup=/user.slice/user-1000.slice/user@1000.service
ManagedOOMMemoryPressure=kill
ManagedOOMMemoryPressureLimit=2147483648
";

    /// Of systemd 257.
    const SHOWN_257: &str = "\
ControlGroup=/system.slice/m2.service
ManagedOOMMemoryPressure=kill
ManagedOOMMemoryPressureLimit=1431512599
ManagedOOMMemoryPressureDurationUSec=7s

ControlGroup=/user.slice
ManagedOOMMemoryPressure=auto
ManagedOOMMemoryPressureLimit=0
ManagedOOMMemoryPressureDurationUSec=[not set]

ControlGroup=/system.slice/m3.service
ManagedOOMMemoryPressure=kill
ManagedOOMMemoryPressureLimit=0
ManagedOOMMemoryPressureDurationUSec=[not set]
";

    /// Of `systemd-analyze cat-config systemd/oomd.conf` as Debian ships it.
    const OOMD_CONF: &str = "\
# /etc/systemd/oomd.conf
[OOM]
#SwapUsedLimit=90%
#DefaultMemoryPressureLimit=60%
#DefaultMemoryPressureDurationSec=30s

# /usr/lib/systemd/oomd.conf.d/10-oomd-defaults.conf
[OOM]
DefaultMemoryPressureDurationSec=20s
";

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn found(text: &str, defaults: Defaults) -> Vec<(String, f64, Duration)> {
        let path = |unit: &ManagedUnit| String::from_utf8(unit.cgroup.as_bytes().to_vec()).unwrap();
        units_of(text, defaults, Duration::ZERO).iter().map(|u| (path(u), u.full_percent, u.after)).collect()
    }

    #[test]
    fn the_units_of_both_systemds() {
        let m = |n: u8| format!("/system.slice/m{n}.service");
        let user = "/user.slice/user-1000.slice/user@1000.service".to_owned();
        assert_eq!(
            found(SHOWN_252, defaults(OOMD_CONF)),
            [(m(1), 50.0, s(20)), (m(2), 33.33, s(20)), (m(3), 60.0, s(20)), (user, 50.0, s(20))]
        );
        assert_eq!(found(SHOWN_257, DEFAULTS), [(m(2), 33.33, s(7)), (m(3), 60.0, s(30))]);
        for nothing in ["", "\n", "ControlGroup=/a\n", "ManagedOOMMemoryPressure=kill\n"] {
            assert_eq!(found(nothing, DEFAULTS), [], "{nothing:?}");
        }
    }

    #[test]
    fn the_defaults_of_oomd_conf() {
        let cases = [
            ("", 60.0, s(30)),
            (OOMD_CONF, 60.0, s(20)),
            ("[OOM]\nDefaultMemoryPressureLimit = 12.5%\nDefaultMemoryPressureDurationSec=1min 30s\n", 12.5, s(90)),
            ("[OOM]\nDefaultMemoryPressureLimit=125‰\nDefaultMemoryPressureDurationSec=45\n", 12.5, s(45)),
            // A later file sets the default again.
            ("[OOM]\nDefaultMemoryPressureLimit=5%\n# b\n[OOM]\nDefaultMemoryPressureLimit=\n", 60.0, s(30)),
            ("[Other]\nDefaultMemoryPressureLimit=5%\n", 60.0, s(30)),
            ("[OOM]\nDefaultMemoryPressureLimit=500%\nDefaultMemoryPressureDurationSec=soon\n", 60.0, s(30)),
        ];
        for (text, full_percent, after) in cases {
            assert_eq!(defaults(text), Defaults { full_percent, after }, "{text:?}");
        }
    }

    #[test]
    fn spans_as_systemd_writes_them() {
        for (text, millis) in [
            ("7s", Some(7000)),
            ("1min 30s", Some(90_000)),
            ("1min30s", Some(90_000)),
            ("1.500s", Some(1500)),
            ("500ms", Some(500)),
            ("2h", Some(7_200_000)),
            ("20", Some(20_000)),
            ("", None),
            ("infinity", None),
            ("[not set]", None),
            ("5 parsecs", None),
            ("1e9s", None),
            ("99999999999999999999999d", None),
        ] {
            assert_eq!(span(text), millis.map(Duration::from_millis), "{text:?}");
        }
    }

    #[test]
    fn systemd_oomd_comes_first_where_it_runs() {
        for (state, after, active) in [("active", s(7) + AFTER_OOMD, true), ("inactive", s(7), false)] {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("shown"), SHOWN_257).unwrap();
            let script = format!(
                "case $* in *systemd-oomd.service) echo ActiveState={state} ;; *show*) cat \"${{0%/*}}/shown\" ;; *) exit 1 ;; esac"
            );
            let systemctl = fake::systemctl(dir.path(), &script);
            // Without an oomd.conf its own defaults hold.
            let managed = Sources { analyze: systemctl.program.clone(), systemctl }.ask().unwrap();
            assert_eq!((managed.units[0].after, managed.oomd_is_active), (after, active));
            assert_eq!(managed.units.len(), 2);
        }
        let dir = tempfile::tempdir().unwrap();
        let systemctl = fake::systemctl(dir.path(), "echo 'no bus' >&2; exit 1");
        assert!(Sources { analyze: "false".into(), systemctl }.ask().unwrap_err().ends_with("no bus"));
    }
}
