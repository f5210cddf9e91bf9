//! What is asked about: memory, or a cgroup, and how that stands.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use crate::commands::daemon::{Plan, Sources};
use crate::config::Config;
use crate::decide::livelock::{Judged, Kind};
use crate::decide::pressure::{LOOK, PressureRule, PressureTerms};
use crate::host::Host;
use crate::observe::Tasks;
use crate::observe::cgroups::{CgroupPath, is_within, open};
use crate::report::Escaped;

use super::livelock::{self, Look};

/// What somebody would be killed for.
pub(super) enum Subject {
    /// Memory that runs short.
    Memory,
    /// A cgroup, as it was seen.
    Cgroup(Box<Asked>),
    /// A cgroup that is known to be stuck.
    Stuck(Stuck),
}

/// A cgroup that somebody asks about.
pub(super) struct Asked {
    pub(super) path: CgroupPath,
    /// The livelock guard's view.
    pub(super) look: Look,
    /// `[cgroup_limits]` chooses it.
    pub(super) chosen: bool,
    /// Its pressure by `[pressure]`, where that section chooses it.
    pub(super) pressure: Option<Pressed>,
}

impl Asked {
    pub(super) fn look(path: &CgroupPath, config: &Config, host: &Host, span: Duration) -> Self {
        let plan = plan(config, host.page_size);
        let mut rule = plan.pressure_terms(path.as_bytes()).map(PressureRule::new);
        let look = livelock::look(host, &config.livelock, path, span, rule.as_mut());
        let pressure = rule.map(|rule| Pressed {
            terms: *rule.terms(),
            percent: rule.share(span.min(LOOK)).map(|share| share * 100.0),
        });
        Self { path: *path, look, chosen: plan.is_chosen(path.as_bytes()), pressure }
    }

    /// The livelock guard kills for it now.
    pub(super) fn is_acted_on(&self) -> bool {
        matches!(&self.look, Look::Judged(case) if case.is_acted_on())
    }
}

/// A cgroup's pressure.
#[derive(Clone, Copy)]
pub(super) struct Pressed {
    pub(super) terms: PressureTerms,
    /// Share of the time watched, of its last ten seconds at most, that was fully stalled, in percent; none when it could not
    /// be watched.
    pub(super) percent: Option<f64>,
}

impl Pressed {
    pub(super) fn is_over(&self) -> bool {
        self.percent.is_some_and(|percent| percent >= self.terms.full)
    }
}

/// A cgroup that is stuck at its limit.
#[derive(Clone, Copy, Debug)]
pub struct Stuck {
    /// Where.
    pub path: CgroupPath,
    /// The limit.
    pub limit: Judged,
    /// `memory.current`, in bytes.
    pub current: u64,
    /// How.
    pub kind: Kind,
}

impl Subject {
    pub(super) fn stuck(&self) -> Option<Stuck> {
        match self {
            Self::Memory => None,
            Self::Stuck(stuck) => Some(*stuck),
            Self::Cgroup(asked) => match &asked.look {
                Look::Not { .. } => None,
                Look::Judged(case) => {
                    let kind = case.kind().unwrap_or(Kind::Throttled);
                    Some(Stuck { path: asked.path, limit: case.limit, current: case.last.current, kind })
                }
            },
        }
    }

    pub(super) fn path(&self) -> Option<&CgroupPath> {
        match self {
            Self::Memory => None,
            Self::Cgroup(asked) => Some(&asked.path),
            Self::Stuck(stuck) => Some(&stuck.path),
        }
    }

    pub(super) fn asked(&self) -> Option<&Asked> {
        match self {
            Self::Cgroup(asked) => Some(asked),
            Self::Memory | Self::Stuck(_) => None,
        }
    }
}

/// What the daemon is asked of cgroups; by systemd too, where it may be asked.
fn plan(config: &Config, page_size: u64) -> Plan {
    let plan = Plan::new(config, None, page_size);
    if !plan.asks_systemd() {
        return plan;
    }
    match Sources::of_this_process().ask() {
        Ok(managed) => plan.with_managed(managed.units),
        Err(why) => {
            eprintln!("note: what systemd wants relieved of pressure (pressure.managed_oom) is not known: {why}");
            plan
        }
    }
}

/// A cgroup as people write it: with a slash too many, or as a path of the mounted tree.
pub(super) fn cgroup_path(path: &OsStr) -> Result<CgroupPath, String> {
    let path = path.as_bytes();
    let shown = Escaped(path);
    let path = path.strip_prefix(b"/sys/fs/cgroup").unwrap_or(path);
    if !path.is_empty() && !path.starts_with(b"/") {
        return Err(format!(
            "--cgroup {shown}: expected a path from the cgroup root, as /system.slice/web.service; a unit's is told by \
             systemctl show -P ControlGroup {shown}"
        ));
    }
    let bare = path.strip_suffix(b"/").unwrap_or(path);
    let bare = if bare.is_empty() { b"/" } else { bare };
    CgroupPath::new(bare).ok_or_else(|| format!("--cgroup {shown}: longer than any path hogwatch follows"))
}

/// A path that was mistyped must not look like a cgroup in which all is well.
pub(super) fn must_exist(host: &Host, path: &CgroupPath, tasks: &Tasks) -> Result<(), String> {
    let is_there = host.cgroup2.as_ref().is_some_and(|root| open(root, path.as_bytes()).is_ok());
    let mut paths = tasks.list.iter().filter_map(|task| tasks.cgroup_path(task));
    if is_there || paths.any(|lived_in| is_within(lived_in, path.as_bytes())) {
        return Ok(());
    }
    let path = Escaped(path.as_bytes());
    Err(format!("--cgroup {path}: there is no such cgroup (`systemd-cgls` shows those there are)"))
}
