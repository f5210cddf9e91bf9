//! The answer in words, and in JSON.

use serde_json::{Value as Json, json};

use super::super::page::Page;
use super::find::{Evidence, Exit, Found, Memory};
use super::verdict::Verdict;
use super::{Target, cause_word};
use crate::report::incident::schema::Cause;
use crate::report::{Escaped, Local, Size};

/// Lines of evidence that are shown, the latest; JSON has all.
const EVIDENCE: usize = 12;

pub(super) fn words(target: &Target, verdict: &Verdict<'_>, found: &Found, unseen: &[String], in_dir: &str) -> String {
    let mut page = Page::default();
    page.labelled("Verdict  ", &headline(target, verdict, found));
    if let Some(exit) = verdict.exit {
        page.labelled("Exit     ", &how(exit));
    }
    if verdict.by.is_none() {
        if let Some(unknown) = who_then(verdict) {
            page.labelled("Who      ", &unknown);
        }
        if let Some(earlier) = verdict.earlier {
            page.labelled("Before   ", &format!("at {}: {}", Local::at_ms(earlier.t_ms), harmless(&earlier.text)));
        }
    }
    page.labelled("Memory   ", &memory(verdict));
    if let Some(id) = verdict.because.and_then(|because| because.incident.as_deref()) {
        page.labelled("More     ", &format!("`hogwatch incidents show {}{in_dir}`", Escaped(id.as_bytes())));
    }
    if !found.evidence.is_empty() {
        page.heading("Evidence");
        let from = found.evidence.len().saturating_sub(EVIDENCE);
        if from > 0 {
            page.line(format!("  … {from} earlier (--json has them) …"));
        }
        for Evidence { t_ms, source, text, .. } in &found.evidence[from..] {
            page.labelled(&format!("  {}  {source:<12}  ", Local::at_ms(*t_ms)), &harmless(text));
        }
    }
    if !unseen.is_empty() {
        page.heading("Could not be looked at");
        unseen.iter().for_each(|what| page.labelled("  ", &harmless(what)));
    }
    page.text()
}

fn name(target: &Target) -> String {
    match target {
        Target::Unit(unit) => unit.clone(),
        Target::Pid(pid) => format!("pid {pid}"),
    }
}

fn headline(target: &Target, verdict: &Verdict<'_>, found: &Found) -> String {
    let name = match (target, found.unit.as_deref()) {
        (Target::Pid(_), Some(unit)) => format!("{} (of {})", name(target), harmless(unit)),
        _ => name(target),
    };
    let at = verdict.at_ms().map_or(String::new(), |at| {
        let at = Local::at_ms(at);
        format!(" at {at} {}", at.zone())
    });
    match verdict.by {
        Some(Cause::Hogwatch) => format!("hogwatch: it signalled {name}{at}"),
        Some(Cause::Kernel) => format!("kernel: its OOM killer killed in {name}{at}"),
        Some(Cause::SystemdOomd) => format!("systemd-oomd: it killed {name}{at}"),
        Some(Cause::Unknown) | None => match (verdict.exit, found.last_seen_ms) {
            (Some(_), _) => {
                format!(
                    "none_seen: {name} ended{at}, and neither hogwatch nor the kernel's OOM killer nor systemd-oomd did it"
                )
            }
            (None, Some(seen)) => {
                format!("none_seen: no end of {name} was seen; it last wrote to the journal at {}", Local::at_ms(seen))
            }
            (None, None) => format!("none_seen: no end of {name} was seen"),
        },
    }
}

fn how(exit: &Exit) -> String {
    let result = exit.result.as_deref().map_or(String::new(), |result| format!(" (result {})", harmless(result)));
    format!("{}{result}", harmless(&exit.text))
}

