//! `--log`: what the command uses, said at intervals. Of its own cgroup throughout: what the machine has available is no
//! measure of it.

use std::time::Duration;

use crate::config::units::write_size;
use crate::report::Size;

use super::cap::Cap;
use super::say_within;
use super::supervise::Run;
use super::watched::Watch;

/// The lines of a run.
#[derive(Debug)]
pub struct Log {
    every: Duration,
    due: Duration,
    /// When the last line was said, and the stall by then.
    last: (Duration, u64),
}

impl Log {
    /// The first line is due `every` after `began`.
    pub fn new(every: Duration, began: Duration) -> Self {
        Self { every, due: began + every, last: (began, 0) }
    }

    /// When the next line is due.
    pub fn due(&self) -> Duration {
        self.due
    }

    /// Says a line.
    pub fn say(&mut self, run: &mut Run, now: Duration) {
        let usage = run.usage();
        let limit = run.limit.map_or(", no cap".to_owned(), |limit| format!(" of {}", write_size(limit)));
        let usage = usage.map_or("memory unknown".to_owned(), |usage| format!("{}{limit}", Size(usage)));
        let peak = run.peak().map_or(String::new(), |peak| format!(", peak {}", Size(peak)));
        let stall = run.cap.as_ref().and_then(Cap::stall_usec);
        let stalled = stall.map_or(String::new(), |stall| {
            let since = now.saturating_sub(self.last.0).as_micros().max(1);
            let tenths = u128::from(stall.saturating_sub(self.last.1)) * 1000 / since;
            self.last = (now, stall);
            format!(", {}.{} % of the time stalled on memory", tenths / 10, tenths % 10)
        });
        let (processes, zombies) = (run.everybody().len(), run.tree.zombies());
        let after = now.saturating_sub(run.began).as_secs();
        let count = |number: usize, one: &str, more: &str| format!("{number} {}", if number == 1 { one } else { more });
        let (processes, zombies) = (count(processes, "process", "processes"), count(zombies, "zombie", "zombies"));
        // The time and the cap don't wait for a reader.
        say_within(Duration::ZERO, format_args!("{after} s: {usage}{peak}{stalled}; {processes}, {zombies}"));
        // Lines that could not be said in time (the command was stopped) are not made up for.
        self.due = now + self.every;
    }
}

impl Run {
    /// Bytes in use, as they are compared with the cap.
    pub fn usage(&mut self) -> Option<u64> {
        match (&mut self.cap, &self.watch) {
            (Some(cap), _) => cap.usage(),
            (None, watch) => watch.as_ref().map(Watch::usage),
        }
    }

    /// The most bytes that were in use at once.
    pub fn peak(&self) -> Option<u64> {
        match (&self.cap, &self.watch) {
            (Some(cap), _) => cap.peak(),
            (None, watch) => watch.as_ref().map(Watch::peak),
        }
    }
}
