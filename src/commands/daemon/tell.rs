//! From what the engine noted and the guard did to events for the journal. Nothing here allocates.

use std::time::Duration;

use nix::sys::signal::Signal as Posix;

use crate::commands::stall::evidence;
use crate::decide::cases::{CaseEvent, CaseNote, Plan, WhyWarn};
use crate::decide::livelock::{Judged, Stall};
use crate::decide::measure::{Level, Reading, Resource, Whose, percent};
use crate::decide::rules::Rule;
use crate::decide::victim::{Exclusion, Group, GroupWhy, Refusal, Spared, Victim};
use crate::decide::{Act, Because, Note, Signal};
use crate::observe::details::Details;
use crate::observe::{CgroupPath, Machine};
use crate::report::{Escaped, Event, EventKind, Size, Text, unit_of};

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
    let mut event = match act.because {
        Because::Stuck(stall, _) => of_stuck_victim(kind, &act.victim, &stall),
        Because::AtTerm | Because::AtKill | Because::GraceOver(_) => of_victim(kind, &act.victim, &act.reading),
    };
    event.signal = Some(posix(act.signal));
    if let Some(detail) = details.and_then(|d| d.by_id(act.victim.id)) {
        event.cmdline = Text::from_bytes(detail.cmdline());
    }
    let reading = &act.reading;
    let grace = match act.because {
        Because::GraceOver(waited) => Some(waited),
        Because::Stuck(_, waited) => waited,
        Because::AtTerm | Because::AtKill => None,
    };
    let cause = std::fmt::from_fn(|f| match &act.because {
        Because::Stuck(stall, _) => {
            write!(f, "{}", evidence(stall))?;
            // The entry's own cgroup is the victim's; the limit may be further out.
            match (&reading.whose, &act.victim.cgroup) {
                (Whose::Cgroup(limited), home) if home.as_ref() != Some(limited) => {
                    write!(f, "; the limit is that of {}", name(limited))
                }
                _ => Ok(()),
            }
        }
        Because::AtTerm | Because::AtKill | Because::GraceOver(_) => write!(f, "{}", Short(reading)),
    });
    let group = act.victim.group.map(|g| group_why(&g));
    let spared = act.victim.spared_group.then_some("; alone, because its group holds a process that must not die");
    event.reason = Text::format(format_args!(
        "{cause}{}{}{}",
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
        GroupWhy::Configured => "; the whole cgroup, because target is \"cgroup\"",
        GroupWhy::ManySmall => "; all of them together, because no single process is large enough",
        GroupWhy::Several => "; so many of the largest, because one alone would not free it",
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
            if let Some((signal, took)) = after {
                say_after(&mut event, *signal, *took);
            }
            event.freed_bytes = Some(*freed);
            event.reason = Text::format(format_args!("{}", Left(reading)));
            event
        }
        Note::SetAside { victim, reading } => {
            let mut event = of_victim(EventKind::SetAside, victim, reading);
            say_after(&mut event, Signal::Kill, crate::decide::PATIENCE);
            event.reason = Text::format(format_args!(
                "probably stuck in the kernel; {}, the next in rank is taken",
                Left(reading)
            ));
            event
        }
        Note::Spared { victim, waited: _, reading } => {
            // No victim's fields: an entry that names somebody is about what was done to him.
            let mut event = of_reading(EventKind::Recovered, reading);
            event.reason = Text::format(format_args!(
                "{} (pid {}) got SIGTERM and lives, SIGKILL is not needed; {}",
                victim.comm,
                victim.id.pid,
                Left(reading)
            ));
            event
        }
        Note::Refused(refusal, reading, spared) => {
            let mut event = of_reading(EventKind::Refused, reading);
            // The one to look at, by name: a person can do what the guard may not.
            if let Some(spared) = spared {
                event.pid = Some(spared.id.pid);
                event.comm = Text::from_bytes(spared.comm.as_bytes());
                event.size_bytes = Some(spared.size);
            }
            event.reason =
                Text::format(format_args!("{}, but {}; {}", Short(reading), Why(refusal), Instead(spared, machine)));
            event
        }
    }
}

