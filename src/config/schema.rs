//! The schema: every section and key of the file, once, in the file's order. Reading, printing and suggestions all walk
//! this one list.

use std::time::Duration;

use super::format::{
    AMOUNT, BOOL, COMMAND, COUNT, DURATION, DURATION_OR_NEVER, Format, GLOBS, PATH_OR_NONE, PATTERN, PERCENT, Word,
    word,
};
use super::problem::Bad;
use super::types::{Config, LivelockAction, Order, PercentOf, Scope, SwapMode, TargetKind, ZfsArc};
use super::units::{Amount, write_duration};
use super::{overrides, run};

/// The livelock detector's shortest window: below 6 s healthy bursts are taken for livelocks.
const MIN_WINDOW: Duration = Duration::from_secs(6);

/// The shortest period of things that are written or averaged: more often would only make noise.
pub(super) const MIN_PERIOD: Duration = Duration::from_secs(1);

/// Something done with each section and key in turn.
pub(super) trait Visitor {
    /// The keys that follow belong to this section.
    fn section(&mut self, name: &'static str);
    /// A key whose value in a later file replaces that of an earlier one.
    fn key<T: 'static>(&mut self, name: &'static str, slot: &mut T, format: &Format<T>);
    /// A list to which each file adds.
    fn list<T: 'static>(&mut self, name: &'static str, slot: &mut Vec<T>, item: &Format<T>);
}

/// Shows `visitor` every key, in the file's order.
pub(super) fn visit(c: &mut Config, visitor: &mut impl Visitor) {
    let v = visitor;
    v.section("memory");
    v.key("warn", &mut c.memory.warn, &AMOUNT);
    v.key("term", &mut c.memory.term, &TERM);
    v.key("kill", &mut c.memory.kill, &AMOUNT);
    v.key("percent_of", &mut c.memory.percent_of, &word());
    v.key("scope", &mut c.memory.scope, &word());
    v.key("zfs_arc", &mut c.memory.zfs_arc, &word());

    v.section("swap");
    v.key("mode", &mut c.swap.mode, &word());
    v.key("term", &mut c.swap.term, &AMOUNT);
    v.key("kill", &mut c.swap.kill, &AMOUNT);

    v.section("livelock");
    v.key("enabled", &mut c.livelock.enabled, &BOOL);
    v.key("after", &mut c.livelock.after, &WINDOW);
    v.key("thrash_after", &mut c.livelock.thrash_after, &WINDOW);
    v.key("action", &mut c.livelock.action, &word());
    v.key("cgroups", &mut c.livelock.cgroups, &GLOBS);
    v.list("override", &mut c.livelock.overrides, &overrides::LIVELOCK);

    v.section("cgroup_limits");
    v.key("enabled", &mut c.cgroup_limits.enabled, &BOOL);
    v.key("term", &mut c.cgroup_limits.term, &TERM);
    v.key("kill", &mut c.cgroup_limits.kill, &AMOUNT);
    v.key("cgroups", &mut c.cgroup_limits.cgroups, &GLOBS);

    v.section("pressure");
    v.key("enabled", &mut c.pressure.enabled, &BOOL);
    v.key(
        "full",
        &mut c.pressure.full,
        &PERCENT.with(|full| possible(*full > 0.0, "0% is always reached", "write a percent above 0%")),
    );
    v.key("after", &mut c.pressure.after, &PERIOD);
    v.key("cgroups", &mut c.pressure.cgroups, &GLOBS);
    v.key("target", &mut c.pressure.target, &word());
    v.key("managed_oom", &mut c.pressure.managed_oom, &BOOL);

    v.section("victim");
    v.key("protect_builtin", &mut c.victim.protect_builtin, &BOOL);
    v.list("protect", &mut c.victim.protect, &PATTERN);
    v.list("avoid", &mut c.victim.avoid, &PATTERN);
    v.list("prefer", &mut c.victim.prefer, &PATTERN);
    v.key(
        "min_size",
        &mut c.victim.min_size,
        &AMOUNT.with(|size| {
            possible(*size != Amount::Percent(100.0), "no process is this large", "write a smaller percent")
        }),
    );
    v.key("order", &mut c.victim.order, &word());
    v.key("target", &mut c.victim.target, &word());

    v.section("escalation");
    v.key("grace", &mut c.escalation.grace, &DURATION);

    v.section("hooks");
    v.key("before", &mut c.hooks.before, &COMMAND);
    v.key("after", &mut c.hooks.after, &COMMAND);

    v.section("notify");
    v.key("desktop", &mut c.notify.desktop, &BOOL);

    v.section("run");
    v.key("memory", &mut c.run.defaults.memory, &run::MEMORY);
    v.key("swap", &mut c.run.defaults.swap, &run::SWAP);
    v.key("timeout", &mut c.run.defaults.timeout, &run::TIMEOUT);
    v.key("kill_after", &mut c.run.defaults.kill_after, &DURATION);
    v.key("tasks", &mut c.run.defaults.tasks, &run::TASKS);
    v.key("temp_env", &mut c.run.defaults.temp_env, &run::TEMP_ENV);
    v.key("log", &mut c.run.defaults.log, &run::LOG);
    v.list("override", &mut c.run.overrides, &overrides::RUN);

    v.section("journal");
    v.key(
        "every",
        &mut c.journal.every,
        &DURATION_OR_NEVER.with(|every| at_least(every.unwrap_or(MIN_PERIOD), MIN_PERIOD)),
    );

    v.section("recorder");
    v.key("keep", &mut c.recorder.keep, &PERIOD);
    v.key("incidents", &mut c.recorder.incidents, &COUNT);

    v.section("metrics");
    v.key("textfile", &mut c.metrics.textfile, &PATH_OR_NONE);
}

