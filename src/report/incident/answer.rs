//! The answer itself: what, who, why, did it help. One for all who show an incident.

use serde_json::Value as Json;

use super::outcome::Outcome;
use super::schema::{Cause, Entry, Incident, KernelReport, State, Victim};
use crate::report::{Local, Size, unit_of};

/// Victims that get a line of their own; what was done to the others is among the journal's lines.
const VICTIMS: usize = 4;

/// Somebody who was signalled, as the acts tell it.
struct Hit<'a> {
    pid: i64,
    first: &'a Entry,
    killed: Option<&'a Entry>,
    exited: Option<&'a Entry>,
    set_aside: bool,
}

fn hits(incident: &Incident) -> Vec<Hit<'_>> {
    let mut hits: Vec<Hit<'_>> = Vec::new();
    let mut all: Vec<&Entry> = incident.acts.iter().chain(&incident.events).collect();
    all.sort_by_key(|entry| entry.t_ms);
    for entry in all {
        let Some(pid) = entry.fields.get("pid").and_then(Json::as_i64) else { continue };
        let known = hits.iter_mut().find(|hit| hit.pid == pid);
        match (entry.event.as_str(), known) {
            ("term" | "kill", None) => {
                hits.push(Hit { pid, first: entry, killed: None, exited: None, set_aside: false });
            }
            ("kill", Some(hit)) if hit.first.event == "term" => hit.killed = Some(entry),
            ("exited", Some(hit)) => hit.exited = Some(entry),
            ("set_aside", Some(hit)) => hit.set_aside = true,
            _ => {}
        }
    }
    hits
}

/// What was done to whom.
pub(crate) fn what(incident: &Incident) -> String {
    let victim = incident.victim.as_ref().map(who_it_was);
    let place = place(incident);
    match (incident.cause, Outcome::of(incident)) {
        (_, Outcome::UncleanEnd) if only_hogwatch_ended(incident) => format!(
            "hogwatch itself ended in the middle of an incident, without a stop; the machine went on. The last record is of {}{}",
            Local::at_ms(last_record(incident)).clock(),
            before_that(incident)
        ),
        (_, Outcome::UncleanEnd) => {
            format!(
                "the machine ended without shutting down: it froze, was reset, or lost its power. The last record is of {}{}",
                Local::at_ms(last_record(incident)).clock(),
                before_that(incident)
            )
        }
        (Cause::Kernel, _) => {
            let victim = incident.kernel.as_ref().and_then(|kernel| kernel.victim.as_ref()).map(who_it_was).or(victim);
            let victim = victim.unwrap_or_else(|| "a process".into());
            match incident.kernel.as_ref().is_some_and(|kernel| kernel.group) {
                true => format!("{victim}{place} and everybody in its cgroup were killed (SIGKILL, memory.oom.group)"),
                false => format!("{victim}{place} was killed (SIGKILL)"),
            }
        }
        (Cause::SystemdOomd, _) => {
            let cgroup = incident.victim.as_ref().and_then(|victim| victim.cgroup.as_deref());
            let cgroup = cgroup.or(incident.cgroup.as_deref()).map_or("a cgroup".to_owned(), short);
            let is_named = incident.victim.as_ref().is_some_and(|victim| victim.pid.is_some());
            let whom = victim.filter(|_| is_named).map_or(String::new(), |victim| format!(": {victim}"));
            format!("everybody in {cgroup} was killed (SIGKILL){whom}")
        }
        (_, Outcome::Lifted) => {
            let back = match incident.events.iter().find(|entry| entry.event == "lift_restored") {
                Some(entry) => format!("; put back at {}", Local::at_ms(entry.t_ms).clock()),
                None => String::new(),
            };
            let old = incident.limit_bytes.map_or(String::new(), |bytes| format!(" from {}", Size(bytes)));
            format!("nobody was killed: memory.high of {} was raised{old} to max{back}", the_place(incident))
        }
        (_, Outcome::Refused) => match of_event(incident, "refused") {
            Some(entry) => format!("nobody was signalled, though it was needed: {}", entry.message),
            None => match of_event(incident, "oom_stuck") {
                Some(entry) => format!("nobody was signalled: {}", entry.message),
                None => "nobody was signalled, though it was needed".to_owned(),
            },
        },
        (_, Outcome::Warned) => "nobody was signalled: it was only warned of".to_owned(),
        (_, Outcome::Pretended) => match hits(incident).first() {
            Some(hit) => format!(
                "nothing: a dry run, which only looks on. It would have sent {} to {}{place}",
                signal(hit.first),
                whom(incident, hit)
            ),
            None => match incident.acts.first() {
                Some(act) => format!("nothing: a dry run, which only looks on. It {}", act.message),
                None => match of_event(incident, "refused") {
                    Some(entry) => {
                        format!("nothing: a dry run; armed, it would not have signalled either: {}", entry.message)
                    }
                    None => "nothing: a dry run, and nothing was called for but a warning".to_owned(),
                },
            },
        },
        (_, Outcome::Ended | Outcome::SetAside | Outcome::Signalled) => match hits(incident).first() {
            Some(hit) => told(incident, hit, &place),
            None => format!("{}{place} was hit", victim.unwrap_or_else(|| "a process".into())),
        },
    }
}

