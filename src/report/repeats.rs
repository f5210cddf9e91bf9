//! Holds back what would only be said again: a full journal hides the one line that matters.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use super::event::{Event, EventKind};
use super::queue::Sent;

/// So many alike are written…
const BURST: u32 = 5;
/// …of kills by others so many: each names somebody else, but whoever has a limit of his own can cause them at will…
const OTHERS_BURST: u32 = 30;
/// …in this time.
const WINDOW: Duration = Duration::from_secs(60);

/// So many different complaints are told apart; the one that was quiet longest makes room.
const DIFFERENT: usize = 16;

/// Remembers what was said lately.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    known: Vec<Known>,
}

#[derive(Debug)]
struct Known {
    alike: u64,
    since: Instant,
    last: Instant,
    said: u32,
    held_back: u64,
    /// The last one that was held back.
    last_held: Option<Box<Sent>>,
}

impl Repeats {
    /// `None`: hold this one back. `Some(n)`: write it, and say that n similar ones were held back before it.
    ///
    /// hogwatch's own acts and life-cycle are always written.
    pub fn admit(&mut self, event: &Event, now: Instant) -> Option<u64> {
        let burst = match event.event {
            EventKind::Warn | EventKind::Degraded | EventKind::Refused => BURST,
            EventKind::KernelOom | EventKind::OomdKill => OTHERS_BURST,
            _ => return Some(0),
        };
        let alike = fingerprint(event);
        let Some(known) = self.known.iter_mut().find(|known| known.alike == alike) else {
            self.remember(alike, now);
            return Some(0);
        };
        known.last = now;
        if now.saturating_duration_since(known.since) >= WINDOW {
            known.since = now;
            known.said = 0;
        }
        if known.said >= burst {
            known.held_back += 1;
            return None;
        }
        known.said += 1;
        known.last_held = None;
        Some(std::mem::take(&mut known.held_back))
    }

    /// Keeps one that [`Repeats::admit`] has just held back: should none like it follow, it is the end of the story.
    pub fn hold(&mut self, sent: &Sent) {
        let alike = fingerprint(&sent.event);
        if let Some(known) = self.known.iter_mut().find(|known| known.alike == alike) {
            known.last_held = Some(Box::new(*sent));
        }
    }

    /// The last of those that were held back, once their time is over and none like them has followed, and how many more
    /// there were. At the end (`all`) without waiting for that.
    pub fn overdue(&mut self, now: Instant, all: bool) -> Option<(Box<Sent>, u64)> {
        let known = self
            .known
            .iter_mut()
            .find(|known| known.last_held.is_some() && (all || now.saturating_duration_since(known.since) >= WINDOW))?;
        let held_back = std::mem::take(&mut known.held_back);
        // The next one begins a burst of its own.
        (known.since, known.said) = (now, 1);
        Some((known.last_held.take()?, held_back.saturating_sub(1)))
    }

    /// How long until [`Repeats::overdue`] has something, if nothing else happens.
    pub fn due(&self, now: Instant) -> Option<Duration> {
        let held = self.known.iter().filter(|known| known.last_held.is_some());
        held.map(|known| WINDOW.saturating_sub(now.saturating_duration_since(known.since))).min()
    }

    fn remember(&mut self, alike: u64, now: Instant) {
        // Rather one that owes nothing than one that was quiet for longer.
        if self.known.len() == DIFFERENT
            && let Some(quietest) = (0..DIFFERENT).min_by_key(|&i| (self.known[i].held_back > 0, self.known[i].last))
        {
            self.known.swap_remove(quietest);
        }
        self.known.push(Known { alike, since: now, last: now, said: 1, held_back: 0, last_held: None });
    }
}

