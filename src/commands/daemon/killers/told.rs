//! A report of the kernel's in words: as an event of fixed size, and whole for the incident's file.

use std::fmt;

use crate::decide::KilledFor;
use crate::observe::cgroups::CgroupPath;
use crate::observe::kmsg::{Constraint, OomReport, Process};
use crate::report::incident::schema::{KernelProcess, KernelReport, Victim};
use crate::report::{Escaped, Event, EventKind, Size, Text, unit_of};

/// So many of the largest processes are named in the sentence; the incident has ten.
const NAMED: usize = 3;

/// What was short.
pub(super) fn killed_for(report: &OomReport) -> KilledFor {
    match (report.constraint, report.limit_cgroup.as_deref()) {
        (Some(Constraint::Machine | Constraint::Cpuset | Constraint::MemoryPolicy), _) => KilledFor::Machine,
        (_, Some(path)) => CgroupPath::new(path).map_or(KilledFor::SomeLimit, KilledFor::Limit),
        (Some(Constraint::MemoryCgroup), None) => KilledFor::SomeLimit,
        (None, None) => KilledFor::Unknown,
    }
}

/// What the journal says.
pub(super) fn event(report: &OomReport, limit: Option<u64>) -> Event {
    let victim = &report.victim;
    let swap = victim.swap;
    let is_group = report.killed > 1;
    let anon = if is_group { Some(report.killed_bytes) } else { victim.anon };
    let cgroup = report.group.as_deref().or(report.task_cgroup.as_deref()).unwrap_or_default();
    Event {
        kind: report.constraint.map(kind),
        reason: Text::format(format_args!("{}", Reason { report, limit })),
        pid: Some(victim.pid),
        comm: Text::from_bytes(victim.comm.as_bytes()),
        uid: victim.uid,
        cgroup: Text::from_bytes(cgroup),
        size_bytes: anon.map(|anon| anon.saturating_add(swap.unwrap_or(0))),
        swap_bytes: swap,
        oom_score_adj: victim.oom_score_adj,
        members: is_group.then_some(report.killed),
        limit_bytes: limit,
        ..Event::new(EventKind::KernelOom)
    }
}

/// What the incident's file keeps. Names are escaped.
pub(super) fn report(report: &OomReport, limit: Option<u64>, t_ms: u64) -> KernelReport {
    let text = |path: &Option<Vec<u8>>| path.as_deref().map(|path| Escaped(path).to_string());
    let victim = &report.victim;
    let unit = report.task_cgroup.as_deref().and_then(unit_of);
    KernelReport {
        t_ms,
        constraint: report.constraint.map(|constraint| name(constraint).to_owned()),
        invoked_by: report.invoked_by.map(|comm| comm.to_string()),
        victim: Some(Victim {
            pid: Some(victim.pid),
            comm: victim.comm.to_string(),
            cmdline: None,
            uid: victim.uid,
            unit: unit.map(|unit| Escaped(unit).to_string()),
            cgroup: text(&report.task_cgroup),
            size_bytes: victim.anon.map(|anon| anon.saturating_add(victim.swap.unwrap_or(0))),
            swap_bytes: victim.swap,
            oom_score_adj: victim.oom_score_adj,
            members: (report.killed > 1).then_some(report.killed),
        }),
        limit_cgroup: text(&report.limit_cgroup),
        limit_bytes: limit,
        usage_bytes: report.usage.map(|usage| usage.bytes),
        task_cgroup: text(&report.task_cgroup),
        group: report.group.is_some(),
        listed: report.listed,
        processes: report.largest.iter().map(process).collect(),
    }
}

fn process(process: &Process) -> KernelProcess {
    KernelProcess {
        pid: process.pid,
        comm: process.comm.to_string(),
        uid: Some(process.uid),
        rss_bytes: process.rss,
        swap_bytes: process.swap,
        oom_score_adj: Some(process.oom_score_adj),
    }
}

/// `HOGWATCH_KIND`.
fn kind(constraint: Constraint) -> &'static str {
    match constraint {
        Constraint::Machine => "memory",
        Constraint::MemoryCgroup => "cgroup_limit",
        Constraint::Cpuset | Constraint::MemoryPolicy => name(constraint),
    }
}

fn name(constraint: Constraint) -> &'static str {
    match constraint {
        Constraint::Machine => "machine",
        Constraint::MemoryCgroup => "memory_cgroup",
        Constraint::Cpuset => "cpuset",
        Constraint::MemoryPolicy => "memory_policy",
    }
}

