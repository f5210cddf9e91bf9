//! The one clock of the daemon.

use std::time::{Duration, SystemTime};

use nix::time::{ClockId, clock_gettime};

/// Time on `CLOCK_MONOTONIC`. It does not jump when somebody sets the date, and stands still while the machine sleeps:
/// a grace period must not run out in a closed laptop.
#[must_use]
pub fn now() -> Duration {
    // clock_gettime(2) fails only for an unknown clock or a bad pointer; neither can happen here.
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}

/// Time since boot, the time asleep included (`CLOCK_BOOTTIME`): it does not jump either, and the difference of two is the
/// difference of their dates.
#[must_use]
pub fn since_boot() -> Duration {
    // As above.
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
}

/// Seconds that local time is ahead of UTC at `at`, for the clock on a terminal.
#[must_use]
pub fn utc_offset(at: SystemTime) -> i32 {
    let seconds = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let seconds = libc::time_t::try_from(seconds).unwrap_or(0);
    let mut parts = std::mem::MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are valid for the call; localtime_r fills the struct, or returns null where it could not.
    let filled = unsafe { libc::localtime_r(&seconds, parts.as_mut_ptr()) };
    if filled.is_null() {
        return 0;
    }
    // SAFETY: localtime_r has filled it.
    let offset = unsafe { parts.assume_init() }.tm_gmtoff;
    i32::try_from(offset).unwrap_or(0)
}
