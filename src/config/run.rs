//! `[run]`: what `hogwatch run` does with a command whose command line does not say it.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use toml::de::DeValue;

use super::format::{DURATION_OR_NONE, Format, SIZE_OR_NONE, list, quote, strings, text};
use super::problem::{Bad, quoted};
use super::schema::{MIN_PERIOD, at_least, possible};
use super::units;

/// The most tasks that can be asked for: PID_MAX_LIMIT of 64-bit kernels (include/linux/threads.h), which no machine has
/// more of.
const MAX_TASKS: u64 = 4 * 1024 * 1024;

/// `[run]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// What holds for every command that is no exception.
    pub defaults: RunDefaults,
    /// Exceptions; the first one that names the command wins.
    pub overrides: Vec<RunOverride>,
}

/// What holds for a command. An option of `hogwatch run` replaces the value of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDefaults {
    /// The cap in bytes, above 0; none means no cap.
    pub memory: Option<u64>,
    /// Bytes of swap beside the cap.
    pub swap: u64,
    /// The longest run, above 0; none means no limit.
    pub timeout: Option<Duration>,
    /// From SIGTERM to SIGKILL when the time is up.
    pub kill_after: Duration,
    /// The most processes and threads, above 0; none means no limit.
    pub tasks: Option<u64>,
    /// Environment variables that are set to a fresh temporary path each.
    pub temp_env: Vec<String>,
    /// A line about the memory in use this often, 1 s at least; none means no such lines.
    pub log: Option<Duration>,
}

impl Default for RunDefaults {
    fn default() -> Self {
        Self {
            memory: None,
            swap: 0,
            timeout: None,
            kill_after: Duration::from_secs(10),
            tasks: None,
            temp_env: Vec::new(),
            log: None,
        }
    }
}

/// One `[[run.override]]`; what is `None` is as `[run]` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunOverride {
    /// The commands it holds for, at least one: a file name, and perhaps the first arguments, each behind one blank. In
    /// each of these words `*` stands for any characters, or none.
    pub commands: Vec<String>,
    /// Replaces [`RunDefaults::memory`]; `Some(None)` takes the cap away.
    pub memory: Option<Option<u64>>,
    /// Replaces [`RunDefaults::swap`].
    pub swap: Option<u64>,
    /// Replaces [`RunDefaults::timeout`].
    pub timeout: Option<Option<Duration>>,
    /// Replaces [`RunDefaults::kill_after`].
    pub kill_after: Option<Duration>,
    /// Replaces [`RunDefaults::tasks`].
    pub tasks: Option<Option<u64>>,
    /// Replaces [`RunDefaults::temp_env`].
    pub temp_env: Option<Vec<String>>,
    /// Replaces [`RunDefaults::log`].
    pub log: Option<Option<Duration>>,
}

impl Run {
    /// What holds for a command, given as the program and its arguments.
    #[must_use]
    pub fn for_command(&self, command: &[impl AsRef<OsStr>]) -> RunDefaults {
        let mut holds = self.defaults.clone();
        if let Some(over) = self.overrides.iter().find(|over| over.commands.iter().any(|name| names(name, command))) {
            let RunOverride { commands: _, memory, swap, timeout, kill_after, tasks, temp_env, log } = over.clone();
            holds = RunDefaults {
                memory: memory.unwrap_or(holds.memory),
                swap: swap.unwrap_or(holds.swap),
                timeout: timeout.unwrap_or(holds.timeout),
                kill_after: kill_after.unwrap_or(holds.kill_after),
                tasks: tasks.unwrap_or(holds.tasks),
                temp_env: temp_env.unwrap_or(holds.temp_env),
                log: log.unwrap_or(holds.log),
            };
        }
        holds
    }
}

/// Whether `name`, as an exception has it, names this command.
fn names(name: &str, command: &[impl AsRef<OsStr>]) -> bool {
    let Some((program, arguments)) = command.split_first() else {
        return false;
    };
    let program = Path::new(program).file_name().unwrap_or_default();
    let words = [program].into_iter().chain(arguments.iter().map(AsRef::as_ref));
    let mut words = words.map(OsStr::as_encoded_bytes);
    name.split(' ').all(|wanted| words.next().is_some_and(|word| fits(wanted, word)))
}

