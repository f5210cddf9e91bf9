//! The tables: candidates, the kernel's own report, the journal.

use std::fmt::{self, Write};

use crate::report::incident::schema::{Candidate, Entry, Incident, KernelReport};
use crate::report::{Local, Size};

use super::headline::Who;
use super::markup::Safe;

/// A column: its heading, and whether its cells are numbers.
type Column = (&'static str, bool);

/// A table that scrolls inside its own box where it is too wide. `rows` writes `<tr>`s. On a phone the rows of a log are
/// paragraphs.
fn write_table(
    out: &mut String,
    label: &str,
    columns: &[Column],
    is_log: bool,
    rows: impl FnOnce(&mut String) -> fmt::Result,
) -> fmt::Result {
    let class = if is_log { " class=\"log\"" } else { "" };
    write!(
        out,
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{label}\"><table{class}><thead><tr>"
    )?;
    for (name, number) in columns {
        let class = if *number { " class=\"n\"" } else { "" };
        write!(out, "<th scope=\"col\"{class}>{name}</th>")?;
    }
    writeln!(out, "</tr></thead><tbody>")?;
    rows(out)?;
    writeln!(out, "</tbody></table></div>")
}

/// A cell with a number, or a dash.
struct Number<T>(Option<T>);

impl<T: fmt::Display> fmt::Display for Number<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => write!(f, "<td class=\"n\">{value}</td>"),
            None => write!(f, "<td class=\"n\">–</td>"),
        }
    }
}

/// Who could have been chosen.
pub(super) fn write_candidates(out: &mut String, incident: &Incident) -> fmt::Result {
    if incident.candidates.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "<section><h2>Who could have been chosen</h2><p class=\"note\">As ranked at the first act: by tier, then by size.</p>"
    )?;
    let victim = incident.victim.as_ref().and_then(|victim| victim.pid);
    let columns = [
        ("rank", true),
        ("process", false),
        ("size", true),
        ("in swap", true),
        ("tier", false),
        ("pid", true),
        ("oom_score_adj", true),
        ("uid", true),
        ("cgroup", false),
    ];
    write_table(out, "Candidates", &columns, false, |out| {
        incident.candidates.iter().try_for_each(|candidate| write_candidate(out, candidate, victim))
    })?;
    writeln!(out, "</section>")
}

fn write_candidate(out: &mut String, candidate: &Candidate, victim: Option<i32>) -> fmt::Result {
    let Candidate { rank, pid, comm, uid, cgroup, tier, size_bytes, swap_bytes, oom_score_adj } = candidate;
    let (class, tag) = if victim == Some(*pid) { (" class=\"victim\"", " <b>victim</b>") } else { ("", "") };
    writeln!(
        out,
        "<tr{class}>{}<th scope=\"row\">{}{tag}</th>{}{}<td>{}</td>{}{}{}<td class=\"path\">{}</td></tr>",
        Number(Some(rank)),
        Safe(comm),
        Number(Some(Size(*size_bytes))),
        Number(Some(Size(*swap_bytes))),
        Safe(tier),
        Number(Some(pid)),
        Number(*oom_score_adj),
        Number(*uid),
        Safe(cgroup.as_deref().unwrap_or("–"))
    )
}

/// What the kernel's OOM killer said.
pub(super) fn write_kernel(out: &mut String, incident: &Incident) -> fmt::Result {
    let Some(report) = &incident.kernel else {
        return Ok(());
    };
    writeln!(out, "<section><h2>The kernel's report</h2><dl class=\"facts\">")?;
    write_kernel_facts(out, report)?;
    writeln!(out, "</dl>")?;
    if !report.processes.is_empty() {
        let shown = report.processes.len();
        match report.listed {
            Some(listed) => {
                writeln!(out, "<p class=\"note\">The largest {shown} of {listed} processes it listed.</p>")?
            }
            None => writeln!(out, "<p class=\"note\">The largest {shown} processes it listed.</p>")?,
        }
        let victim = report.victim.as_ref().and_then(|victim| victim.pid);
        let columns = [
            ("process", false),
            ("pid", true),
            ("resident", true),
            ("in swap", true),
            ("oom_score_adj", true),
            ("uid", true),
        ];
        write_table(out, "Processes of the kernel's report", &columns, false, |out| {
            report.processes.iter().try_for_each(|process| {
                let (class, tag) =
                    if victim == Some(process.pid) { (" class=\"victim\"", " <b>victim</b>") } else { ("", "") };
                writeln!(
                    out,
                    "<tr{class}><th scope=\"row\">{}{tag}</th>{}{}{}{}{}</tr>",
                    Safe(&process.comm),
                    Number(Some(process.pid)),
                    Number(Some(Size(process.rss_bytes))),
                    Number(Some(Size(process.swap_bytes))),
                    Number(process.oom_score_adj),
                    Number(process.uid)
                )
            })
        })?;
    }
    writeln!(out, "</section>")
}

