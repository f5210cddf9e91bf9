//! The history thread: writes incidents to disk, for whoever asks later. `docs/incidents.md` shows the files.
//!
//! It has a queue of the guard's events of its own, and waits for nobody but the disk. What is in memory is a small record of
//! each incident that is not complete, and the entries that are not on disk yet; to add to a file it is read, and written anew.

mod host;
mod leftover;
mod losses;
mod store;
mod story;
mod table;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags};
use serde_json::Value as Json;

use super::diagnostics::{self, Diagnostics};
use super::event::EventKind;
use super::field::Origin;
use super::incident::advice::advice;
use super::incident::evidence::{Evidence, EvidenceInbox};
use super::incident::schema::{After, Cause, Entry, Incident, KernelLine, SCHEMA, State, Thresholds};
use super::queue::{Queue, Sent, poll_ready};
use super::recorder::{Anchor, Recorder};
use super::status::Shared;
use super::status::document;
use super::stop::Stop;
use crate::host::clock;

pub(super) use losses::Losses;
pub(super) use store::Store;
pub(super) use table::Table;

use table::Open;

/// Since when an incident tells, as a time since boot: as far back as the recorder reaches.
const EVER: Duration = Duration::ZERO;

/// How far back `current.json` reaches: the minutes before a freeze tell, and all of it is written every few seconds.
const CURRENT_REACHES: Duration = Duration::from_secs(180);

/// After systemd could not be asked, it is left alone for so long.
const SYSTEMD_RESTS: Duration = Duration::from_secs(60);

/// Whether the unit of a victim's cgroup was started again after it was hit, at this time of the clock that nobody sets
/// (`host::clock::now`); `None`: no unit, or it never ended. An error says why that can't be known.
pub type Restarted = fn(&str, Duration) -> Result<Option<bool>, String>;

/// How incidents are kept.
#[derive(Clone, Debug)]
pub struct HistoryOptions {
    /// The state directory; it is made when something is to be written.
    pub state: PathBuf,
    /// How many incidents are kept; 0: none.
    pub incidents: u32,
    /// Who knows about units.
    pub restarted: Restarted,
    /// When things are done.
    pub pace: Pace,
}

/// When things are done.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// From an incident's end to the look at what followed.
    pub complete_after: Duration,
    /// Between two writes of `current.json`.
    pub current_every: Duration,
    /// A stuck cgroup of which nothing was said for so long is stuck no more, or gone: the guard says it again every minute.
    pub silence: Duration,
    /// Between two writes of an incident that goes on: less than the recorder reaches back.
    pub refresh: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            complete_after: Duration::from_secs(60),
            current_every: Duration::from_secs(5),
            silence: Duration::from_secs(150),
            refresh: Duration::from_secs(8 * 60),
        }
    }
}

/// All that the thread owns.
#[derive(Debug)]
pub(super) struct HistoryThread {
    pub queue: Arc<Queue>,
    pub evidence: EvidenceInbox,
    pub stop: Arc<Stop>,
    pub shared: Arc<Shared>,
    pub origin: Origin,
    pub store: Store,
    pub recorder: Recorder,
    /// How many incidents are kept.
    pub incidents: Arc<AtomicU32>,
    pub restarted: Restarted,
    pub pace: Pace,
    pub losses: Losses,
    pub diagnostics: Diagnostics,
    pub table: Table,
    /// The kernel's lines since the oldest open incident.
    pub lines: Vec<KernelLine>,
    /// When `current.json` was written last; `None` when there is none.
    pub current: Option<Duration>,
    /// When it could not be removed.
    pub current_stays: Option<Duration>,
    /// When systemd could not be asked.
    pub in_vain: Option<Duration>,
}

impl HistoryThread {
    /// Until stopped; whether all that was to be written is.
    pub fn run(mut self) -> bool {
        let _diagnostics = diagnostics::on_this_thread(&self.diagnostics);
        self.take_up_leftovers();
        loop {
            self.listen();
            if self.stop.is_requested() && self.queue.is_empty() {
                return self.finish();
            }
            if !self.work() {
                self.wait();
            }
        }
    }

