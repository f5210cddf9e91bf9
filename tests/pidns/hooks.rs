//! Hooks: what they are told, what they are, and that they neither hold the guard up nor outlive their time.
//!
//! Available memory is what the scenario says, so that victims need not be large and moments hold still.

use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::fakes::FakeMeminfo;
use crate::guard::{Guard, Setup};
use crate::hog::{Hog, wait_for};
use crate::incidents::incidents;
use crate::journal::{Entry, Journal};
use crate::namespace::{Inside, left_out};
use crate::scenario;

/// MiB of MemAvailable: plenty, and below each of the thresholds by less than a victim holds.
const PLENTY: u64 = 9000;
const WARN: u64 = 6500;
const TERM: u64 = 5950;
const KILL: u64 = 5850;

const LIMITS: &str = "[memory]\nwarn = \"7000 MiB\"\nterm = \"6000 MiB\"\nkill = \"5900 MiB\"\nscope = \"host\"\n";

/// How many lines of one run go to the journal, and how many runs there are at a time.
const MOST_LINES: usize = 100;
const RUNS: usize = 4;

/// A machine with plenty of memory; `None`, said, where `/proc/meminfo` can't be covered.
fn machine(inside: &Inside, name: &str) -> Option<FakeMeminfo> {
    match FakeMeminfo::cover(inside) {
        Ok(mut meminfo) => {
            meminfo.set_available(PLENTY);
            Some(meminfo)
        }
        Err(why) => {
            left_out(name, &why);
            None
        }
    }
}

/// A configuration with these hooks, each a shell's script.
fn hooks(before: Option<&str>, after: Option<&str>) -> String {
    let argv = |script: Option<&str>| script.map_or("[]".to_owned(), |s| format!("[\"/bin/sh\", \"-c\", '''{s}''']"));
    format!("{LIMITS}[hooks]\nbefore = {}\nafter = {}\n", argv(before), argv(after))
}

/// What the hooks of one name wrote so far.
fn lines(journal: &Journal, hook: &str) -> Vec<Entry> {
    let of_hook = |entry: &Entry| entry.get("HOGWATCH_HOOK") == Some(hook);
    journal.entries().into_iter().filter(of_hook).collect()
}

fn said(journal: &Journal, hook: &str) -> Vec<String> {
    lines(journal, hook).iter().map(|line| line.message().to_owned()).collect()
}

fn wait_for_line(journal: &Journal, hook: &str, wanted: &str) -> Entry {
    journal.wait(&format!("{hook}: {wanted}"), |e| e.get("HOGWATCH_HOOK") == Some(hook) && e.message() == wanted)
}

fn threads(guard: &Guard) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", guard.pid())).expect("its threads");
    tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("comm")).ok()).collect()
}

fn has_thread(guard: &Guard) -> bool {
    threads(guard).iter().any(|name| name.trim() == "hooks")
}

