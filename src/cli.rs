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
  hogwatch explain                who would be killed now, and why
  hogwatch status                 memory, pressure, limits and the last acts (--watch: live)
  hogwatch incidents              what happened, and what to change
  hogwatch doctor                 what would freeze this machine, and the fix
  hogwatch contain --per-user 8G  a cap for each user: what would be written (--apply: set it)
  hogwatch run --memory 4G make   a command that is killed at 4 GiB instead of swapping
  hogwatch daemon --dry-run       watch, decide and report, but signal nobody
  hogwatch config check           whether /etc/hogwatch/hogwatch.toml is good

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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::commands::doctor::facts::Facts;
    use crate::commands::doctor::findings;

    /// Takes a command line as a shell does: words only, which is all that is ever advised.
    fn parsed(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn what_doctor_says_to_run_is_a_command_line() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/doctor/fixtures");
        let mut commands = 0;
        for case in fixtures.read_dir().unwrap() {
            let tree = case.unwrap().path().join("bad");
            let shown = std::fs::read_to_string(tree.join("systemctl.txt")).map_err(|e| e.to_string());
            for finding in findings(&Facts::read(&tree, shown)) {
                for line in finding.fix.lines().map(str::trim).filter(|line| line.starts_with("hogwatch ")) {
                    parsed(line).unwrap_or_else(|e| panic!("{}: {line}: {e}", finding.id));
                    commands += 1;
                }
            }
        }
        assert!(commands > 2, "{commands}");
    }

    #[test]
    fn the_examples_are_command_lines() {
        const COLUMNS: usize = 34;
        let examples = EXAMPLES.lines().filter(|line| line.starts_with("  hogwatch "));
        for example in examples {
            let (command, what) = example.split_at(COLUMNS);
            assert!(command.ends_with(' ') && !what.starts_with(' '), "{example}");
            parsed(command).unwrap_or_else(|e| panic!("{command}: {e}"));
        }
    }
}
