//! What an incident's entries come to: its kind, who ended whom, where, and how it went on. Pure.

use std::time::Duration;

use serde_json::Value as Json;

use super::super::incident::schema::{Cause, CgroupSample, Entry, Incident, KernelLine, Victim};
use super::super::recorder::{CALM, Recorded, Thinning};

/// Entries in a file: acts come four at a time (sent, exited, and their like), and thirty acts tell what the next thirty
/// would. Of more, the first and the latest half are kept.
const MOST_ENTRIES: usize = 128;

/// Samples in a file, of some 150 bytes each.
const MOST_SAMPLES: usize = 720;

/// Samples of the cgroup in trouble in a file, of some 350 bytes each: a minute of four a second.
const MOST_CGROUP_SAMPLES: usize = 240;

/// Lists of the largest in a file, of some 2 KiB each.
const MOST_TOPS: usize = 64;

/// Kernel lines in a file.
const MOST_LINES: usize = 32;

/// What of the recording goes into a file: of what was minutes before, a sample in 5 s tells as much as twenty.
pub const WANTED: Thinning = Thinning {
    fine: Some(Duration::from_secs(120)),
    samples_every: Duration::from_secs(5),
    tops_every: Duration::from_secs(30),
};

/// The kernel's OOM killer has killed.
const KERNEL_OOM: &str = "kernel_oom";

/// What was done to somebody or something; the other entries say what was seen, or came of it.
const ACTS: [&str; 6] = ["term", "kill", "lift", "lift_restored", KERNEL_OOM, "oomd_kill"];

/// The date of one sample differs by so much from reading to reading, as it is rounded twice; others are further apart.
const SAME_MS: u64 = 3;

/// Leaves out what is in the incident already: the sample that was read at the seam of two readings; and all the older ones
/// where nobody knows any more up to when it was read.
pub fn leave_out_known(recorded: &mut Recorded, incident: &Incident, older: bool) {
    let sample = is_new(incident.before.last().map(|sample| sample.t_ms), older);
    recorded.samples.retain(|one| sample(one.t_ms));
    let tops = is_new(incident.tops.last().map(|tops| tops.t_ms), older);
    recorded.tops.retain(|one| tops(one.t_ms));
}

