//! The answer, in three sentences: what happened, why, and whether it helped. Plain text; who shows it makes it safe.

use std::collections::BTreeSet;
use std::fmt::{self, Write};

use crate::report::Size;
use crate::report::incident::schema::{Cause, Entry, Incident, State, Victim};

use super::clock::Lasting;

/// Three sentences.
pub(super) struct Answer {
    /// What was done to whom, by whom.
    pub what: String,
    /// Which rule, with the evidence.
    pub why: String,
    /// What followed.
    pub helped: String,
}

/// Answers from what is in the file.
pub(super) fn answer(incident: &Incident) -> Answer {
    Answer { what: what(incident), why: why(incident), helped: helped(incident) }
}

fn what(incident: &Incident) -> String {
    if incident.kind == "unclean_end" {
        return "The machine went down without a shutdown".to_owned();
    }
    let mut out = match (&incident.victim, incident.cause) {
        (Some(victim), Cause::Kernel) => format!("The kernel's OOM killer killed {}", Who(victim)),
        (None, Cause::Kernel) => "The kernel's OOM killer killed a process".to_owned(),
        (Some(victim), Cause::SystemdOomd) => format!("systemd-oomd killed {}", Who(victim)),
        (None, Cause::SystemdOomd) => format!("systemd-oomd killed {}", place(incident)),
        (Some(victim), Cause::Hogwatch | Cause::Unknown) => ours(incident, victim),
        (None, Cause::Hogwatch | Cause::Unknown) => nobody(incident),
    };
    let others = others_hit(incident);
    if others > 0 {
        let _ = write!(out, ", and {others} more");
    }
    out
}

/// What hogwatch did to its victim. "killed" is said only if the exit was seen.
fn ours(incident: &Incident, victim: &Victim) -> String {
    let who = Who(victim);
    let of_it = |name: &str| {
        incident
            .events
            .iter()
            .rev()
            .find(|e| e.event == name && (victim.pid.is_none() || pid(e) == victim.pid.map(i64::from)))
    };
    let signal = |entry: &Entry| entry.fields.get("signal").and_then(|s| s.as_str()).unwrap_or("a signal").to_owned();
    let sent = of_it("kill").or_else(|| of_it("term"));
    if incident.dry_run {
        return match sent {
            Some(entry) => format!("hogwatch would have sent {} to {who} (dry run)", signal(entry)),
            None => format!("hogwatch would have ended {who} (dry run)"),
        };
    }
    match (of_it("exited"), sent) {
        (Some(exit), _) => match exit.fields.get("signal").and_then(|s| s.as_str()) {
            Some("SIGKILL") => format!("hogwatch killed {who}"),
            Some(signal) => format!("hogwatch ended {who} with {signal}"),
            None => format!("{who} exited by itself"),
        },
        (None, Some(entry)) if of_it("set_aside").is_some() => {
            format!("hogwatch sent {} to {who}, which did not exit", signal(entry))
        }
        (None, Some(entry)) => format!("hogwatch sent {} to {who}", signal(entry)),
        (None, None) if incident.cause == Cause::Hogwatch => format!("hogwatch ended {who}"),
        (None, None) => format!("{who} was in trouble; nobody is known to have ended it"),
    }
}

/// There is no victim.
fn nobody(incident: &Incident) -> String {
    let happened = |name: &str| incident.events.iter().any(|entry| entry.event == name);
    let place = place(incident);
    if happened("lift") {
        let raised = if incident.dry_run { "would have raised" } else { "raised" };
        format!("hogwatch {raised} memory.high of {place}; nobody was killed")
    } else if happened("oom_stuck") {
        format!("The kernel's OOM killer is stuck in {place}: it finds nobody that it may kill")
    } else if happened("refused") {
        "hogwatch refused to kill anyone".to_owned()
    } else if incident.cgroup.is_some() {
        format!("{place} was in trouble; nobody was killed")
    } else {
        "Memory was short; nobody was killed".to_owned()
    }
}

/// How many were hit besides the victim, each counted once. The members of a group stand in the victim's own words.
fn others_hit(incident: &Incident) -> usize {
    let first = incident.victim.as_ref().and_then(|victim| victim.pid).map(i64::from);
    let hit =
        incident.events.iter().filter(|e| matches!(e.event.as_str(), "term" | "kill" | "kernel_oom" | "oomd_kill"));
    let pids: BTreeSet<i64> = hit.filter_map(pid).filter(|&pid| Some(pid) != first).collect();
    if first.is_some() { pids.len() } else { 0 }
}

fn pid(entry: &Entry) -> Option<i64> {
    entry.fields.get("pid").and_then(serde_json::Value::as_i64)
}

