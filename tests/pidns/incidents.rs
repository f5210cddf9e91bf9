//! What is on disk after an incident, and after a daemon that was killed in the middle of one.

use std::fs;
use std::process::Command;

use hogwatch::report::incident::schema::{Cause, Incident, State};
use nix::sys::signal::Signal;

use crate::fakes::FakeMeminfo;
use crate::guard::{Guard, Setup};
use crate::hog::{Plan, wait_for};
use crate::journal::Journal;
use crate::memory::{self, CAP, FAR, Limits, ROOM};
use crate::namespace::{Inside, left_out};
use crate::scenario;

/// All that are on disk.
pub fn incidents(inside: &Inside) -> Vec<Incident> {
    let Ok(entries) = fs::read_dir(inside.file("state").join("incidents")) else { return Vec::new() };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let whole = paths.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    whole
        .filter_map(|path| fs::read(path).ok())
        .map(|text| serde_json::from_slice(&text).expect("a whole file"))
        .collect()
}

/// Memory is short by `warn` alone, from the start and for good: nobody dies.
fn short() -> String {
    let now = memory::available();
    format!(
        "[memory]\nwarn = \"{} MiB\"\nterm = \"{} MiB\"\nkill = \"1 MiB\"\nscope = \"host\"\n",
        now + ROOM / 2,
        now - FAR
    )
}

scenario! {
    /// A kill is on disk as soon as it is done, with what led up to it; the rest when the daemon stops early.
    fn a_kill_is_on_disk(inside) {
        let mut big = Plan::new("big", 1500).option("keep", 1).option("upto", CAP).start(inside);
        let journal = Journal::listen(inside);
        let limits = Limits::usual();
        let mut guard = Guard::start(inside, &journal, limits);
        big.go_until(limits.between());
        assert_eq!(big.ended_by(), Some(Signal::SIGTERM));
        let term = journal.wait_about("term", big.pid());
        assert!(wait_for(|| !incidents(inside).is_empty()), "a file");
        journal.wait_about("exited", big.pid());
        guard.signal(Signal::SIGTERM);
        assert_eq!(guard.wait().code(), Some(0));

        let all = incidents(inside);
        assert_eq!(all.len(), 1);
        let incident = &all[0];
        assert_eq!(Some(incident.id.as_str()), term.get("HOGWATCH_INCIDENT"));
        assert_eq!((incident.cause, incident.state, incident.dry_run), (Cause::Hogwatch, State::Complete, false));
        let victim = incident.victim.as_ref().expect("a victim");
        assert_eq!((victim.pid, victim.comm.as_str()), (i32::try_from(big.pid()).ok(), "big"));
        assert!(incident.before.len() > 1, "what led up to it: {:?}", incident.before);
        assert_eq!(incident.candidates.first().map(|first| first.pid), victim.pid, "ranked as at the act");
        assert!(incident.after.and_then(|after| after.freed_bytes) > Some(100 << 20), "{:?}", incident.after);
        assert_eq!(incident.acts.len(), 1);
        assert!(incident.events.iter().any(|entry| entry.event == "warn"));
        assert!(!inside.file("state").join("current.json").exists(), "a stop is no unclean end");
    }
}

scenario! {
    /// A daemon that is killed below `warn` leaves what it knew; the next one makes an incident of it, and says so.
    fn an_unclean_end_is_told_by_the_next_daemon(inside) {
        let journal = Journal::listen(inside);
        let config = short();
        let mut guard = Guard::start(inside, &journal, &config);
        let current = inside.file("state").join("current.json");
        let known = || serde_json::from_slice::<Incident>(&fs::read(&current).ok()?).ok();
        assert!(wait_for(|| known().is_some_and(|incident| !incident.before.is_empty())), "current.json");
        assert_eq!(known().expect("still there").state, State::Open);
        guard.signal(Signal::SIGKILL);
        guard.wait();

        let _guard = Guard::start(inside, &journal, &config);
        let told = journal.wait("the unclean end", |entry| entry.get("HOGWATCH_KIND") == Some("unclean_end"));
        assert!(told.event() == "degraded" && told.message().contains("only hogwatch ended"), "{told}");
        let ended: Vec<_> = incidents(inside).into_iter().filter(|incident| incident.kind == "unclean_end").collect();
        assert_eq!(ended.len(), 1);
        assert_eq!(Some(ended[0].id.as_str()), told.get("HOGWATCH_INCIDENT"));
        assert!(!ended[0].before.is_empty() && ended[0].cause == Cause::Unknown);
        assert!(ended[0].events.iter().any(|entry| entry.event == "warn"));
    }
}

scenario! {
    /// A full disk loses the file; the kill goes on, its entries are written, and the loss is said.
    fn a_full_disk_loses_the_file_alone(inside) {
        let mut big = Plan::new("big", 1500).option("keep", 1).option("upto", CAP).start(inside);
        let state = inside.file("state");
        fs::create_dir_all(&state).expect("the state directory");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=4k,mode=755", "hogwatch-full"]).arg(&state);
        assert!(mount.status().expect("mount").success());
        fs::write(state.join("filler"), [0; 4096]).expect("fill it");
        let journal = Journal::listen(inside);
        let limits = Limits::usual();
        let _guard = Setup::new(inside, limits).start(&journal);
        big.go_until(limits.between());
        assert_eq!(big.ended_by(), Some(Signal::SIGTERM));
        journal.wait_about("term", big.pid());
        journal.wait_about("exited", big.pid());
        let lost = journal.wait("the loss", |entry| entry.message().contains("No space left on device"));
        assert!(lost.event() == "degraded", "{lost}");
        assert_eq!(incidents(inside).len(), 0);
    }
}

scenario! {
    /// Memory that comes back by itself: the end belongs to the incident, and `current.json` goes with it.
    fn the_end_of_a_shortage_ends_its_incident(inside) {
        let mut meminfo = match FakeMeminfo::cover(inside) {
            Ok(meminfo) => meminfo,
            Err(why) => return left_out("the_end_of_a_shortage_ends_its_incident", &why),
        };
        meminfo.set_available(4000);
        let journal = Journal::listen(inside);
        let config = "[memory]\nwarn = \"3000 MiB\"\nterm = \"2 MiB\"\nkill = \"1 MiB\"\nscope = \"host\"\n";
        let mut guard = Guard::start(inside, &journal, config);
        let current = inside.file("state").join("current.json");
        assert!(!current.exists(), "nothing goes on");
        meminfo.set_available(2000);
        let warn = journal.wait_event("warn");
        assert!(wait_for(|| current.exists()), "current.json");
        meminfo.set_available(4000);
        let recovered = journal.wait_event("recovered");
        assert_eq!(recovered.get("HOGWATCH_INCIDENT"), warn.get("HOGWATCH_INCIDENT"), "{recovered}");
        assert!(wait_for(|| !current.exists()), "current.json goes");
        guard.signal(Signal::SIGTERM);
        guard.wait();
        let all = incidents(inside);
        assert_eq!(all.len(), 1);
        let after = all[0].after.expect("what followed");
        assert!(after.recovered_ms.is_some() && all[0].end_ms > Some(all[0].begin_ms), "{after:?}");
        assert_eq!((all[0].kind.as_str(), &all[0].victim), ("memory", &None));
    }
}
