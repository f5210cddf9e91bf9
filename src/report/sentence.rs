//! The sentence that opens every entry, for whoever reads it at 3 a.m.

use std::fmt::{self, Write};

use nix::sys::signal::Signal;

use super::escape::Escaped;
use super::event::{Event, EventKind};
use super::restart::Follows;
use super::size::{Size, Span};
use super::unit::unit_of;

/// Says what happened in one harmless line. "killed" is said of our own victims only once their exit was seen; a dry
/// run says "would".
pub(super) fn write(out: &mut impl Write, event: &Event, dry_run: bool) -> fmt::Result {
    let place = Place(event);
    let cause = Cause(event);
    match event.event {
        EventKind::Start => {
            let how = if dry_run { " as a dry run, it only says what it would do" } else { "" };
            write!(out, "hogwatch {} started{how}{cause}", env!("CARGO_PKG_VERSION"))
        }
        EventKind::Stop => write!(out, "hogwatch stopped{cause}"),
        EventKind::Reload => write!(out, "configuration reloaded{cause}"),
        EventKind::ConfigRejected => write!(out, "configuration rejected{cause}"),
        EventKind::State => write!(out, "memory: {}{cause}", State(event)),
        EventKind::Warn => write!(out, "memory is getting short{place}{cause}"),
        EventKind::Term | EventKind::Kill => {
            let sent = if dry_run { "would send" } else { "sent" };
            write!(out, "{sent} {} to {}{place}{cause}{}", signal(event), Who(event), Next(event, dry_run))
        }
        EventKind::Exited => exited(out, event, dry_run),
        EventKind::SetAside => {
            write!(out, "{}{place} did not exit{} {}, set aside{cause}", Who(event), Within(event), signal(event))
        }
        EventKind::Refused if names_somebody(event) => {
            write!(out, "refused to signal {}{place}{cause}", Who(event))
        }
        EventKind::Refused => write!(out, "refused to signal anyone{place}{cause}"),
        EventKind::Livelock => write!(out, "{} is stuck{cause}", Whole(event)),
        EventKind::OomStuck if names_somebody(event) => {
            write!(out, "the kernel's OOM killer is stuck on {}{place}{cause}", Who(event))
        }
        EventKind::OomStuck => {
            write!(out, "the kernel's OOM killer finds nobody it may kill{place}: {}", event.reason)
        }
        EventKind::Lift => {
            let raised = if dry_run { "would raise" } else { "raised" };
            let old = fmt::from_fn(|f| match event.limit_bytes {
                Some(bytes) => write!(f, " from {}", Size(bytes)),
                None => Ok(()),
            });
            write!(out, "{raised} memory.high of {}{old} to max{cause}", Whole(event))
        }
        EventKind::LiftRestored => {
            let put = if dry_run { "would put" } else { "put" };
            let old = fmt::from_fn(|f| match event.limit_bytes {
                Some(bytes) => write!(f, " to {}", Size(bytes)),
                None => Ok(()),
            });
            write!(out, "{put} memory.high of {} back{old}{cause}", Whole(event))
        }
        EventKind::KernelOom => write!(out, "the kernel's OOM killer killed {}{place}{cause}", Who(event)),
        EventKind::OomdKill if names_somebody(event) => {
            write!(out, "systemd-oomd killed {}{place}{cause}", Who(event))
        }
        EventKind::OomdKill => write!(out, "systemd-oomd killed {}{cause}", Whole(event)),
        EventKind::Recovered if stuck_as(event).is_some() => write!(out, "{} moves again{cause}", Whole(event)),
        EventKind::Recovered => write!(out, "memory has recovered{place}{cause}"),
        EventKind::Degraded => write!(out, "degraded{place}{cause}"),
        EventKind::Dropped => match event.count {
            Some(1) => write!(out, "1 entry was lost on its way to the journal{cause}"),
            Some(n) => write!(out, "{n} entries were lost on their way to the journal{cause}"),
            None => write!(out, "entries were lost on their way to the journal{cause}"),
        },
    }
}

fn exited(out: &mut impl Write, event: &Event, dry_run: bool) -> fmt::Result {
    let cause = Cause(event);
    match (event.signal, event.elapsed_ms) {
        (None, _) => write!(out, "{} exited by itself", Who(event))?,
        (Some(Signal::SIGKILL), Some(ms)) => {
            write!(out, "{} was killed, gone {} after SIGKILL", Who(event), Span { ms })?;
        }
        (Some(Signal::SIGKILL), None) => write!(out, "{} was killed by SIGKILL", Who(event))?,
        (Some(signal), Some(ms)) => write!(out, "{} exited {} after {signal}", Who(event), Span { ms })?,
        (Some(signal), None) => write!(out, "{} exited after {signal}", Who(event))?,
    }
    match event.freed_bytes {
        Some(0) => write!(out, "; nothing came back")?,
        Some(bytes) => write!(out, "; {} came back", Size(bytes))?,
        None => {}
    }
    write!(out, "{cause}{}", Next(event, dry_run))
}