/// The event of a note on a stuck cgroup.
#[must_use]
pub fn of_case(note: &CaseNote, machine: &Machine) -> Event {
    let CaseNote { incident, path, stall, event: what } = note;
    let about = |kind| Event { cgroup: Text::from_bytes(path.as_bytes()), ..of_stall(kind, stall) };
    let mut event = match what {
        CaseEvent::Found(plan) => {
            let mut event = about(EventKind::Livelock);
            let plan = match plan {
                Plan::Kill => "its hog is to go",
                Plan::Lift => "memory.high is to be lifted",
                Plan::Warn(WhyWarn::Configured) => "nothing is done, [livelock] says \"warn\" here",
                Plan::Warn(WhyWarn::NoHigh) => "nothing is done, there is no memory.high to lift",
                Plan::Warn(WhyWarn::NotShort) => "nobody dies while memory and swap are left",
            };
            event.reason = Text::format(format_args!("{}; {plan}", evidence(stall)));
            event
        }
        CaseEvent::OomStuck => {
            let mut event = about(EventKind::OomStuck);
            event.reason = Text::format(format_args!("{}", evidence(stall)));
            event
        }
        CaseEvent::Exited { victim, after: (signal, took), freed } => {
            let mut event = of_stuck_victim(EventKind::Exited, victim, stall);
            say_after(&mut event, *signal, *took);
            event.freed_bytes = *freed;
            event.reason = Text::format(format_args!("it was in {}, which was stuck", name(path)));
            event
        }
        CaseEvent::SparedExited { victim, after } => {
            let mut event = of_stuck_victim(EventKind::Exited, victim, stall);
            say_after(&mut event, Signal::Term, *after);
            event.reason = Text::format(format_args!("it had been spared, as {} moved again", name(path)));
            event
        }
        CaseEvent::SetAside(victim) => {
            let mut event = of_stuck_victim(EventKind::SetAside, victim, stall);
            say_after(&mut event, Signal::Kill, crate::decide::PATIENCE);
            event.reason = Text::format(format_args!("probably stuck in the kernel; the next in rank is taken"));
            event
        }
        // No victim's fields: an entry that names somebody is about what was done to him.
        CaseEvent::Spared(victim) => {
            let mut event = about(EventKind::Recovered);
            event.reason = Text::format(format_args!(
                "{} (pid {}) got SIGTERM and lives, SIGKILL is not needed",
                victim.comm, victim.id.pid
            ));
            event
        }
        CaseEvent::Refused(refusal, spared) => {
            let mut event = about(EventKind::Refused);
            if let Some(spared) = spared {
                event.pid = Some(spared.id.pid);
                event.comm = Text::from_bytes(spared.comm.as_bytes());
                event.size_bytes = Some(spared.size);
            }
            let instead = Instead(spared, machine);
            event.reason = match refusal {
                // The kills were of no use; what holds the machine's memory is not the question here.
                Refusal::NoGain => Text::format(format_args!(
                    "{}, but three in a row did not free it; tried again in 60 s",
                    evidence(stall)
                )),
                Refusal::NobodyEligible => Text::format(format_args!(
                    "{}, but no process in it may be killed (`hogwatch explain --all --cgroup {}`)",
                    evidence(stall),
                    Escaped(path.as_bytes())
                )),
                _ if spared.is_some() => {
                    Text::format(format_args!("{}, but {}; {instead}", evidence(stall), Why(refusal)))
                }
                _ => Text::format(format_args!("{}, but {}", evidence(stall), Why(refusal))),
            };
            event
        }
        CaseEvent::Moves(lasted) => {
            let mut event = about(EventKind::Recovered);
            event.reason = Text::format(format_args!("stuck for {:.1} s", lasted.as_secs_f64()));
            event
        }
    };
    event.incident = Some(*incident);
    event
}

/// What people call a cgroup: its unit, or its path where it has none.
fn name(path: &CgroupPath) -> impl std::fmt::Display {
    let path = path.as_bytes();
    Escaped(if path == b"/" { b"the machine" } else { unit_of(path).unwrap_or(path) })
}

/// The exit of somebody whom the memory guard had spared.
pub fn spared_exited(victim: &Victim, after: Duration, reading: &Reading) -> Event {
    let mut event = of_victim(EventKind::Exited, victim, reading);
    say_after(&mut event, Signal::Term, after);
    event.reason = Text::format(format_args!("it had been spared; {}", Left(reading)));
    event
}

