//! The words: why a process has its place, or none.

use crate::config::{self, Config, LivelockAction};
use crate::decide::builtin::{self, Name};
use crate::decide::measure::Level;
use crate::decide::rules::{Rule, Says};
use crate::decide::victim::{Exclusion, Refusal, Tier};
use crate::observe::Task;
use crate::report::Size;

pub(super) fn why_here(task: &Task, tier: Tier, says: Says, min_size: u64, config: &Config) -> String {
    let list = match (tier, says) {
        (Tier::Prefer, Says::Prefer(rule)) => {
            format!("preferred by {}", rule_name(rule, "prefer", &config.victim.prefer))
        }
        (Tier::Avoid, Says::Avoid(rule)) => format!("avoided by {}", rule_name(rule, "avoid", &config.victim.avoid)),
        (Tier::Avoid, _) => "avoided: ManagedOOMPreference=avoid".to_owned(),
        (Tier::Unread, Says::Unread(rule)) => {
            format!("perhaps protected by {}, which can't be read", rule_name(rule, "protect", &config.victim.protect))
        }
        (Tier::Unread, _) => "its oom_score_adj can't be read, perhaps it is protected".to_owned(),
        _ => "in no list".to_owned(),
    };
    let size = task.size();
    if size < min_size {
        format!("{list}; below min_size {}", Size(min_size))
    } else {
        format!("{list}; {} would come back", Size(size))
    }
}

pub(super) fn why_not(why: Exclusion, config: &Config) -> String {
    match why {
        Exclusion::Init => "pid 1: everything would go with it".to_owned(),
        Exclusion::Own => "hogwatch itself".to_owned(),
        Exclusion::NeverKill => "oom_score_adj is -1000".to_owned(),
        Exclusion::OutsideLimit => "outside the cgroup in question".to_owned(),
        Exclusion::NotPermitted => "another user's, which this guard may not signal".to_owned(),
        Exclusion::SetAside => "did not die of an earlier SIGKILL".to_owned(),
        Exclusion::Omit => "ManagedOOMPreference=omit".to_owned(),
        Exclusion::Protected(rule) => format!("protected by {}", rule_name(rule, "protect", &config.victim.protect)),
    }
}

fn rule_name(rule: Rule, list: &str, admin: &[config::Pattern]) -> String {
    let builtin = |list: &[Name], n: u16| list.get(usize::from(n)).map_or("?".to_owned(), ToString::to_string);
    match rule {
        Rule::BuiltinProtect(n) => format!("the built-in {}", builtin(builtin::PROTECT, n)),
        Rule::BuiltinAvoid(n) => format!("the built-in {}", builtin(builtin::AVOID, n)),
        Rule::SystemdChild => format!("the built-in {} (root only)", builtin::SYSTEMD_CHILD),
        Rule::Admin(n) => format!("victim.{list} {:?}", admin.get(usize::from(n)).map_or("?", |p| p.text.as_str())),
    }
}

pub(super) fn level_name(level: Level) -> &'static str {
    match level {
        Level::Calm => "nothing to do",
        Level::Warn => "warned, nobody is killed yet",
        Level::Term => "SIGTERM is due",
        Level::Kill => "SIGKILL is due",
    }
}

/// Why nobody would be killed.
pub(super) fn refusal(refusal: Refusal) -> Option<String> {
    match refusal {
        Refusal::NobodyEligible => Some("no process is eligible".to_owned()),
        Refusal::NothingWorthKilling { largest, min_size } => Some(format!(
            "the largest eligible process ({}) is below victim.min_size {}, and so is every cgroup's sum",
            Size(largest),
            Size(min_size)
        )),
        Refusal::WouldNotSuffice { together, deficit } => {
            Some(format!("all candidates together ({}) are less than the {} missing", Size(together), Size(deficit)))
        }
        Refusal::HogSpared => Some("whoever made it stuck may not be killed, and nobody dies in its place".to_owned()),
        Refusal::NoGain => None,
    }
}

/// What is done about a stuck cgroup, as the configuration says it.
pub(super) fn action_name(action: LivelockAction) -> &'static str {
    match action {
        LivelockAction::Kill => "kill",
        LivelockAction::Warn => "warn",
        LivelockAction::Lift => "lift",
    }
}
