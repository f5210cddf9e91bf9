//! A thread that does what the guard asks for and can do without for a while: reads the configuration (the guard touches no
//! disk), asks systemd, reads what may block and is not urgent.

use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::config::{self, Config, Origin, Places};
use crate::decide::rules::Rules;
use crate::host::{Host, Roots};
use crate::observe::Faults;
use crate::observe::machine::MachineReader;
use crate::observe::zram::ZramReader;
use crate::report::status::RunningConfig;
use crate::report::{REASON_BYTES, Text, systemd};

use super::managed::{Managed, Sources};
use super::systemctl::Systemctl;
use super::units::{Asker, Unit, Wanted};
use super::{fit, others};
use crate::commands::users;

/// Reading TOML needs some stack: each table nests a call.
const STACK_BYTES: usize = 192 * 1024;

/// What the guard asks of the clerk.
#[derive(Debug)]
enum Request {
    /// Keep this text as the last good configuration.
    Keep(String),
    /// Read the files anew.
    Reload,
    /// Look whether the system's own guard runs.
    Others,
    /// Ask systemd which units it wants relieved of pressure.
    Systemd,
    /// Ask systemd what it does when one of these services is ended.
    Units(Wanted),
    /// Read what zram holds; there is so much swap, in bytes.
    Zram(u64),
    /// The new configuration is in force; drop the old lists and tell systemd.
    Applied(Rules),
}

/// So many kinds of request there are. Each waits in the queue once at most, so that none finds it full: a text is kept
/// once, at the start; an `Applied` answers an [`Answer::New`], of which there is one at a time; of the rest see [`Waiting`].
const KINDS: usize = 7;

/// Which requests wait in the queue. One that waits is not joined by another of its kind; one that was taken out is, as
/// what it asks about may have changed since.
#[derive(Debug, Default)]
struct Waiting {
    reload: AtomicBool,
    others: AtomicBool,
    systemd: AtomicBool,
    units: AtomicBool,
    zram: AtomicBool,
}

impl Waiting {
    fn of(&self, request: &Request) -> Option<&AtomicBool> {
        match request {
            Request::Reload => Some(&self.reload),
            Request::Others => Some(&self.others),
            Request::Systemd => Some(&self.systemd),
            Request::Units(_) => Some(&self.units),
            Request::Zram(_) => Some(&self.zram),
            Request::Keep(_) | Request::Applied(_) => None,
        }
    }
}

/// The guard's end of the queue.
#[derive(Debug)]
struct Requests {
    queue: SyncSender<Request>,
    waiting: Arc<Waiting>,
}

impl Requests {
    fn send(&self, request: Request) {
        if self.waiting.of(&request).is_none_or(|waits| !waits.swap(true, Ordering::AcqRel)) {
            let _ = self.queue.try_send(request);
        }
    }
}

/// The clerk's end.
struct Inbox {
    queue: Receiver<Request>,
    waiting: Arc<Waiting>,
}

impl Inbox {
    /// Waits for the next request; nothing when the guard is gone.
    fn next(&self) -> Option<Request> {
        let request = self.queue.recv().ok()?;
        // Before it is done, not after: a SIGHUP that comes while the files are read has them read again.
        if let Some(waits) = self.waiting.of(&request) {
            waits.swap(false, Ordering::AcqRel);
        }
        Some(request)
    }
}

fn requests() -> (Requests, Inbox) {
    let (sender, queue) = sync_channel(KINDS);
    let waiting = Arc::new(Waiting::default());
    (Requests { queue: sender, waiting: Arc::clone(&waiting) }, Inbox { queue, waiting })
}

/// What the clerk hands to the guard.
#[derive(Debug)]
pub enum Answer {
    /// A good configuration, ready to be used.
    New(Box<(Config, Rules)>, Text<REASON_BYTES>),
    /// Whether the system's own guard runs.
    SystemGuardRuns(bool),
    /// The units that systemd wants relieved of pressure; or why that is not known.
    Managed(Result<Managed, Text<REASON_BYTES>>),
    /// Bad files; what is wrong with them.
    Bad(Text<REASON_BYTES>),
    /// The good configuration could not be kept.
    NotKept(Text<REASON_BYTES>),
}

/// The guard's end.
#[derive(Debug)]
pub struct Clerk {
    requests: Requests,
    answers: Receiver<Answer>,
    units: Arc<Mutex<Vec<Unit>>>,
    zram: Arc<Mutex<Option<u64>>>,
    bell: Arc<EventFd>,
}

