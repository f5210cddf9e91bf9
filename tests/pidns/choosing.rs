//! Who is chosen: tiers, protection, and what a crowd of processes does to the choice.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::cgroup::Cgroup;
use crate::guard::{Guard, Setup, ask};
use crate::hog::{Hog, Plan, wait_for};
use crate::journal::Journal;
use crate::memory::{CAP, FAR, Limits, ROOM};
use crate::namespace::{Inside, left_out};
use crate::scenario;

/// How far beyond the limit a process goes that is not to be the victim. It does so before the daemon starts, or it
/// would go on to take what the victim gives back.
const NEAR: u64 = 512;

/// The process that `hogwatch explain` would kill now (default configuration).
pub fn first_candidate(inside: &Inside) -> u32 {
    let out = ask(inside, &["explain", "--json"]);
    assert!(out.status.success(), "explain: {} {}", out.status, String::from_utf8_lossy(&out.stderr));
    let json: serde_json::Value = serde_json::from_slice(&out.stdout).expect("JSON from explain");
    assert_eq!(json["schema"], 1);
    assert_eq!(json["victim"], json["candidates"][0]["pid"], "the victim is the first candidate");
    let pid = json["victim"].as_u64().expect("a victim");
    u32::try_from(pid).expect("a pid")
}

scenario! {
    /// The largest process is protected by the admin: the next one dies.
    fn a_protected_process_survives_and_the_next_dies(inside) {
        let mut small = Hog::holding(inside, "small", 200);
        let mut second = Hog::holding(inside, "second", 1500);
        let mut keeper = Plan::new("keeper", 1800).option("upto", CAP).start(inside);
        let journal = Journal::listen(inside);
        let limits = Limits::usual();
        keeper.go_until(limits.term - NEAR);
        keeper.wait_until_done();
        let _guard = Guard::start(inside, &journal, format!("{limits}[victim]\nprotect = [\"^keeper$\"]\n"));

        assert_eq!(second.ended_by(), Some(Signal::SIGTERM));
        assert!(keeper.is_alive() && small.is_alive());
        journal.wait_about("exited", second.pid());
    }
}

scenario! {
    /// The way in is protected without being asked, by its name and because it is root's; a user's process that borrows
    /// the name is not.
    fn a_borrowed_name_protects_nobody(inside) {
        if !inside.is_real_root() {
            return left_out("a_borrowed_name_protects_nobody", "only the machine's root can become two users");
        }
        let as_user = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"].map(str::to_owned);
        let mut roots = Plan::new("sshd", 1800).option("upto", CAP).start(inside);
        let mut borrowed = Plan::new("sshd", 1500).by_way_of(&as_user).start(inside);
        let journal = Journal::listen(inside);
        let limits = Limits::usual();
        roots.go_until(limits.term - NEAR);
        roots.wait_until_done();
        let _guard = Guard::start(inside, &journal, limits);

        assert_eq!(borrowed.ended_by(), Some(Signal::SIGTERM));
        assert!(roots.is_alive());
        journal.wait_about("exited", borrowed.pid());
    }
}

scenario! {
    /// A preferred process dies before a larger one.
    fn a_preferred_process_dies_before_a_larger_one(inside) {
        let mut cattle = Hog::holding(inside, "cattle-7", 1500);
        let mut large = Plan::new("large", 1800).option("upto", CAP).start(inside);
        let journal = Journal::listen(inside);
        let limits = Limits::usual();
        large.go_until(limits.term - NEAR);
        large.wait_until_done();
        let _guard = Guard::start(inside, &journal, format!("{limits}[victim]\nprefer = [\"cattle\"]\n"));

        assert_eq!(cattle.ended_by(), Some(Signal::SIGTERM));
        assert!(large.is_alive());
        journal.wait_about("exited", cattle.pid());
    }
}

scenario! {
    /// An avoided process survives while another is worth killing, and dies when none is.
    fn an_avoided_process_dies_only_when_nothing_else_is_left(inside) {
        let mut other = Hog::holding(inside, "other", 900);
        // It fills on, with 8 s from one limit to the other.
        let mut pet = Plan::new("pet", 1200).option("rate", 256).option("upto", CAP).start(inside);
        let journal = Journal::listen(inside);
        let _guard = Guard::start(inside, &journal, format!("{}[victim]\navoid = [\"^pet$\"]\n", Limits::usual()));
        pet.go();

        assert_eq!(other.ended_by(), Some(Signal::SIGTERM));
        journal.wait_about("term", other.pid());
        assert!(pet.ended_by().is_some(), "it filled on, and was all that was left");
        let victims: Vec<_> = journal.signals().iter().filter_map(|entry| entry.number("PID")).collect();
        assert_eq!(victims[0], u64::from(other.pid()));
    }
}

