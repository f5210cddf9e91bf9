//! The guard itself, and others beside it.

use serde_json::Value;

use super::super::facts::processes::Process;
use super::super::facts::{Facts, Guard};
use super::super::{Finding, Severity};
use super::evidence;
use super::limits::bands;

/// Nobody watches.
pub const GUARD_OFF: &str = "guard-off";

/// hogwatch does not run.
pub fn guard_off(facts: &Facts) -> Vec<Finding> {
    if facts.guard != Guard::Off {
        return Vec::new();
    }
    let others: Vec<&str> = others(facts).map(|(name, _)| name).collect();
    let (read, fix) = match facts.units {
        Some(_) => (("hogwatch.service", "not active"), "  systemctl enable --now hogwatch"),
        None => (
            ("/run/hogwatch/lock", "no hogwatch has it"),
            "Without systemd have your init start this as root, and again when it ends:\n  hogwatch daemon",
        ),
    };
    vec![Finding {
        id: GUARD_OFF,
        // The others act on the machine's memory; nobody else on a livelock.
        severity: if others.is_empty() { Severity::Danger } else { Severity::Warning },
        title: "hogwatch does not run".to_owned(),
        evidence: evidence([(read.0, read.1.into()), ("other guards", others.into())]),
        why: "When memory runs out, or a cgroup is stuck at its limit, nobody acts in time.",
        fix: fix.to_owned(),
    }]
}

/// Nobody will watch after the next boot.
pub const GUARD_NOT_ENABLED: &str = "guard-not-enabled";

/// It runs, and nothing starts it at boot.
pub fn guard_not_enabled(facts: &Facts) -> Vec<Finding> {
    let unit = facts.units.as_ref().and_then(|units| units.get("hogwatch.service"));
    let state = unit.filter(|unit| unit.is_active()).map(|unit| unit.word("UnitFileState"));
    let Some(state @ ("disabled" | "enabled-runtime")) = state else { return Vec::new() };
    vec![Finding {
        id: GUARD_NOT_ENABLED,
        severity: Severity::Warning,
        title: "hogwatch runs, but will not after the next boot".to_owned(),
        evidence: evidence([("hogwatch.service UnitFileState", state.into())]),
        why: "It was started by hand, and nothing starts it at boot.",
        fix: "  systemctl enable hogwatch".to_owned(),
    }]
}

/// The guard waits for the disk like everybody else.
pub const GUARD_NOT_LOCKED: &str = "guard-not-locked";

/// The daemon's memory is not locked.
pub fn guard_not_locked(facts: &Facts) -> Vec<Finding> {
    let Some(daemon) = daemon(facts).filter(|daemon| daemon.locked == Some(0)) else { return Vec::new() };
    vec![Finding {
        id: GUARD_NOT_LOCKED,
        severity: Severity::Warning,
        title: format!("hogwatch (pid {}) is not locked in memory", daemon.pid),
        evidence: evidence([("pid", daemon.pid.into()), ("VmLck", 0.into())]),
        why: "When memory runs out the kernel takes the guard's own pages first, and the guard waits for the disk.",
        fix:
            "Start it by its unit, which has LimitMEMLOCK=infinity and CAP_IPC_LOCK; the journal says why it could not \
              lock.\n  systemctl cat hogwatch\n  systemctl restart hogwatch"
                .to_owned(),
    }]
}

/// The kernel may take the guard.
pub const GUARD_KILLABLE: &str = "guard-killable";

/// The daemon's `oom_score_adj` is above -1000.
pub fn guard_killable(facts: &Facts) -> Vec<Finding> {
    let exposed = |daemon: &&Process| daemon.oom_score_adj.is_some_and(|adj| adj > -1000);
    let Some(daemon) = daemon(facts).filter(exposed) else { return Vec::new() };
    vec![Finding {
        id: GUARD_KILLABLE,
        severity: Severity::Warning,
        title: format!("hogwatch (pid {}) may be taken by the kernel's OOM killer", daemon.pid),
        evidence: evidence([("pid", daemon.pid.into()), ("oom_score_adj", daemon.oom_score_adj.into())]),
        why: "The guard may be the one that dies.",
        fix: "Start it by its unit, which has OOMScoreAdjust=-1000.\n  systemctl restart hogwatch".to_owned(),
    }]
}

fn daemon(facts: &Facts) -> Option<&Process> {
    let Guard::Runs(pid) = facts.guard else { return None };
    facts.processes.get(pid)
}

