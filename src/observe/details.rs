//! Command lines and executables, read beforehand: reading `/proc/PID/cmdline` takes the process's `mmap_lock`, and a
//! process in trouble may hold that for minutes. A thread of its own fills this table; the guard only looks things up.

use super::{Comm, Task, TaskId};

/// Processes remembered: the largest ones. Memory is short when a few processes hold it; a 33rd in rank is rarely next.
pub const ENTRIES: usize = 32;
/// Bytes kept of a command line and of an executable's path.
pub const CMDLINE_BYTES: usize = 384;
/// See [`CMDLINE_BYTES`].
pub const EXE_BYTES: usize = 128;

/// What is known of one process.
#[derive(Clone, Copy, Debug)]
pub struct Detail {
    id: TaskId,
    comm: Comm,
    cmdline: [u8; CMDLINE_BYTES],
    cmdline_len: u16,
    exe: [u8; EXE_BYTES],
    exe_len: u16,
}

impl Detail {
    /// Keeps what was read of a process; what is too long is cut. The NULs between arguments become blanks.
    #[must_use]
    pub fn new(id: TaskId, comm: Comm, cmdline: &[u8], exe: &[u8]) -> Self {
        let mut detail =
            Self { id, comm, cmdline: [0; CMDLINE_BYTES], cmdline_len: 0, exe: [0; EXE_BYTES], exe_len: 0 };
        let cmdline = cmdline.strip_suffix(b"\0").unwrap_or(cmdline);
        for (to, from) in detail.cmdline.iter_mut().zip(cmdline) {
            *to = if *from == 0 { b' ' } else { *from };
        }
        detail.cmdline_len = u16::try_from(cmdline.len().min(CMDLINE_BYTES)).unwrap_or(0);
        for (to, from) in detail.exe.iter_mut().zip(exe) {
            *to = *from;
        }
        detail.exe_len = u16::try_from(exe.len().min(EXE_BYTES)).unwrap_or(0);
        detail
    }

    /// Which process this is about.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// The command line, arguments separated by blanks.
    #[must_use]
    pub fn cmdline(&self) -> &[u8] {
        &self.cmdline[..usize::from(self.cmdline_len)]
    }

    /// Where the executable lies.
    #[must_use]
    pub fn exe(&self) -> &[u8] {
        &self.exe[..usize::from(self.exe_len)]
    }
}

/// The table.
#[derive(Clone, Debug, Default)]
pub struct Details(Vec<Detail>);

impl Details {
    /// An empty table with room for [`ENTRIES`].
    #[must_use]
    pub fn new() -> Self {
        Self(Vec::with_capacity(ENTRIES))
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Adds what was read of a process, if there is room.
    pub fn add(&mut self, detail: Detail) {
        if self.0.len() < ENTRIES {
            self.0.push(detail);
        }
    }

    /// What is known of this very process under this very name: a process that has executed another program since
    /// is another one to a pattern.
    #[must_use]
    pub fn of(&self, task: &Task) -> Option<&Detail> {
        self.0.iter().find(|d| d.id == task.id && d.comm == task.comm)
    }

    /// As [`Details::of`], by identity only: for telling what ran.
    #[must_use]
    pub fn by_id(&self, id: TaskId) -> Option<&Detail> {
        self.0.iter().find(|d| d.id == id)
    }
}
