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
use facts::Facts;

/// Options of `hogwatch doctor`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  hogwatch doctor
  sudo hogwatch doctor                                     sees what a plain user does not
  hogwatch doctor --json | jq -r '.findings[].id'

Exit status: 0 nothing of severity danger or warning was found, 1 something was.")]
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
    let shown = if Path::new("/run/systemd/system").exists() {
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
        text::text(&findings, &facts.unseen, std::io::stdout().is_terminal())
    };
    super::print(&shown, status)
}

/// What all checks found, the worst first.
#[must_use]
pub fn findings(facts: &Facts) -> Vec<Finding> {
    let mut found: Vec<Finding> = checks::ALL.iter().flat_map(|check| (check.look)(facts)).collect();
    found.sort_by_key(|finding| finding.severity);
    found
}
