//! Signals through pidfds, `process_mrelease`, and what the kernel may not have.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::signal::Signal;

/// A process held by descriptor: it names this very process for as long as the descriptor lives, however often its
/// number is reused (`pidfd_open(2)`, Linux 5.3).
#[derive(Debug)]
pub struct PidFd(OwnedFd);

impl PidFd {
    /// Opens a handle on the process that has `pid` now.
    ///
    /// # Errors
    /// `ESRCH` when there is none, `ENOSYS` before Linux 5.3, `EMFILE`/`ENFILE`/`ENOMEM` when descriptors or memory ran
    /// out, `EPERM` where a seccomp filter says so.
    pub fn open(pid: i32) -> io::Result<Self> {
        // SAFETY: pidfd_open takes two integers; a non-negative result is a descriptor that is ours alone.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        match i32::try_from(fd) {
            // SAFETY: the kernel has just handed us this descriptor, and nobody else knows it.
            Ok(fd) if fd >= 0 => Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) })),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Another handle on the same process. Allocates nothing in the kernel but a number.
    ///
    /// # Errors
    /// `EMFILE` when no descriptor is left.
    pub fn again(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone()?))
    }

    /// Sends a signal (`None`: only checks that one could).
    ///
    /// # Errors
    /// `ESRCH` when the process is gone, `EPERM`, `ENOSYS` before Linux 5.1.
    pub fn signal(&self, signal: Option<Signal>) -> io::Result<()> {
        let number = signal.map_or(0, |s| s as i32);
        // SAFETY: the descriptor is open; a null siginfo and no flags are what the manual page asks for.
        let rc = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.0.as_raw_fd(),
                number,
                std::ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
        if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Has the kernel reap the dying process's memory at once instead of when the process gets round to it
    /// (`process_mrelease(2)`, Linux 5.15). Only for a process that was sent SIGKILL: for any other it fails.
    ///
    /// # Errors
    /// `ESRCH` when it is gone already, `EINVAL` when it is not dying, `EAGAIN` when some of the memory could not be
    /// taken yet, `ENOSYS` on older kernels.
    pub fn release_memory(&self) -> io::Result<()> {
        // SAFETY: takes an open descriptor and flags.
        let rc = unsafe { libc::syscall(libc::SYS_process_mrelease, self.0.as_raw_fd(), 0) };
        if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Whether the process has exited, as `poll(2)` on a pidfd tells. Its threads are gone too then.
    #[must_use]
    pub fn has_exited(&self) -> bool {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        matches!(poll(&mut fds, PollTimeout::ZERO), Ok(n) if n > 0)
    }
}

impl AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Sends a signal by number: the fall-back of kernels without pidfds, where a reused pid can be hit in the microseconds
/// between the last look at it and the signal.
///
/// # Errors
/// Those of `kill(2)`.
pub fn signal_by_pid(pid: i32, signal: Option<Signal>) -> io::Result<()> {
    Ok(nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal)?)
}

/// What of the newer process interfaces this kernel (or the seccomp filter around us) has not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// No `pidfd_open`/`pidfd_send_signal`: signals go by number.
    pub pidfd: bool,
    /// No `process_mrelease`: memory comes back when the victim gets round to exiting.
    pub mrelease: bool,
}

impl Missing {
    /// Tries each call in a way that can do no harm.
    #[must_use]
    pub fn probe() -> Self {
        let own = PidFd::open(nix::unistd::getpid().as_raw());
        let refused =
            |e: &io::Error| matches!(Errno::from_raw(e.raw_os_error().unwrap_or(0)), Errno::ENOSYS | Errno::EPERM);
        Self {
            pidfd: match &own {
                Ok(fd) => fd.signal(None).is_err_and(|e| refused(&e)),
                Err(_) => true,
            },
            // We are not dying, so a kernel that has the call says EINVAL.
            mrelease: own.is_ok_and(|fd| fd.release_memory().is_err_and(|e| refused(&e))),
        }
    }
}

impl Missing {
    /// Whether all is there.
    #[must_use]
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.pidfd, self.mrelease) {
            (true, _) => f.write_str(
                "this kernel has no pidfds (Linux 5.3): a pid reused between the last look and the signal would be hit",
            ),
            (false, true) => f.write_str(
                "this kernel has no process_mrelease (Linux 5.15): a victim's memory comes back when it has exited by itself",
            ),
            (false, false) => f.write_str("nothing is missing"),
        }
    }
}

/// The bit of `CAP_KILL` (`capabilities(7)`, linux/capability.h).
const CAP_KILL: u32 = 5;

/// The bit of `CAP_IPC_LOCK`.
pub const CAP_IPC_LOCK: u32 = 14;

/// Whether this process may signal processes of other users: root, or `CAP_KILL`. `own_status` is `/proc/self/status`.
#[must_use]
pub fn may_signal_others(own_status: &[u8]) -> bool {
    has_capability(own_status, CAP_KILL)
}

/// Whether the capability of this bit is among those that `/proc/self/status` calls effective.
#[must_use]
pub fn has_capability(own_status: &[u8], bit: u32) -> bool {
    own_status
        .split(|b| *b == b'\n')
        .find_map(|line| line.strip_prefix(b"CapEff:"))
        .and_then(|hex| std::str::from_utf8(hex.trim_ascii()).ok())
        .and_then(|hex| u64::from_str_radix(hex, 16).ok())
        .is_some_and(|caps| caps & (1 << bit) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pidfd_outlives_its_process_and_never_names_another() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let fd = PidFd::open(i32::try_from(child.id()).unwrap()).unwrap();
        fd.signal(None).unwrap();
        assert!(!fd.has_exited());
        // Not dying: the kernel refuses to reap it (or has no such call).
        assert!(fd.release_memory().is_err());
        fd.signal(Some(Signal::SIGKILL)).unwrap();
        child.wait().unwrap();
        assert!(fd.has_exited());
        let error = fd.signal(Some(Signal::SIGKILL)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ESRCH));
    }

    #[test]
    fn cap_kill_is_bit_five() {
        assert!(may_signal_others(b"Name:\tx\nCapEff:\t0000000000000020\n"));
        assert!(may_signal_others(b"CapEff:\t000001ffffffffff\n"));
        assert!(!may_signal_others(b"CapEff:\t0000000000000000\n"));
        assert!(!may_signal_others(b"CapEff:\tzz\n"));
        assert!(!may_signal_others(b""));
    }
}
