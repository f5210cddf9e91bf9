//! What the daemon does to itself so that it still runs when memory is gone.

use std::io;
use std::ops::Range;

use super::dir::Dir;
use super::process::{CAP_IPC_LOCK, has_capability};

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
        libc::mallopt(libc::M_MMAP_THRESHOLD, TOP_PAD / 4);
    }
}

/// Locks the daemon into memory (`mlockall(2)`), so that no page fault of the guard waits for a disk that the trouble
/// keeps busy: the whole program as it is, and whatever is touched from now on. Rehearse first: memory that was set aside
/// but never touched costs nothing and is not locked.
///
/// `needless` is code that the guard never runs: it is not made resident.
///
/// Where `RLIMIT_MEMLOCK` bounds it, only what is there now is locked: an allocation beyond the limit would fail, and end the
/// daemon, long after this has succeeded.
///
/// # Errors
/// `EPERM`/`ENOMEM` when `RLIMIT_MEMLOCK` does not allow all of it and `CAP_IPC_LOCK` is missing.
pub fn lock_all(proc: &Dir, needless: &[Range<usize>]) -> io::Result<()> {
    give_back();
    if let Ok(maps) = std::fs::read("/proc/self/maps") {
        release_dead_stack(&maps);
        touch_program(&maps, needless);
    }
    touch_stack();
    let bounded = lock_is_bounded(proc);
    let later = if bounded { 0 } else { libc::MCL_FUTURE };
    // SAFETY: mlockall takes flags only; it changes how pages are kept, not what is in them.
    let rc = unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_ONFAULT | later) };
    match rc {
        0 if bounded => Err(io::Error::from_raw_os_error(libc::ENOMEM)),
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether only so much memory may be locked (`mlock(2)`): not with `CAP_IPC_LOCK`, which is bit 14 of `CapEff`
/// (`capabilities(7)`).
fn lock_is_bounded(proc: &Dir) -> bool {
    use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
    let exempt = proc.read(c"self/status", &mut [0; 4096]).is_ok_and(|status| has_capability(status, CAP_IPC_LOCK));
    !exempt && getrlimit(Resource::RLIMIT_MEMLOCK).is_ok_and(|(soft, _)| soft != RLIM_INFINITY)
}

/// Gives back what a process that only waits from now on does not need: the heap that is free, and the code of the program
/// and its libraries, of which comes back what is used again.
pub fn shed() {
    give_back();
    let Ok(maps) = std::fs::read("/proc/self/maps") else { return };
    let code = maps.split(|b| *b == b'\n').filter_map(file_mapping).filter(|(_, _, is_code)| *is_code);
    for (start, end, _) in code {
        // SAFETY: a mapping of code, which the kernel has just named, is not written to: neither by the program nor, as it is
        // not built with text relocations, by its loader. Each page is the file's, and is read from it again when it is used.
        // No other thread could unmap it.
        unsafe { libc::madvise(std::ptr::with_exposed_provenance_mut(start), end - start, libc::MADV_DONTNEED) };
    }
}

/// Returns what the allocator holds but nobody uses (left over from reading the configuration) to the kernel.
pub(super) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim touches free memory only and may be called at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Gives back the part of this thread's stack that start-up used and the guard will not: reading the command line and
/// compiling patterns goes deeper than any step of the guard.
// Never inlined: the frame measured from must be this function's own, small one. Within a large caller's frame, `local` may
// lie further above the stack pointer than the margin.
#[inline(never)]
fn release_dead_stack(maps: &[u8]) {
    /// Below the present frame: what this function itself and the call may use.
    const MARGIN: usize = 8 * 1024;
    let local = 0_u8;
    let here = std::ptr::from_ref(&local).expose_provenance();
    let stack = maps.split(|b| *b == b'\n').filter_map(range).find(|(start, end)| (*start..*end).contains(&here));
    let Some((start, _)) = stack else { return };
    // madvise rounds the length up to whole pages, and pages may be of 16 or 64 KiB.
    let page = usize::try_from(page_size()).unwrap_or(1 << 16);
    let end = here.saturating_sub(MARGIN) / page * page;
    if end > start {
        // SAFETY: stacks grow downwards, so nothing lives below the present frame, which is a few hundred bytes, and the
        // margin; the range is part of
        // the mapping of this very stack. Its pages read as zero when they are used again.
        unsafe { libc::madvise(std::ptr::with_exposed_provenance_mut(start), end - start, libc::MADV_DONTNEED) };
    }
}

/// Reads a byte of every page of the program, so that all of it is resident. But for three parts, almost half of it:
/// - the code that is `needless`;
/// - the tables that a program reads that unwinds its stack, which this one never does (`panic = "abort"`);
/// - the C library's own code, most of which (character sets, wide characters, a printf and a scanf) nobody calls. What the
///   guard calls of it is there after its next rehearsal, or is listed here.
fn touch_program(maps: &[u8], needless: &[Range<usize>]) {
    // The linker puts each of the two at the end of its mapping.
    let left_out = [unwind_tables(), c_library()];
    let page = usize::try_from(page_size()).unwrap_or(1 << 16);
    for (start, end, is_code) in maps.split(|b| *b == b'\n').filter_map(file_mapping) {
        let whole = end;
        let end = left_out.into_iter().filter(|begin| (start..whole).contains(begin)).min().unwrap_or(whole);
        forget(end, whole);
        // Whole pages: what else is on the first and on the last is needed.
        let whole_pages =
            |range: &Range<usize>| range.start.max(start).next_multiple_of(page)..range.end.min(end) / page * page;
        let needless = || needless.iter().filter(|_| is_code).map(whole_pages).filter(|range| !range.is_empty());
        for at in (start..end).step_by(4096).filter(|at| !needless().any(|range| range.contains(at))) {
            // SAFETY: the kernel has just said that this range of our own address space is mapped from a file and
            // readable, and no other thread exists yet that could unmap it. Nothing is made of the byte.
            unsafe { std::ptr::with_exposed_provenance::<u8>(at).read_volatile() };
        }
        // Last: the kernel maps what lies around a page that is touched.
        needless().for_each(|range| forget(range.start, range.end));
    }
}

/// Has what start-up used of a file's mapping forgotten, page by whole page: what is needed again comes back when it is used,
/// and not much more.
fn forget(start: usize, end: usize) {
    /// With a page that is used the kernel maps those around it too that it has in memory, 64 KiB (`fault_around_bytes`), but
    /// none of another mapping. Parts of different advice are different mappings, so that much comes back with a page.
    const PART: usize = 16 * 1024;
    let advise = |start: usize, end: usize, advice| {
        // SAFETY: the range is code, or begins with unwinding tables and ends where their mapping ends. Linkers put both in
        // mappings that can't be written to and hold no relocations (those have segments of their own), so every page is
        // the file's, and is read from it again when it is used. The other advice is about reading ahead.
        unsafe { libc::madvise(std::ptr::with_exposed_provenance_mut(start), end - start, advice) };
    };
    let page = usize::try_from(page_size()).unwrap_or(1 << 16);
    let start = start.next_multiple_of(page);
    if start >= end {
        return;
    }
    advise(start, end, libc::MADV_DONTNEED);
    // Pages of 64 KiB are parts themselves.
    for part in (start..end).step_by(PART * 2).filter(|_| page < PART) {
        advise(part, end.min(part + PART), libc::MADV_RANDOM);
    }
}

/// Where the C library's code begins: with the first of its objects, that of its start-up code and its version. Touches the
/// functions that acts need and rehearsals do not call.
#[must_use]
pub fn c_library() -> usize {
    #[cfg(target_env = "gnu")]
    {
        for function in [libc::kill as *const (), libc::write as *const (), libc::epoll_ctl as *const ()] {
            // SAFETY: the address of a function is readable memory. Nothing is made of the byte.
            unsafe { function.cast::<u8>().read_volatile() };
        }
        (libc::gnu_get_libc_version as *const ()).expose_provenance()
    }
    #[cfg(not(target_env = "gnu"))]
    0
}

/// Where the program's tables for unwinding begin (`PT_GNU_EH_FRAME`, elf(5)); 0, which is in no mapping, where that is not
/// known.
fn unwind_tables() -> usize {
    /// Called for the program itself first, then for each library: the first is enough.
    extern "C" fn first(info: *mut libc::dl_phdr_info, _: usize, found: *mut libc::c_void) -> libc::c_int {
        // SAFETY: the caller hands over a valid record, whose headers are `dlpi_phnum` in number and mapped; and the pointer
        // that it was given itself, to a number that lives in the frame of `unwind_tables`.
        unsafe {
            let info = &*info;
            let headers = std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum));
            let table = headers.iter().find(|header| header.p_type == libc::PT_GNU_EH_FRAME);
            let begin = table.and_then(|table| usize::try_from(info.dlpi_addr.wrapping_add(table.p_vaddr)).ok());
            *found.cast::<usize>() = begin.unwrap_or(0);
        }
        1
    }
    let mut found = 0_usize;
    // SAFETY: the function is called only until it returns, with the pointer it is given here, which outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(first), std::ptr::from_mut(&mut found).cast()) };
    found
}

