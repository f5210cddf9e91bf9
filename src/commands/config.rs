//! `hogwatch config`: check the configuration, show where it comes from, import earlyoom's.

use std::fmt::Display;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::config::{self, BuiltIns, Loaded, Places, earlyoom};
use crate::observe::parse::parse_meminfo;
use crate::report::hooks::look_up;

/// EX_CONFIG of sysexits.h.
const BAD_CONFIGURATION: u8 = 78;

/// Wrong usage, as clap exits.
const BAD_USAGE: u8 = 2;

/// Part of earlyoom's options could not be translated.
const NOT_TRANSLATED: u8 = 1;

/// The file that Debian and its kin set earlyoom's options in.
const EARLYOOM_DEFAULTS: &str = "/etc/default/earlyoom";

const EXAMPLES: &str = "\
Examples:
  hogwatch config check                            the file of this machine (or, as a user, your own)
  hogwatch config check new.toml                   another file, with its drop-ins new.toml.d/*.toml
  hogwatch config show                             every value, and the file and line it comes from
  hogwatch config import-earlyoom > new.toml       translate /etc/default/earlyoom
  hogwatch config import-earlyoom -m 5 --avoid sshd

Exit status: 0 good, 78 bad configuration, 2 wrong usage, 1 a regex of earlyoom's was not translated.";

/// Check the configuration, show where each value comes from, or import earlyoom's
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Subcommand, Debug)]
enum ConfigCommand {
    /// Check the configuration and list everything wrong in it
    #[command(after_help = EXAMPLES)]
    Check {
        /// The file to check [default: the file that the daemon reads]
        file: Option<PathBuf>,
    },
    /// Print the merged configuration with the source of each value
    #[command(after_help = EXAMPLES)]
    Show {
        /// The file to show instead of the one that the daemon reads
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Translate earlyoom's options to TOML
    #[command(after_help = EXAMPLES)]
    ImportEarlyoom {
        /// A file that sets EARLYOOM_ARGS [default: /etc/default/earlyoom], or earlyoom's options
        #[arg(value_name = "FILE or ARGS", trailing_var_arg = true, allow_hyphen_values = true)]
        input: Vec<String>,
    },
}

/// How much memory this machine has; thresholds must fit it.
#[derive(Clone, Copy, Debug)]
pub struct Totals {
    /// MemTotal, in bytes.
    pub memory: u64,
    /// SwapTotal, in bytes.
    pub swap: u64,
}

impl Totals {
    /// Those of this machine, from /proc/meminfo; none when it can't be read.
    fn of_this_machine() -> Option<Self> {
        let seen = parse_meminfo(&fs::read("/proc/meminfo").ok()?).ok()?;
        Some(Self { memory: seen.mem_total, swap: seen.swap_total.unwrap_or(0) })
    }

    /// What a daemon on such a machine changes in the configuration, as it does itself.
    fn adjustments(self, loaded: &Loaded) -> Vec<String> {
        loaded.config.clone().fit(self.memory, self.swap)
    }
}

/// What a run of the command comes to; nothing has been printed yet.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The exit status.
    pub status: u8,
    /// Data, for stdout.
    pub stdout: String,
    /// Everything else, for stderr.
    pub stderr: String,
}

/// Runs `hogwatch config`. `built_ins` are the lists of regexes that the program brings along, for `show`.
pub fn run(args: &ConfigArgs, built_ins: &BuiltIns<'_>) -> ExitCode {
    let outcome = outcome(args, built_ins, &Places::of_this_process(), Totals::of_this_machine());
    // When stderr is closed nobody can be told.
    _ = io::stderr().lock().write_all(outcome.stderr.as_bytes());
    match io::stdout().lock().write_all(outcome.stdout.as_bytes()) {
        // A reader that went away (`| head`) is no failure.
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            _ = writeln!(io::stderr().lock(), "can't write to stdout: {e}");
            ExitCode::FAILURE
        }
        _ => ExitCode::from(outcome.status),
    }
}

/// What `hogwatch config` answers, with the default files at `places`, on a machine with `totals`.
pub fn outcome(args: &ConfigArgs, built_ins: &BuiltIns<'_>, places: &Places, totals: Option<Totals>) -> Outcome {
    match &args.command {
        ConfigCommand::Check { file } => check(file.as_deref(), places, totals),
        ConfigCommand::Show { config } => show(config.as_deref(), built_ins, places, totals),
        ConfigCommand::ImportEarlyoom { input } => import(input),
    }
}

fn check(file: Option<&Path>, places: &Places, totals: Option<Totals>) -> Outcome {
    let loaded = match config::load(file, places) {
        Ok(loaded) => loaded,
        Err(error) => return failed(BAD_CONFIGURATION, error),
    };
    let files: Vec<String> = loaded.files().map(|f| f.display().to_string()).collect();
    let stdout = match (files.is_empty(), &places.file) {
        (false, _) => format!("ok: {}\n", files.join(", ")),
        (true, Some(place)) => format!("ok: no file at {}, the built-in defaults apply\n", place.display()),
        (true, None) => "ok: no home directory to look in, the built-in defaults apply\n".to_owned(),
    };
    // Settings that are right, but do nothing or something else: better said now than found out when they were needed.
    let adjusted = totals.map_or(Vec::new(), |totals| totals.adjustments(&loaded));
    let notes = adjusted.into_iter().chain(loaded.doubts()).chain(broken_hooks(&loaded));
    Outcome { status: 0, stdout, stderr: notes.map(|note| format!("note: {note}\n")).collect() }
}

/// Hooks that can't be started.
fn broken_hooks(loaded: &Loaded) -> Vec<String> {
    let hooks = [("before", &loaded.config.hooks.before), ("after", &loaded.config.hooks.after)];
    let broken = hooks.into_iter().filter_map(|(key, argv)| {
        let why = look_up(argv.first()?).err()?;
        Some(format!("{}: hooks.{key} can't be started: {why}", loaded.place_of("hooks", key)?))
    });
    broken.collect()
}

fn show(file: Option<&Path>, built_ins: &BuiltIns<'_>, places: &Places, totals: Option<Totals>) -> Outcome {
    // Of the default file with what the machine's says for this user's commands: all that holds for this user.
    let loaded = match file.map_or_else(|| config::load_run(places), |file| config::load(Some(file), places)) {
        Ok(loaded) => loaded,
        Err(error) => return failed(BAD_CONFIGURATION, error),
    };
    let mut text = config::show(&loaded, built_ins);
    if let Some(folder) = &loaded.kept_out_by {
        let folder = folder.to_string_lossy();
        text.push_str(&format!(
            "\n# the user's own file is left out: {} is another user's and closed\n",
            folder.escape_debug()
        ));
    }
    let adjusted = totals.map_or(Vec::new(), |totals| totals.adjustments(&loaded));
    if !adjusted.is_empty() {
        text.push_str("\n# adjusted by the daemon on this machine:\n");
        text.extend(adjusted.iter().map(|change| format!("#   {change}\n")));
    }
    good(text)
}

fn import(input: &[String]) -> Outcome {
    let translated = match input {
        [] => earlyoom::import_file(Path::new(EARLYOOM_DEFAULTS)),
        [one] if !one.starts_with('-') && !one.starts_with("EARLYOOM_ARGS=") => earlyoom::import_file(Path::new(one)),
        args => match earlyoom::import_args(args) {
            Ok(import) => Ok(import),
            Err(bad) => return failed(BAD_USAGE, bad),
        },
    };
    match translated {
        Ok(import) => {
            let lines = import.not_translated.iter().map(|what| format!("not translated: {what}\n"));
            let status = if import.not_translated.is_empty() { 0 } else { NOT_TRANSLATED };
            Outcome { status, stdout: import.toml, stderr: lines.collect() }
        }
        Err(error) => failed(BAD_CONFIGURATION, error),
    }
}

fn good(stdout: String) -> Outcome {
    Outcome { status: 0, stdout, stderr: String::new() }
}

fn failed(status: u8, why: impl Display) -> Outcome {
    Outcome { status, stdout: String::new(), stderr: format!("{why}\n") }
}
