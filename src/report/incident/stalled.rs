//! The cgroup in trouble, from one of its samples to the next.

use super::schema::{CgroupSample, Incident};

/// Bytes in a page, where a recording does not say otherwise.
pub const USUAL_PAGE: u64 = 4096;

/// What happened between two samples, as the second one shows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// When it ended.
    pub t_ms: u64,
    /// `memory.current` then.
    pub current_bytes: u64,
    /// Share of the time in which no task of the cgroup could run, 0 to 1.
    pub stalled: f64,
    /// The limit then: the name of its file, and bytes.
    pub limit: Option<(&'static str, u64)>,
    /// How often it was at that limit.
    pub hits: u64,
    /// What was reclaimed, in bytes; `None` where `memory.stat` was not read.
    pub reclaimed_bytes: Option<u64>,
    /// What was needed again of what had been reclaimed, in bytes; likewise.
    pub again_bytes: Option<u64>,
}

/// The limit at which it is judged, and the name of its file.
fn limit(sample: &CgroupSample) -> Option<(&'static str, u64)> {
    let high = sample.high_bytes.filter(|high| sample.max_bytes.is_none_or(|max| *high < max));
    let high = high.map(|bytes| ("memory.high", bytes));
    high.or(sample.max_bytes.map(|bytes| ("memory.max", bytes)))
}

/// The sample that shows its limits as they were when something was done about it.
#[must_use]
pub fn at_issue(incident: &Incident) -> Option<&CgroupSample> {
    let acted = incident.acts.first().map_or(u64::MAX, |act| act.t_ms);
    let samples = &incident.cgroup_samples;
    samples.iter().rfind(|sample| sample.t_ms <= acted).or(samples.first())
}

/// All steps, oldest first. Two samples of which the later one has less on its counters, or the same time, are none: another
/// cgroup of the same name, a clock that was set, or a file that somebody wrote.
pub fn steps(incident: &Incident) -> impl Iterator<Item = Step> {
    let page = incident.host.page_bytes.unwrap_or(USUAL_PAGE);
    incident.cgroup_samples.array_windows().filter_map(move |[before, after]| step(before, after, page))
}

fn step(before: &CgroupSample, after: &CgroupSample, page: u64) -> Option<Step> {
    let took_ms = after.t_ms.checked_sub(before.t_ms).filter(|took| *took > 0)?;
    let stalled_us = after.stalled_us.checked_sub(before.stalled_us)?;
    let limit = limit(after);
    let hits = match limit {
        Some(("memory.max", _)) => after.max_events.checked_sub(before.max_events)?,
        _ => after.high_events.checked_sub(before.high_events)?,
    };
    let stats = before.stat.zip(after.stat);
    let pages = |from: u64, to: u64| to.saturating_sub(from).saturating_mul(page);
    #[expect(clippy::cast_precision_loss, reason = "a share need not be exact")]
    let stalled = (stalled_us as f64 / (took_ms as f64 * 1000.0)).min(1.0);
    Some(Step {
        t_ms: after.t_ms,
        current_bytes: after.current_bytes,
        stalled,
        limit,
        hits,
        reclaimed_bytes: stats.map(|(from, to)| pages(from.pgsteal, to.pgsteal)),
        again_bytes: stats.map(|(from, to)| {
            pages(from.refault_anon, to.refault_anon).saturating_add(pages(from.refault_file, to.refault_file))
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::super::schema::CgroupStat;
    use super::*;

    const AT: CgroupSample = CgroupSample {
        t_ms: 1000,
        current_bytes: 106,
        swap_bytes: 0,
        high_bytes: Some(100),
        max_bytes: Some(200),
        swap_max_bytes: Some(0),
        stalled_us: 500_000,
        high_events: 10,
        max_events: 3,
        oom_events: 0,
        oom_kills: 0,
        stat: Some(CgroupStat {
            anon_bytes: 90,
            file_bytes: 1,
            pgsteal: 5,
            refault_anon: 1,
            refault_file: 2,
            restore_file: 0,
        }),
    };

    #[test]
    fn a_step_is_what_happened_in_between() {
        let stat = AT.stat.map(|stat| CgroupStat { pgsteal: 7, refault_anon: 2, refault_file: 4, ..stat });
        let after = CgroupSample { t_ms: 2000, stalled_us: 1_250_000, high_events: 27, stat, ..AT };
        let expected = Step {
            t_ms: 2000,
            current_bytes: 106,
            stalled: 0.75,
            limit: Some(("memory.high", 100)),
            hits: 17,
            reclaimed_bytes: Some(8192),
            again_bytes: Some(3 * 4096),
        };
        assert_eq!(step(&AT, &after, 4096), Some(expected));
        let at_max = CgroupSample { high_bytes: None, max_events: 5, ..after };
        assert_eq!(step(&AT, &at_max, 4096).map(|step| step.hits), Some(2));
        let unread = CgroupSample { stat: None, ..after };
        assert_eq!(step(&AT, &unread, 4096).map(|step| step.reclaimed_bytes), Some(None));
    }

    #[test]
    fn what_can_not_follow_is_no_step() {
        for after in [
            AT,
            CgroupSample { t_ms: 999, ..AT },
            CgroupSample { t_ms: 2000, stalled_us: 0, ..AT },
            CgroupSample { t_ms: 2000, high_events: 9, ..AT },
        ] {
            assert_eq!(step(&AT, &after, 4096), None, "{after:?}");
        }
        let too_much = CgroupSample { t_ms: 1001, stalled_us: u64::MAX, high_events: u64::MAX, ..AT };
        assert_eq!(step(&AT, &too_much, u64::MAX).map(|step| step.stalled), Some(1.0));
    }

    #[test]
    fn the_limit_is_the_one_that_comes_first() {
        let of = |high_bytes, max_bytes| limit(&CgroupSample { high_bytes, max_bytes, ..AT });
        assert_eq!(of(Some(1), Some(2)), Some(("memory.high", 1)));
        assert_eq!(of(Some(1), None), Some(("memory.high", 1)));
        assert_eq!(of(Some(2), Some(2)), Some(("memory.max", 2)));
        assert_eq!(of(None, Some(2)), Some(("memory.max", 2)));
        assert_eq!(of(None, None), None);
    }
}
