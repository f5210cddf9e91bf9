//! Stopping along with the command, so that a shell sees its job stopped and gives its prompt back; and being there in time
//! all the same.

use std::fs::File;
use std::io;
use std::time::Duration;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, getpgid, getpgrp, getpid, getppid};

use crate::host::child::{Side, fork};
use crate::host::clock;

use super::supervise::Run;

impl Run {
    /// If the command was stopped, and a shell may wait to see that: stops this process until somebody continues it, or until
    /// `deadline`. What fails leaves it running, which only a shell's list of jobs shows.
    pub fn stop_along(&mut self, deadline: Option<Duration>) {
        let Some(signal) = self.stopped_by else { return };
        if !self.tree.is_stopped(self.main) || !may_be_a_job(self.main, signal) {
            self.stopped_by = None;
            return;
        }
        // Who runs on can grow, and nobody else sees to that: this is asked again at the next look.
        if self.watch.is_some() && self.limit.is_some() && !self.all_are_stopped() {
            return;
        }
        self.stopped_by = None;
        let left = deadline.is_none_or(|deadline| clock::now() < deadline);
        if left && let Ok(waker) = deadline.map(Waker::start).transpose() {
            let _ = self.signals.stop(if signal == libc::SIGSTOP { libc::SIGTSTP } else { signal });
            drop(waker);
        }
    }

    fn all_are_stopped(&mut self) -> bool {
        let living = self.tree.living();
        living.iter().all(|member| self.tree.is_stopped(member.pid))
    }
}

/// Whether a shell may have the command for a job. Nobody would continue this process otherwise, so it goes on.
fn may_be_a_job(main: i32, signal: i32) -> bool {
    let by_the_terminal = match signal {
        libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU => true,
        // A shell that has a process group of its own has suspended itself. In our group anybody may have sent it, to this one
        // process, and will continue it.
        libc::SIGSTOP => getpgid(Some(Pid::from_raw(main))).is_ok_and(|group| group != getpgrp()),
        _ => false,
    };
    // It opens for who has a controlling terminal (`tty(4)`).
    by_the_terminal && File::open("/dev/tty").is_ok()
}

/// A process that continues this one, which can't look at the clock while it is stopped. Ended with it.
#[derive(Debug)]
struct Waker(Pid);

impl Waker {
    fn start(at: Duration) -> io::Result<Self> {
        /// It may have come before the stop.
        const AGAIN: Duration = Duration::from_millis(100);
        let sleeper = getpid();
        match fork()? {
            Side::Parent(pid) => Ok(Self(Pid::from_raw(pid))),
            // All signals are held here, as in the parent.
            Side::Child => {
                let _ = set_pdeathsig(Signal::SIGKILL);
                let mut due = at;
                while getppid() == sleeper {
                    match due.saturating_sub(clock::now()) {
                        Duration::ZERO => {
                            let _ = kill(sleeper, Signal::SIGCONT);
                            due = clock::now() + AGAIN;
                        }
                        left => std::thread::sleep(left),
                    }
                }
                std::process::exit(0)
            }
        }
    }
}

impl Drop for Waker {
    fn drop(&mut self) {
        // Before anybody takes it for one of the command's.
        let _ = kill(self.0, Signal::SIGKILL);
        let _ = waitpid(self.0, None);
    }
}
