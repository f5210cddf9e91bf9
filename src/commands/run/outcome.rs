//! What came of the run: the exit status, what is said about it, and the report.

use std::ffi::OsString;
use std::fmt::Write;
use std::fs::File;
use std::io;
use std::time::Duration;

use crate::config::units::write_size;
use crate::host::child::End;
use crate::host::clock;
use crate::report::Size;

use super::cap::{Kind, OomCounts, Place, Tightest};
use super::not_run::NotRun;
use super::report::{self, Report};
use super::supervise::{KilledBy, Largest, Run, names};
use super::{EXIT_FAILED, say};

/// Exit status when the time was up, as timeout(1) has it.
const EXIT_TIMEOUT: u8 = 124;

/// Exit status when a signal ended the command, to which its number is added.
const EXIT_SIGNAL: u8 = 128;

/// Exit status when it was killed at the cap: as if by SIGKILL alone.
const EXIT_CAP: u8 = EXIT_SIGNAL + 9;

/// A run that has ended.
#[derive(Debug)]
pub struct Outcome {
    place: Place,
    /// None: of a command that can't be ended.
    end: Option<End>,
    not_run: Option<NotRun>,
    killed_by: Option<KilledBy>,
    peak: Option<u64>,
    stall_usec: Option<u64>,
    oom: OomCounts,
    /// Bytes in tmpfs files that stayed.
    shmem: Option<u64>,
    /// How often the limit on tasks was hit.
    task_hits: Option<u64>,
    largest: Option<Largest>,
    wall: Duration,
    /// Ctrl-C was pressed, and the command ended by it.
    pub interrupted: bool,
}

impl Outcome {
    /// Reads what there is to be read, says who goes on in the background, and removes the cgroup.
    pub fn of(mut run: Run, place: Place, command: &OsString) -> Self {
        let wall = clock::now().saturating_sub(run.began);
        let (peak, stall_usec) = (run.peak(), run.cap.as_ref().and_then(super::cap::Cap::stall_usec));
        let oom = run.cap.as_ref().map(super::cap::Cap::oom).unwrap_or_default();
        let shmem = run.cap.as_ref().and_then(super::cap::Cap::shmem);
        let task_hits = run.cap.as_ref().filter(|_| place.limits.tasks.is_some()).and_then(super::cap::Cap::task_hits);
        let left = if run.killed_by.is_none() { run.who_stays() } else { Vec::new() };
        if !left.is_empty() {
            let then = match (place.kind, place.limits.memory) {
                (_, None) => "",
                (Kind::Watched, Some(_)) => ", no longer capped",
                (Kind::Scope | Kind::Cgroup2 | Kind::Cgroup1, Some(_)) => ", under the cap still",
            };
            let go = if left.len() == 1 { "goes" } else { "go" };
            say(format_args!("{} {go} on in the background{then}", names(&left)));
        }
        if let Some(cap) = run.cap.take() {
            cap.remove();
        }
        let interrupted = run.interrupted && run.end == Some(End::Signal(libc::SIGINT)) && run.killed_by.is_none();
        let Run { end, not_run, killed_by, largest, .. } = run;
        let not_run = not_run.map(|error| NotRun::new(command, &error));
        // What a process has resident counts pages of its program and libraries too, which others may have been charged for.
        let largest =
            largest.map(|Largest { comm, bytes }| Largest { comm, bytes: peak.map_or(bytes, |p| p.min(bytes)) });
        Self { place, end, not_run, killed_by, peak, stall_usec, oom, shmem, task_hits, largest, wall, interrupted }
    }

    /// The exit status of `hogwatch run`.
    pub fn status(&self) -> u8 {
        match (&self.killed_by, &self.not_run, self.end) {
            (Some(KilledBy::Cap), ..) => EXIT_CAP,
            (Some(KilledBy::Timeout), ..) => EXIT_TIMEOUT,
            (None, Some(not_run), _) => not_run.status,
            (None, None, Some(End::Exit(status))) => status,
            (None, None, Some(End::Signal(number))) => u8::try_from(number).map_or(u8::MAX, |n| EXIT_SIGNAL + n),
            (None, None, None) => EXIT_FAILED,
        }
    }

