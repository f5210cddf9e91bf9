//! Metrics: counts and the guard's last view as an OpenMetrics text file (<https://prometheus.io/docs/specs/om/open_metrics_spec/>),
//! for node_exporter's textfile collector.
//!
//! The collector parses the older Prometheus text format. What is written here is read by both: the older parser takes
//! `# UNIT` and `# EOF` for comments, and counters, whose `# TYPE` line it expects under another name, for untyped; it
//! would refuse a file with OpenMetrics' other types (`info`, `stateset`) or with time stamps, so there are none.

mod counts;
mod page;
mod table;
#[cfg(test)]
mod tests;
mod textfile;

use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub(super) use counts::Counts;
pub use counts::KINDS;
pub use table::{CGROUP_STATES, METRICS, MetricSpec};

use super::event::{Event, EventKind};
use super::field::Origin;
use super::status::Shared;
use super::table::Priority;
use super::text::Text;
use page::Page;
use textfile::Textfile;

/// How often the file is written. Prometheus asks every 15 s to 60 s: more often would not be seen.
const EVERY: Duration = Duration::from_secs(15);

/// The same until the guard has looked for the first time.
const FIRST: Duration = Duration::from_secs(1);

/// Where the file is to be from now on: handed over by the guard at a reload.
#[derive(Debug, Default)]
pub(super) struct Wanted(Mutex<Option<Setting>>);

/// `metrics.textfile`.
type Setting = Option<PathBuf>;

impl Wanted {
    /// The lock is never held for longer than moving a path takes.
    pub fn set(&self, setting: Setting) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(setting);
    }

    fn take(&self) -> Option<Setting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Keeps the file fresh, on the errands thread.
#[derive(Debug)]
pub(super) struct Metrics {
    counts: Arc<Counts>,
    wanted: Arc<Wanted>,
    origin: Origin,
    file: Option<Textfile>,
    /// When it is to be written next.
    due: Instant,
    /// It could not be written last time, which was said.
    failing: bool,
}

impl Metrics {
    pub fn new(setting: Setting, counts: Arc<Counts>, wanted: Arc<Wanted>, origin: Origin) -> Self {
        Self { counts, wanted, origin, file: setting.map(Textfile::new), due: Instant::now(), failing: false }
    }

    /// After an act, or a loss, the file is written at once.
    pub fn saw(&mut self, event: &Event) {
        if event.event.spec().priority <= Priority::Err {
            self.due = Instant::now();
        }
    }

    /// How long nothing needs to be done; `None` without a file.
    pub fn pause(&self) -> Option<Duration> {
        self.file.as_ref().map(|_| self.due.saturating_duration_since(Instant::now()))
    }

    /// Writes the file if it is time, or if it is to be elsewhere from now on. What is to be said about it.
    pub fn turn(&mut self, shared: &Shared) -> Option<Event> {
        if let Some(setting) = self.wanted.take()
            && setting.as_deref() != self.file.as_ref().map(Textfile::path)
        {
            // The old one is removed.
            self.file = setting.map(Textfile::new);
            self.failing = false;
            self.due = Instant::now();
        }
        let file = self.file.as_mut().filter(|_| Instant::now() >= self.due)?;
        let seen = shared.latest();
        self.due = Instant::now() + if seen.is_some() { EVERY } else { FIRST };
        let page = Page { counts: Arc::clone(&self.counts), origin: self.origin, seen };
        let written = page.text().map_err(io::Error::other).and_then(|text| file.replace(&text));
        let was_failing = std::mem::replace(&mut self.failing, written.is_err());
        written.err().filter(|_| !was_failing).map(|error| failed(file, &error))
    }
}

fn failed(file: &Textfile, error: &io::Error) -> Event {
    let hint = match error.kind() {
        ErrorKind::NotFound => "make its directory",
        ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => "the service needs ReadWritePaths= for it",
        ErrorKind::AlreadyExists | ErrorKind::IsADirectory => "remove it, or write another path",
        ErrorKind::ResourceBusy => "give one of them another path",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room",
        _ => "nothing else is lost",
    };
    let path = file.path().display();
    Event {
        reason: Text::format(format_args!(
            "no metrics, {path}: {error}; {hint}; tried again every {} s",
            EVERY.as_secs()
        )),
        ..Event::new(EventKind::Degraded)
    }
}
