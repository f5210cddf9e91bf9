//! What the livelock detector makes of one cgroup, which is looked at for a while: the same samples, the same detector
//! and the same terms as the daemon's.

use std::io::IsTerminal;
use std::thread;
use std::time::Duration;

use crate::config::{Livelock, LivelockAction};
use crate::decide::livelock::{
    Detector, Findings, Judged, Judgement, Kind, Rule, Sample, Scope, Stall, Terms, Unit, Verdict, scope,
};
use crate::decide::pressure::PressureRule;
use crate::host::Host;
use crate::host::dir::Dir;
use crate::observe::cgroup_files::{CgroupFiles, Unreadable};
use crate::observe::cgroups::{self, CgroupPath};
use crate::observe::limits::Hierarchy;
use crate::observe::{Faults, parse::Limit};
use crate::report::Escaped;

/// Between two samples: the daemon's own pace for a cgroup that stalls.
const OFTEN: Duration = Duration::from_millis(250);

/// A wait longer than this is announced, so that nobody thinks it hangs.
const LONG: Duration = Duration::from_secs(2);

/// What came of the look.
pub enum Look {
    /// It has a limit, and this is what stands about it.
    Judged(Box<Case>),
    /// It could not be judged.
    Not {
        /// Why, as a sentence without a full stop.
        why: String,
        /// What its files say all the same, where they could be read.
        sample: Option<Sample>,
    },
}

/// A cgroup that was judged.
pub struct Case {
    /// Where.
    pub path: CgroupPath,
    /// Its files at last.
    pub last: Sample,
    /// The limit it is judged at.
    pub limit: Judged,
    /// Every rule with its value.
    pub judgement: Judgement,
    /// The detector's verdict.
    pub verdict: Verdict,
    /// How long it was watched; no rule about time can reach further.
    pub watched: Duration,
    /// What the daemon does when it is stuck.
    pub reach: Reach,
}

/// Whether the livelock guard works on a cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It does, and this is what it does.
    Within(LivelockAction),
    /// `livelock.cgroups` leaves it out.
    LeftOut,
    /// `livelock.enabled` is false.
    Off,
}

/// How a cgroup stands, in short.
pub enum Outlook<'a> {
    /// It is stuck.
    Stuck(Stall),
    /// It would be if this went on: only time is missing, and that could not be watched yet.
    SoFar(&'a Findings, &'a Rule),
    /// It is not, and the rule that keeps it farthest from the kind it is nearest to.
    Not(&'a Findings, &'a Rule),
}

impl Case {
    /// What a detector makes of its cgroup; `None` while it has seen no sample with a limit.
    pub fn of(path: &CgroupPath, detector: &Detector, reach: Reach) -> Option<Self> {
        let last = *detector.last()?;
        let limit = Judged::of(&last)?;
        let (judgement, verdict, watched) = (detector.judge()?, detector.verdict(), detector.reach());
        Some(Self { path: *path, last, limit, judgement, verdict, watched, reach })
    }

    /// How it stands.
    pub fn outlook(&self) -> Option<Outlook<'_>> {
        if let Verdict::Stalled(stall) = self.verdict {
            return Some(Outlook::Stuck(stall));
        }
        let so_far = self.kinds().find_map(|findings| {
            let lacking = weakest(self.unmet(findings))?;
            self.unmet(findings).all(|rule| self.is_all_that_was_watched(rule)).then_some((findings, lacking))
        });
        if let Some((findings, rule)) = so_far {
            return Some(Outlook::SoFar(findings, rule));
        }
        let nearest = self.kinds().filter_map(|findings| {
            let missing = || self.unmet(findings).filter(|rule| !self.is_all_that_was_watched(rule));
            Some((findings, weakest(missing())?, missing().count()))
        });
        let nearest = nearest.min_by(|(_, a, few), (_, b, many)| few.cmp(many).then(b.margin().total_cmp(&a.margin())));
        nearest.map(|(findings, rule, _)| Outlook::Not(findings, rule))
    }

    /// The kind that it is stuck in, looks stuck in so far, or is nearest to.
    pub fn kind(&self) -> Option<Kind> {
        self.outlook().map(|outlook| match outlook {
            Outlook::Stuck(stall) => stall.kind,
            Outlook::SoFar(findings, _) | Outlook::Not(findings, _) => findings.kind,
        })
    }

    /// What the daemon does when it is stuck in the kind that it is nearest to; `None` where no kill would end that, or
    /// where the daemon does not look.
    pub fn action(&self) -> Option<LivelockAction> {
        match (self.reach, self.limit, self.kind()) {
            (Reach::LeftOut | Reach::Off, ..) | (_, _, Some(Kind::OomStuck)) => None,
            // Only memory.high can be lifted: at memory.max the kernel's own killer is next.
            (Reach::Within(LivelockAction::Lift), Judged::Max(_), _) => Some(LivelockAction::Warn),
            (Reach::Within(action), ..) => Some(action),
        }
    }

    /// Whether the daemon kills for it now.
    pub fn is_acted_on(&self) -> bool {
        matches!(self.verdict, Verdict::Stalled(_)) && self.action() == Some(LivelockAction::Kill)
    }

    /// Whether a rule about time lacks only what could not be watched: it has held for as long as anybody looked.
    pub fn is_all_that_was_watched(&self, rule: &Rule) -> bool {
        let held = rule.value.unwrap_or(0.0);
        rule.unit == Unit::Seconds
            && !rule.met()
            && held > 0.0
            && held + OFTEN.as_secs_f64() >= self.watched.as_secs_f64()
    }

    fn unmet<'a>(&self, findings: &'a Findings) -> impl Iterator<Item = &'a Rule> {
        findings.counted().filter(|rule| !rule.met())
    }

    /// The kinds it may be near to: throttled takes a `memory.high`, and without an OOM nothing could be said about
    /// getting stuck in it.
    fn kinds(&self) -> impl Iterator<Item = &Findings> {
        self.judgement.kinds.iter().filter(|findings| match findings.kind {
            Kind::Throttled => matches!(self.limit, Judged::High(_)),
            Kind::OomStuck => findings.all().any(|rule| rule.name == "oom" && rule.met()),
            _ => true,
        })
    }
}