scenario! {
    /// `before` gets exactly the documented environment.
    fn before_is_told_what_is_about_to_happen(inside) {
        let Some(mut meminfo) = machine(inside, "before_is_told_what_is_about_to_happen") else { return };
        let mut victim = Hog::holding(inside, "x\u{1b}[2J", 300);
        let journal = Journal::listen(inside);
        let config = format!("{LIMITS}[hooks]\nbefore = [\"/usr/bin/env\"]\n");
        let stranger = ["env", "SECRET=x", "LD_LIBRARY_PATH=/nowhere", "HOME=/root", "PATH=/usr/bin:/bin:/x"];
        let _guard = Setup::new(inside, config).by_way_of(&stranger.map(str::to_owned)).start(&journal);
        meminfo.set_available(TERM);
        assert_eq!(victim.ended_by(), Some(Signal::SIGTERM));
        meminfo.set_available(PLENTY);

        let pid = format!("HOGWATCH_PID={}", victim.pid());
        wait_for_line(&journal, "before", &pid);
        let term = journal.wait_about("term", victim.pid());
        wait_for(|| said(&journal, "before").len() >= 20);
        let said = said(&journal, "before");
        let value = |name: &str| said.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        for name in ["KIND", "COMM", "UID", "CGROUP", "SIZE_BYTES", "SIGNAL", "AVAILABLE_BYTES", "INCIDENT", "OOM_SCORE_ADJ"] {
            let name = format!("HOGWATCH_{name}");
            assert_eq!(value(&name), term.get(&name), "{name}: {said:?}");
        }
        assert_eq!(value("HOGWATCH_HOOK"), Some("before"));
        assert_eq!(value("HOGWATCH_EVENT"), Some("term"));
        assert_eq!(value("HOGWATCH_COMM"), Some("x\\x1b[2J"), "{said:?}");
        assert!(value("HOGWATCH_MESSAGE").is_some_and(|m| m.starts_with("about to send SIGTERM to ")), "{said:?}");
        assert_eq!(value("HOME"), Some("/root"));
        let strangers: Vec<_> = said
            .iter()
            .map(|line| line.split('=').next().unwrap_or_default())
            .filter(|name| !name.starts_with("HOGWATCH_"))
            .filter(|name| !["PATH", "HOME", "USER", "LOGNAME", "XDG_RUNTIME_DIR"].contains(name))
            .collect();
        assert_eq!(strangers, [""; 0], "{said:?}");
        assert!(!said.iter().any(|line| line.contains("/x")), "the daemon's own PATH: {said:?}");
        let line = &lines(&journal, "before")[0];
        assert_eq!(line.get("SYSLOG_IDENTIFIER"), Some("hogwatch-hook"));
        assert_eq!(line.get("PRIORITY"), Some("6"));
        assert_eq!(line.event(), "", "no entry of hogwatch's own");
    }
}

scenario! {
    /// Nothing of what the daemon is is inherited, nor what whoever started it left behind. What a hook writes can't forge.
    fn a_hook_is_an_ordinary_process(inside) {
        let Some(mut meminfo) = machine(inside, "a_hook_is_an_ordinary_process") else { return };
        let mut victim = Hog::holding(inside, "victim", 300);
        let journal = Journal::listen(inside);
        let script = r#"
            [ "$HOGWATCH_EVENT" = exited ] || exit 0
            echo "adj $(cat /proc/$$/oom_score_adj)"
            echo "nice $(nice)"
            echo "$(pwd) $(readlink /proc/$$/fd/0)"
            # By the shell itself: while it starts a process it blocks all signals.
            while IFS= read -r line; do case $line in Sig[BI]*) echo "$line" ;; esac; done < /proc/$$/status
            grep -q "^$$ .* $$ $$ " /proc/$$/stat && echo "own session"
            ls /proc/$$/fd
            ulimit -Sn
            printf 'a\tb\033[31m\000c\nHOGWATCH_EVENT=stop\n'
            echo to stderr >&2
            echo end
        "#;
        let leave = "trap '' HUP USR1 PIPE; ulimit -Sn 4096; exec 7</dev/null; exec \"$@\"";
        let prefix = ["/bin/bash", "-c", leave, "sh"].map(str::to_owned);
        let guard = Setup::new(inside, hooks(None, Some(script))).by_way_of(&prefix).start(&journal);
        assert!(Path::new(&format!("/proc/{}/fd/7", guard.pid())).exists(), "the daemon was left a descriptor");
        meminfo.set_available(TERM);
        assert_eq!(victim.ended_by(), Some(Signal::SIGTERM));
        meminfo.set_available(PLENTY);

        wait_for_line(&journal, "after", "end");
        let expected = [
            "adj 0", "nice 0", "/ /dev/null", "SigBlk:\\t0000000000000000", "SigIgn:\\t0000000000000000", "own session",
            "0", "1", "2", "1024", "a\\tb\\x1b[31m\\x00c", "HOGWATCH_EVENT=stop", "to stderr", "end",
        ];
        assert_eq!(said(&journal, "after"), expected);
        assert_eq!(journal.of("stop").len(), 0, "no forged entry");
    }
}

