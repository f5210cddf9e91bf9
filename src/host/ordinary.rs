//! What a child of the daemon's does to itself before it becomes somebody else's program: the daemon is no ordinary process,
//! and nothing of that may be inherited.
//!
//! The child is hogwatch itself, started for this alone (`hogwatch hook-exec`). Between a fork and an exec it could be done
//! without, but a fork makes every page of the daemon copy-on-write until the exec: the guard would fault on them, and each
//! fault wants memory, when there is none. What std starts without such work of ours shares the daemon's memory instead.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::SigSet;

use super::dir::Dir;
use super::memory::{set_own_nice, set_own_oom_score_adj};

/// What programs expect of `RLIMIT_NOFILE`: more breaks those that use `select(2)`, or close every descriptor there may be.
const DESCRIPTORS: u64 = 1024;

/// Becomes an ordinary process: a session of its own, `/` as working directory, `oom_score_adj`, nice and I/O priority 0, the
/// usual limit of descriptors, no descriptor but stdin, stdout and stderr across the next exec, no signal blocked or
/// ignored. All of it is best effort: a plain user may not lower its `oom_score_adj`, an old kernel may lack a call.
pub fn become_ordinary(proc: &Dir) {
    let _ = nix::unistd::setsid();
    let _ = nix::unistd::chdir(c"/");
    let _ = set_own_oom_score_adj(proc, 0);
    let _ = set_own_nice(0);
    let _ = usual_io_priority();
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard.min(DESCRIPTORS), hard);
    }
    let _ = close_others_at_exec();
    default_signals();
    let _ = SigSet::empty().thread_set_mask();
}

/// `IOPRIO_CLASS_NONE`: the I/O priority follows from the nice value (`ioprio_set(2)`).
fn usual_io_priority() -> io::Result<()> {
    const IOPRIO_WHO_PROCESS: libc::c_int = 1;
    // SAFETY: ioprio_set takes three integers; who = 0 is the calling thread.
    let rc = unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, 0) };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// `close_range(2)` with `CLOSE_RANGE_CLOEXEC` (Linux 5.11). The daemon's own descriptors close at an exec anyway; whoever
/// started the daemon may have left it others.
fn close_others_at_exec() -> io::Result<()> {
    const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;
    // SAFETY: close_range takes three integers; with this flag it closes nothing now.
    let rc = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, CLOSE_RANGE_CLOEXEC) };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Ignored signals stay ignored across an exec: Rust's runtime ignores SIGPIPE, and so may whoever started the daemon.
fn default_signals() {
    /// `_NSIG` of the kernel.
    const SIGNALS: libc::c_int = 64;
    /// The kernel's own `struct sigaction`, never larger than this: all zeroes is SIG_DFL without flags. By the system call,
    /// because the C library hides two signals of its own, which its posix_spawn(3) leaves ignored.
    const DEFAULT: [u64; 8] = [0; 8];
    for signal in 1..=SIGNALS {
        let (act, set_size) = (DEFAULT.as_ptr(), size_of::<u64>());
        // SAFETY: `act` points to more than the call reads, and null is allowed for the old one. For signals that have no other
        // disposition the call fails, which changes nothing.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, act, std::ptr::null::<u64>(), set_size) };
    }
}