/// What can be said of who it was.
fn who_then(verdict: &Verdict<'_>) -> Option<String> {
    let exit = verdict.exit?;
    if exit.asked_to_stop {
        return Some(
            "systemd was asked to stop it (systemctl stop or restart, a dependency, or shutdown), and did".to_owned(),
        );
    }
    match (exit.code.as_deref(), exit.result.as_deref()) {
        (_, Some("timeout")) => Some("systemd, because it took longer than its timeout".to_owned()),
        (_, Some("watchdog")) => Some("systemd, because it missed its watchdog's deadline".to_owned()),
        (Some("killed" | "dumped"), _) => Some(
            "a signal ended it. Who sent it can't be known afterwards: the kernel keeps no record. Somebody with the right \
             to (its own user, root), or itself"
                .to_owned(),
        ),
        (Some("exited"), _) if exit.status.as_deref() == Some("143") => Some(
            "it exited with status 143, as programs do that were sent SIGTERM and handled it; who sent it can't be known \
             afterwards"
                .to_owned(),
        ),
        (Some("exited"), _) => Some("it exited by itself; its own log should say why".to_owned()),
        _ => None,
    }
}

fn memory(verdict: &Verdict<'_>) -> String {
    let at = verdict.at_ms();
    let around = |memory: &Memory, word: &str| {
        let percent = memory.available_percent.map_or(String::new(), |percent| format!(" ({percent:.1} %)"));
        let when = match at {
            Some(at) => format!("{} {word}", ago(memory.t_ms.abs_diff(at))),
            None => format!("at {}", Local::at_ms(memory.t_ms)),
        };
        format!("{}{percent} available {when}", Size(memory.available_bytes))
    };
    let before = verdict.before.map(|memory| around(memory, "before"));
    let after = verdict.after.map(|memory| around(memory, "after"));
    let seen: Vec<String> = before.into_iter().chain(after).collect();
    match (verdict.short, seen.is_empty()) {
        (_, true) => "not known: no guard wrote of it around that time".to_owned(),
        (Some(true), _) => format!("the machine's was short: {}", seen.join(", ")),
        (Some(false), _) => format!("the machine's was not short: {}, and no warning between", seen.join(", ")),
        (None, _) => seen.join(", "),
    }
}

fn ago(ms: u64) -> String {
    match ms {
        0..1000 => "just".to_owned(),
        1000..120_000 => format!("{} s", ms / 1000),
        _ => format!("{} min", (ms + 30_000) / 60_000),
    }
}

/// Others' words on a terminal.
fn harmless(text: &str) -> String {
    Escaped(text.as_bytes()).to_string()
}

pub(super) fn json(target: &Target, since_ms: u64, verdict: &Verdict<'_>, found: &Found, unseen: &[String]) -> Json {
    let memory = |memory: &Memory| {
        json!({
            "t_ms": memory.t_ms,
            "available_bytes": memory.available_bytes,
            "available_percent": memory.available_percent,
        })
    };
    let evidence = |evidence: &Evidence| {
        json!({
            "t_ms": evidence.t_ms,
            "source": evidence.source,
            "text": evidence.text,
            "incident": evidence.incident,
            "by": evidence.by.map(cause_word),
        })
    };
    json!({
        "schema": 1,
        "target": {
            "unit": found.unit,
            "pid": match target {
                Target::Pid(pid) => Some(*pid),
                Target::Unit(_) => None,
            },
        },
        "since_ms": since_ms,
        "verdict": verdict.by.map_or("none_seen", cause_word),
        "at_ms": verdict.at_ms(),
        "incident": verdict.because.and_then(|because| because.incident.as_deref()),
        "exit": verdict.exit.map(|exit| json!({
            "t_ms": exit.t_ms,
            "code": exit.code,
            "status": exit.status,
            "result": exit.result,
            "asked_to_stop": exit.asked_to_stop,
        })),
        "memory": {
            "short": verdict.short,
            "before": verdict.before.map(memory),
            "after": verdict.after.map(memory),
        },
        "last_seen_ms": found.last_seen_ms,
        "evidence": found.evidence.iter().map(evidence).collect::<Vec<Json>>(),
        "unseen": unseen,
    })
}
