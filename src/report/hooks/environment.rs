//! What a hook is told, and what else it finds in its environment: `docs/hooks.md` has the table.

use std::time::SystemTime;

use super::super::field::Origin;
use super::super::queue::Sent;
use super::super::record;
use super::Hook;

/// Where programs are looked for that are named without a path.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What is passed on of the daemon's own environment, where it is there: a user's guard has it, and its hooks find their
/// files and their bus by it.
const PASSED_ON: [&str; 4] = ["HOME", "LOGNAME", "USER", "XDG_RUNTIME_DIR"];

/// All of it. Values of `HOGWATCH_*` are those of the journal's fields: one harmless line each.
pub(super) fn variables(hook: Hook, sent: &Sent, origin: &Origin) -> Vec<(String, String)> {
    let spec = sent.event.event.spec();
    let mut variables = vec![("PATH".to_owned(), PATH.to_owned())];
    let own = PASSED_ON.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
    variables.extend(own);
    variables.push(("HOGWATCH_HOOK".to_owned(), hook.name().to_owned()));
    variables.push(("HOGWATCH_MESSAGE".to_owned(), message(hook, sent, origin)));
    variables.push(("HOGWATCH_PRIORITY".to_owned(), spec.priority.word().to_owned()));
    variables.extend(spec.fields().filter_map(|field| {
        let value = field.value(&sent.event, origin)?;
        Some((field.journal_name().to_owned(), value.to_string()))
    }));
    variables
}

/// The sentence of the journal; of what has not been done yet it says so.
pub(super) fn message(hook: Hook, sent: &Sent, origin: &Origin) -> String {
    let mut message = String::new();
    record::message(&mut message, sent, origin, 0, SystemTime::now());
    match (hook, message.strip_prefix("sent ")) {
        (Hook::Before, Some(rest)) => format!("about to send {rest}"),
        _ => message,
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::Signal;

    use super::super::super::event::{Event, EventKind};
    use super::super::super::text::Text;
    use super::*;

    fn told(hook: Hook, event: &Event) -> Vec<(String, String)> {
        let origin = Origin { dry_run: false, started: SystemTime::UNIX_EPOCH };
        variables(hook, &Sent { at: SystemTime::now(), event: *event }, &origin)
    }

    fn get<'a>(variables: &'a [(String, String)], name: &str) -> Option<&'a str> {
        variables.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn a_hook_is_told_the_fields_of_the_entry_escaped() {
        let event = Event {
            kind: Some("memory"),
            pid: Some(42),
            comm: Text::from_bytes(b"x\nHOGWATCH_A=1"),
            cgroup: Text::from_bytes(b"/system.slice/db.service"),
            signal: Some(Signal::SIGTERM),
            incident: Some(3),
            available_percent: Some(4.866),
            ..Event::new(EventKind::Term)
        };
        let told = told(Hook::Before, &event);
        for (name, value) in [
            ("HOGWATCH_HOOK", "before"),
            ("HOGWATCH_EVENT", "term"),
            ("HOGWATCH_PRIORITY", "err"),
            ("HOGWATCH_PID", "42"),
            ("HOGWATCH_COMM", "x\\nHOGWATCH_A=1"),
            ("HOGWATCH_UNIT", "db.service"),
            ("HOGWATCH_SIGNAL", "SIGTERM"),
            ("HOGWATCH_AVAILABLE_PERCENT", "4.87"),
            ("HOGWATCH_INCIDENT", "19700101T000000Z-3"),
            ("HOGWATCH_MESSAGE", "about to send SIGTERM to x\\nHOGWATCH_A=1 (pid 42) in db.service: memory"),
            ("PATH", PATH),
        ] {
            assert_eq!(get(&told, name), Some(value), "{name}");
        }
        assert_eq!(get(&told, "HOGWATCH_SIZE_BYTES"), None, "what is not known is not there");
        assert!(told.iter().all(|(_, value)| !value.chars().any(char::is_control)), "{told:?}");
    }

    #[test]
    fn nothing_else_of_the_daemons_environment_is_passed_on() {
        let told = told(Hook::After, &Event::new(EventKind::Refused));
        let strangers: Vec<_> = told
            .iter()
            .map(|(name, _)| name.as_str())
            .filter(|name| *name != "PATH" && !name.starts_with("HOGWATCH_") && !PASSED_ON.contains(name))
            .collect();
        assert_eq!(strangers, [""; 0]);
    }
}
