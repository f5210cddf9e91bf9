//! A process that does nothing but be there, for as long as another lives.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Starts a process that ends when the last writing end of the pipe `lifeline` is closed. It holds no other descriptor, and
/// no signal but SIGKILL and SIGSTOP reaches it: a Ctrl-C is for the command, whose terminal and process group it shares. Its
/// parent is the caller's parent, so that a command which the caller becomes has no child it does not know.
///
/// # Errors
/// Those of `clone3(2)`; `ENOSYS` before Linux 5.3, `EINVAL` for the first process of a PID namespace.
pub fn start(lifeline: BorrowedFd<'_>) -> io::Result<i32> {
    let args = libc::clone_args {
        flags: u64::from(libc::CLONE_PARENT.unsigned_abs()),
        pidfd: 0,
        child_tid: 0,
        parent_tid: 0,
        // With CLONE_PARENT the kernel takes the caller's own, and wants none here.
        exit_signal: 0,
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: 0,
    };
    // What it would share until it ends.
    super::memory::give_back();
    // SAFETY: without CLONE_VM and with no stack given this is fork(2): the new process goes on here with a copy of all memory.
    // It calls nothing that needs the C library's knowledge of itself, which clone3 does not bring up to date (the thread's
    // id), or a lock that a thread which it has not may hold (the allocator's): only plain system calls, until it ends.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>()) };
    match i32::try_from(pid) {
        Ok(0) => keep(lifeline.as_raw_fd()),
        Ok(pid) if pid > 0 => Ok(pid),
        _ => Err(io::Error::last_os_error()),
    }
}

/// What the keeper does.
fn keep(lifeline: libc::c_int) -> ! {
    /// Where `close_range(2)` is missing (Linux 5.9): more than a command line's tools open.
    const DESCRIPTORS: libc::c_int = 1024;
    // SAFETY: system calls that take integers, and pointers to variables that outlive them. Nobody else is in this process:
    // the descriptors that are closed here are nobody's, and no code but this runs any more.
    unsafe {
        let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigfillset(all.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, all.as_ptr(), std::ptr::null_mut());
        libc::prctl(libc::PR_SET_NAME, c"hogwatch-keeper".as_ptr());
        libc::dup2(lifeline, 0);
        if libc::syscall(libc::SYS_close_range, 1, libc::c_uint::MAX, 0) != 0 {
            for fd in 1..DESCRIPTORS {
                libc::close(fd);
            }
        }
        // Nobody writes: a byte would be as good as the end.
        let mut byte = 0_u8;
        while libc::read(0, (&raw mut byte).cast(), 1) < 0 && *libc::__errno_location() == libc::EINTR {}
        libc::_exit(0)
    }
}
