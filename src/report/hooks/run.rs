//! One run of a hook: from its start to the last process of its cgroup or session.

use std::fs;
use std::io::{self, PipeReader};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use super::lines::{Lines, More, Sink, writer};
use super::{DEADLINE, Hook, KILL_AFTER, until};
use crate::host::process::PidFd;

/// Beyond the bound of its output, a run is read so often: it need not wait, and a flood costs nothing.
const READ_FLOOD: Duration = Duration::from_millis(100);

/// Between two looks at a child, on kernels without pidfds.
const LOOK: Duration = Duration::from_millis(50);

/// What is to be run.
pub(super) struct Order<'a> {
    pub hook: Hook,
    pub argv: &'a [String],
    pub variables: Vec<(String, String)>,
    pub incident: Option<String>,
    /// The pid of the process that a `before` hook is about.
    pub about: Option<i32>,
}

/// A run under way.
#[derive(Debug)]
pub(super) struct Run {
    pub hook: Hook,
    pub about: Option<i32>,
    program: String,
    child: Child,
    pidfd: Option<PidFd>,
    output: Option<PipeReader>,
    lines: Lines,
    incident: Option<String>,
    /// A directory of the cgroup tree that is this run's alone.
    cgroup: Option<PathBuf>,
    begun: Instant,
    ending: Ending,
    read_again: Instant,
}

/// How far its end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// It has time.
    NotYet,
    /// It got SIGTERM then.
    Asked(Instant),
    /// It got SIGKILL.
    Killed,
}

/// How a run ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub hook: Hook,
    pub about: Option<i32>,
    pub program: String,
    pub status: Option<ExitStatus>,
    /// It was ended for its deadline.
    pub overdue: bool,
    /// Its cgroup, to be removed once the last process in it is gone.
    pub cgroup: Option<PathBuf>,
}

impl Run {
    /// Starts it. std's own way to start a child shares the daemon's memory until the exec, so no page of the daemon's becomes
    /// copy-on-write; what has to be done between the two is done by `hook-exec`.
    pub fn start(order: Order<'_>, cgroup: Option<PathBuf>) -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let mut command = Command::new("/proc/self/exe");
        command.arg("hook-exec");
        if let Some(cgroup) = &cgroup {
            command.arg("--cgroup").arg(cgroup);
        }
        command.arg("--").args(order.argv).env_clear().envs(order.variables);
        command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
        let child = command.spawn()?;
        let now = Instant::now();
        Ok(Self {
            hook: order.hook,
            about: order.about,
            program: order.argv.first().cloned().unwrap_or_default(),
            pidfd: PidFd::open(pid_of(&child).as_raw()).ok(),
            child,
            output: Some(reader),
            lines: Lines::default(),
            incident: order.incident,
            cgroup,
            begun: now,
            ending: Ending::NotYet,
            read_again: now,
        })
    }

    /// What to wait for: its exit, and what it writes.
    pub fn wake_ups(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let output = self.output.as_ref().filter(|_| !self.lines.is_full());
        output.map(AsFd::as_fd).into_iter().chain(self.pidfd.as_ref().map(AsFd::as_fd))
    }

    /// How long until it wants attention by itself.
    pub fn due(&self, now: Instant) -> Duration {
        let end = match self.ending {
            Ending::NotYet => until(self.begun + DEADLINE, now),
            Ending::Asked(at) => until(at + KILL_AFTER, now),
            Ending::Killed => DEADLINE,
        };
        let flood = if self.output.is_some() && self.lines.is_full() { until(self.read_again, now) } else { end };
        let look = if self.pidfd.is_none() { LOOK } else { end };
        end.min(flood).min(look)
    }

    /// Listens, sees to its deadline; whether its process is gone.
    pub fn tend(&mut self, sink: &mut Sink, now: Instant) -> bool {
        if !self.lines.is_full() || now >= self.read_again {
            self.read(sink);
            self.read_again = now + READ_FLOOD;
        }
        match self.ending {
            Ending::NotYet if now >= self.begun + DEADLINE => {
                self.signal(Signal::SIGTERM);
                self.ending = Ending::Asked(now);
            }
            Ending::Asked(at) if now >= at + KILL_AFTER => {
                self.kill();
                self.ending = Ending::Killed;
            }
            Ending::NotYet | Ending::Asked(_) | Ending::Killed => {}
        }
        self.is_gone()
    }

    fn read(&mut self, sink: &mut Sink) {
        let Some(output) = &mut self.output else { return };
        let write = writer(sink, self.hook.name(), self.incident.as_deref());
        if self.lines.read(output, write) == More::No {
            self.output = None;
        }
    }

    /// The last of it: what it left behind is killed, what it wrote is read. Its process must be gone, or killed.
    pub fn finish(mut self, sink: &mut Sink) -> Ended {
        // Before it is waited for: until then nobody else can have its number.
        self.kill();
        self.read(sink);
        let status = self.child.try_wait().ok().flatten();
        self.lines.finish(writer(sink, self.hook.name(), self.incident.as_deref()));
        Ended {
            hook: self.hook,
            about: self.about,
            program: self.program,
            status,
            overdue: self.ending != Ending::NotYet,
            cgroup: self.cgroup,
        }
    }

    /// Whether its process has exited; it stays a zombie.
    fn is_gone(&self) -> bool {
        let how = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        !matches!(waitid(Id::Pid(pid_of(&self.child)), how), Ok(WaitStatus::StillAlive))
    }

    /// Waits until it has exited, or the deadline is over.
    pub fn await_exit(&self, deadline: Instant) {
        /// Between two looks: a killed process needs a millisecond or two.
        const LOOK: Duration = Duration::from_millis(2);
        while !self.is_gone() && Instant::now() < deadline {
            std::thread::sleep(LOOK);
        }
    }

    /// Signals its process, its session's group, and whoever else is in its cgroup.
    fn signal(&self, signal: Signal) {
        let pid = pid_of(&self.child);
        let _ = kill(pid, signal);
        let _ = kill(Pid::from_raw(-pid.as_raw()), signal);
        for other in self.cgroup.as_deref().map(members).unwrap_or_default() {
            if other != pid {
                let _ = kill(other, signal);
            }
        }
    }

    /// Kills all of them: the cgroup as a whole where the kernel can (Linux 5.14).
    pub fn kill(&self) {
        let whole = self.cgroup.as_ref().is_some_and(|cgroup| fs::write(cgroup.join("cgroup.kill"), "1").is_ok());
        if whole {
            let pid = pid_of(&self.child);
            let _ = kill(pid, Signal::SIGKILL);
            let _ = kill(Pid::from_raw(-pid.as_raw()), Signal::SIGKILL);
        } else {
            self.signal(Signal::SIGKILL);
        }
    }
}

fn pid_of(child: &Child) -> Pid {
    // A pid is a positive i32 to the kernel; std has it as u32.
    Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX))
}

/// Who is in a cgroup.
fn members(cgroup: &Path) -> Vec<Pid> {
    let text = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    // 0 is a process outside our PID namespace, and to kill(2) our own group.
    text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0).map(Pid::from_raw).collect()
}
