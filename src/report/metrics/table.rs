//! Every metric, once: its name, labels, meaning and where its value comes from. `docs/metrics.md`, the alert rules and the
//! dashboard are checked against this table by tests.

use std::iter;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::super::event::EventKind;
use super::super::status::{CgroupState, Scope, Snapshot};
use super::super::table::EVENTS;
use super::counts::{FIRST_STUCK, KINDS, SIGNALS};
use super::page::{Number, Page, Sample};

/// What [`CgroupState::state`] can be, worst last.
pub const CGROUP_STATES: [&str; 8] =
    ["quiet", "watching", "pressure", "thrash", "swap_thrash", "squeezed", "throttled", "oom_stuck"];

/// The state of those that are at their limit beyond the worst, which are not looked at one by one.
const MORE: &str = "more";

/// What kind of metric it is, and how its samples are had.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    /// Goes up and down.
    Gauge(fn(&Page) -> Vec<Sample>),
    /// Only grows, until the daemon starts anew.
    Counter(fn(&Page) -> Vec<Sample>),
    /// [`super::counts::Counts::decided`].
    Decisions,
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct MetricSpec {
    /// The name of the family: as in the file's `# TYPE` lines.
    pub family: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
    pub(super) source: Source,
}

impl MetricSpec {
    /// `gauge`, `counter` or `histogram`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.source {
            Source::Gauge(_) => "gauge",
            Source::Counter(_) => "counter",
            Source::Decisions => "histogram",
        }
    }

    /// What queries call it: a counter's samples end in `_total`, a histogram has three kinds of samples.
    pub fn series(&self) -> impl Iterator<Item = String> {
        let suffixes: &[&str] = match self.source {
            Source::Gauge(_) => &[""],
            Source::Counter(_) => &["_total"],
            Source::Decisions => &["_bucket", "_count", "_sum"],
        };
        suffixes.iter().map(|suffix| format!("{}{suffix}", self.family))
    }
}