/// Says of a time whether it is none that is known, of which this is the latest.
fn is_new(known: Option<u64>, older: bool) -> impl Fn(u64) -> bool {
    move |t_ms| known.is_none_or(|known| t_ms.abs_diff(known) > SAME_MS && (t_ms > known || !older))
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

/// Adds what was recorded of the cgroup in trouble, less what is in it already; to begin with, since it was calm last.
pub fn add_cgroup_samples(incident: &mut Incident, mut samples: Vec<CgroupSample>, older: bool) {
    let is_calm = |pair: &[CgroupSample; 2]| Duration::from_millis(pair[1].t_ms.saturating_sub(pair[0].t_ms)) > CALM;
    if incident.cgroup_samples.is_empty()
        && let Some(calm) = samples.array_windows().rposition(is_calm)
    {
        samples.drain(..=calm);
    }
    let is_new = is_new(incident.cgroup_samples.last().map(|sample| sample.t_ms), older);
    incident.cgroup_samples.extend(samples.into_iter().filter(|sample| is_new(sample.t_ms)));
    halve(&mut incident.cgroup_samples, MOST_CGROUP_SAMPLES);
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

/// Adds those of the kernel's lines that are not in it, and came after it began.
pub fn add_lines(incident: &mut Incident, lines: &[KernelLine]) {
    for line in lines.iter().filter(|line| line.t_ms >= incident.begin_ms) {
        if !incident.kernel_lines.contains(line) {
            push_line(&mut incident.kernel_lines, line.clone());
        }
    }
}

/// Adds a line, in place of the oldest where there are too many.
pub fn push_line(lines: &mut Vec<KernelLine>, line: KernelLine) {
    if lines.len() == MOST_LINES {
        lines.remove(0);
    }
    lines.push(line);
}

/// Reads off the entries what the incident is about. The most telling one counts: whom hogwatch signalled, else whom the
/// kernel or systemd-oomd killed, else how something was stuck, else what was refused, else that memory was short.
pub fn settle(incident: &mut Incident) {
    let first = |names: &[&str]| incident.events.iter().find(|entry| names.contains(&entry.event.as_str()));
    let ours = first(&["term", "kill"]);
    let killed = ours.or_else(|| first(&[KERNEL_OOM])).or_else(|| first(&["oomd_kill"]));
    let stuck = first(&["livelock", "oom_stuck"]);
    let telling = killed
        .or(stuck)
        .or_else(|| first(&["lift"]))
        .or_else(|| first(&["refused"]))
        .or_else(|| first(&["warn"]))
        .or(incident.events.first());
    let Some(telling) = telling else { return settle_by_report(incident) };
    let event = telling.event.as_str();
    let kind = match event {
        KERNEL_OOM | "oomd_kill" => Some(event),
        _ => text(telling, "kind"),
    };
    let cause = match (event, incident.dry_run) {
        (KERNEL_OOM, _) => Cause::Kernel,
        ("oomd_kill", _) => Cause::SystemdOomd,
        // A dry run has ended nobody.
        ("term" | "kill", false) => Cause::Hogwatch,
        _ => Cause::Unknown,
    };
    let victim = killed.map(victim);
    // A victim's cgroup is not the one in trouble: that is in the entries that name nobody.
    let trouble = stuck.or_else(|| first(&["lift", "warn"])).filter(|_| event != KERNEL_OOM);
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
    if incident.cause == Cause::Kernel {
        settle_by_report(incident);
    }
}

/// The same from what the kernel said, which has more than its entry, and may come before it.
fn settle_by_report(incident: &mut Incident) {
    let Some(report) = &incident.kernel else { return };
    (incident.kind, incident.cause) = (KERNEL_OOM.to_owned(), Cause::Kernel);
    incident.cgroup.clone_from(&report.limit_cgroup);
    incident.limit_bytes = report.limit_bytes.or(incident.limit_bytes);
    if incident.victim.as_ref().is_none_or(|victim| victim.pid.is_none()) {
        incident.victim.clone_from(&report.victim);
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

#[cfg(test)]
mod tests {
    use super::super::super::incident::schema::{Sample, Tops};
    use super::*;
    use serde_json::json;

    /// An incident with these entries: event, kind, pid, cgroup, limit.
    fn of(entries: &[(&str, &str, Option<i32>, &str, u64)], dry_run: bool) -> Incident {
        let entries: Vec<Json> = entries
            .iter()
            .map(|(event, kind, pid, cgroup, limit)| {
                let cgroup = Some(cgroup).filter(|cgroup| !cgroup.is_empty());
                json!({"t_ms": 1, "event": event, "kind": kind, "pid": pid, "cgroup": cgroup, "limit_bytes": limit,
                       "reason": format!("why {event}")})
            })
            .collect();
        let mut incident: Incident = serde_json::from_value(json!({
            "schema": 1, "id": "20260728T031502Z-1", "kind": "", "cause": "unknown", "state": "open", "begin_ms": 1,
            "end_ms": null, "thresholds": null, "cgroup": null, "limit_bytes": null, "victim": null, "kernel": null,
            "after": null, "dry_run": dry_run, "events": entries,
            "host": {"name": null, "kernel": null, "hogwatch": "", "boot_id": null, "mem_total_bytes": null,
                     "swap_total_bytes": null},
        }))
        .expect("an incident");
        settle(&mut incident);
        incident
    }

    #[test]
    fn the_most_telling_entry_counts() {
        use Cause::{Hogwatch, Kernel, SystemdOomd, Unknown};
        let warn = ("warn", "memory", None, "", 10);
        let box_warn = ("warn", "cgroup_limit", None, "/box", 10);
        let stuck = ("livelock", "throttled", None, "/a.slice", 20);
        let machine = ("livelock", "swap_thrash", None, "/", 0);
        let term = ("term", "memory", Some(7), "/a.slice/x.service", 5);
        let freeing = ("term", "throttled", Some(7), "/a.slice/x.service", 20);
        let kernel = ("kernel_oom", "cgroup_limit", Some(8), "/b.slice/y.service", 30);
        let machines = ("kernel_oom", "memory", Some(8), "/b.slice/y.service", 0);
        let oomd = ("oomd_kill", "", None, "/c.slice", 0);
        let refused = ("refused", "swap", Some(9), "/a.slice/z.service", 6);
        let lift = ("lift", "livelock", None, "/a.slice", 20);
        type Expected<'a> = (&'a str, Cause, Option<i32>, Option<&'a str>, u64, usize);
        let cases: &[(&[_], Expected<'_>)] = &[
            (&[warn], ("memory", Unknown, None, None, 10, 0)),
            (&[warn, refused], ("swap", Unknown, None, None, 6, 0)),
            (&[warn, term], ("memory", Hogwatch, Some(7), None, 5, 1)),
            (&[box_warn, term], ("memory", Hogwatch, Some(7), Some("/box"), 5, 1)),
            (&[stuck], ("throttled", Unknown, None, Some("/a.slice"), 20, 0)),
            (&[stuck, lift], ("throttled", Unknown, None, Some("/a.slice"), 20, 1)),
            (&[stuck, freeing], ("throttled", Hogwatch, Some(7), Some("/a.slice"), 20, 1)),
            (&[machine], ("swap_thrash", Unknown, None, None, 0, 0)),
            (&[kernel], ("kernel_oom", Kernel, Some(8), None, 30, 1)),
            (&[warn, machines], ("kernel_oom", Kernel, Some(8), None, 0, 1)),
            (&[stuck, kernel], ("kernel_oom", Kernel, Some(8), None, 30, 1)),
            (&[warn, machines, term], ("memory", Hogwatch, Some(7), None, 5, 2)),
            (&[oomd], ("oomd_kill", SystemdOomd, None, Some("/c.slice"), 0, 1)),
        ];
        for (entries, (kind, cause, pid, cgroup, limit, acts)) in cases {
            let incident = of(entries, false);
            let victim = incident.victim.as_ref().and_then(|victim| victim.pid);
            let seen = (incident.kind.as_str(), incident.cause, victim, incident.cgroup.as_deref());
            assert_eq!(seen, (*kind, *cause, *pid, *cgroup), "{entries:?}");
            assert_eq!((incident.limit_bytes, incident.acts.len()), (Some(*limit), *acts), "{entries:?}");
            assert!(incident.reason.starts_with("why "), "{entries:?}");
        }
        assert_eq!(of(&[warn, term], true).cause, Unknown);
        assert_eq!(of(&[kernel], true).cause, Kernel, "that one is dead");
    }

    #[test]
    fn the_kernels_report_is_enough() {
        let mut incident = of(&[], false);
        assert_eq!(incident.kind, "");
        let victim = Some(Victim { pid: Some(3), ..Victim::default() });
        let report = json!({"t_ms": 1, "limit_cgroup": "/a", "limit_bytes": 5, "victim": victim});
        incident.kernel = serde_json::from_value(report).expect("a report");
        settle(&mut incident);
        assert_eq!((incident.kind.as_str(), incident.cause, incident.victim), (KERNEL_OOM, Cause::Kernel, victim));
        assert_eq!((incident.cgroup.as_deref(), incident.limit_bytes), (Some("/a"), Some(5)));
    }

    #[test]
    fn what_was_before_it_was_calm_is_left_out() {
        let mut incident = of(&[], false);
        let at = |seconds: &[u64]| -> Vec<CgroupSample> {
            seconds.iter().map(|s| CgroupSample { t_ms: s * 1000, ..CgroupSample::default() }).collect()
        };
        add_cgroup_samples(&mut incident, at(&[1, 2, 30, 31, 60, 61, 70]), false);
        let held = |incident: &Incident| -> Vec<u64> {
            incident.cgroup_samples.iter().map(|sample| sample.t_ms / 1000).collect()
        };
        assert_eq!(held(&incident), [60, 61, 70]);
        add_cgroup_samples(&mut incident, at(&[70, 71, 90]), false);
        assert_eq!(held(&incident), [60, 61, 70, 71, 90], "what follows is its own");
        // The date is set back by a minute: what is recorded from then on is still new.
        add_cgroup_samples(&mut incident, at(&[31, 32]), false);
        assert_eq!(held(&incident)[5..], [31, 32]);
    }

    #[test]
    fn a_file_is_bounded_and_its_beginning_and_end_are_kept() {
        let mut incident = of(&[], false);
        for t_ms in 0..1000 {
            add_entries(&mut incident, [Entry { t_ms, ..Entry::default() }]);
            let samples = (0..10).map(|n| Sample { t_ms: t_ms * 10 + n, ..Sample::default() }).collect();
            let tops = vec![Tops { t_ms, ..Tops::default() }];
            add_recorded(&mut incident, Recorded { samples, tops, candidates: Vec::new() });
            let seen_twice = [t_ms * 10, t_ms * 10 + 1].map(|t_ms| CgroupSample { t_ms, ..CgroupSample::default() });
            add_cgroup_samples(&mut incident, seen_twice[..1].to_vec(), true);
            add_cgroup_samples(&mut incident, seen_twice.to_vec(), true);
        }
        let of_cgroup = &incident.cgroup_samples;
        assert!(of_cgroup.len() > MOST_CGROUP_SAMPLES / 2 && of_cgroup.len() <= MOST_CGROUP_SAMPLES);
        assert_eq!((of_cgroup[0].t_ms, of_cgroup.last().map(|sample| sample.t_ms)), (0, Some(9990)));
        assert!(of_cgroup.is_sorted_by(|a, b| a.t_ms + SAME_MS < b.t_ms), "none twice");
        assert_eq!(incident.events.len(), MOST_ENTRIES);
        let times: Vec<_> = incident.events.iter().map(|entry| entry.t_ms).collect();
        assert_eq!((times[0], times[63], times[64], times[127]), (0, 63, 936, 999));
        assert!(incident.before.len() <= MOST_SAMPLES && incident.tops.len() <= MOST_TOPS);
        assert_eq!((incident.before[0].t_ms, incident.tops[0].t_ms), (0, 0));
        let last = (incident.before.last().map(|sample| sample.t_ms), incident.tops.last().map(|tops| tops.t_ms));
        assert_eq!(last, (Some(9999), Some(999)));
    }
}
