//! The kernel's log: OOM reports put together from their lines, and hung tasks.
//!
//! A report of the kernel's OOM killer is some sixty lines, written one by one: who asked for memory, where that was, how
//! much the cgroup at its limit holds, every process that could be killed, and who was. Other lines may stand in between.
//! Two reports never do, for the kernel writes them under one lock (`oom_lock`); what is written about a kill later
//! (`oom_reaper: reaped process …`) adds nothing. More than ten reports in five seconds are cut down to the line
//! `Killed process …` (`oom_rs` in `mm/oom_kill.c`).
//!
//! Only what the kernel itself wrote counts ([`Record::facility`] 0). Names of tasks and cgroups are chosen by whoever made
//! them: [`line`] says how they are kept apart from the kernel's words.

mod line;
mod record;

use std::time::Duration;

use super::Comm;

use line::{Columns, Killed, Line, Row, Summary};

pub use record::{Caller, Record};

/// So many of the dumped processes are kept, the largest ones.
pub const LARGEST: usize = 10;

/// A report without a kill is given up when nothing more of it came for so long: the dump of some thousand processes
/// takes a second on a slow console, and its lines come all the time.
const SILENCE: Duration = Duration::from_secs(5);

/// After a kill there are only the other members of its group to come, at once.
const SETTLED: Duration = Duration::from_millis(250);

/// A line is kept until it may be continued, not beyond what the kernel keeps of one (`LOG_LINE_MAX`, 1 KiB).
const LINE_BYTES: usize = 1024;

/// From here on a limit is none: the kernel prints PAGE_COUNTER_MAX pages where cgroup v1 limits memory and swap together.
const UNLIMITED: u64 = 1 << 62;

/// Members of a group whose pids are remembered, so that nobody is counted twice: the first is killed once more with his
/// group.
const MEMBERS: usize = 64;

/// What the log had to tell.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// The kernel's OOM killer killed.
    Oom(Box<OomReport>),
    /// A task hangs: the line.
    HungTask(Vec<u8>),
}

/// A report of the kernel's OOM killer, about a kill. Sizes are bytes, paths raw.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OomReport {
    /// Whose memory was short; `None` when that was lost.
    pub constraint: Option<Constraint>,
    /// Who asked for the memory that was not there.
    pub invoked_by: Option<Comm>,
    /// The cgroup whose limit was hit.
    pub limit_cgroup: Option<Vec<u8>>,
    /// Its limit and what it held, when that limit was `memory.max`.
    pub usage: Option<Usage>,
    /// The victim's cgroup.
    pub task_cgroup: Option<Vec<u8>>,
    /// Who was killed first.
    pub victim: Victim,
    /// The cgroup that was killed as a whole (`memory.oom.group`).
    pub group: Option<Vec<u8>>,
    /// How many processes were killed, and their anonymous memory.
    pub killed: u32,
    /// The anonymous memory of all of them.
    pub killed_bytes: u64,
    /// How often "Killed process" was said: as the kernel counts in `/proc/vmstat`, some twice.
    pub counted: u64,
    /// How many processes the dump listed; `None` without one.
    pub listed: Option<u32>,
    /// The largest of them.
    pub largest: Vec<Process>,
}

/// What kept the kernel from taking memory elsewhere (`enum oom_constraint`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Constraint {
    /// Nothing: the machine has no more.
    Machine,
    /// A cgroup's limit.
    MemoryCgroup,
    /// The memory nodes of a cpuset.
    Cpuset,
    /// Those of a memory policy (set_mempolicy(2)).
    MemoryPolicy,
}

/// Of the cgroup at its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// What it held.
    pub bytes: u64,
    /// Its limit.
    pub limit: u64,
}

/// Who was killed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Victim {
    /// Its pid.
    pub pid: i32,
    /// Its name.
    pub comm: Comm,
    /// Its real user.
    pub uid: Option<u32>,
    /// Its anonymous memory, not counting swap; `None` when that was lost.
    pub anon: Option<u64>,
    /// What it had in swap, if the dump had it among the largest.
    pub swap: Option<u64>,
    /// -1000 to 1000. Linux ≥ 5.4, or with a dump.
    pub oom_score_adj: Option<i32>,
}

/// A row of the dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its pid.
    pub pid: i32,
    /// Its name.
    pub comm: Comm,
    /// Its real user.
    pub uid: u32,
    /// Resident memory.
    pub rss: u64,
    /// In swap.
    pub swap: u64,
    /// -1000 to 1000.
    pub oom_score_adj: i32,
}

