//! What is asked for: the command line over the configuration's `[run]`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use crate::config::run::{LEAST_MEMORY, variable};
use crate::config::{self, Error, Loaded, Places, RunDefaults, units};

use super::cap::Limits;

/// Options of `hogwatch run`.
#[derive(Args, Debug)]
#[command(
    args_override_self = true,
    after_help = "Examples:
  hogwatch run --memory 4G -- make -j8 test        at 4 GiB all of it is killed, and nothing is swapped out
  hogwatch run --memory 2G --timeout 10m pytest    ten minutes later all of it is ended, whatever it has started
  hogwatch run --temp-env COVERAGE_FILE pytest     with a database of its own, removed afterwards
  hogwatch run --memory 4G --report run.json make  what it used, as JSON

What is not given here is taken from [run] of ~/.config/hogwatch/hogwatch.toml and of /etc/hogwatch/hogwatch.toml:
`hogwatch config show` prints what holds.

Exit status: the command's own; 128+n when signal n ended it; 137 killed at the cap; 124 out of time; 125 hogwatch
itself failed; 126 the command can't be run; 127 there is no such command."
)]
pub struct RunArgs {
    /// The cap: at so much memory all of it is killed (\"\": no cap)
    #[arg(long, value_name = "SIZE", value_parser = memory, allow_hyphen_values = true)]
    memory: Option<Perhaps<u64>>,
    /// Swap that it may use on top; 0 unless configured otherwise
    #[arg(long, value_name = "SIZE", value_parser = swap, allow_hyphen_values = true)]
    swap: Option<u64>,
    /// The longest run: then SIGTERM to all of it (\"\": no limit)
    #[arg(long, value_name = "DURATION", value_parser = timeout, allow_hyphen_values = true)]
    timeout: Option<Perhaps<Duration>>,
    /// From that SIGTERM to SIGKILL; 10s unless configured otherwise
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    kill_after: Option<Duration>,
    /// The most processes and threads
    #[arg(long, value_name = "N", value_parser = tasks, allow_hyphen_values = true)]
    tasks: Option<u64>,
    /// Set this environment variable to a fresh temporary path, removed afterwards (may be given again)
    #[arg(long, value_name = "NAME", value_parser = environment)]
    temp_env: Vec<String>,
    /// Say on stderr what it uses, this often, and at the end
    #[arg(long, value_name = "DURATION", value_parser = period, allow_hyphen_values = true)]
    log: Option<Duration>,
    /// Write to this file, as JSON, what came of it
    #[arg(long, value_name = "FILE")]
    pub(super) report: Option<PathBuf>,
    /// Fail with 125 where the kernel can't be had to enforce the cap, instead of watching over it from outside
    #[arg(long)]
    pub(super) require_cap: bool,
    /// What the cgroup is called, and each line that is said begins with; else the cgroup has the command's name
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub(super) name: Option<String>,
    /// The command and its arguments
    #[arg(trailing_var_arg = true, required = true, num_args = 1.., value_name = "COMMAND")]
    pub(super) command: Vec<OsString>,
}

/// An option that can also take away what the configuration says.
#[derive(Clone, Copy, Debug)]
struct Perhaps<T>(Option<T>);

/// All that is asked for.
#[derive(Debug)]
pub struct Wanted {
    /// What the command may use.
    pub limits: Limits,
    /// The longest run.
    pub timeout: Option<Duration>,
    /// From SIGTERM to SIGKILL when the time is up.
    pub kill_after: Duration,
    /// Environment variables that get a temporary path.
    pub temp_env: Vec<String>,
    /// How often to say what is used.
    pub log: Option<Duration>,
    /// What the cgroup is called.
    pub name: String,
    /// Without a cap: whether somebody wants it so, and did not just forget.
    pub uncapped_on_purpose: bool,
    /// The file to set a cap in, for the next time.
    pub file: PathBuf,
    /// The user's own configuration was left out because of this folder: see [`config::load_run`].
    pub kept_out_by: Option<PathBuf>,
}

