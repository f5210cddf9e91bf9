//! `/proc/PID/stat`: identity, parentage, state and size of a process.

use super::text::{signed, unsigned, words};
use super::{Comm, FileKind, Malformed};

/// `PF_EXITING` of `include/linux/sched.h`: getting shut down.
const PF_EXITING: u32 = 0x0000_0004;
/// `PF_KTHREAD` of `include/linux/sched.h`: a kernel thread.
const PF_KTHREAD: u32 = 0x0020_0000;

/// What a task is doing (`proc_pid_stat(5)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// `R`: running or ready to run.
    Running,
    /// `S`: sleeping, wakes for signals.
    Sleeping,
    /// `D`: sleeping, does not wake for signals (most often: waits for a disk).
    DiskSleep,
    /// `T`: stopped by a signal.
    Stopped,
    /// `t`: stopped by a tracer.
    Traced,
    /// `Z`: has exited, its parent has not asked yet. A zombie *leader* may have live threads: see [`Stat::is_dead`].
    Zombie,
    /// `X` (once `x`): about to vanish.
    Dead,
    /// `I`: an idle kernel thread.
    Idle,
    /// `P`: a parked kernel thread.
    Parked,
    /// Any other letter.
    Unknown(u8),
}

impl From<u8> for State {
    fn from(letter: u8) -> Self {
        match letter {
            b'R' => Self::Running,
            b'S' => Self::Sleeping,
            b'D' => Self::DiskSleep,
            b'T' => Self::Stopped,
            b't' => Self::Traced,
            b'Z' => Self::Zombie,
            b'X' | b'x' => Self::Dead,
            b'I' => Self::Idle,
            b'P' => Self::Parked,
            other => Self::Unknown(other),
        }
    }
}

/// The columns of `/proc/PID/stat` that hogwatch uses. Meaning: `proc_pid_stat(5)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// The process, above 0.
    pub pid: i32,
    /// Its name.
    pub comm: Comm,
    /// What its leader is doing.
    pub state: State,
    /// Its parent; 0 for the first process of a PID namespace, for kthreadd, and for a process being reaped.
    pub ppid: i32,
    /// Its process group; `None` while it is being reaped (the kernel writes −1).
    pub pgrp: Option<i32>,
    /// Its session; `None` while it is being reaped.
    pub session: Option<i32>,
    /// The kernel's `PF_*` flags of the leader.
    pub flags: u32,
    /// Page faults, without a disk, of the children that it has waited for; 0 when it has waited for none.
    pub children_minflt: u64,
    /// Page faults of its own that needed a disk, since its start.
    pub majflt: u64,
    /// Threads, the leader counted even as a zombie; 0 while the process is being reaped.
    pub num_threads: u32,
    /// When it started, in clock ticks since boot. With the pid it names a process for good.
    pub start_time: u64,
    /// Virtual size in bytes.
    pub vsize: u64,
    /// Resident pages (not bytes), shared ones included. 0 for kernel threads, and for a zombie leader **even if its
    /// threads hold memory**. Counted per CPU and summed up only now and then: `statm` is nearer the truth.
    pub rss_pages: u64,
}

impl Stat {
    /// Whether this is a kernel thread.
    pub const fn is_kernel_thread(&self) -> bool {
        self.flags & PF_KTHREAD != 0
    }

    /// Whether the *leader* is exiting or has exited. Its threads may go on: [`Stat::is_dead`] tells.
    pub const fn is_exiting(&self) -> bool {
        self.flags & PF_EXITING != 0
    }

    /// Whether the whole process has exited and only waits to be reaped.
    pub const fn is_dead(&self) -> bool {
        matches!(self.state, State::Zombie | State::Dead) && self.num_threads <= 1
    }
}

/// Reads `/proc/PID/stat`. The name stands between the first `(` and the last `)`: it may contain both, blanks and
/// newlines, so nothing in it can pass for a column.
///
/// # Errors
/// When a column up to `rss` is absent, cut off or unreadable.
pub fn parse_stat(bytes: &[u8]) -> Result<Stat, Malformed> {
    const FILE: FileKind = FileKind::Stat;
    let open = bytes.iter().position(|&byte| byte == b'(').ok_or(FILE.missing("comm"))?;
    let close = bytes.iter().rposition(|&byte| byte == b')').ok_or(FILE.missing("comm"))?;
    let comm = bytes.get(open + 1..close).ok_or(FILE.unreadable("comm"))?;
    let pid = bytes.get(..open).and_then(|pid| unsigned(pid.trim_ascii_end()));

    let mut columns = words(whole_columns(bytes.get(close + 1..).unwrap_or_default()));
    let mut column = |name| columns.next().ok_or(FILE.missing(name));
    let stat = Stat {
        pid: pid.filter(|pid| *pid > 0).ok_or(FILE.unreadable("pid"))?,
        comm: Comm::new(comm),
        state: one_letter(column("state")?).ok_or(FILE.unreadable("state"))?,
        ppid: unsigned(column("ppid")?).ok_or(FILE.unreadable("ppid"))?,
        pgrp: id_or_none(column("pgrp")?).ok_or(FILE.unreadable("pgrp"))?,
        session: id_or_none(column("session")?).ok_or(FILE.unreadable("session"))?,
        flags: {
            skip(&mut column, ["tty_nr", "tpgid"])?;
            unsigned(column("flags")?).ok_or(FILE.unreadable("flags"))?
        },
        children_minflt: {
            skip(&mut column, ["minflt"])?;
            unsigned(column("cminflt")?).ok_or(FILE.unreadable("cminflt"))?
        },
        majflt: { unsigned(column("majflt")?).ok_or(FILE.unreadable("majflt"))? },
        num_threads: {
            skip(&mut column, ["cmajflt", "utime", "stime", "cutime", "cstime", "priority", "nice"])?;
            unsigned(column("num_threads")?).ok_or(FILE.unreadable("num_threads"))?
        },
        start_time: {
            skip(&mut column, ["itrealvalue"])?;
            unsigned(column("starttime")?).ok_or(FILE.unreadable("starttime"))?
        },
        vsize: unsigned(column("vsize")?).ok_or(FILE.unreadable("vsize"))?,
        rss_pages: unsigned(column("rss")?).ok_or(FILE.unreadable("rss"))?,
    };
    Ok(stat)
}

/// `columns` up to the last blank or newline: what follows it may be cut.
fn whole_columns(columns: &[u8]) -> &[u8] {
    let end = columns.iter().rposition(|byte| matches!(byte, b' ' | b'\n')).unwrap_or(0);
    columns.get(..end).unwrap_or_default()
}

fn skip<'a, const N: usize>(
    column: &mut impl FnMut(&'static str) -> Result<&'a [u8], Malformed>,
    names: [&'static str; N],
) -> Result<(), Malformed> {
    names.into_iter().try_for_each(|name| column(name).map(drop))
}

fn one_letter(word: &[u8]) -> Option<State> {
    match word {
        [letter] => Some(State::from(*letter)),
        _ => None,
    }
}

/// A group or session id; the kernel writes −1 for a process that has none any more.
fn id_or_none(word: &[u8]) -> Option<Option<i32>> {
    let id: i32 = signed(word)?;
    Some((id >= 0).then_some(id))
}