/// The address range that a line of `/proc/self/maps` begins with (`proc_pid_maps(5)`).
fn range(line: &[u8]) -> Option<(usize, usize)> {
    let line = std::str::from_utf8(line).ok()?;
    let (start, end) = line.split_ascii_whitespace().next()?.split_once('-')?;
    Some((usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?))
}

/// The range, if it is a readable mapping of a file, and whether it is code.
fn file_mapping(line: &[u8]) -> Option<(usize, usize, bool)> {
    let mut columns = std::str::from_utf8(line).ok()?.split_ascii_whitespace().skip(1);
    let rights = columns.next()?;
    let path = columns.nth(3)?;
    let (start, end) = range(line).filter(|_| rights.starts_with('r') && path.starts_with('/'))?;
    Some((start, end, rights.contains('x')))
}

/// Uses the stack once as deep as it will be used, so that the pages exist before they are needed.
#[inline(never)]
fn touch_stack() {
    /// A scan inside a step inside the loop, by the frame sizes of a release build, with room to spare.
    const DEPTH: usize = 40 * 1024;
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

/// Lets this process have as many descriptors as it may (`RLIMIT_NOFILE`, soft limit up to the hard one): each cgroup that
/// is sampled takes nine, and the usual 1,024 would not do for a hundred of them.
pub fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        // Best effort: with the old limit fewer cgroups are sampled at once, which the surveyor says.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_readable_mappings_of_files_are_touched() {
        let file = b"7f00000000-7f00002000 r-xp 00001000 fe:00 42   /usr/bin/hog watch";
        assert_eq!(file_mapping(file), Some((0x7f_0000_0000, 0x7f_0000_2000, true)));
        let data = b"7f00000000-7f00002000 r--p 00001000 fe:00 42   /usr/bin/hogwatch";
        assert_eq!(file_mapping(data), Some((0x7f_0000_0000, 0x7f_0000_2000, false)));
        for other in [
            "7f00000000-7f00002000 ---p 00001000 fe:00 42   /usr/bin/hogwatch",
            "7f00000000-7f00002000 rw-p 00000000 00:00 0 ",
            "7f00000000-7f00002000 r--p 00000000 00:00 0    [vvar]",
            "7f00000000 r-xp 0 0 0 /x",
            "",
        ] {
            assert_eq!(file_mapping(other.as_bytes()), None, "{other}");
        }
    }
}
