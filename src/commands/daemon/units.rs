//! What systemd will do when a service is ended: asked of it beforehand, so that the entry of an act can say it.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::observe::cgroups::CgroupPath;
use crate::report::{Event, EventKind, Follows, Policy, Restart, Signals, unit_of};

use super::systemctl::Systemctl;

/// So many units are asked for at a time, and known: those of the largest tasks. Whoever is taken is among them.
pub const UNITS: usize = 6;

/// systemd answers in milliseconds. One that does not is as stuck as the machine, and what it would have said is not needed.
const DEADLINE: Duration = Duration::from_secs(3);

/// An answer is good for so long: a service that was restarted has another main process, and settings change seldom.
const GOOD_FOR: Duration = Duration::from_secs(30);

/// Root gets to a user's manager by way of a login, which starts processes and is noted in the journal: so often at most.
const LOGIN_EVERY: Duration = Duration::from_secs(600);

/// What is asked.
const PROPERTIES: &str = "--property=ControlGroup,MainPID,Type,ExitType,Restart,SuccessExitStatus,RestartForceExitStatus,\
                          RestartPreventExitStatus";

/// The cgroups in which services are to be looked up: of fixed size, so that asking allocates nothing.
pub type Wanted = [Option<CgroupPath>; UNITS];

/// A service whose end can be foretold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unit {
    cgroup: CgroupPath,
    main: i32,
    policy: Policy,
}

/// The asking side: what was asked lately.
#[derive(Debug, Default)]
pub struct Asker {
    asked: Vec<(String, Instant, Option<Unit>)>,
    /// Users whose manager was asked by a login, and when.
    logins: Vec<(u32, Instant)>,
}

impl Asker {
    /// Asks for those that are not known yet. Those that systemd does not tell of are left out.
    pub fn ask(&mut self, own: &Systemctl, wanted: &Wanted) -> Vec<Unit> {
        let now = Instant::now();
        let age = |at: Instant| now.saturating_duration_since(at);
        self.logins.retain(|(_, at)| age(*at) < LOGIN_EVERY);
        let good_for = |key: &str| if !own.user && key.contains('/') { LOGIN_EVERY } else { GOOD_FOR };
        self.asked.retain(|(key, at, _)| age(*at) < good_for(key));
        let mut names: Vec<(Option<u32>, &str)> =
            wanted.iter().flatten().filter_map(|path| service(path.as_bytes())).collect();
        names.sort_unstable();
        names.dedup();
        for manager in names.chunk_by(|a, b| a.0 == b.0) {
            let user = manager[0].0;
            let key = |name: &str| user.map_or_else(|| name.to_owned(), |uid| format!("{uid}/{name}"));
            let known = |name: &str| self.asked.iter().any(|(asked, ..)| *asked == key(name));
            let names: Vec<&str> = manager.iter().map(|(_, name)| *name).filter(|name| !known(name)).collect();
            if names.is_empty() || user.is_some_and(|uid| !own.user && !self.may_log_in(uid, now)) {
                continue;
            }
            let shown = show(own, user, &names, now + DEADLINE).unwrap_or_default();
            // A block each, in the order of the names.
            let mut blocks = shown.split("\n\n");
            for name in names {
                self.asked.push((key(name), now, blocks.next().and_then(parse)));
            }
        }
        self.asked.iter().rev().filter_map(|(.., unit)| *unit).take(2 * UNITS).collect()
    }
}

impl Asker {
    /// Whether a user's manager may be asked by a login now; then it is.
    fn may_log_in(&mut self, uid: u32, now: Instant) -> bool {
        let may = self.logins.iter().all(|(user, _)| *user != uid);
        if may {
            self.logins.push((uid, now));
        }
        may
    }
}

/// The service that a cgroup belongs to, and the user in whose manager it is.
fn service(cgroup: &[u8]) -> Option<(Option<u32>, &str)> {
    let name = std::str::from_utf8(unit_of(cgroup)?).ok().filter(|name| name.ends_with(".service"))?;
    let manager = cgroup
        .split(|byte| *byte == b'/')
        .find_map(|part| std::str::from_utf8(part).ok()?.strip_prefix("user@")?.strip_suffix(".service")?.parse().ok());
    // The manager itself is a service of the system's.
    Some((manager.filter(|_| !name.starts_with("user@")), name))
}

