//! How a victim is ended: SIGTERM, SIGKILL, and when the one follows the other.

use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::fakes::FakeMeminfo;
use crate::guard::{Guard, Setup};
use crate::hog::{Hog, Plan, wait_for};
use crate::incidents::incidents;
use crate::journal::Journal;
use crate::memory::{self, CAP, Limits, ROOM};
use crate::namespace::left_out;
use crate::scenario;

/// A grace short enough for a test, long enough to tell a wait from none.
const GRACE: Duration = Duration::from_secs(2);

/// What a hog holds from the start whose exit has to be enough, whatever others take in the same moment (MiB).
const WELL_BEYOND: u64 = 1500;

/// `grace` in the configuration, where the scenario must not come to its end.
const NEVER: &str = "[escalation]\ngrace = \"10m\"\n";

scenario! {
    /// The main job. What the daemon says about it carries the evidence, and `explain` foretold it.
    fn the_largest_gets_sigterm(inside) {
        let mut small = Hog::holding(inside, "small", 300);
        // It grows on, and takes 8 s from the one limit to the other.
        let mut big = Plan::new("big", WELL_BEYOND).option("upto", CAP).option("rate", 256).start(inside);
        let journal = Journal::listen(inside);
        let limits = Limits::usual();
        let mut guard = Guard::start(inside, &journal, limits);
        let foretold = crate::choosing::first_candidate(inside);
        big.go();

        assert_eq!(big.ended_by(), Some(Signal::SIGTERM));
        assert_eq!(foretold, big.pid());
        let exited = journal.wait_about("exited", big.pid());
        assert!(exited.number("FREED_BYTES") > Some(100 << 20), "what the exit gave back: {exited}");

        let acts = journal.signals();
        assert_eq!(acts.len(), 1, "one signal was enough");
        let term = &acts[0];
        assert!(term.is("term", big.pid()));
        assert_eq!(term.get("HOGWATCH_COMM"), Some("big"));
        assert_eq!(term.get("HOGWATCH_SIGNAL"), Some("SIGTERM"));
        assert!(term.number("AVAILABLE_BYTES") <= Some(limits.term_bytes()), "signalled at or below the limit: {term}");
        assert!(term.number("SIZE_BYTES") >= Some(WELL_BEYOND << 20), "it held this much from the start: {term}");
        assert!(term.number("DECIDE_USEC").is_some(), "{term}");
        assert!(term.message().starts_with(&format!("sent SIGTERM to big (pid {}", big.pid())), "{term}");
        assert_eq!(term.get("PRIORITY"), Some("3"), "an act is said at priority err: {term}");
        assert!(term.get("MESSAGE_ID").is_some_and(|id| id.len() == 32), "{term}");
        assert!(small.is_alive() && guard.is_alive());
    }
}

scenario! {
    /// A victim that ignores SIGTERM, while memory stays between the two limits, gets SIGKILL when its grace is over.
    fn an_ignored_sigterm_is_followed_by_sigkill_after_the_grace(inside) {
        let mut small = Hog::holding(inside, "small", 300);
        let mut deaf = Plan::new("deaf", WELL_BEYOND).option("term", "ignore").option("keep", 1).option("upto", CAP).start(inside);
        let journal = Journal::listen(inside);
        let limits = Limits::usual();
        let _guard = Guard::start(inside, &journal, format!("{limits}[escalation]\ngrace = \"{}s\"\n", GRACE.as_secs()));
        deaf.go_until(limits.between());

        assert_eq!(deaf.ended_by(), Some(Signal::SIGKILL));
        let term = journal.wait_about("term", deaf.pid());
        let kill = journal.wait_about("kill", deaf.pid());
        assert!(wait_for(|| incidents(inside).iter().any(|incident| incident.acts.len() == 2)), "both acts in a file");
        let acts: Vec<_> = incidents(inside).into_iter().flat_map(|incident| incident.acts).collect();
        assert_eq!([acts[0].event.as_str(), acts[1].event.as_str()], [term.event(), kill.event()]);
        let waited = Duration::from_millis(acts[1].t_ms - acts[0].t_ms);
        assert!(waited > GRACE * 9 / 10, "the grace was kept: {waited:?}");
        assert!(kill.number("AVAILABLE_BYTES") > Some(limits.kill_bytes()), "it was the grace, not the limit: {kill}");
        assert_eq!(kill.get("HOGWATCH_SIGNAL"), Some("SIGKILL"));
        assert_eq!(journal.signals().len(), 2);
        assert!(small.is_alive());
    }
}

