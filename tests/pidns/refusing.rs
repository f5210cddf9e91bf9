//! When nobody is killed: there is nobody worth it, or it was not asked for.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::guard::{Guard, Setup};
use crate::hog::{Hog, Plan};
use crate::journal::Journal;
use crate::memory::{CAP, Limits, ROOM};
use crate::scenario;

/// Several of the daemon's looks at memory, and several times the pause after which a naive guard would try again.
const A_WHILE: Duration = Duration::from_secs(4);

scenario! {
    /// Files in a tmpfs hold the memory: killing what is left would free nothing. The refusal says what does hold it.
    fn memory_held_by_a_tmpfs_is_not_paid_for_by_processes(inside) {
        let directory = inside.file("full");
        fs::create_dir(&directory).expect("a mount point");
        let status = Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&directory).status().expect("mount");
        assert!(status.success(), "mount a tmpfs");
        let mut bystanders: Vec<Hog> = ["agetty", "login", "crond", "worker"].map(|name| Hog::holding(inside, name, 20)).into();
        let journal = Journal::listen(inside);
        let limits = Limits::usual();
        let mut guard = Guard::start(inside, &journal, limits);
        let mut filler = Plan::new("filler", 0)
            .option("file", directory.join("file").display())
            .option("upto", CAP)
            .option("then", "exit")
            .start(inside);
        filler.go_until(limits.term - ROOM / 2);
        assert!(filler.wait().success(), "nobody touched the process that wrote the files");

        let refused = journal.wait_event("refused");
        let why = refused.get("HOGWATCH_REASON").expect("a reason");
        let sentence = refused.message().to_lowercase();
        assert!(sentence.contains("shmem") || sentence.contains("tmpfs"), "names what holds it (reason {why}): {refused}");
        journal.watch_quietly(A_WHILE);
        assert_eq!(journal.signals().len(), 0, "nobody was signalled");
        assert!(bystanders.iter_mut().all(Hog::is_alive) && guard.is_alive());
        assert!(journal.of("refused").len() <= 2, "said once, not at every look");
    }
}

scenario! {
    /// Everything that could be taken is protected: said, and left alone.
    fn protected_processes_survive_when_nothing_else_is_there(inside) {
        let mut keeper = Plan::new("keeper", 600).option("upto", CAP).start(inside);
        let journal = Journal::listen(inside);
        let limits = Limits::usual();
        let _guard = Guard::start(inside, &journal, format!("{limits}[victim]\nprotect = [\"^keeper$\"]\n"));
        keeper.go_until(limits.between());

        journal.wait_event("refused");
        journal.watch_quietly(A_WHILE);
        assert_eq!(journal.signals().len(), 0);
        assert!(keeper.is_alive());
    }
}

scenario! {
    /// `--dry-run` says what it would do, and does nothing.
    fn a_dry_run_signals_nobody(inside) {
        let mut big = Plan::new("big", 600).option("keep", 1).option("upto", CAP).start(inside);
        let journal = Journal::listen(inside);
        let limits = Limits::usual();
        let _guard = Setup::new(inside, format!("{limits}[escalation]\ngrace = \"1s\"\n")).argument("--dry-run").start(&journal);
        big.go_until(limits.between());

        let would = journal.wait_about("term", big.pid());
        assert_eq!(would.get("HOGWATCH_DRY_RUN"), Some("1"), "{would}");
        assert!(!would.message().starts_with("sent "), "it does not claim to have sent anything: {would}");
        journal.watch_quietly(A_WHILE);
        assert!(big.is_alive());
        let entries = journal.entries();
        let marked = entries.iter().filter(|entry| !entry.event().is_empty());
        assert!(marked.clone().all(|entry| entry.get("HOGWATCH_DRY_RUN") == Some("1")), "every entry is marked");
        assert!(marked.count() > 1);
    }
}