fn show(own: &Systemctl, user: Option<u32>, names: &[&str], deadline: Instant) -> Result<String, String> {
    let machine = user.map(|uid| format!("--machine={uid}@.host"));
    let mut arguments = match &machine {
        // Root has to be let in by way of a login.
        Some(machine) if !own.user => vec!["--user", machine],
        _ => Vec::new(),
    };
    if user.is_none() && own.user {
        return Err("a unit of the system's".to_owned());
    }
    arguments.extend(["show", PROPERTIES, "--"]);
    arguments.extend(names);
    own.run(&arguments, deadline)
}

/// Reads a block of `KEY=VALUE` lines; nothing when it is no running service, or one that ends with its last process.
fn parse(block: &str) -> Option<Unit> {
    let value = |key: &str| block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    if value("ExitType").is_some_and(|kind| kind != "main") {
        return None;
    }
    let signals = |key: &str| {
        let words = value(key).unwrap_or_default().split_ascii_whitespace();
        words.fold(Signals::default(), |Signals { term, kill }, word| {
            let word = word.strip_prefix("SIG").unwrap_or(word);
            Signals { term: term || word == "TERM", kill: kill || word == "KILL" }
        })
    };
    Some(Unit {
        cgroup: value("ControlGroup")
            .filter(|path| path.starts_with('/'))
            .and_then(|p| CgroupPath::new(p.as_bytes()))?,
        main: value("MainPID")?.parse().ok().filter(|pid| *pid > 0)?,
        policy: Policy {
            restart: Restart::from_word(value("Restart")?)?,
            oneshot: value("Type") == Some("oneshot"),
            success: signals("SuccessExitStatus"),
            force: signals("RestartForceExitStatus"),
            prevent: signals("RestartPreventExitStatus"),
        },
    })
}

