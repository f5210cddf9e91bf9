//! The evidence behind the answer: who was large, who ranked how, what the kernel and the journal said.

use super::super::page::{Page, table};
use crate::report::incident::answer::short;
use crate::report::incident::schema::{Entry, Incident, Tops};
use crate::report::{Local, Size};

/// Candidates that are shown; the file has all that were kept.
const CANDIDATES: usize = 8;

/// Journal lines that are shown from the beginning, and as many from the end.
const LINES: usize = 20;

/// Rows of the kernel's dump.
const DUMPED: usize = 5;

/// Several pieces of advice; a single one stands in the answer.
pub(super) fn advice(page: &mut Page, incident: &Incident) {
    if incident.advice.len() < 2 {
        return;
    }
    for (n, advice) in incident.advice.iter().enumerate() {
        page.labelled(&format!("        {}. ", n + 1), &advice.text);
    }
}

/// The largest tasks and cgroups just before the first act, and how large they were at first.
pub(super) fn largest(page: &mut Page, incident: &Incident) {
    let until = incident.acts.first().map_or(u64::MAX, |act| act.t_ms);
    let before: Vec<&Tops> = incident.tops.iter().filter(|tops| tops.t_ms <= until).collect();
    let Some(last) = before.last().copied().or(incident.tops.first()) else { return };
    let first = before.first().copied().filter(|first| first.t_ms < last.t_ms);
    let at = Local::at_ms(last.t_ms).clock();
    let since = first.map_or(String::new(), |first| format!(" (and at {})", Local::at_ms(first.t_ms).clock()));
    let was = |size: Option<u64>| {
        let size = size.map_or("(-)".to_owned(), |size| format!("({})", Size(size)));
        first.map(|_| size)
    };
    if !last.tasks.is_empty() {
        page.heading(&format!("Largest processes at {at}{since}"));
        let rows: Vec<Vec<String>> = last
            .tasks
            .iter()
            .map(|task| {
                let before = first.and_then(|tops| tops.tasks.iter().find(|other| other.pid == task.pid));
                let swap =
                    if task.swap_bytes > 0 { format!("{} in swap", Size(task.swap_bytes)) } else { String::new() };
                let mut row = vec![format!("  {}", Size(task.size_bytes))];
                row.extend(was(before.map(|task| task.size_bytes)));
                let unit = task.cgroup.as_deref().map(short).unwrap_or_default();
                row.extend([task.pid.to_string(), task.comm.clone(), unit, swap]);
                row
            })
            .collect();
        table(&rows, if first.is_some() { &[0, 1, 2] } else { &[0, 1] }).iter().for_each(|line| page.line(line));
    }
    if !last.cgroups.is_empty() {
        let is_group = incident.victim.as_ref().and_then(|victim| victim.members).is_some_and(|members| members > 1);
        // Beside the size of all that were killed the sum of eight looks wrong.
        let sums = if is_group { " (sums of the eight largest tasks)" } else { "" };
        page.heading(&format!("Largest cgroups{sums} at {at}{since}"));
        let rows: Vec<Vec<String>> = last
            .cgroups
            .iter()
            .map(|cgroup| {
                let before = first.and_then(|tops| tops.cgroups.iter().find(|other| other.path == cgroup.path));
                let mut row = vec![format!("  {}", Size(cgroup.size_bytes))];
                row.extend(was(before.map(|cgroup| cgroup.size_bytes)));
                row.push(cgroup.path.clone());
                row
            })
            .collect();
        table(&rows, if first.is_some() { &[0, 1] } else { &[0] }).iter().for_each(|line| page.line(line));
    }
}