/// The same for events that differ in their numbers only: "4.87 % available" and "4.86 % available" say the same. Kills by
/// others are alike by what was short and whose process it was: nobody's hide anybody else's.
fn fingerprint(event: &Event) -> u64 {
    let mut hasher = DefaultHasher::new();
    (event.event as usize).hash(&mut hasher);
    event.kind.hash(&mut hasher);
    if let EventKind::KernelOom | EventKind::OomdKill = event.event {
        event.uid.hash(&mut hasher);
        return hasher.finish();
    }
    event.cgroup.as_bytes().hash(&mut hasher);
    for byte in event.reason.as_bytes() {
        if !byte.is_ascii_digit() {
            hasher.write_u8(*byte);
        }
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::text::Text;

    fn complaint(kind: EventKind, reason: &str) -> Event {
        Event { reason: Text::from_bytes(reason.as_bytes()), ..Event::new(kind) }
    }

    #[test]
    fn the_sixth_in_a_minute_is_held_back_and_counted_in_the_next_one_written() {
        let (mut repeats, start) = (Repeats::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        for second in 0..5 {
            let event = complaint(EventKind::Warn, &format!("9.{second} % available"));
            assert_eq!(repeats.admit(&event, at(second)), Some(0));
        }
        let event = complaint(EventKind::Warn, "9.9 % available");
        assert_eq!(repeats.admit(&event, at(5)), None);
        assert_eq!(repeats.admit(&event, at(59)), None);
        assert_eq!(repeats.admit(&event, at(60)), Some(2));
        assert_eq!(repeats.admit(&event, at(61)), Some(0));
    }

    #[test]
    fn the_end_of_a_burst_is_told_when_its_minute_is_over() {
        let (mut repeats, start) = (Repeats::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let send = |repeats: &mut Repeats, second: u64| {
            let event = complaint(EventKind::Warn, &format!("9.{second} % available"));
            let admitted = repeats.admit(&event, at(second));
            if admitted.is_none() {
                repeats.hold(&Sent { at: std::time::SystemTime::now(), event });
            }
            admitted
        };
        for second in 0..8 {
            send(&mut repeats, second);
        }
        assert_eq!(repeats.due(at(8)), Some(Duration::from_secs(52)));
        assert!(repeats.overdue(at(59), false).is_none());
        let (last, more) = repeats.overdue(at(60), false).unwrap();
        assert_eq!((last.event.reason.as_bytes(), more), (&b"9.7 % available"[..], 2));
        assert!(repeats.overdue(at(200), true).is_none());
        assert_eq!(repeats.due(at(200)), None);
        assert_eq!(send(&mut repeats, 61), Some(0), "nothing is counted twice");

        for second in 62..70 {
            send(&mut repeats, second);
        }
        let (_, more) = repeats.overdue(at(70), true).unwrap();
        assert_eq!(more, 4, "at the end nothing is waited for");
    }

    #[test]
    fn other_words_other_places_and_other_events_are_not_alike() {
        let (mut repeats, now) = (Repeats::default(), Instant::now());
        let event = complaint(EventKind::Degraded, "no pidfd");
        for _ in 0..6 {
            repeats.admit(&event, now);
        }
        assert_eq!(repeats.admit(&event, now), None);
        assert_eq!(repeats.admit(&complaint(EventKind::Degraded, "no PSI"), now), Some(0));
        assert_eq!(repeats.admit(&complaint(EventKind::Refused, "no pidfd"), now), Some(0));
        let elsewhere = Event { cgroup: Text::from_bytes(b"/a.slice"), ..event };
        assert_eq!(repeats.admit(&elsewhere, now), Some(0));
    }

    #[test]
    fn acts_are_never_held_back() {
        let (mut repeats, now) = (Repeats::default(), Instant::now());
        for kind in [EventKind::Term, EventKind::Kill, EventKind::Exited, EventKind::ConfigRejected] {
            for _ in 0..50 {
                assert_eq!(repeats.admit(&complaint(kind, "memory"), now), Some(0));
            }
        }
    }

    #[test]
    fn kills_by_others_are_held_back_by_whose_they_are() {
        let (mut repeats, now) = (Repeats::default(), Instant::now());
        let kill = |uid, n: u32| Event {
            uid: Some(uid),
            kind: Some("cgroup_limit"),
            cgroup: Text::from_bytes(format!("/user.slice/{n}").as_bytes()),
            ..complaint(EventKind::KernelOom, &"x".repeat(n as usize + 1))
        };
        for n in 0..100 {
            let expected = (n < OTHERS_BURST).then_some(0);
            assert_eq!(repeats.admit(&kill(1000, n), now), expected, "{n}");
        }
        assert_eq!(repeats.admit(&kill(1001, 0), now), Some(0));
        let machine = Event { kind: Some("memory"), ..kill(1000, 0) };
        assert_eq!(repeats.admit(&machine, now), Some(0));
        assert_eq!(repeats.admit(&kill(1000, 0), now + WINDOW), Some(70));
    }

    #[test]
    fn memory_is_bounded() {
        let (mut repeats, now) = (Repeats::default(), Instant::now());
        for n in 0..1000_u32 {
            let name: String = std::iter::repeat_n('x', n as usize % 200 + 1).collect();
            repeats.admit(&complaint(EventKind::Warn, &name), now + Duration::from_millis(n.into()));
        }
        assert_eq!(repeats.known.len(), DIFFERENT);
    }
}
