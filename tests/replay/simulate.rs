//! Made-up cgroups: what goes on in one at a moment, summed up into the samples that its files would show.

use std::time::Duration;

use hogwatch::decide::livelock::{Detector, Episodes, Events, Kind, Sample, Stat, Terms};
use hogwatch::observe::parse::Limit;

pub const TERMS: Terms =
    Terms { after: Duration::from_secs(10), thrash_after: Duration::from_secs(30), page_size: 4096 };

pub const MIB: f64 = (1 << 20) as f64;

/// What goes on at a moment. Bytes, and rates a second; shares from 0 to 1.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    pub high: Option<f64>,
    pub max: Option<f64>,
    pub swap_max: Option<f64>,
    /// Use, as a share of the limit (of `high` where there is one).
    pub fill: f64,
    pub stall: f64,
    pub high_events: f64,
    pub max_events: f64,
    pub oom: f64,
    pub kills: f64,
    /// Pages a second.
    pub steal: f64,
    pub refault_anon: f64,
    pub refault_file: f64,
    pub restore: f64,
    /// As shares of use.
    pub anon: f64,
    pub file_lru: f64,
    pub swap: f64,
    pub seen_asleep: Option<u32>,
    pub stat: bool,
}

impl Default for Now {
    fn default() -> Self {
        Self {
            high: Some(200.0 * MIB),
            max: Some(400.0 * MIB),
            swap_max: Some(0.0),
            fill: 0.5,
            stall: 0.0,
            high_events: 0.0,
            max_events: 0.0,
            oom: 0.0,
            kills: 0.0,
            steal: 0.0,
            refault_anon: 0.0,
            refault_file: 0.0,
            restore: 0.0,
            anon: 1.0,
            file_lru: 0.0,
            swap: 0.0,
            seen_asleep: None,
            stat: true,
        }
    }
}

/// `high` events that the kernel counts for each time that it puts a task to sleep.
pub const EVENTS_PER_SLEEP: f64 = 17.0;

/// How long the kernel puts a task to sleep that is `over` above `high`, in seconds.
pub fn sleep_s(over: f64) -> f64 {
    (64.0 * over * over).min(2.0)
}

/// `tasks` asleep above `high` at any moment, `over` above it, beside `busy` ones that compute.
pub fn throttled(over: f64, tasks: f64, busy: u32) -> Now {
    let sleep = sleep_s(over);
    // Below HZ/100 the kernel does not put anybody to sleep.
    let events = if sleep > 0.01 { tasks / sleep * EVENTS_PER_SLEEP } else { 10.0 };
    let stall = if sleep > 0.01 { tasks.min(1.0) / f64::from(busy + 1) } else { 0.0 };
    Now { fill: 1.0 + over, stall, high_events: events, ..Now::default() }
}

/// The incident: 5 s of peace, then stuck 6 % above the limit.
pub fn livelock(t: f64) -> Now {
    if t < 5.0 { Now::default() } else { throttled(0.06, 0.9, 0) }
}

/// The samples of `secs` seconds, taken every `step` seconds.
pub fn samples(shape: impl Fn(f64) -> Now, step: f64, secs: f64) -> Vec<Sample> {
    let times = std::iter::successors(Some(0.0), |t| Some(t + step)).take_while(|t| *t <= secs);
    samples_at(shape, times)
}

/// The samples at these times, in seconds. The shape is summed up in steps of 50 ms, the last one as far as the sample.
pub fn samples_at(shape: impl Fn(f64) -> Now, times: impl IntoIterator<Item = f64>) -> Vec<Sample> {
    const STEP: f64 = 0.05;
    let (mut sums, mut done) = ([0.0; 9], 0.0);
    let mut all = Vec::new();
    for t in times {
        while done + STEP <= t + 1e-9 {
            sums = grown(sums, &shape(done), STEP);
            done += STEP;
        }
        all.push(sample(&shape(t), t, grown(sums, &shape(done), (t - done).max(0.0))));
    }
    all
}

/// The sums after `secs` seconds more of this.
fn grown(sums: [f64; 9], n: &Now, secs: f64) -> [f64; 9] {
    let rates = [
        n.stall * 1e6,
        n.high_events,
        n.max_events,
        n.oom,
        n.kills,
        n.steal,
        n.refault_anon,
        n.refault_file,
        n.restore,
    ];
    std::array::from_fn(|i| sums[i] + rates[i] * secs)
}

fn sample(n: &Now, t: f64, sums: [f64; 9]) -> Sample {
    let [full, high, max, oom, kills, steal, refault_anon, refault_file, restore] = sums.map(whole);
    let current = n.fill * n.high.or(n.max).unwrap_or(1000.0 * MIB);
    let limit = |limit: Option<f64>| limit.map_or(Limit::Max, |bytes| Limit::Bytes(whole(bytes)));
    let stat = Stat {
        anon: whole(current * n.anon),
        file_lru: whole(current * n.file_lru),
        pgsteal: steal,
        refault_anon,
        refault_file,
        restore_file: restore,
    };
    Sample {
        t: Duration::from_secs_f64(t),
        current: whole(current),
        high: limit(n.high),
        max: limit(n.max),
        swap_max: limit(n.swap_max),
        swap_current: whole(current * n.swap),
        events: Events { high, max, oom, oom_kill: kills },
        full_total_us: full,
        stat: n.stat.then_some(stat),
        over_high_tasks: n.seen_asleep,
    }
}

fn whole(number: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "made-up numbers are not negative")]
    let whole = number as u64;
    whole
}

/// What a detector on these terms makes of samples: each episode's kind, and its time in seconds.
pub fn found_on(terms: &Terms, samples: &[Sample]) -> Vec<(Kind, f64)> {
    let (mut detector, mut episodes) = (Detector::new(*terms), Episodes::default());
    let mut found = Vec::new();
    for sample in samples {
        let verdict = detector.push(sample);
        if let Some(stall) = episodes.follow(&verdict, sample.t, terms) {
            found.push((stall.kind, sample.t.as_secs_f64()));
        }
    }
    found
}

/// The same on the default terms.
pub fn found(samples: &[Sample]) -> Vec<(Kind, f64)> {
    found_on(&TERMS, samples)
}
