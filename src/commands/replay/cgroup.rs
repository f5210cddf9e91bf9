//! A recorded cgroup, judged as the livelock guard would.

use serde_json::json;

use crate::commands::stall::evidence;
use crate::config::{Livelock, LivelockAction};
use crate::decide::livelock::{Detector, Episodes, Judged, Kind, Sample, Scope, Stall, Terms, scope};
use crate::report::Escaped;
use crate::report::incident::stalled::USUAL_PAGE;

/// The rules, and what they have seen.
pub(super) struct Judge<'a> {
    cgroup: Option<&'a str>,
    detector: Detector,
    episodes: Episodes,
    action: LivelockAction,
}

impl<'a> Judge<'a> {
    /// For a cgroup; `None` when the configuration leaves it alone. A recording that does not say which cgroup it is of is
    /// judged by the section itself: no glob can tell.
    pub fn new(cgroup: Option<&'a str>, page_bytes: Option<u64>, config: &Livelock) -> Option<Self> {
        let page_size = page_bytes.unwrap_or(USUAL_PAGE);
        let Scope { terms, action } = match cgroup {
            Some(path) => scope(config, path.as_bytes(), page_size)?,
            None => config.enabled.then_some(Scope {
                terms: Terms { after: config.after, thrash_after: config.thrash_after, page_size },
                action: config.action,
            })?,
        };
        Some(Self { cgroup, detector: Detector::new(terms), episodes: Episodes::default(), action })
    }

    /// Learns from a sample; what would be done now, at the beginning of an episode. `largest`: the pid of its largest
    /// task, where that is known.
    pub fn look(&mut self, t_ms: u64, sample: &Sample, largest: Option<u32>) -> Option<Decision<'a>> {
        let verdict = self.detector.push(sample);
        let stall = self.episodes.follow(&verdict, sample.t, self.detector.terms())?;
        Some(Decision { cgroup: self.cgroup, t_ms, largest, stall, action: self.action })
    }
}

/// What would be done.
pub(super) struct Decision<'a> {
    cgroup: Option<&'a str>,
    t_ms: u64,
    largest: Option<u32>,
    stall: Stall,
    action: LivelockAction,
}

impl Decision<'_> {
    /// The first act of the episode.
    fn action(&self) -> &'static str {
        match (self.stall.kind, self.action) {
            // Nothing that a kill could end.
            (Kind::OomStuck, _) | (_, LivelockAction::Warn) => "warn",
            (_, LivelockAction::Kill) => "term",
            // Only memory.high can be lifted: at memory.max the kernel's own killer is next.
            (_, LivelockAction::Lift) => match self.stall.limit {
                Some(Judged::High(_)) => "lift",
                Some(Judged::Max(_)) | None => "warn",
            },
        }
    }

    pub fn json(&self) -> String {
        json!({
            "schema": 1,
            "t_ms": self.t_ms,
            "event": if self.stall.kind == Kind::OomStuck { "oom_stuck" } else { "livelock" },
            "kind": self.stall.kind.name(),
            "cgroup": self.cgroup,
            "pid": self.largest,
            "action": self.action(),
            "reason": evidence(&self.stall).to_string(),
        })
        .to_string()
    }

    pub fn text(&self) -> String {
        let what = match self.action() {
            "term" => format!("would send SIGTERM to {}", whom(self.largest)),
            "lift" => "would lift memory.high".to_owned(),
            _ => "would warn".to_owned(),
        };
        let cgroup = Escaped(self.cgroup.unwrap_or("the cgroup").as_bytes());
        format!("{what}: {cgroup} is stuck ({}), {}", self.stall.kind.name(), evidence(&self.stall))
    }
}

/// Whom a signal would have gone to.
pub(super) fn whom(largest: Option<u32>) -> String {
    largest.map_or("the largest task".to_owned(), |pid| format!("pid {pid}"))
}
