//! A thread that reads the configuration when asked to: the guard touches no disk.

use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::config::{self, Config, Origin, Places};
use crate::decide::rules::Rules;
use crate::host::{Host, Roots};
use crate::observe::machine::MachineReader;
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
    /// The new configuration is in force; drop the old lists and tell systemd.
    Applied(Rules),
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
    /// What systemd does when a service is ended, as far as it is known.
    Units(Vec<Unit>),
    /// Bad files; what is wrong with them.
    Bad(Text<REASON_BYTES>),
    /// The good configuration could not be kept.
    NotKept(Text<REASON_BYTES>),
}

/// The guard's end.
#[derive(Debug)]
pub struct Clerk {
    requests: SyncSender<Request>,
    answers: Receiver<Answer>,
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
        /// One reload at a time, and its end.
        const QUEUE: usize = 4;
        let host = Host::open(&Roots::default())?;
        let machine = MachineReader::open(&host)?;
        let (requests, inbox) = sync_channel(QUEUE);
        let (outbox, answers) = sync_channel(QUEUE);
        let bell = Arc::new(EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?);
        let ring = Arc::clone(&bell);
        thread::Builder::new().name("clerk".into()).stack_size(STACK_BYTES).spawn(move || {
            let mut asker = Asker::default();
            let mut read = None;
            for request in inbox {
                let answer = match request {
                    Request::Keep(text) => keep(&places, &text),
                    Request::Reload => Some(reload(explicit.as_deref(), &places, &machine, &mut read)),
                    Request::Others => Some(Answer::SystemGuardRuns(others::system_guard_runs(&host))),
                    Request::Systemd => {
                        let asked = Sources::of_this_process().ask();
                        Some(Answer::Managed(asked.map_err(|why| Text::from_bytes(why.as_bytes()))))
                    }
                    Request::Units(wanted) => Some(Answer::Units(asker.ask(&Systemctl::of_this_process(), &wanted))),
                    Request::Applied(old) => {
                        drop(old);
                        if let Some(hash) = read {
                            running.set(hash);
                        }
                        let _ = systemd::ready();
                        None
                    }
                };
                if let Some(answer) = answer {
                    if outbox.send(answer).is_err() {
                        return;
                    }
                    let _ = ring.write(1);
                }
            }
        })?;
        let clerk = Self { requests, answers, bell };
        if let Some(text) = last_good {
            let _ = clerk.requests.try_send(Request::Keep(text));
        }
        Ok(clerk)
    }

    /// Asks for the configuration to be read anew. A clerk that is still at it will not be asked twice.
    pub fn reload(&self) {
        let _ = self.requests.try_send(Request::Reload);
    }

    /// Asks whether the system's own guard runs.
    pub fn look_for_others(&self) {
        let _ = self.requests.try_send(Request::Others);
    }

    /// Asks which units systemd wants relieved of pressure.
    pub fn ask_systemd(&self) {
        let _ = self.requests.try_send(Request::Systemd);
    }

    /// Asks what systemd does when one of these services is ended.
    pub fn ask_for_units(&self, wanted: &Wanted) {
        let _ = self.requests.try_send(Request::Units(*wanted));
    }

    /// Says that a new configuration is in force, and hands over the old lists.
    pub fn applied(&self, old: Rules) {
        let _ = self.requests.try_send(Request::Applied(old));
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
