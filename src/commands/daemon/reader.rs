//! A thread that reads command lines and executables of the largest processes beforehand. Reading them waits for the
//! process's `mmap_lock`; should it hang there, the guard goes on without.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::host::dir::{Dir, SmallPath};
use crate::observe::details::{CMDLINE_BYTES, Detail, Details, ENTRIES};
use crate::observe::scan::{StillThere, look_again};
use crate::observe::{Comm, Task, TaskId};

/// Two tables of 17 KiB live on the heap; the stack holds one entry and the buffers.
const STACK_BYTES: usize = 48 * 1024;

/// Whom to read about: fixed size, so that asking allocates nothing.
type Wanted = [Option<(TaskId, Comm)>; ENTRIES];

/// The guard's end.
#[derive(Debug)]
pub struct Reader {
    requests: SyncSender<Wanted>,
    table: Arc<Mutex<Details>>,
}

impl Reader {
    /// Starts the thread.
    ///
    /// # Errors
    /// No thread could be had.
    pub fn start(proc: Dir) -> io::Result<Self> {
        let (requests, inbox) = sync_channel(1);
        let table = Arc::new(Mutex::new(Details::new()));
        let shared = Arc::clone(&table);
        thread::Builder::new()
            .name("reader".into())
            .stack_size(STACK_BYTES)
            .spawn(move || run(&proc, &inbox, &shared))?;
        Ok(Self { requests, table })
    }

    /// Asks for the largest of these processes. Not heard while the thread is still busy with an earlier question.
    pub fn ask<'t>(&self, largest: impl Iterator<Item = &'t Task>) {
        let mut wanted: Wanted = [None; ENTRIES];
        for (slot, task) in wanted.iter_mut().zip(largest) {
            *slot = Some((task.id, task.comm));
        }
        let _ = self.requests.try_send(wanted);
    }

    /// The table, unless it is being written at this very moment.
    #[must_use]
    pub fn table(&self) -> Option<MutexGuard<'_, Details>> {
        self.table.try_lock().ok()
    }
}

fn run(proc: &Dir, inbox: &Receiver<Wanted>, shared: &Mutex<Details>) {
    let mut fresh = Details::new();
    for wanted in inbox {
        fresh.clear();
        for (id, comm) in wanted.into_iter().flatten() {
            if let Some(detail) = read(proc, id, comm) {
                fresh.add(detail);
            }
        }
        // Held for a swap of two pointers only: nothing blocks in here.
        std::mem::swap(&mut *shared.lock().unwrap_or_else(PoisonError::into_inner), &mut fresh);
    }
}

fn read(proc: &Dir, id: TaskId, comm: Comm) -> Option<Detail> {
    let mut cmdline = [0; CMDLINE_BYTES];
    let cmdline = proc.read(SmallPath::under(id.pid, "cmdline").as_c_str(), &mut cmdline).ok()?;
    let exe = proc.link(SmallPath::under(id.pid, "exe").as_c_str()).unwrap_or_default();
    // Only now: what was read is this process's if it still is the same one.
    matches!(look_again(proc, id), Ok(StillThere::Alive)).then(|| Detail::new(id, comm, cmdline, &exe))
}
