//! Things that happen between the look at memory and the signal.

use std::time::Duration;

use crate::fakes::{FakeMeminfo, HeldStat};
use crate::guard::Guard;
use crate::hog::{Hog, Plan};
use crate::journal::Journal;
use crate::memory::{self, CAP, Limits, ROOM};
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
    /// A process swings around the limit: whenever a signal was sent, memory was short at that very moment.
    fn every_signal_is_justified_by_the_memory_of_its_moment(inside) {
        let journal = Journal::listen(inside);
        let limits = Limits::usual();
        let _guard = Guard::start(inside, &journal, format!("{limits}[escalation]\ngrace = \"1 s\"\n"));
        for _ in 0..3 {
            let mut swinging = Plan::new("swinging", 600)
                .option("upto", CAP)
                .option("term", "ignore")
                .option("then", "swing")
                .start(inside);
            swinging.go_until(limits.term - 4);
            let victim = swinging.pid();
            journal.wait_about("term", victim);
            // Ended here if the guard has not: what counts is what was signalled, and when.
            crate::hog::wait_for(|| !swinging.is_alive() || journal.signals().len() > 6);
        }
        let signals = journal.signals();
        assert!(signals.len() >= 3);
        for signal in signals {
            assert!(signal.number("AVAILABLE_BYTES") <= Some(limits.term_bytes()), "not short of memory: {signal}");
        }
    }
}

scenario! {
    /// Memory comes back after the processes have been looked at and before the signal: nobody is signalled.
    ///
    /// The moment is made to last. `/proc/meminfo` is covered by a file that this test writes, and the victim's `stat`
    /// by a FIFO, on which the guard's look at the processes waits for this test.
    fn memory_that_comes_back_before_the_signal_saves_the_victim(inside) {
        let mut big = Hog::holding(inside, "big", 900);
        let meminfo = FakeMeminfo::cover(inside);
        let stat = HeldStat::cover(inside, big.pid());
        let available = memory::available();
        let limits = Limits { term: available - ROOM, kill: available - 2 * ROOM };
        let journal = Journal::listen(inside);
        let _guard = Guard::start(inside, &journal, limits);

        stat.hold_the_next_look();
        meminfo.set_available(limits.term - ROOM / 4);
        stat.wait_until_a_look_is_held();
        meminfo.set_available(available);
        stat.let_go();
        journal.watch_quietly(Duration::from_secs(3));
        assert_eq!(journal.signals().len(), 0, "the memory was back before the signal");

        // The same without the recovery, so that the silence above means something.
        meminfo.set_available(limits.term - ROOM / 4);
        assert!(big.ended_by().is_some());
        journal.wait_about("term", big.pid());
        meminfo.set_available(available);
    }
}