/// When something was recorded last.
fn last_record(incident: &Incident) -> u64 {
    incident.before.last().map(|sample| sample.t_ms).or(incident.end_ms).unwrap_or(incident.begin_ms)
}

/// Whether of an unclean end the machine itself knows nothing: it is still the same boot.
pub(crate) fn only_hogwatch_ended(incident: &Incident) -> bool {
    incident.reason.contains("only hogwatch ended")
}

/// What a run that ended uncleanly had done: nobody else saw to how it went on.
fn before_that(incident: &Incident) -> String {
    hits(incident).first().map_or_else(String::new, |hit| format!("; before that, {}", told(incident, hit, "")))
}

/// The victims after the first.
pub(crate) fn others(incident: &Incident) -> Vec<String> {
    let hits = hits(incident);
    if incident.dry_run || incident.cause != Cause::Hogwatch {
        return Vec::new();
    }
    let mut lines: Vec<String> = hits
        .iter()
        .skip(1)
        .take(VICTIMS - 1)
        .map(|hit| {
            let unit = hit.first.fields.get("unit").and_then(Json::as_str);
            told(incident, hit, &unit.map_or(String::new(), |unit| format!(" of {unit}")))
        })
        .collect();
    lines.extend((hits.len() > VICTIMS).then(|| format!("and {} more, see the journal's lines", hits.len() - VICTIMS)));
    lines
}

fn told(incident: &Incident, hit: &Hit<'_>, place: &str) -> String {
    let sent = format!(
        "{} was sent to {}{place} at {}",
        signal(hit.first),
        whom(incident, hit),
        Local::at_ms(hit.first.t_ms).clock()
    );
    let then = match hit.killed {
        Some(kill) => format!("; SIGKILL followed {} later", span(kill.t_ms.saturating_sub(hit.first.t_ms))),
        None => String::new(),
    };
    let several = incident.victim.as_ref().is_some_and(|victim| victim.members.is_some_and(|members| members > 1));
    let end = match (hit.exited, hit.killed.is_some() || hit.first.event == "kill") {
        (Some(_), true) if several => "; they were killed",
        (Some(_), false) if several => "; they exited",
        (Some(_), true) => "; it was killed",
        (Some(_), false) => "; it exited",
        (None, _) if hit.set_aside => "; it did not die, and the next in rank was taken",
        (None, _) if incident.state == State::Open => "; it was not yet seen to exit when this was written",
        (None, _) => "; its exit was not seen",
    };
    format!("{sent}{then}{end}")
}

/// `ugrep (pid 4242, 12.3 GiB, 3.8 GiB of it in swap)`.
fn whom(incident: &Incident, hit: &Hit<'_>) -> String {
    match incident.victim.as_ref() {
        Some(victim) if victim.pid.map(i64::from) == Some(hit.pid) => who_it_was(victim),
        _ => who_it_was(&Victim {
            pid: i32::try_from(hit.pid).ok(),
            comm: hit.first.fields.get("comm").and_then(Json::as_str).unwrap_or_default().to_owned(),
            size_bytes: hit.first.fields.get("size_bytes").and_then(Json::as_u64),
            swap_bytes: hit.first.fields.get("swap_bytes").and_then(Json::as_u64),
            ..Victim::default()
        }),
    }
}

