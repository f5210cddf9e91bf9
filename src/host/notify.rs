//! inotify(7), on things that are held open: what is watched is what was opened, whatever its name means by now.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};

use super::dir::{Dir, HeldFile, SmallPath};

/// An inotify instance. It is readable when there is something to [`Notify::read`].
#[derive(Debug)]
pub struct Notify(Inotify);

/// One thing that is watched. The kernel gives a number out again only after two thousand million others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Watch(WatchDescriptor);

/// What was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A directory was made in a watched one.
    Made(Watch, Vec<u8>),
    /// A directory was removed from a watched one.
    Removed(Watch, Vec<u8>),
    /// An attribute of a watched directory itself was set: setxattr(2), chmod(2).
    Marked(Watch),
    /// A watched file was written to, or the kernel says that its content is another.
    Modified(Watch),
    /// The watch is no more: it was removed, or the file system took its file away. cgroupfs does not: there a watch on
    /// a file outlives its cgroup until it is removed.
    Ended(Watch),
    /// The queue was full (`fs.inotify.max_queued_events`): some events are lost.
    Overflow,
}

impl Notify {
    /// A new instance that watches nothing.
    ///
    /// # Errors
    /// `EMFILE`: the user has `fs.inotify.max_user_instances` of them, or the process has no descriptor left.
    pub fn new() -> io::Result<Self> {
        Ok(Self(Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?))
    }

    /// Watches a directory for directories that come and go, and for what is set on itself. Once more is the same watch.
    ///
    /// # Errors
    /// Those of `inotify_add_watch(2)`: `ENOSPC` when the user has `fs.inotify.max_user_watches` of them.
    pub fn add_dir(&self, dir: &Dir) -> io::Result<Watch> {
        let what = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_DELETE | AddWatchFlags::IN_ATTRIB;
        self.add(dir.as_fd(), what | AddWatchFlags::IN_ONLYDIR)
    }

    /// Watches a file for changes. Once more is the same watch.
    ///
    /// # Errors
    /// As [`Notify::add_dir`].
    pub fn add_file(&self, file: &HeldFile) -> io::Result<Watch> {
        self.add(file.as_fd(), AddWatchFlags::IN_MODIFY)
    }

    /// inotify knows paths only; the one below `/proc/self/fd` leads to what is open, not to what now has its name.
    fn add(&self, fd: BorrowedFd<'_>, what: AddWatchFlags) -> io::Result<Watch> {
        let path = SmallPath::build(format_args!("/proc/self/fd/{}", fd.as_raw_fd()));
        Ok(Watch(self.0.add_watch(path.as_c_str(), what)?))
    }

    /// Watches something no longer. What is in the queue from it stays there.
    pub fn remove(&self, watch: Watch) {
        // It fails only where the kernel was faster, because the file is gone.
        let _ = self.0.rm_watch(watch.0);
    }

    /// Some of what was seen, oldest first; nothing when nothing was.
    ///
    /// # Errors
    /// Those of `read(2)`.
    pub fn read(&self) -> io::Result<Vec<Event>> {
        loop {
            match self.0.read_events() {
                Ok(events) => {
                    let known: Vec<_> = events.into_iter().filter_map(Event::from_kernel).collect();
                    // None of interest is not the end of the queue.
                    if !known.is_empty() {
                        return Ok(known);
                    }
                }
                Err(Errno::EAGAIN) => return Ok(Vec::new()),
                Err(Errno::EINTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
}

impl AsFd for Notify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Event {
    fn from_kernel(event: InotifyEvent) -> Option<Self> {
        let (watch, mask, named) = (Watch(event.wd), event.mask, event.name.is_some());
        let directory = || event.name.filter(|_| mask.contains(AddWatchFlags::IN_ISDIR)).map(OsStringExt::into_vec);
        if mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
            Some(Self::Overflow)
        } else if mask.contains(AddWatchFlags::IN_IGNORED) {
            Some(Self::Ended(watch))
        } else if mask.contains(AddWatchFlags::IN_MODIFY) {
            Some(Self::Modified(watch))
        } else if mask.contains(AddWatchFlags::IN_CREATE) {
            directory().map(|name| Self::Made(watch, name))
        } else if mask.contains(AddWatchFlags::IN_DELETE) {
            directory().map(|name| Self::Removed(watch, name))
        } else if mask.contains(AddWatchFlags::IN_ATTRIB) && !named {
            // With a name it is of something in the directory, which has a watch of its own if it matters.
            Some(Self::Marked(watch))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn tells_what_happened_to_what_is_held_open_whatever_its_name_is_now() {
        let tree = tempfile::tempdir_in("/dev/shm").unwrap();
        let held = tree.path().join("held");
        std::fs::create_dir(&held).unwrap();
        std::fs::write(held.join("file"), "1").unwrap();
        let dir = Dir::open(&held).unwrap();
        let file = dir.file(c"file").unwrap();
        std::fs::rename(&held, tree.path().join("renamed")).unwrap();
        std::fs::create_dir(&held).unwrap();
        std::fs::write(held.join("file"), "another").unwrap();

        let notify = Notify::new().unwrap();
        let (in_dir, in_file) = (notify.add_dir(&dir).unwrap(), notify.add_file(&file).unwrap());
        assert_eq!(notify.add_file(&file).unwrap(), in_file, "watched twice is watched once");
        std::fs::write(held.join("file"), "the other one").unwrap();
        assert_eq!(notify.read().unwrap(), []);

        let renamed = tree.path().join("renamed");
        std::fs::write(renamed.join("a plain file"), "").unwrap();
        std::fs::create_dir(renamed.join("new\nname")).unwrap();
        std::fs::remove_dir(renamed.join("new\nname")).unwrap();
        std::fs::OpenOptions::new()
            .write(true)
            .open(renamed.join("file"))
            .and_then(|f| {
                use std::io::Write;
                (&f).write_all(b"2")
            })
            .unwrap();
        std::fs::set_permissions(renamed.join("a plain file"), Permissions::from_mode(0o600)).unwrap();
        std::fs::set_permissions(&renamed, Permissions::from_mode(0o700)).unwrap();
        let name = b"new\nname".to_vec();
        let expected = [
            Event::Made(in_dir, name.clone()),
            Event::Removed(in_dir, name),
            Event::Modified(in_file),
            Event::Marked(in_dir),
        ];
        assert_eq!(notify.read().unwrap(), expected);

        notify.remove(in_file);
        assert_eq!(notify.read().unwrap(), [Event::Ended(in_file)]);
        notify.remove(in_file);
        assert_eq!(notify.read().unwrap(), []);
    }
}