/// Puts reports together. Time is handed in, on any clock that only goes forward.
#[derive(Debug)]
pub struct Assembler {
    page_size: u64,
    open: Option<Open>,
    /// The line at hand, unescaped.
    line: Vec<u8>,
}

/// A report that is being read.
#[derive(Debug, Default)]
struct Open {
    report: OomReport,
    caller: Option<Caller>,
    columns: Option<Columns>,
    /// The `oom-kill:` line, which is understood at the end: other lines say what in it is a name.
    summary: Vec<u8>,
    /// That line was the last one of this writer's, so that a fragment continues it.
    summary_open: bool,
    usage: Option<Usage>,
    pids: Vec<i32>,
    heard_at: Duration,
}

impl Assembler {
    /// For a machine with pages of this size.
    #[must_use]
    pub const fn new(page_size: u64) -> Self {
        Self { page_size, open: None, line: Vec::new() }
    }

    /// Hears a record, and tells what that completes.
    pub fn hear(&mut self, record: &Record<'_>, now: Duration, tell: &mut dyn FnMut(Heard)) {
        if record.facility != 0 {
            return;
        }
        let mut line = std::mem::take(&mut self.line);
        line.clear();
        record.unescape(&mut line);
        self.hear_line(&line, record, now, tell);
        self.line = line;
    }

    fn hear_line(&mut self, text: &[u8], record: &Record<'_>, now: Duration, tell: &mut dyn FnMut(Heard)) {
        let Self { page_size, open, .. } = self;
        // Other writers' lines are foreign to a report; before CONFIG_PRINTK_CALLER nobody can tell.
        let own = open.as_mut().filter(|open| open.caller == record.caller);
        if record.continues {
            if let Some(open) = own.filter(|open| open.summary_open) {
                open.summary.extend(text.iter().take(LINE_BYTES.saturating_sub(open.summary.len())));
            }
            return;
        }
        if let Some(open) = own {
            open.summary_open = false;
            if let Some(row) = open.columns.and_then(|columns| columns.row(text)) {
                open.heard_at = now;
                return open.report.add_row(&row, *page_size);
            }
        }
        match Line::parse(text) {
            None => {}
            Some(Line::Hung) => tell(Heard::HungTask(text.to_vec())),
            Some(Line::Invoked(by)) => {
                self.finish(tell);
                let report = OomReport { invoked_by: Some(Comm::new(by)), ..OomReport::default() };
                self.open = Some(Open { report, caller: record.caller, heard_at: now, ..Open::default() });
            }
            Some(Line::Killed(killed)) => {
                // Another one, whose report was left out or lost.
                if self.open.as_ref().is_some_and(|open| open.caller != record.caller || !open.may_kill(killed.pid)) {
                    self.finish(tell);
                }
                let new = || Open { caller: record.caller, ..Open::default() };
                let open = self.open.get_or_insert_with(new);
                open.heard_at = now;
                open.kill(&killed);
            }
            Some(line) => {
                if let Some(open) = self.open.as_mut().filter(|open| open.caller == record.caller) {
                    open.heard_at = now;
                    open.note(&line, text);
                }
            }
        }
    }

    /// Completes the report of which nothing more comes. Call it when [`Assembler::due`] has come.
    pub fn settle(&mut self, now: Duration, tell: &mut dyn FnMut(Heard)) {
        if self.due().is_some_and(|due| due <= now) {
            self.finish(tell);
        }
    }

    /// When the report at hand is complete, if nothing more comes.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        self.open.as_ref().map(|open| open.heard_at + if open.report.counted > 0 { SETTLED } else { SILENCE })
    }

    /// Lines were lost: what comes next belongs to nothing that came before.
    pub fn lost(&mut self, tell: &mut dyn FnMut(Heard)) {
        self.finish(tell);
    }

    /// Tells the report at hand, if it is of a kill.
    fn finish(&mut self, tell: &mut dyn FnMut(Heard)) {
        if let Some(report) = self.open.take().and_then(Open::close) {
            tell(Heard::Oom(Box::new(report)));
        }
    }
}

impl Open {
    /// Whether this kill can be one of this report: the first, or one more of the group.
    fn may_kill(&self, pid: i32) -> bool {
        self.report.counted == 0 || self.report.group.is_some() || self.report.victim.pid == pid
    }

