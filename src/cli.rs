//! The command line, and which command answers it.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::commands::{config, contain, daemon, doctor, explain, hook_exec, incidents, replay, run, status};
use crate::config::BuiltIns;
use crate::decide::builtin::{self, Name};

/// A memory guard for Linux: acts before the machine freezes, and says what it did.
#[derive(Debug, Parser)]
#[command(name = "hogwatch", version, arg_required_else_help = true, max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  hogwatch explain               who would be killed now, and why
  hogwatch status                memory, pressure, limits and the last acts (--watch: live)
  hogwatch incidents             what happened, and what to change
  hogwatch run --memory 4G make  a command that is killed at 4 GiB instead of swapping
  hogwatch daemon --dry-run      watch, decide and report, but signal nobody
  hogwatch config check          whether /etc/hogwatch/hogwatch.toml is good

Exit status: 0 done, 1 failed, 2 usage, 78 bad configuration; more under `hogwatch COMMAND --help`.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the guard in the foreground (a service manager starts it so)
    Daemon(daemon::DaemonArgs),
    /// Check the configuration, show where each value comes from, or import earlyoom's
    Config(config::ConfigArgs),
    /// What on this machine would freeze it, and the fix
    Doctor(doctor::DoctorArgs),
    /// Caps for every user and for containers: printed, applied, or taken back
    Contain(contain::ContainArgs),
    /// Who would be killed now, and why
    Explain(explain::ExplainArgs),
    /// What happened: lists incidents, shows one, says who ended a unit or process
    Incidents(incidents::IncidentsArgs),
    /// What hogwatch would have done, on a recorded trace or incident
    Replay(replay::ReplayArgs),
    /// Run a command under a hard memory cap
    Run(run::RunArgs),
    /// Memory, pressure, limits and the last acts
    Status(status::StatusArgs),
    /// What a hook's process is first; for the daemon
    #[command(hide = true)]
    HookExec(hook_exec::HookExecArgs),
}

/// Parses the command line and runs the command.
#[must_use]
pub fn main() -> ExitCode {
    match Cli::try_parse().unwrap_or_else(|error| end_with(&error)).command {
        Command::Daemon(args) => daemon::run(&args),
        Command::Config(args) => {
            let regexes = |list: &[Name]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
            let (protect, avoid) = (regexes(builtin::PROTECT), regexes(builtin::AVOID));
            config::run(&args, &BuiltIns { protect: &borrowed(&protect), avoid: &borrowed(&avoid) })
        }
        Command::Doctor(args) => doctor::run(&args),
        Command::Contain(args) => contain::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Incidents(args) => incidents::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Status(args) => status::run(&args),
        Command::HookExec(args) => hook_exec::run(&args),
    }
}

/// Ends the program: with what was asked for (`--help`), or with what is wrong with the command line. Of `hogwatch run` every
/// other status may be the command's own.
fn end_with(error: &clap::Error) -> ! {
    let is_run = std::env::args_os().nth(1).is_some_and(|command| command == "run");
    if is_run && error.use_stderr() {
        // Closed: nobody to tell.
        let _ = error.print();
        std::process::exit(i32::from(run::EXIT_FAILED));
    }
    error.exit()
}

fn borrowed(list: &[String]) -> Vec<&str> {
    list.iter().map(String::as_str).collect()
}
