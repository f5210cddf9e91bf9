//! A thread that opens what the guard reads, for a guard that would be throttled if it opened anything itself.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::host::{Host, Roots, clock};
use crate::observe::Faults;
use crate::observe::limits::Hierarchy;
use crate::observe::roster::{Found, Lookout};

/// A look's buffers, and the frames around them.
const STACK_BYTES: usize = 96 * 1024;

/// The guard's end.
#[derive(Debug)]
pub struct Scout {
    requests: SyncSender<()>,
    found: Arc<Mutex<Option<Seen>>>,
}

/// What was found, and when the look began.
#[derive(Debug)]
pub struct Seen {
    /// By `host::clock`.
    pub at: Duration,
    /// Who was there.
    pub found: Found,
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

    /// Asks for a look. One that is under way is followed by another.
    pub fn ask(&self) {
        let _ = self.requests.try_send(());
    }

    /// What was found last, unless it is being replaced at this very moment.
    #[must_use]
    pub fn found(&self) -> Option<MutexGuard<'_, Option<Seen>>> {
        self.found.try_lock().ok()
    }
}

fn run(host: &Host, hierarchy: Hierarchy, inbox: &Receiver<()>, shared: &Mutex<Option<Seen>>) {
    let mut lookout = Lookout::new(hierarchy);
    for () in inbox {
        let at = clock::now();
        // Whatever may be throttled is done before the exchange: the guard has the old table until then.
        let seen = Seen { at, found: lookout.look(host, &mut Faults::default()) };
        let old = shared.lock().unwrap_or_else(PoisonError::into_inner).replace(seen);
        drop(old);
    }
}
