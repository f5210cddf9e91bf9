//! Whether a victim's unit was started again: systemd is asked, once, a minute after.

use std::time::{Duration, Instant};

use crate::report::unit_of;

use super::systemctl::Systemctl;

/// Shorter than what a lift may take: the history thread has other incidents to write down, and it is only a remark.
const DEADLINE: Duration = Duration::from_secs(3);

/// Whether the unit that `cgroup` belongs to was started again after `hit`, a time of [`crate::host::clock::now`]. `None` for
/// what is no unit of the manager that can be asked, is never started again (a slice), or has never ended.
///
/// # Errors
/// systemd can't be asked; one line that says why.
pub fn restarted(cgroup: &str, hit: Duration) -> Result<Option<bool>, String> {
    ask(&Systemctl::of_this_process(), cgroup, hit, DEADLINE)
}

fn ask(manager: &Systemctl, cgroup: &str, hit: Duration, limit: Duration) -> Result<Option<bool>, String> {
    let Some(unit) = unit_of(cgroup.as_bytes()).and_then(|unit| std::str::from_utf8(unit).ok()) else {
        return Ok(None);
    };
    if unit.ends_with(".slice") || manager.user != is_of_a_user(cgroup, unit) {
        return Ok(None);
    }
    let properties = "--property=ActiveState,ActiveEnterTimestampMonotonic";
    let said = manager.run(&["show", properties, "--", unit], Instant::now() + limit)?;
    let value = |key: &str| said.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    Ok(match value("ActiveState") {
        Some("active" | "reloading") => {
            // In microseconds of the same clock; one that has been active since before the kill never ended.
            let since = value("ActiveEnterTimestampMonotonic").and_then(|number| number.parse().ok());
            since.map(Duration::from_micros).is_some_and(|since| since > hit).then_some(true)
        }
        Some(_) => Some(false),
        None => None,
    })
}

/// Whether a unit is one of a user's own manager, `user@UID.service`: what is below that.
fn is_of_a_user(cgroup: &str, unit: &str) -> bool {
    cgroup.split('/').any(|part| part.starts_with("user@") && part.ends_with(".service") && part != unit)
}

#[cfg(test)]
mod tests {
    use super::super::systemctl::fake;
    use super::*;

    /// Far more than a program made of shell takes.
    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn the_units_state_a_minute_later_decides() {
        let hit = Duration::from_secs(100);
        let cgroup = "/system.slice/db.service";
        for (said, expected) in [
            ("ActiveState=active\nActiveEnterTimestampMonotonic=100500000", Some(true)),
            ("ActiveState=active\nActiveEnterTimestampMonotonic=99500000", None),
            ("ActiveState=active\nActiveEnterTimestampMonotonic=", None),
            ("ActiveState=failed\nActiveEnterTimestampMonotonic=5", Some(false)),
            ("ActiveState=inactive\nActiveEnterTimestampMonotonic=0", Some(false)),
            ("ActiveState=activating\nActiveEnterTimestampMonotonic=5", Some(false)),
            ("", None),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let manager = fake::systemctl(dir.path(), &format!("echo '{said}'"));
            assert_eq!(ask(&manager, cgroup, hit, LONG), Ok(expected), "{said}");
        }
        let dir = tempfile::tempdir().unwrap();
        let manager = fake::systemctl(dir.path(), "echo 'Failed to connect to bus' >&2; exit 1");
        assert!(ask(&manager, cgroup, hit, LONG).unwrap_err().contains("Failed to connect to bus"));
    }

    #[test]
    fn only_units_of_the_manager_at_hand_are_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let hit = Duration::ZERO;
        let system = fake::systemctl(dir.path(), "echo ActiveState=failed");
        let user = Systemctl { user: true, ..system.clone() };
        for (cgroup, by_system, by_user) in [
            ("/system.slice/db.service", Some(false), None),
            ("/user.slice/user-1000.slice/session-3.scope", Some(false), None),
            ("/user.slice/user-1000.slice/user@1000.service", Some(false), None),
            ("/user.slice/user-1000.slice/user@1000.service/app.slice/x.service", None, Some(false)),
            ("/user.slice/user-1000.slice", None, None),
            ("/docker/0a1b", None, None),
            ("", None, None),
        ] {
            assert_eq!(ask(&system, cgroup, hit, LONG), Ok(by_system), "{cgroup}");
            assert_eq!(ask(&user, cgroup, hit, LONG), Ok(by_user), "{cgroup}");
        }
    }
}