/// Two guards, two victims.
pub const SECOND_GUARD: &str = "second-guard";

/// Another guard runs beside hogwatch.
pub fn second_guard(facts: &Facts) -> Vec<Finding> {
    if !matches!(facts.guard, Guard::Runs(_)) {
        return Vec::new();
    }
    let finding = |(name, unit): (&'static str, Option<&str>)| {
        let (severity, why) = if name == OOMD {
            let why = "It judges by other signs and kills whole cgroups: one shortage may cost two victims. hogwatch can \
                       do what it does (pressure.managed_oom).";
            (Severity::Note, why)
        } else {
            (
                Severity::Warning,
                "Both act on the same shortage, each on a victim of its own: one would have been enough.",
            )
        };
        let stop = match unit {
            Some(unit) => format!("  systemctl disable --now {unit}"),
            None => format!("Stop {name}, and what starts it."),
        };
        Finding {
            id: SECOND_GUARD,
            severity,
            title: format!("{name} runs beside hogwatch"),
            evidence: evidence([("process", name.into()), ("unit", unit.map_or(Value::Null, Value::from))]),
            why,
            fix: stop,
        }
    };
    others(facts).map(finding).collect()
}

const OOMD: &str = "systemd-oomd";

/// Other guards that run, with their unit if it is known.
fn others(facts: &Facts) -> impl Iterator<Item = (&'static str, Option<&'static str>)> {
    // An interpreter's name is its process's: nohang is Python.
    const OTHERS: [(&str, &str); 6] = [
        ("earlyoom", "earlyoom.service"),
        ("nohang", "nohang.service"),
        ("nohang-desktop", "nohang-desktop.service"),
        ("oomd", "oomd.service"),
        ("bustd", "bustd.service"),
        (OOMD, "systemd-oomd.service"),
    ];
    OTHERS.into_iter().filter_map(|(name, unit)| {
        let active = facts.units.as_ref().and_then(|units| units.get(unit)).is_some_and(|unit| unit.is_active());
        let runs = facts.processes.iter().any(|process| process.name == name);
        (active || runs).then_some((name, active.then_some(unit)))
    })
}

/// systemd-oomd does not see what it was asked to end.
pub const OOMD_BLIND: &str = "oomd-blind";

/// A unit that systemd-oomd is to end under pressure has a livelock band: there the kernel scans no pages, and without a
/// rise of `pgscan` systemd-oomd does nothing (`last_had_mem_reclaim` in its src/oom/oomd-manager.c).
pub fn oomd_blind(facts: &Facts) -> Vec<Finding> {
    let (Some(tree), Some(units)) = (&facts.cgroups, &facts.units) else { return Vec::new() };
    if !others(facts).any(|(name, _)| name == OOMD) {
        return Vec::new();
    }
    let managed = units.iter().filter(|unit| unit.word("ManagedOOMMemoryPressure") == "kill");
    let finding = |unit: &super::super::facts::units::Unit| {
        let path = unit.word("ControlGroup");
        let group = tree.group(path).filter(|_| !path.is_empty())?;
        let band = bands(facts, tree)
            .find(|band| tree.above(group).chain(tree.within(&group.path)).any(|near| near.path == band.path))?;
        Some(Finding {
            id: OOMD_BLIND,
            severity: Severity::Warning,
            title: format!("systemd-oomd guards {} and can't see it stuck", unit.id()),
            evidence: evidence([
                ("unit", unit.id().into()),
                ("ManagedOOMMemoryPressure", "kill".into()),
                ("cgroup with memory.high and no swap", band.path.as_str().into()),
                ("memory.high", super::limit(band.high)),
            ]),
            why: "systemd-oomd acts only while the kernel scans for pages to reclaim. Above memory.high, with no swap, there \
                  are none to scan: the tasks sleep, pressure is full, and it waits.",
            fix: "Remove the memory.high (livelock-band); hogwatch sees such a stall by other signs.".to_owned(),
        })
    };
    managed.filter_map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::facts::units::Units;
    use super::*;

    #[test]
    fn without_systemd_nothing_is_asked_of_it() {
        for (units, told) in [(Some(Units::parse("")), true), (None, false)] {
            let found = guard_off(&Facts { guard: Guard::Off, units, ..Facts::default() });
            assert_eq!(found[0].fix.contains("systemctl"), told, "{found:?}");
            assert_eq!(found[0].evidence.contains_key("hogwatch.service"), told, "{found:?}");
        }
    }
}
