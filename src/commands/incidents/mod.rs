//! `hogwatch incidents`: what happened on this machine.

mod list;
pub(super) mod page;
mod report;
mod show;
mod why;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::config::Places;
use crate::report::incident::load::{Archive, LoadError};

/// Options of `hogwatch incidents`.
#[derive(Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  hogwatch incidents                              what happened, the latest first
  hogwatch incidents show latest                  what was killed, why, and what to change
  hogwatch incidents why web.service --since 2h   who ended it, and was memory short?
  hogwatch incidents --json | jq '.incidents[] | select(.cause == \"kernel\")'

An incident is everything from the first warning until memory was well again. Root and members of the group
hogwatch see the system's; a user sees those of their own guard too.

Exit status: 0 done, 1 nothing could be read, 4 no such incident, unit or process."
)]
pub struct IncidentsArgs {
    #[command(subcommand)]
    command: Option<Command>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Read the incident files of this folder (one that was copied from elsewhere, or another state directory)
    #[arg(long, value_name = "DIR", global = true)]
    dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// What happened, the latest first (the default)
    List(list::ListArgs),
    /// One incident: what, who, why, what led up to it, did it help, what to change
    Show(show::ShowArgs),
    /// One incident as a page with charts, to be read in a browser and passed on
    Report(report::ReportArgs),
    /// Who ended a unit or a process, if anybody did
    Why(why::WhyArgs),
}

/// Exit status when there is no such incident, unit or process.
const EXIT_NO_SUCH: u8 = 4;

/// The system guard's state directory, whoever asks.
const SYSTEM_STATE: &str = "/var/lib/hogwatch";

/// Answers, on stdout.
#[must_use]
pub fn run(args: &IncidentsArgs) -> ExitCode {
    let archive = archive(args.dir.as_deref());
    match &args.command {
        None => list::run(&list::ListArgs { json: args.json }, &archive),
        Some(Command::List(list)) => list::run(list, &archive),
        Some(Command::Show(show)) => show::run(show, &archive),
        Some(Command::Report(report)) => report::run(report, &archive),
        Some(Command::Why(why)) => why::run(why, &archive),
    }
}

fn archive(dir: Option<&Path>) -> Archive {
    match dir {
        Some(dir) => Archive::at(dir),
        None => Archive::of(Places::of_this_process().state.as_deref(), Path::new(SYSTEM_STATE)),
    }
}

/// Says on stderr what could not be read; the exit status for it.
fn complain(error: &LoadError) -> ExitCode {
    eprintln!("hogwatch incidents: {error}");
    match error {
        LoadError::NoSuch { .. } | LoadError::Ambiguous { .. } => ExitCode::from(EXIT_NO_SUCH),
        LoadError::Unreadable { .. } | LoadError::Bad { .. } => ExitCode::FAILURE,
    }
}
