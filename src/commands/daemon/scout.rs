//! A thread that scans the process table and opens the largest, for a guard that would be throttled if it did so itself.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::host::{Host, Roots};
use crate::observe::limits::Hierarchy;
use crate::observe::roster::Roster;
use crate::observe::scan::Scanner;
use crate::observe::{Depth, Faults, Need, Tasks};

/// A scan's buffers, and the frames around them.
const STACK_BYTES: usize = 96 * 1024;

/// What the scout found last.
#[derive(Debug)]
pub struct Found {
    /// Every process.
    pub tasks: Tasks,
    /// The largest of them, held.
    pub roster: Roster,
}

/// The guard's end.
#[derive(Debug)]
pub struct Scout {
    requests: SyncSender<u64>,
    found: Arc<Mutex<Option<Found>>>,
}

impl Scout {
    /// Starts the thread.
    ///
    /// # Errors
    /// No thread could be had, or procfs could not be opened once more.
    pub fn start(hierarchy: Hierarchy) -> io::Result<Self> {
        let host = Host::open(&Roots::default())?;
        let (requests, inbox) = sync_channel(1);
        let found = Arc::new(Mutex::new(None));
        let shared = Arc::clone(&found);
        thread::Builder::new()
            .name("scout".into())
            .stack_size(STACK_BYTES)
            .spawn(move || run(&host, hierarchy, &inbox, &shared))?;
        Ok(Self { requests, found })
    }

    /// Asks for a scan, knowing how much swap is in use. Not heard while one is under way.
    pub fn ask(&self, swap_used: u64) {
        let _ = self.requests.try_send(swap_used);
    }

    /// What was found last, unless it is being replaced at this very moment.
    #[must_use]
    pub fn found(&self) -> Option<MutexGuard<'_, Option<Found>>> {
        self.found.try_lock().ok()
    }
}

fn run(host: &Host, hierarchy: Hierarchy, inbox: &Receiver<u64>, shared: &Mutex<Option<Found>>) {
    let mut scanner = Scanner::new(hierarchy);
    let need = Need { depth: Depth::All, oom_score: true };
    for swap_used in inbox {
        for _ in 0..2 {
            if !scanner.scan(host, need, swap_used, &mut Faults::default()).lost_some {
                break;
            }
            scanner.grow();
        }
        let lock = || shared.lock().unwrap_or_else(PoisonError::into_inner);
        // Whatever may be throttled is done before the exchange: the guard has the old table until then.
        let known = lock().as_ref().map(|found| found.roster.clone()).unwrap_or_default();
        let roster = known.renewed(host, scanner.tasks());
        let found = Found { tasks: scanner.tasks().clone(), roster };
        let old = lock().replace(found);
        drop(old);
    }
}
