//! Services that a shortage takes away for longer than need be.

use nix::sys::signal::Signal;

use super::super::facts::Facts;
use super::super::facts::cgroups::{Group, Tree};
use super::super::facts::processes::Process;
use super::super::facts::units::Unit;
use super::super::{Finding, Severity};
use super::evidence;
use crate::commands::daemon::units::policy;
use crate::decide::builtin::{self, PROTECT};
use crate::report::incident::advice::set;
use crate::report::{Follows, Restart, Size};

/// Nothing keeps the way in from being pushed out.
pub const WAY_IN_EXPOSED: &str = "way-in-exposed";

/// What an admin needs to get in and to see: units, and how much of their memory should stay.
const WAY_IN: [(&str, &str); 3] =
    [("ssh.service", "16M"), ("sshd.service", "16M"), ("systemd-journald.service", "32M")];

/// sshd or journald whose memory may be reclaimed to the last page, or whom the kernel may kill like anybody.
pub fn way_in_exposed(facts: &Facts) -> Vec<Finding> {
    let (Some(units), Some(tree)) = (&facts.units, &facts.cgroups) else { return Vec::new() };
    let finding = |(name, size): (&str, &str)| {
        let unit = units.get(name).filter(|unit| unit.is_active())?;
        let group = tree.group(unit.word("ControlGroup"))?;
        let adj = main_process(facts, unit).and_then(|process| process.oom_score_adj);
        // Debian's sshd has -1000 (its own doing), its journald -250.
        let killable = adj.is_some_and(|adj| adj >= 0);
        // A share of what a level above is granted (memory_recursiveprot) does not count: it goes by size, so a hog beside it
        // takes all of it.
        let enclosing = tree.above(group).filter(|above| above.path != "/");
        let bare: Vec<&Group> = enclosing.chain([group]).filter(|level| level.protected == Some(0)).collect();
        if !killable && bare.is_empty() {
            return None;
        }
        let mut fix = Vec::new();
        if killable {
            fix.push(format!(
                "/etc/systemd/system/{name}.d/oom.conf, then `systemctl daemon-reload` and `systemctl restart {name}`:"
            ));
            fix.push("  [Service]\n  OOMScoreAdjust=-900".to_owned());
            if !bare.is_empty() {
                fix.push("And to keep some of its memory:".to_owned());
            }
        }
        for level in &bare {
            // What encloses it must grant as much, and what others in it ask for.
            let size = if level.path == group.path { size } else { "64M" };
            fix.push(format!("  {}", set(&level.path, &format!("MemoryMin={size}"), ("memory.min", size))));
        }
        let title = if killable {
            format!("{name} may be taken by the kernel's OOM killer")
        } else {
            format!("{name}: all its memory may be reclaimed")
        };
        Some(Finding {
            id: WAY_IN_EXPOSED,
            severity: if killable { Severity::Warning } else { Severity::Note },
            title,
            evidence: evidence([
                ("unit", name.into()),
                ("oom_score_adj", adj.into()),
                (
                    "memory.min and memory.low are 0 in",
                    bare.iter().map(|level| level.path.as_str()).collect::<Vec<_>>().into(),
                ),
            ]),
            why: "When memory is short the kernel takes idle programs' pages first. A login then waits for the disk, page by \
                  page, while the hog goes on.",
            fix: fix.join("\n"),
        })
    };
    WAY_IN.into_iter().filter_map(finding).collect()
}

/// A share of memory, in percent, that makes a service a likely victim, and its absence one that is noticed. Stock services
/// are far smaller.
const BIG_PERCENT: u64 = 5;

/// A service that stays down after hogwatch's SIGTERM.
pub const SERVICE_STAYS_DOWN: &str = "service-stays-down";

/// Big services with `Restart=on-failure` and its kin, to which an end by SIGTERM is no failure.
pub fn service_stays_down(facts: &Facts) -> Vec<Finding> {
    let finding = |(unit, size): (&Unit, u64)| {
        let policy = policy(|key| Some(unit.word(key)))?;
        let spared = |process: &Process| builtin::find(PROTECT, process.name.as_bytes()).is_some();
        if policy.oneshot
            || policy.follows(Signal::SIGTERM) != Follows::CleanEnd
            || main_process(facts, unit).is_some_and(spared)
        {
            return None;
        }
        let name = unit.id();
        Some(Finding {
            id: SERVICE_STAYS_DOWN,
            severity: Severity::Warning,
            title: format!("{name} ({}) stays down after a SIGTERM", Size(size)),
            evidence: evidence([
                ("unit", name.into()),
                ("Restart", unit.word("Restart").into()),
                ("RestartForceExitStatus", unit.word("RestartForceExitStatus").into()),
                ("anonymous memory and swap", size.into()),
            ]),
            why: "hogwatch asks its victim to end by SIGTERM first. To systemd that is a clean end, and this service is \
                  started again after a failure only.",
            fix: format!(
                "/etc/systemd/system/{name}.d/restart.conf, then `systemctl daemon-reload`:\n  [Service]\n  \
                 RestartForceExitStatus=SIGTERM"
            ),
        })
    };
    big_services(facts).filter_map(finding).collect()
}

/// One process's end that ends them all.
pub const SERVICE_STOPS_WHOLE: &str = "service-stops-whole";

/// So many processes: below it, one more or less is the service.
const MANY_PROCESSES: usize = 5;

