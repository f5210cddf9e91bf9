//! `hogwatch incidents list`: a line or two an incident, the latest first.

use std::cmp::Reverse;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value as Json, json};

use super::page::{Page, cut, table};
use super::{complain, why::cause_word};
use crate::commands::print;
use crate::report::incident::load::{Archive, Link, began, load_file};
use crate::report::incident::outcome::{Outcome, in_short};
use crate::report::incident::schema::{Cause, Incident};
use crate::report::{Size, unit_of};

/// Options of `hogwatch incidents list`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  hogwatch incidents list
  hogwatch incidents list --json | jq -r '.incidents[] | [.id, .kind, .victim.comm] | @tsv'
  hogwatch incidents list --dir ./from-web-7       files that were copied from another machine

The second line has the id that `show` takes (its beginning is enough), the unit, and what of it is special.

Exit status: 0 done, 1 nothing could be read. Files that can't be read are named on stderr.")]
pub(super) struct ListArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Columns for a kind: the longest of hogwatch's own.
const KIND: usize = 12;

/// Columns for a victim: a process's name (15 bytes), and how many more.
const VICTIM: usize = 20;

/// What a list has of an incident: the rest of it is let go at once, for there may be hundreds.
struct Summary {
    begin_ms: u64,
    id: String,
    host: Option<String>,
    row: Vec<String>,
    below: String,
    json: Json,
}

pub(super) fn run(args: &ListArgs, archive: &Archive) -> ExitCode {
    let listing = archive.files();
    let mut summaries = Vec::new();
    let mut failed = listing.problems.len();
    for problem in &listing.problems {
        complain(problem);
    }
    for path in &listing.files {
        match load_file(path, Link::Refuse) {
            Ok(loaded) => summaries.push(Summary::of(&loaded.incident, &loaded.path.to_string_lossy())),
            Err(error) => {
                complain(&error);
                failed += 1;
            }
        }
    }
    summaries.sort_by(|a, b| (Reverse(a.begin_ms), Reverse(&a.id)).cmp(&(Reverse(b.begin_ms), Reverse(&b.id))));
    let text = if args.json {
        let incidents: Vec<&Json> = summaries.iter().map(|summary| &summary.json).collect();
        format!("{:#}\n", json!({"schema": 1, "incidents": incidents}))
    } else {
        in_words(&summaries)
    };
    if summaries.is_empty() {
        if failed > 0 {
            return ExitCode::FAILURE;
        }
        if !args.json {
            eprintln!("no incidents: none was recorded here, or all were older than those that are kept");
            return ExitCode::SUCCESS;
        }
    }
    print(&text, 0)
}

impl Summary {
    fn of(incident: &Incident, path: &str) -> Self {
        let victim = incident.victim.as_ref();
        let comm = victim.map(|victim| match victim.members {
            Some(members) if members > 1 => format!("{} and {}", victim.comm, members - 1),
            // systemd-oomd ends cgroups.
            _ if victim.comm.is_empty() && incident.cause == Cause::SystemdOomd => "everybody".to_owned(),
            _ if victim.comm.is_empty() => "?".to_owned(),
            _ => victim.comm.clone(),
        });
        let size = victim.and_then(|victim| victim.size_bytes);
        let unit = unit(incident);
        let row = vec![
            began(incident).minute().to_string(),
            cut(&incident.kind, KIND),
            cut(comm.as_deref().unwrap_or("-"), VICTIM),
            size.map_or("-".into(), |size| Size(size).to_string()),
            match incident.cause {
                Cause::Unknown => "-".to_owned(),
                known => cause_word(known).to_owned(),
            },
            in_short(incident).to_string(),
        ];
        let below = format!("  {}  {}", incident.id, unit.as_deref().unwrap_or("the machine"));
        let json = json!({
            "id": incident.id,
            "kind": incident.kind,
            "cause": incident.cause,
            "state": incident.state,
            "outcome": Outcome::of(incident).word(),
            "dry_run": incident.dry_run,
            "begin_ms": incident.begin_ms,
            "end_ms": incident.end_ms,
            "host": incident.host.name,
            "cgroup": incident.cgroup,
            "unit": unit,
            "victim": victim,
            "freed_bytes": incident.after.and_then(|after| after.freed_bytes),
            "recovered_ms": incident.after.and_then(|after| after.recovered_ms),
            "unit_restarted": incident.after.and_then(|after| after.unit_restarted),
            "file": path,
        });
        let host = incident.host.name.clone();
        Self { begin_ms: incident.begin_ms, id: incident.id.clone(), host, row, below, json }
    }
}

/// The unit it is about: the victim's, else that of the cgroup in trouble (its path where it is no unit's).
pub(super) fn unit(incident: &Incident) -> Option<String> {
    let victim = incident.victim.as_ref();
    let of_victim = victim.and_then(|victim| victim.unit.clone());
    let cgroup = || victim.and_then(|victim| victim.cgroup.clone()).or_else(|| incident.cgroup.clone());
    of_victim.or_else(|| {
        let cgroup = cgroup().filter(|path| path != "/")?;
        let unit = unit_of(cgroup.as_bytes()).map(|unit| String::from_utf8_lossy(unit).into_owned());
        Some(unit.unwrap_or(cgroup))
    })
}

fn in_words(summaries: &[Summary]) -> String {
    let heads = ["TIME", "KIND", "VICTIM", "SIZE", "BY", "OUTCOME"].map(str::to_owned).to_vec();
    let rows: Vec<Vec<String>> = std::iter::once(heads).chain(summaries.iter().map(|s| s.row.clone())).collect();
    let mut page = Page::default();
    let mut lines = table(&rows, &[3]).into_iter();
    page.line(lines.next().unwrap_or_default());
    let several_hosts = summaries.iter().any(|summary| summary.host != summaries[0].host);
    for (line, summary) in lines.zip(summaries) {
        page.line(line);
        let on = summary.host.as_deref().filter(|_| several_hosts).map_or(String::new(), |host| format!(" on {host}"));
        page.line(format!("{}{on}", summary.below));
    }
    page.text()
}
