//! Who looks for the view, each on a thread of its own, so that drawing waits for none of them.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use ratatui::crossterm::event::{self, Event as Input, KeyEvent};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::commands::explain::{self, Stuck};
use crate::commands::own_self;
use crate::commands::running::{self, Running};
use crate::config::Places;
use crate::decide::livelock::{Judged, Kind};
use crate::decide::victim::Own;
use crate::host::process::may_signal_others;
use crate::host::{Host, Roots, clock};
use crate::observe::cgroups::CgroupPath;
use crate::observe::parse::Limit;
use crate::report::status::FetchError;

use super::super::ask;
use super::super::look::{Looker, sees_cgroups};
use super::super::seen::{Cgroup, Daemon, Document, Words};
use super::state::{Look, NextLook, Source};
use super::terminal;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);

/// How long a daemon may take to answer: a look must not be late for the next.
const DEADLINE: Duration = Duration::from_millis(800);

/// Between two looks at all processes: at 2,000 of them one takes some tens of milliseconds.
const NEXT_EVERY: Duration = Duration::from_secs(5);

/// How long the view has after a signal to end by itself: it may hang in a write to a terminal that takes no more.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// What reaches the view.
#[derive(Debug)]
pub enum News {
    Looked(Box<Result<Look, String>>),
    Foresaw(Box<NextLook>),
    Key(KeyEvent),
    Resized,
    /// A signal that ends the view.
    Signal(i32),
    /// No keys can be read any more.
    Deaf(String),
}

/// What the look at all processes has to know of the last look.
#[derive(Clone, Debug)]
struct Question {
    daemon: Option<i32>,
    config: Option<Running>,
    stuck: Option<(Cgroup, Kind)>,
}

impl Question {
    /// The cgroup it is about.
    fn path(&self) -> Option<Words> {
        self.stuck.as_ref().map(|(cgroup, _)| cgroup.path.clone())
    }
}

/// Where the one leaves it for the other.
#[derive(Debug, Default)]
struct Asked {
    /// `None` before the first look.
    latest: Mutex<Option<Question>>,
    changed: Condvar,
}

impl Asked {
    fn ask(&self, question: Question) {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(question);
        self.changed.notify_one();
    }

    /// The latest, when it is about another cgroup than the one `answered`, else after [`NEXT_EVERY`].
    fn wait(&self, answered: Option<&Option<Words>>) -> Option<Question> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let is_old = |latest: &mut Option<Question>| latest.as_ref().is_none_or(|q| answered == Some(&q.path()));
        let waited = self.changed.wait_timeout_while(latest, NEXT_EVERY, is_old);
        waited.unwrap_or_else(PoisonError::into_inner).0.clone()
    }
}

/// Starts all of them. They end with the process, or once nobody takes their news.
pub fn start(news: &Sender<News>) -> Result<(), String> {
    let asked = Arc::new(Asked::default());
    let signals = Signals::new([SIGTERM, SIGHUP, SIGINT, SIGQUIT]).map_err(|e| format!("signals: {e}"))?;
    let looker = Looker::open()?;
    let (to, told) = (news.clone(), Arc::clone(&asked));
    thread::spawn(move || look(looker, &to, &told));
    let host = Host::open(&Roots::default()).map_err(|e| format!("/proc can't be opened: {e}"))?;
    let to = news.clone();
    thread::spawn(move || foresee(&host, &to, &asked));
    let to = news.clone();
    thread::spawn(move || listen(&to));
    let to = news.clone();
    thread::spawn(move || obey(signals, &to));
    Ok(())
}

fn look(mut looker: Looker, news: &Sender<News>, asked: &Asked) {
    loop {
        let begin = clock::now();
        let look = look_once(&mut looker);
        if let Ok(look) = &look {
            let stuck = look.document.worst_stuck().map(|(cgroup, kind)| (cgroup.clone(), kind));
            let Daemon { pid, config, .. } = &look.document.daemon;
            asked.ask(Question { daemon: *pid, config: config.clone(), stuck });
        }
        if news.send(News::Looked(Box::new(look))).is_err() {
            return;
        }
        thread::sleep(EVERY.saturating_sub(clock::now().saturating_sub(begin)));
    }
}

