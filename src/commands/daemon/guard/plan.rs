//! What the configuration asks of each cgroup.

use std::time::Duration;

use crate::config::{CgroupLimits, Config, Livelock, Pressure, TargetKind};
use crate::decide::cases::Interest;
use crate::decide::livelock::{self, Terms, glob_matches};
use crate::decide::pressure::PressureTerms;
use crate::observe::cgroups::{CgroupPath, is_child};
use crate::observe::survey::Attention;

use super::super::managed::ManagedUnit;

/// The sections that are about cgroups, and what belongs to them.
#[derive(Clone, Debug)]
pub struct Plan {
    livelock: Livelock,
    limits: CgroupLimits,
    pressure: Pressure,
    /// Units that systemd wants relieved of pressure.
    pub managed: Vec<ManagedUnit>,
    /// The cgroup we are in, when that is a unit of our own: its limits are there to bound hogwatch.
    own_unit: Option<CgroupPath>,
    page_size: u64,
}

impl Plan {
    /// The plan of a configuration.
    #[must_use]
    pub fn new(config: &Config, own_unit: Option<&CgroupPath>, page_size: u64) -> Self {
        Self {
            livelock: config.livelock.clone(),
            limits: config.cgroup_limits.clone(),
            pressure: config.pressure.clone(),
            managed: Vec::new(),
            own_unit: own_unit.copied(),
            page_size,
        }
    }

    /// The plan of another configuration for the same daemon.
    #[must_use]
    pub fn again(&self, config: &Config) -> Self {
        let managed =
            if config.pressure.enabled && config.pressure.managed_oom { self.managed.clone() } else { Vec::new() };
        Self { managed, ..Self::new(config, self.own_unit.as_ref(), self.page_size) }
    }

    /// The same plan with other units of systemd's.
    #[must_use]
    pub fn with_managed(&self, managed: Vec<ManagedUnit>) -> Self {
        Self { managed, ..self.clone() }
    }

    /// Whether there may be anything to look for.
    #[must_use]
    pub fn wants_any(&self) -> bool {
        self.livelock.enabled || self.limits.enabled || self.pressure.enabled
    }

    /// Whether systemd is to be asked for the units it wants relieved.
    #[must_use]
    pub fn asks_systemd(&self) -> bool {
        self.pressure.enabled && self.pressure.managed_oom
    }

    /// The section about stuck cgroups.
    #[must_use]
    pub fn livelock(&self) -> &Livelock {
        &self.livelock
    }

    /// Whether `[cgroup_limits]` holds for the cgroup.
    #[must_use]
    pub fn is_chosen(&self, path: &[u8]) -> bool {
        self.limits.enabled && matches(&self.limits.cgroups, path) && !self.is_own(path)
    }

    /// What its samples are to be judged by; `None` when by nothing.
    #[must_use]
    pub fn interest(&self, path: &[u8]) -> Option<Interest> {
        if self.is_own(path) {
            return None;
        }
        let livelock = livelock::scope(&self.livelock, path, self.page_size);
        let pressure = self.pressure_terms(path).map(|terms| (terms, self.pressure.target));
        let (after, thrash_after) = (self.livelock.after, self.livelock.thrash_after);
        let terms = livelock.map_or(Terms { after, thrash_after, page_size: self.page_size }, |scope| scope.terms);
        let wanted = livelock.is_some() || pressure.is_some() || self.is_child_under_pressure(path);
        wanted.then_some(Interest { livelock, pressure, terms })
    }

    /// How much the surveyor should care for it.
    #[must_use]
    pub fn attention(&self, path: &[u8]) -> Attention {
        if self.is_chosen(path)
            || !self.is_own(path) && (self.pressure_terms(path).is_some() || self.is_child_under_pressure(path))
        {
            return Attention::Always;
        }
        match self.interest(path) {
            Some(_) => Attention::WhenItStirs,
            None => Attention::No,
        }
    }

    fn is_own(&self, path: &[u8]) -> bool {
        self.own_unit.is_some_and(|own| own.as_bytes() == path)
    }

    /// When pressure in the cgroup is too much, if `[pressure]` cares for it. The section's own globs come first; what systemd
    /// says of a unit is its own matter.
    #[must_use]
    pub fn pressure_terms(&self, path: &[u8]) -> Option<PressureTerms> {
        if !self.pressure.enabled {
            return None;
        }
        if matches(&self.pressure.cgroups, path) {
            return Some(PressureTerms { full: self.pressure.full, after: self.pressure.after });
        }
        let unit = self.managed.iter().find(|unit| unit.cgroup.as_bytes() == path)?;
        Some(PressureTerms { full: unit.full_percent, after: unit.after })
    }

    /// Whether its share is wanted, because it may be the worst child of one under pressure.
    fn is_child_under_pressure(&self, path: &[u8]) -> bool {
        self.pressure.target == TargetKind::Cgroup
            && path.iter().rposition(|b| *b == b'/').is_some_and(|at| {
                let parent = if at == 0 { &b"/"[..] } else { &path[..at] };
                self.pressure_terms(parent).is_some() && is_child(path, parent)
            })
    }
}

/// Between two questions to systemd: units come and go, and a unit under pressure for half a minute can wait as long.
pub const ASK_SYSTEMD: Duration = Duration::from_secs(30);

fn matches(globs: &[String], path: &[u8]) -> bool {
    globs.iter().any(|glob| glob_matches(glob.as_bytes(), path))
}
