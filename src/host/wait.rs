//! One epoll set for everything that may wake the guard: victims' pidfds, PSI triggers, signals, messages from the
//! reporter. It is itself one descriptor, so the async loop registers a single thing at start-up and adding a victim later
//! allocates nothing.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

/// Nobody waits longer than this: a bound for the kernel's arithmetic.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// What woke the guard. The numbers travel through the kernel as epoll data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Source {
    /// The time set by [`WaitSet::wake_after`] has come.
    Time = 0,
    /// The victim's pidfd: it exited.
    Victim = 1,
    /// The PSI trigger: tasks stall on memory.
    Pressure = 2,
    /// SIGTERM, SIGINT or SIGHUP arrived.
    Signal = 3,
    /// The errands thread has something for the guard (a new configuration).
    Errand = 4,
    /// The surveyor has news of cgroups.
    Cgroup = 5,
}

impl Source {
    fn from_data(data: u64) -> Option<Self> {
        [Self::Time, Self::Victim, Self::Pressure, Self::Signal, Self::Errand, Self::Cgroup]
            .into_iter()
            .find(|s| *s as u64 == data)
    }
}

/// The epoll set.
#[derive(Debug)]
pub struct WaitSet {
    epoll: Epoll,
    timer: TimerFd,
}

/// The sources that were ready at one look.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ready {
    bits: u64,
}

impl Ready {
    /// Whether this source was ready.
    #[must_use]
    pub fn has(self, source: Source) -> bool {
        self.bits & (1 << source as u64) != 0
    }
}

impl WaitSet {
    /// An empty set.
    ///
    /// # Errors
    /// Those of `epoll_create1(2)`.
    pub fn new() -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK)?;
        let set = Self { epoll, timer };
        set.add(set.timer.as_fd(), Source::Time)?;
        Ok(set)
    }

    /// Has [`Source::Time`] become ready after `pause`, once: to the microsecond, where the async runtime's own timers
    /// count in milliseconds and wake up several times for a long one. An earlier wish is forgotten.
    ///
    /// # Errors
    /// Those of `timerfd_settime(2)`.
    pub fn wake_after(&self, pause: Duration) -> io::Result<()> {
        // Zero would disarm the timer.
        let pause = pause.clamp(Duration::from_micros(1), LONGEST_PAUSE);
        Ok(self.timer.set(Expiration::OneShot(TimeSpec::from_duration(pause)), TimerSetTimeFlags::empty())?)
    }

    /// This set as something the async loop can wait for. Inside a tokio runtime with I/O only.
    ///
    /// # Errors
    /// No descriptor left.
    pub fn in_runtime(&self) -> io::Result<AsyncFd<OwnedFd>> {
        let fd = self.as_fd().try_clone_to_owned()?;
        // SAFETY: the AsyncFd owns the descriptor and always hands out that same one, until it is deregistered and then
        // closed on drop.
        Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?)
    }

    /// Watches a descriptor for being readable.
    ///
    /// # Errors
    /// Those of `epoll_ctl(2)`.
    pub fn add(&self, fd: impl AsFd, source: Source) -> io::Result<()> {
        let flags = match source {
            // PSI triggers report as exceptional, not as readable (Documentation/accounting/psi.rst), and edge-triggered
            // they say it once a window instead of for ever.
            Source::Pressure => EpollFlags::EPOLLPRI | EpollFlags::EPOLLET,
            Source::Time | Source::Victim | Source::Signal | Source::Errand | Source::Cgroup => EpollFlags::EPOLLIN,
        };
        Ok(self.epoll.add(fd, EpollEvent::new(flags, source as u64))?)
    }

    /// Stops watching a descriptor.
    pub fn remove(&self, fd: impl AsFd) {
        let _ = self.epoll.delete(fd);
    }

    /// What is ready now, or becomes so within `timeout`.
    #[must_use]
    pub fn ready(&self, timeout: Duration) -> Ready {
        let mut events = [EpollEvent::empty(); 8];
        let millis = u16::try_from(timeout.as_millis()).unwrap_or(u16::MAX);
        let count = self.epoll.wait(&mut events, EpollTimeout::from(millis)).unwrap_or(0);
        let bits = events[..count]
            .iter()
            .filter_map(|e| Source::from_data(e.data()))
            .fold(0, |bits, source| bits | 1 << source as u64);
        Ready { bits }
    }
}

impl AsFd for WaitSet {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}