scenario! {
    /// Memory that falls below `kill` ends the grace.
    fn the_kill_limit_does_not_wait_for_the_grace(inside) {
        let mut small = Hog::holding(inside, "small", 300);
        let mut deaf = Plan::new("deaf", WELL_BEYOND).option("term", "ignore").option("upto", CAP).start(inside);
        let journal = Journal::listen(inside);
        let limits = Limits::below_now(ROOM, 2 * ROOM);
        let _guard = Guard::start(inside, &journal, format!("{limits}{NEVER}"));
        deaf.go();

        assert_eq!(deaf.ended_by(), Some(Signal::SIGKILL));
        let kill = journal.wait_about("kill", deaf.pid());
        assert!(kill.number("AVAILABLE_BYTES") <= Some(limits.kill_bytes()), "{kill}");
        assert!(small.is_alive());
    }
}

scenario! {
    /// A victim that gives its memory back instead of exiting has done what was asked of it.
    fn memory_that_comes_back_during_the_grace_saves_the_victim(inside) {
        let grace = GRACE * 3;
        let mut small = Hog::holding(inside, "small", 300);
        let mut wise = Plan::new("wise", WELL_BEYOND).option("term", "free").option("upto", CAP).start(inside);
        let journal = Journal::listen(inside);
        let limits = Limits::usual();
        let _guard = Guard::start(inside, &journal, format!("{limits}[escalation]\ngrace = \"{}s\"\n", grace.as_secs()));
        wise.go_until(limits.between());

        journal.wait_about("term", wise.pid());
        wise.expect("freed");
        journal.watch_quietly(grace * 3 / 2);
        assert_eq!(journal.signals().len(), 1, "the SIGTERM was enough");
        let spared = journal.wait_event("recovered");
        let who = format!("wise (pid {}) got SIGTERM and lives", wise.pid());
        assert!(spared.message().contains(&who), "{spared}");
        assert_eq!(spared.get("PRIORITY"), Some("5"), "good news wakes nobody: {spared}");
        assert_eq!(journal.of("refused").len(), 0);
        assert!(wise.is_alive() && small.is_alive());

        // Should it end now, it was asked to: that is told, with the incident of the signal.
        kill(Pid::from_raw(i32::try_from(wise.pid()).unwrap()), Signal::SIGKILL).unwrap();
        let exited = journal.wait_about("exited", wise.pid());
        assert_eq!(exited.get("HOGWATCH_INCIDENT"), spared.get("HOGWATCH_INCIDENT"));
        assert_eq!(exited.get("HOGWATCH_SIGNAL"), Some("SIGTERM"));
        assert!(exited.message().contains("s after SIGTERM: memory, it had been spared"), "{exited}");
    }
}

scenario! {
    /// SIGTERM does not reach a stopped process; it must not be a way to survive the guard.
    fn a_stopped_victim_dies(inside) {
        let mut small = Hog::holding(inside, "small", 300);
        let mut stopped = Plan::new("stopped", 600).option("upto", CAP).option("then", "stop").start(inside);
        let journal = Journal::listen(inside);
        let limits = Limits::usual();
        // The daemon comes when the process is already stopped, so that its SIGTERM cannot be taken in time.
        stopped.go_until(limits.between());
        stopped.wait_until_done();
        let _guard = Guard::start(inside, &journal, format!("{limits}[escalation]\ngrace = \"{}s\"\n", GRACE.as_secs()));

        assert!(stopped.ended_by().is_some(), "a signal ended it");
        journal.wait_about("exited", stopped.pid());
        assert!(small.is_alive());
    }
}

