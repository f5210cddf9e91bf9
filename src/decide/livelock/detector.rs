//! One cgroup's detector: samples in, verdict out.

use std::time::Duration;

use super::rules::{self, Evidence, Judgement};
use super::sums::{Of, Sums, Track};
use super::{Judged, Kind, Sample, Stall, Terms, Verdict};

/// `high` events that the kernel counts before it puts a task to sleep: 16 retries of reclaim and the sleep itself
/// (`mem_cgroup_handle_over_high` in mm/memcontrol.c, `MAX_RECLAIM_RETRIES`).
const EVENTS_PER_SLEEP: f64 = 17.0;

/// The sleep is 64 s times the square of the excess share (2^(40-20-14) by `MEMCG_DELAY_PRECISION_SHIFT` and
/// `MEMCG_DELAY_SCALING_SHIFT`; measured 58 ms at 3 %, 260 ms at 6.4 %, 0.64 s at 10 %) ...
const SLEEP_SCALE_S: f64 = 64.0;

/// ... and never longer than this (`MEMCG_MAX_HIGH_DELAY_JIFFIES`).
const LONGEST_SLEEP_S: f64 = 2.0;

/// Shorter sleeps do not count as a task standing still: at 50 ms for each 256 KiB (2.8 % above the limit) a task still
/// gets 5 MiB a second. Many tasks that each sleep a little now and then would else add up to one that never wakes.
/// Stuck traces: 150 ms and more.
const LONG_SLEEP_S: f64 = 0.05;

/// A longer time without a sample may hide that the cgroup came free meanwhile, so its totals alone must show a stall.
/// The slowest regular sampling is once a second.
pub(super) const BLIND: Duration = Duration::from_secs(2);

/// Less given back at once is a working buffer, not finished work: the kernel charges in batches of 64 pages a CPU, and a
/// server's requests allocate and free some 100 KiB each.
const BUFFER: u64 = 1 << 20;

/// Follows one cgroup. Of fixed size: nothing is allocated after it was made.
#[derive(Clone, Debug)]
pub struct Detector {
    terms: Terms,
    state: Option<State>,
    verdict: Verdict,
}

#[derive(Clone, Debug)]
struct State {
    last: Sample,
    limit: Judged,
    sums: Sums,
    stuck: Track,
    thrash: Track,
    /// Since when every sample has been above the limit.
    above: Option<Duration>,
    /// Since when there has been no pause ...
    unbroken: Option<Duration>,
    /// ... as far as looked at: the time, and the seconds of stall until then.
    paced: (Duration, f64),
}

impl Detector {
    /// A detector for a cgroup on these terms.
    #[must_use]
    pub fn new(terms: Terms) -> Self {
        Self { terms, state: None, verdict: Verdict::Quiet }
    }

    /// The terms it judges on.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The verdict on the last sample.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The last sample.
    #[must_use]
    pub fn last(&self) -> Option<&Sample> {
        self.state.as_ref().map(|state| &state.last)
    }

    /// How long it has watched without beginning anew, at most its longer window: no rule about time can reach further.
    #[must_use]
    pub fn reach(&self) -> Duration {
        self.state.as_ref().map_or(Duration::ZERO, |state| state.stuck.reach().max(state.thrash.reach()))
    }

    /// Forgets what it has seen: after somebody changed the cgroup's fate, the old window says nothing.
    pub fn restart(&mut self) {
        self.state = None;
        self.verdict = Verdict::Quiet;
    }

    /// Learns from a sample. Changed limits, totals that fell (another cgroup of the same name), time that went backwards,
    /// and a gap longer than `after` begin a new window with it; a second sample of the same time says nothing new.
    pub fn push(&mut self, sample: &Sample) -> Verdict {
        self.verdict = match (Judged::of(sample), &mut self.state) {
            (None, state) => {
                *state = None;
                Verdict::Quiet
            }
            (Some(limit), Some(state)) if state.continues(sample, &self.terms) => {
                if sample.t == state.last.t {
                    return self.verdict;
                }
                state.step(sample, limit);
                state.verdict(&self.terms, self.verdict)
            }
            (Some(limit), state) => {
                *state = Some(State::begin(sample, limit, &self.terms));
                if rules::is_above(limit, sample.current) { Verdict::Watching } else { Verdict::Quiet }
            }
        };
        self.verdict
    }