impl Clerk {
    /// Starts the thread.
    ///
    /// # Errors
    /// No thread or descriptor could be had.
    pub fn start(
        explicit: Option<PathBuf>,
        places: Places,
        last_good: Option<String>,
        running: Arc<RunningConfig>,
    ) -> io::Result<Self> {
        /// The clerk waits while the guard is busy.
        const QUEUE: usize = 4;
        let host = Host::open(&Roots::default())?;
        let machine = MachineReader::open(&host)?;
        let (requests, inbox) = requests();
        let (outbox, answers) = sync_channel(QUEUE);
        let bell = Arc::new(EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?);
        let ring = Arc::clone(&bell);
        let units = Arc::new(Mutex::new(Vec::new()));
        let known = Arc::clone(&units);
        let zram = Arc::new(Mutex::new(None));
        let held = Arc::clone(&zram);
        thread::Builder::new().name("clerk".into()).stack_size(STACK_BYTES).spawn(move || {
            let mut asker = Asker::default();
            let mut devices = ZramReader::default();
            let mut read = None;
            let read_anew = |read: &mut _| reload(explicit.as_deref(), &places, &machine, read);
            // A new configuration is on its way to the guard, and another one is wanted after it.
            let (mut under_way, mut again) = (false, false);
            while let Some(request) = inbox.next() {
                let answer = match request {
                    Request::Keep(text) => keep(&places, &text),
                    Request::Reload if under_way => {
                        again = true;
                        None
                    }
                    Request::Reload => Some(read_anew(&mut read)),
                    Request::Others => Some(Answer::SystemGuardRuns(others::system_guard_runs(&host))),
                    Request::Systemd => {
                        let asked = Sources::of_this_process().ask();
                        Some(Answer::Managed(asked.map_err(|why| Text::from_bytes(why.as_bytes()))))
                    }
                    Request::Units(wanted) => {
                        let units = asker.ask(&Systemctl::of_this_process(), &wanted);
                        // Held for a swap of two pointers only; the old list is freed here, after that.
                        let old = std::mem::replace(&mut *known.lock().unwrap_or_else(PoisonError::into_inner), units);
                        drop(old);
                        None
                    }
                    Request::Zram(swap_total) => {
                        // What can't be read is not known, and that is all: the journal need not hear of it.
                        let mut faults = Faults::default();
                        devices.follow(&host, swap_total, &mut faults);
                        let bytes = devices.read(&mut faults);
                        *held.lock().unwrap_or_else(PoisonError::into_inner) = bytes;
                        None
                    }
                    Request::Applied(old) => {
                        drop(old);
                        if let Some(hash) = read {
                            running.set(hash);
                        }
                        let _ = systemd::ready();
                        under_way = false;
                        std::mem::take(&mut again).then(|| read_anew(&mut read))
                    }
                };
                if let Some(answer) = answer {
                    under_way |= matches!(answer, Answer::New(..));
                    if outbox.send(answer).is_err() {
                        return;
                    }
                    let _ = ring.write(1);
                }
            }
        })?;
        let clerk = Self { requests, answers, units, zram, bell };
        if let Some(text) = last_good {
            clerk.requests.send(Request::Keep(text));
        }
        Ok(clerk)
    }

    /// Asks for the configuration to be read anew. While the clerk has not begun to, asking again changes nothing.
    pub fn reload(&self) {
        self.requests.send(Request::Reload);
    }

    /// Asks whether the system's own guard runs.
    pub fn look_for_others(&self) {
        self.requests.send(Request::Others);
    }

    /// Asks which units systemd wants relieved of pressure.
    pub fn ask_systemd(&self) {
        self.requests.send(Request::Systemd);
    }

    /// Asks what systemd does when one of these services is ended.
    pub fn ask_for_units(&self, wanted: &Wanted) {
        self.requests.send(Request::Units(*wanted));
    }

    /// What systemd does when a service is ended, as far as it is known; nothing while that is written at this very moment.
    #[must_use]
    pub fn units(&self) -> Option<MutexGuard<'_, Vec<Unit>>> {
        self.units.try_lock().ok()
    }

    /// Asks what zram holds of the memory; there is so much swap, in bytes.
    pub fn ask_for_zram(&self, swap_total: u64) {
        self.requests.send(Request::Zram(swap_total));
    }

    /// What zram held when it was last read, in bytes, if anything.
    #[must_use]
    pub fn zram(&self) -> Option<u64> {
        self.zram.try_lock().ok().and_then(|bytes| *bytes)
    }

    /// Says that a new configuration is in force, and hands over the old lists.
    pub fn applied(&self, old: Rules) {
        self.requests.send(Request::Applied(old));
    }

    /// What the clerk has to say, if anything.
    #[must_use]
    pub fn answer(&self) -> Option<Answer> {
        super::take(&self.answers, &self.bell)
    }

    /// Becomes readable when there is an answer.
    #[must_use]
    pub fn bell(&self) -> std::os::fd::BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

