//! A child that becomes another program, and its parent: fork, the signals that the one inherits and the other forwards,
//! waiting, and what the kernel accounts.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, raise, sigaction, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{ForkResult, Pid};

/// Which of the two a fork returned to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The new process.
    Child,
    /// The old one, and the pid of the new.
    Parent(i32),
}

/// `fork(2)`, from a process that has one thread only.
///
/// # Errors
/// Those of `fork(2)`; `EBUSY` when there are other threads.
pub fn fork() -> io::Result<Side> {
    /// Links of a task directory besides those of its threads: its own and that of its parent.
    const OTHER_LINKS: u64 = 2;
    // What can't be looked up is a container without /proc, where this program does not get as far as here.
    if nix::sys::stat::stat("/proc/self/task")?.st_nlink > OTHER_LINKS + 1 {
        return Err(Errno::EBUSY.into());
    }
    // SAFETY: the child of a process with other threads may do next to nothing, because those may have held locks. There are
    // none, as was just seen, and only this thread could start one.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Child => Ok(Side::Child),
        ForkResult::Parent { child } => Ok(Side::Parent(child.as_raw())),
    }
}

/// The parent's signals, all held back and read one by one instead; and what they were before, for the child.
#[derive(Debug)]
pub struct HeldSignals {
    fd: SignalFd,
    mask_before: SigSet,
    /// Whoever started us ignores SIGCHLD, with which a parent can't wait for its children (`wait(2)`).
    children_were_ignored: bool,
}

/// A signal that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Its number. Not nix's type, which knows no real-time signals.
    pub number: i32,
    /// The kernel sent it: that is, the terminal, to all of the foreground's process group.
    pub by_kernel: bool,
    /// Who sent it, where somebody did.
    pub sender: i32,
}

impl HeldSignals {
    /// Holds back every signal but those that a process gets for its own faults.
    ///
    /// # Errors
    /// Those of `sigprocmask(2)` and `signalfd(2)`.
    pub fn hold() -> io::Result<Self> {
        let mut held = SigSet::all();
        let faults = [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGFPE, Signal::SIGILL, Signal::SIGTRAP, Signal::SIGSYS];
        faults.into_iter().chain([Signal::SIGABRT]).for_each(|fault| held.remove(fault));
        let mut mask_before = SigSet::empty();
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&held), Some(&mut mask_before))?;
        let fd = SignalFd::with_flags(&held, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        let before = set_handler(Signal::SIGCHLD, SigHandler::SigDfl)?;
        Ok(Self { fd, mask_before, children_were_ignored: matches!(before, SigHandler::SigIgn) })
    }

    /// The next signal that came, if one did.
    pub fn next(&self) -> Option<Arrived> {
        let info = self.fd.read_signal().ok().flatten()?;
        Some(Arrived {
            number: i32::try_from(info.ssi_signo).ok()?,
            by_kernel: info.ssi_code == libc::SI_KERNEL,
            sender: i32::try_from(info.ssi_pid).unwrap_or(0),
        })
    }

    /// In the child, right before it becomes the command: signals are as they were, so that one which came meanwhile acts
    /// now. But SIGPIPE is not ignored: Rust's runtime does that at the start of every program.
    ///
    /// # Errors
    /// Those of `sigaction(2)` and `sigprocmask(2)`.
    pub fn hand_back(&self) -> io::Result<()> {
        set_handler(Signal::SIGPIPE, SigHandler::SigDfl)?;
        if self.children_were_ignored {
            set_handler(Signal::SIGCHLD, SigHandler::SigIgn)?;
        }
        Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.mask_before), None)?)
    }

    /// Stops this process as the terminal's SIGTSTP (SIGTTIN, SIGTTOU) does, until somebody continues it. In a process group
    /// that nobody could continue (an orphaned one), the kernel does not stop it.
    ///
    /// # Errors
    /// Those of `sigaction(2)` and `sigprocmask(2)`.
    pub fn stop(&self, number: i32) -> io::Result<()> {
        let signal = Signal::try_from(number)?;
        let before = set_handler(signal, SigHandler::SigDfl)?;
        let mut only = SigSet::empty();
        only.add(signal);
        raise(signal)?;
        // Here it stops, and goes on.
        sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&only), None)?;
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&only), None)?;
        set_handler(signal, before)?;
        Ok(())
    }
}

