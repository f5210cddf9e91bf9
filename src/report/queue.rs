//! The bounded queue from the guard to one reporter thread.
//!
//! Neither std's channels nor a lock that the reader could hold while it is stuck: std's bounded channel takes, on
//! every send, a lock under which the receiver allocates, and a thread in a throttled cgroup may sleep right there.
//! Here the writer takes a slot's lock only while the slot is free, when by the indices nobody else wants it, and
//! only with `try_lock`.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, TryLockError};
use std::time::{Duration, SystemTime};
use std::{io, iter};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::event::{Event, EventKind};

/// An event and the moment it was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub at: SystemTime,
    pub event: Event,
}

/// A ring of slots for one writer and one reader.
#[derive(Debug)]
pub(super) struct Queue {
    slots: Box<[Mutex<Sent>]>,
    /// Events ever written; slot number modulo the length.
    written: AtomicUsize,
    /// Events ever read.
    read: AtomicUsize,
    /// Events that found no room since the last [`Queue::take_dropped`].
    dropped: AtomicU64,
    wake: EventFd,
}

impl Queue {
    /// All memory it will ever need is taken here. `slots` must be a power of two, so that the counters may wrap.
    pub fn new(slots: usize) -> io::Result<Self> {
        assert!(slots.is_power_of_two());
        let empty = Sent { at: SystemTime::UNIX_EPOCH, event: Event::new(EventKind::State) };
        Ok(Self {
            slots: iter::repeat_with(|| Mutex::new(empty)).take(slots).collect(),
            written: AtomicUsize::new(0),
            read: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            wake: EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?,
        })
    }

    /// Writer's side: never waits, never allocates. What finds no room is counted and gone: then it is false.
    pub fn push(&self, at: SystemTime, event: &Event) -> bool {
        let written = self.written.load(Ordering::Relaxed);
        let waiting = written.wrapping_sub(self.read.load(Ordering::Acquire));
        let stored = waiting < self.slots.len() && self.store(written, at, event);
        if stored {
            self.written.store(written.wrapping_add(1), Ordering::Release);
        } else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        self.wake();
        stored
    }

    fn store(&self, index: usize, at: SystemTime, event: &Event) -> bool {
        let mut slot = match self.slots[index % self.slots.len()].try_lock() {
            Ok(slot) => slot,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        slot.at = at;
        slot.event = *event;
        true
    }

    /// How many more find room now; the reader may only make it more.
    pub fn room(&self) -> usize {
        let waiting = self.written.load(Ordering::Relaxed).wrapping_sub(self.read.load(Ordering::Acquire));
        self.slots.len().saturating_sub(waiting)
    }

    /// Reader's side: the oldest event, if there is one.
    pub fn pop(&self) -> Option<Sent> {
        if self.is_empty() {
            return None;
        }
        let read = self.read.load(Ordering::Relaxed);
        let slot = &self.slots[read % self.slots.len()];
        let sent = *slot.lock().unwrap_or_else(PoisonError::into_inner);
        self.read.store(read.wrapping_add(1), Ordering::Release);
        Some(sent)
    }

    /// Reader's side: whether nothing waits to be read.
    pub fn is_empty(&self) -> bool {
        self.read.load(Ordering::Relaxed) == self.written.load(Ordering::Acquire)
    }

    /// Counts one as lost that never came this far.
    pub fn drop_one(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// How many events were lost since the last call.
    pub fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }

    /// Makes the reader's [`Queue::wait`] return.
    pub fn wake(&self) {
        // Fails only when the counter is at its maximum, and then the reader is awake already (eventfd(2)).
        let _ = self.wake.write(1);
    }

    /// Reader's side: waits until something was pushed or [`Queue::wake`] was called, or for so long.
    pub fn wait(&self, limit: Option<Duration>) {
        poll_ready(&mut [PollFd::new(self.wake.as_fd(), PollFlags::POLLIN)], limit);
        self.clear_wake();
    }

    /// What to poll for, where [`Queue::wait`] is not enough.
    pub fn wake_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Takes back the wake-ups so far; call it before [`Queue::pop`], never after.
    pub fn clear_wake(&self) {
        // EAGAIN: nobody woke us.
        let _ = self.wake.read();
    }
}

/// Polls; whether any descriptor is ready. An interruption counts as "nothing ready": every caller looks again.
pub(super) fn poll_ready(fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> bool {
    let timeout = match timeout {
        None => PollTimeout::NONE,
        // Rounded up: a wait of less than a millisecond must not become a busy loop.
        Some(wait) => PollTimeout::try_from(wait.as_millis().saturating_add(1)).unwrap_or(PollTimeout::MAX),
    };
    poll(fds, timeout).is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::thread;

    fn numbered(pid: i32) -> Event {
        Event { pid: Some(pid), ..Event::new(EventKind::Warn) }
    }

    #[test]
    fn first_in_first_out_and_the_surplus_is_counted() {
        let queue = Queue::new(4).unwrap();
        for round in 0..3 {
            for pid in 0..6 {
                queue.push(SystemTime::now(), &numbered(round * 10 + pid));
            }
            let pids: Vec<_> = iter::from_fn(|| queue.pop()).map(|sent| sent.event.pid).collect();
            let first = round * 10;
            assert_eq!(pids, [Some(first), Some(first + 1), Some(first + 2), Some(first + 3)]);
            assert_eq!(queue.take_dropped(), 2);
            assert_eq!(queue.take_dropped(), 0);
        }
    }

    #[test]
    fn a_slot_held_by_the_reader_is_a_drop_and_not_a_wait() {
        let queue = Queue::new(4).unwrap();
        let held = queue.slots[0].lock().unwrap();
        queue.push(SystemTime::now(), &numbered(1));
        drop(held);
        assert!(queue.pop().is_none());
        assert_eq!(queue.take_dropped(), 1);
    }

    #[test]
    fn across_threads_everything_arrives_in_order_or_is_counted() {
        const EVENTS: i32 = 20_000;
        let queue = Arc::new(Queue::new(16).unwrap());
        let writer = thread::spawn({
            let queue = Arc::clone(&queue);
            move || {
                for pid in 1..=EVENTS {
                    queue.push(SystemTime::now(), &numbered(pid));
                }
                // Once all is read there is room: the end is not lost.
                while !queue.is_empty() {
                    thread::yield_now();
                }
                queue.push(SystemTime::now(), &Event::new(EventKind::Stop));
            }
        });
        let (mut seen, mut last) = (0_u64, 0);
        'reading: loop {
            queue.wait(None);
            while let Some(sent) = queue.pop() {
                let Some(pid) = sent.event.pid else { break 'reading };
                assert!(pid > last, "{pid} after {last}");
                (seen, last) = (seen + 1, pid);
            }
        }
        writer.join().unwrap();
        assert_eq!(seen + queue.take_dropped(), u64::try_from(EVENTS).unwrap());
    }
}
