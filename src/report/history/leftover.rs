//! What a run before left on disk: half-written files, incidents that nobody completed, and `current.json` when it ended in
//! the middle of one.

use std::sync::atomic::Ordering;
use std::time::SystemTime;

use super::super::event::{Event, EventKind};
use super::super::incident::advice::advice;
use super::super::incident::schema::{Cause, Entry, Incident, State};
use super::super::queue::Sent;
use super::super::size::Size;
use super::super::text::Text;
use super::store::Found;
use super::{HistoryThread, host, story};

/// The number of what an earlier run left: the guard counts from 1.
const LEFTOVER: u32 = 0;

/// The kind of an incident that ended with hogwatch itself.
const UNCLEAN_END: &str = "unclean_end";

impl HistoryThread {
    /// Brings the state directory in order.
    #[inline(never)]
    pub(super) fn take_up_leftovers(&mut self) {
        if self.incidents.load(Ordering::Relaxed) == 0 {
            return;
        }
        self.store.clear_half_written();
        let current = match self.store.take_current() {
            Found::Nothing => None,
            Found::Incident(incident) => Some(*incident),
            Found::Bad(what) => {
                let reason = Text::from_bytes(what.as_bytes());
                self.losses.say(&Event { reason, ..Event::new(EventKind::Degraded) });
                None
            }
        };
        let entries = self.complete_what_is_open(current.as_ref());
        if let Some(current) = current {
            self.tell_unclean_end(current, entries);
        }
    }

    /// What followed on those incidents nobody will ever know. Returns the entries of those of the same run as `current`.
    fn complete_what_is_open(&mut self, current: Option<&Incident>) -> Vec<Entry> {
        let mut entries = Vec::new();
        for id in self.store.open_ids() {
            let mut incident = match self.store.load(&id) {
                Ok(Some(incident)) => incident,
                Ok(None) => continue,
                Err(why) => {
                    self.lost(&why);
                    continue;
                }
            };
            incident.state = State::Complete;
            incident.advice = advice(&incident);
            if let Err(why) = self.store.save(&incident) {
                self.lost(&why);
            }
            if current.is_some_and(|current| run_of(&current.id) == run_of(&id)) {
                entries.append(&mut incident.events);
            }
        }
        entries
    }

    /// Makes an incident of what was known last, and says so.
    fn tell_unclean_end(&mut self, mut incident: Incident, mut entries: Vec<Entry>) {
        let why = why(&incident);
        let id = self.origin.incident_id(LEFTOVER);
        let event = Event {
            kind: Some(UNCLEAN_END),
            reason: Text::format(format_args!("{why}; `hogwatch incidents show {id}` has what led up to it")),
            incident: Some(LEFTOVER),
            ..Event::new(EventKind::Degraded)
        };
        // Those that were written meanwhile are in both.
        let others = std::mem::take(&mut incident.events).into_iter().filter(|entry| !entries.contains(entry));
        let others: Vec<Entry> = others.collect();
        entries.extend(others);
        entries.sort_by_key(|entry| entry.t_ms);
        entries.push(self.entry(&Sent { at: SystemTime::now(), event }));
        story::add_entries(&mut incident, entries);
        story::settle(&mut incident);
        UNCLEAN_END.clone_into(&mut incident.kind);
        incident.id = id;
        incident.reason = why;
        // Who ended the daemon, nobody knows; whom it ended itself before, the incident of that tells.
        (incident.cause, incident.victim) = (Cause::Unknown, None);
        (incident.state, incident.end_ms, incident.after) = (State::Complete, None, None);
        incident.advice = advice(&incident);
        // What could not be written stays where it is, for the next start.
        if let Err(lost) = self.store.save(&incident).and_then(|()| self.store.remove_current()) {
            self.lost(&lost);
        }
        self.prune(&incident.id);
        self.losses.say(&event);
    }
}

/// What is known of the end, as a part of a sentence.
fn why(incident: &Incident) -> String {
    let machine = match (&incident.host.boot_id, host::boot_id()) {
        (Some(then), Some(now)) if *then == now => "only hogwatch ended, the machine did not",
        (Some(_), Some(_)) => "the machine was restarted since",
        _ => "whether the machine was restarted is not known",
    };
    // When, the readers tell, in local time.
    let last =
        incident.before.last().map(|sample| format!("; last seen with {} available", Size(sample.available_bytes)));
    format!("the run before ended in the middle of an incident, without a stop: {machine}{}", last.unwrap_or_default())
}

/// The part of an id that all incidents of a run have in common.
fn run_of(id: &str) -> &str {
    id.rsplit_once('-').map_or(id, |(run, _)| run)
}
