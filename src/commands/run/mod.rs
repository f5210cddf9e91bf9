//! `hogwatch run`: a command under a hard memory cap.
//!
//! The process that the shell sees stays outside the cap and waits (`supervise`). A child of its own puts itself under
//! the cap ([`cap::confine`]) and becomes the command (`start`).

mod args;
pub mod cap;
mod log;
mod not_run;
mod outcome;
mod report;
mod start;
mod stop;
mod supervise;
mod temporary;
mod tree;
mod watched;

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::Signal;

use crate::config::units::write_size;
use crate::host::child::{HeldSignals, end_by};
use crate::host::{clock, memory};
use crate::observe::parse::parse_meminfo;
use crate::report::Size;

pub use args::RunArgs;
use args::{Wanted, wanted};
use cap::{Cap, Kind, Place};
use outcome::Outcome;
use report::Report;
use start::Placed;
use supervise::Run;
use temporary::Temporary;
use tree::Tree;
use watched::{PERIOD, Watch};

/// Exit status for all that is hogwatch's own failure, as env(1) has it; bad options and a bad configuration too.
pub const EXIT_FAILED: u8 = 125;

/// Runs the command, and ends as it did.
#[must_use]
pub fn run(args: &RunArgs) -> ExitCode {
    if let Some(name) = &args.name {
        // Nobody has set it before.
        let _ = WHOSE.set(format!("{name}: "));
    }
    let report = match args.report.as_ref().map(|path| create(path).map_err(|e| (path, e))).transpose() {
        Ok(report) => report,
        Err((path, e)) => {
            say(format_args!("--report {}: {e}", path.display()));
            return ExitCode::from(EXIT_FAILED);
        }
    };
    let written = |result: io::Result<()>| {
        if let Err(e) = result {
            say(format_args!("the report could not be written: {e}"));
        }
    };
    match attempt(args) {
        Ok((outcome, wanted)) => {
            outcome.tell(&args.command[0], wanted.log.is_some());
            if let Some(file) = &report {
                written(outcome.report(file, &args.command));
            }
            if outcome.interrupted {
                // A shell that runs a script goes on with its next command unless it sees that.
                end_by(Signal::SIGINT);
            }
            ExitCode::from(outcome.status())
        }
        Err(why) => {
            say(format_args!("{why}"));
            if let Some(file) = &report {
                written(Report { error: Some(&why), ..Report::new(&args.command) }.write(file));
            }
            ExitCode::from(EXIT_FAILED)
        }
    }
}

/// Opens the report's file. A FIFO that nobody reads is an error (`ENXIO`), and not waited for.
fn create(path: &Path) -> io::Result<File> {
    let flags = libc::O_NONBLOCK;
    let file = OpenOptions::new().write(true).create(true).truncate(true).custom_flags(flags).open(path)?;
    // A reader that is there may take its time.
    fcntl(&file, FcntlArg::F_SETFL(OFlag::empty()))?;
    Ok(file)
}

/// From the start of the command to its end.
fn attempt(args: &RunArgs) -> Result<(Outcome, Wanted), String> {
    let wanted = wanted(args).map_err(|bad| format!("{bad}\nnothing was run"))?;
    if let Some(folder) = &wanted.kept_out_by {
        say(format_args!(
            "your own configuration is left out: {} is another user's and closed to you",
            folder.display()
        ));
    }
    if args.require_cap && wanted.limits.memory.is_none() && wanted.limits.tasks.is_none() {
        return Err("--require-cap without a cap: add --memory 4G or the like, or set memory in [run]".to_owned());
    }
    let temporary = Temporary::new(&wanted.temp_env).map_err(|e| e.to_string())?;
    set_child_subreaper(true).map_err(|e| format!("this process can't adopt what the command leaves behind: {e}"))?;
    let mut tree = Tree::open().map_err(|e| format!("/proc can't be opened: {e}"))?;
    tree.leave_out_earlier();
    let signals = HeldSignals::hold().map_err(|e| format!("signals can't be held: {e}"))?;
    let Placed { pid, mut place, lifeline, mut word, news } =
        start::start(args, &wanted, temporary.as_ref(), &signals)?;
    tree.leave_out(place.keeper);
    let is_watched = place.kind == Kind::Watched;
    let forestalled = never_met(&place, machine_bytes());
    let nested = is_watched && tree.is_within_a_run();
    let image = tree.resident(pid).unwrap_or(0);
    let cap = match is_watched {
        true => None,
        false => Some(Cap::open(&place, lifeline).map_err(|e| format!("the cgroup can't be opened: {e}"))?),
    };
    let limit = wanted.limits.memory;
    say_how(&place, &wanted, nested);
    if let Some(remark) = forestalled {
        say(format_args!("{remark}"));
        place.remarks.push(remark);
    }
    let began = clock::now();
    let mut run = Run {
        main: pid,
        signals,
        tree,
        cap,
        watch: is_watched.then(|| Watch::new(limit)),
        news: Some(news),
        limit,
        began,
        end: None,
        stopped_by: None,
        not_run: None,
        killed_by: None,
        image,
        largest: None,
        at_the_hit: None,
        interrupted: false,
        kill_is_due: None,
    };
    // What came meanwhile waits for the child until it is about to become the command, and may end it there.
    run.pass_signals_on();
    // A child that was killed by now can't be told, and is waited for like any other.
    let _ = word.write_all(b"g");
    memory::shed();
    run.supervise(&wanted);
    Ok((Outcome::of(run, place, &args.command[0]), wanted))
}