/// Whether `word` is as `pattern` says, in which `*` stands for any characters, or none.
fn fits(pattern: &str, word: &[u8]) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern.as_bytes() == word;
    };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(mut left) = word.strip_prefix(first.as_bytes()) else {
        return false;
    };
    // Each part at the first place it is found at: what is left for the next ones is the most then.
    for part in middle.split('*').filter(|part| !part.is_empty()).map(str::as_bytes) {
        let Some(at) = left.windows(part.len()).position(|found| found == part) else {
            return false;
        };
        left = &left[at + part.len()..];
    }
    left.ends_with(last.as_bytes())
}

/// Checks the name of an environment variable: letters, digits and `_`, no digit first, which is what every shell takes.
///
/// # Errors
/// Any other name.
pub fn variable(name: &str) -> Result<String, Bad> {
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    match begins && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        true => Ok(name.to_owned()),
        false => Err(Bad::new(
            format!("{} is not the name of an environment variable", quoted(name)),
            "write letters, digits and _, no digit first, such as COVERAGE_FILE",
        )),
    }
}

/// The least cap, in bytes: below it not even an exec gets the pages it needs.
pub const LEAST_MEMORY: u64 = 1 << 20;

pub(super) const MEMORY: Format<Option<u64>> = SIZE_OR_NONE.with(|cap| {
    let help = "write a size of 1 MiB at least, or \"\" for no cap";
    possible(cap.is_none_or(|cap| cap >= LEAST_MEMORY), "nothing runs in so little memory", help)
});

/// A size; `"0"` needs no unit.
pub(super) const SWAP: Format<u64> = Format::new(
    |reading, value| match text(reading, value, "a size such as \"512 MiB\", or \"0\" for none")? {
        "0" => Some(0),
        size => reading.keep(value, units::size(size)),
    },
    |size| quote(&if *size == 0 { "0".to_owned() } else { units::write_size(*size) }),
);

pub(super) const TIMEOUT: Format<Option<Duration>> = DURATION_OR_NONE.with(|limit| {
    let help = "write a duration above 0s, or \"\" for no limit";
    possible(*limit != Some(Duration::ZERO), "nothing runs in no time", help)
});

/// A number of tasks; the empty string means none.
pub(super) const TASKS: Format<Option<u64>> = Format::new(
    |reading, value| {
        let expected = format!("a whole number from 1 to {MAX_TASKS}, or \"\" for none");
        let found = match value.get_ref() {
            DeValue::String(text) if text.is_empty() => return Some(None),
            DeValue::Integer(integer) => integer,
            _ => {
                reading.wrong_type(value, &expected, "write it without quotes, such as 512");
                return None;
            }
        };
        match u64::from_str_radix(found.as_str(), found.radix()) {
            Ok(tasks) if (1..=MAX_TASKS).contains(&tasks) => Some(Some(tasks)),
            _ => {
                let message = format!("expected {expected}, found {}", quoted(found.as_str()));
                reading.wrong(value, Bad::new(message, "write a number in that range"));
                None
            }
        }
    },
    |tasks| tasks.map_or(quote(""), |tasks| tasks.to_string()),
);

pub(super) const TEMP_ENV: Format<Vec<String>> = Format::new(
    |reading, value| strings(reading, value, "a list of names, such as [\"COVERAGE_FILE\"]", variable),
    |names| list(names),
);

pub(super) const LOG: Format<Option<Duration>> =
    DURATION_OR_NONE.with(|every| at_least(every.unwrap_or(MIN_PERIOD), MIN_PERIOD));

/// The commands that an exception holds for: one at least.
pub(super) const COMMANDS: Format<Vec<String>> = Format::new(
    |reading, value| strings(reading, value, "a list of commands, such as [\"pytest\"]", command),
    |commands| list(commands),
)
.with(|commands| possible(!commands.is_empty(), "an empty list names no command", "write at least one command"));

/// Checks what stands in `commands`, and puts one blank between its words.
fn command(text: &str) -> Result<String, Bad> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let Some(program) = words.first() else {
        return Err(Bad::new("an empty name names no command", "write its file name, such as \"pytest\""));
    };
    match program.rsplit_once('/') {
        None => Ok(words.join(" ")),
        Some((_, file)) => {
            let message = format!("{} is a path, and commands are told by their file name", quoted(program));
            let help = if file.is_empty() { "write a file name".to_owned() } else { format!("write {}", quoted(file)) };
            Err(Bad::new(message, help))
        }
    }
}