scenario! {
    /// A `before` hook that hangs does not keep the SIGTERM back; the kill threshold asks nobody.
    fn a_hook_that_hangs_holds_nobody_up(inside) {
        let Some(mut meminfo) = machine(inside, "a_hook_that_hangs_holds_nobody_up") else { return };
        let mut second = Hog::holding(inside, "second", 300);
        let mut first = Hog::holding(inside, "first", 400);
        let journal = Journal::listen(inside);
        let _guard = Guard::start(inside, &journal, hooks(Some("echo begun; sleep 20; echo ended"), None));
        meminfo.set_available(TERM);
        assert_eq!(first.ended_by(), Some(Signal::SIGTERM));
        // Before the guard's patience is at its end.
        meminfo.set_available(PLENTY);
        journal.wait_about("term", first.pid());
        wait_for_line(&journal, "before", "begun");
        assert_eq!(said(&journal, "before"), ["begun"], "it did not end before the signal");
        journal.wait_event("recovered");

        meminfo.set_available(KILL);
        assert_eq!(second.ended_by(), Some(Signal::SIGKILL));
        meminfo.set_available(PLENTY);
        journal.wait_about("exited", second.pid());
        let pids: Vec<_> = lines(&journal, "before").iter().map(|line| line.message().to_owned()).collect();
        assert_eq!(pids, ["begun"], "no hook before SIGKILL");
    }
}

scenario! {
    /// Memory that comes back while the hook runs saves the victim, unless the hook took too long for it.
    fn memory_that_comes_back_during_the_wait_saves_the_victim(inside) {
        let Some(mut meminfo) = machine(inside, "memory_that_comes_back_during_the_wait_saves_the_victim") else { return };
        let mut victim = Hog::holding(inside, "victim", 300);
        let journal = Journal::listen(inside);
        let script = format!("kill -USR1 {}; echo freed $(date +%s%3N)", meminfo.pid());
        let mut guard = Guard::start(inside, &journal, hooks(Some(&script), None));
        meminfo.set_available(TERM);
        let freed = journal.wait("freed", |e| e.message().starts_with("freed "));
        let freed_ms: u64 = freed.message().trim_start_matches("freed ").parse().expect("a time");
        journal.watch_quietly(Duration::from_secs(2));
        if let Some(term) = journal.of("term").first() {
            let acts = || incidents(inside).into_iter().flat_map(|incident| incident.acts);
            assert!(wait_for(|| acts().next().is_some()), "the act in a file");
            assert!(acts().all(|act| act.t_ms <= freed_ms), "signalled although memory was back at {freed_ms}: {term}");
        } else {
            assert!(victim.is_alive());
        }
        assert!(guard.is_alive());
    }
}

scenario! {
    /// A hook that ignores SIGTERM, has children and floods: it is ended with all of them, and its output is bounded.
    fn a_hook_ends_at_its_deadline_with_all_that_it_started(inside) {
        let Some(mut meminfo) = machine(inside, "a_hook_ends_at_its_deadline_with_all_that_it_started") else { return };
        let mut victim = Hog::holding(inside, "victim", 300);
        let journal = Journal::listen(inside);
        let script = "[ $HOGWATCH_EVENT = exited ] || exit 0; trap '' TERM; (sleep 1000; echo no) & echo \"pids $$ $!\"; yes";
        let guard = Guard::start(inside, &journal, hooks(None, Some(script)));
        meminfo.set_available(TERM);
        assert_eq!(victim.ended_by(), Some(Signal::SIGTERM));
        meminfo.set_available(PLENTY);

        let pids = journal.wait("its pids", |e| e.message().starts_with("pids ")).message().to_owned();
        wait_for(|| said(&journal, "after").len() >= MOST_LINES);
        assert!(pids.split(' ').skip(1).all(|pid| Path::new("/proc").join(pid).exists()), "it runs: {pids}");
        let ended = journal.wait("that it was ended", |e| e.event() == "degraded" && e.message().contains("was ended"));
        assert!(ended.message().contains("the after hook (/bin/sh) ran for 30 s"), "{ended}");
        let gone = |pid: &str| fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "));
        assert!(wait_for(|| pids.split(' ').skip(1).all(gone)), "all are gone: {pids}");
        let said = said(&journal, "after");
        assert_eq!(said.len(), MOST_LINES + 1, "the bound, and what is missing");
        assert!(said.last().is_some_and(|line| line.ends_with("more bytes left out)")), "{:?}", said.last());
        assert!(has_thread(&guard));
    }
}