    fn kill(&mut self, killed: &Killed<'_>) {
        let report = &mut self.report;
        report.counted += 1;
        if self.pids.contains(&killed.pid) {
            return;
        }
        if self.pids.is_empty() {
            report.victim = Victim {
                pid: killed.pid,
                comm: Comm::new(killed.name),
                uid: killed.uid,
                anon: Some(killed.anon),
                swap: None,
                oom_score_adj: killed.oom_score_adj,
            };
            // Without a summary this is all that tells.
            report.constraint = killed.of_cgroup.then_some(Constraint::MemoryCgroup);
        }
        if self.pids.len() < MEMBERS {
            self.pids.push(killed.pid);
        }
        report.killed += 1;
        report.killed_bytes = report.killed_bytes.saturating_add(killed.anon);
    }

    fn note(&mut self, line: &Line<'_>, text: &[u8]) {
        match *line {
            Line::Usage { usage, limit } => self.usage = Some(Usage { bytes: usage, limit }),
            // The first: Linux before 5.3 goes on with every cgroup below.
            Line::StatsFor(path) => {
                self.report.limit_cgroup.get_or_insert_with(|| path.to_vec());
            }
            Line::Heading(columns) => {
                self.columns = Some(columns);
                self.report.listed = Some(0);
            }
            Line::Summary => {
                self.columns = None;
                self.summary = text[..text.len().min(LINE_BYTES)].to_vec();
                self.summary_open = true;
            }
            Line::Group(path) => self.report.group = Some(path.to_vec()),
            Line::Invoked(_) | Line::Killed(_) | Line::Hung => {}
        }
    }

    /// The report, if somebody was killed.
    fn close(mut self) -> Option<OomReport> {
        let report = &mut self.report;
        let killed = (report.counted > 0).then_some((report.victim.pid, report.victim.comm));
        let known = killed.as_ref().map(|(pid, comm)| (*pid, comm.as_bytes()));
        if let Some(summary) = Summary::parse(&self.summary, known, report.limit_cgroup.as_deref()) {
            report.constraint = Constraint::named(summary.constraint).or(report.constraint);
            let limit_cgroup = summary.limit_cgroup.map(<[u8]>::to_vec);
            report.task_cgroup = summary.task_cgroup.map(<[u8]>::to_vec);
            // The kill follows at once; when only its own line is lost, it was done all the same.
            if report.counted == 0
                && let Some(pid) = summary.pid
            {
                report.victim = Victim { pid, comm: Comm::new(summary.name), ..Victim::default() };
                (report.killed, report.counted) = (1, 1);
            }
            report.victim.uid = report.victim.uid.or(summary.uid);
            report.limit_cgroup = limit_cgroup;
        }
        if report.counted == 0 {
            return None;
        }
        let victim = &mut report.victim;
        if let Some(row) = report.largest.iter().find(|row| row.pid == victim.pid) {
            victim.swap = Some(row.swap);
            victim.oom_score_adj = victim.oom_score_adj.or(Some(row.oom_score_adj));
        }
        let limited = |usage: &Usage| usage.limit < UNLIMITED && report.constraint == Some(Constraint::MemoryCgroup);
        report.usage = self.usage.filter(limited);
        Some(self.report)
    }
}

impl OomReport {
    fn add_row(&mut self, row: &Row<'_>, page_size: u64) {
        self.listed = self.listed.map(|listed| listed.saturating_add(1));
        let size = |process: &Process| process.rss.saturating_add(process.swap);
        let process = Process {
            pid: row.pid,
            comm: Comm::new(row.name),
            uid: row.uid,
            rss: row.rss.saturating_mul(page_size),
            swap: row.swap.saturating_mul(page_size),
            oom_score_adj: row.oom_score_adj,
        };
        let place = self.largest.partition_point(|other| size(other) >= size(&process));
        if place < LARGEST {
            self.largest.truncate(LARGEST - 1);
            self.largest.insert(place, process);
        }
    }
}

impl Constraint {
    fn named(word: &[u8]) -> Option<Self> {
        Some(match word {
            b"CONSTRAINT_NONE" => Self::Machine,
            b"CONSTRAINT_MEMCG" => Self::MemoryCgroup,
            b"CONSTRAINT_CPUSET" => Self::Cpuset,
            b"CONSTRAINT_MEMORY_POLICY" => Self::MemoryPolicy,
            _ => return None,
        })
    }
}
