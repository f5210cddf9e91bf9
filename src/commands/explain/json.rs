//! As JSON, for programs: the keys stand in `docs/json.md`.

use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::decide::livelock::{Judged, Rule, Sample, Sense, Unit};
use crate::decide::measure::Level;
use crate::observe::cgroups::CgroupPath;

use super::livelock::{Case, Look, Outlook, Reach};
use super::{Explained, reasons};

impl Explained {
    pub(super) fn json(&self) -> Json {
        let candidates = self.candidates.iter().enumerate().map(|(i, c)| {
            json!({
                "rank": i + 1,
                "pid": c.task.id.pid,
                "comm": String::from_utf8_lossy(c.task.comm.as_bytes()),
                "uid": c.task.uid,
                "cgroup": c.cgroup,
                "tier": c.tier.word(),
                "size_bytes": c.task.size(),
                "swap_bytes": c.task.swap,
                "oom_score": c.task.oom_score,
                "oom_score_adj": c.task.oom_score_adj,
                "reason": c.reason,
            })
        });
        let excluded = self.excluded.iter().map(|e| {
            json!({
                "pid": e.task.id.pid,
                "comm": String::from_utf8_lossy(e.task.comm.as_bytes()),
                "reason": e.reason,
            })
        });
        let memory = self.memory_rules().into_iter().map(
            |r| json!({"name": r.name, "value": r.value, "threshold": r.threshold, "met": r.met, "unit": "bytes"}),
        );
        let rules: Vec<Json> = memory.chain(self.case().into_iter().flat_map(livelock_rules)).collect();
        json!({
            "schema": 1,
            "victim": self.victim().map(|v| v.id.pid),
            "group": self.victim().and_then(|v| v.group).map(|g| g.members),
            "refusal": self.refusal(),
            "level": reasons::level_name(self.level()),
            "min_size_bytes": self.min_size,
            "candidates": candidates.collect::<Vec<_>>(),
            "excluded": excluded.collect::<Vec<_>>(),
            "rules": rules,
            "cgroup": self.cgroup.as_ref().map(|(path, look)| cgroup(path, look)),
        })
    }

    /// What is due now: of the cgroup where one was judged, else by the memory guard.
    fn level(&self) -> Level {
        match self.case() {
            Some(case) if case.is_acted_on() => Level::Term,
            Some(case) if matches!(case.outlook(), Some(Outlook::Stuck(_))) => Level::Warn,
            Some(_) => Level::Calm,
            None => self.memory.level,
        }
    }
}

fn cgroup(path: &CgroupPath, look: &Look) -> Json {
    let (sample, case, why) = match look {
        Look::Judged(case) => (Some(&case.last), Some(case.as_ref()), None),
        Look::Not { why, sample } => (sample.as_ref(), None, Some(why)),
    };
    let outlook = case.and_then(Case::outlook);
    let (kind, so_far) = match &outlook {
        Some(Outlook::Stuck(stall)) => (Some(stall.kind.name()), None),
        Some(Outlook::SoFar(findings, _)) => (None, Some(findings.kind.name())),
        Some(Outlook::Not(..)) | None => (None, None),
    };
    let bytes = |of: fn(&Sample) -> Option<u64>| sample.and_then(of);
    json!({
        "path": String::from_utf8_lossy(path.as_bytes()),
        "current": bytes(|s| Some(s.current)),
        "high": bytes(|s| s.high.bytes()),
        "max": bytes(|s| s.max.bytes()),
        "swap_current": bytes(|s| Some(s.swap_current)),
        "swap_max": bytes(|s| s.swap_max.bytes()),
        "judged_at": case.map(|case| case.limit.file()),
        "limit": case.map(|case| Judged::bytes(case.limit)),
        "kind": kind,
        "so_far": so_far,
        "watched_ms": case.map(|case| millis(case.watched)),
        "action": case.map(|case| match case.reach {
            Reach::Within(action) => reasons::action_name(action),
            Reach::LeftOut | Reach::Off => "none",
        }),
        "not_judged": why,
    })
}

fn livelock_rules(case: &Case) -> impl Iterator<Item = Json> {
    case.judgement.kinds.iter().flat_map(|findings| {
        findings.all().chain(findings.any()).map(|rule| {
            json!({
                "name": format!("livelock.{}.{}", findings.kind.name(), rule.name),
                "value": rule.value.map(|value| in_unit(value, rule)),
                "threshold": in_unit(rule.threshold, rule),
                "met": rule.met(),
                "unit": match rule.unit {
                    Unit::Share => "percent",
                    Unit::Seconds => "ms",
                    Unit::Count => "count",
                },
                "sense": match rule.sense {
                    Sense::AtLeast => "at_least",
                    Sense::Below => "below",
                },
            })
        })
    })
}

/// Percents have two decimals, milliseconds none: what else a number carries is noise.
fn in_unit(value: f64, rule: &Rule) -> Json {
    match rule.unit {
        Unit::Share => json!((value * 10_000.0).round() / 100.0),
        Unit::Seconds => json!(millis(Duration::try_from_secs_f64(value).unwrap_or_default())),
        Unit::Count => json!((value * 100.0).round() / 100.0),
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
