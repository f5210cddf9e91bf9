//! What an incident's entries come to: its kind, who ended whom, where, and how it went on. Pure.

use serde_json::Value as Json;

use super::super::incident::schema::{Cause, Entry, Incident, Victim};
use super::super::recorder::Recorded;

/// Entries in a file: acts come four at a time (sent, exited, and their like), and thirty acts tell what the next thirty
/// would. Of more, the first and the latest half are kept.
pub const MOST_ENTRIES: usize = 128;

/// Samples in a file, of some 150 bytes each.
pub const MOST_SAMPLES: usize = 720;

/// Lists of the largest in a file, of some 2 KiB each.
pub const MOST_TOPS: usize = 64;

/// Kernel lines in a file.
pub const MOST_LINES: usize = 32;

/// So much of the recording, counted back from its end, is kept as fine as it is; before that ...
const FINE_MS: u64 = 120_000;

/// ... one sample in this time ...
const COARSE_SAMPLES_MS: u64 = 5_000;

/// ... and one list of the largest in this.
const COARSE_TOPS_MS: u64 = 30_000;

/// What was done to somebody or something; the other entries say what was seen, or came of it.
const ACTS: [&str; 6] = ["term", "kill", "lift", "lift_restored", "kernel_oom", "oomd_kill"];

/// Leaves out what nobody misses of what was recorded long before its end.
pub fn thin(recorded: &mut Recorded) {
    let end = recorded.samples.last().map(|sample| sample.t_ms).max(recorded.tops.last().map(|tops| tops.t_ms));
    let end = end.unwrap_or(0);
    let keeps = |every_ms: u64| {
        let mut kept: Option<u64> = None;
        move |t_ms: u64| {
            let due = kept.is_none_or(|kept| t_ms.saturating_sub(kept) >= every_ms);
            let keep = due || end.saturating_sub(t_ms) <= FINE_MS;
            if keep {
                kept = Some(t_ms);
            }
            keep
        }
    };
    let (mut sample, mut tops) = (keeps(COARSE_SAMPLES_MS), keeps(COARSE_TOPS_MS));
    recorded.samples.retain(|one| sample(one.t_ms));
    recorded.tops.retain(|one| tops(one.t_ms));
}

/// Leaves out what is in the incident already.
pub fn leave_out_known(recorded: &mut Recorded, incident: &Incident) {
    let known = incident.before.last().map(|sample| sample.t_ms);
    recorded.samples.retain(|sample| known.is_none_or(|known| sample.t_ms > known));
    let known = incident.tops.last().map(|tops| tops.t_ms);
    recorded.tops.retain(|tops| known.is_none_or(|known| tops.t_ms > known));
}

/// Adds what was recorded since the last time. The candidates of the first act stay.
pub fn add_recorded(incident: &mut Incident, recorded: Recorded) {
    let Recorded { samples, tops, candidates } = recorded;
    incident.before.extend(samples);
    halve(&mut incident.before, MOST_SAMPLES);
    incident.tops.extend(tops);
    halve(&mut incident.tops, MOST_TOPS);
    if incident.candidates.is_empty() {
        incident.candidates = candidates;
    }
}

/// Of too many, drops every other one of the older half.
fn halve<T>(all: &mut Vec<T>, most: usize) {
    while all.len() > most {
        let half = all.len() / 2;
        let mut n = 0;
        all.retain(|_| {
            n += 1;
            n > half || n % 2 == 1
        });
    }
}

/// Adds entries.
pub fn add_entries(incident: &mut Incident, entries: impl IntoIterator<Item = Entry>) {
    incident.events.extend(entries);
    while incident.events.len() > MOST_ENTRIES {
        incident.events.remove(MOST_ENTRIES / 2);
    }
}

