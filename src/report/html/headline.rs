//! The headline: who did what to whom, in one line. The answer below it says more.

use std::fmt;

use crate::report::Size;
use crate::report::incident::answer::short;
use crate::report::incident::outcome::Outcome;
use crate::report::incident::schema::{Cause, Entry, Incident, Victim};

/// Plain text; who shows it makes it safe.
pub(super) fn headline(incident: &Incident) -> String {
    let place = incident.cgroup.as_deref().filter(|&cgroup| cgroup != "/").map_or("the machine".to_owned(), short);
    match (incident.cause, Outcome::of(incident)) {
        (_, Outcome::UncleanEnd) => "The machine went down without a shutdown".to_owned(),
        (Cause::Kernel, _) => format!("The kernel's OOM killer killed {}", Hit(incident)),
        (Cause::SystemdOomd, _) if incident.victim.is_none() => format!("systemd-oomd killed {place}"),
        (Cause::SystemdOomd, _) => format!("systemd-oomd killed {}", Hit(incident)),
        (_, Outcome::Pretended) if incident.victim.is_none() => {
            format!("A dry run: {place} was in trouble, nothing was done")
        }
        (_, Outcome::Pretended) => format!("hogwatch would have sent {} to {}", sent(incident), Hit(incident)),
        (_, Outcome::Ended) => match exit_signal(incident) {
            Some("SIGKILL") | None => format!("hogwatch killed {}", Hit(incident)),
            Some(signal) => format!("hogwatch ended {} with {signal}", Hit(incident)),
        },
        (_, Outcome::SetAside) => format!("hogwatch could not kill {}", Hit(incident)),
        (_, Outcome::Signalled) => format!("hogwatch sent {} to {}", sent(incident), Hit(incident)),
        (_, Outcome::Lifted) => format!("hogwatch raised memory.high of {place}; nobody was killed"),
        (_, Outcome::Refused) => format!("Nobody was killed, though {place} needed it"),
        (_, Outcome::Warned) => format!("Memory was short in {place}; nobody was killed"),
    }
}

/// The last signal that was sent, or would have been.
fn sent(incident: &Incident) -> &str {
    signal(incident, |event| matches!(event, "term" | "kill")).unwrap_or("a signal")
}

/// The signal that ended the last who was gone.
fn exit_signal(incident: &Incident) -> Option<&str> {
    signal(incident, |event| event == "exited")
}

fn signal(incident: &Incident, is_meant: impl Fn(&str) -> bool) -> Option<&str> {
    let entries: &[Entry] = if incident.events.is_empty() { &incident.acts } else { &incident.events };
    entries.iter().rfind(|entry| is_meant(&entry.event))?.fields.get("signal")?.as_str()
}

/// The victim, with its unit; the kernel's report may name one that the incident does not.
struct Hit<'a>(&'a Incident);

impl fmt::Display for Hit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reported = self.0.kernel.as_ref().and_then(|report| report.victim.as_ref());
        match self.0.victim.as_ref().or(reported) {
            Some(victim) => {
                Who(victim).fmt(f)?;
                victim.unit.as_ref().map_or(Ok(()), |unit| write!(f, " of {unit}"))
            }
            None => f.write_str("a process"),
        }
    }
}

/// `ugrep (pid 4242, 12.3 GiB)`, or `14 processes (12.3 GiB; the largest is ugrep, pid 4242)`.
pub(super) struct Who<'a>(pub &'a Victim);

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Victim { comm, pid, size_bytes, members, .. } = self.0;
        let comm = if comm.is_empty() { "a process" } else { comm };
        let size = size_bytes.map(Size);
        if let Some(members) = members.filter(|&members| members > 1) {
            write!(f, "{members} processes (")?;
            if let Some(size) = size {
                write!(f, "{size}; ")?;
            }
            write!(f, "the largest is {comm}")?;
            return match pid {
                Some(pid) => write!(f, ", pid {pid})"),
                None => write!(f, ")"),
            };
        }
        match (pid, size) {
            (Some(pid), Some(size)) => write!(f, "{comm} (pid {pid}, {size})"),
            (Some(pid), None) => write!(f, "{comm} (pid {pid})"),
            (None, Some(size)) => write!(f, "{comm} ({size})"),
            (None, None) => write!(f, "{comm}"),
        }
    }
}