/// Which limit, who asked, and who else was there: as much as fits, the most telling first.
struct Reason<'a> {
    report: &'a OomReport,
    limit: Option<u64>,
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { report, limit } = self;
        match (report.constraint, &report.limit_cgroup) {
            (Some(Constraint::Machine), _) => f.write_str("the machine had no memory left")?,
            (Some(Constraint::Cpuset), _) => f.write_str("the memory nodes of its cpuset were full")?,
            (Some(Constraint::MemoryPolicy), _) => f.write_str("the memory nodes of its memory policy were full")?,
            (_, Some(path)) => {
                let own = report.task_cgroup.as_ref() == Some(path);
                f.write_str(if own { "its own memory.max" } else { "memory.max" })?;
                if let Some(limit) = limit {
                    write!(f, " {}", Size(*limit))?;
                }
                if !own {
                    write!(f, " of {} above it", Escaped(unit_of(path).unwrap_or(path)))?;
                }
                f.write_str(" was hit")?;
            }
            (Some(Constraint::MemoryCgroup), None) => {
                f.write_str("a cgroup's limit was hit, the report does not say which")?
            }
            (None, None) => f.write_str("the kernel's report about it is missing")?,
        }
        if report.group.is_some() {
            f.write_str("; the whole cgroup, because memory.oom.group is 1")?;
        }
        if let Some(by) = report.invoked_by.filter(|by| *by != report.victim.comm) {
            write!(f, "; {by} asked for more")?;
        }
        let Some(listed) = report.listed else { return Ok(()) };
        let processes = if listed == 1 { "process" } else { "processes" };
        write!(f, "; {listed} {processes} to choose from")?;
        for (i, process) in report.largest.iter().take(NAMED).enumerate() {
            let size = Size(process.rss.saturating_add(process.swap));
            write!(f, "{} {} ({}, {size})", if i == 0 { ", the largest:" } else { "," }, process.comm, process.pid)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Comm;
    use crate::observe::kmsg::{Usage, Victim as Killed};

    const MIB: u64 = 1 << 20;

    fn full() -> OomReport {
        let process =
            |pid, rss| Process { pid, comm: Comm::new(b"hog"), uid: 0, rss: rss * MIB, swap: 0, oom_score_adj: 0 };
        OomReport {
            constraint: Some(Constraint::MemoryCgroup),
            invoked_by: Some(Comm::new(b"dd")),
            limit_cgroup: Some(b"/a.slice".to_vec()),
            usage: Some(Usage { bytes: 100 * MIB, limit: 100 * MIB }),
            task_cgroup: Some(b"/a.slice/b.service".to_vec()),
            victim: Killed {
                pid: 7,
                comm: Comm::new(b"a\nb"),
                uid: Some(5),
                anon: Some(90 * MIB),
                swap: Some(MIB),
                oom_score_adj: Some(-3),
            },
            group: None,
            killed: 1,
            killed_bytes: 90 * MIB,
            counted: 1,
            listed: Some(12),
            largest: (1..=10).map(|n| process(n, 100 - u64::from(n.unsigned_abs()))).collect(),
        }
    }

    fn reason(report: &OomReport, limit: Option<u64>) -> String {
        event(report, limit).reason.to_string()
    }

    #[test]
    fn the_event_names_victim_and_limit() {
        let event = event(&full(), Some(100 * MIB));
        assert_eq!((event.kind, event.pid, event.uid), (Some("cgroup_limit"), Some(7), Some(5)));
        assert_eq!((event.size_bytes, event.swap_bytes), (Some(91 * MIB), Some(MIB)));
        assert_eq!((event.limit_bytes, event.oom_score_adj, event.members), (Some(100 * MIB), Some(-3), None));
        assert_eq!(event.cgroup.as_bytes(), b"/a.slice/b.service");
        assert_eq!(
            event.reason.to_string(),
            "memory.max 100 MiB of a.slice above it was hit; dd asked for more; 12 processes to choose from, the largest: \
             hog (1, 99.0 MiB), hog (2, 98.0 MiB), hog (3, 97.0 MiB)"
        );
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let bare = OomReport { limit_cgroup: None, invoked_by: None, task_cgroup: None, listed: None, ..full() };
        assert_eq!(reason(&bare, None), "a cgroup's limit was hit, the report does not say which");
        assert_eq!(
            reason(&OomReport { constraint: None, ..bare.clone() }, None),
            "the kernel's report about it is missing"
        );
        let machine = OomReport { constraint: Some(Constraint::Machine), ..bare };
        assert_eq!(reason(&machine, None), "the machine had no memory left");
        let own = OomReport { limit_cgroup: full().task_cgroup, listed: None, invoked_by: None, ..full() };
        assert_eq!(reason(&own, Some(MIB)), "its own memory.max 1.0 MiB was hit");
        assert_eq!(reason(&own, None), "its own memory.max was hit");
    }

    #[test]
    fn a_group_is_told_as_one() {
        let group = OomReport {
            group: Some(b"/a.slice/b.service".to_vec()),
            killed: 3,
            killed_bytes: 95 * MIB,
            counted: 4,
            listed: None,
            invoked_by: None,
            ..full()
        };
        let event = event(&group, Some(100 * MIB));
        assert_eq!((event.members, event.size_bytes), (Some(3), Some(96 * MIB)));
        assert!(
            event.reason.to_string().ends_with("; the whole cgroup, because memory.oom.group is 1"),
            "{}",
            event.reason
        );
    }

    #[test]
    fn the_incident_gets_all_of_it_and_harmless_names() {
        let told = report(&full(), Some(100 * MIB), 1234);
        let victim = told.victim.unwrap();
        assert_eq!((victim.comm.as_str(), victim.unit.as_deref()), ("a\\nb", Some("b.service")));
        assert_eq!((told.t_ms, told.constraint.as_deref()), (1234, Some("memory_cgroup")));
        assert_eq!((told.limit_cgroup.as_deref(), told.usage_bytes), (Some("/a.slice"), Some(100 * MIB)));
        assert_eq!((told.listed, told.processes.len(), told.processes[0].rss_bytes), (Some(12), 10, 99 * MIB));
    }
}
