//! The configuration as the rest of hogwatch sees it: plain data with the defaults, every unit resolved.

use std::path::PathBuf;
use std::time::Duration;

use super::pattern::Pattern;
use super::run::Run;
use super::units::Amount;

/// The whole configuration. `Config::default()` is what applies without a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// `[memory]`: the memory guard's thresholds.
    pub memory: Memory,
    /// `[swap]`: whether and how swap counts.
    pub swap: Swap,
    /// `[livelock]`: cgroups that are stuck at their limit.
    pub livelock: Livelock,
    /// `[cgroup_limits]`: act before a cgroup's own `memory.max` does.
    pub cgroup_limits: CgroupLimits,
    /// `[pressure]`: systemd-oomd's rule.
    pub pressure: Pressure,
    /// `[victim]`: who is killed.
    pub victim: Victim,
    /// `[escalation]`: from SIGTERM to SIGKILL.
    pub escalation: Escalation,
    /// `[hooks]`: commands run around an act.
    pub hooks: Hooks,
    /// `[notify]`: who is told.
    pub notify: Notify,
    /// `[run]`: defaults of `hogwatch run`.
    pub run: Run,
    /// `[journal]`: what is written regularly.
    pub journal: Journal,
    /// `[recorder]`: the flight recorder.
    pub recorder: Recorder,
    /// `[metrics]`: metrics for a collector.
    pub metrics: Metrics,
}

/// `[memory]`. Percents are of the total that `percent_of` names. `kill <= term <= warn` holds where they can be
/// compared without knowing the machine; [`Config::fit`] sees to the rest.
#[derive(Clone, Debug, PartialEq)]
pub struct Memory {
    /// Warn at or below this much available memory.
    pub warn: Amount,
    /// SIGTERM the victim at or below this.
    pub term: Amount,
    /// SIGKILL the victim at or below this.
    pub kill: Amount,
    /// What the percents are of.
    pub percent_of: PercentOf,
    /// Whose memory is watched.
    pub scope: Scope,
    /// How ZFS's ARC counts.
    pub zfs_arc: ZfsArc,
}

/// What a percent of memory is a percent of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PercentOf {
    /// MemTotal.
    Total,
    /// MemAvailable + AnonPages, as earlyoom counts since 1.8.
    User,
}

/// Whose memory is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The machine and the nearest enclosing cgroup limit: the scarcer rules.
    Auto,
    /// The machine only.
    Host,
    /// The nearest enclosing cgroup limit only.
    Cgroup,
}

/// How ZFS's ARC counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZfsArc {
    /// As available above its minimum, unless pressure shows that it is not given back.
    Auto,
    /// Always as available above its minimum.
    Count,
    /// As used memory.
    Ignore,
}

/// `[swap]`. Percents are of SwapTotal.
#[derive(Clone, Debug, PartialEq)]
pub struct Swap {
    /// Whether swap counts.
    pub mode: SwapMode,
    /// Free swap at or below this counts as low for SIGTERM.
    pub term: Amount,
    /// Free swap at or below this counts as low for SIGKILL.
    pub kill: Amount,
}

/// Whether swap counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwapMode {
    /// It does not.
    Ignore,
    /// Memory and swap must both be low.
    And,
    /// Low memory or low swap suffices.
    Or,
}

/// `[livelock]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Livelock {
    /// Whether stuck cgroups are looked for.
    pub enabled: bool,
    /// Stuck (throttled or squeezed) this long before the act; 6 s at least, the shortest window that makes no error.
    pub after: Duration,
    /// Thrashing this long before the act; 6 s at least.
    pub thrash_after: Duration,
    /// What is done.
    pub action: LivelockAction,
    /// Globs of the cgroups this holds for, on the path below the cgroup root, without a leading slash.
    pub cgroups: Vec<String>,
    /// Exceptions; the first whose globs match wins.
    pub overrides: Vec<LivelockOverride>,
}

/// What is done about a stuck cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LivelockAction {
    /// Kill the largest task in it.
    Kill,
    /// Write to the journal only.
    Warn,
    /// Raise its `memory.high` until the pressure is gone.
    Lift,
}

/// One `[[livelock.override]]`; what is `None` is as `[livelock]` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LivelockOverride {
    /// Globs of the cgroups it holds for; at least one.
    pub cgroups: Vec<String>,
    /// Replaces [`Livelock::action`].
    pub action: Option<LivelockAction>,
    /// Replaces [`Livelock::after`].
    pub after: Option<Duration>,
    /// Replaces [`Livelock::thrash_after`].
    pub thrash_after: Option<Duration>,
}

