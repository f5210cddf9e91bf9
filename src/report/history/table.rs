//! The incidents that are not complete yet: a small record of each, and the entries that are not on disk yet.

use std::time::{Duration, SystemTime};

use super::super::event::EventKind;
use super::super::incident::schema::KernelReport;
use super::super::queue::Sent;
use super::super::status::document::unix_ms;
use super::Pace;

/// Incidents that are open at the same time: the guard works on 64 stuck cgroups at once, and as many may have ended in the
/// last minute.
const MOST: usize = 128;

/// How long a file may say less than is known: whoever was killed a moment ago "was not seen to exit" in it.
const CATCH_UP: Duration = Duration::from_secs(1);

/// Entries in memory, of 1.3 KiB each. With more, those of the incident that has most are written.
const MOST_WAITING: usize = 32;

/// How an incident comes to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lasts {
    /// It is over as it begins: somebody else's kill.
    Moment,
    /// A stuck cgroup: its end may go unsaid, as when the cgroup is gone.
    Stuck,
    /// Memory is short: the guard says when that is over.
    Short,
}

/// An end.
#[derive(Clone, Copy, Debug)]
struct Ended {
    at: Duration,
    /// The cause was seen to be gone.
    recovered: bool,
}

/// Somebody was hit.
#[derive(Clone, Debug)]
pub struct Hit {
    /// When.
    pub at: Duration,
    /// Where it lived, escaped.
    pub cgroup: String,
}

/// One that is not complete yet. Times are of the clock that nobody sets (`host::clock::now`).
#[derive(Debug)]
pub struct Open {
    /// Which of this run.
    pub number: u32,
    lasts: Lasts,
    began: Duration,
    touched: Duration,
    ended: Option<Ended>,
    /// When it was last written to disk.
    pub saved: Option<Duration>,
    /// Up to when what was recorded is in its file: a time since boot (`host::clock::since_boot`).
    pub recorded: Option<Duration>,
    /// As its first entry has it that has one.
    pub kind: Option<&'static str>,
    /// The date of its beginning, in milliseconds since 1970.
    pub begin_ms: u64,
    /// Who was hit first.
    pub hit: Option<Hit>,
    /// The cgroup in trouble, as the file has it.
    pub cgroup: Option<String>,
    /// What waits should be on disk now.
    pub urgent: bool,
    /// Since when the file on disk does not tell how it went on.
    pub behind: Option<Duration>,
    /// Entries that are not on disk.
    pub waiting: Vec<Sent>,
    /// What the kernel said, if that is not on disk.
    pub report: Option<Box<KernelReport>>,
}

impl Open {
    fn new(number: u32, begin: SystemTime, now: Duration) -> Self {
        Self {
            number,
            kind: None,
            begin_ms: unix_ms(begin),
            lasts: Lasts::Moment,
            began: now,
            touched: now,
            ended: Some(Ended { at: now, recovered: false }),
            saved: None,
            recorded: None,
            hit: None,
            cgroup: None,
            urgent: false,
            behind: None,
            waiting: Vec::new(),
            report: None,
        }
    }

    /// Whether it goes on, as far as anybody has said.
    pub fn goes_on(&self) -> bool {
        self.ended.is_none()
    }

    /// Whether it was over with the entry it began with.
    pub fn was_a_moment(&self) -> bool {
        self.lasts == Lasts::Moment
    }

    /// From its beginning until the cause was gone, if that was seen.
    pub fn recovered_after(&self) -> Option<Duration> {
        self.ended.filter(|ended| ended.recovered).map(|ended| ended.at.saturating_sub(self.began))
    }

    /// When nothing more is waited for.
    fn complete_at(&self, pace: &Pace) -> Option<Duration> {
        match (self.ended, self.lasts) {
            // Whoever was spared may go later.
            (Some(ended), _) => Some(ended.at.max(self.touched) + pace.complete_after),
            (None, Lasts::Short) => None,
            (None, Lasts::Moment | Lasts::Stuck) => Some(self.touched + pace.silence),
        }
    }

