//! Held directory and file handles. Reading through them allocates nothing.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::Mode;
use nix::sys::uio::pread;

/// A directory handle. Everything below it is opened relative to it, so a directory that was replaced by another of the
/// same name is noticed (`ENOENT`/`ENODEV`) instead of silently read.
#[derive(Debug)]
pub struct Dir(OwnedFd);

impl Dir {
    /// Opens a directory by path. Start-up only.
    ///
    /// # Errors
    /// Those of `open(2)`.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(open(path, DIRECTORY, Mode::empty())?))
    }

    /// Opens a directory below this one.
    ///
    /// # Errors
    /// Those of `openat(2)`; `ENOENT` or `ESRCH` when a process or cgroup is gone.
    pub fn dir(&self, name: &CStr) -> io::Result<Self> {
        Ok(Self(openat(&self.0, name, DIRECTORY, Mode::empty())?))
    }

    /// Opens a file below this one for reading, to be kept.
    ///
    /// # Errors
    /// Those of `openat(2)`.
    pub fn file(&self, name: &CStr) -> io::Result<HeldFile> {
        Ok(HeldFile(openat(&self.0, name, READ, Mode::empty())?))
    }

    /// Opens a file below this one for reading and writing, to be kept (a PSI trigger lives as long as its descriptor).
    ///
    /// # Errors
    /// Those of `openat(2)`.
    pub fn file_rw(&self, name: &CStr) -> io::Result<HeldFile> {
        Ok(HeldFile(openat(&self.0, name, OFlag::O_RDWR | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK, Mode::empty())?))
    }

    /// Reads a small file into `buf`: opens, reads, closes. Returns what was read; a file longer than `buf` is cut.
    ///
    /// # Errors
    /// Those of `openat(2)` and `read(2)`.
    pub fn read<'b>(&self, name: &CStr, buf: &'b mut [u8]) -> io::Result<&'b [u8]> {
        self.file(name)?.read(buf)
    }

    /// Writes `data` to a file below this one in one `write(2)`, as kernel files want it.
    ///
    /// # Errors
    /// Those of `openat(2)` and `write(2)`; `EIO` for a short write.
    pub fn write(&self, name: &CStr, data: &[u8]) -> io::Result<()> {
        // The kernel's files have no length to cut; what stands in for them in a fixture tree has.
        let fd = openat(&self.0, name, OFlag::O_WRONLY | OFlag::O_TRUNC | OFlag::O_CLOEXEC, Mode::empty())?;
        if nix::unistd::write(&fd, data)? == data.len() { Ok(()) } else { Err(Errno::EIO.into()) }
    }

    /// Where a symbolic link below this directory points. Allocates.
    ///
    /// # Errors
    /// Those of `readlinkat(2)`.
    pub fn link(&self, name: &CStr) -> io::Result<Vec<u8>> {
        use std::os::unix::ffi::OsStringExt;
        Ok(nix::fcntl::readlinkat(&self.0, name)?.into_vec())
    }

    /// Another handle on the same directory, for another thread.
    ///
    /// # Errors
    /// `EMFILE` when no descriptor is left.
    pub fn again(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone()?))
    }

    /// Calls `f` with the number of every entry whose name is all digits (a pid in procfs, a tid in `task/`), in the
    /// order the kernel lists them: ascending in procfs. `buf` is the caller's, so that nothing is allocated.
    ///
    /// # Errors
    /// Those of `lseek(2)` and `getdents64(2)`.
    pub fn numbers(&self, buf: &mut [u8], mut f: impl FnMut(i32)) -> io::Result<()> {
        nix::unistd::lseek(&self.0, 0, nix::unistd::Whence::SeekSet)?;
        loop {
            let filled = getdents64(self.0.as_fd(), buf)?;
            if filled == 0 {
                return Ok(());
            }
            for entry in Dirents(&buf[..filled]) {
                if let Some(number) = parse_number(entry.name) {
                    f(number);
                }
            }
        }
    }

    /// The names of the directories in this one, in no order. Allocates. Only for file systems that say what is a
    /// directory when they list (cgroupfs, tmpfs and every common one).
    ///
    /// # Errors
    /// Those of `lseek(2)` and `getdents64(2)`.
    pub fn directories(&self) -> io::Result<Vec<CString>> {
        /// Some hundred names a call.
        const BYTES: usize = 4096;
        nix::unistd::lseek(&self.0, 0, nix::unistd::Whence::SeekSet)?;
        let mut names = Vec::new();
        let mut buf = [0; BYTES];
        loop {
            let filled = getdents64(self.0.as_fd(), &mut buf)?;
            if filled == 0 {
                return Ok(names);
            }
            let directories = Dirents(&buf[..filled]).filter(|entry| entry.kind == libc::DT_DIR);
            let found = directories.map(|entry| entry.name).filter(|name| !matches!(*name, b"." | b".."));
            names.extend(found.filter_map(|name| CString::new(name).ok()));
        }
    }

    /// The inode number: of a cgroup's directory, unique since boot.
    ///
    /// # Errors
    /// Those of `fstat(2)`.
    pub fn inode(&self) -> io::Result<u64> {
        Ok(nix::sys::stat::fstat(&self.0)?.st_ino)
    }

    /// The inode number of what has this name below this directory.
    ///
    /// # Errors
    /// Those of `fstatat(2)`: `ENOENT` when there is nothing.
    pub fn inode_of(&self, name: &CStr) -> io::Result<u64> {
        Ok(nix::sys::stat::fstatat(&self.0, name, AtFlags::AT_SYMLINK_NOFOLLOW)?.st_ino)
    }

    /// The uid that owns this directory.
    ///
    /// # Errors
    /// Those of `fstat(2)`.
    pub fn owner(&self) -> io::Result<u32> {
        Ok(nix::sys::stat::fstat(&self.0)?.st_uid)
    }

    /// Whether an extended attribute is set to a true value on this directory (`user.oomd_avoid` and the like). Absent,
    /// unreadable and unsupported all mean no.
    #[must_use]
    pub fn xattr_is_true(&self, name: &CStr) -> bool {
        matches!(self.xattr(name, &mut [0; 8]), Some(b"1" | b"yes" | b"true" | b"on"))
    }

    /// The number in an extended attribute of this directory (`user.oomd_kill` and the like); `None` where there is none.
    #[must_use]
    pub fn xattr_number(&self, name: &CStr) -> Option<u64> {
        // The digits of a u64, and one more: what is longer is no number.
        std::str::from_utf8(self.xattr(name, &mut [0; 21])?).ok()?.parse().ok()
    }

    /// Sets an extended attribute of this directory, as systemd-oomd does on a cgroup's.
    #[cfg(test)]
    pub(crate) fn set_xattr(&self, name: &CStr, value: &[u8]) -> io::Result<()> {
        // SAFETY: the descriptor is open, the name is NUL-terminated, and the kernel reads `value.len()` bytes of `value`.
        let done = unsafe { libc::fsetxattr(self.0.as_raw_fd(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// An extended attribute; `None` where it is absent, unreadable, unsupported, or longer than `value`.
    fn xattr<'v>(&self, name: &CStr, value: &'v mut [u8]) -> Option<&'v [u8]> {
        // SAFETY: the descriptor is open, the name is NUL-terminated, and the kernel writes at most `value.len()` bytes
        // into a buffer of that size.
        let n = unsafe { libc::fgetxattr(self.0.as_raw_fd(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
        value.get(..usize::try_from(n).ok()?)
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A file that stays open: each read starts at its beginning again and sees the kernel's present values. On a
/// descriptor already open nothing is charged to the guard's own cgroup, so it works where an open would be throttled.
#[derive(Debug)]
pub struct HeldFile(OwnedFd);

impl HeldFile {
    /// Reads from the start into `buf`. A file longer than `buf` is cut. The files read here are each made by one call in
    /// the kernel, which fills the buffer as far as it can: less than asked for is the end, and not asking again halves
    /// the cost of a look.
    ///
    /// # Errors
    /// Those of `pread(2)`: `ESRCH` when the process behind it is gone, `ENODEV` when the cgroup is.
    pub fn read<'b>(&self, buf: &'b mut [u8]) -> io::Result<&'b [u8]> {
        let mut filled = 0;
        while filled < buf.len() {
            let offset = i64::try_from(filled).unwrap_or(i64::MAX);
            match pread(&self.0, &mut buf[filled..], offset) {
                Ok(n) if n < buf.len() - filled => {
                    filled += n;
                    break;
                }
                Ok(n) => filled += n,
                Err(Errno::EINTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(&buf[..filled])
    }

    /// Writes `data` in one `write(2)`.
    ///
    /// # Errors
    /// Those of `write(2)`.
    pub fn write(&self, data: &[u8]) -> io::Result<()> {
        nix::unistd::write(&self.0, data)?;
        Ok(())
    }
}

impl AsFd for HeldFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A path of a few components below a held directory, put together without allocating: `4242/stat`.
#[derive(Clone, Copy)]
pub struct SmallPath {
    bytes: [u8; Self::CAPACITY],
    len: usize,
}

impl SmallPath {
    /// Longest path it holds, with the closing NUL: `PID/task/TID/oom_score_adj` with ten-digit numbers is 43 bytes.
    const CAPACITY: usize = 64;

    /// `NUMBER/NAME`.
    #[must_use]
    pub fn under(number: i32, name: &str) -> Self {
        Self::build(format_args!("{number}/{name}"))
    }

    /// Any short path. What does not fit is cut, which can only lead to a file that does not exist.
    #[must_use]
    pub fn build(args: std::fmt::Arguments<'_>) -> Self {
        let mut path = Self { bytes: [0; Self::CAPACITY], len: 0 };
        let _ = std::fmt::write(&mut path, args);
        path
    }

    /// As a C string for `openat`.
    #[must_use]
    pub fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or(c"")
    }
}

impl std::fmt::Write for SmallPath {
    fn write_str(&mut self, s: &str) -> std::fmt::Result {
        let room = Self::CAPACITY - 1 - self.len;
        let n = s.len().min(room);
        self.bytes[self.len..self.len + n].copy_from_slice(&s.as_bytes()[..n]);
        self.len += n;
        if n == s.len() { Ok(()) } else { Err(std::fmt::Error) }
    }
}

const DIRECTORY: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);
const READ: OFlag = OFlag::O_RDONLY.union(OFlag::O_CLOEXEC).union(OFlag::O_NONBLOCK);

fn getdents64(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the descriptor is open and the kernel writes at most `buf.len()` bytes into `buf`.
    let n = unsafe { libc::syscall(libc::SYS_getdents64, fd.as_raw_fd(), buf.as_mut_ptr(), buf.len()) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// The entries in a buffer filled by `getdents64(2)`: records of d_ino (8 bytes), d_off (8), d_reclen (2), d_type (1) and
/// a NUL-terminated name.
struct Dirents<'a>(&'a [u8]);

struct Dirent<'a> {
    /// `DT_DIR` and its kin.
    kind: u8,
    name: &'a [u8],
}

impl<'a> Iterator for Dirents<'a> {
    type Item = Dirent<'a>;

    fn next(&mut self) -> Option<Dirent<'a>> {
        const KIND: usize = 18;
        const NAME: usize = 19;
        let reclen = usize::from(u16::from_ne_bytes(self.0.get(16..18)?.try_into().ok()?));
        let record = self.0.get(..reclen)?;
        self.0 = &self.0[reclen..];
        let name = record.get(NAME..)?.split(|b| *b == 0).next()?;
        Some(Dirent { kind: *record.get(KIND)?, name })
    }
}

fn parse_number(name: &[u8]) -> Option<i32> {
    if !name.first()?.is_ascii_digit() {
        return None;
    }
    std::str::from_utf8(name).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lists_only_all_digit_names() {
        let tree = tempfile::tempdir().unwrap();
        for name in ["1", "42", "self", "4x", "-3", "+7", "99999999999", "007"] {
            std::fs::create_dir(tree.path().join(name)).unwrap();
        }
        let mut found = Vec::new();
        // A buffer of one record's size forces many rounds.
        Dir::open(tree.path()).unwrap().numbers(&mut [0; 64], |n| found.push(n)).unwrap();
        found.sort_unstable();
        assert_eq!(found, [1, 7, 42]);
    }

    #[test]
    fn directories_lists_directories_with_any_name() {
        use std::os::unix::ffi::OsStrExt;
        let tree = tempfile::tempdir().unwrap();
        let long = "x".repeat(255);
        let names: [&[u8]; 4] = [b"a", b"new\nline", b"\xff", long.as_bytes()];
        for name in names {
            std::fs::create_dir(tree.path().join(std::ffi::OsStr::from_bytes(name))).unwrap();
        }
        std::fs::write(tree.path().join("file"), "").unwrap();
        std::os::unix::fs::symlink("a", tree.path().join("link")).unwrap();
        let mut found = Dir::open(tree.path()).unwrap().directories().unwrap();
        found.sort();
        let mut expected: Vec<_> = names.iter().map(|name| CString::new(*name).unwrap()).collect();
        expected.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_held_file_sees_new_content_each_time() {
        let tree = tempfile::tempdir().unwrap();
        let path = tree.path().join("f");
        std::fs::write(&path, "one").unwrap();
        let file = Dir::open(tree.path()).unwrap().file(c"f").unwrap();
        let mut buf = [0; 16];
        assert_eq!(file.read(&mut buf).unwrap(), b"one");
        std::fs::write(&path, "two more").unwrap();
        assert_eq!(file.read(&mut buf).unwrap(), b"two more");
        assert_eq!(file.read(&mut buf[..3]).unwrap(), b"two");
    }

    #[test]
    fn attributes_are_read_as_what_they_are() {
        let tree = tempfile::tempdir_in("/dev/shm").unwrap();
        let dir = Dir::open(tree.path()).unwrap();
        assert_eq!((dir.xattr_number(c"user.n"), dir.xattr_is_true(c"user.n")), (None, false));
        let rows: [(&[u8], Option<u64>, bool); 7] = [
            (b"1", Some(1), true),
            (b"18446744073709551615", Some(u64::MAX), false),
            (b"18446744073709551616", None, false),
            (b"-1", None, false),
            (b"", None, false),
            (b"yes", None, true),
            (b"a value longer than any number", None, false),
        ];
        for (value, number, truth) in rows {
            dir.set_xattr(c"user.n", value).expect("tmpfs takes user attributes since Linux 6.6");
            let seen = (dir.xattr_number(c"user.n"), dir.xattr_is_true(c"user.n"));
            assert_eq!(seen, (number, truth), "{}", value.escape_ascii());
        }
    }

    #[test]
    fn small_paths_are_cut_not_overrun() {
        assert_eq!(SmallPath::under(i32::MAX, "stat").as_c_str(), c"2147483647/stat");
        let long = SmallPath::build(format_args!("{}", "x".repeat(500)));
        assert_eq!(long.as_c_str().to_bytes().len(), 63);
    }
}