/// A threshold that must be reachable and must not be reached all the time.
const TERM: Format<Amount> = AMOUNT.with(|term| match term {
    Amount::Percent(0.0) | Amount::Bytes(0) => Err(Bad::new(
        format!("{term} is reached only when it is too late"),
        "write a threshold above 0, such as \"5%\"",
    )),
    Amount::Percent(100.0) => Err(Bad::new(
        "100% is always reached: something would be killed at once",
        "write a threshold below 100%, such as \"5%\"",
    )),
    Amount::Percent(_) | Amount::Bytes(_) => Ok(()),
});

/// How long something lasted before the livelock guard acts.
pub(super) const WINDOW: Format<Duration> = DURATION.with(|window| at_least(*window, MIN_WINDOW));

/// How often or how long something averaged or recorded lasts.
const PERIOD: Format<Duration> = DURATION.with(|period| at_least(*period, MIN_PERIOD));

pub(super) fn at_least(duration: Duration, least: Duration) -> Result<(), Bad> {
    let message = format!("{} is too short", write_duration(duration));
    let help = format!("write {} or more", write_duration(least));
    possible(duration >= least, &message, &help)
}

pub(super) fn possible(holds: bool, message: &str, help: &str) -> Result<(), Bad> {
    match holds {
        true => Ok(()),
        false => Err(Bad::new(message, help)),
    }
}

impl Word for PercentOf {
    const WORDS: &'static [(&'static str, Self)] = &[("total", Self::Total), ("user", Self::User)];
}

impl Word for Scope {
    const WORDS: &'static [(&'static str, Self)] =
        &[("auto", Self::Auto), ("host", Self::Host), ("cgroup", Self::Cgroup)];
}

impl Word for ZfsArc {
    const WORDS: &'static [(&'static str, Self)] =
        &[("auto", Self::Auto), ("count", Self::Count), ("ignore", Self::Ignore)];
}

impl Word for SwapMode {
    const WORDS: &'static [(&'static str, Self)] = &[("ignore", Self::Ignore), ("and", Self::And), ("or", Self::Or)];
}

impl Word for LivelockAction {
    const WORDS: &'static [(&'static str, Self)] = &[("kill", Self::Kill), ("warn", Self::Warn), ("lift", Self::Lift)];
}

impl Word for Order {
    const WORDS: &'static [(&'static str, Self)] = &[("size", Self::Size), ("badness", Self::Badness)];
}

impl Word for TargetKind {
    const WORDS: &'static [(&'static str, Self)] = &[("process", Self::Process), ("cgroup", Self::Cgroup)];
}