    /// When it is to be written although nothing was said: before the recorder forgets how it went on.
    fn refresh_at(&self, pace: &Pace) -> Option<Duration> {
        self.goes_on().then(|| self.saved.unwrap_or(self.began) + pace.refresh)
    }

    /// When the file is to tell how it went on: what follows a hit comes in a row, and is written once.
    fn catch_up_at(&self) -> Option<Duration> {
        self.behind.map(|since| since + CATCH_UP)
    }

    fn end(&mut self, now: Duration, recovered: bool) {
        self.ended = Some(Ended { at: now, recovered });
    }

    fn lasts(&mut self, lasts: Lasts) {
        // Memory may become short while something is stuck: then the guard will say that it is over.
        if self.lasts != Lasts::Short {
            self.lasts = lasts;
        }
        self.ended = None;
    }

    fn hit(&mut self, sent: &Sent, now: Duration) {
        self.hit.get_or_insert_with(|| Hit { at: now, cgroup: sent.event.cgroup.to_string() });
    }

    fn hear(&mut self, sent: &Sent, now: Duration) {
        self.touched = now;
        self.kind = self.kind.or(sent.event.kind);
        match sent.event.event {
            EventKind::Warn => self.lasts(Lasts::Short),
            EventKind::Livelock | EventKind::OomStuck => {
                self.lasts(Lasts::Stuck);
                self.urgent = true;
            }
            EventKind::Term | EventKind::Kill => {
                self.lasts(Lasts::Stuck);
                self.hit(sent, now);
                self.urgent = true;
            }
            EventKind::Refused | EventKind::Lift => {
                self.lasts(Lasts::Stuck);
                self.urgent = true;
            }
            EventKind::KernelOom | EventKind::OomdKill => {
                self.hit(sent, now);
                self.urgent = true;
                if self.lasts == Lasts::Moment {
                    self.end(now, false);
                }
            }
            EventKind::Recovered => self.end(now, true),
            _ => {}
        }
        // Nobody waits for a mere warning: that one has no file yet.
        let has_file = self.saved.is_some() || self.urgent;
        if let (true, EventKind::Exited | EventKind::SetAside | EventKind::Recovered) = (has_file, sent.event.event) {
            self.behind.get_or_insert(now);
        }
        self.waiting.push(*sent);
    }
}

/// All that are open.
#[derive(Debug, Default)]
pub struct Table {
    /// Oldest first.
    pub open: Vec<Open>,
    /// Entries of incidents that found no room since the last look.
    turned_away: u64,
}

impl Table {
    /// Takes an entry in.
    pub fn hear(&mut self, sent: &Sent, now: Duration) {
        let number = sent.event.incident;
        // The guard puts the number of an episode of shortage on whatever it says meanwhile: one that it does not name any
        // more is over, though the entry that said so was lost.
        if number.is_none() || sent.event.event == EventKind::Warn {
            let over = |open: &&mut Open| open.lasts == Lasts::Short && open.goes_on() && Some(open.number) != number;
            self.open.iter_mut().filter(over).for_each(|open| open.end(now, false));
        }
        let Some(number) = number else { return };
        match self.of(number, sent.at, now) {
            Some(open) => open.hear(sent, now),
            None => self.turned_away += 1,
        }
    }

    /// Takes a report of the kernel's in, for this incident or, without one, for the shortage that goes on. Whether it found
    /// its place.
    pub fn report(&mut self, number: Option<u32>, report: KernelReport, now: Duration) -> bool {
        let short = self.open.iter().find(|open| open.lasts == Lasts::Short && open.goes_on());
        let Some(number) = number.or(short.map(|open| open.number)) else { return false };
        let Some(open) = self.of(number, SystemTime::now(), now) else { return false };
        open.touched = now;
        open.urgent = true;
        open.report.get_or_insert_with(|| Box::new(report));
        true
    }

