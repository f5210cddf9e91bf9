//! Advice on what was done, or was not.

use super::super::schema::{Advice, Cause, Entry, Incident};
use super::command::{quoted, set_property};
use super::{advise, events, is_the_machine, number_of, text_of};
use crate::report::Size;

/// Deadlines this short are nobody's deliberate choice of a slow shutdown; longer ones are worth a word.
const LONG_IGNORED_MS: u64 = 5000;

/// Whoever holds less than this share of the memory in question is not why it was short, in percent.
const HOG_PERCENT: f64 = 5.0;

/// As `/proc/PID/comm` has it.
const OWN_COMM: &str = "hogwatch";

/// Nothing was done, because the guard only looks on.
pub(super) fn dry_run(incident: &Incident) -> Option<Advice> {
    if !incident.dry_run {
        return None;
    }
    let would = incident.acts.iter().find(|act| matches!(act.event.as_str(), "term" | "kill" | "lift"))?;
    advise(
        "dry-run",
        format!(
            "hogwatch only looked on: it {}. Arm it with `systemctl enable --now hogwatch`",
            would.message.split(": ").next().unwrap_or("would have acted")
        ),
    )
}

/// Who may not be killed held the memory.
pub(super) fn protected_hog(incident: &Incident) -> Option<Advice> {
    let refused = refused(incident).find(|entry| text_of(entry, "comm").is_some())?;
    let (comm, size) = (text_of(refused, "comm")?, number_of(refused, "size_bytes")?);
    #[expect(clippy::cast_precision_loss, reason = "a share of memory")]
    let is_hog = size as f64 >= whole(incident, refused)? / 100.0 * HOG_PERCENT;
    // The guard is protected for a reason.
    if !is_hog || comm == OWN_COMM {
        return None;
    }
    let somebody_was =
        !incident.dry_run && incident.acts.iter().any(|act| matches!(act.event.as_str(), "term" | "kill"));
    let so = if somebody_was { "" } else { ", so nobody was" };
    let pid = refused.fields.get("pid").and_then(serde_json::Value::as_i64);
    let pid = pid.map_or_else(String::new, |pid| format!(" (pid {pid})"));
    advise(
        "protected-hog",
        format!(
            "{comm}{pid} held {} and may not be killed{so}. Give its unit a limit of its own (MemoryMax=), or \
             take it off the list that protects it: `hogwatch explain --all` says which",
            Size(size)
        ),
    )
}

/// The memory that was short, in bytes: the machine's, or as much as the limit allows.
#[expect(clippy::cast_precision_loss, reason = "to take a share of")]
fn whole(incident: &Incident, refused: &Entry) -> Option<f64> {
    if is_the_machine(incident) {
        return incident.host.mem_total_bytes.map(|bytes| bytes as f64);
    }
    if incident.kind != "cgroup_limit" {
        return incident.limit_bytes.map(|bytes| bytes as f64);
    }
    // `limit_bytes` is the threshold there.
    let percent = refused.fields.get("available_percent")?.as_f64().filter(|percent| *percent > 0.0)?;
    Some(number_of(refused, "available_bytes")? as f64 / percent * 100.0)
}

/// Nobody that may be killed would have helped.
pub(super) fn nobody_helps(incident: &Incident) -> Option<Advice> {
    let refused = refused(incident).find(|entry| text_of(entry, "comm").is_none())?;
    let held = text_of(refused, "reason")?.split("most memory is held by ").nth(1)?;
    // That is in processes, if in many small ones.
    if held.starts_with("anonymous memory") {
        return None;
    }
    advise(
        "not-in-processes",
        format!(
            "the memory was not in processes that a kill would free: most was held by {held}. Look at `df -t tmpfs`, \
             `ipcs -m`, `slabtop` and HugePages in /proc/meminfo"
        ),
    )
}

/// Refusals; sparing a victim because memory came back is none that needs advice.
fn refused(incident: &Incident) -> impl Iterator<Item = &Entry> {
    events(incident, "refused")
        .filter(|entry| !text_of(entry, "reason").is_some_and(|reason| reason.starts_with("memory came back")))
}

