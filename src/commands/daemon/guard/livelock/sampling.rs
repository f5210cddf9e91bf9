//! Sampling the cgroups that stir, as often as each needs it.

use std::time::Duration;

use crate::commands::cgroup_sample;
use crate::commands::daemon::guard::Guard;
use crate::decide::livelock::{self, Verdict};
use crate::host::clock;
use crate::observe::cgroup_files::Unreadable;

use super::Stirring;

/// Between two samples of a cgroup that stalls, or has only begun to stir: short against the shortest window (6 s).
const OFTEN: Duration = Duration::from_millis(250);

/// Of one that touches its limit and does not stall: a stream may do so for ever.
const SELDOM: Duration = Duration::from_secs(1);

/// So many are sampled as often as that; twice as many half as often, and so on: what sampling costs stays bounded ...
const AT_FULL_RATE: usize = 32;

/// ... down to this rate, below which a window would hold too few samples.
const RAREST: Duration = Duration::from_millis(1500);

impl Guard {
    /// Samples every cgroup that is due; whether any was.
    pub(super) fn sample(&mut self) -> bool {
        let mut sampled = false;
        let now = clock::now();
        let crowd = u32::try_from(self.breaker.stirring.len() / AT_FULL_RATE).unwrap_or(u32::MAX).saturating_add(1);
        let mut at = 0;
        while at < self.breaker.stirring.len() {
            if self.breaker.stirring[at].due > now {
                at += 1;
                continue;
            }
            sampled = true;
            if self.sample_one(at, now, crowd) {
                at += 1;
            } else {
                self.hand_back(at);
            }
        }
        sampled
    }

    /// Samples one cgroup; `false` when it is gone, or has been quiet for a window.
    fn sample_one(&mut self, at: usize, now: Duration, crowd: u32) -> bool {
        let cases = self.parts.engine.cases_mut();
        let stirring = &mut self.breaker.stirring[at];
        let id = stirring.key.0;
        let lifted = self.lifting.is_lifted(id);
        if stirring.interest.is_none() && !lifted {
            stirring.due = now + SELDOM;
            return stirring.always;
        }
        if let Some(interest) = stirring.interest.filter(|_| !stirring.watched) {
            stirring.watched = cases.watch(id, &stirring.path, &interest);
            stirring.due = now + SELDOM;
            if !stirring.watched {
                return true;
            }
        }
        let detector = cases.detector(id);
        let before = detector.and_then(livelock::Detector::last).copied();
        let stat = detector.is_none_or(livelock::Detector::wants_stat);
        let sample = match stirring.files.sample(stat, &mut self.faults) {
            Ok(sample) => sample,
            // Given back: if only its memory controller was switched off and on, the surveyor knows it still.
            Err(Unreadable::Gone) => {
                self.parts.enclosing.release(id);
                self.forget_lift(id);
                return false;
            }
            Err(why) => {
                stirring.due = now + SELDOM;
                if why == Unreadable::NoPressure && !std::mem::replace(&mut self.breaker.psi_missed, true) {
                    self.degraded(format_args!(
                        "stuck cgroups can't be told from busy ones: the kernel keeps no memory.pressure (boot with psi=1, \
                         or write 1 to the cgroup's cgroup.pressure)"
                    ));
                }
                return true;
            }
        };
        let verdict = cases.sampled(id, &sample).unwrap_or(Verdict::Quiet);
        let window = stirring.interest.map_or(Duration::ZERO, |interest| interest.terms.after);
        let fresh = now.saturating_sub(stirring.since) < window;
        let open = cases.is_at_work(id);
        let stalls = cases.detector(id).is_some_and(livelock::Detector::wants_stat);
        let pause = if open || stalls || fresh { OFTEN } else { SELDOM };
        stirring.due = on_the_beat(now + (pause * crowd).min(RAREST.max(pause)));
        let path = stirring.path;
        let keep = verdict != Verdict::Quiet || fresh || open || stirring.always;
        if let Some(before) = before.filter(|before| before.events.oom_kill < sample.events.oom_kill) {
            self.note_kills(at, before.events, &sample);
        }
        if stalls {
            // The machine may well be calm: there is memory for it now, and a case may open next.
            self.touch_recorder_of_cgroups();
            self.ask_of_stuck(&path);
        }
        if stalls || open {
            // The one before the first belongs to it: from there on it stalled.
            for sample in before.iter().filter(|_| stalls && !stat).chain([&sample]) {
                let taken = clock::since_boot().saturating_sub(clock::now().saturating_sub(sample.t));
                self.parts.recorder.cgroup(taken, id, path.as_bytes(), &cgroup_sample::written(sample));
            }
        }
        if lifted {
            self.follow_lift(id, &sample);
        }
        keep || lifted
    }

    /// Lets the surveyor watch a quiet cgroup again.
    fn hand_back(&mut self, at: usize) {
        let Stirring { key, files, .. } = self.breaker.stirring.swap_remove(at);
        let cases = self.parts.engine.cases_mut();
        let seen = cases.detector(key.0).and_then(|detector| detector.last()).map(|sample| sample.events);
        cases.unwatch(key.0);
        if let Some(surveyor) = &self.breaker.surveyor {
            surveyor.take_back(key, files, seen.unwrap_or_default());
        }
    }
}

/// All that is due about the same time is sampled in one turn of the loop: many cgroups cost as few turns as one.
fn on_the_beat(due: Duration) -> Duration {
    let beat = OFTEN.as_nanos();
    let whole = u64::try_from(due.as_nanos() / beat * beat).unwrap_or(u64::MAX);
    Duration::from_nanos(whole)
}
