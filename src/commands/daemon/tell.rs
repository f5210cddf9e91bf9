//! From what the engine noted and the guard did to events for the journal. Nothing here allocates.

use nix::sys::signal::Signal as Posix;

use crate::decide::measure::{Level, Reading, Resource, Whose, percent};
use crate::decide::victim::{Group, GroupWhy, Refusal, Victim};
use crate::decide::{Act, Because, Note, Signal};
use crate::observe::Machine;
use crate::observe::details::Details;
use crate::observe::parse::Meminfo;
use crate::report::{Event, EventKind, Size, Text};

/// The kernel's number for a signal of ours.
#[must_use]
pub fn posix(signal: Signal) -> Posix {
    match signal {
        Signal::Term => Posix::SIGTERM,
        Signal::Kill => Posix::SIGKILL,
    }
}

/// The event of an act.
#[must_use]
pub fn acted(act: &Act, details: Option<&Details>) -> Event {
    let kind = match act.signal {
        Signal::Term => EventKind::Term,
        Signal::Kill => EventKind::Kill,
    };
    let mut event = of_victim(kind, &act.victim, &act.reading);
    event.signal = Some(posix(act.signal));
    if let Some(detail) = details.and_then(|d| d.by_id(act.victim.id)) {
        event.cmdline = Text::from_bytes(detail.cmdline());
    }
    let reading = &act.reading;
    let grace = match act.because {
        Because::GraceOver(waited) => Some(waited),
        Because::AtTerm | Because::AtKill => None,
    };
    let group = act.victim.group.map(|g| group_why(&g));
    let spared = act.victim.spared_group.then_some("; alone, because its group holds a process that must not die");
    event.reason = Text::format(format_args!(
        "{}{}{}{}",
        Short(reading),
        std::fmt::from_fn(|f| match grace {
            Some(waited) => write!(f, ", and it ignored SIGTERM for {:.1} s", waited.as_secs_f64()),
            None => Ok(()),
        }),
        group.unwrap_or_default(),
        spared.unwrap_or_default(),
    ));
    event
}

fn group_why(group: &Group) -> &'static str {
    match group.why {
        GroupWhy::OomGroup => "; the whole cgroup, because memory.oom.group is 1",
        GroupWhy::Configured => "; the whole cgroup, because victim.target is \"cgroup\"",
        GroupWhy::ManySmall => "; all of them together, because no single process is large enough",
    }
}

/// The event of a note of the engine's.
#[must_use]
pub fn noted(note: &Note, machine: &Machine) -> Event {
    match note {
        Note::Warn(reading) => {
            let mut event = of_reading(EventKind::Warn, reading);
            event.limit_bytes = Some(reading.warn);
            event.reason = Text::format(format_args!(
                "{}, at or below warn {}; SIGTERM at {}",
                Left(reading),
                Size(reading.warn),
                Size(reading.term)
            ));
            event
        }
        Note::Recovered(reading, lasted) => {
            let mut event = of_reading(EventKind::Recovered, reading);
            event.limit_bytes = Some(reading.warn);
            event.reason = Text::format(format_args!("{}, after {:.1} s", Left(reading), lasted.as_secs_f64()));
            event
        }
        Note::Exited { victim, after, freed, reading } => {
            let mut event = of_victim(EventKind::Exited, victim, reading);
            event.signal = after.map(|(signal, _)| posix(signal));
            event.elapsed_ms = after.and_then(|(_, took)| u64::try_from(took.as_millis()).ok());
            event.freed_bytes = Some(*freed);
            event.reason = Text::format(format_args!("{}", Left(reading)));
            event
        }
        Note::SetAside { victim, reading } => {
            let mut event = of_victim(EventKind::SetAside, victim, reading);
            event.signal = Some(Posix::SIGKILL);
            event.elapsed_ms = u64::try_from(crate::decide::PATIENCE.as_millis()).ok();
            event.reason =
                Text::format(format_args!("stuck in the kernel; {}, the next in rank is taken", Left(reading)));
            event
        }
        Note::Spared { victim, reading } => {
            let mut event = of_victim(EventKind::Refused, victim, reading);
            event.reason =
                Text::format(format_args!("memory came back while it was given time to exit: {}", Left(reading)));
            event
        }
        Note::Refused(refusal, reading) => {
            let mut event = of_reading(EventKind::Refused, reading);
            let info = &machine.meminfo;
            event.reason = match refusal {
                Refusal::NobodyEligible => Text::format(format_args!(
                    "{}, but no process is eligible (`hogwatch explain` lists why)",
                    Short(reading)
                )),
                Refusal::NothingWorthKilling { largest, min_size } => Text::format(format_args!(
                    "{}, but the largest process ({}) is below victim.min_size {}; {}",
                    Short(reading),
                    Size(*largest),
                    Size(*min_size),
                    Holders(info)
                )),
                Refusal::WouldNotSuffice { together, deficit } => Text::format(format_args!(
                    "{}, but all candidates together ({}) are less than the {} missing; {}",
                    Short(reading),
                    Size(*together),
                    Size(*deficit),
                    Holders(info)
                )),
                Refusal::NoGain => Text::format(format_args!(
                    "{}, but three kills brought nothing back; pausing for 60 s; {}",
                    Short(reading),
                    Holders(info)
                )),
            };
            event
        }
    }
}

