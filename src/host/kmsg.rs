//! The kernel's log as it is written: `/dev/kmsg` (Documentation/ABI/testing/dev-kmsg).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, SFlag, fstat, major, minor};
use nix::unistd::{Whence, lseek, read};

/// Room for one record: the kernel's CONSOLE_EXT_LOG_MAX (8 KiB), which no record exceeds with all its escapes.
pub const RECORD_BYTES: usize = 8192;

/// The device's numbers (Documentation/admin-guide/devices.txt): containers put other things under its name.
const DEVICE: (u64, u64) = (1, 11);

/// The kernel's log, from the moment it was opened on.
#[derive(Debug)]
pub struct KernelLog(OwnedFd);

/// What a look at the log gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next<'b> {
    /// A record, as the kernel hands it out.
    Record(&'b [u8]),
    /// Records were overwritten before they were read (`EPIPE`); the next look goes on behind the gap.
    Lost,
    /// There is no more now.
    Nothing,
}

impl KernelLog {
    /// Opens it, behind everything that was written so far.
    ///
    /// # Errors
    /// Those of `open(2)`: `EPERM` without `CAP_SYSLOG` where `kernel.dmesg_restrict` is 1 or the unit forbids the device,
    /// `ENOENT` in containers; `ENODEV` where something else has its name.
    pub fn open() -> io::Result<Self> {
        let fd =
            open("/dev/kmsg", OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY, Mode::empty())?;
        let stat = fstat(&fd)?;
        let is_device = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFCHR;
        if !is_device || (major(stat.st_rdev), minor(stat.st_rdev)) != DEVICE {
            return Err(Errno::ENODEV.into());
        }
        lseek(&fd, 0, Whence::SeekEnd)?;
        Ok(Self(fd))
    }

    /// The next record, without waiting. `buf` should hold [`RECORD_BYTES`].
    ///
    /// # Errors
    /// Those of `read(2)`.
    pub fn next<'b>(&self, buf: &'b mut [u8]) -> io::Result<Next<'b>> {
        loop {
            match read(&self.0, buf) {
                Ok(len) => return Ok(Next::Record(&buf[..len])),
                Err(Errno::EAGAIN) => return Ok(Next::Nothing),
                Err(Errno::EPIPE) => return Ok(Next::Lost),
                Err(Errno::EINTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
}

impl AsFd for KernelLog {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
