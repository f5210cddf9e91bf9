//! How many processes the kernel's OOM killer has killed, from `/proc/vmstat`: the way without the log, and the check when
//! some of the log was lost.

use std::time::Duration;

use crate::host::dir::{Dir, HeldFile};
use crate::observe::parse::parse_vmstat;

/// How often it is looked at without the log: a file of some 4 KiB.
const EVERY: Duration = Duration::from_secs(5);

/// Room for `/proc/vmstat`, as in `observe::machine`.
const VMSTAT_BYTES: usize = 8 * 1024;

/// Counts.
pub(super) struct Counts {
    file: Option<HeldFile>,
    /// Kills that were told, or happened before the start.
    told: u64,
    /// A rise that was seen at the last look. It is told at the next one, when whoever knows more has had his say.
    seen: u64,
    /// Look again and again: there is no log.
    steady: bool,
    due: Option<Duration>,
}

impl Counts {
    /// Counts from now on.
    pub fn start(proc: &Dir, has_log: bool, now: Duration) -> Self {
        let file = proc.file(c"vmstat").ok();
        let mut counts = Self { file, told: 0, seen: 0, steady: !has_log, due: (!has_log).then(|| now + EVERY) };
        counts.told = counts.read().unwrap_or(0);
        counts
    }

    /// When to look next.
    pub fn due(&self) -> Option<Duration> {
        self.due.filter(|_| self.file.is_some())
    }

    /// So many were told by their names.
    pub fn told(&mut self, kills: u64) {
        self.told = self.told.saturating_add(kills);
    }

    /// Some of the log was lost: what it told of is found in the count, when the rest of it was heard.
    pub fn look_soon(&mut self, now: Duration) {
        self.due = Some(now + EVERY);
    }

    /// There is no log any more.
    pub fn count_on(&mut self, now: Duration) {
        self.steady = true;
        self.due = Some(now + EVERY);
    }

    /// Kills that nobody has told of, if there are any and it is time to say so.
    pub fn look(&mut self, now: Duration) -> Option<u64> {
        self.due().filter(|due| *due <= now)?;
        let missed = self.read()?.saturating_sub(self.told);
        let settled = missed > 0 && missed == self.seen;
        self.seen = if settled { 0 } else { missed };
        self.due = (self.steady || self.seen > 0).then(|| now + EVERY);
        if settled {
            self.told = self.told.saturating_add(missed);
        }
        settled.then_some(missed)
    }

    fn read(&self) -> Option<u64> {
        let mut buf = [0; VMSTAT_BYTES];
        parse_vmstat(self.file.as_ref()?.read(&mut buf).ok()?).ok()?.oom_kill
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Machine(tempfile::TempDir, Dir);

    impl Machine {
        fn new() -> Self {
            let tree = tempfile::tempdir().unwrap();
            std::fs::write(tree.path().join("vmstat"), "oom_kill 7\n").unwrap();
            let dir = Dir::open(tree.path()).unwrap();
            Self(tree, dir)
        }

        fn kills(&self, count: u64) {
            std::fs::write(self.0.path().join("vmstat"), format!("oom_kill {count}\n")).unwrap();
        }
    }

    /// The moment of the nth look.
    fn at(look: u32) -> Duration {
        EVERY * look
    }

    #[test]
    fn without_a_log_a_rise_is_told_once_when_it_is_over() {
        let machine = Machine::new();
        let mut counts = Counts::start(&machine.1, false, Duration::ZERO);
        assert_eq!(counts.due(), Some(at(1)));
        assert_eq!(counts.look(at(1)), None, "what happened before the start");
        machine.kills(9);
        assert_eq!(counts.look(at(2)), None);
        machine.kills(10);
        assert_eq!(counts.look(at(3)), None, "it goes on");
        assert_eq!(counts.look(at(4)), Some(3));
        assert_eq!(counts.look(at(5)), None);
        assert_eq!(counts.due(), Some(at(6)));
        assert_eq!(counts.look(at(5)), None, "not before it is due");
    }

    #[test]
    fn with_a_log_only_what_was_lost_is_told() {
        let machine = Machine::new();
        let mut counts = Counts::start(&machine.1, true, Duration::ZERO);
        machine.kills(9);
        counts.told(2);
        assert_eq!((counts.due(), counts.look(at(9))), (None, None));
        machine.kills(12);
        counts.look_soon(at(9));
        assert_eq!(counts.look(at(10)), None);
        counts.told(1);
        assert_eq!(counts.look(at(11)), None, "one was told meanwhile");
        assert_eq!(counts.look(at(12)), Some(2));
        assert_eq!(counts.due(), None);
        counts.count_on(at(20));
        assert_eq!(counts.due(), Some(at(21)));
    }

    #[test]
    fn a_kernel_that_does_not_count() {
        let machine = Machine::new();
        std::fs::remove_file(machine.0.path().join("vmstat")).unwrap();
        let mut counts = Counts::start(&machine.1, false, Duration::ZERO);
        assert_eq!((counts.due(), counts.look(at(5))), (None, None));
    }
}
