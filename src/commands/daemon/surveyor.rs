//! A thread that follows the cgroups: opening files and setting watches takes memory of the kernel's, and so may take
//! long where the guard's own cgroup is throttled.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::host::clock;
use crate::host::dir::Dir;
use crate::observe::cgroup_files::{CgroupFiles, Events};
use crate::observe::survey::{CgroupKey, News, SLOW_SCAN, Survey, Wants};

/// A directory's listing and inotify's events, 4 KiB each, a cgroup's path at every step, and the frames around them.
const STACK_BYTES: usize = 96 * 1024;

/// News that wait for the guard, of some 600 bytes each. When it is full the surveyor waits; the kernel keeps what it has
/// not read yet.
const QUEUE: usize = 16;

/// What the guard tells the surveyor.
enum Command {
    TakeBack(CgroupKey, CgroupFiles, Events),
    Rescope(Wants),
    Stop,
}

/// The guard's end.
#[derive(Debug)]
pub struct Surveyor {
    commands: Sender<Command>,
    news: Receiver<News>,
    /// Rung for the guard.
    bell: Arc<EventFd>,
    /// Rung for the surveyor.
    call: Arc<EventFd>,
}

impl Surveyor {
    /// Starts the thread. For the parameters see [`Survey::start`].
    ///
    /// # Errors
    /// No thread or descriptor could be had, or the topmost cgroup could not be opened.
    pub fn start(root: Dir, top: &[u8], own: &[u8], wants: Wants) -> io::Result<Self> {
        let survey = Survey::start(root, top, own, wants)?;
        // Commands have no bound: there are never more of them than cgroups that were handed out.
        let (commands, inbox) = channel();
        let (outbox, news) = sync_channel(QUEUE);
        let event_fd = || EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC).map(Arc::new);
        let (bell, call) = (event_fd()?, event_fd()?);
        let (ring, called) = (Arc::clone(&bell), Arc::clone(&call));
        thread::Builder::new()
            .name("surveyor".into())
            .stack_size(STACK_BYTES)
            .spawn(move || run(survey, &inbox, &called, &outbox, &ring))?;
        Ok(Self { commands, news, bell, call })
    }

    /// What the surveyor has to say, if anything. Ask until there is nothing more.
    #[must_use]
    pub fn news(&self) -> Option<News> {
        super::take(&self.news, &self.bell)
    }

    /// Becomes readable when there is news.
    #[must_use]
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Gives a cgroup back, with the counts of its last sample: see [`Survey::take_back`].
    pub fn take_back(&self, key: CgroupKey, files: CgroupFiles, seen: Events) {
        self.command(Command::TakeBack(key, files, seen));
    }

    /// Says what a new configuration wants.
    pub fn rescope(&self, wants: Wants) {
        self.command(Command::Rescope(wants));
    }

    fn command(&self, command: Command) {
        let _ = self.commands.send(command);
        let _ = self.call.write(1);
    }
}

impl Drop for Surveyor {
    fn drop(&mut self) {
        self.command(Command::Stop);
    }
}

fn run(mut survey: Survey, inbox: &Receiver<Command>, call: &EventFd, outbox: &SyncSender<News>, ring: &EventFd) {
    let mut sink = |news| {
        // It fails when the guard is gone; then the inbox says so too.
        if outbox.send(news).is_ok() {
            let _ = ring.write(1);
        }
    };
    let mut scanned = clock::now();
    loop {
        let _ = call.read();
        loop {
            match inbox.try_recv() {
                Ok(Command::TakeBack(key, files, seen)) => survey.take_back(key, files, &seen, &mut sink),
                Ok(Command::Rescope(wants)) => survey.rescope(wants, &mut sink),
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return,
                Err(TryRecvError::Empty) => break,
            }
        }
        survey.attend(&mut sink);
        survey.look_at_marks(&mut sink);
        let pause = survey.needs_slow_scan().then(|| (scanned + SLOW_SCAN).saturating_sub(clock::now()));
        if pause == Some(Duration::ZERO) {
            survey.slow_scan(&mut sink);
            scanned = clock::now();
        } else if wait(call, survey.fd(), [pause, survey.look_at_marks_after()].into_iter().flatten().min()).is_err() {
            return;
        }
    }
}

/// Waits for a command, for the cgroups, or for the time.
fn wait(call: &EventFd, cgroups: Option<BorrowedFd<'_>>, pause: Option<Duration>) -> io::Result<()> {
    let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
    let mut fds = [readable(call.as_fd()), readable(cgroups.unwrap_or(call.as_fd()))];
    // A millisecond more than the rest of one, or the end of the pause would be waited for in a busy loop.
    let timeout = pause.map(|pause| u16::try_from(pause.as_millis() + 1).unwrap_or(u16::MAX));
    match poll(&mut fds, timeout.map_or(PollTimeout::NONE, PollTimeout::from)) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Faults;
    use crate::observe::survey::Attention;
    use crate::observe::survey::fixture::Fixture;

    /// How long a test waits for what must come.
    const LONGEST: u16 = 10_000;

    fn next(surveyor: &Surveyor) -> News {
        loop {
            if let Some(news) = surveyor.news() {
                return news;
            }
            let rung = poll(&mut [PollFd::new(surveyor.bell(), PollFlags::POLLIN)], LONGEST).unwrap();
            assert_eq!(rung, 1, "no news");
        }
    }

    #[test]
    fn more_cgroups_than_the_queue_holds_are_all_told_and_may_be_given_back() {
        const CGROUPS: usize = 4 * QUEUE;
        let tree = Fixture::new();
        for number in 0..CGROUPS {
            tree.make(&number.to_string(), "4096\n", "max\n");
        }
        let root = Dir::open(tree.0.path()).unwrap();
        let surveyor = Surveyor::start(root, b"/", b"/", Box::new(|_| Attention::Always)).unwrap();
        let mut out = Vec::new();
        for _ in 0..CGROUPS {
            match next(&surveyor) {
                News::Stirred(stirred) => out.push(stirred),
                other => panic!("{other:?}"),
            }
        }
        surveyor.rescope(Box::new(|path| if path == b"/7" { Attention::WhenItStirs } else { Attention::No }));
        for stirred in out {
            let seen = stirred.files.sample(false, &mut Faults::default()).unwrap().events;
            tree.touch(std::str::from_utf8(&stirred.path.as_bytes()[1..]).unwrap(), 1);
            surveyor.take_back(stirred.key, stirred.files, seen);
        }
        let News::Stirred(stirred) = next(&surveyor) else { panic!("not the one whose counts moved") };
        assert_eq!(stirred.key, tree.key("7"));
        tree.remove("7");
        let gone = next(&surveyor);
        assert!(matches!(gone, News::Gone(key) if key == stirred.key), "{gone:?}");
        assert!(surveyor.news().is_none());
    }
}