/// The same from a victim; of several, how many.
fn who_it_was(victim: &Victim) -> String {
    let comm = if victim.comm.is_empty() { "a process" } else { &victim.comm };
    let pid = victim.pid.map(|pid| format!("pid {pid}"));
    if let Some(members) = victim.members.filter(|members| *members > 1) {
        let size = victim.size_bytes.map_or(String::new(), |size| format!("{} together; ", Size(size)));
        let pid = pid.map_or(String::new(), |pid| format!(", {pid}"));
        return format!("{members} processes ({size}the largest is {comm}{pid})");
    }
    let mut known: Vec<String> = pid.into_iter().collect();
    known.extend(victim.size_bytes.map(|size| Size(size).to_string()));
    known.extend(victim.swap_bytes.filter(|swap| *swap > 0).map(|swap| format!("{} of it in swap", Size(swap))));
    known.extend(victim.uid.map(|uid| format!("user {uid}")));
    let known = if known.is_empty() { String::new() } else { format!(" ({})", known.join(", ")) };
    format!("{comm}{known}")
}

/// Who ended it, and what that looks like from outside.
pub(crate) fn who(incident: &Incident) -> String {
    match incident.cause {
        Cause::Kernel => "the kernel's OOM killer. Its parent saw exit status 137 (128 + SIGKILL)".to_owned(),
        Cause::SystemdOomd => "systemd-oomd. The parents saw exit status 137 (128 + SIGKILL)".to_owned(),
        Cause::Hogwatch | Cause::Unknown if incident.dry_run => "nobody: hogwatch only looked on".to_owned(),
        Cause::Hogwatch => {
            let exited = of_event(incident, "exited").map(signal);
            let status = match exited {
                Some("SIGTERM") => {
                    ". Its parent saw exit status 143 (128 + SIGTERM), unless it handled the signal itself"
                }
                Some("SIGKILL") => ". Its parent saw exit status 137 (128 + SIGKILL)",
                _ => "",
            };
            format!("hogwatch{status}")
        }
        Cause::Unknown if incident.kind == "unclean_end" => "not known: nobody was left to record it".to_owned(),
        Cause::Unknown if Outcome::of(incident) == Outcome::Lifted => "hogwatch, which ended nobody".to_owned(),
        Cause::Unknown => "nobody was ended".to_owned(),
    }
}

/// Why.
pub(crate) fn why(incident: &Incident) -> String {
    let place = the_place(incident);
    let what = match incident.kind.as_str() {
        "memory" => "the machine's memory was short".to_owned(),
        "swap" => "the machine's swap was short".to_owned(),
        "cgroup_limit" => format!("{place} was near its limit"),
        "throttled" | "squeezed" => {
            format!("livelock: {place} was stuck at its limit, and the kernel would not have ended it")
        }
        "thrash" => format!("{place} was stuck: its files were dropped and read again all the time"),
        "swap_thrash" => format!("{place} was stuck: memory was swapped out and in all the time"),
        "pressure" => format!("everybody in {place} waited for memory for too long"),
        "oom_stuck" => format!("{place} is full, and the kernel finds nobody there that it may kill"),
        "kernel_oom" => incident.kernel.as_ref().map_or("the kernel found no memory".to_owned(), why_the_kernel),
        "oomd_kill" => format!("systemd-oomd's own rule was met for {place}"),
        "unclean_end" => "the next start found an incident that nobody had closed".to_owned(),
        other => other.to_owned(),
    };
    // The kernel's own report says it all.
    let is_told = incident.reason.is_empty() || (incident.kind == "kernel_oom" && incident.kernel.is_some());
    if is_told { what } else { format!("{what}: {}", incident.reason) }
}

fn why_the_kernel(kernel: &KernelReport) -> String {
    let limit = kernel.limit_bytes.map_or(String::new(), |bytes| format!(" of {}", Size(bytes)));
    let usage = kernel.usage_bytes.map_or(String::new(), |bytes| format!(", in use {}", Size(bytes)));
    let asked = kernel.invoked_by.as_deref().map_or(String::new(), |comm| format!("; {comm} asked for more"));
    let limited = kernel.limit_cgroup.as_deref().filter(|path| *path != "/");
    match (kernel.constraint.as_deref(), limited) {
        (Some("memory_cgroup"), cgroup) => {
            let cgroup = cgroup.map_or("a cgroup".to_owned(), short);
            format!(
                "{cgroup} was at its own memory.max{limit}{usage}; it was not the machine's memory that ran out{asked}"
            )
        }
        (Some("cpuset" | "memory_policy"), _) => {
            format!("the memory nodes it may use were full (its cpuset or memory policy){asked}")
        }
        (Some("machine"), _) => format!("the whole machine was out of memory{asked}"),
        _ => format!("the kernel found no memory{asked}"),
    }
}

