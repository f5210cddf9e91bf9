//! Reading and writing exceptions: one `[[livelock.override]]`, one `[[run.override]]`.

use super::format::{DURATION, Format, GLOBS, Reading, Value, list, word};
use super::problem::Bad;
use super::run::{COMMANDS, LOG, MEMORY, RunOverride, SWAP, TASKS, TEMP_ENV, TIMEOUT};
use super::schema::WINDOW;
use super::suggest;
use super::types::{LivelockAction, LivelockOverride};

/// How one kind of exception is written.
struct Kind {
    /// Its header.
    header: &'static str,
    /// The key that says what it holds for, which must be there.
    holds_for: &'static str,
    /// What to write when it is not.
    help: &'static str,
    /// The other keys: what may differ. One of them must be there.
    differs: &'static [&'static str],
}

const OF_LIVELOCK: Kind = Kind {
    header: "[[livelock.override]]",
    holds_for: "cgroups",
    help: "add cgroups = [\"...\"], the globs that it holds for",
    differs: &["action", "after", "thrash_after"],
};

const OF_RUN: Kind = Kind {
    header: "[[run.override]]",
    holds_for: "commands",
    help: "add commands = [\"...\"], the commands that it holds for",
    differs: &["memory", "swap", "timeout", "kill_after", "tasks", "temp_env", "log"],
};

pub(super) const LIVELOCK: Format<LivelockOverride> = Format::new(
    |reading, value| {
        read(reading, value, &OF_LIVELOCK, |over: &mut LivelockOverride, reading, key, field| match key {
            "cgroups" => over.cgroups = SOME_GLOBS.read(reading, field).unwrap_or_default(),
            "action" => over.action = word().read(reading, field),
            "after" => over.after = WINDOW.read(reading, field),
            _ => over.thrash_after = WINDOW.read(reading, field),
        })
    },
    |over| {
        write([
            ("cgroups", Some(list(&over.cgroups))),
            ("action", over.action.as_ref().map(word::<LivelockAction>().write)),
            ("after", over.after.as_ref().map(DURATION.write)),
            ("thrash_after", over.thrash_after.as_ref().map(DURATION.write)),
        ])
    },
);

pub(super) const RUN: Format<RunOverride> = Format::new(
    |reading, value| {
        read(reading, value, &OF_RUN, |over: &mut RunOverride, reading, key, field| match key {
            "commands" => over.commands = COMMANDS.read(reading, field).unwrap_or_default(),
            "memory" => over.memory = MEMORY.read(reading, field),
            "swap" => over.swap = SWAP.read(reading, field),
            "timeout" => over.timeout = TIMEOUT.read(reading, field),
            "kill_after" => over.kill_after = DURATION.read(reading, field),
            "tasks" => over.tasks = TASKS.read(reading, field),
            "temp_env" => over.temp_env = TEMP_ENV.read(reading, field),
            _ => over.log = LOG.read(reading, field),
        })
    },
    |over| {
        write([
            ("commands", Some(list(&over.commands))),
            ("memory", over.memory.as_ref().map(MEMORY.write)),
            ("swap", over.swap.as_ref().map(SWAP.write)),
            ("timeout", over.timeout.as_ref().map(TIMEOUT.write)),
            ("kill_after", over.kill_after.as_ref().map(DURATION.write)),
            ("tasks", over.tasks.as_ref().map(TASKS.write)),
            ("temp_env", over.temp_env.as_ref().map(TEMP_ENV.write)),
            ("log", over.log.as_ref().map(LOG.write)),
        ])
    },
);

/// Reads one exception; `set` reads the value of one of its keys.
fn read<T: Default>(
    reading: &mut Reading,
    value: &Value,
    kind: &Kind,
    set: impl Fn(&mut T, &mut Reading, &str, &Value),
) -> Option<T> {
    let Some(table) = value.get_ref().as_table() else {
        let help = format!("write {} on a line of its own, its keys below", kind.header);
        reading.wrong_type(value, "a table", help);
        return None;
    };
    let mut over = T::default();
    let outer = reading.key.clone();
    let keys: Vec<&str> = [kind.holds_for].iter().chain(kind.differs).copied().collect();
    for (key, field) in table {
        let name: &str = key.get_ref();
        reading.key = format!("{outer}.{name}");
        match keys.contains(&name) {
            true => set(&mut over, reading, name, field),
            false => suggest::unknown_key(reading, key, &format!("in {}", kind.header), &keys, &[]),
        }
    }
    reading.key = outer;
    let lacking = match (table.contains_key(kind.holds_for), table.len()) {
        (false, _) => Bad::new(format!("an exception needs {}", kind.holds_for), kind.help),
        (true, 1) => Bad::new(
            "an exception needs something that differs",
            format!("add one or more of {}", kind.differs.join(", ")),
        ),
        (true, _) => return Some(over),
    };
    reading.wrong(value, lacking);
    None
}

/// An exception as an inline table of the keys that it has.
fn write<const N: usize>(fields: [(&str, Option<String>); N]) -> String {
    let fields = fields.into_iter().filter_map(|(name, value)| Some(format!("{name} = {}", value?)));
    format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
}

/// Globs of which there must be one at least.
const SOME_GLOBS: Format<Vec<String>> = GLOBS.with(|globs| match globs.is_empty() {
    true => Err(Bad::new("an empty list matches no cgroup", "write at least one glob")),
    false => Ok(()),
});