/// systemd-oomd was faster.
pub(super) fn oomd(incident: &Incident) -> Option<Advice> {
    if incident.cause != Cause::SystemdOomd {
        return None;
    }
    let cgroup = incident.victim.as_ref().and_then(|victim| victim.cgroup.as_deref()).or(incident.cgroup.as_deref())?;
    let psi = incident
        .before
        .iter()
        .filter_map(|sample| sample.psi_full_percent)
        .fold(None, |most: Option<f64>, psi| Some(most.map_or(psi, |most| most.max(psi))));
    let psi =
        psi.map_or_else(String::new, |psi| format!(" (the machine's memory pressure, full, was {psi:.0} % at most)"));
    let spare = set_property(cgroup, "ManagedOOMPreference=avoid")
        .map_or_else(String::new, |command| format!(" To have it taken last: `{command}`."));
    advise(
        "oomd",
        format!(
            "systemd-oomd kills whole cgroups by its own rules{psi}; `oomctl` shows what it watches.{spare} To leave it to \
             hogwatch: ManagedOOMMemoryPressure=auto and ManagedOOMSwap=auto on the slice above it"
        ),
    )
}

/// SIGTERM did nothing for long.
pub(super) fn ignores_sigterm(incident: &Incident) -> Option<Advice> {
    // In a cgroup that is stuck everybody is slow, and the grace short by rule.
    if !is_the_machine(incident) {
        return None;
    }
    let kills = incident.acts.iter().filter(|act| act.event == "kill" && !incident.dry_run);
    let (term, kill) = kills
        .filter_map(|kill| {
            let pid = kill.fields.get("pid")?;
            let term = incident.acts.iter().find(|act| act.event == "term" && act.fields.get("pid") == Some(pid))?;
            Some((term, kill))
        })
        .find(|(term, kill)| kill.t_ms.saturating_sub(term.t_ms) >= LONG_IGNORED_MS)?;
    let comm = text_of(kill, "comm").unwrap_or("the victim");
    advise(
        "ignores-sigterm",
        format!(
            "{comm} was still there {:.0} s after SIGTERM, while memory stayed short. If it never ends in time, a shorter \
             escalation.grace loses less; if it saves something then, a higher memory.term gives it more time",
            seconds(kill.t_ms.saturating_sub(term.t_ms))
        ),
    )
}

/// A service that systemd takes for stopped on purpose.
pub(super) fn stays_down(incident: &Incident) -> Option<Advice> {
    if incident.cause != Cause::Hogwatch || incident.after.as_ref()?.unit_restarted != Some(false) {
        return None;
    }
    let unit = incident.victim.as_ref()?.unit.as_deref().filter(|unit| unit.ends_with(".service"))?;
    let by_term = !incident.acts.iter().any(|act| act.event == "kill");
    let unit = quoted(unit);
    let user = if incident.victim.as_ref()?.cgroup.as_deref().is_some_and(|path| path.contains("/user@")) {
        " --user"
    } else {
        ""
    };
    let why = if by_term {
        "systemd counts an end by SIGTERM as a success, so Restart=on-failure leaves it down; Restart=always, or \
         RestartForceExitStatus=SIGTERM, brings it back"
    } else {
        "Restart=on-failure brings it back after SIGKILL"
    };
    advise(
        "stays-down",
        format!(
            "{unit} does not run again: `systemctl{user} start {unit}`. For the next time: {why} (`systemctl{user} edit {unit}`)"
        ),
    )
}

/// The same unit again and again.
pub(super) fn hit_again(incident: &Incident) -> Option<Advice> {
    let unit = incident.victim.as_ref()?.unit.as_deref()?;
    let mut pids: Vec<_> = Vec::new();
    let mut last = incident.begin_ms;
    for act in &incident.acts {
        if let ("term" | "kill", Some(hit), Some(pid)) =
            (act.event.as_str(), text_of(act, "unit"), act.fields.get("pid"))
            && hit == unit
            && !pids.contains(&pid)
        {
            pids.push(pid);
            last = act.t_ms;
        }
    }
    if pids.len() < 2 {
        return None;
    }
    advise(
        "repeated-victim",
        format!(
            "{unit} was hit {} times within {:.0} s: it comes back, or its processes do, and fills memory again. Give it a \
             MemoryMax= of its own",
            pids.len(),
            seconds(last.saturating_sub(incident.begin_ms))
        ),
    )
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of an incident, for a person")]
pub(super) fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}
