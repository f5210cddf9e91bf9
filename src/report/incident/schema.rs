//! The form of an incident file, version 1. `docs/incidents.md` explains it.
//!
//! Sizes are bytes, times milliseconds since 1970 (UTC), percents 0 to 100 with two decimals. What is not known is `null` or
//! left out when reading; lists may be empty. Unknown keys are ignored, so that a later version of the same schema can be
//! read; another `schema` number can't.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// The version that is written, and the latest that can be read.
pub const SCHEMA: u32 = 1;

/// One incident.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Incident {
    /// [`SCHEMA`].
    pub schema: u32,
    /// As in `HOGWATCH_INCIDENT`; the file is `ID.json`.
    pub id: String,
    /// Which rule, or how a cgroup was stuck, as in `HOGWATCH_KIND` (`memory`, `swap`, `cgroup_limit`, `throttled`,
    /// `squeezed`, `thrash`, `swap_thrash`, `oom_stuck`, `pressure`), or `kernel_oom`, `oomd_kill`, `unclean_end`.
    pub kind: String,
    /// Who ended the victim, or asked it to end. A dry run has ended nobody.
    pub cause: Cause,
    /// Whether what followed is in it already.
    pub state: State,
    /// Nothing was done, only said.
    #[serde(default)]
    pub dry_run: bool,
    /// When it began.
    pub begin_ms: u64,
    /// When it ended; `None` while it lasts, or if nobody saw the end.
    pub end_ms: Option<u64>,
    /// Where.
    pub host: Host,
    /// The thresholds in force.
    pub thresholds: Option<Thresholds>,
    /// The cgroup in trouble; `None` is the machine.
    pub cgroup: Option<String>,
    /// The limit that counted: the threshold, `memory.high`, `memory.max`.
    pub limit_bytes: Option<u64>,
    /// The evidence, as a part of a sentence.
    #[serde(default)]
    pub reason: String,
    /// Who was hit first.
    pub victim: Option<Victim>,
    /// The machine's memory before and during it, oldest first.
    #[serde(default)]
    pub before: Vec<Sample>,
    /// The cgroup in trouble while it stalled, oldest first.
    #[serde(default)]
    pub cgroup_samples: Vec<CgroupSample>,
    /// The largest tasks and cgroups, now and then, oldest first.
    #[serde(default)]
    pub tops: Vec<Tops>,
    /// Who could have been chosen, as ranked at the first act.
    #[serde(default)]
    pub candidates: Vec<Candidate>,
    /// What was done to somebody or something: the entries of `events` that are acts.
    #[serde(default)]
    pub acts: Vec<Entry>,
    /// Every journal entry of the incident, oldest first.
    #[serde(default)]
    pub events: Vec<Entry>,
    /// What the kernel's OOM killer said.
    pub kernel: Option<KernelReport>,
    /// Lines of the kernel's log that belong to it (hung tasks).
    #[serde(default)]
    pub kernel_lines: Vec<KernelLine>,
    /// What followed; `None` until it is known.
    pub after: Option<After>,
    /// What to change.
    #[serde(default)]
    pub advice: Vec<Advice>,
}

/// Who ended the victim.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Cause {
    /// hogwatch.
    #[serde(rename = "hogwatch")]
    Hogwatch,
    /// The kernel's OOM killer.
    #[serde(rename = "kernel")]
    Kernel,
    /// systemd-oomd.
    #[serde(rename = "systemd-oomd")]
    SystemdOomd,
    /// Nobody that is known, or nobody ended.
    #[serde(rename = "unknown")]
    Unknown,
}

/// How far the file is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// What followed is not in it yet.
    Open,
    /// It is all there.
    Complete,
}

/// The machine and the guard.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Host {
    /// The host's name.
    pub name: Option<String>,
    /// `uname -r`.
    pub kernel: Option<String>,
    /// hogwatch's version.
    pub hogwatch: String,
    /// `/proc/sys/kernel/random/boot_id`: another one is another boot.
    pub boot_id: Option<String>,
    /// MemTotal.
    pub mem_total_bytes: Option<u64>,
    /// SwapTotal.
    pub swap_total_bytes: Option<u64>,
    /// Bytes in a page.
    pub page_bytes: Option<u64>,
}

