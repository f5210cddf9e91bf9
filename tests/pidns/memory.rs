//! The machine's memory as it is now, and limits set relative to it.

use std::fmt;
use std::fs;

/// How far below the present MemAvailable a scenario puts its SIGTERM limit. Several times what a compiler beside the
/// tests takes and gives back within the seconds of a scenario.
pub const ROOM: u64 = 1024;

/// How far below the present MemAvailable the SIGKILL limit lies, where a scenario does not want to reach it.
pub const FAR: u64 = 3 * 1024;

/// No hog ever holds more (MiB). Hogs stop at a level of MemAvailable; what others free meanwhile they take as well, so
/// this is far beyond [`FAR`].
pub const CAP: u64 = 8 * 1024;

/// What has to be available before a scenario starts, beside what its bystanders hold: the deepest level a hog goes to,
/// and room for everybody else.
const NEEDED: u64 = FAR + 2 * 1024;

/// A memory guard's two limits, in MiB of MemAvailable.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub term: u64,
    pub kill: u64,
}

impl Limits {
    /// Limits `term` and `kill` MiB below what is available now.
    pub fn below_now(term: u64, kill: u64) -> Self {
        let now = available();
        assert!(now >= NEEDED, "these tests need {NEEDED} MiB of available memory, this machine has {now} MiB");
        Limits { term: now - term, kill: now - kill }
    }

    /// The usual limits: a hog that grows by [`ROOM`] is at the first, and never gets to the second.
    pub fn usual() -> Self {
        Limits::below_now(ROOM, FAR)
    }

    /// Where SIGTERM is due, and SIGKILL is far: a hog that stops there is asked to end, however late the guard looks.
    pub fn between(self) -> u64 {
        self.term - ROOM / 4
    }

    /// The `term` limit in bytes, as the journal would say it.
    pub fn term_bytes(self) -> u64 {
        self.term << 20
    }

    /// The `kill` limit in bytes.
    pub fn kill_bytes(self) -> u64 {
        self.kill << 20
    }
}

/// The `[memory]` section; `scope = "host"`, since the limits are the machine's. May be followed by more of its keys.
impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        writeln!(f, "[memory]")?;
        writeln!(f, "warn = \"{} MiB\"", self.term + ROOM / 4)?;
        writeln!(f, "term = \"{} MiB\"", self.term)?;
        writeln!(f, "kill = \"{} MiB\"", self.kill)?;
        writeln!(f, "scope = \"host\"")
    }
}

/// MemAvailable in MiB.
pub fn available() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").expect("/proc/meminfo");
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:")).expect("MemAvailable");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number of kB");
    kib / 1024
}
