//! How the guard sees the processes: by a look of its own, or through the scout where it may be throttled.

use std::time::Duration;

use crate::decide::measure::{Level, Reading};
use crate::host::clock;
use crate::observe::{Depth, Need};

use super::super::reader::Reader;
use super::super::scout::{Scout, Seen};
use super::Guard;

/// A process table older than this is read again while memory is near the thresholds: so that command lines are known,
/// tables are large enough and cgroups are cached before they are needed.
const RESCAN: Duration = Duration::from_secs(10);

/// A scout's look younger than this is as good as one's own.
const FRESH: Duration = Duration::from_secs(2);

/// A throttled scout needs a second or two for each process that is new; longer than this nobody should wait for it.
const AWAIT_AT_MOST: Duration = Duration::from_secs(10);

/// Between two looks whether the scout is back.
pub(super) const AWAIT_SCOUT: Duration = Duration::from_millis(20);

/// What is known of the last scan.
#[derive(Default)]
pub(super) struct Scans {
    /// When the process table was last read.
    pub(super) last: Option<Duration>,
    /// What was available then.
    pub(super) available: u64,
    /// Since when the guard waits for the scout.
    awaited_since: Option<Duration>,
}

impl Guard {
    /// Sees to it that the processes can be shown; `false` when the scout has to be waited for.
    pub(super) fn look(&mut self, need: Need) -> bool {
        if self.throttleable {
            return !self.must_await_scout(need);
        }
        self.scan(need);
        true
    }

    /// The same for a stuck cgroup: nobody in it may be missed for want of room, and there is memory to be had, unless the
    /// machine is short of it too.
    pub(super) fn look_at_all(&mut self, need: Need) -> bool {
        let calm = self.parts.engine.gauge().machine(&self.last).level == Level::Calm;
        if self.throttleable || !calm {
            return self.look(need);
        }
        // Processes move, most of all young ones: where they live is read anew.
        self.scanner.forget_cgroups();
        self.scan_with_room(need);
        true
    }

    /// Scans with room for everybody, and makes room for deciding about them. Allocates.
    pub(super) fn scan_with_room(&mut self, need: Need) {
        let swap_used = self.last.meminfo.swap_used();
        self.scanner.scan_with_room(&self.parts.host, need, swap_used, &mut self.faults);
        self.parts.engine.reserve(self.scanner.tasks());
        self.scans.last = Some(clock::now());
    }

    pub(super) fn scan(&mut self, need: Need) {
        let swap_used = self.last.meminfo.swap_used();
        self.scanner.scan(&self.parts.host, need, swap_used, &mut self.faults);
        self.scans.last = Some(clock::now());
    }

    /// Near the thresholds the process table is read now and then, and when much has been filled since.
    pub(super) fn keep_tables_fresh(&mut self, reading: &Reading, now: Duration) {
        let old = self.scans.last.is_none_or(|at| now.saturating_sub(at) >= RESCAN);
        let headroom = reading.available.saturating_sub(reading.term);
        let then = self.scans.available.saturating_sub(reading.term);
        let filled = reading.level < Level::Term && headroom < then / 2;
        if !old && !filled {
            return;
        }
        self.scans.available = reading.available;
        self.scans.last = Some(now);
        let Some(link) = &mut self.link else { return };
        // Not before it is needed: most machines never come near.
        if link.reader.is_none() {
            link.reader = self.parts.host.proc.again().and_then(Reader::start).ok();
        }
        if self.throttleable {
            let table = link.scout.as_ref().and_then(Scout::found);
            if let (Some(reader), Some(Some(seen))) = (&link.reader, table.as_deref()) {
                reader.ask(seen.found.tasks.list.iter());
            }
            return;
        }
        // Processes move and units are marked: now is the time to see it, not when somebody has to be chosen.
        self.scanner.forget_cgroups();
        let need = self.parts.engine.chooser().need(reading);
        self.scan(need);
        // Above `warn` memory may be had.
        if reading.level == Level::Calm {
            self.scanner.grow();
            self.parts.engine.reserve(self.scanner.tasks());
        }
        if let Some(reader) = self.link.as_ref().and_then(|link| link.reader.as_ref()) {
            reader.ask(self.scanner.largest(|_, _| true).iter());
        }
        self.ask_of_largest();
    }

    /// Limits come and go: whether one of them could throttle the guard itself is looked up now and then.
    pub(super) fn look_whether_throttleable(&mut self) {
        self.throttleable = self.own_highs.any_is_finite();
        if self.throttleable {
            // Once it is throttled, each page takes seconds.
            self.touch_recorder_of_cgroups();
        }
        if let Some(link) = self.link.as_mut().filter(|link| self.throttleable && link.scout.is_none()) {
            link.scout = Scout::start(self.parts.hierarchy).ok();
        }
    }

    /// Whether what the scout saw last is too old to conclude from it that nobody is worth killing. Whoever is there and
    /// large enough is taken at once, however old the look; a guard that waits in vain goes on with what it has.
    pub(super) fn must_await_scout(&mut self, need: Need) -> bool {
        let now = clock::now();
        let Some(scout) = self.link.as_ref().and_then(|link| link.scout.as_ref()) else { return false };
        let floor = match need.depth {
            Depth::Large { floor } => floor,
            Depth::All => 0,
        };
        let enough = scout.found().is_some_and(|mut table| {
            table.as_mut().is_some_and(|Seen { at, found }| {
                found.roster.refresh(&mut found.tasks, self.parts.host.page_size);
                let own = self.parts.own;
                let somebody = found.tasks.list.iter().any(|t| {
                    let may = own.may_signal_others || t.uid == Some(own.uid);
                    may && t.oom_score_adj != Some(-1000) && t.size_with_shared() >= floor
                });
                let age = now.saturating_sub(*at);
                age < FRESH || (somebody && floor > 0 && age < RESCAN)
            })
        });
        if enough {
            self.scans.awaited_since = None;
            return false;
        }
        scout.ask();
        let since = *self.scans.awaited_since.get_or_insert(now);
        now.saturating_sub(since) < AWAIT_AT_MOST
    }

    /// Has the scout look, if that is how the guard sees; and makes room for what it found last.
    pub(super) fn ask_scout(&mut self) {
        let Some(scout) = self.link.as_ref().filter(|_| self.throttleable).and_then(|link| link.scout.as_ref()) else {
            return;
        };
        scout.ask();
        if let Some(seen) = scout.found().as_ref().and_then(|seen| seen.as_ref()) {
            self.parts.engine.reserve(&seen.found.tasks);
        }
    }

    /// A user's guard leaves the machine's memory to the system's guard; the clerk looks whether that runs.
    pub(super) fn look_for_others(&mut self) {
        if !self.parts.own.may_signal_others
            && let Some(clerk) = self.link.as_ref().and_then(|link| link.clerk.as_ref())
        {
            clerk.look_for_others();
        }
    }
}