/// What it is about happened so long after this signal.
fn say_after(event: &mut Event, signal: Signal, took: Duration) {
    event.signal = Some(posix(signal));
    event.elapsed_ms = u64::try_from(took.as_millis()).ok();
}

fn of_stuck_victim(kind: EventKind, victim: &Victim, stall: &Stall) -> Event {
    let mut event = of_stall(kind, stall);
    name_victim(&mut event, victim);
    event
}

/// A stuck cgroup: its limit, and the share of the window that it stalled.
fn of_stall(kind: EventKind, stall: &Stall) -> Event {
    Event {
        kind: Some(stall.kind.name()),
        limit_bytes: stall.limit.map(Judged::bytes),
        psi_full_percent: Some(stall.stalled * 100.0),
        ..Event::new(kind)
    }
}

/// Why nobody was killed.
struct Why<'a>(&'a Refusal);

impl std::fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Refusal::NobodyEligible => f.write_str("no process may be killed (see `hogwatch explain --all`)"),
            Refusal::NothingWorthKilling { largest, min_size } => write!(
                f,
                "the largest process that may be killed ({}) is below victim.min_size {}",
                Size(*largest),
                Size(*min_size)
            ),
            Refusal::WouldNotSuffice { together, deficit } => write!(
                f,
                "all processes that may be killed ({} together) are less than the {} missing",
                Size(*together),
                Size(*deficit)
            ),
            Refusal::HogSpared => f.write_str("whoever made it stuck may not be killed, and nobody dies in its place"),
            Refusal::NoGain => f.write_str("three kills brought nothing back, pausing for 60 s"),
        }
    }
}

/// Whom or what to look at instead.
struct Instead<'a>(&'a Option<Spared>, &'a Machine);

impl std::fmt::Display for Instead<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(spared) = self.0 else { return Holders(self.1).fmt(f) };
        let why = match spared.why {
            Exclusion::Protected(Rule::Admin(n)) => {
                return write!(f, "{}, entry {} of victim.protect", spare(spared), n + 1);
            }
            Exclusion::Protected(_) => "on the built-in protect list",
            Exclusion::NeverKill => "its oom_score_adj is -1000",
            Exclusion::Omit => "ManagedOOMPreference=omit",
            Exclusion::NotPermitted => "another user's",
            Exclusion::SetAside => "it did not die of SIGKILL",
            Exclusion::Init => "pid 1",
            Exclusion::Own => "hogwatch itself",
            Exclusion::OutsideLimit => "outside the limit",
        };
        write!(f, "{}, {why}", spare(spared))
    }
}

fn spare(spared: &Spared) -> impl std::fmt::Display {
    let Spared { id, comm, size, .. } = *spared;
    std::fmt::from_fn(move |f| write!(f, "the largest is {comm} (pid {}, {}): spared", id.pid, Size(size)))
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
    name_victim(&mut event, victim);
    event
}

fn name_victim(event: &mut Event, victim: &Victim) {
    event.pid = Some(victim.id.pid);
    event.comm = Text::from_bytes(victim.comm.as_bytes());
    event.uid = victim.uid;
    event.cgroup = victim.cgroup.map_or_else(Text::new, |path| Text::from_bytes(path.as_bytes()));
    event.size_bytes = Some(victim.size);
    event.swap_bytes = Some(victim.swap);
    event.oom_score_adj = victim.oom_score_adj;
    event.members = victim.group.map(|g| g.members);
    event.whole = victim.group.is_some_and(|g| g.whole);
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

/// What holds most memory: what a kill does not give back, and what it would.
pub struct Holders<'a>(pub &'a Machine);

impl std::fmt::Display for Holders<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let info = &self.0.meminfo;
        let mut known = [
            ("anonymous memory", info.anon_pages),
            ("shared memory and tmpfs", info.shmem),
            ("kernel slab", info.slab),
            ("huge pages", info.huge_pages()),
            ("the ZFS ARC", self.0.arc.map(|arc| arc.size)),
        ];
        known.sort_unstable_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        f.write_str("most memory is held by")?;
        for (i, (name, bytes)) in known.into_iter().take(2).enumerate() {
            write!(f, "{} {name} ({})", if i == 0 { "" } else { " and" }, Size(bytes.unwrap_or(0)))?;
        }
        Ok(())
    }
}
