//! Killing all of a cgroup where the kernel can't.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use nix::sys::signal::Signal;

use crate::host::process::signal_by_pid;

use super::super::tree;

/// Sends SIGKILL to each process of a cgroup and of those below, until there is nobody new.
///
/// # Errors
/// When the processes can't be listed.
pub(super) fn one_by_one(dir: &Path) -> io::Result<()> {
    /// Who forks faster than this is not to be had in one go.
    const ROUNDS: usize = 64;
    let mut killed = BTreeSet::new();
    let mut pids = Vec::new();
    for _ in 0..ROUNDS {
        pids.clear();
        tree::processes(dir, &mut pids)?;
        let new: Vec<i32> = pids.iter().copied().filter(|pid| killed.insert(*pid)).collect();
        if new.is_empty() {
            break;
        }
        for pid in new {
            // Gone already, or somebody else's: the caller sees who is left.
            let _ = signal_by_pid(pid, Some(Signal::SIGKILL));
        }
    }
    Ok(())
}
