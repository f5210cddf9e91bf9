//! Things that happen between the look at memory and the signal.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::fakes::FakeMeminfo;
use crate::guard::Guard;
use crate::hog::{Hog, Plan, wait_for};
use crate::journal::Journal;
use crate::memory::{self, CAP, Limits, ROOM};
use crate::namespace::left_out;
use crate::scenario;

scenario! {
    /// Ten times, a process takes memory beyond the limit and exits by itself at that moment: its memory is on its way
    /// back, and nobody else may pay for it.
    fn a_victim_that_exits_by_itself_costs_nobody_else(inside) {
        let mut bystander = Hog::holding(inside, "bystander", 250);
        let journal = Journal::listen(inside);
        let limits = Limits::usual();
        let mut guard = Guard::start(inside, &journal, limits);
        for _ in 0..10 {
            let mut brief = Plan::new("brief", 300)
                .option("upto", CAP)
                .option("term", "exit")
                .option("then", "exit")
                .start(inside);
            brief.go_until(limits.term - 16);
            brief.wait();
            assert!(bystander.is_alive(), "the bystander paid for a process that was leaving anyway");
        }
        assert!(journal.signals().iter().all(|entry| entry.number("PID") != Some(bystander.pid().into())));
        assert!(guard.is_alive());
    }
}

scenario! {
    /// Processes that swing around the limit, one after the other: whenever a signal was sent, memory was short at that
    /// very moment.
    fn every_signal_is_justified_by_the_memory_of_its_moment(inside) {
        for _ in 0..3 {
            let mut swinging = Plan::new("swinging", 600)
                .option("upto", CAP)
                .option("term", "ignore")
                .option("then", "swing")
                .start(inside);
            let journal = Journal::listen(inside);
            let limits = Limits::usual();
            let _guard = Guard::start(inside, &journal, format!("{limits}[escalation]\ngrace = \"1s\"\n"));
            swinging.go_until(limits.term - 4);
            journal.wait_about("term", swinging.pid());
            // It ignores the signals it gets each time it is in the wrong, until the guard's patience is at its end.
            assert!(wait_for(|| !swinging.is_alive() || journal.signals().len() > 4));
            for signal in journal.signals() {
                assert!(signal.number("AVAILABLE_BYTES") <= Some(limits.term_bytes()), "not short of memory: {signal}");
            }
        }
    }
}

scenario! {
    /// Memory comes back between the look at it and the signal: nobody is signalled.
    ///
    /// A `/proc/meminfo` of the test's own says for a single read that memory is short, and the truth to the read that
    /// the guard owes the victim right before the signal.
    fn memory_that_comes_back_before_the_signal_saves_the_victim(inside) {
        let mut big = Hog::holding(inside, "big", 900);
        let available = memory::available();
        let mut meminfo = match FakeMeminfo::cover(inside) {
            Ok(meminfo) => meminfo,
            Err(why) => return left_out("memory_that_comes_back_before_the_signal_saves_the_victim", &why),
        };
        let limits = Limits { term: available - ROOM, kill: available - 2 * ROOM };
        let journal = Journal::listen(inside);
        let _guard = Guard::start(inside, &journal, limits);
        for short in [limits.term, limits.term - ROOM / 2, limits.kill, limits.kill - ROOM / 2] {
            for _ in 0..5 {
                meminfo.dip(short);
                journal.watch_quietly(Duration::from_millis(100));
            }
        }
        assert_eq!(journal.signals().len(), 0, "the memory was back before the signal");
        assert!(big.is_alive());

        // The same without the recovery, so that the silence above means something.
        meminfo.set_available(limits.between());
        assert_eq!(big.ended_by(), Some(Signal::SIGTERM));
        journal.wait_about("term", big.pid());
    }
}