/// The guard is up.
#[must_use]
pub fn started(reading: &Reading) -> Event {
    let mut event = of_reading(EventKind::Start, reading);
    event.kind = None;
    event.cgroup = Text::new();
    event.reason = Text::format(format_args!(
        "{}; SIGTERM at {}, SIGKILL at {}",
        Left(reading),
        Size(reading.term),
        Size(reading.kill)
    ));
    event
}

/// How the machine is.
#[must_use]
pub fn state(reading: &Reading) -> Event {
    let mut event = of_reading(EventKind::State, reading);
    event.kind = None;
    event
}

fn of_victim(kind: EventKind, victim: &Victim, reading: &Reading) -> Event {
    let mut event = of_reading(kind, reading);
    event.pid = Some(victim.id.pid);
    event.comm = Text::from_bytes(victim.comm.as_bytes());
    event.uid = victim.uid;
    event.cgroup = victim.cgroup.map_or_else(Text::new, |path| Text::from_bytes(path.as_bytes()));
    event.size_bytes = Some(victim.size);
    event.swap_bytes = Some(victim.swap);
    event.oom_score_adj = victim.oom_score_adj;
    event.members = victim.group.map(|g| g.members);
    event
}

fn of_reading(kind: EventKind, reading: &Reading) -> Event {
    Event {
        kind: Some(match (reading.whose, reading.resource) {
            (Whose::Cgroup(_), _) => "cgroup_limit",
            (Whose::Machine, Resource::Memory) => "memory",
            (Whose::Machine, Resource::Swap) => "swap",
        }),
        cgroup: match &reading.whose {
            Whose::Machine => Text::new(),
            Whose::Cgroup(path) => Text::from_bytes(path.as_bytes()),
        },
        limit_bytes: Some(threshold(reading)),
        available_bytes: Some(reading.available),
        available_percent: Some(reading.available_percent()),
        ..Event::new(kind)
    }
}

/// The threshold that was crossed, or the next one.
fn threshold(reading: &Reading) -> u64 {
    match (reading.resource, reading.level) {
        (Resource::Memory, Level::Kill) => reading.kill,
        (Resource::Memory, _) => reading.term,
        (Resource::Swap, Level::Kill) => reading.swap_kill,
        (Resource::Swap, _) => reading.swap_term,
    }
}

/// `4.87 % available (1.1 GiB of 23.5 GiB)`.
struct Left<'a>(&'a Reading);

impl std::fmt::Display for Left<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Reading { available, total, swap_free, swap_total, .. } = *self.0;
        write!(f, "{:.2} % available ({} of {})", self.0.available_percent(), Size(available), Size(total))?;
        if let Whose::Cgroup(_) = self.0.whose {
            f.write_str(" under the cgroup's limit")?;
        }
        if self.0.resource == Resource::Swap {
            let percent = percent(swap_free, swap_total);
            write!(f, ", {percent:.2} % of swap free ({} of {})", Size(swap_free), Size(swap_total))?;
        }
        Ok(())
    }
}

/// [`Left`] with the threshold.
struct Short<'a>(&'a Reading);

impl std::fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match (self.0.resource, self.0.level) {
            (Resource::Memory, Level::Kill) => "kill",
            (Resource::Memory, _) => "term",
            (Resource::Swap, Level::Kill) => "swap kill",
            (Resource::Swap, _) => "swap term",
        };
        write!(f, "{}, at or below {name} {}", Left(self.0), Size(threshold(self.0)))
    }
}

/// What holds memory that no kill gives back.
struct Holders<'a>(&'a Meminfo);

impl std::fmt::Display for Holders<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let known = [
            ("shared memory and tmpfs", self.0.shmem),
            ("kernel slab", self.0.slab),
            ("huge pages", self.0.huge_pages()),
        ];
        f.write_str("memory is held by")?;
        for (i, (name, bytes)) in known.into_iter().filter_map(|(n, b)| Some((n, b?))).enumerate() {
            write!(f, "{} {name} {}", if i == 0 { "" } else { "," }, Size(bytes))?;
        }
        Ok(())
    }
}