    /// The record of this number, made if there is room.
    fn of(&mut self, number: u32, begin: SystemTime, now: Duration) -> Option<&mut Open> {
        let known = self.open.iter().position(|open| open.number == number);
        let at = known.unwrap_or(self.open.len());
        if at == MOST {
            return None;
        }
        if known.is_none() {
            self.open.push(Open::new(number, begin, now));
        }
        self.open.get_mut(at)
    }

    /// Whether a new incident would find no room, unless [`Table::to_make_room`] is completed first.
    pub fn is_crowded(&self) -> bool {
        self.open.len() == MOST && self.to_make_room().is_some()
    }

    /// Which one can be completed early: the oldest that was over as it began, else of those that are over. It comes back
    /// from its file if more is said of it.
    pub fn to_make_room(&self) -> Option<usize> {
        let moment = self.open.iter().position(Open::was_a_moment);
        moment.or_else(|| self.open.iter().position(|open| !open.goes_on()))
    }

    /// How many entries found no room since the last call.
    pub fn take_turned_away(&mut self) -> u64 {
        std::mem::take(&mut self.turned_away)
    }

    /// Whether no more entries may be taken in before some are on disk.
    pub fn is_full(&self) -> bool {
        self.open.iter().map(|open| open.waiting.len()).sum::<usize>() >= MOST_WAITING
    }

    /// Which one goes on for the longest time.
    pub fn goes_on(&self) -> Option<&Open> {
        self.open.iter().find(|open| open.goes_on())
    }

    /// Which one is to be written now.
    pub fn to_save(&self, pace: &Pace, now: Duration) -> Option<usize> {
        let due = |open: &Open| {
            open.urgent || [open.refresh_at(pace), open.catch_up_at()].into_iter().flatten().any(|at| now >= at)
        };
        self.open.iter().position(due).or_else(|| {
            let most = || (0..self.open.len()).max_by_key(|&at| self.open[at].waiting.len());
            self.is_full().then(most).flatten()
        })
    }

    /// Which one is to be completed now.
    pub fn to_complete(&self, pace: &Pace, now: Duration) -> Option<usize> {
        self.open.iter().position(|open| open.complete_at(pace).is_some_and(|at| now >= at))
    }

