//! An event in words, as it leaves the house: one sentence and its priority, with what must be said about delays.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use super::field::Origin;
use super::queue::Sent;
use super::sentence;
use super::time::Utc;

/// An entry written later than this says so: the journal's own time stamp is the time of writing.
const LATE: Duration = Duration::from_secs(2);

/// An event ready to be written.
pub(super) struct Record<'a> {
    pub sent: &'a Sent,
    pub message: &'a str,
    pub origin: &'a Origin,
}

/// The message of an event: the sentence, how many like it were held back, and when it really happened if that is a
/// while ago.
pub(super) fn message(out: &mut String, sent: &Sent, origin: &Origin, held_back: u64, now: SystemTime) {
    out.clear();
    // Writing to a String cannot fail.
    let _ = sentence::write(out, &sent.event, origin.dry_run);
    if held_back > 0 {
        let _ = write!(out, " ({held_back} similar held back)");
    }
    let late = now.duration_since(sent.at).unwrap_or_default();
    if late >= LATE {
        let _ = write!(out, " (at {}, written {} s later)", Utc::at(sent.at).compact(), late.as_secs());
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::{Event, EventKind};
    use super::*;
    use std::time::UNIX_EPOCH;

    #[test]
    fn delays_and_repeats_are_said() {
        let sent = Sent { at: UNIX_EPOCH + Duration::from_secs(1_785_208_502), event: Event::new(EventKind::Warn) };
        let origin = Origin { dry_run: false, started: UNIX_EPOCH };
        let cases = [
            (0, -5, "memory is getting short"),
            (0, 1, "memory is getting short"),
            (3, 0, "memory is getting short (3 similar held back)"),
            (0, 42, "memory is getting short (at 20260728T031502Z, written 42 s later)"),
        ];
        for (held_back, late, expected) in cases {
            let now = UNIX_EPOCH + Duration::from_secs(1_785_208_502_u64.saturating_add_signed(late));
            let mut words = "old".to_owned();
            message(&mut words, &sent, &origin, held_back, now);
            assert_eq!(words, expected);
        }
    }
}