scenario! {
    /// A hook that can't be started is said, and costs nothing else.
    fn a_hook_that_is_not_there_is_said(inside) {
        let Some(mut meminfo) = machine(inside, "a_hook_that_is_not_there_is_said") else { return };
        let mut victim = Hog::holding(inside, "victim", 300);
        let journal = Journal::listen(inside);
        let config = format!("{LIMITS}[hooks]\nbefore = [\"/nonexistent/hook\"]\nafter = [\"sh\", \"-c\", \"exit 3\"]\n");
        let _guard = Guard::start(inside, &journal, config);
        journal.wait("at the start", |e| e.message().contains("the before hook can't be started: there is no /nonexistent/hook"));
        meminfo.set_available(TERM);
        assert_eq!(victim.ended_by(), Some(Signal::SIGTERM));
        meminfo.set_available(PLENTY);
        let failed = journal.wait("a failure", |e| e.message().contains("the after hook (sh) failed with exit status 3"));
        assert_eq!(failed.event(), "degraded");
    }
}

scenario! {
    /// So many run at a time; what is too much is counted.
    fn hooks_are_bounded_in_number(inside) {
        let Some(mut meminfo) = machine(inside, "hooks_are_bounded_in_number") else { return };
        let journal = Journal::listen(inside);
        let _guard = Guard::start(inside, &journal, hooks(None, Some("echo begun; sleep 1000")));
        for round in 1..=RUNS + 1 {
            meminfo.set_available(WARN);
            assert!(wait_for(|| journal.of("warn").len() == round), "no warning {round}");
            meminfo.set_available(PLENTY);
            assert!(wait_for(|| journal.of("recovered").len() == round), "no recovery {round}");
        }
        journal.wait("the surplus", |e| e.message().contains("hooks were not run 1 times: 4 run already"));
        assert!(wait_for(|| said(&journal, "after").len() == RUNS));
    }
}

scenario! {
    /// The thread is there only while a hook is configured, and what runs ends with it. A dry run has none.
    fn a_reload_changes_the_hooks(inside) {
        let Some(mut meminfo) = machine(inside, "a_reload_changes_the_hooks") else { return };
        let journal = Journal::listen(inside);
        let guard = Guard::start(inside, &journal, LIMITS);
        assert!(!has_thread(&guard), "{:?}", threads(&guard));
        guard.reload(hooks(None, Some("echo one $$; sleep 1000")));
        assert!(wait_for(|| has_thread(&guard)));
        meminfo.set_available(WARN);
        let one = journal.wait("one", |e| e.message().starts_with("one "));
        meminfo.set_available(PLENTY);
        journal.wait_event("recovered");
        guard.reload(hooks(None, Some("echo two")));
        assert!(wait_for(|| journal.of("reload").len() == 2));
        meminfo.set_available(WARN);
        wait_for_line(&journal, "after", "two");
        guard.reload(LIMITS);
        assert!(wait_for(|| !has_thread(&guard)));
        let pid = one.message().trim_start_matches("one ").to_owned();
        assert!(wait_for(|| !Path::new("/proc").join(&pid).exists()), "its run ended with it");
        drop(guard);

        meminfo.set_available(PLENTY);
        let journal = Journal::listen(inside);
        let guard = Setup::new(inside, hooks(None, Some("echo three"))).argument("--dry-run").start(&journal);
        assert!(!has_thread(&guard), "{:?}", threads(&guard));
    }
}