/// `read` becomes the hash of a good configuration.
fn reload(
    explicit: Option<&std::path::Path>,
    places: &Places,
    machine: &MachineReader,
    read: &mut Option<u64>,
) -> Answer {
    let _ = systemd::reloading();
    let bad = |why: String| {
        // The old configuration stays in force, so the service is as ready as before.
        let _ = systemd::ready();
        Answer::Bad(Text::format(format_args!("the configuration before stays in force: {why}")))
    };
    let mut started = match config::reload(explicit, places) {
        Ok(started) => started,
        Err(error) => return bad(error.summary()),
    };
    let adjusted = fit(&mut started.config, machine);
    let rules = match Rules::new(&started.config.victim, users()) {
        Ok(rules) => rules,
        Err(error) => return bad(error.to_string()),
    };
    if let Some(text) = &started.last_good
        && let Some(Answer::NotKept(why)) = keep(places, text)
    {
        tracing::warn!("{why}");
    }
    let from = match &started.source {
        Origin::Files(files) => list(files),
        Origin::LastGood(file) => file.display().to_string(),
        Origin::Defaults => "the built-in defaults, there is no file".to_owned(),
    };
    *read = Some(started.hash);
    let memory = &started.config.memory;
    let limits = format!("SIGTERM at {}, SIGKILL at {}", memory.term, memory.kill);
    let text = std::iter::once(limits).chain(adjusted).chain([format!("from {from}")]).collect::<Vec<_>>().join("; ");
    Answer::New(Box::new((started.config, rules)), Text::from_bytes(text.as_bytes()))
}

fn keep(places: &Places, text: &str) -> Option<Answer> {
    let state = places.state.as_deref()?;
    config::save_last_good(state, text).err().map(|e| {
        let state = state.display();
        Answer::NotKept(Text::format(format_args!(
            "the good configuration can't be kept in {state}: {e}; after a restart with a bad file the built-in defaults would run"
        )))
    })
}

fn list(files: &[PathBuf]) -> String {
    files.iter().map(|f| f.display().to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::daemon::units::UNITS;
    use nix::poll::{PollFd, PollFlags, poll};

    /// How long a test waits for what must come.
    const LONGEST: u16 = 10_000;

    fn rules() -> Rules {
        Rules::new(&Config::default().victim, Vec::new()).unwrap()
    }

    #[test]
    fn there_is_room_for_every_kind_however_often_one_is_asked() {
        let (requests, inbox) = requests();
        requests.send(Request::Keep(String::new()));
        for _ in 0..10 {
            requests.send(Request::Units([None; UNITS]));
            requests.send(Request::Systemd);
            requests.send(Request::Others);
            requests.send(Request::Zram(0));
        }
        requests.send(Request::Reload);
        requests.send(Request::Applied(rules()));
        for kind in ["Keep", "Units", "Systemd", "Others", "Zram", "Reload", "Applied"] {
            let request = format!("{:?}", inbox.next().unwrap());
            assert!(request.starts_with(kind), "{request}");
        }
        // One that was taken out is under way, and may be asked again.
        requests.send(Request::Reload);
        assert!(matches!(inbox.next(), Some(Request::Reload)));
        drop(requests);
        assert!(inbox.next().is_none());
    }

    #[test]
    fn a_reload_waits_for_the_one_before_and_is_not_lost() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("hogwatch.toml");
        std::fs::write(&file, "").unwrap();
        let places = Places { state: None, ..Places::of_this_process() };
        let clerk = Clerk::start(Some(file), places, None, Arc::default()).unwrap();
        let next = || loop {
            if let Some(answer) = clerk.answer() {
                return answer;
            }
            assert_eq!(poll(&mut [PollFd::new(clerk.bell(), PollFlags::POLLIN)], LONGEST), Ok(1), "no answer");
        };
        clerk.reload();
        assert!(matches!(next(), Answer::New(..)));
        clerk.reload();
        clerk.look_for_others();
        assert!(matches!(next(), Answer::SystemGuardRuns(_)), "the first is not in force yet");
        clerk.applied(rules());
        assert!(matches!(next(), Answer::New(..)));
    }
}