/// Merges the command line with the configuration.
///
/// # Errors
/// When the configuration is bad.
pub fn wanted(args: &RunArgs) -> Result<Wanted, Error> {
    let places = Places::of_this_process();
    let Loaded { config, kept_out_by, .. } = config::load_run(&places)?;
    let RunDefaults { memory, swap, timeout, kill_after, tasks, temp_env, log } = config.run.for_command(&args.command);
    let taken_away = config.run.defaults.memory.is_some() && memory.is_none();
    let memory = args.memory.map_or(memory, |given| given.0);
    let mut variables = temp_env;
    variables.extend(args.temp_env.iter().cloned());
    variables.sort_unstable();
    variables.dedup();
    Ok(Wanted {
        limits: Limits {
            memory,
            // A limit of swap alone would bound nothing.
            swap: memory.map(|_| args.swap.unwrap_or(swap)),
            tasks: args.tasks.or(tasks),
        },
        timeout: args.timeout.map_or(timeout, |given| given.0),
        kill_after: args.kill_after.unwrap_or(kill_after),
        temp_env: variables,
        log: args.log.or(log),
        name: args.name.clone().unwrap_or_else(|| name_of(&args.command)),
        uncapped_on_purpose: args.memory.is_some() || taken_away,
        file: places.file.filter(|_| kept_out_by.is_none()).or(places.machine).unwrap_or_default(),
        kept_out_by,
    })
}

/// Longest name of a cgroup that is taken: with what is put around it, it stays well below the 255 bytes of a file name.
const NAME_BYTES: usize = 64;

fn fits_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

/// The command's file name, with what a unit's name can't have left out.
fn name_of(command: &[OsString]) -> String {
    let file = command.first().and_then(|program| Path::new(program).file_name()).unwrap_or_default();
    let kept = file.as_bytes().iter().filter(|byte| fits_a_name(**byte)).take(NAME_BYTES);
    let name: String = kept.map(|byte| char::from(*byte)).collect();
    if name.is_empty() { "command".to_owned() } else { name }
}

fn name(text: &str) -> Result<String, String> {
    match (1..=NAME_BYTES).contains(&text.len()) && text.bytes().all(fits_a_name) {
        true => Ok(text.to_owned()),
        false => Err(format!("a name has 1 to {NAME_BYTES} of the characters A-Z a-z 0-9 . _ -")),
    }
}

/// A size in bytes; 0 needs no unit.
fn swap(text: &str) -> Result<u64, String> {
    if text == "0" { Ok(0) } else { units::size(text).map_err(|bad| bad.to_string()) }
}

fn memory(text: &str) -> Result<Perhaps<u64>, String> {
    match text {
        "" => Ok(Perhaps(None)),
        _ => match swap(text)? {
            bytes if bytes < LEAST_MEMORY => {
                Err("nothing runs in so little memory (write 1 MiB at least, such as 4G, or \"\" for no cap)"
                    .to_owned())
            }
            bytes => Ok(Perhaps(Some(bytes))),
        },
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    if text == "0" { Ok(Duration::ZERO) } else { units::duration(text).map_err(|bad| bad.to_string()) }
}

fn timeout(text: &str) -> Result<Perhaps<Duration>, String> {
    match text {
        "" => Ok(Perhaps(None)),
        _ => match duration(text)? {
            Duration::ZERO => {
                Err("nothing runs in no time (write a duration above 0s, or \"\" for no limit)".to_owned())
            }
            span => Ok(Perhaps(Some(span))),
        },
    }
}

fn period(text: &str) -> Result<Duration, String> {
    /// More often it would tell of little but itself.
    const SHORTEST: Duration = Duration::from_secs(1);
    match duration(text)? {
        span if span < SHORTEST => Err("shorter than 1s (write a duration of 1s at least)".to_owned()),
        span => Ok(span),
    }
}

fn tasks(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(tasks) if tasks > 0 => Ok(tasks),
        _ => Err("write a whole number above 0, such as 512".to_owned()),
    }
}

fn environment(text: &str) -> Result<String, String> {
    variable(text).map_err(|bad| bad.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_of_what_a_unit_can_be_called() {
        let of = |program: &str| name_of(&[program.into(), "--flag".into()]);
        assert_eq!(of("/usr/bin/python3.13"), "python3.13");
        assert_eq!(of("./a b$c/d e"), "de");
        assert_eq!(of("ä"), "command");
        assert_eq!(of("/"), "command");
        assert_eq!(of(&"x".repeat(300)).len(), 64);
    }

    #[test]
    fn sizes_and_times_that_make_no_sense_are_refused() {
        for bad in ["0", "0 GiB", "1K", "1023K", "4GG", "-1G", "4", "many"] {
            assert!(memory(bad).is_err(), "{bad}");
        }
        for bad in ["0", "0s", "-5s", "5", "5 s"] {
            assert!(timeout(bad).is_err(), "{bad}");
        }
        assert_eq!(memory("4G").unwrap().0, Some(4 << 30));
        assert_eq!(memory("64m").unwrap().0, Some(64 << 20));
        assert_eq!(memory("").unwrap().0, None);
        assert_eq!((swap("0"), swap("512M")), (Ok(0), Ok(512 << 20)));
        assert!(period("999ms").is_err() && tasks("0").is_err() && tasks("-3").is_err());
    }
}