/// What follows for the victim's unit, as far as it is known: when its main process was taken, or the unit's whole cgroup.
#[must_use]
pub fn foretell(units: &[Unit], event: &Event) -> Option<Follows> {
    if !matches!(event.event, EventKind::Term | EventKind::Kill | EventKind::Exited) {
        return None;
    }
    let signal: Signal = event.signal?;
    let taken =
        |unit: &&Unit| event.pid == Some(unit.main) || event.whole && event.cgroup.as_bytes() == unit.cgroup.as_bytes();
    units.iter().find(taken).map(|unit| unit.policy.follows(signal))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::daemon::systemctl::fake;
    use crate::report::Text;

    fn wanted(paths: &[&str]) -> Wanted {
        let mut wanted = [None; UNITS];
        for (slot, path) in wanted.iter_mut().zip(paths) {
            *slot = CgroupPath::new(path.as_bytes());
        }
        wanted
    }

    #[test]
    fn services_of_cgroups_and_their_managers() {
        for (cgroup, expected) in [
            ("/system.slice/db.service", Some((None, "db.service"))),
            ("/system.slice/db.service/payload", Some((None, "db.service"))),
            ("/user.slice/user-1000.slice/session-3.scope", None),
            ("/user.slice/user-1000.slice/user@1000.service/app.slice/x.service", Some((Some(1000), "x.service"))),
            ("/user.slice/user-1000.slice/user@1000.service/init.scope", None),
            ("/user.slice/user-1000.slice/user@1000.service", Some((None, "user@1000.service"))),
            ("/docker/1", None),
        ] {
            assert_eq!(service(cgroup.as_bytes()), expected, "{cgroup}");
        }
    }

    #[test]
    fn systemd_is_asked_once_for_each_unit_and_a_block_is_a_unit() {
        let dir = tempfile::tempdir().unwrap();
        let script = "echo \"$@\" >> $(dirname $0)/asked\n\
            printf 'ControlGroup=/system.slice/a.service\\nMainPID=42\\nType=simple\\nExitType=main\\nRestart=on-failure\\n\
            SuccessExitStatus=\\nRestartForceExitStatus=\\nRestartPreventExitStatus=\\n\\n\
            ControlGroup=/system.slice/b.service\\nMainPID=43\\nType=notify\\nRestart=no\\nSuccessExitStatus=143 KILL\\n\
            RestartForceExitStatus=7 SIGTERM\\n\\n\
            ControlGroup=\\nMainPID=0\\nRestart=no\\n'";
        let systemctl = fake::systemctl(dir.path(), script);
        let mut asker = Asker::default();
        let wanted =
            wanted(&["/system.slice/b.service", "/system.slice/a.service", "/system.slice/c.service", "/x.slice"]);
        let units = asker.ask(&systemctl, &wanted);
        assert_eq!(units.len(), 2);
        let asked = || std::fs::read_to_string(dir.path().join("asked")).unwrap().lines().count();
        assert_eq!(asker.ask(&systemctl, &wanted), units);
        assert_eq!(asked(), 1);

        let event = |pid, signal| Event { pid: Some(pid), signal: Some(signal), ..Event::new(EventKind::Term) };
        for (pid, signal, follows) in [
            (42, Signal::SIGTERM, Some(Follows::CleanEnd)),
            (42, Signal::SIGKILL, Some(Follows::Restarts)),
            (43, Signal::SIGTERM, Some(Follows::Restarts)),
            (43, Signal::SIGKILL, Some(Follows::StaysDown)),
            (44, Signal::SIGTERM, None),
        ] {
            assert_eq!(foretell(&units, &event(pid, signal)), follows, "{pid} {signal}");
        }
        let cgroup = Text::from_bytes(b"/system.slice/a.service");
        let group = Event { cgroup, whole: true, ..event(99, Signal::SIGTERM) };
        assert_eq!(foretell(&units, &group), Some(Follows::CleanEnd));
        assert_eq!(foretell(&units, &Event { whole: false, ..group }), None, "a worker's end is not the service's");
        assert_eq!(foretell(&units, &Event { event: EventKind::Refused, ..event(42, Signal::SIGTERM) }), None);
    }

    #[test]
    fn root_logs_in_to_a_users_manager_seldom() {
        let dir = tempfile::tempdir().unwrap();
        let systemctl = fake::systemctl(dir.path(), "echo \"$@\" >> $(dirname $0)/asked");
        let mut asker = Asker::default();
        let user = "/user.slice/user-1000.slice/user@1000.service/app.slice";
        for name in ["a", "b", "a"] {
            asker.ask(&systemctl, &wanted(&[&format!("{user}/{name}.service")]));
        }
        let asked = std::fs::read_to_string(dir.path().join("asked")).unwrap();
        let expected = format!("--no-ask-password --user --machine=1000@.host show {PROPERTIES} -- a.service\n");
        assert_eq!(asked, expected);
        let own = Systemctl { user: true, ..systemctl };
        asker.ask(&own, &wanted(&[&format!("{user}/c.service"), "/system.slice/x.service"]));
        let asked = std::fs::read_to_string(dir.path().join("asked")).unwrap();
        let expected = format!("--user --no-ask-password show {PROPERTIES} -- c.service");
        assert_eq!(asked.lines().last(), Some(expected.as_str()));
    }

    #[test]
    fn a_unit_that_ends_with_its_last_process_and_a_systemd_that_fails_say_nothing() {
        let block = "ControlGroup=/a.slice/a.service\nMainPID=7\nRestart=always\nType=simple\nExitType=";
        assert!(parse(&format!("{block}main")).is_some());
        assert!(parse(&format!("{block}cgroup")).is_none());
        assert!(parse("").is_none());
        let dir = tempfile::tempdir().unwrap();
        let systemctl = fake::systemctl(dir.path(), "exit 1");
        assert_eq!(Asker::default().ask(&systemctl, &wanted(&["/system.slice/a.service"])), []);
    }
}