/// Did it help?
pub(crate) fn helped(incident: &Incident) -> String {
    let outcome = Outcome::of(incident);
    let Some(after) = incident.after else {
        return match (outcome, incident.state) {
            (Outcome::UncleanEnd, _) => "nobody saw what followed".to_owned(),
            (_, State::Open) => "not known yet: this is completed a minute after the end".to_owned(),
            (_, State::Complete) => "not known: nobody saw what followed".to_owned(),
        };
    };
    let mut parts = Vec::new();
    match after.freed_bytes {
        Some(0) => parts.push("nothing came back".to_owned()),
        Some(bytes) => parts.push(format!("{} came back", Size(bytes))),
        None => {}
    }
    match after.recovered_ms {
        Some(ms) => parts.push(format!("all was well again after {}", span(ms))),
        None => parts.push("the trouble was not seen to end".to_owned()),
    }
    if let Some(bytes) = after.available_bytes {
        parts.push(format!("{} available at the end", Size(bytes)));
    }
    let verdict = match (outcome, after.recovered_ms, after.freed_bytes) {
        (Outcome::Refused | Outcome::Warned | Outcome::Pretended, Some(_), _) => "it ended by itself: ",
        (_, Some(_), Some(0)) => "it ended, not because of the kill: ",
        (_, Some(_), _) => "yes: ",
        (Outcome::Refused | Outcome::Warned | Outcome::Pretended, None, _) => "",
        (_, None, _) => "no: ",
    };
    format!("{verdict}{}", parts.join(", "))
}

/// What became of the unit.
pub(crate) fn unit(incident: &Incident) -> Option<String> {
    let unit = incident.victim.as_ref()?.unit.as_deref()?;
    match incident.after.and_then(|after| after.unit_restarted) {
        Some(true) => Some(format!("{unit} runs again")),
        Some(false) => Some(format!("{unit} does NOT run again")),
        None => None,
    }
}

/// What to change, or that nothing follows.
pub(crate) fn change(incident: &Incident) -> String {
    match incident.advice.len() {
        0 => "nothing follows from the evidence".to_owned(),
        1 => incident.advice[0].text.clone(),
        n => format!("{n} things:"),
    }
}

/// `40 ms`, `4.3 s`, `6 min`.
pub(crate) fn span(ms: u64) -> String {
    match ms {
        0..100 => format!("{ms} ms"),
        100..120_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        120_000..7_200_000 => format!("{} min", (ms + 30_000) / 60_000),
        _ => format!("{} h", ms.saturating_add(1_800_000) / 3_600_000),
    }
}

fn of_event<'a>(incident: &'a Incident, name: &str) -> Option<&'a Entry> {
    incident.events.iter().chain(&incident.acts).find(|entry| entry.event == name)
}

fn signal(entry: &Entry) -> &str {
    entry.fields.get("signal").and_then(Json::as_str).unwrap_or("a signal")
}

/// ` of ci-runner.service`: where the victim lived.
fn place(incident: &Incident) -> String {
    let victim = incident.victim.as_ref();
    let unit = victim.and_then(|victim| victim.unit.clone());
    let cgroup = victim.and_then(|victim| victim.cgroup.as_deref()).filter(|path| *path != "/").map(short);
    unit.or(cgroup).map_or(String::new(), |name| format!(" of {name}"))
}

/// The cgroup in trouble, or the machine.
fn the_place(incident: &Incident) -> String {
    let cgroup = incident.cgroup.as_deref().filter(|path| *path != "/");
    cgroup.map_or("the machine".to_owned(), short)
}

/// What people call a cgroup: its unit; its path where it has none.
pub(crate) fn short(cgroup: &str) -> String {
    unit_of(cgroup.as_bytes()).map_or(cgroup.to_owned(), |unit| String::from_utf8_lossy(unit).into_owned())
}
