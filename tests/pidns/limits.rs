//! A limit of a cgroup, as in a container: only what is inside it can pay for it.

use nix::sys::signal::Signal;

use crate::cgroup::Cgroup;
use crate::guard::Setup;
use crate::hog::{Hog, Plan};
use crate::journal::Journal;
use crate::namespace::left_out;
use crate::scenario;

/// The limit of the box, in MiB.
const BOX: u64 = 1024;

/// Percents of the limit, and far enough from the kernel's own OOM kill however late the guard looks. The machine itself
/// has more than this available, or the other scenarios could not run either.
const CONFIG: &str = "[memory]\nscope = \"auto\"\nwarn = \"40%\"\nterm = \"25%\"\nkill = \"12%\"\n";

scenario! {
    /// The guard and a hog are in a box with a limit, a larger hog is outside but in sight: only the inner one dies.
    fn a_cgroup_limit_that_fires_never_kills_outside_it(inside) {
        let top = match Cgroup::new(inside) {
            Ok(cgroup) => cgroup,
            Err(why) => return left_out("a_cgroup_limit_that_fires_never_kills_outside_it", &why),
        };
        // The guard sits in a cgroup of its own within the box: its own unit's limit would not count.
        let container = top.child("box");
        container.limit(BOX);
        let (office, work) = (container.child("office"), container.child("work"));
        let mut outside = Hog::holding(inside, "outside", 2 * BOX);
        // It stops between the two limits.
        let mut inner = Plan::new("inner", 100).option("upto", BOX * 4 / 5).by_way_of(&work.joining()).start(inside);
        let journal = Journal::listen(inside);
        let _guard = Setup::new(inside, CONFIG).by_way_of(&office.joining()).start(&journal);
        inner.go();

        assert_eq!(inner.ended_by(), Some(Signal::SIGTERM));
        let term = journal.wait_about("term", inner.pid());
        assert_eq!(term.get("HOGWATCH_CGROUP"), Some(work.name.as_str()), "{term}");
        assert!(term.number("AVAILABLE_BYTES") <= Some(BOX << 18), "a quarter of the box, not of the machine: {term}");
        journal.wait_about("exited", inner.pid());
        assert_eq!(journal.signals().len(), 1);
        assert!(outside.is_alive());
    }
}

scenario! {
    /// The limit fires, and everything that holds memory is outside: nobody is killed, and that is said.
    fn a_cgroup_limit_with_nobody_inside_worth_killing_is_refused(inside) {
        let top = match Cgroup::new(inside) {
            Ok(cgroup) => cgroup,
            Err(why) => return left_out("a_cgroup_limit_with_nobody_inside_worth_killing_is_refused", &why),
        };
        let container = top.child("box");
        container.limit(BOX);
        let (office, work) = (container.child("office"), container.child("work"));
        let mut outside = Hog::holding(inside, "outside", 2 * BOX);
        // Files of a tmpfs are charged to the cgroup of the process that wrote them, and outlive it.
        let mut writer = Plan::new("writer", 0)
            .option("file", inside.file("files").display())
            .option("upto", BOX * 3 / 4)
            .option("then", "exit")
            .by_way_of(&work.joining())
            .start(inside);
        let journal = Journal::listen(inside);
        let _guard = Setup::new(inside, CONFIG).by_way_of(&office.joining()).start(&journal);
        writer.go();
        assert!(writer.wait().success());

        journal.wait_event("refused");
        journal.watch_quietly(std::time::Duration::from_secs(2));
        assert_eq!(journal.signals().len(), 0);
        assert!(outside.is_alive());
        std::fs::remove_file(inside.file("files")).expect("give the memory back");
    }
}
