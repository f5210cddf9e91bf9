//! `hogwatch doctor`: what on this machine would freeze it, or mislead who reads its figures.
//!
//! [`facts`] are read first, all of them; each check in [`checks`] is a pure function over them.

pub mod checks;
pub mod facts;
mod text;

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::daemon::systemctl::Systemctl;
use super::status::Abilities;
use facts::Facts;

/// Options of `hogwatch doctor`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  hogwatch doctor
  sudo hogwatch doctor                                     sees what a plain user does not
  hogwatch doctor --json | jq -r '.findings[].id'

Exit status: 0 nothing of severity danger or warning was found, 1 something was, or it could not be printed (which is
said on stderr).")]
pub struct DoctorArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Exit status when a danger or a warning was found.
const EXIT_FOUND: u8 = 1;

/// systemd may take so long to tell of all its units; with thousands of them it is a second.
const DEADLINE: Duration = Duration::from_secs(10);

/// How bad a finding is. The order is that of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It freezes the machine, or a part of it, or leaves it unguarded.
    Danger,
    /// It makes that likelier, or keeps somebody from seeing it.
    Warning,
    /// Good to know.
    Note,
}

/// Something found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// Which check's: stable, listed in docs/doctor.md.
    pub id: &'static str,
    /// How bad.
    pub severity: Severity,
    /// One line.
    pub title: String,
    /// The very values read, by file or property.
    pub evidence: Map<String, Value>,
    /// What will come of it.
    pub why: &'static str,
    /// The exact cure. Lines that begin with two spaces are commands or a file's content, to be pasted; the others are said
    /// to a person.
    pub fix: String,
}

/// Looks, and says what it found on stdout.
#[must_use]
pub fn run(args: &DoctorArgs) -> ExitCode {
    // The system's units, also for a plain user: systemd tells everybody.
    let systemctl = Systemctl { program: "systemctl".into(), user: false };
    let shown = if sd_notify::booted().unwrap_or(false) {
        systemctl.run(&facts::units::ARGUMENTS, Instant::now() + DEADLINE)
    } else {
        Err("this machine was not started by systemd".to_owned())
    };
    let facts = Facts::read(Path::new("/"), shown);
    let findings = findings(&facts);
    let status = if findings.iter().any(|finding| finding.severity < Severity::Note) { EXIT_FOUND } else { 0 };
    let shown = if args.json {
        format!("{:#}\n", json!({"schema": 1, "findings": findings, "unseen": facts.unseen}))
    } else {
        let colour = std::io::stdout().is_terminal() && Abilities::of(|name| std::env::var(name).ok()).colour;
        text::text(&findings, &facts.unseen, colour)
    };
    super::print(&shown, status)
}

/// So many of one check are listed: what comes after is of the same kind.
const MOST_OF_ONE: usize = 10;

/// What all checks found, the worst first.
#[must_use]
pub fn findings(facts: &Facts) -> Vec<Finding> {
    let mut found: Vec<Finding> = checks::ALL.iter().flat_map(|check| few((check.look)(facts))).collect();
    found.sort_by_key(|finding| finding.severity);
    found
}

/// The first of them, the worst before all, and how many more there are.
fn few(mut found: Vec<Finding>) -> Vec<Finding> {
    found.sort_by_key(|finding| finding.severity);
    let left_out = found.split_off(found.len().min(MOST_OF_ONE));
    if let Some(first) = left_out.first() {
        let more = Finding {
            title: format!("and {} more like these", left_out.len()),
            evidence: Map::from_iter([("left out".to_owned(), left_out.len().into())]),
            fix: "As above.".to_owned(),
            ..first.clone()
        };
        found.push(more);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_cut_and_the_worst_stay() {
        let finding = |n: usize| Finding {
            id: "cap-swaps",
            severity: if n == 11 { Severity::Danger } else { Severity::Note },
            title: n.to_string(),
            evidence: Map::new(),
            why: "",
            fix: String::new(),
        };
        let shown =
            |count: usize| few((0..count).map(finding).collect()).into_iter().map(|f| f.title).collect::<Vec<_>>();
        assert_eq!(shown(0), Vec::<String>::new());
        assert_eq!(shown(10).len(), 10);
        let twelve = shown(12);
        assert_eq!((twelve.len(), twelve[0].as_str(), twelve[10].as_str()), (11, "11", "and 2 more like these"));
    }
}
