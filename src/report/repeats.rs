//! Holds back what would only be said again: a full journal hides the one line that matters.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use super::event::{Event, EventKind};

/// So many alike are written…
const BURST: u32 = 5;
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
}

impl Repeats {
    /// `None`: hold this one back. `Some(n)`: write it, and say that n similar ones were held back before it.
    ///
    /// Acts and life-cycle are always written.
    pub fn admit(&mut self, event: &Event, now: Instant) -> Option<u64> {
        if !matches!(event.event, EventKind::Warn | EventKind::Degraded | EventKind::Refused) {
            return Some(0);
        }
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
        if known.said >= BURST {
            known.held_back += 1;
            return None;
        }
        known.said += 1;
        Some(std::mem::take(&mut known.held_back))
    }

    fn remember(&mut self, alike: u64, now: Instant) {
        if self.known.len() == DIFFERENT
            && let Some(quietest) = (0..DIFFERENT).min_by_key(|&i| self.known[i].last)
        {
            self.known.swap_remove(quietest);
        }
        self.known.push(Known { alike, since: now, last: now, said: 1, held_back: 0 });
    }
}

/// The same for events that differ in their numbers only: "4.87 % available" and "4.86 % available" say the same.
fn fingerprint(event: &Event) -> u64 {
    let mut hasher = DefaultHasher::new();
    (event.event as usize).hash(&mut hasher);
    event.kind.hash(&mut hasher);
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
    fn memory_is_bounded() {
        let (mut repeats, now) = (Repeats::default(), Instant::now());
        for n in 0..1000_u32 {
            let name: String = std::iter::repeat_n('x', n as usize % 200 + 1).collect();
            repeats.admit(&complaint(EventKind::Warn, &name), now + Duration::from_millis(n.into()));
        }
        assert_eq!(repeats.known.len(), DIFFERENT);
    }
}
