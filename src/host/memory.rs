//! What the daemon does to itself so that it still runs when memory is gone.

use std::io;

use super::dir::Dir;

/// Bytes in a page.
#[must_use]
pub fn page_size() -> u64 {
    nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)
        .ok()
        .flatten()
        .and_then(|n| u64::try_from(n).ok())
        .unwrap_or(4096)
}

/// Clock ticks a second: the unit of `starttime` in `/proc/PID/stat`. 100 on every kernel since 2.6 (`USER_HZ`).
#[must_use]
pub fn ticks_per_second() -> u64 {
    nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)
        .ok()
        .flatten()
        .and_then(|n| u64::try_from(n).ok())
        .unwrap_or(100)
}

/// Makes the C allocator frugal: one arena for all threads instead of 64 MiB of address space (and, once locked, 132 KiB
/// of memory) for each, and a heap that grows in small steps. Call before the first thread is started.
pub fn frugal_allocator() {
    /// Bytes by which the heap grows at a time: four pages, against glibc's 128 KiB.
    const TOP_PAD: libc::c_int = 16 * 1024;
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt takes two integers and is called before any other thread exists.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_TOP_PAD, TOP_PAD);
        libc::mallopt(libc::M_TRIM_THRESHOLD, TOP_PAD * 4);
    }
}

/// Locks every page the daemon has now into memory (`mlockall(2)`), its program text included, so that no page fault of
/// the guard waits for a disk that the trouble keeps busy. What is mapped later (the stacks of the reporter's threads) is
/// locked as it is touched.
///
/// # Errors
/// `EPERM`/`ENOMEM` when `RLIMIT_MEMLOCK` does not allow it and `CAP_IPC_LOCK` is missing.
pub fn lock_all() -> io::Result<()> {
    for flags in [libc::MCL_CURRENT, libc::MCL_FUTURE | libc::MCL_ONFAULT] {
        // SAFETY: mlockall takes flags only; it changes how pages are kept, not what is in them.
        if unsafe { libc::mlockall(flags) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Uses the stack once as deep as it will be used, so that the pages exist before they are needed.
#[inline(never)]
pub fn touch_stack() {
    /// The kill path's deepest stack, measured at under 48 KiB in a debug build.
    const DEPTH: usize = 64 * 1024;
    let mut room = [0u8; DEPTH];
    for byte in room.iter_mut().step_by(4096) {
        *byte = 1;
    }
    std::hint::black_box(&room);
}

/// Sets `oom_score_adj` of this process (−1000..=1000, `proc(5)`): −1000 and the kernel never chooses it.
///
/// # Errors
/// `EACCES` for lowering it without `CAP_SYS_RESOURCE`.
pub fn set_own_oom_score_adj(proc: &Dir, adj: i32) -> io::Result<()> {
    let mut text = [0u8; 8];
    let len = {
        use std::io::Write;
        let mut rest = &mut text[..];
        write!(rest, "{adj}")?;
        8 - rest.len()
    };
    proc.write(c"self/oom_score_adj", &text[..len])
}

/// Raises this process's scheduling priority to `nice` (−20..=19).
///
/// # Errors
/// `EACCES`/`EPERM` without `CAP_SYS_NICE`.
pub fn set_own_nice(nice: i32) -> io::Result<()> {
    // SAFETY: setpriority takes three integers; which = PRIO_PROCESS, who = 0 is the calling process.
    let rc = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