fn why(incident: &Incident) -> String {
    let place = place(incident);
    let limit = fmt::from_fn(|f| match incident.limit_bytes {
        Some(bytes) => write!(f, " ({})", Size(bytes)),
        None => Ok(()),
    });
    let mut out = match incident.kind.as_str() {
        "memory" => format!("The available memory of {place} fell to the threshold{limit}"),
        "swap" => format!("The free swap of {place} fell to the threshold{limit}"),
        "cgroup_limit" => format!("{place} came close to its limit{limit}"),
        "throttled" => format!(
            "{place} was stuck above its memory.high{limit}: the kernel put to sleep whoever allocated, and would have for ever"
        ),
        "squeezed" => format!("{place} was stuck at its limit{limit}: what was reclaimed was needed again at once"),
        "thrash" => format!("{place} was thrashing at its limit{limit}: its files went out and in again"),
        "swap_thrash" => format!("{place} was thrashing at its limit{limit}: its memory went to swap and back"),
        "oom_stuck" => {
            format!("{place} was at its memory.max{limit}, and all its tasks are exempt from the OOM killer")
        }
        "pressure" => format!("{place} stalled for memory longer than [pressure] allows"),
        "kernel_oom" => kernel_why(incident),
        "oomd_kill" => format!("systemd-oomd acted on {place}"),
        "unclean_end" => "The guard's record ends here: a freeze, a reset, a panic or a loss of power".to_owned(),
        other => format!("{place}: {other}"),
    };
    if !incident.reason.is_empty() {
        let _ = write!(out, ". Evidence: {}", incident.reason);
    }
    out
}

fn kernel_why(incident: &Incident) -> String {
    let Some(report) = &incident.kernel else {
        return format!("{} was out of memory", place(incident));
    };
    match (&report.limit_cgroup, report.limit_bytes.or(incident.limit_bytes)) {
        (Some(cgroup), Some(bytes)) => format!("{cgroup} had used up its memory.max ({})", Size(bytes)),
        (Some(cgroup), None) => format!("{cgroup} had used up its memory.max"),
        (None, _) => "The whole machine was out of memory".to_owned(),
    }
}

fn helped(incident: &Incident) -> String {
    let Some(after) = &incident.after else {
        return match incident.state {
            State::Open if incident.end_ms.is_none() => {
                "Not known yet: it was going on when this was written".to_owned()
            }
            State::Open => "Not known yet: the file is completed a minute after the end".to_owned(),
            State::Complete => "Not known: nothing was recorded afterwards".to_owned(),
        };
    };
    let came_back = fmt::from_fn(|f| match after.freed_bytes {
        Some(0) => write!(f, "nothing came back"),
        Some(bytes) => write!(f, "{} came back", Size(bytes)),
        None => write!(f, "what came back is not known"),
    });
    let mut out = match after.recovered_ms {
        Some(ms) => format!("Yes: {came_back}, and it was over {} after it began", Lasting(ms)),
        None => format!("No: {came_back}, and it had not recovered by the end of the record"),
    };
    if let Some(bytes) = after.available_bytes {
        let _ = write!(out, "; {} available at the end", Size(bytes));
    }
    let unit = incident.victim.as_ref().and_then(|victim| victim.unit.as_deref());
    match (after.unit_restarted, unit) {
        (Some(true), Some(unit)) => {
            let _ = write!(out, ". {unit} runs again");
        }
        (Some(false), Some(unit)) => {
            let _ = write!(out, ". {unit} does not run: systemctl start {unit}");
        }
        _ => {}
    }
    out
}

/// The cgroup in trouble, or the machine.
fn place(incident: &Incident) -> &str {
    incident.cgroup.as_deref().filter(|&cgroup| cgroup != "/").unwrap_or("the machine")
}

/// `ugrep (pid 4242, 12.3 GiB)`, or `14 processes (12.3 GiB; the largest is ugrep, pid 4242)`.
pub(super) struct Who<'a>(pub &'a Victim);

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Victim { comm, pid, size_bytes, members, .. } = self.0;
        let comm = if comm.is_empty() { "a process" } else { comm };
        let size = size_bytes.map(Size);
        if let Some(members) = members.filter(|&members| members > 1) {
            write!(f, "{members} processes (")?;
            if let Some(size) = size {
                write!(f, "{size}; ")?;
            }
            write!(f, "the largest is {comm}")?;
            return match pid {
                Some(pid) => write!(f, ", pid {pid})"),
                None => write!(f, ")"),
            };
        }
        match (pid, size) {
            (Some(pid), Some(size)) => write!(f, "{comm} (pid {pid}, {size})"),
            (Some(pid), None) => write!(f, "{comm} (pid {pid})"),
            (None, Some(size)) => write!(f, "{comm} ({size})"),
            (None, None) => write!(f, "{comm}"),
        }
    }
}
