//! `/proc/PID/status`: owner and exact memory of a process.

use super::text::{kilobytes, lines, split_once, unsigned, words};
use super::{FileKind, Malformed, State};

/// The lines of `/proc/PID/status` that hogwatch uses; sizes in bytes. Meaning: `proc_pid_status(5)`. The name is not
/// among them: there it is escaped, [`parse_stat`](super::parse_stat) has it as it is.
///
/// Memory is absent for kernel threads, and for zombies: also for a zombie leader whose threads still hold memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// What the leader is doing.
    pub state: State,
    /// The process (thread group); 0 while it is being reaped.
    pub tgid: i32,
    /// Real user.
    pub uid_real: u32,
    /// Effective user.
    pub uid_effective: u32,
    /// Threads.
    pub threads: u32,
    /// Memory locked by `mlock`.
    pub vm_lck: Option<u64>,
    /// Resident memory: the three parts below.
    pub vm_rss: Option<u64>,
    /// Resident anonymous memory. Linux ≥ 4.5.
    pub rss_anon: Option<u64>,
    /// Resident file mappings. Linux ≥ 4.5.
    pub rss_file: Option<u64>,
    /// Resident shared memory and tmpfs mappings. Linux ≥ 4.5.
    pub rss_shmem: Option<u64>,
    /// Anonymous memory swapped out.
    pub vm_swap: Option<u64>,
}

/// Reads `/proc/PID/status` up to its `Threads:` line, the last one wanted.
///
/// # Errors
/// When `State`, `Tgid`, `Uid` or `Threads` is absent or unreadable, or a memory line is unreadable. `Threads` stands
/// behind the memory, so a process cannot hide its memory behind a `Groups:` line too long for the buffer (65,536
/// groups make 700 KB): that is an error here, and the caller falls back on `statm`.
pub fn parse_status(bytes: &[u8]) -> Result<Status, Malformed> {
    const FILE: FileKind = FileKind::Status;
    let (mut state, mut tgid, mut uids) = (None, None, None);
    let (mut vm_lck, mut vm_rss, mut vm_swap) = (None, None, None);
    let (mut rss_anon, mut rss_file, mut rss_shmem) = (None, None, None);
    for line in lines(bytes) {
        let Some((key, value)) = split_once(line, b':') else {
            continue;
        };
        let (name, size) = match key {
            b"State" => {
                state = words(value).next().and_then(|word| word.first().copied());
                continue;
            }
            b"Tgid" => {
                tgid = unsigned(value.trim_ascii());
                continue;
            }
            b"Uid" => {
                uids = real_and_effective(value);
                continue;
            }
            b"VmLck" => ("VmLck", &mut vm_lck),
            b"VmRSS" => ("VmRSS", &mut vm_rss),
            b"RssAnon" => ("RssAnon", &mut rss_anon),
            b"RssFile" => ("RssFile", &mut rss_file),
            b"RssShmem" => ("RssShmem", &mut rss_shmem),
            b"VmSwap" => ("VmSwap", &mut vm_swap),
            b"Threads" => {
                let (uid_real, uid_effective) = uids.ok_or(FILE.unreadable("Uid"))?;
                return Ok(Status {
                    state: state.map(State::from).ok_or(FILE.unreadable("State"))?,
                    tgid: tgid.ok_or(FILE.unreadable("Tgid"))?,
                    uid_real,
                    uid_effective,
                    threads: unsigned(value.trim_ascii()).ok_or(FILE.unreadable("Threads"))?,
                    vm_lck,
                    vm_rss,
                    rss_anon,
                    rss_file,
                    rss_shmem,
                    vm_swap,
                });
            }
            _ => continue,
        };
        *size = Some(kilobytes(value).ok_or(FILE.unreadable(name))?);
    }
    Err(FILE.missing("Threads"))
}

fn real_and_effective(value: &[u8]) -> Option<(u32, u32)> {
    let mut ids = words(value);
    Some((unsigned(ids.next()?)?, unsigned(ids.next()?)?))
}
