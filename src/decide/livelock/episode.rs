//! One act an episode: a stuck cgroup is reported when it is found, not at every sample that shows it.

use std::time::Duration;

use super::{Kind, Stall, Terms, Verdict};

/// The episodes of one cgroup. An episode ends when no verdict said "stalled" for as long as it takes to find one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Episodes {
    /// The last verdict of a stall that an act could end.
    stuck: Option<Duration>,
    /// The last verdict of [`Kind::OomStuck`], which only alerts: a stall to act on may come on top.
    oom: Option<Duration>,
}

impl Episodes {
    /// Follows the verdict on a sample made at `t`; the stall when it begins an episode.
    pub fn follow(&mut self, verdict: &Verdict, t: Duration, terms: &Terms) -> Option<Stall> {
        for last in [&mut self.stuck, &mut self.oom] {
            // A clock that went backwards leaves nothing to count from.
            *last = last.filter(|last| t.checked_sub(*last).is_some_and(|ago| ago < terms.after));
        }
        let Verdict::Stalled(stall) = verdict else { return None };
        let last = if stall.kind == Kind::OomStuck { &mut self.oom } else { &mut self.stuck };
        last.replace(t).is_none().then_some(*stall)
    }
}