/// Asks the daemon; the machine's numbers are always our own, for the daemon's may be seconds old.
fn look_once(looker: &mut Looker) -> Result<Look, String> {
    let asked = ask(DEADLINE).map_err(|why| match why {
        FetchError::NotRunning => Source::NoDaemon,
        why => Source::Silent { why: why.to_string() },
    });
    let asked = asked.and_then(|json| Document::read(json).map_err(|why| Source::Silent { why }));
    let (source, document) = match asked {
        Ok(mut document) => {
            document.freshen(Document::read(looker.glance()?)?);
            (Source::Daemon, document)
        }
        Err(source) => (source, Document::read(looker.look()?)?),
    };
    Ok(Look { source, document, sees_cgroups: sees_cgroups(&looker.host), at: clock::now() })
}

fn foresee(host: &Host, news: &Sender<News>, asked: &Asked) {
    let places = Places::of_this_process();
    let mut answered = None;
    loop {
        let Some(question) = asked.wait(answered.as_ref()) else { continue };
        answered = Some(question.path());
        let Question { daemon, config, stuck } = question;
        let own = daemon.and_then(|pid| daemon_self(host, pid)).unwrap_or_else(|| own_self(host));
        // Every time anew: the daemon may have been reloaded meanwhile, or its file changed.
        let found = running::read(config.as_ref(), &places).map_err(|error| error.summary());
        let changed = found.as_ref().is_ok_and(|found| found.changed);
        let config = found.map(|found| found.started.config);
        let memory = config.as_ref().map_err(Clone::clone).and_then(|config| explain::next(config, host, own, None));
        let stuck = stuck.and_then(|(cgroup, kind)| {
            let path = CgroupPath::new(cgroup.path.as_str().as_bytes())?;
            let limit = |bytes: Option<u64>| bytes.map_or(Limit::Max, Limit::Bytes);
            let limit = Judged::at(limit(cgroup.high), limit(cgroup.max))?;
            // It may be gone, or have a name that was escaped: then nothing is said of it.
            let stuck = Stuck { path, limit, current: cgroup.current?, kind };
            let next = explain::next(config.as_ref().ok()?, host, own, Some(&stuck)).ok()?;
            Some((cgroup.path.to_string(), next))
        });
        if news.send(News::Foresaw(Box::new(NextLook { memory, stuck, changed, at: clock::now() }))).is_err() {
            return;
        }
    }
}

/// Who chooses is the daemon, not this command, which may be another user's.
fn daemon_self(host: &Host, pid: i32) -> Option<Own> {
    use std::os::unix::fs::MetadataExt;
    let uid = std::fs::metadata(format!("/proc/{pid}")).ok()?.uid();
    let name = std::ffi::CString::new(format!("{pid}/status")).ok()?;
    let may_signal_others = host.proc.read(&name, &mut [0; 4096]).map(may_signal_others).ok()?;
    Some(Own { pid, uid, may_signal_others })
}

fn listen(news: &Sender<News>) {
    loop {
        let sent = match event::read() {
            Ok(Input::Key(key)) => news.send(News::Key(key)),
            Ok(Input::Resize(..)) => news.send(News::Resized),
            Ok(_) => Ok(()),
            Err(error) => {
                let _ = news.send(News::Deaf(error.to_string()));
                return;
            }
        };
        if sent.is_err() {
            return;
        }
    }
}

fn obey(mut signals: Signals, news: &Sender<News>) {
    let Some(signal) = signals.forever().next() else { return };
    let _ = news.send(News::Signal(signal));
    thread::sleep(LAST_MOMENT);
    terminal::give_back();
    std::process::exit(super::by_signal(signal).into());
}
