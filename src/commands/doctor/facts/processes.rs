//! The processes, as far as it matters who they are and whether the kernel may take or push out their memory.

use super::reader::Reader;

/// So many are looked at, two small reads each.
const MOST: usize = 20_000;

/// All that can be seen, by pid.
#[derive(Clone, Debug, Default)]
pub struct Processes(Vec<Process>);

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: u64,
    /// `Name` of `/proc/PID/status`: 15 bytes at most, and the process's own choice.
    pub name: String,
    /// Real user id.
    pub uid: Option<u32>,
    /// `VmLck`, in bytes; kernel threads have none.
    pub locked: Option<u64>,
    /// `oom_score_adj`, from -1000 (never taken) to 1000.
    pub oom_score_adj: Option<i32>,
}

impl Processes {
    /// Reads them; says so when those of others are hidden.
    pub fn read(reader: &mut Reader) -> Self {
        let mut pids: Vec<u64> = reader.names("/proc").iter().filter_map(|name| name.parse().ok()).collect();
        pids.sort_unstable();
        if pids.len() > MOST {
            reader.unseen("processes", &format!("there are more than the {MOST} that were looked at"));
        }
        let found: Self = pids.into_iter().take(MOST).filter_map(|pid| Process::read(reader, pid)).collect();
        if !found.0.is_empty() && found.iter().all(|process| process.pid != 1) {
            reader.unseen("other users' processes", "/proc is mounted with hidepid=: run it as root");
        }
        found
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Process> {
        self.0.iter()
    }

    /// The one with this id.
    #[must_use]
    pub fn get(&self, pid: u64) -> Option<&Process> {
        self.iter().find(|process| process.pid == pid)
    }
}

impl FromIterator<Process> for Processes {
    fn from_iter<I: IntoIterator<Item = Process>>(processes: I) -> Self {
        Self(processes.into_iter().collect())
    }
}

impl Process {
    /// `None` when it is gone, or another's that may not be looked at.
    fn read(reader: &Reader, pid: u64) -> Option<Self> {
        let status = reader.quiet(&format!("/proc/{pid}/status"))?;
        let value =
            |key: &str| status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim);
        let kib = |text: &str| text.strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024);
        Some(Self {
            pid,
            name: value("Name")?.to_owned(),
            uid: value("Uid").and_then(|uids| uids.split_ascii_whitespace().next()?.parse().ok()),
            locked: value("VmLck").and_then(kib),
            oom_score_adj: reader
                .quiet(&format!("/proc/{pid}/oom_score_adj"))
                .and_then(|text| text.trim().parse().ok()),
        })
    }
}