    /// Takes in what was said, as far as there is room.
    fn listen(&mut self) {
        let now = clock::now();
        while !self.table.is_full()
            && !self.table.is_crowded()
            && let Some(sent) = self.queue.pop()
        {
            self.table.hear(&sent, now);
        }
        while !self.table.is_crowded()
            && let Some(evidence) = self.evidence.take()
        {
            match evidence {
                Evidence::KernelOom(kill) => {
                    self.table.report(kill.event.incident, kill.report, now);
                }
                Evidence::KernelLine(line) if !self.table.open.is_empty() => story::push_line(&mut self.lines, *line),
                // It belongs to nothing.
                Evidence::KernelLine(_) => {}
            }
        }
        if self.incidents.load(Ordering::Relaxed) == 0 {
            self.table = Table::default();
        }
        let lost = self.queue.take_dropped() + self.evidence.take_dropped() + self.table.take_turned_away();
        if lost > 0 {
            self.lost(&format!("{lost} entries found no room on their way to the disk"));
        }
    }

    /// Does the most urgent thing; whether there was anything to do.
    fn work(&mut self) -> bool {
        let now = clock::now();
        if self.keep_current(now) {
            return true;
        }
        if let Some(at) = self.table.to_save(&self.pace, now) {
            self.save(at, None);
        } else if self.table.is_crowded()
            && let Some(at) = self.table.to_make_room()
        {
            // Too early to ask.
            self.complete(at, Followed { unit_restarted: None });
        } else if let Some(at) = self.table.to_complete(&self.pace, now) {
            let followed = self.what_followed(at);
            self.complete(at, followed);
        } else {
            return false;
        }
        true
    }

    fn wait(&self) {
        let current = self.current_stays.or(self.current).map(|at| at + self.pace.current_every);
        let due = [self.table.next_due(&self.pace), current].into_iter().flatten().min();
        let timeout = due.map(|due| due.saturating_sub(clock::now()));
        let bells = [self.queue.wake_fd(), self.evidence.bell()];
        poll_ready(&mut bells.map(|bell| PollFd::new(bell, PollFlags::POLLIN)), timeout);
        self.queue.clear_wake();
        self.evidence.clear_bell();
    }

    /// The end: what is open is completed with what is known.
    fn finish(mut self) -> bool {
        self.current_stays = None;
        self.remove_current(clock::now());
        while !self.table.open.is_empty() && !self.stop.is_overdue() {
            // Too early to ask.
            self.complete(0, Followed { unit_restarted: None });
        }
        self.table.open.is_empty()
    }

    /// Keeps `current.json` as long as something goes on; whether it was written.
    fn keep_current(&mut self, now: Duration) -> bool {
        if self.table.goes_on().is_none() {
            self.remove_current(now);
            return false;
        }
        if self.current.is_some_and(|wrote| now.saturating_sub(wrote) < self.pace.current_every) {
            return false;
        }
        (self.current, self.current_stays) = (Some(now), None);
        if let Err(why) = self.save_current() {
            self.lost(&why);
        }
        true
    }

    #[inline(never)]
    fn save_current(&self) -> Result<(), String> {
        let Some(open) = self.table.goes_on() else { return Ok(()) };
        let mut incident = self.begun(open);
        let mut waiting: Vec<&Sent> = self.table.open.iter().flat_map(|open| &open.waiting).collect();
        waiting.sort_by_key(|sent| sent.at);
        story::add_entries(&mut incident, waiting.into_iter().map(|sent| self.entry(sent)));
        let now = Anchor::now();
        let since = now.since_boot.saturating_sub(CURRENT_REACHES);
        story::add_recorded(&mut incident, self.recorder.recorded_thinly(since, now, story::WANTED));
        story::add_lines(&mut incident, &self.lines);
        story::settle(&mut incident);
        if incident.cgroup.is_none() {
            // What named it is in the incident's file already.
            incident.cgroup.clone_from(&open.cgroup);
        }
        self.add_cgroup(&mut incident, since, now, false);
        self.store.save_current(&incident)
    }