/// Bytes of memory that the machine has.
fn machine_bytes() -> Option<u64> {
    parse_meminfo(&std::fs::read("/proc/meminfo").ok()?).ok().map(|meminfo| meminfo.mem_total)
}

/// What to say of a cap that something else forestalls: a limit further up, or the end of the machine's memory.
fn never_met(place: &Place, machine: Option<u64>) -> Option<String> {
    let cap = place.limits.memory?;
    let above = match (&place.tightest, machine) {
        (Some(tight), _) if tight.bytes < cap => format!("the {} limit of {}", write_size(tight.bytes), tight.cgroup),
        (_, Some(machine)) if machine < cap => format!("this machine's {}", Size(machine)),
        _ => return None,
    };
    Some(format!("the cap of {} is above {above}: it will never be met", write_size(cap)))
}

/// Says what the user should know of the cap. `nested`: the run is within another one.
fn say_how(place: &Place, wanted: &Wanted, nested: bool) {
    let is_watched = place.kind == Kind::Watched;
    let asked = wanted.limits.memory.is_some() || wanted.limits.tasks.is_some();
    match wanted.limits.memory {
        None if wanted.uncapped_on_purpose => {}
        None => {
            say(format_args!("no cap on memory: add --memory 4G, or set memory in [run] of {}", wanted.file.display()))
        }
        // The outer one has said the rest.
        Some(limit) if is_watched && nested => {
            say(format_args!("WATCHED CAP ONLY: no cgroup enforces the {} here either", write_size(limit)));
        }
        Some(limit) if is_watched => say(format_args!(
            "WATCHED CAP ONLY: no cgroup enforces the {} here ({}): the processes are added up every {} ms and killed when \
             they are beyond it; for a cap by the kernel run it as root, or in a delegated cgroup (docs/run.md)",
            write_size(limit),
            place.remarks.join("; "),
            PERIOD.as_millis()
        )),
        Some(_) => {}
    }
    for remark in place.remarks.iter().filter(|_| asked && !is_watched) {
        say(format_args!("{remark}"));
    }
    if let Some(tasks) = wanted.limits.tasks.filter(|_| is_watched) {
        say(format_args!("the limit of {tasks} tasks is not enforced: that takes a cgroup"));
    }
}

/// Whose lines they are, where the user has named the run.
static WHOSE: OnceLock<String> = OnceLock::new();

/// Says it on stderr, which may be closed, or a pipe that is full: then its reader is given this long to go on. Without one the
/// rest is not said, for this process must end.
fn say(text: fmt::Arguments<'_>) {
    const READER: Duration = Duration::from_secs(1);
    say_within(READER, text);
}

/// The same with a patience of one's own: none at all while there is something else to see to.
fn say_within(patience: Duration, text: fmt::Arguments<'_>) {
    let until = clock::now() + patience;
    let whose = WHOSE.get().map_or("", String::as_str);
    let mut stderr = io::stderr();
    // A pipe that is ready takes so much without a wait (`pipe(7)`). Its O_NONBLOCK would be the command's too.
    for piece in format!("hogwatch: {whose}{text}\n").as_bytes().chunks(libc::PIPE_BUF) {
        let left = until.saturating_sub(clock::now());
        let ready = ppoll(&mut [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)], Some(left.into()), None);
        if ready == Ok(0) || stderr.write_all(piece).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::cap::{Limits, Tightest};
    use super::*;

    #[test]
    fn a_cap_that_can_not_be_met_is_told() {
        let mut place = Place {
            kind: Kind::Cgroup2,
            dir: None,
            pids_dir: None,
            unit: None,
            keeper: None,
            limits: Limits { memory: Some(64 << 30), ..Limits::default() },
            tightest: None,
            remarks: Vec::new(),
        };
        assert_eq!(never_met(&place, None), None);
        assert_eq!(never_met(&place, Some(64 << 30)), None);
        let told = |above: &str| Some(format!("the cap of 64 GiB is above {above}: it will never be met"));
        assert_eq!(never_met(&place, Some(47 << 29)), told("this machine's 23.5 GiB"));
        place.tightest = Some(Tightest { bytes: 8 << 30, cgroup: "/a.slice".into() });
        assert_eq!(never_met(&place, Some(47 << 29)), told("the 8 GiB limit of /a.slice"));
        place.limits.memory = Some(8 << 30);
        assert_eq!(never_met(&place, Some(47 << 29)), None);
        place.limits.memory = None;
        assert_eq!(never_met(&place, Some(1)), None);
    }
}
