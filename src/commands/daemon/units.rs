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
}

impl Asker {
    /// Asks for those that are not known yet. Those that systemd does not tell of are left out, and so are those of other
    /// managers: root gets to a user's only by way of a login, which costs a second of CPU time and seven lines in the
    /// journal (seen with systemd 257), at the wrong moment.
    pub fn ask(&mut self, own: &Systemctl, wanted: &Wanted) -> Vec<Unit> {
        self.ask_within(DEADLINE, own, wanted)
    }

    fn ask_within(&mut self, limit: Duration, own: &Systemctl, wanted: &Wanted) -> Vec<Unit> {
        let now = Instant::now();
        self.asked.retain(|(_, at, _)| now.saturating_duration_since(*at) < GOOD_FOR);
        let services = wanted.iter().flatten().filter_map(|path| service(path.as_bytes()));
        let mut names: Vec<&str> = services.filter(|(users, _)| *users == own.user).map(|(_, name)| name).collect();
        names.sort_unstable();
        names.dedup();
        names.retain(|name| self.asked.iter().all(|(asked, ..)| asked != name));
        if !names.is_empty() {
            let arguments: Vec<&str> = ["show", PROPERTIES, "--"].into_iter().chain(names.iter().copied()).collect();
            // A systemd that does not answer has not said that there is no such unit: it is asked again.
            if let Ok(shown) = own.run(&arguments, now + limit) {
                // A block each, in the order of the names.
                let mut blocks = shown.split("\n\n");
                let told = names.into_iter().map(|name| (name.to_owned(), now, blocks.next().and_then(parse)));
                self.asked.extend(told);
            }
        }
        self.asked.iter().rev().filter_map(|(.., unit)| *unit).take(2 * UNITS).collect()
    }
}

/// The service that a cgroup belongs to, and whether it is in a user's manager.
fn service(cgroup: &[u8]) -> Option<(bool, &str)> {
    let name = std::str::from_utf8(unit_of(cgroup)?).ok().filter(|name| name.ends_with(".service"))?;
    let in_users = cgroup.split(|byte| *byte == b'/').any(|part| part.starts_with(b"user@"));
    // The manager itself is a service of the system's.
    Some((in_users && !name.starts_with("user@"), name))
}

/// Reads a block of `KEY=VALUE` lines; nothing when it is no running service, or one that ends with its last process.
fn parse(block: &str) -> Option<Unit> {
    let value = |key: &str| block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    if value("ExitType").is_some_and(|kind| kind != "main") {
        return None;
    }
    Some(Unit {
        cgroup: value("ControlGroup")
            .filter(|path| path.starts_with('/'))
            .and_then(|p| CgroupPath::new(p.as_bytes()))?,
        main: value("MainPID")?.parse().ok().filter(|pid| *pid > 0)?,
        policy: policy(value)?,
    })
}

/// What systemd does after an end, by the properties it tells.
pub fn policy<'t>(value: impl Fn(&str) -> Option<&'t str>) -> Option<Policy> {
    let signals = |key: &str| {
        let words = value(key).unwrap_or_default().split_ascii_whitespace();
        words.fold(Signals::default(), |Signals { term, kill }, word| {
            let word = word.strip_prefix("SIG").unwrap_or(word);
            Signals { term: term || word == "TERM", kill: kill || word == "KILL" }
        })
    };
    Some(Policy {
        restart: Restart::from_word(value("Restart")?)?,
        oneshot: value("Type") == Some("oneshot"),
        success: signals("SuccessExitStatus"),
        force: signals("RestartForceExitStatus"),
        prevent: signals("RestartPreventExitStatus"),
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

    /// Far more than a program made of shell takes.
    const LONG: Duration = Duration::from_secs(60);

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
            ("/system.slice/db.service", Some((false, "db.service"))),
            ("/system.slice/db.service/payload", Some((false, "db.service"))),
            ("/user.slice/user-1000.slice/session-3.scope", None),
            ("/user.slice/user-1000.slice/user@1000.service/app.slice/x.service", Some((true, "x.service"))),
            ("/user.slice/user-1000.slice/user@1000.service/init.scope", None),
            ("/user.slice/user-1000.slice/user@1000.service", Some((false, "user@1000.service"))),
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
        let units = asker.ask_within(LONG, &systemctl, &wanted);
        assert_eq!(units.len(), 2);
        let asked = || std::fs::read_to_string(dir.path().join("asked")).unwrap().lines().count();
        assert_eq!(asker.ask_within(LONG, &systemctl, &wanted), units);
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
    fn each_manager_is_asked_for_its_own_units() {
        let user = "/user.slice/user-1000.slice/user@1000.service/app.slice/c.service";
        let wanted = wanted(&[user, "/system.slice/x.service"]);
        for (is_user, expected) in [
            (false, format!("--no-ask-password show {PROPERTIES} -- x.service\n")),
            (true, format!("--user --no-ask-password show {PROPERTIES} -- c.service\n")),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let systemctl = fake::systemctl(dir.path(), "echo \"$@\" >> $(dirname $0)/asked");
            Asker::default().ask_within(LONG, &Systemctl { user: is_user, ..systemctl }, &wanted);
            assert_eq!(std::fs::read_to_string(dir.path().join("asked")).unwrap(), expected);
        }
    }

    #[test]
    fn a_unit_that_ends_with_its_last_process_and_a_systemd_that_fails_say_nothing() {
        let block = "ControlGroup=/a.slice/a.service\nMainPID=7\nRestart=always\nType=simple\nExitType=";
        assert!(parse(&format!("{block}main")).is_some());
        assert!(parse(&format!("{block}cgroup")).is_none());
        assert!(parse("").is_none());
        let dir = tempfile::tempdir().unwrap();
        let systemctl = fake::systemctl(dir.path(), "exit 1");
        let (mut asker, wanted) = (Asker::default(), wanted(&["/system.slice/a.service"]));
        assert_eq!(asker.ask_within(LONG, &systemctl, &wanted), []);
        // And is asked again as soon as it is wanted again.
        let script = "printf 'ControlGroup=/system.slice/a.service\nMainPID=7\nType=simple\nRestart=no\n'";
        std::fs::write(dir.path().join("script"), script).unwrap();
        assert_eq!(asker.ask_within(LONG, &systemctl, &wanted).len(), 1);
    }
}
