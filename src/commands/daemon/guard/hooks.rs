//! The guard's side of hooks: what is run after an entry, and the one short wait before a SIGTERM.

use std::time::Duration;

use crate::config::Config;
use crate::decide::measure::Level;
use crate::decide::{Act, Signal};
use crate::host::clock;
use crate::host::wait::Source;
use crate::observe::Observation;
use crate::report::hooks::{Commands, Hooks};

use super::super::tell;
use super::Guard;

/// A `before` hook has this long before its SIGTERM goes out, finished or not: enough to note a state or to tell a load
/// balancer, little against the seconds that memory takes from `term` to `kill`.
const BEFORE_AT_MOST: Duration = Duration::from_millis(200);

/// Only one wait begins in this time: many acts in a row run their hooks, but the guard waits for a fifth of its time at most.
const BEFORE_EVERY: Duration = Duration::from_secs(1);

/// While it waits the guard looks at memory this often: what it must not miss meanwhile is the `kill` threshold.
const LOOK: Duration = Duration::from_millis(10);

/// The commands that a configuration asks for.
#[must_use]
pub fn commands(config: &Config) -> Commands {
    let (before, after) = (config.hooks.before.clone(), config.hooks.after.clone());
    Commands { before, after, desktop: config.notify.desktop }
}

impl Guard {
    /// Starts, changes or ends the hooks' thread as the configuration asks. A dry run has none: nothing happens, so nobody is
    /// to be told.
    pub(super) fn follow_hooks(&mut self, commands: Commands) {
        let wanted = !commands.is_empty() && !self.parts.dry_run;
        let Some(link) = &mut self.link else { return };
        match (&mut link.hooks, wanted) {
            (Some(hooks), true) => hooks.configure(commands),
            (None, true) => match link.sender.start_hooks(commands, self.parts.unit_dir.clone()) {
                Ok(hooks) => {
                    let _ = self.wait_set.add(hooks.bell(), Source::Errand);
                    link.hooks = Some(hooks);
                }
                Err(e) => self.degraded(format_args!("hooks are not run, no thread for them: {e}")),
            },
            // Its end is not waited for here: the guard goes on.
            (_, false) => drop(self.let_go_of_hooks()),
        }
    }

    fn let_go_of_hooks(&mut self) -> Option<Hooks> {
        let hooks = self.link.as_mut()?.hooks.take()?;
        self.wait_set.remove(hooks.bell());
        Some(hooks)
    }

    /// Ends what runs, and waits a moment for it.
    pub fn end_hooks(&mut self) {
        if let Some(hooks) = self.let_go_of_hooks() {
            hooks.stop();
        }
    }

    /// Says what went wrong with hooks.
    pub(super) fn take_remarks(&self) {
        while let Some(remark) = self.link.as_ref().and_then(|link| link.hooks.as_ref()?.remark()) {
            self.degraded(format_args!("{remark}"));
        }
    }

    /// Runs the `before` hook of a SIGTERM and gives it a moment; whether any time has passed, so that the cause has to be
    /// looked at again.
    ///
    /// The guard does nothing else meanwhile. That is bounded ([`BEFORE_AT_MOST`], [`BEFORE_EVERY`]; the watchdog's period is
    /// far longer), and memory that falls to `kill` ends it at once: whatever the act is about, the machine comes first.
    /// Nothing here allocates.
    pub(super) fn wait_for_hook(&mut self, act: &Act, incident: Option<u32>) -> bool {
        let Some(link) = self.link.as_ref().filter(|_| act.signal == Signal::Term) else { return false };
        let Some(hooks) = &link.hooks else { return false };
        let details = link.reader.as_ref().and_then(|reader| reader.table());
        let mut event = tell::acted(act, details.as_deref());
        drop(details);
        event.incident = incident;
        if !hooks.before(&self.complete(&event)) {
            return false;
        }
        let begin = clock::now();
        if self.waited_at.is_some_and(|at| begin.saturating_sub(at) < BEFORE_EVERY) {
            return false;
        }
        self.waited_at = Some(begin);
        while clock::now().saturating_sub(begin) < BEFORE_AT_MOST {
            if hooks.has_ended_before(act.victim.id.pid, LOOK) || self.parts.is_at_kill(&mut self.faults) {
                break;
            }
        }
        true
    }
}

impl super::Parts {
    /// Whether memory has fallen to `kill` by now, here or under a limit around us.
    fn is_at_kill(&mut self, faults: &mut crate::observe::Faults) -> bool {
        let Ok(machine) = self.machine.read(faults) else { return false };
        let enclosing = self.enclosing.read(faults);
        let obs = Observation { machine: &machine, enclosing, victim_exited: false, tasks: None, details: None };
        self.engine.gauge().worst(&obs).level == Level::Kill
    }
}