/// The memory guard's thresholds.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Thresholds {
    /// `memory.warn`.
    pub warn_bytes: u64,
    /// `memory.term`.
    pub term_bytes: u64,
    /// `memory.kill`.
    pub kill_bytes: u64,
}

/// A process that was hit, or several of which this is the largest.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Victim {
    /// Its pid.
    pub pid: Option<i32>,
    /// Its name, escaped.
    #[serde(default)]
    pub comm: String,
    /// Its command line, escaped, if it was known.
    pub cmdline: Option<String>,
    /// Its real user.
    pub uid: Option<u32>,
    /// The innermost systemd unit of its cgroup.
    pub unit: Option<String>,
    /// Its cgroup.
    pub cgroup: Option<String>,
    /// Anonymous memory and swap.
    pub size_bytes: Option<u64>,
    /// The part in swap.
    pub swap_bytes: Option<u64>,
    /// -1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// How many were hit together; `None` is one.
    pub members: Option<u32>,
}

/// The machine's memory at a moment.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Sample {
    /// When.
    pub t_ms: u64,
    /// MemAvailable, or of the limit that counts.
    pub available_bytes: u64,
    /// SwapFree.
    pub swap_free_bytes: Option<u64>,
    /// What zram holds in RAM.
    pub zram_bytes: Option<u64>,
    /// PSI `some avg10` of memory.
    pub psi_some_percent: Option<f64>,
    /// PSI `full avg10` of memory.
    pub psi_full_percent: Option<f64>,
    /// How fast available memory falls, bytes a second; negative when it rises.
    pub fill_bytes_per_s: Option<i64>,
}

/// The files of a cgroup at a moment. Counts are totals since it was made: of two samples the difference tells.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct CgroupSample {
    /// When.
    pub t_ms: u64,
    /// `memory.current`.
    pub current_bytes: u64,
    /// `memory.swap.current`.
    pub swap_bytes: u64,
    /// `memory.high`; `None` is "max".
    pub high_bytes: Option<u64>,
    /// `memory.max`; `None` is "max".
    pub max_bytes: Option<u64>,
    /// `memory.swap.max`; `None` is "max".
    pub swap_max_bytes: Option<u64>,
    /// `full total=` of `memory.pressure`, microseconds.
    pub stalled_us: u64,
    /// `high` of `memory.events.local`.
    pub high_events: u64,
    /// `max` of `memory.events.local`.
    pub max_events: u64,
    /// `oom` of `memory.events.local`.
    pub oom_events: u64,
    /// `oom_kill` of `memory.events`.
    pub oom_kills: u64,
    /// Of `memory.stat`, where it was read.
    pub stat: Option<CgroupStat>,
}

/// What the livelock rules use of `memory.stat`.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct CgroupStat {
    /// `anon`.
    pub anon_bytes: u64,
    /// `inactive_file` and `active_file`.
    pub file_bytes: u64,
    /// `pgsteal`, in pages.
    pub pgsteal: u64,
    /// `workingset_refault_anon`, in pages.
    pub refault_anon: u64,
    /// `workingset_refault_file`, in pages.
    pub refault_file: u64,
    /// `workingset_restore_file`, in pages.
    pub restore_file: u64,
}

/// The largest tasks and cgroups at a moment, largest first, eight of each at most.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Tops {
    /// When.
    pub t_ms: u64,
    /// Tasks.
    #[serde(default)]
    pub tasks: Vec<TopTask>,
    /// Cgroups.
    #[serde(default)]
    pub cgroups: Vec<TopCgroup>,
}

/// A large task.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct TopTask {
    /// Its pid.
    pub pid: i32,
    /// Its name, escaped.
    pub comm: String,
    /// Anonymous memory and swap.
    pub size_bytes: u64,
    /// The part in swap.
    pub swap_bytes: u64,
    /// Its cgroup, escaped.
    pub cgroup: Option<String>,
}

