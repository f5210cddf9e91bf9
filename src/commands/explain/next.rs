//! The answer in short, for somebody who looks again and again: `hogwatch status --watch`.

use crate::config::Config;
use crate::decide::victim::Own;
use crate::host::Host;
use crate::report::Escaped;

use super::{Explained, Stuck, Subject, explain, fitted, text};

/// Who goes first, and why. Names in it are escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next {
    /// `ugrep (pid 4242, 12.3 GiB)`; `None`: nobody would be killed.
    pub whom: Option<String>,
    /// The victim's cgroup, where it is known.
    pub cgroup: Option<String>,
    /// Why it is this one, or why it is nobody.
    pub why: String,
}

/// Who would be killed first now, by a guard that is `own` with this configuration: for memory, or for a cgroup that is
/// stuck at its limit. It reads every process, and may wait as long as that takes.
///
/// # Errors
/// `/proc` can't be read, or the cgroup is gone.
pub fn next(config: &Config, host: &Host, own: Own, stuck: Option<&Stuck>) -> Result<Next, String> {
    let subject = stuck.map_or(Subject::Memory, |stuck| Subject::Stuck(*stuck));
    let (config, _) = fitted(config.clone(), host)?;
    Ok(Next::of(&explain(subject, &config, host, own)?))
}

impl Next {
    fn of(explained: &Explained) -> Self {
        let Some(victim) = explained.victim() else {
            return Self { whom: None, cgroup: None, why: explained.refusal().unwrap_or_default() };
        };
        let first = explained.candidates.iter().find(|candidate| candidate.task.id == victim.id);
        Self {
            whom: Some(text::whom(victim)),
            // A group is named with its cgroup.
            cgroup: first
                .filter(|_| victim.group.is_none())
                .and_then(|first| first.cgroup.as_ref())
                .map(|path| Escaped(path.as_bytes()).to_string()),
            why: first.map(|first| first.reason.clone()).unwrap_or_default(),
        }
    }
}