/// Big services of many processes with `OOMPolicy=stop`, systemd's default.
pub fn service_stops_whole(facts: &Facts) -> Vec<Finding> {
    let Some(tree) = &facts.cgroups else { return Vec::new() };
    let finding = |(unit, size): (&Unit, u64)| {
        let path = unit.word("ControlGroup");
        let processes: usize = tree.within(path).map(|group| group.processes).sum();
        if unit.word("OOMPolicy") != "stop" || processes < MANY_PROCESSES {
            return None;
        }
        let restarts = matches!(
            Restart::from_word(unit.word("Restart")),
            Some(Restart::Always | Restart::OnFailure | Restart::OnAbnormal)
        );
        let name = unit.id();
        let after = if restarts { "and starts it again" } else { "and it stays down" };
        Some(Finding {
            id: SERVICE_STOPS_WHOLE,
            severity: if restarts { Severity::Note } else { Severity::Warning },
            title: format!("{name}: one OOM kill ends all its {processes} processes, {after}"),
            evidence: evidence([
                ("unit", name.into()),
                ("OOMPolicy", "stop".into()),
                ("Restart", unit.word("Restart").into()),
                ("processes", processes.into()),
                ("anonymous memory and swap", size.into()),
            ]),
            why: "When the kernel's OOM killer takes one worker, systemd stops the whole service, though most such services \
                  replace a lost worker themselves.",
            fix: format!(
                "If the service outlives the loss of a worker: /etc/systemd/system/{name}.d/oom.conf, then `systemctl \
                 daemon-reload`:\n  [Service]\n  OOMPolicy=continue"
            ),
        })
    };
    big_services(facts).filter_map(finding).collect()
}

/// The services that run and are large, with their size in bytes.
fn big_services(facts: &Facts) -> impl Iterator<Item = (&Unit, u64)> {
    let known = facts.units.as_ref().zip(facts.cgroups.as_ref()).zip(facts.machine.total);
    known.into_iter().flat_map(|((units, tree), total)| {
        let running = units.iter().filter(|unit| unit.id().ends_with(".service") && unit.is_active());
        running.filter_map(move |unit| {
            let size = size_of(tree, unit)?;
            (size >= total / 100 * BIG_PERCENT).then_some((unit, size))
        })
    })
}

fn size_of(tree: &Tree, unit: &Unit) -> Option<u64> {
    // A user's manager is no service of this kind: it holds the user's session.
    let path = Some(unit.word("ControlGroup")).filter(|path| !path.is_empty() && !unit.id().starts_with("user@"))?;
    tree.group(path).and_then(|group: &Group| group.anon)
}

fn main_process<'f>(facts: &'f Facts, unit: &Unit) -> Option<&'f Process> {
    facts.processes.get(unit.word("MainPID").parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::super::super::facts::cgroups::Hierarchy;
    use super::super::super::facts::machine::Machine;
    use super::super::super::facts::processes::Processes;
    use super::super::super::facts::units::Units;
    use super::*;

    const MIB: u64 = 1 << 20;

    /// A machine of 1000 MiB with one service, which has so many MiB and processes; its main process has this name.
    fn facts(properties: &str, mib: u64, processes: usize, main: &str) -> Facts {
        let group = Group {
            path: "/system.slice/a.service".to_owned(),
            protected: None,
            high: None,
            max: None,
            swap_max: None,
            anon: Some(mib * MIB),
            holds: None,
            populated: true,
            processes,
            has_memory: true,
        };
        let unit = "Id=a.service\nActiveState=active\nMainPID=5\nControlGroup=/system.slice/a.service\n";
        let process = Process { pid: 5, name: main.to_owned(), uid: Some(0), locked: None, oom_score_adj: Some(0) };
        Facts {
            cgroups: Some(Tree { hierarchy: Hierarchy::V2, groups: vec![group] }),
            units: Some(Units::parse(&format!("{unit}{properties}"))),
            processes: Processes::from_iter([process]),
            machine: Machine { total: Some(1000 * MIB), ..Machine::default() },
            ..Facts::default()
        }
    }

    #[test]
    fn a_service_stays_down_after_a_clean_end() {
        let stays = |properties: &str, mib, main| service_stays_down(&facts(properties, mib, 1, main)).len() == 1;
        assert!(stays("Restart=on-failure\nType=simple", 50, "db"));
        assert!(stays("Restart=on-abnormal\nType=notify", 50, "db"));
        assert!(!stays("Restart=on-failure\nType=simple", 49, "db"), "small");
        assert!(!stays("Restart=on-failure\nType=simple", 50, "sshd"), "never taken");
        assert!(!stays("Restart=on-failure\nRestartForceExitStatus=SIGTERM", 50, "db"));
        assert!(!stays("Restart=always\nType=simple", 50, "db"));
        assert!(!stays("Restart=no\nType=simple", 50, "db"), "it stays down after any end");
        assert!(!stays("Restart=on-failure\nType=oneshot", 50, "db"), "SIGTERM is a failure of a job");
    }

    #[test]
    fn a_service_of_many_processes_is_stopped_as_a_whole() {
        let severity = |properties: &str, mib, processes| {
            let found = service_stops_whole(&facts(properties, mib, processes, "web"));
            found.first().map(|finding| finding.severity)
        };
        assert_eq!(severity("OOMPolicy=stop\nRestart=always", 50, 5), Some(Severity::Note));
        assert_eq!(severity("OOMPolicy=stop\nRestart=no", 50, 5), Some(Severity::Warning));
        assert_eq!(severity("OOMPolicy=stop\nRestart=no", 49, 5), None);
        assert_eq!(severity("OOMPolicy=stop\nRestart=no", 50, 4), None);
        assert_eq!(severity("OOMPolicy=continue\nRestart=no", 50, 5), None);
        assert_eq!(severity("OOMPolicy=kill\nRestart=no", 50, 5), None);
    }
}