const fn row(family: &'static str, labels: &'static [&'static str], help: &'static str, source: Source) -> MetricSpec {
    MetricSpec { family, labels, help, source }
}

/// All metrics, in the order of the file.
#[rustfmt::skip]
pub const METRICS: [MetricSpec; 22] = [
    row("hogwatch_build_info", &["version"], "Always 1; the version of the daemon is in the label.", Source::Gauge(build)),
    row("hogwatch_start_time_seconds", &[], "When the daemon started, since 1970.", Source::Gauge(start_time)),
    row("hogwatch_dry_run", &[], "1 for a dry run: the daemon signals nobody, and counts what it would have done.", Source::Gauge(dry_run)),
    row("hogwatch_seen_time_seconds", &[], "When the guard last left its view of the memory, since 1970; it does so once a second at most.", Source::Gauge(seen_time)),
    row("hogwatch_memory_total_bytes", &[], "The memory that is guarded: MemTotal, or the limit of the cgroup around the guard where that is scarcer.", Source::Gauge(|p| p.seen(|s| s.memory_total))),
    row("hogwatch_memory_available_bytes", &[], "What of it is available.", Source::Gauge(|p| p.seen(|s| s.memory_available))),
    row("hogwatch_memory_available_ratio", &[], "The same as a share, 0 to 1, of what memory.percent_of says.", Source::Gauge(|p| p.seen(|s| share(s.available_percent)))),
    row("hogwatch_memory_limited_by_cgroup", &[], "1 while the three above are about a cgroup around the guard, 0 while they are about the machine.", Source::Gauge(|p| p.seen(|s| u64::from(s.scope == Scope::Cgroup)))),
    row("hogwatch_memory_threshold_bytes", &["level"], "At or below this much available memory hogwatch acts: warn, term, kill.", Source::Gauge(thresholds)),
    row("hogwatch_swap_total_bytes", &[], "SwapTotal.", Source::Gauge(|p| p.seen(|s| s.swap_total))),
    row("hogwatch_swap_free_bytes", &[], "SwapFree.", Source::Gauge(|p| p.seen(|s| s.swap_free))),
    row("hogwatch_pressure_some_ratio", &[], "Share of the last 10 s in which some task waited for memory, 0 to 1; missing where the kernel has no PSI.", Source::Gauge(|p| p.known(|s| s.psi_some_avg10.map(share)))),
    row("hogwatch_pressure_full_ratio", &[], "Share of the last 10 s in which all tasks waited for memory, 0 to 1; missing where the kernel has no PSI.", Source::Gauge(|p| p.known(|s| s.psi_full_avg10.map(share)))),
    row("hogwatch_cgroups_at_limit", &["state"], "Cgroups at their memory.high or memory.max, by what the livelock detector makes of them; more is those beyond the worst, which are not looked at one by one.", Source::Gauge(cgroups)),
    row("hogwatch_cgroups_acted_on", &[], "Cgroups that something is being done about just now.", Source::Gauge(|p| p.seen(|s| count(s, |c| c.doing.is_some())))),
    row("hogwatch_last_act_time_seconds", &[], "When the last signal was sent, since 1970; missing before the first.", Source::Gauge(last_act)),
    row("hogwatch_events", &["event"], "Events by name, as in HOGWATCH_EVENT of the journal; repeats that the journal holds back are counted too.", Source::Counter(events)),
    row("hogwatch_signals", &["kind", "signal"], "Signals sent, by the rule that asked for it, as in HOGWATCH_KIND; in a dry run, those that would have been sent.", Source::Counter(signals)),
    row("hogwatch_livelocks", &["kind"], "Cgroups found stuck, by how.", Source::Counter(livelocks)),
    row("hogwatch_freed_bytes", &[], "What came back after the exits of victims.", Source::Counter(|p| one(p.counts.freed_bytes()))),
    row("hogwatch_decide_seconds", &[], "From the crossing seen to the signal sent.", Source::Decisions),
    row("hogwatch_journal_entries_dropped", &[], "Entries that did not reach the journal.", Source::Counter(|p| one(p.counts.lost_entries()))),
];

fn one(value: impl Into<Number>) -> Vec<Sample> {
    vec![Sample { labels: Vec::new(), value: value.into() }]
}

fn labelled(label: &'static str, name: &'static str, value: impl Into<Number>) -> Sample {
    Sample { labels: vec![(label, name)], value: value.into() }
}

fn share(percent: f64) -> f64 {
    percent / 100.0
}

fn unix(time: SystemTime) -> f64 {
    seconds(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// To the millisecond: more digits would only say how long writing took.
fn seconds(time: Duration) -> f64 {
    Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)).as_secs_f64()
}

impl Page {
    /// A value of what the guard last saw, if it saw anything yet.
    fn seen<N: Into<Number>>(&self, value: fn(&Snapshot) -> N) -> Vec<Sample> {
        self.seen.as_ref().map(|(_, snapshot)| one(value(snapshot))).unwrap_or_default()
    }

    /// The same of a value that may not be known.
    fn known(&self, value: fn(&Snapshot) -> Option<f64>) -> Vec<Sample> {
        self.seen.as_ref().and_then(|(_, snapshot)| value(snapshot)).map(one).unwrap_or_default()
    }
}

fn build(_: &Page) -> Vec<Sample> {
    vec![labelled("version", env!("CARGO_PKG_VERSION"), 1)]
}

fn start_time(page: &Page) -> Vec<Sample> {
    one(unix(page.origin.started))
}

fn dry_run(page: &Page) -> Vec<Sample> {
    one(u64::from(page.origin.dry_run))
}

fn seen_time(page: &Page) -> Vec<Sample> {
    page.seen.as_ref().map(|(at, _)| one(unix(*at))).unwrap_or_default()
}

fn last_act(page: &Page) -> Vec<Sample> {
    page.counts.last_act().map(|at| one(seconds(at))).unwrap_or_default()
}

fn thresholds(page: &Page) -> Vec<Sample> {
    let Some((_, Snapshot { limits, .. })) = &page.seen else { return Vec::new() };
    let levels = [("warn", limits.warn), ("term", limits.term), ("kill", limits.kill)];
    levels.into_iter().map(|(level, bytes)| labelled("level", level, bytes)).collect()
}

fn cgroups(page: &Page) -> Vec<Sample> {
    let Some((_, snapshot)) = &page.seen else { return Vec::new() };
    let judged = CGROUP_STATES.iter().map(|state| (*state, count(snapshot, |c| c.state == Some(*state))));
    let more = u64::try_from(snapshot.more_cgroups).unwrap_or(u64::MAX);
    judged.chain([(MORE, more)]).map(|(state, n)| labelled("state", state, n)).collect()
}

fn count(snapshot: &Snapshot, which: impl Fn(&CgroupState) -> bool) -> u64 {
    snapshot.cgroups.iter().filter(|cgroup| which(cgroup)).count().try_into().unwrap_or(u64::MAX)
}

fn events(page: &Page) -> Vec<Sample> {
    // Lost entries have a counter of their own.
    let told = EVENTS.iter().filter(|spec| spec.event != EventKind::Dropped);
    told.map(|spec| labelled("event", spec.name, page.counts.events(spec.event))).collect()
}

fn signals(page: &Page) -> Vec<Sample> {
    let cells = (0..SIGNALS.len()).flat_map(|row| iter::repeat(row).zip(0..KINDS.len()));
    cells
        .map(|(row, kind)| Sample {
            labels: vec![("kind", KINDS[kind]), ("signal", SIGNALS[row].as_str())],
            value: page.counts.signals(row, kind).into(),
        })
        .collect()
}

fn livelocks(page: &Page) -> Vec<Sample> {
    (FIRST_STUCK..KINDS.len()).map(|kind| labelled("kind", KINDS[kind], page.counts.livelocks(kind))).collect()
}
