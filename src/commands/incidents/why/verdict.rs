//! Who it was.

use super::find::{Evidence, Exit, Found, Memory};
use crate::report::incident::schema::Cause;

/// From a signal to the exit systemd saw: `grace` (10 s) and a unit's TimeoutStopSec= (90 s), and a little.
const SIGNAL_TO_EXIT_MS: u64 = 120_000;

/// The line that tells of a kill may be written later than systemd's of the exit by this much.
const TOLD_LATE_MS: u64 = 10_000;

/// How far memory may lie from the end in time to say something of it: hogwatch writes its state once an hour.
const NEAR_MS: u64 = 2 * 3_600_000;

/// So long around the end a warning means that memory was short then.
const SHORT_AROUND_MS: u64 = 120_000;

/// The answer.
#[derive(Debug)]
pub(super) struct Verdict<'a> {
    /// `None`: none was seen to end it.
    pub by: Option<Cause>,
    /// What says so.
    pub because: Option<&'a Evidence>,
    /// The end in question, as systemd saw it.
    pub exit: Option<&'a Exit>,
    /// An earlier end that somebody did cause, when this one nobody did.
    pub earlier: Option<&'a Evidence>,
    /// The last known memory before it, and the first after it.
    pub before: Option<&'a Memory>,
    pub after: Option<&'a Memory>,
    /// Whether the machine's memory was short; `None`: not known.
    pub short: Option<bool>,
}

impl Verdict<'_> {
    /// When it ended; `None` when it was not seen to end.
    pub fn at_ms(&self) -> Option<u64> {
        self.exit.map(|exit| exit.t_ms).or_else(|| self.because.map(|evidence| evidence.t_ms))
    }
}

/// Judges the last end of all that were found.
pub(super) fn of(found: &Found) -> Verdict<'_> {
    let exit = found.exits.last();
    let killers = || found.evidence.iter().filter(|evidence| evidence.by.is_some());
    let fits = |evidence: &&Evidence| match exit {
        Some(exit) => {
            evidence.t_ms <= exit.t_ms + TOLD_LATE_MS && exit.t_ms.saturating_sub(evidence.t_ms) <= SIGNAL_TO_EXIT_MS
        }
        None => true,
    };
    // A later end than any that systemd told of: it was not a main process, or systemd was not heard.
    let is_later = |evidence: &&Evidence| exit.is_some_and(|exit| evidence.t_ms > exit.t_ms + TOLD_LATE_MS);
    let later = killers().rfind(is_later);
    let (exit, because) = match later {
        Some(evidence) => (None, Some(evidence)),
        None => (exit, most_telling(killers().filter(fits))),
    };
    let earlier = if because.is_none() { killers().next_back() } else { None };
    let at = exit.map(|exit| exit.t_ms).or(because.map(|evidence| evidence.t_ms)).or(found.last_seen_ms);
    // Files of several machines may lie in one folder.
    let host = because.map_or(&None, |evidence| &evidence.host);
    let of_host = || found.memory.iter().filter(|memory| memory.host == *host);
    let near = |memory: &&Memory| at.is_some_and(|at| memory.t_ms.abs_diff(at) <= NEAR_MS);
    let before = of_host().rfind(|memory| near(memory) && at.is_some_and(|at| memory.t_ms <= at));
    let after = of_host().find(|memory| near(memory) && at.is_some_and(|at| memory.t_ms > at));
    let was_short =
        of_host().any(|memory| memory.short && at.is_some_and(|at| memory.t_ms.abs_diff(at) <= SHORT_AROUND_MS));
    let short = match (was_short, before, after) {
        (true, _, _) => Some(true),
        // The guard was there before and after, and would have warned in between.
        (false, Some(before), Some(after)) if !before.short && !after.short => Some(false),
        (false, Some(before), None) if !before.short => Some(false),
        _ => None,
    };
    Verdict { by: because.and_then(|evidence| evidence.by), because, exit, earlier, before, after, short }
}

/// Who did it tells it best; systemd's result says `oom-kill` for systemd-oomd's kills too.
fn most_telling<'a>(killers: impl Iterator<Item = &'a Evidence>) -> Option<&'a Evidence> {
    let weight = |evidence: &Evidence| match (evidence.source, evidence.by) {
        ("systemd", Some(Cause::Kernel)) => 0,
        ("systemd", _) => 1,
        _ => 2,
    };
    killers.max_by_key(|evidence| (weight(evidence), evidence.t_ms))
}