/// Reads off the entries what the incident is about. The most telling one counts: whom hogwatch signalled, else whom the
/// kernel or systemd-oomd killed, else how something was stuck, else what was refused, else that memory was short.
pub fn settle(incident: &mut Incident) {
    let first = |names: &[&str]| incident.events.iter().find(|entry| names.contains(&entry.event.as_str()));
    let ours = first(&["term", "kill"]);
    let killed = ours.or_else(|| first(&["kernel_oom"])).or_else(|| first(&["oomd_kill"]));
    let stuck = first(&["livelock", "oom_stuck"]);
    let telling = killed
        .or(stuck)
        .or_else(|| first(&["lift"]))
        .or_else(|| first(&["refused"]))
        .or_else(|| first(&["warn"]))
        .or(incident.events.first());
    let Some(telling) = telling else { return };
    let event = telling.event.as_str();
    let kind = match event {
        "kernel_oom" | "oomd_kill" => Some(event),
        _ => text(telling, "kind"),
    };
    let cause = match (event, incident.dry_run) {
        ("kernel_oom", _) => Cause::Kernel,
        ("oomd_kill", _) => Cause::SystemdOomd,
        // A dry run has ended nobody.
        ("term" | "kill", false) => Cause::Hogwatch,
        _ => Cause::Unknown,
    };
    let victim = killed.map(victim);
    // A victim's cgroup is not the one in trouble: that is in the entries that name nobody.
    let trouble = stuck.or_else(|| first(&["lift", "warn"])).filter(|_| event != "kernel_oom");
    let place = trouble.or(Some(telling).filter(|entry| number(entry, "pid").is_none()));
    let cgroup = place.and_then(|entry| text(entry, "cgroup")).filter(|path| *path != "/").map(str::to_owned);
    let acts = incident.events.iter().filter(|entry| ACTS.contains(&entry.event.as_str())).cloned().collect();
    let limit_bytes = number(telling, "limit_bytes").or_else(|| stuck.and_then(|entry| number(entry, "limit_bytes")));
    let reason = text(telling, "reason").unwrap_or_default().to_owned();
    if let Some(kind) = kind.map(str::to_owned) {
        incident.kind = kind;
    }
    (incident.cause, incident.reason, incident.acts) = (cause, reason, acts);
    (incident.cgroup, incident.limit_bytes, incident.victim) = (cgroup, limit_bytes, victim);
    if incident.cause == Cause::Kernel
        && let Some(report) = &incident.kernel
    {
        incident.cgroup = report.limit_cgroup.clone();
        incident.limit_bytes = report.limit_bytes.or(incident.limit_bytes);
        if incident.victim.as_ref().is_none_or(|victim| victim.pid.is_none()) {
            incident.victim = report.victim.clone();
        }
    }
}

/// What came back after the exits, together; `None` when that is not known of any.
pub fn freed(incident: &Incident) -> Option<u64> {
    incident.events.iter().filter_map(|entry| number(entry, "freed_bytes")).reduce(u64::saturating_add)
}

/// Available memory at the end: as the last entry on the recovery says, else as it was last recorded.
pub fn available_at_end(incident: &Incident) -> Option<u64> {
    let recovered = incident.events.iter().rev().find(|entry| entry.event == "recovered");
    let said = recovered.and_then(|entry| number(entry, "available_bytes"));
    said.or_else(|| incident.before.last().map(|sample| sample.available_bytes))
}

fn victim(entry: &Entry) -> Victim {
    let owned = |key| text(entry, key).map(str::to_owned);
    let small = |key| entry.fields.get(key).and_then(Json::as_i64).and_then(|number| i32::try_from(number).ok());
    let count = |key| number(entry, key).and_then(|number| u32::try_from(number).ok());
    Victim {
        pid: small("pid"),
        comm: owned("comm").unwrap_or_default(),
        cmdline: owned("cmdline"),
        uid: count("uid"),
        unit: owned("unit"),
        cgroup: owned("cgroup"),
        size_bytes: number(entry, "size_bytes"),
        swap_bytes: number(entry, "swap_bytes"),
        oom_score_adj: small("oom_score_adj"),
        members: count("members"),
    }
}

fn text<'a>(entry: &'a Entry, key: &str) -> Option<&'a str> {
    entry.fields.get(key).and_then(Json::as_str)
}

fn number(entry: &Entry, key: &str) -> Option<u64> {
    entry.fields.get(key).and_then(Json::as_u64)
}
