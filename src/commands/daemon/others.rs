//! Whether the system's own guard runs: a user's guard leaves the machine's memory to it.

use std::fs::File;
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};

use crate::host::Host;
use crate::observe::cgroups;
use crate::observe::parse::parse_populated;

/// Its lock is held; or, where an ordinary user may not look at the lock, its unit's cgroup has a process in it.
#[must_use]
pub fn system_guard_runs(host: &Host) -> bool {
    const LOCK: &str = "/run/hogwatch/lock";
    match File::open(Path::new(LOCK)) {
        Ok(file) => Flock::lock(file, FlockArg::LockSharedNonblock).is_err(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => false,
        Err(_) => unit_is_populated(host),
    }
}

fn unit_is_populated(host: &Host) -> bool {
    let mut buf = [0; 128];
    host.cgroup2
        .as_ref()
        .and_then(|root| cgroups::open(root, b"/hogwatch.slice/hogwatch.service").ok())
        .and_then(|dir| dir.read(c"cgroup.events", &mut buf).ok().and_then(|text| parse_populated(text).ok()))
        .unwrap_or(false)
}