/// Who could have been chosen.
pub(super) fn candidates(page: &mut Page, incident: &Incident) {
    if incident.candidates.is_empty() {
        return;
    }
    page.heading("Who could have been chosen, as ranked then");
    let heads = ["  #", "TIER", "SIZE", "SWAP", "ADJ", "PID", "NAME", "UNIT"].map(str::to_owned).to_vec();
    let rows = incident.candidates.iter().take(CANDIDATES).map(|candidate| {
        vec![
            format!("  {}", candidate.rank),
            candidate.tier.clone(),
            Size(candidate.size_bytes).to_string(),
            Size(candidate.swap_bytes).to_string(),
            candidate.oom_score_adj.map_or("?".into(), |adj| adj.to_string()),
            candidate.pid.to_string(),
            candidate.comm.clone(),
            candidate.cgroup.as_deref().map(short).unwrap_or_default(),
        ]
    });
    let rows: Vec<Vec<String>> = std::iter::once(heads).chain(rows).collect();
    table(&rows, &[0, 2, 3, 4, 5]).iter().for_each(|line| page.line(line));
    if incident.candidates.len() > CANDIDATES {
        page.line(format!("  … and {} more", incident.candidates.len() - CANDIDATES));
    }
}

/// The kernel's own report, and its other lines.
pub(super) fn kernel(page: &mut Page, incident: &Incident) {
    if let Some(kernel) = &incident.kernel {
        page.heading("What the kernel said");
        let size = |bytes: Option<u64>| bytes.map_or("?".to_owned(), |bytes| Size(bytes).to_string());
        let constraint = kernel.constraint.as_deref().unwrap_or("?");
        page.line(format!("  constraint   {constraint}"));
        if let Some(cgroup) = &kernel.limit_cgroup {
            page.line(format!(
                "  limit        memory.max {}, in use {}, of {cgroup}",
                size(kernel.limit_bytes),
                size(kernel.usage_bytes)
            ));
        }
        if let Some(cgroup) = &kernel.task_cgroup {
            page.line(format!("  killed in    {cgroup}"));
        }
        if let Some(comm) = &kernel.invoked_by {
            page.line(format!("  invoked by   {comm}"));
        }
        if !kernel.processes.is_empty() {
            let of = kernel.listed.map_or(String::new(), |listed| format!(" of {listed}"));
            page.line(format!("  its dump, the largest{of}:"));
            let heads = ["    RSS", "SWAP", "ADJ", "PID", "NAME"].map(str::to_owned).to_vec();
            let rows = kernel.processes.iter().take(DUMPED).map(|process| {
                vec![
                    format!("    {}", Size(process.rss_bytes)),
                    Size(process.swap_bytes).to_string(),
                    process.oom_score_adj.map_or("?".into(), |adj| adj.to_string()),
                    process.pid.to_string(),
                    process.comm.clone(),
                ]
            });
            let rows: Vec<Vec<String>> = std::iter::once(heads).chain(rows).collect();
            table(&rows, &[0, 1, 2, 3]).iter().for_each(|line| page.line(line));
        }
    }
    if !incident.kernel_lines.is_empty() {
        page.heading("From the kernel's log");
        for line in &incident.kernel_lines {
            page.labelled(&format!("  {}  ", Local::at_ms(line.t_ms).clock()), &line.text);
        }
    }
}

/// The journal's entries.
pub(super) fn journal(page: &mut Page, incident: &Incident) {
    let all = if incident.events.is_empty() { &incident.acts } else { &incident.events };
    if all.is_empty() {
        return;
    }
    page.heading("What hogwatch wrote to the journal");
    let line = |page: &mut Page, entry: &Entry| {
        let priority = format!("{:<7}", entry.priority);
        page.labelled(&format!("  {}  {priority}  ", Local::at_ms(entry.t_ms).clock()), &entry.message);
    };
    if all.len() <= LINES * 2 {
        all.iter().for_each(|entry| line(page, entry));
        return;
    }
    all[..LINES].iter().for_each(|entry| line(page, entry));
    page.line(format!("  … {} more (show --json has them) …", all.len() - LINES * 2));
    all[all.len() - LINES..].iter().for_each(|entry| line(page, entry));
}