/// `[cgroup_limits]`. Percents are of the cgroup's `memory.max`.
#[derive(Clone, Debug, PartialEq)]
pub struct CgroupLimits {
    /// Whether cgroups with a limit are watched.
    pub enabled: bool,
    /// SIGTERM at or below this much left under the limit.
    pub term: Amount,
    /// SIGKILL at or below this.
    pub kill: Amount,
    /// Globs of the cgroups this holds for.
    pub cgroups: Vec<String>,
}

/// `[pressure]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Pressure {
    /// Whether pressure alone is a reason to act.
    pub enabled: bool,
    /// Share of time fully stalled, in percent, above 0.
    pub full: f64,
    /// Above `full` this long before the act; 1 s at least.
    pub after: Duration,
    /// Globs of the cgroups this holds for.
    pub cgroups: Vec<String>,
    /// What is killed.
    pub target: TargetKind,
    /// Whether `ManagedOOMMemoryPressure=` of systemd's units is honoured.
    pub managed_oom: bool,
}

/// What one act kills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// One process.
    Process,
    /// A whole cgroup.
    Cgroup,
}

/// `[victim]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Victim {
    /// Whether the built-in `protect` and `avoid` lists count.
    pub protect_builtin: bool,
    /// Never killed.
    pub protect: Vec<Pattern>,
    /// Killed only when nothing else is left.
    pub avoid: Vec<Pattern>,
    /// Killed first.
    pub prefer: Vec<Pattern>,
    /// Smaller is not worth killing; a percent is of MemTotal, or of the cgroup's limit.
    pub min_size: Amount,
    /// What ranks the candidates.
    pub order: Order,
    /// Whether the victim's whole cgroup dies with it.
    pub target: TargetKind,
}

/// What ranks the candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Anonymous memory and swap.
    Size,
    /// The kernel's `oom_score`.
    Badness,
}

/// `[escalation]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Escalation {
    /// From SIGTERM to SIGKILL when memory stays low.
    pub grace: Duration,
}

/// `[hooks]`: argument vectors, no shell; empty means none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hooks {
    /// Run before SIGTERM.
    pub before: Vec<String>,
    /// Run after an act.
    pub after: Vec<String>,
}

/// `[notify]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notify {
    /// Whether the logged-in users are told.
    pub desktop: bool,
}

/// `[journal]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    /// A line of the machine's state this often, 1 s at least; none means never.
    pub every: Option<Duration>,
}

/// `[recorder]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorder {
    /// How far back the flight recorder in memory reaches; 1 s at least.
    pub keep: Duration,
    /// Incidents kept on disk.
    pub incidents: u32,
}

/// `[metrics]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Absolute path of the file for node_exporter's textfile collector; none means no metrics.
    pub textfile: Option<PathBuf>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            warn: Amount::Percent(10.0),
            term: Amount::Percent(5.0),
            kill: Amount::Percent(3.0),
            percent_of: PercentOf::Total,
            scope: Scope::Auto,
            zfs_arc: ZfsArc::Auto,
        }
    }
}

impl Default for Swap {
    fn default() -> Self {
        Self { mode: SwapMode::Ignore, term: Amount::Percent(10.0), kill: Amount::Percent(5.0) }
    }
}

impl Default for Livelock {
    fn default() -> Self {
        Self {
            enabled: true,
            after: Duration::from_secs(10),
            thrash_after: Duration::from_secs(30),
            action: LivelockAction::Kill,
            cgroups: vec!["**".to_owned()],
            overrides: Vec::new(),
        }
    }
}

impl Default for CgroupLimits {
    fn default() -> Self {
        Self { enabled: false, term: Amount::Percent(5.0), kill: Amount::Percent(3.0), cgroups: Vec::new() }
    }
}

impl Default for Pressure {
    fn default() -> Self {
        Self {
            enabled: false,
            full: 60.0,
            after: Duration::from_secs(30),
            cgroups: Vec::new(),
            target: TargetKind::Process,
            managed_oom: false,
        }
    }
}

impl Default for Victim {
    fn default() -> Self {
        Self {
            protect_builtin: true,
            protect: Vec::new(),
            avoid: Vec::new(),
            prefer: Vec::new(),
            min_size: Amount::Percent(0.5),
            order: Order::Size,
            target: TargetKind::Process,
        }
    }
}

impl Default for Escalation {
    fn default() -> Self {
        Self { grace: Duration::from_secs(10) }
    }
}

impl Default for Journal {
    fn default() -> Self {
        Self { every: Some(Duration::from_secs(60 * 60)) }
    }
}

impl Default for Recorder {
    fn default() -> Self {
        Self { keep: Duration::from_secs(10 * 60), incidents: 200 }
    }
}