    /// Every rule with its value and threshold, as they stand now; `None` without a limit to judge.
    #[must_use]
    pub fn judge(&self) -> Option<Judgement> {
        self.state.as_ref().map(|state| rules::judge(&state.evidence(&self.terms)))
    }

    /// Whether the last sample is above `memory.high` by so much that the kernel puts tasks to sleep.
    #[must_use]
    pub fn is_above(&self) -> bool {
        self.state.as_ref().is_some_and(|state| state.above.is_some())
    }

    /// Whether `memory.stat` should be read for the next sample: nothing is found without, and it is the dear one of
    /// the files. Tasks stall, or are about to.
    #[must_use]
    pub fn wants_stat(&self) -> bool {
        self.state.as_ref().is_some_and(|state| {
            state.above.is_some() || state.stuck.last(BLIND).share(Of::Full) >= rules::STALL_WORTH_A_LOOK
        })
    }

    /// Share of the last `span` in which no task could run, 0 to 1; `None` when nothing is known of that time. Reaches back
    /// a window at most. After an act: whether the cgroup moves again.
    #[must_use]
    pub fn stalled(&self, span: Duration) -> Option<f64> {
        let block = self.state.as_ref()?.stuck.last(span);
        (block.seconds > 0.0).then(|| block.share(Of::Full))
    }

    /// How often the limit was hit in the last `span`, under the same conditions.
    #[must_use]
    pub fn hits(&self, span: Duration) -> Option<f64> {
        let block = self.state.as_ref()?.stuck.last(span);
        (block.seconds > 0.0).then(|| block.sums.get(Of::Hits))
    }
}

impl State {
    fn begin(sample: &Sample, limit: Judged, terms: &Terms) -> Self {
        let mut state = Self {
            last: *sample,
            limit,
            sums: Sums::default(),
            stuck: Track::new(terms.after, sample.t),
            thrash: Track::new(terms.thrash_after, sample.t),
            above: None,
            unbroken: None,
            paced: (sample.t, 0.0),
        };
        state.follow_excess(sample);
        state
    }

    fn continues(&self, sample: &Sample, terms: &Terms) -> bool {
        let (last, events) = (&self.last, &self.last.events);
        let same_limits = (last.high, last.max, last.swap_max) == (sample.high, sample.max, sample.swap_max);
        let totals_rise = last.full_total_us <= sample.full_total_us
            && events.high <= sample.events.high
            && events.max <= sample.events.max
            && events.oom <= sample.events.oom
            && events.oom_kill <= sample.events.oom_kill;
        let gap = sample.t.checked_sub(last.t);
        same_limits && totals_rise && gap.is_some_and(|gap| gap <= terms.after)
    }

    fn step(&mut self, sample: &Sample, limit: Judged) {
        let last = self.last;
        let gap = sample.t.saturating_sub(last.t);
        let before = self.sums;
        self.add(&last, sample, limit, gap.as_secs_f64());
        self.stuck.advance(sample.t, &self.sums);
        self.thrash.advance(sample.t, &self.sums);
        let grown = |of: Of| (self.sums.get(of) - before.get(of)) / gap.as_secs_f64();
        let stalled = grown(Of::Full) >= rules::THROTTLED_STALL || grown(Of::Asleep) >= rules::ASLEEP;
        if gap > BLIND && !stalled {
            self.above = None;
        }
        self.last = *sample;
        self.follow_excess(sample);
        self.follow_pauses(sample.t);
    }

