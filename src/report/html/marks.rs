//! The acts, numbered: in the charts by their numbers, below in words.

use std::fmt::{self, Write};

use crate::report::incident::answer::span;
use crate::report::incident::schema::{Entry, Incident};
use crate::report::{Local, Size};

use super::headline::Who;
use super::markup::Safe;

/// A fork bomb has hundreds of acts: what is left out here is in the journal below.
const MOST: usize = 40;

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Class {
    /// Trouble was seen.
    Seen,
    /// A polite act: SIGTERM, a lift.
    Asked,
    /// Somebody was killed.
    Killed,
    /// A victim is gone.
    Gone,
    /// It is over.
    Over,
}

impl Class {
    pub fn css(self) -> &'static str {
        match self {
            Self::Seen => "m-seen",
            Self::Asked => "m-asked",
            Self::Killed => "m-killed",
            Self::Gone => "m-gone",
            Self::Over => "m-over",
        }
    }
}

/// An act, or what came of it.
pub(super) struct Mark {
    /// From 1, by time.
    pub number: usize,
    pub t_ms: u64,
    pub class: Class,
    /// A few words, not yet safe.
    pub words: String,
}

/// The marks by time, and how many were left out.
pub(super) fn marks(incident: &Incident) -> (Vec<Mark>, usize) {
    let entries = if incident.events.is_empty() { &incident.acts } else { &incident.events };
    let mut marks: Vec<Mark> = entries
        .iter()
        .filter_map(|entry| class(&entry.event).map(|class| (class, entry)))
        .map(|(class, entry)| Mark { number: 0, t_ms: entry.t_ms, class, words: words(entry, incident) })
        .collect();
    if let Some(report) = incident.kernel.as_ref().filter(|_| entries.iter().all(|entry| entry.event != "kernel_oom")) {
        let who = report.victim.as_ref().map_or("a process".to_owned(), |victim| Who(victim).to_string());
        let words = format!("the kernel's OOM killer killed {who}");
        marks.push(Mark { number: 0, t_ms: report.t_ms, class: Class::Killed, words });
    }
    marks.sort_by_key(|mark| mark.t_ms);
    let left_out = marks.len().saturating_sub(MOST);
    marks.truncate(MOST);
    for (n, mark) in marks.iter_mut().enumerate() {
        mark.number = n + 1;
    }
    (marks, left_out)
}

fn class(event: &str) -> Option<Class> {
    Some(match event {
        "warn" | "livelock" | "oom_stuck" | "refused" => Class::Seen,
        "term" | "lift" | "set_aside" => Class::Asked,
        "kill" | "kernel_oom" | "oomd_kill" => Class::Killed,
        "exited" => Class::Gone,
        "recovered" | "lift_restored" => Class::Over,
        _ => return None,
    })
}

fn words(entry: &Entry, incident: &Incident) -> String {
    let text = |key: &str| entry.fields.get(key).and_then(|value| value.as_str());
    let number = |key: &str| entry.fields.get(key).and_then(serde_json::Value::as_u64);
    let pid = entry.fields.get("pid").and_then(serde_json::Value::as_i64);
    let who = fmt::from_fn(|f| {
        let name = text("comm").or(text("unit")).or(text("cgroup")).unwrap_or("a process");
        // A group's entries name the largest of them; how many they were stands with the victim.
        let victim = incident.victim.as_ref().filter(|victim| victim.pid.map(i64::from) == pid);
        match (victim.and_then(|victim| victim.members).filter(|&members| members > 1), pid) {
            (Some(members), Some(pid)) => write!(f, "{members} processes (the largest is {name}, pid {pid})"),
            (_, Some(pid)) => write!(f, "{name} (pid {pid})"),
            (_, None) => f.write_str(name),
        }
    });
    let place = text("unit").or(text("cgroup")).filter(|&place| place != "/").unwrap_or("the machine");
    let would = if incident.dry_run { "would be " } else { "" };
    match entry.event.as_str() {
        "warn" => "memory is getting short".to_owned(),
        "livelock" => format!("{place} is found stuck"),
        "oom_stuck" => "the kernel's OOM killer is stuck".to_owned(),
        "refused" => "refused to kill".to_owned(),
        "term" | "kill" => format!("{} {would}sent to {who}", text("signal").unwrap_or("a signal")),
        "lift" => format!("memory.high of {place} {would}raised"),
        "lift_restored" => format!("memory.high of {place} {would}put back"),
        "set_aside" => format!("{who} does not exit, set aside"),
        "exited" => match number("freed_bytes") {
            Some(freed) => format!("{who} is gone, {} came back", Size(freed)),
            None => format!("{who} is gone"),
        },
        "kernel_oom" => format!("the kernel's OOM killer killed {who}"),
        "oomd_kill" => format!("systemd-oomd killed {who}"),
        "recovered" => "recovered".to_owned(),
        other => other.to_owned(),
    }
}

/// The numbers of the charts in words, each with its time and how long after the first it was.
pub(super) fn write_list(out: &mut String, marks: &[Mark], left_out: usize) -> fmt::Result {
    let Some(first) = marks.first() else {
        return Ok(());
    };
    writeln!(out, "<ol class=\"marks\">")?;
    for mark in marks {
        write!(
            out,
            "<li><span class=\"{}\">{}</span> <span>{}",
            mark.class.css(),
            Local::at_ms(mark.t_ms).precise(),
            Safe(&mark.words)
        )?;
        if mark.t_ms > first.t_ms {
            write!(out, " <small>+{}</small>", span(mark.t_ms - first.t_ms))?;
        }
        writeln!(out, "</span></li>")?;
    }
    writeln!(out, "</ol>")?;
    match left_out {
        0 => Ok(()),
        _ => writeln!(out, "<p class=\"note\">{left_out} later acts are not marked; the journal below has them.</p>"),
    }
}
