//! One thing that happened, as the guard hands it over: of fixed size, filled without allocating.

use nix::sys::signal::Signal;

use super::restart::Follows;
use super::table::{EVENTS, EventSpec};
use super::text::Text;

/// A sentence of the cause with two sizes, a limit and a cgroup's name is about 150 bytes; the rest is headroom.
pub const REASON_BYTES: usize = 256;

/// TASK_COMM_LEN of the kernel: 15 bytes and a NUL.
pub const COMM_BYTES: usize = 16;

/// Enough to tell two runs of one interpreter apart; longer ones are cut with a mark.
pub const CMDLINE_BYTES: usize = 256;

/// Kubernetes' paths (slice, pod, container id) are about 280 bytes; twice that is rare.
pub const CGROUP_BYTES: usize = 512;

/// What happened. The names are those of `HOGWATCH_EVENT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The guard is armed (or looks on, in a dry run).
    Start,
    /// The guard ends.
    Stop,
    /// A new configuration is in force.
    Reload,
    /// A new configuration was bad; the old one stays in force.
    ConfigRejected,
    /// The machine's state, now and then.
    State,
    /// Memory fell to the `warn` limit.
    Warn,
    /// SIGTERM was sent.
    Term,
    /// SIGKILL was sent.
    Kill,
    /// The victim's exit was seen.
    Exited,
    /// A victim did not die and is left alone; the next one is taken.
    SetAside,
    /// The cause holds, yet nobody is signalled.
    Refused,
    /// A cgroup, or the machine, is stuck.
    Livelock,
    /// The kernel's OOM killer is at it and nothing dies.
    OomStuck,
    /// `memory.high` was raised out of the way.
    Lift,
    /// `memory.high` was put back.
    LiftRestored,
    /// The kernel's OOM killer killed.
    KernelOom,
    /// systemd-oomd killed.
    OomdKill,
    /// The cause is gone.
    Recovered,
    /// Something asked for cannot be had; the guard goes on without it.
    Degraded,
    /// Entries were lost on the way to the journal.
    Dropped,
}

impl EventKind {
    /// The event's row of the table: name, priority, message id, fields.
    pub fn spec(self) -> &'static EventSpec {
        &EVENTS[self as usize]
    }
}

/// One event. What is unknown or has no meaning for it stays `None` or empty, and is left out of the journal.
///
/// Its time is taken when it is sent. Percents are 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// What happened.
    pub event: EventKind,
    /// Which rule: `memory`, `swap`, `cgroup_limit` …
    pub kind: Option<&'static str>,
    /// The evidence or the cause, as a part of a sentence without a full stop.
    pub reason: Text<REASON_BYTES>,
    /// The victim, the hog, or who was hit.
    pub pid: Option<i32>,
    /// Its name as the kernel gives it.
    pub comm: Text<COMM_BYTES>,
    /// Its command line, arguments separated by spaces, if it was known beforehand.
    pub cmdline: Text<CMDLINE_BYTES>,
    /// Its real user.
    pub uid: Option<u32>,
    /// Its cgroup, or the cgroup that is in trouble, as a path below the cgroup root: `/user.slice/…`.
    pub cgroup: Text<CGROUP_BYTES>,
    /// What its end would give back (of the whole group for a group kill), swap included.
    pub size_bytes: Option<u64>,
    /// The part of the size that is in swap.
    pub swap_bytes: Option<u64>,
    /// -1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// What was sent, or what the victim exited after.
    pub signal: Option<Signal>,
    /// How many processes were taken together; `None` for one process.
    pub members: Option<u32>,
    /// They are all that lived in the cgroup.
    pub whole: bool,
    /// What systemd does next with the victim's unit; `None` where that is not known.
    pub follows: Option<Follows>,
    /// The limit that counts: the threshold, `memory.max`, or the `memory.high` that is lifted.
    pub limit_bytes: Option<u64>,
    /// Available memory.
    pub available_bytes: Option<u64>,
    /// Available memory in percent.
    pub available_percent: Option<f64>,
    /// Share of the last 10 s in which everybody waited for memory.
    pub psi_full_percent: Option<f64>,
    /// From the crossing seen to the signal sent.
    pub decide_usec: Option<u64>,
    /// From the signal to the exit, or to giving up.
    pub elapsed_ms: Option<u64>,
    /// What came back after the exit.
    pub freed_bytes: Option<u64>,
    /// Which incident of this run of the daemon, counted from 1; rendered as an id that stays unique across runs.
    pub incident: Option<u32>,
    /// How many entries were lost ([`EventKind::Dropped`] only).
    pub count: Option<u64>,
}

impl Event {
    /// An event of which nothing else is known yet.
    pub const fn new(event: EventKind) -> Self {
        Self {
            event,
            kind: None,
            reason: Text::new(),
            pid: None,
            comm: Text::new(),
            cmdline: Text::new(),
            uid: None,
            cgroup: Text::new(),
            size_bytes: None,
            swap_bytes: None,
            oom_score_adj: None,
            signal: None,
            members: None,
            whole: false,
            follows: None,
            limit_bytes: None,
            available_bytes: None,
            available_percent: None,
            psi_full_percent: None,
            decide_usec: None,
            elapsed_ms: None,
            freed_bytes: None,
            incident: None,
            count: None,
        }
    }
}

/// The queues hold many of them in locked memory: this keeps one from growing unnoticed.
const _: () = assert!(size_of::<Event>() <= 1344);
