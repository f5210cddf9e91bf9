//! Start, reload, stop, and what the daemon costs.

use std::fs;

use nix::sys::signal::Signal;

use crate::guard::{Guard, Setup, is_static_release, program};
use crate::hog::{Plan, wait_for};
use crate::journal::Journal;
use crate::memory::{CAP, Limits};
use crate::scenario;

/// Limits that this machine is nowhere near.
const FAR_AWAY: &str = "[memory]\nterm = \"2 MiB\"\nkill = \"1 MiB\"\nscope = \"host\"\n";

scenario! {
    /// SIGTERM and SIGINT end it with exit status 0, and it says so.
    fn sigterm_and_sigint_stop_it(inside) {
        let journal = Journal::listen(inside);
        for (nth, signal) in [Signal::SIGTERM, Signal::SIGINT].into_iter().enumerate() {
            let mut guard = Guard::start(inside, &journal, FAR_AWAY);
            guard.signal(signal);
            assert_eq!(guard.wait().code(), Some(0), "after {signal}");
            let said = wait_for(|| journal.of("stop").len() > nth);
            assert!(said, "it says that it stops");
        }
    }
}

scenario! {
    /// A second daemon gives up at once and names the first; the first goes on.
    fn a_second_daemon_names_the_first(inside) {
        let journal = Journal::listen(inside);
        let mut first = Guard::start(inside, &journal, FAR_AWAY);
        let out = Setup::new(inside, FAR_AWAY).output();
        assert_eq!(out.status.code(), Some(1));
        let said = String::from_utf8_lossy(&out.stderr);
        let names = said.split(|c: char| !c.is_ascii_digit()).any(|word| word == first.pid().to_string());
        assert!(names, "names pid {}: {said}", first.pid());
        assert!(first.is_alive());
    }
}

scenario! {
    /// A file named by `--config` has to be good.
    fn a_bad_file_named_on_the_command_line_ends_it(inside) {
        let setup = Setup::new(inside, "[memory]\nterm = \"5 parsec\"\n");
        let out = setup.output();
        assert_eq!(out.status.code(), Some(78));
        let said = String::from_utf8_lossy(&out.stderr);
        let place = format!("{}:2:", inside.file("hogwatch.toml").display());
        assert!(said.contains(&place), "says where ({place}): {said}");
        assert!(said.contains("5 parsec"), "shows the line: {said}");
    }
}

scenario! {
    /// A good file is taken over by SIGHUP: limits that were far away are close now.
    fn a_good_file_is_taken_over_by_a_reload(inside) {
        let mut big = Plan::new("big", 600).option("keep", 1).option("upto", CAP).start(inside);
        let journal = Journal::listen(inside);
        let guard = Guard::start(inside, &journal, FAR_AWAY);
        let limits = Limits::usual();
        guard.reload(limits);
        journal.wait_event("reload");
        big.go_until(limits.between());

        assert_eq!(big.ended_by(), Some(Signal::SIGTERM));
        journal.wait_about("term", big.pid());
    }
}

scenario! {
    /// A bad file changes nothing: it is refused with its place, and the old limits go on guarding.
    fn a_bad_file_is_refused_by_a_reload(inside) {
        let mut big = Plan::new("big", 600).option("keep", 1).option("upto", CAP).start(inside);
        let journal = Journal::listen(inside);
        let limits = Limits::usual();
        let mut guard = Guard::start(inside, &journal, limits);
        guard.reload("[memory]\nterm = \"1 MiB\"\nkil = \"1 MiB\"\n");
        let rejected = journal.wait_event("config_rejected");
        let place = format!("{}:3:", guard.config().display());
        assert!(rejected.message().contains(&place), "says where ({place}): {rejected}");
        assert_eq!(journal.of("reload").len(), 0);
        assert!(guard.is_alive());
        big.go_until(limits.between());

        assert_eq!(big.ended_by(), Some(Signal::SIGTERM));
        journal.wait_about("term", big.pid());
    }
}

scenario! {
    /// Without journald every event is a readable line on stderr.
    fn without_journald_it_writes_lines(inside) {
        let mut big = Plan::new("big", 600).option("keep", 1).option("upto", CAP).start(inside);
        let limits = Limits::usual();
        let guard = Setup::new(inside, limits).start_unheard();
        big.go_until(limits.between());

        assert_eq!(big.ended_by(), Some(Signal::SIGTERM));
        let sentence = format!("sent SIGTERM to big (pid {}", big.pid());
        let said = wait_for(|| guard.said().contains(&sentence));
        assert!(said, "{sentence:?} is in: {}", guard.said());
    }
}

scenario! {
    /// What it costs: few descriptors always; little memory in the build that is shipped (static, optimised), which is
    /// the one that runs here when the tests are built for release. Idle, and a little more once it has acted: then it also
    /// knows the command lines of the largest.
    fn it_stays_small(inside) {
        const MOST_DESCRIPTORS: usize = 56;
        const MOST_RESIDENT_KIB: u64 = 4 * 1024;
        const MOST_ANONYMOUS_KIB: u64 = 800;
        const MORE_AFTER_AN_ACT_KIB: u64 = 32;
        let mut big = Plan::new("big", 600).option("keep", 1).option("upto", CAP).start(inside);
        let journal = Journal::listen(inside);
        let limits = Limits::usual();
        let guard = Guard::start(inside, &journal, limits);
        let memory = |when: &str, more: u64| {
            let status = fs::read_to_string(format!("/proc/{}/status", guard.pid())).expect("its status");
            let kib = |name: &str| -> u64 {
                let line = status.lines().find_map(|line| line.strip_prefix(name)).expect(name);
                line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().expect("a number of kB")
            };
            let (resident, anonymous) = (kib("VmRSS"), kib("RssAnon"));
            eprintln!("{when}: {resident} KiB resident, {anonymous} KiB anonymous");
            if is_static_release(&program()) {
                assert!(resident <= MOST_RESIDENT_KIB + more, "{when}: {resident} KiB resident");
                assert!(anonymous <= MOST_ANONYMOUS_KIB + more, "{when}: {anonymous} KiB anonymous");
            }
        };
        memory("idle", 0);
        big.go_until(limits.between());
        assert_eq!(big.ended_by(), Some(Signal::SIGTERM));
        journal.wait_about("exited", big.pid());
        memory("after an act", MORE_AFTER_AN_ACT_KIB);
        let descriptors = fs::read_dir(format!("/proc/{}/fd", guard.pid())).expect("its descriptors").count();
        assert!(descriptors <= MOST_DESCRIPTORS, "{descriptors} descriptors open");
    }
}