    /// Removes `current.json`; where that fails it is tried again, or the next start would take it for a crash.
    fn remove_current(&mut self, now: Duration) {
        let lately = self.current_stays.is_some_and(|tried| now.saturating_sub(tried) < self.pace.current_every);
        if self.current.is_none() || lately {
            return;
        }
        match self.store.remove_current() {
            Ok(()) => (self.current, self.current_stays) = (None, None),
            Err(why) => {
                self.current_stays = Some(now);
                self.lost(&why);
            }
        }
    }

    /// Adds to the file of an open incident what is not in it.
    fn save(&mut self, at: usize, followed: Option<Followed>) {
        let saved = self.save_one(at, followed);
        if let Err(why) = &saved {
            self.lost(why);
        }
        let is_full = self.table.is_full();
        let Some(open) = self.table.open.get_mut(at) else { return };
        (open.urgent, open.behind) = (false, None);
        open.saved = Some(saved.as_ref().map_or_else(|_| clock::now(), |saved| saved.at));
        if let Ok(Saved { recorded, cgroup, .. }) = &saved {
            open.recorded = Some(*recorded);
            open.cgroup.clone_from(cgroup);
        }
        // What could not be written may be with the next entry, unless it is in everybody's way.
        if saved.is_ok() || is_full {
            (open.waiting, open.report) = (Vec::new(), None);
        }
    }

    #[inline(never)]
    fn save_one(&self, at: usize, followed: Option<Followed>) -> Result<Saved, String> {
        let open = &self.table.open[at];
        let known = self.store.load(&self.origin.incident_id(open.number))?;
        let is_new = known.is_none();
        let mut incident = known.unwrap_or_else(|| self.begun(open));
        // All of it as of one moment, from which the next goes on.
        let (read_at, now) = (clock::now(), Anchor::now());
        let since = open.recorded.filter(|_| !is_new).unwrap_or(EVER);
        let mut recorded = self.recorder.recorded_thinly(since, now, story::WANTED);
        // One that was complete already, and has come back, was never saved by this record of it.
        let older = open.recorded.is_none();
        story::leave_out_known(&mut recorded, &incident, older);
        story::add_recorded(&mut incident, recorded);
        story::add_entries(&mut incident, open.waiting.iter().map(|sent| self.entry(sent)));
        if incident.kernel.is_none() {
            incident.kernel = open.report.as_deref().cloned();
        }
        story::add_lines(&mut incident, &self.lines);
        let was = incident.cgroup.take();
        story::settle(&mut incident);
        if incident.cgroup != was {
            incident.cgroup_samples.clear();
        }
        let since = if incident.cgroup_samples.is_empty() { EVER } else { since };
        self.add_cgroup(&mut incident, since, now, older);
        (incident.state, incident.end_ms, incident.after) = (State::Open, None, None);
        if let Some(followed) = followed {
            complete(&mut incident, open, followed);
        }
        self.store.save(&incident)?;
        if is_new {
            self.prune(&incident.id);
        }
        Ok(Saved { at: read_at, recorded: now.since_boot, cgroup: incident.cgroup })
    }

    /// Completes the file of an incident, and forgets it.
    fn complete(&mut self, at: usize, followed: Followed) {
        self.save(at, Some(followed));
        self.table.open.remove(at);
        if self.table.open.is_empty() {
            (self.table.open, self.lines) = (Vec::new(), Vec::new());
        }
    }

    /// Asks about the victim's unit.
    fn what_followed(&mut self, at: usize) -> Followed {
        let rests = self.in_vain.is_some_and(|since| clock::now().saturating_sub(since) < SYSTEMD_RESTS);
        let hit = self.table.open[at].hit.as_ref().filter(|_| !rests && !self.origin.dry_run);
        let asked = hit.map_or(Ok(None), |hit| (self.restarted)(&hit.cgroup, hit.at));
        if let Err(why) = &asked {
            tracing::debug!("whether the victim's unit was started again is not known: {why}");
            self.in_vain = Some(clock::now());
        }
        Followed { unit_restarted: asked.ok().flatten() }
    }

