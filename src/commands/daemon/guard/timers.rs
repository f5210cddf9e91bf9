//! What the guard does when nothing is urgent.

use std::time::Duration;

use crate::decide::measure::Reading;
use crate::host::clock;
use crate::observe::Faults;
use crate::observe::machine::ReadError;
use crate::report::{Event, EventKind, Text};

use super::super::snapshot::snapshot;
use super::super::tell;
use super::Guard;
use super::plan::ASK_SYSTEMD;

/// How often whoever asks for the status gets fresh numbers.
const PUBLISH: Duration = Duration::from_secs(1);

/// How often a user's guard looks whether the system's guard runs.
const OTHERS: Duration = Duration::from_secs(5);

/// How often faults of reading are told, if there are new ones.
const FAULTS: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(super) struct Timers {
    pub(super) ping: Option<Duration>,
    pub(super) state: Option<Duration>,
    publish: Option<Duration>,
    pub(super) others: Option<Duration>,
    faults: Option<Duration>,
    systemd: Option<Duration>,
}

impl Guard {
    /// What may be done now that nothing is urgent.
    pub(super) fn afterwards(&mut self, reading: &Reading) {
        let now = clock::now();
        if self.near && self.parts.engine.victim().is_none() {
            self.keep_tables_fresh(reading, now);
        }
        if due(&mut self.timers.publish, now, PUBLISH)
            && let Some(link) = &self.link
        {
            let (enclosing, cases) = (self.parts.enclosing.found(), self.parts.engine.cases());
            let at_limit = self.breaker.at_their_limit(cases);
            link.sender.publish(|into| snapshot(into, reading, &self.last, enclosing, at_limit));
        }
        if self.timers.state.is_some_and(|at| now >= at) {
            self.timers.state = self.parts.journal_every.map(|every| now + every);
            self.send(&tell::state(reading));
        }
        if due(&mut self.timers.others, now, OTHERS) {
            self.look_for_others();
            self.look_whether_throttleable();
            self.ask_scout();
        }
        if self.parts.plan.asks_systemd()
            && due(&mut self.timers.systemd, now, ASK_SYSTEMD)
            && let Some(clerk) = self.link.as_ref().and_then(|link| link.clerk.as_ref())
        {
            clerk.ask_systemd();
        }
        if self.faults != self.told && due(&mut self.timers.faults, now, FAULTS) {
            self.tell_faults();
        }
    }

    /// `/proc/meminfo` can't be read: says so once a minute and tries again soon.
    pub(super) fn blind(&mut self, error: &ReadError) -> Duration {
        let now = clock::now();
        if due(&mut self.timers.faults, now, FAULTS) {
            let reason = Text::format(format_args!("blind: {error}"));
            self.send(&Event { reason, ..Event::new(EventKind::Degraded) });
        }
        Duration::from_millis(100)
    }

    pub(super) fn tell_faults(&mut self) {
        let Faults { malformed, last, denied, failed, overflowed } = self.faults;
        let new = |now: u64, then: u64| now.saturating_sub(then);
        let mut reason = Text::format(format_args!(
            "could not be read in the last minute: {} malformed, {} failed, {} without room",
            new(malformed, self.told.malformed),
            new(failed, self.told.failed),
            new(overflowed, self.told.overflowed),
        ));
        let _ = denied;
        if let Some(last) = last {
            use std::fmt::Write;
            let _ = write!(reason, "; last: {last}");
        }
        let worth_telling =
            new(malformed, self.told.malformed) + new(failed, self.told.failed) + new(overflowed, self.told.overflowed);
        self.told = self.faults;
        if worth_telling > 0 {
            self.send(&Event { reason, ..Event::new(EventKind::Degraded) });
        }
    }

    /// How long until something other than memory wants attention.
    pub(super) fn until_timers(&self) -> Duration {
        let now = clock::now();
        let ping = self.watchdog.as_ref().zip(self.timers.ping).map(|(w, last)| last + w.every);
        [ping, self.timers.state].into_iter().flatten().map(|at| at.saturating_sub(now)).min().unwrap_or(Duration::MAX)
    }
}

/// Whether `every` has passed since the last time, which becomes now.
pub(super) fn due(last: &mut Option<Duration>, now: Duration, every: Duration) -> bool {
    let due = last.is_none_or(|last| now.saturating_sub(last) >= every);
    if due {
        *last = Some(now);
    }
    due
}