scenario! {
    /// Five hundred short-lived processes a second make every list of processes stale; the hog is found all the same.
    fn the_right_one_dies_among_five_hundred_forks_a_second(inside) {
        let mut small = Hog::holding(inside, "small", 300);
        let mut forker = Plan::new("forker", 0).option("forks", 500).start(inside);
        let mut big = Plan::new("big", 1500).option("keep", 1).option("upto", CAP).start(inside);
        let journal = Journal::listen(inside);
        let limits = Limits::usual();
        let _guard = Guard::start(inside, &journal, limits);
        forker.go();
        forker.wait_until_done();
        big.go_until(limits.between());

        assert_eq!(big.ended_by(), Some(Signal::SIGTERM));
        journal.wait_about("exited", big.pid());
        assert_eq!(journal.signals().len(), 1);
        assert!(forker.is_alive() && small.is_alive());
    }
}

scenario! {
    /// A fork bomb: no task of it is worth killing, the cgroup they are in is.
    fn a_fork_bomb_dies_as_one(inside) {
        let top = match Cgroup::new(inside) {
            Ok(cgroup) => cgroup,
            Err(why) => return left_out("a_fork_bomb_dies_as_one", &why),
        };
        let (bomb, quiet) = (top.child("bomb"), top.child("quiet"));
        let mut bystander = Plan::new("bystander", 20).by_way_of(&quiet.joining()).start(inside);
        let mut bomber = Plan::new("bomber", 0)
            .option("children", 30)
            .option("each", 20 * 1024)
            .option("rate", 256)
            .option("upto", CAP)
            .by_way_of(&bomb.joining())
            .start(inside);
        let journal = Journal::listen(inside);
        let _guard = Guard::start(inside, &journal, format!("{}[victim]\nmin_size = \"64 MiB\"\n", Limits::usual()));
        bomber.go();

        let act = journal.wait_event("term");
        assert_eq!(act.get("HOGWATCH_CGROUP"), Some(bomb.name.as_str()), "{act}");
        // A child born between the look at the processes and the signals may be left, and holds nothing worth killing.
        let gone = wait_for(|| bomb.processes().len() <= 2);
        assert!(gone, "still there: {:?}", bomb.processes());
        assert!(bomber.ended_by().is_some(), "nobody is left to fork");
        assert!(bystander.is_alive());
    }
}

scenario! {
    /// A process names itself so as to look like a journal entry of its own.
    fn a_hostile_name_forges_nothing(inside) {
        let mut liar = Plan::new("a\nPRIORITY=7\nb", 600).option("keep", 1).option("upto", CAP).start(inside);
        let journal = Journal::listen(inside);
        let limits = Limits::usual();
        let _guard = Guard::start(inside, &journal, limits);
        liar.go_until(limits.between());

        assert_eq!(liar.ended_by(), Some(Signal::SIGTERM));
        let term = journal.wait_about("term", liar.pid());
        assert_eq!(term.get("PRIORITY"), Some("3"));
        assert!(!term.message().contains('\n'), "one line: {term}");
        assert!(!term.get("HOGWATCH_COMM").is_some_and(|comm| comm.contains('\n')), "escaped: {term}");
    }
}

scenario! {
    /// A plain user's guard sees a larger process of root's, and takes the user's own.
    fn a_users_guard_kills_only_its_own(inside) {
        if !inside.is_real_root() {
            return left_out("a_users_guard_kills_only_its_own", "only the machine's root can become two users");
        }
        let as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"].map(str::to_owned);
        // Root's stays the larger one, and the user's own still grows by far more than others free meanwhile.
        let mut roots = Hog::holding(inside, "roots", 600 + 2 * ROOM);
        let mut own = Plan::new("own", 600).option("upto", 500 + 2 * ROOM).by_way_of(&as_nobody).start(inside);
        let journal = Journal::listen(inside);
        let limits = Limits::below_now(ROOM / 4, FAR);
        let _guard = Setup::new(inside, limits).by_way_of(&as_nobody).start(&journal);
        own.go();

        assert_eq!(own.ended_by(), Some(Signal::SIGTERM));
        journal.wait_about("exited", own.pid());
        journal.watch_quietly(Duration::from_secs(1));
        assert!(journal.signals().iter().all(|entry| entry.number("PID") == Some(own.pid().into())));
        assert!(roots.is_alive());
    }
}
