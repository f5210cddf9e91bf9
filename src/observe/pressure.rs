//! A PSI trigger: the kernel wakes the guard when tasks stall on memory, however long it meant to sleep
//! (Documentation/accounting/psi.rst).

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use crate::host::dir::{Dir, HeldFile};

/// Some task stalled for a tenth of a second in a second. Trouble that approaches shows long before; ordinary reclaim
/// does not come near.
const PRIVILEGED: &[u8] = b"some 100000 1000000\0";

/// Without CAP_SYS_RESOURCE windows must be whole 2 s (Linux 6.4).
const ORDINARY: &[u8] = b"some 200000 2000000\0";

/// A trigger, which lives as long as its descriptor.
#[derive(Debug)]
pub struct Trigger(HeldFile);

impl Trigger {
    /// Sets a trigger on the machine's memory pressure.
    ///
    /// # Errors
    /// `ENOENT`/`EOPNOTSUPP` without PSI, `EPERM`/`EACCES`/`EINVAL` where this user may have none.
    pub fn set(proc: &Dir, privileged: bool) -> io::Result<Self> {
        let set = |text: &[u8]| {
            let file = proc.file_rw(c"pressure/memory")?;
            file.write(text)?;
            io::Result::Ok(Self(file))
        };
        match privileged.then(|| set(PRIVILEGED)) {
            Some(Ok(trigger)) => Ok(trigger),
            _ => set(ORDINARY),
        }
    }
}

impl AsFd for Trigger {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
