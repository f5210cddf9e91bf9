//! The word to logged-in users: a desktop notification, by the tools that systemd brings along, so that no D-Bus lives in the
//! daemon's locked memory.
//!
//! A user's bus takes nobody else's connections, not even root's, and the system unit's sandbox lets nobody become another
//! user: so the system's guard has systemd start `busctl` as that user.

use std::fs;
use std::path::Path;

use super::super::event::EventKind;
use super::super::queue::Sent;
use super::super::table::Priority;

/// Where users' runtime directories are, by user id (pam_systemd(8)).
const RUN_USER: &str = "/run/user";

/// Below it are system users: greeters have a bus, and nobody to read.
const FIRST_USER: u32 = 1000;

/// Who is told: a desktop has one user in front of it, seldom more.
const MOST_USERS: usize = 3;

/// The commands that tell everybody, one for each.
pub(super) fn calls(sent: &Sent, message: &str) -> Vec<Vec<String>> {
    let notify = notify(sent, message);
    if !nix::unistd::geteuid().is_root() {
        return vec![notify];
    }
    users(Path::new(RUN_USER)).into_iter().take(MOST_USERS).map(|uid| as_user(uid, &notify)).collect()
}

/// `org.freedesktop.Notifications.Notify` (the Desktop Notifications Specification, 1.2). Nothing is started for it where
/// no desktop runs.
fn notify(sent: &Sent, message: &str) -> Vec<String> {
    let summary = match sent.event.event {
        EventKind::Warn => "Memory is getting short",
        EventKind::Refused | EventKind::OomStuck => "Memory has run out, and nothing can be ended",
        EventKind::Lift => "A memory limit was raised",
        _ => "A program was ended: memory ran out",
    };
    // 1 is normal, 2 is critical and stays until it is seen.
    let urgency = if sent.event.event.spec().priority < Priority::Warning { "2" } else { "1" };
    let call = ["busctl", "--user", "--auto-start=no", "--timeout=10", "call", "org.freedesktop.Notifications"];
    let method = ["/org/freedesktop/Notifications", "org.freedesktop.Notifications", "Notify", "susssasa{sv}i"];
    let what = ["hogwatch", "0", "dialog-warning", summary, &plain(message), "0", "1", "urgency", "y", urgency, "-1"];
    // Options end where the message may begin with a dash; busctl takes numbers below 0 for one too.
    let words = call[..4].iter().chain(&["--"]).chain(&call[4..]).chain(&method).chain(&what);
    words.map(|word| (*word).to_owned()).collect()
}

/// A notification's text is markup (`body-markup`), and a process's name is anybody's choice.
fn plain(message: &str) -> String {
    message.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The same as another user, by a transient unit of systemd's.
fn as_user(uid: u32, command: &[String]) -> Vec<String> {
    let mut words: Vec<String> = ["systemd-run", "--quiet", "--collect", "--no-ask-password"].map(str::to_owned).into();
    words.push(format!("--uid={uid}"));
    words.push(format!("--setenv=XDG_RUNTIME_DIR={RUN_USER}/{uid}"));
    words.push("--property=RuntimeMaxSec=30".to_owned());
    words.push("--".to_owned());
    // systemd puts environment variables in for `${NAME}`, and `$` for `$$` (systemd.service(5), "Command lines").
    words.extend(command.iter().map(|word| word.replace('$', "$$")));
    words
}

/// Who has a bus.
fn users(run_user: &Path) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(run_user) else { return Vec::new() };
    let ids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|uid| *uid >= FIRST_USER && run_user.join(uid.to_string()).join("bus").exists()).collect()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::super::super::event::Event;
    use super::*;

    #[test]
    fn a_name_is_no_markup_and_no_option() {
        let sent = Sent { at: SystemTime::now(), event: Event::new(EventKind::Exited) };
        let words = notify(&sent, "-x <a href=\"evil\">&");
        let options = words.iter().position(|word| word == "--").unwrap();
        assert!(words[..options].iter().all(|word| word == "busctl" || word.starts_with("--")), "{words:?}");
        assert!(words[options..].contains(&"-x &lt;a href=\"evil\"&gt;&amp;".to_owned()), "{words:?}");
    }

    #[test]
    fn a_name_is_no_variable_of_systemds() {
        let sent = Sent { at: SystemTime::now(), event: Event::new(EventKind::Exited) };
        let words = as_user(1000, &notify(&sent, "${HOME} $PATH $$"));
        assert!(words.contains(&"$${HOME} $$PATH $$$$".to_owned()), "{words:?}");
        assert!(words.iter().all(|word| !word.replace("$$", "").contains('$')), "{words:?}");
    }

    #[test]
    fn people_with_a_bus_are_told() {
        let dir = tempfile::tempdir().unwrap();
        for (name, bus) in [("1000", true), ("1001", false), ("120", true), ("x", true)] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
            if bus {
                std::fs::write(dir.path().join(name).join("bus"), "").unwrap();
            }
        }
        assert_eq!(users(dir.path()), [1000]);
        assert_eq!(users(Path::new("/nonexistent")), [0_u32; 0]);
    }
}