impl AsFd for HeldSignals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn set_handler(signal: Signal, handler: SigHandler) -> io::Result<SigHandler> {
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: the handlers set here are SIG_DFL and SIG_IGN, or what was there before: no code of ours runs in a handler.
    let before = unsafe { sigaction(signal, &action) }?;
    Ok(before.handler())
}

/// Ends this process by the signal's own default action, so that its parent sees that; returns where that does not end it.
pub fn end_by(signal: Signal) {
    let mut only = SigSet::empty();
    only.add(signal);
    let _ = set_handler(signal, SigHandler::SigDfl).map(|_| raise(signal));
    let _ = sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&only), None);
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It exited with this status, 0 to 255.
    Exit(u8),
    /// This signal ended it.
    Signal(i32),
}

/// What a child has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It has ended, and is a zombie until [`reap`] is called.
    Ended,
    /// It was stopped by this signal. That is told once.
    Stopped(i32),
}

/// The next child that ended or stopped, if one did, and its pid.
///
/// # Errors
/// `ECHILD` when there is no child at all.
pub fn changed() -> io::Result<Option<(i32, Change)>> {
    let look = libc::WEXITED | libc::WSTOPPED | libc::WNOWAIT;
    let Some((pid, code, status)) = waitid(libc::P_ALL, 0, look)? else { return Ok(None) };
    if matches!(code, libc::CLD_EXITED | libc::CLD_KILLED | libc::CLD_DUMPED) {
        return Ok(Some((pid, Change::Ended)));
    }
    let id = libc::id_t::try_from(pid).map_err(|_| Errno::ESRCH)?;
    waitid(libc::P_PID, id, libc::WSTOPPED)?;
    Ok(Some((pid, Change::Stopped(status))))
}

/// Pid, `si_code` and `si_status` (`waitid(2)`).
fn waitid(kind: libc::idtype_t, id: libc::id_t, options: libc::c_int) -> io::Result<Option<(i32, i32, i32)>> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: the kernel fills `info`, which is large enough, or leaves it as it is.
    if unsafe { libc::waitid(kind, id, info.as_mut_ptr(), options | libc::WNOHANG) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: all zeroes is a valid siginfo_t, and pid and status are what the kernel sets in one for a child.
    let (pid, code, status) = unsafe {
        let info = info.assume_init();
        (info.si_pid(), info.si_code, info.si_status())
    };
    Ok((pid != 0).then_some((pid, code, status)))
}

/// Waits for a child that has ended: how, and the most memory it ever had resident at once, in bytes, or one of its own
/// children that it has waited for (`ru_maxrss` of `wait4(2)`).
///
/// # Errors
/// `ECHILD` when it is no child of this process, `EAGAIN` when it has not ended.
pub fn reap(pid: i32) -> io::Result<(End, u64)> {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the kernel fills both, which are large enough.
    let found = unsafe { libc::wait4(pid, &raw mut status, libc::WNOHANG, usage.as_mut_ptr()) };
    match found {
        0 => return Err(Errno::EAGAIN.into()),
        found if found < 0 => return Err(io::Error::last_os_error()),
        _ => {}
    }
    // SAFETY: all zeroes is a valid rusage, and so is what the kernel writes.
    let kilobytes = unsafe { usage.assume_init() }.ru_maxrss;
    let most = u64::try_from(kilobytes).unwrap_or(0) * 1024;
    let end = match libc::WIFSIGNALED(status) {
        true => End::Signal(libc::WTERMSIG(status)),
        // Eight bits (`exit(3)`).
        false => End::Exit(u8::try_from(libc::WEXITSTATUS(status) & 0xff).unwrap_or(u8::MAX)),
    };
    Ok((end, most))
}

/// Sends a child that was not waited for yet a signal by number, real-time signals included. It still has its pid, even as a
/// zombie.
///
/// # Errors
/// Those of `kill(2)`.
pub fn forward(pid: i32, number: i32) -> io::Result<()> {
    // SAFETY: kill takes two integers.
    if unsafe { libc::kill(Pid::from_raw(pid).as_raw(), number) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