    /// When the next is to be written or completed, if nothing is said before.
    pub fn next_due(&self, pace: &Pace) -> Option<Duration> {
        let due = |open: &Open| [open.complete_at(pace), open.refresh_at(pace), open.catch_up_at()];
        self.open.iter().flat_map(due).flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::event::Event;
    use super::*;

    fn sent(kind: EventKind, incident: Option<u32>) -> Sent {
        Sent { at: SystemTime::now(), event: Event { incident, ..Event::new(kind) } }
    }

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_was_said_last_decides_when_it_is_complete() {
        use EventKind::{Degraded, Exited, KernelOom, Livelock, Recovered, Refused, Term, Warn};
        let pace = Pace::default();
        let (after, silence) = (pace.complete_after, pace.silence);
        let cases: &[(&[EventKind], Option<Duration>, bool)] = &[
            (&[Warn], None, true),
            (&[Warn, Term, Exited], None, true),
            (&[Warn, Term, Exited, Recovered], Some(after), false),
            (&[Warn, Recovered, Refused], None, true),
            (&[Livelock], Some(silence), true),
            (&[Livelock, Term, Exited, Recovered], Some(after), false),
            (&[Livelock, Recovered, Exited], Some(after), false),
            (&[Term], Some(silence), true),
            (&[KernelOom], Some(after), false),
            (&[Livelock, KernelOom], Some(silence), true),
            (&[Degraded], Some(after), false),
        ];
        for (events, due, goes_on) in cases {
            let mut table = Table::default();
            events.iter().for_each(|kind| table.hear(&sent(*kind, Some(7)), s(100)));
            let open = &table.open[0];
            assert_eq!(open.complete_at(&pace), due.map(|due| s(100) + due), "{events:?}");
            assert_eq!(open.goes_on(), *goes_on, "{events:?}");
            assert_eq!(open.waiting.len(), events.len());
        }
    }

    #[test]
    fn a_shortage_that_the_guard_names_no_more_is_over() {
        let mut table = Table::default();
        table.hear(&sent(EventKind::Warn, Some(1)), s(0));
        table.hear(&sent(EventKind::State, Some(1)), s(1));
        assert!(table.open[0].goes_on());
        table.hear(&sent(EventKind::State, None), s(2));
        assert!(!table.open[0].goes_on());
        assert_eq!(table.open[0].recovered_after(), None, "nobody saw it");

        table.hear(&sent(EventKind::Warn, Some(2)), s(3));
        table.hear(&sent(EventKind::Livelock, Some(3)), s(3));
        table.hear(&sent(EventKind::Warn, Some(4)), s(4));
        let going: Vec<_> = table.open.iter().filter(|open| open.goes_on()).map(|open| open.number).collect();
        assert_eq!(going, [3, 4]);
    }

    #[test]
    fn a_kernels_report_goes_to_its_incident_or_to_the_shortage() {
        let mut table = Table::default();
        assert!(!table.report(None, KernelReport::default(), s(0)), "there is nothing it could belong to");
        table.hear(&sent(EventKind::Warn, Some(1)), s(0));
        assert!(table.report(None, KernelReport::default(), s(0)));
        assert!(table.report(Some(2), KernelReport::default(), s(0)), "its entry is yet to come");
        let with: Vec<_> = table.open.iter().filter(|open| open.report.is_some()).map(|open| open.number).collect();
        assert_eq!(with, [1, 2]);
    }

    #[test]
    fn the_file_tells_soon_how_it_went_on() {
        use EventKind::{Exited, Recovered, Refused, Term, Warn};
        let pace = Pace::default();
        let mut table = Table::default();
        table.hear(&sent(Warn, Some(1)), s(0));
        table.hear(&sent(Recovered, Some(1)), s(1));
        assert_eq!(table.to_save(&pace, s(3)), None, "nothing was done, so nobody is in a hurry to read of it");
        for act in [Term, Refused] {
            let mut table = Table::default();
            table.hear(&sent(act, Some(1)), s(10));
            assert_eq!(table.to_save(&pace, s(10)), Some(0));
            (table.open[0].urgent, table.open[0].saved) = (false, Some(s(10)));
            table.hear(&sent(Exited, Some(1)), s(11));
            table.hear(&sent(Recovered, Some(1)), s(11));
            assert_eq!(table.to_save(&pace, s(11)), None, "the two are written once");
            assert_eq!(table.next_due(&pace), Some(s(11) + CATCH_UP));
            assert_eq!(table.to_save(&pace, s(11) + CATCH_UP), Some(0));
        }
    }

    #[test]
    fn both_tables_are_bounded() {
        let mut table = Table::default();
        for number in 0..1000 {
            table.hear(&sent(EventKind::Livelock, Some(number)), s(0));
        }
        assert_eq!(table.open.len(), MOST);
        assert_eq!(table.take_turned_away(), 1000 - MOST as u64);
        assert_eq!(table.take_turned_away(), 0);
        assert!(table.is_full());

        let mut table = Table::default();
        for number in [1, 2, 2, 3] {
            table.hear(&sent(EventKind::Warn, Some(number)), s(0));
        }
        assert!(!table.is_full() && table.to_save(&Pace::default(), s(0)).is_none());
        (0..MOST_WAITING).for_each(|_| table.hear(&sent(EventKind::State, Some(2)), s(0)));
        assert_eq!(table.to_save(&Pace::default(), s(0)), Some(1), "the one with most");
    }
}