fn weakest<'a>(rules: impl Iterator<Item = &'a Rule>) -> Option<&'a Rule> {
    rules.min_by(|a, b| a.margin().total_cmp(&b.margin()))
}

/// The nearest cgroup further out that has a limit.
fn limited_ancestor<'p>(root: &Dir, path: &'p [u8]) -> Option<&'p [u8]> {
    cgroups::ancestors(path).skip(1).find(|outer| {
        let files = cgroups::open(root, outer).and_then(|dir| CgroupFiles::open(&dir));
        let limits = files.ok().and_then(|files| files.read_limits(&mut Faults::default()).ok());
        limits.is_some_and(|limits| limits != (Limit::Max, Limit::Max))
    })
}

/// Watches the cgroup for `span` and judges it; shows what it sees to the `pressure` rule too, if there is one for it.
pub fn look(
    host: &Host,
    config: &Livelock,
    path: &CgroupPath,
    span: Duration,
    mut pressure: Option<&mut PressureRule>,
) -> Look {
    let not = |why: String| Look::Not { why, sample: None };
    if Hierarchy::of(host) != Hierarchy::V2 {
        return not("that needs cgroup v2 with its memory controller, which is not mounted here".to_owned());
    }
    let Some(root) = &host.cgroup2 else { return not("the cgroup tree can't be opened".to_owned()) };
    let files = match cgroups::open(root, path.as_bytes()).and_then(|dir| CgroupFiles::open(&dir)) {
        Ok(files) => files,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return not(
                "it has no memory.events.local, memory.high and memory.max: it is the root, its parent does not \
                        give it the memory controller, or the kernel is older than 5.2"
                    .to_owned(),
            );
        }
        Err(e) => return not(format!("its memory files can't be opened: {e}")),
    };
    let (terms, reach) = terms_and_reach(config, path, host.page_size);
    let mut detector = Detector::new(terms);
    let mut faults = Faults::default();
    let mut first = None;
    loop {
        let sample = match files.sample(true, &mut faults) {
            Ok(sample) => sample,
            Err(Unreadable::Gone) => return not("it was removed while it was watched".to_owned()),
            Err(Unreadable::NoPressure) => {
                return not("the kernel keeps no memory.pressure for it (boot with psi=1, or write 1 to its \
                            cgroup.pressure)"
                    .to_owned());
            }
            Err(Unreadable::Failed) => {
                let last = faults.last.map_or_else(String::new, |last| format!(": {last}"));
                return not(format!("one of its memory files can't be read or makes no sense{last}"));
            }
        };
        if let Some(rule) = &mut pressure {
            rule.push(sample.t, sample.full_total_us);
        }
        let begin = *first.get_or_insert_with(|| {
            announce(path, span);
            sample.t
        });
        let left = span.saturating_sub(sample.t.saturating_sub(begin));
        let has_limit = sample.high != Limit::Max || sample.max != Limit::Max;
        if !has_limit && (pressure.is_none() || left.is_zero()) {
            let mut why = "it has no memory.high and no memory.max".to_owned();
            if let Some(outer) = limited_ancestor(root, path.as_bytes()) {
                let outer = Escaped(outer);
                why += &format!(" of its own, but {outer} has: hogwatch explain --cgroup {outer}");
            }
            return Look::Not { why, sample: Some(sample) };
        }
        if has_limit {
            detector.push(&sample);
        }
        if left.is_zero() {
            break;
        }
        thread::sleep(left.min(OFTEN));
    }
    match Case::of(path, &detector, reach) {
        Some(case) => Look::Judged(Box::new(case)),
        None => not("its limit went away while it was watched".to_owned()),
    }
}

/// What is asked of the cgroup, and what is done about it. Where the daemon would not look, the section's own terms show
/// what it would see.
fn terms_and_reach(config: &Livelock, path: &CgroupPath, page_size: u64) -> (Terms, Reach) {
    let ours = scope(config, path.as_bytes(), page_size);
    let on = Livelock { enabled: true, ..config.clone() };
    match (ours, config.enabled) {
        (Some(Scope { terms, action }), _) => (terms, Reach::Within(action)),
        (None, enabled) => {
            let section = Terms { after: config.after, thrash_after: config.thrash_after, page_size };
            let terms = scope(&on, path.as_bytes(), page_size).map_or(section, |scope| scope.terms);
            (terms, if enabled { Reach::LeftOut } else { Reach::Off })
        }
    }
}

fn announce(path: &CgroupPath, span: Duration) {
    if span > LONG && std::io::stderr().is_terminal() {
        eprintln!("watching {} for {:.0} s ...", Escaped(path.as_bytes()), span.as_secs_f64());
    }
}