    /// An incident of which nothing is known but that it began.
    fn begun(&self, open: &Open) -> Incident {
        let limits = self.shared.limits();
        Incident {
            schema: SCHEMA,
            id: self.origin.incident_id(open.number),
            kind: open.kind.unwrap_or_default().to_owned(),
            cause: Cause::Unknown,
            state: State::Open,
            dry_run: self.origin.dry_run,
            begin_ms: open.begin_ms,
            end_ms: None,
            host: host::host(),
            thresholds: limits.map(|limits| Thresholds {
                warn_bytes: limits.warn,
                term_bytes: limits.term,
                kill_bytes: limits.kill,
            }),
            cgroup: None,
            limit_bytes: None,
            reason: String::new(),
            victim: None,
            before: Vec::new(),
            cgroup_samples: Vec::new(),
            tops: Vec::new(),
            candidates: Vec::new(),
            acts: Vec::new(),
            events: Vec::new(),
            kernel: None,
            kernel_lines: Vec::new(),
            after: None,
            advice: Vec::new(),
        }
    }

    /// Adds what was recorded of the cgroup in trouble. `older` as for [`story::leave_out_known`].
    fn add_cgroup(&self, incident: &mut Incident, since: Duration, until: Anchor, older: bool) {
        if let Some(cgroup) = &incident.cgroup {
            let samples = self.recorder.of_cgroup(cgroup, since, until);
            story::add_cgroup_samples(incident, samples, older);
        }
    }

    /// An entry as it is in the journal, and how many were hit together.
    fn entry(&self, sent: &Sent) -> Entry {
        let mut fields = document::event(sent, &self.origin);
        let spec = sent.event.event.spec();
        let message = match fields.remove("message") {
            Some(Json::String(message)) => message,
            _ => String::new(),
        };
        for key in ["t_ms", "event", "priority"] {
            fields.remove(key);
        }
        if let Some(members) = sent.event.members {
            fields.insert("members".to_owned(), members.into());
        }
        Entry {
            t_ms: document::unix_ms(sent.at),
            event: spec.name.to_owned(),
            priority: spec.priority.word().to_owned(),
            message,
            fields,
        }
    }

    fn prune(&self, spared: &str) {
        self.store.prune(usize::try_from(self.incidents.load(Ordering::Relaxed)).unwrap_or(usize::MAX), spared);
    }

    fn lost(&mut self, why: &str) {
        self.losses.lost(why, clock::now());
    }
}

/// What is in a file now.
#[derive(Debug)]
struct Saved {
    /// When it was put together.
    at: Duration,
    /// Up to when it has what was recorded: a time since boot.
    recorded: Duration,
    /// The cgroup in trouble.
    cgroup: Option<String>,
}

/// What had to be asked for.
#[derive(Clone, Copy, Debug)]
struct Followed {
    unit_restarted: Option<bool>,
}

fn complete(incident: &mut Incident, open: &Open, followed: Followed) {
    let recovered_after = open.recovered_after();
    let recovered = incident.events.iter().rev().find(|entry| entry.event == EventKind::Recovered.spec().name);
    incident.end_ms = match recovered_after {
        Some(_) => recovered.map(|entry| entry.t_ms),
        None if open.was_a_moment() => incident.events.last().map(|entry| entry.t_ms),
        None => None,
    };
    incident.after = Some(After {
        freed_bytes: story::freed(incident),
        recovered_ms: recovered_after.and_then(|took| u64::try_from(took.as_millis()).ok()),
        unit_restarted: followed.unit_restarted,
        available_bytes: story::available_at_end(incident),
    });
    incident.state = State::Complete;
    incident.advice = advice(incident);
}