/// A large cgroup.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct TopCgroup {
    /// Its path, escaped.
    pub path: String,
    /// Anonymous memory and swap of its large tasks.
    pub size_bytes: u64,
}

/// Somebody who could have been chosen, as `explain` ranks them.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Candidate {
    /// From 1.
    pub rank: u32,
    /// Its pid.
    pub pid: i32,
    /// Its name, escaped.
    pub comm: String,
    /// Its real user.
    pub uid: Option<u32>,
    /// Its cgroup, escaped.
    pub cgroup: Option<String>,
    /// `prefer`, `ordinary`, `avoid`.
    pub tier: String,
    /// Anonymous memory and swap.
    pub size_bytes: u64,
    /// The part in swap.
    pub swap_bytes: u64,
    /// -1000 to 1000.
    pub oom_score_adj: Option<i32>,
}

/// A journal entry: what the readers use, and all its other fields as in `status --json`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Entry {
    /// When it was sent.
    pub t_ms: u64,
    /// `HOGWATCH_EVENT`.
    pub event: String,
    /// The word `journalctl -p` takes.
    #[serde(default)]
    pub priority: String,
    /// The sentence.
    #[serde(default)]
    pub message: String,
    /// The other fields: `pid`, `comm`, `unit`, `size_bytes`, `signal`, `decide_usec`, `freed_bytes` …
    #[serde(flatten)]
    pub fields: Map<String, Json>,
}

/// A report of the kernel's OOM killer.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct KernelReport {
    /// When its last line was read.
    pub t_ms: u64,
    /// `machine`, `memory_cgroup`, `cpuset`, `memory_policy`: the kernel's `constraint=`.
    pub constraint: Option<String>,
    /// Who asked for the memory that was not there.
    pub invoked_by: Option<String>,
    /// Who was killed; for `oom.group` kills the first.
    pub victim: Option<Victim>,
    /// The cgroup whose limit was hit (`oom_memcg=`); `None` is the machine.
    pub limit_cgroup: Option<String>,
    /// That cgroup's `memory.max`, as the report says; else as it was read afterwards.
    pub limit_bytes: Option<u64>,
    /// That cgroup's usage, as the report says.
    pub usage_bytes: Option<u64>,
    /// The victim's cgroup (`task_memcg=`).
    pub task_cgroup: Option<String>,
    /// The whole cgroup was killed (`memory.oom.group`).
    #[serde(default)]
    pub group: bool,
    /// How many processes the dump listed.
    pub listed: Option<u32>,
    /// The largest ten of them.
    #[serde(default)]
    pub processes: Vec<KernelProcess>,
}

/// A row of the kernel's process dump.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct KernelProcess {
    /// Its pid.
    pub pid: i32,
    /// Its name, escaped.
    pub comm: String,
    /// Its real user.
    pub uid: Option<u32>,
    /// Resident memory.
    pub rss_bytes: u64,
    /// Swap entries.
    pub swap_bytes: u64,
    /// -1000 to 1000.
    pub oom_score_adj: Option<i32>,
}

/// A line of the kernel's log.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct KernelLine {
    /// When it was read.
    pub t_ms: u64,
    /// Its text, escaped.
    pub text: String,
}

/// What followed.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct After {
    /// What came back after the exits, together.
    pub freed_bytes: Option<u64>,
    /// From the beginning until the cause was gone.
    pub recovered_ms: Option<u64>,
    /// Whether the victim's unit runs again a minute later; `None`: no unit, one that never ended, or systemd did not say.
    pub unit_restarted: Option<bool>,
    /// Available memory at the end.
    pub available_bytes: Option<u64>,
}

/// Something to change.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Advice {
    /// A stable name: `no-swap-band`, `set-memory-max` …
    pub id: String,
    /// What to do and why, with the numbers.
    pub text: String,
}