    fn add(&mut self, last: &Sample, sample: &Sample, limit: Judged, dt: f64) {
        let sums = &mut self.sums;
        let rise = |from: u64, to: u64| to.saturating_sub(from) as f64;
        sums.add(Of::Full, rise(last.full_total_us, sample.full_total_us) / 1e6);
        let fill = |s: &Sample| rules::fill(limit, s.current);
        sums.add(Of::Fill, (fill(last) + fill(sample)) / 2.0 * dt);
        let (had, has) = (&last.events, &sample.events);
        sums.add(Of::Oom, rise(had.oom, has.oom));
        sums.add(Of::Kills, rise(had.oom_kill, has.oom_kill));
        match limit {
            Judged::High(_) => {
                let hits = rise(had.high, has.high);
                let excess = (fill(last).min(fill(sample)) - 1.0).max(0.0);
                let sleep = (SLEEP_SCALE_S * excess * excess).min(LONGEST_SLEEP_S);
                let long = sleep >= LONG_SLEEP_S;
                sums.add(Of::Hits, hits);
                sums.add(Of::Asleep, if long { hits / EVENTS_PER_SLEEP * sleep } else { 0.0 });
                if let Some(tasks) = sample.over_high_tasks {
                    sums.add(Of::Looked, dt);
                    sums.add(Of::Seen, if tasks > 0 && long { dt } else { 0.0 });
                }
            }
            Judged::Max(_) => sums.add(Of::Hits, rise(had.max, has.max)),
        }
        if let (Some(from), Some(to)) = (&last.stat, &sample.stat) {
            sums.add(Of::Known, dt);
            sums.add(Of::Steal, rise(from.pgsteal, to.pgsteal));
            sums.add(Of::RefaultAnon, rise(from.refault_anon, to.refault_anon));
            sums.add(Of::RefaultFile, rise(from.refault_file, to.refault_file));
            sums.add(Of::Restore, rise(from.restore_file, to.restore_file));
            let held = |s: &Sample, anon: u64| anon.saturating_add(s.swap_current);
            let returned = held(last, from.anon).saturating_sub(held(sample, to.anon));
            sums.add(Of::Returned, if returned > BUFFER { rules::fill(limit, returned) } else { 0.0 });
            // Counted at another moment than the use, so it may exceed it by a little.
            let file_lru = (to.file_lru as f64 / sample.current.max(1) as f64).min(1.0);
            sums.add(Of::FileLru, file_lru * dt);
        }
    }

    fn follow_excess(&mut self, sample: &Sample) {
        self.above = rules::is_above(self.limit, sample.current).then_some(self.above.unwrap_or(sample.t));
    }

    fn follow_pauses(&mut self, t: Duration) {
        let (from, stalled_until) = self.paced;
        let length = t.saturating_sub(from);
        if length < rules::PAUSE {
            return;
        }
        let stalled = self.sums.get(Of::Full);
        // What happened when in a longer time is not known, so it must be stalled enough as a whole.
        let needed = if length > BLIND { rules::THRASH_STALL } else { rules::PAUSED };
        let paused = stalled - stalled_until < needed * length.as_secs_f64();
        self.unbroken = (!paused).then_some(self.unbroken.unwrap_or(from));
        self.paced = (t, stalled);
    }

    fn evidence<'a>(&self, terms: &'a Terms) -> Evidence<'a> {
        Evidence {
            now: self.last.t,
            terms,
            limit: self.limit,
            stuck: self.stuck.cut(),
            thrash: self.thrash.cut(),
            above: self.above,
            unbroken: self.unbroken,
        }
    }

    fn verdict(&self, terms: &Terms, previous: Verdict) -> Verdict {
        let evidence = self.evidence(terms);
        let stuck = &evidence.stuck;
        let Some(kind) = rules::judge(&evidence).kind() else {
            let touched = stuck.whole.sums.get(Of::Hits) > 0.0 || stuck.whole.sums.get(Of::Oom) > 0.0;
            return if touched || self.above.is_some() { Verdict::Watching } else { Verdict::Quiet };
        };
        let (window, block) = match kind {
            Kind::Thrash | Kind::SwapThrash => (evidence.thrash.reach, &evidence.thrash.whole),
            Kind::Throttled | Kind::Squeezed | Kind::OomStuck | Kind::Pressure => (stuck.reach, &stuck.whole),
        };
        let seen = self.last.t;
        let since = match (kind, self.above, previous) {
            (Kind::Throttled, Some(above), _) => above,
            (Kind::OomStuck, _, Verdict::Stalled(stall)) if stall.kind == kind => stall.since,
            (Kind::Throttled | Kind::OomStuck | Kind::Pressure, _, _) => seen.saturating_sub(window),
            (Kind::Squeezed | Kind::Thrash | Kind::SwapThrash, _, _) => {
                self.unbroken.unwrap_or(seen.saturating_sub(window))
            }
        };
        let (stalled, fill) = (block.share(Of::Full).min(1.0), block.share(Of::Fill));
        Verdict::Stalled(Stall { kind, since, seen, limit: Some(self.limit), window, stalled, fill, programs: None })
    }
}