fn signal(event: &Event) -> &'static str {
    event.signal.map_or("a signal", Signal::as_str)
}

fn names_somebody(event: &Event) -> bool {
    event.pid.is_some() || !event.comm.is_empty() || event.members.is_some()
}

/// `ugrep (pid 4242, 12.3 GiB)`, or for a group `14 processes (12.3 GiB; the largest is ugrep, pid 4242)`.
struct Who<'a>(&'a Event);

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Event { pid, comm, size_bytes, members, .. } = self.0;
        let size = size_bytes.map(Size);
        if let Some(members) = members {
            let processes = if *members == 1 { "process" } else { "processes" };
            write!(f, "{members} {processes}")?;
            return match (size, pid) {
                (Some(size), Some(pid)) => write!(f, " ({size}; the largest is {comm}, pid {pid})"),
                (None, Some(pid)) => write!(f, " (the largest is {comm}, pid {pid})"),
                (Some(size), None) => write!(f, " ({size})"),
                (None, None) => Ok(()),
            };
        }
        if comm.is_empty() {
            f.write_str("a process")?;
        } else {
            write!(f, "{comm}")?;
        }
        match (pid, size) {
            (Some(pid), Some(size)) => write!(f, " (pid {pid}, {size})"),
            (Some(pid), None) => write!(f, " (pid {pid})"),
            (None, Some(size)) => write!(f, " ({size})"),
            (None, None) => Ok(()),
        }
    }
}

/// ` in user-1000.slice`, or nothing for the machine as a whole.
struct Place<'a>(&'a Event);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match where_it_is(self.0) {
            Some(name) => write!(f, " in {}", Escaped(name)),
            None => Ok(()),
        }
    }
}

/// `user-1000.slice`, or `the machine`.
struct Whole<'a>(&'a Event);

impl fmt::Display for Whole<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match where_it_is(self.0) {
            Some(name) => Escaped(name).fmt(f),
            None => f.write_str("the machine"),
        }
    }
}

/// The unit; where there is none, the cgroup itself.
fn where_it_is(event: &Event) -> Option<&[u8]> {
    let cgroup = event.cgroup.as_bytes();
    unit_of(cgroup).or((!cgroup.is_empty() && cgroup != b"/").then_some(cgroup))
}

/// `: memory, 4.87 % available …`, or as much of it as is known.
struct Cause<'a>(&'a Event);

impl fmt::Display for Cause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (stuck_as(self.0).or(self.0.kind), self.0.reason.is_empty()) {
            (Some(kind), false) => write!(f, ": {kind}, {}", self.0.reason),
            (Some(kind), true) => write!(f, ": {kind}"),
            (None, false) => write!(f, ": {}", self.0.reason),
            (None, true) => Ok(()),
        }
    }
}

/// A word for how a cgroup is stuck, for people; the kind itself is a field of the entry.
fn stuck_as(event: &Event) -> Option<&'static str> {
    match event.kind? {
        "throttled" | "squeezed" => Some("livelock"),
        "thrash" | "swap_thrash" => Some("thrashing"),
        "pressure" => Some("pressure"),
        _ => None,
    }
}

/// `; unit db.service will not restart`, where that is known.
struct Next<'a>(&'a Event, bool);

impl fmt::Display for Next<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(event, dry_run) = self;
        let (Some(follows), Some(unit)) = (event.follows, unit_of(event.cgroup.as_bytes())) else { return Ok(()) };
        let (unit, will) = (Escaped(unit), if *dry_run { "would" } else { "will" });
        match follows {
            Follows::Restarts => write!(f, "; unit {unit} {will} be restarted by systemd"),
            Follows::StaysDown => write!(f, "; unit {unit} {will} not restart"),
            Follows::CleanEnd => {
                write!(f, "; unit {unit} {will} not restart: to systemd {} is a clean end", signal(event))
            }
        }
    }
}

/// ` within 3.0 s of`, or ` after`.
struct Within<'a>(&'a Event);

impl fmt::Display for Within<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.elapsed_ms {
            Some(ms) => write!(f, " within {} of", Span { ms }),
            None => f.write_str(" after"),
        }
    }
}

/// `45.20 % available (10.6 GiB), stalled 0.31 % of the last 10 s`.
struct State<'a>(&'a Event);

impl fmt::Display for State<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = |percent: Option<f64>| percent.filter(|percent| percent.is_finite());
        match (known(self.0.available_percent), self.0.available_bytes) {
            (Some(percent), Some(bytes)) => write!(f, "{percent:.2} % available ({})", Size(bytes))?,
            (Some(percent), None) => write!(f, "{percent:.2} % available")?,
            (None, Some(bytes)) => write!(f, "{} available", Size(bytes))?,
            (None, None) => f.write_str("unknown")?,
        }
        match known(self.0.psi_full_percent) {
            Some(percent) => write!(f, ", stalled {percent:.2} % of the last 10 s"),
            None => Ok(()),
        }
    }
}
