//! The metrics file of the armed daemon.

use std::fs;

use nix::sys::signal::Signal;

use crate::guard::Guard;
use crate::hog::{Plan, wait_for};
use crate::journal::Journal;
use crate::memory::{CAP, Limits};
use crate::scenario;

scenario! {
    /// A reload asks for the file; an act is in it, with the memory and the limits; it goes with the daemon.
    fn it_is_there_while_the_daemon_is(inside) {
        let path = inside.file("hogwatch.prom");
        let mut big = Plan::new("big", 600).option("keep", 1).option("upto", CAP).start(inside);
        let journal = Journal::listen(inside);
        let limits = Limits::usual();
        let mut guard = Guard::start(inside, &journal, limits);
        assert!(!path.exists(), "nobody asked for it yet");
        guard.reload(format!("{limits}\n[metrics]\ntextfile = {path:?}\n"));
        journal.wait_event("reload");
        big.go_until(limits.between());
        assert_eq!(big.ended_by(), Some(Signal::SIGTERM));
        journal.wait_about("exited", big.pid());

        let text = || fs::read_to_string(&path).unwrap_or_default();
        let has = |line: &str| text().lines().any(|l| l.starts_with(line));
        for line in [
            "hogwatch_signals_total{kind=\"memory\",signal=\"SIGTERM\"} 1",
            "hogwatch_events_total{event=\"exited\"} 1",
            "hogwatch_memory_available_bytes ",
            &format!("hogwatch_memory_threshold_bytes{{level=\"term\"}} {}", limits.term_bytes()),
            "hogwatch_decide_seconds_count 1",
            "# EOF",
        ] {
            assert!(wait_for(|| has(line)), "{line} in: {}", text());
        }

        guard.signal(Signal::SIGTERM);
        assert_eq!(guard.wait().code(), Some(0));
        assert!(!path.exists(), "it goes with the daemon");
    }
}
