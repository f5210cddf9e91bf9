//! What systemd does when a service's main process ends by a signal: whether on-call has to start it again.
//!
//! The rules are those of systemd.service(5), "Restart=" and its table of exit causes. Said beforehand it is a forecast: of a
//! process that dies of the signal, or ends well (status 0) when it gets SIGTERM. One that ends SIGTERM with another status
//! has failed, to systemd, and `Restart=on-failure` restarts it then.

use nix::sys::signal::Signal;

/// `Restart=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// `no`
    No,
    /// `always`
    Always,
    /// `on-success`
    OnSuccess,
    /// `on-failure`
    OnFailure,
    /// `on-abnormal`
    OnAbnormal,
    /// `on-abort`
    OnAbort,
    /// `on-watchdog`
    OnWatchdog,
}

impl Restart {
    /// By the word that systemd has for it.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "no" => Self::No,
            "always" => Self::Always,
            "on-success" => Self::OnSuccess,
            "on-failure" => Self::OnFailure,
            "on-abnormal" => Self::OnAbnormal,
            "on-abort" => Self::OnAbort,
            "on-watchdog" => Self::OnWatchdog,
            _ => return None,
        })
    }
}

/// Which of hogwatch's signals a list such as `SuccessExitStatus=` holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signals {
    /// SIGTERM.
    pub term: bool,
    /// SIGKILL.
    pub kill: bool,
}

impl Signals {
    fn hold(self, signal: Signal) -> bool {
        match signal {
            Signal::SIGTERM => self.term,
            Signal::SIGKILL => self.kill,
            _ => false,
        }
    }
}

/// What of a service's settings decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// `Restart=`.
    pub restart: Restart,
    /// `Type=oneshot`: it does a job, so no signal is a clean end.
    pub oneshot: bool,
    /// `SuccessExitStatus=`: what is a clean end too.
    pub success: Signals,
    /// `RestartForceExitStatus=`.
    pub force: Signals,
    /// `RestartPreventExitStatus=`, which comes first.
    pub prevent: Signals,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follows {
    /// systemd starts it again.
    Restarts,
    /// It stays down, as it would after any end like this.
    StaysDown,
    /// It stays down although it would be restarted if it had failed: to systemd this end is a clean one.
    CleanEnd,
}

impl Policy {
    /// What follows when the main process ends by the signal.
    #[must_use]
    pub fn follows(&self, signal: Signal) -> Follows {
        let clean = self.success.hold(signal) || (signal == Signal::SIGTERM && !self.oneshot);
        if self.prevent.hold(signal) {
            return Follows::StaysDown;
        }
        if self.force.hold(signal) {
            // A job that succeeded is done.
            return if self.oneshot && clean { Follows::CleanEnd } else { Follows::Restarts };
        }
        match (self.restart, clean) {
            (Restart::Always, _)
            | (Restart::OnSuccess, true)
            | (Restart::OnFailure | Restart::OnAbnormal | Restart::OnAbort, false) => Follows::Restarts,
            (Restart::OnFailure | Restart::OnAbnormal | Restart::OnAbort, true) => Follows::CleanEnd,
            (Restart::No | Restart::OnWatchdog, _) | (Restart::OnSuccess, false) => Follows::StaysDown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Signals = Signals { term: false, kill: false };
    const TERM: Signals = Signals { term: true, kill: false };
    const KILL: Signals = Signals { term: false, kill: true };

    fn policy(restart: &str) -> Policy {
        let restart = Restart::from_word(restart).unwrap();
        Policy { restart, oneshot: false, success: NONE, force: NONE, prevent: NONE }
    }

    fn after(policy: Policy) -> (Follows, Follows) {
        (policy.follows(Signal::SIGTERM), policy.follows(Signal::SIGKILL))
    }

    #[test]
    fn the_table_of_the_manual() {
        use Follows::{CleanEnd, Restarts, StaysDown};
        for (restart, term, kill) in [
            ("no", StaysDown, StaysDown),
            ("always", Restarts, Restarts),
            ("on-success", Restarts, StaysDown),
            ("on-failure", CleanEnd, Restarts),
            ("on-abnormal", CleanEnd, Restarts),
            ("on-abort", CleanEnd, Restarts),
            ("on-watchdog", StaysDown, StaysDown),
        ] {
            assert_eq!(after(policy(restart)), (term, kill), "{restart}");
        }
        assert_eq!(Restart::from_word("sometimes"), None);
    }

    #[test]
    fn what_changes_it() {
        use Follows::{CleanEnd, Restarts, StaysDown};
        let failure = policy("on-failure");
        for (what, policy, expected) in [
            ("SuccessExitStatus=SIGKILL", Policy { success: KILL, ..failure }, (CleanEnd, CleanEnd)),
            ("RestartForceExitStatus=SIGTERM", Policy { force: TERM, ..failure }, (Restarts, Restarts)),
            ("the same with Restart=no", Policy { force: TERM, ..policy("no") }, (Restarts, StaysDown)),
            ("RestartPreventExitStatus=SIGKILL", Policy { prevent: KILL, ..failure }, (CleanEnd, StaysDown)),
            ("prevent comes before force", Policy { prevent: TERM, force: TERM, ..failure }, (StaysDown, Restarts)),
            ("prevent comes before always", Policy { prevent: TERM, ..policy("always") }, (StaysDown, Restarts)),
            ("Type=oneshot", Policy { oneshot: true, ..failure }, (Restarts, Restarts)),
            (
                "a oneshot for which SIGTERM is success, forced",
                Policy { oneshot: true, success: TERM, force: TERM, ..failure },
                (CleanEnd, Restarts),
            ),
        ] {
            assert_eq!(after(policy), expected, "{what}");
        }
    }
}