fn write_kernel_facts(out: &mut String, report: &KernelReport) -> fmt::Result {
    write_fact(out, "When", &Local::at_ms(report.t_ms).precise())?;
    let constraint = match report.constraint.as_deref() {
        Some("machine") => Some("the whole machine's memory"),
        Some("memory_cgroup") => Some("a cgroup's limit"),
        Some("cpuset") => Some("the memory nodes of a cpuset"),
        Some("memory_policy") => Some("the memory nodes of a memory policy"),
        other => other,
    };
    write_known(out, "What was full", constraint)?;
    write_known(out, "Limit of", report.limit_cgroup.as_deref())?;
    write_known(out, "memory.max", report.limit_bytes.map(Size))?;
    write_known(out, "Usage", report.usage_bytes.map(Size))?;
    write_known(out, "Who asked for memory", report.invoked_by.as_deref())?;
    write_known(out, "Killed", report.victim.as_ref().map(Who))?;
    write_known(out, "In", report.task_cgroup.as_deref())?;
    match report.group {
        true => write_fact(out, "Whole cgroup", &"yes: memory.oom.group is set"),
        false => Ok(()),
    }
}

/// A row of a list of facts.
pub(super) fn write_fact(out: &mut String, name: &str, value: &impl fmt::Display) -> fmt::Result {
    writeln!(out, "<div><dt>{name}</dt><dd>{}</dd></div>", Safe(value))
}

/// The same, if it is known.
pub(super) fn write_known(out: &mut String, name: &str, value: Option<impl fmt::Display>) -> fmt::Result {
    value.map_or(Ok(()), |value| write_fact(out, name, &value))
}

/// The journal's entries, and the kernel's lines that belong to it.
pub(super) fn write_journal(out: &mut String, incident: &Incident) -> fmt::Result {
    if !incident.events.is_empty() {
        writeln!(out, "<section><h2>The journal</h2>")?;
        write_table(out, "Journal entries", &[("time", false), ("priority", false), ("entry", false)], true, |out| {
            incident.events.iter().try_for_each(|entry| write_entry(out, entry))
        })?;
        writeln!(out, "</section>")?;
    }
    if !incident.kernel_lines.is_empty() {
        writeln!(out, "<section><h2>The kernel's log</h2>")?;
        write_table(out, "Lines of the kernel's log", &[("time", false), ("line", false)], true, |out| {
            incident.kernel_lines.iter().try_for_each(|line| {
                writeln!(
                    out,
                    "<tr><td class=\"time\">{}</td><td class=\"entry\"><code>{}</code></td></tr>",
                    Local::at_ms(line.t_ms).precise(),
                    Safe(&line.text)
                )
            })
        })?;
        writeln!(out, "</section>")?;
    }
    Ok(())
}

fn write_entry(out: &mut String, entry: &Entry) -> fmt::Result {
    let class = match entry.priority.as_str() {
        "crit" => "p-crit",
        "err" => "p-err",
        "warning" => "p-warning",
        _ => "p-other",
    };
    writeln!(
        out,
        "<tr><td class=\"time\">{}</td><td class=\"{class}\">{}</td><td class=\"entry\">{}</td></tr>",
        Local::at_ms(entry.t_ms).precise(),
        Safe(&entry.priority),
        Safe(if entry.message.is_empty() { &entry.event } else { &entry.message })
    )
}