    /// Says what must be said.
    pub fn tell(&self, command: &OsString, is_logged: bool) {
        if let Some(NotRun { why, .. }) = &self.not_run {
            say(format_args!("{}: {why}", command.display()));
        }
        if let Some(tasks) = self.place.limits.tasks.filter(|_| self.task_hits.is_some_and(|hits| hits > 0)) {
            say(format_args!("its limit of {tasks} tasks was hit"));
        }
        if self.killed_by == Some(KilledBy::Cap) {
            say(format_args!("{}", self.kill_at_the_cap()));
        }
        if is_logged {
            say(format_args!("{}", self.closing()));
        }
    }

    /// `killed at its 4 GiB cap: peak 4.0 GiB, largest task python3 3.7 GiB`
    fn kill_at_the_cap(&self) -> String {
        let own = self.place.limits.memory.map(write_size);
        let mut text = match (&self.oom.above, own) {
            (Some(Tightest { bytes, cgroup }), own) if self.oom.at_cap == 0 => {
                let cap = own.map_or(String::new(), |own| format!(", before its own cap of {own}"));
                format!("killed at the {} limit of {cgroup}{cap}", write_size(*bytes))
            }
            (_, Some(own)) => format!("killed at its {own} cap"),
            (_, None) => "killed by the kernel's OOM killer".to_owned(),
        };
        let peak = self.peak.map(|peak| format!("peak {}", Size(peak)));
        // Of less than half it would not be the reason.
        let weighs = |bytes: u64| self.peak.is_none_or(|peak| bytes >= peak / 2);
        let largest = self.largest.filter(|task| weighs(task.bytes));
        let largest = largest.map(|task| format!("largest task {} {}", task.comm, Size(task.bytes)));
        let shmem = self.shmem.filter(|bytes| weighs(*bytes));
        let shmem = shmem.map(|bytes| format!("{} still in tmpfs files", Size(bytes)));
        let evidence: Vec<String> = [peak, largest, shmem].into_iter().flatten().collect();
        if !evidence.is_empty() {
            let _ = write!(text, ": {}", evidence.join(", "));
        }
        text
    }

    fn closing(&self) -> String {
        let seconds = |span: Duration| format!("{}.{} s", span.as_secs(), span.subsec_millis() / 100);
        let cap = self.place.limits.memory.map_or(String::new(), |cap| format!(" of {}", write_size(cap)));
        let peak = self.peak.map_or("peak unknown".to_owned(), |peak| format!("peak {}{cap}", Size(peak)));
        let stalled = self
            .stall_usec
            .map_or(String::new(), |stall| format!(", {} stalled on memory", seconds(Duration::from_micros(stall))));
        let (wall, kills) = (seconds(self.wall), self.oom.kills);
        let kills = if kills == 1 { "1 OOM kill".to_owned() } else { format!("{kills} OOM kills") };
        format!("ended after {wall} with {}: {peak}{stalled}, {kills}", self.status())
    }

    /// Writes the report.
    ///
    /// # Errors
    /// Those of writing.
    pub fn report(&self, file: &File, command: &[OsString]) -> io::Result<()> {
        let Place { kind, dir, unit, limits, tightest, remarks, .. } = &self.place;
        let signal = match self.end {
            Some(End::Signal(number)) => Some(number),
            Some(End::Exit(_)) | None => None,
        };
        let killed_by = self.killed_by.as_ref().map(|by| match by {
            KilledBy::Cap => "cap",
            KilledBy::Timeout => "timeout",
        });
        let report = Report {
            cap: Some(report::Cap {
                bytes: limits.memory,
                swap_bytes: limits.swap,
                tasks: limits.tasks,
                kind: *kind,
                cgroup: dir.as_ref().map(|dir| dir.to_string_lossy().into_owned()),
                unit: unit.as_deref(),
                tightest: tightest.as_ref(),
                hit: self.oom.above.as_ref(),
            }),
            exit: self.status(),
            signal,
            killed_by,
            peak_bytes: self.peak,
            stall_usec: self.stall_usec,
            oom_kills: self.oom.kills,
            task_limit_hits: self.task_hits,
            wall_ms: u64::try_from(self.wall.as_millis()).unwrap_or(u64::MAX),
            largest_task: self.largest.map(|task| report::Largest { comm: task.comm.to_string(), bytes: task.bytes }),
            error: self.not_run.as_ref().map(|not_run| not_run.why.as_str()),
            remarks,
            ..Report::new(command)
        };
        report.write(file)
    }
}