scenario! {
    /// A process whose first thread has ended shows state Z and no resident memory, though its other threads hold it.
    fn a_zombie_leader_with_live_threads_dies(inside) {
        let mut small = Hog::holding(inside, "small", 300);
        let mut undead = Plan::new("undead", 600).option("zombie", 1).option("upto", CAP).start(inside);
        // The other thread may be ready before the leader has ended.
        let stat = || std::fs::read_to_string(format!("/proc/{}/stat", undead.pid())).expect("its stat");
        assert!(wait_for(|| stat().contains("(undead) Z ")), "the leader is a zombie: {}", stat());
        let journal = Journal::listen(inside);
        let _guard = Guard::start(inside, &journal, Limits::usual());
        undead.go();

        assert!(undead.ended_by().is_some(), "a signal ended it");
        journal.wait_about("exited", undead.pid());
        assert!(small.is_alive());
    }
}

scenario! {
    /// Without `/proc/pressure` (an old kernel, `psi=0`) memory is guarded all the same.
    fn a_kernel_without_pressure_information_is_guarded(inside) {
        if std::path::Path::new("/proc/pressure").exists() {
            let status = Command::new("mount").args(["-t", "tmpfs", "none", "/proc/pressure"]).status().expect("mount");
            assert!(status.success(), "cover /proc/pressure");
        }
        let mut big = Plan::new("big", WELL_BEYOND).option("keep", 1).option("upto", CAP).start(inside);
        let journal = Journal::listen(inside);
        let limits = Limits::usual();
        let _guard = Guard::start(inside, &journal, limits);
        big.go_until(limits.between());

        assert_eq!(big.ended_by(), Some(Signal::SIGTERM));
        journal.wait_about("term", big.pid());
    }
}

scenario! {
    /// A journald that reads nothing, its socket full, delays no signal; the entries come when it reads again.
    fn a_stuck_journald_does_not_delay_the_signal(inside) {
        let stuck = Journal::socket(inside);
        let mut big = Plan::new("big", WELL_BEYOND).option("keep", 1).option("upto", CAP).start(inside);
        let limits = Limits::usual();
        let _guard = Setup::new(inside, limits).start_unheard();
        fill(inside);
        big.go_until(limits.between());
        assert_eq!(big.ended_by(), Some(Signal::SIGTERM));

        let journal = Journal::read(stuck);
        journal.wait_about("term", big.pid());
        journal.wait_about("exited", big.pid());
    }
}

/// Fills the queue of journald's socket until it takes no more.
fn fill(_inside: &crate::namespace::Inside) {
    let sender = std::os::unix::net::UnixDatagram::unbound().expect("a socket");
    sender.set_nonblocking(true).expect("non-blocking");
    while sender.send_to(b"MESSAGE=noise\n", crate::journal::SOCKET).is_ok() {}
}

scenario! {
    /// An exit is not yet memory: the guard waits for it to come back (3 s at most) before it takes the next. When it has
    /// come back nobody else has to go; when it runs short again, the next one does.
    fn the_memory_of_a_victim_is_waited_for(inside) {
        let mut first = Hog::holding(inside, "first", 900);
        let mut second = Hog::holding(inside, "second", 600);
        let available = memory::available();
        let mut meminfo = match FakeMeminfo::cover(inside) {
            Ok(meminfo) => meminfo,
            Err(why) => return left_out("the_memory_of_a_victim_is_waited_for", &why),
        };
        let limits = Limits { term: available - ROOM, kill: available - 2 * ROOM };
        let journal = Journal::listen(inside);
        let _guard = Guard::start(inside, &journal, limits);
        meminfo.set_available(limits.between());
        assert_eq!(first.ended_by(), Some(Signal::SIGTERM));
        // It looks again and again; its patience is far from its end.
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(300) {
            meminfo.dip(limits.between());
        }
        meminfo.set_available(available);
        journal.wait_about("exited", first.pid());
        journal.watch_quietly(Duration::from_secs(4));
        assert_eq!(journal.signals().len(), 1, "its memory was on its way, and is back");
        assert!(second.is_alive());

        meminfo.set_available(limits.between());
        assert_eq!(second.ended_by(), Some(Signal::SIGTERM));
    }
}
