//! What the kernel's log tells of an incident, on its way from who reads the log to who writes the incident down.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use nix::sys::eventfd::{EfdFlags, EventFd};

use super::schema::{KernelLine, KernelReport};
use crate::report::Event;

/// Reports that wait: the kernel kills one after another, each a report, and a disk that is busy with the same shortage may
/// keep the reader for seconds.
const QUEUE: usize = 8;

/// Something richer than a journal entry. It is boxed where it is heard, and whoever passes it on passes on the box: to
/// free memory takes the allocator's lock, which another thread may hold while it waits for a page.
#[derive(Clone, Debug, PartialEq)]
pub enum Evidence {
    /// The kernel's OOM killer killed.
    KernelOom(Box<KernelOom>),
    /// A line that belongs to whatever is going on: a hung task.
    KernelLine(Box<KernelLine>),
}

/// A kill of the kernel's.
#[derive(Clone, Debug, PartialEq)]
pub struct KernelOom {
    /// What is said of it; its incident is the report's too.
    pub event: Event,
    /// What the kernel said.
    pub report: KernelReport,
}

/// The sending end.
#[derive(Clone, Debug)]
pub struct EvidenceSender {
    queue: SyncSender<Evidence>,
    bell: Arc<EventFd>,
    dropped: Arc<AtomicU64>,
}

impl EvidenceSender {
    /// Hands it over. Never blocks, allocates or frees; what finds no room is counted, and said in a remark of the history
    /// thread's.
    ///
    /// # Errors
    /// There was no room: this is what was to be handed over.
    pub fn send(&self, evidence: Evidence) -> Result<(), Evidence> {
        let sent =
            self.queue.try_send(evidence).map_err(|(TrySendError::Full(back) | TrySendError::Disconnected(back))| {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                back
            });
        // Fails only when the counter is at its maximum, and then the reader is awake already (eventfd(2)).
        let _ = self.bell.write(1);
        sent
    }
}

/// The receiving end.
#[derive(Debug)]
pub struct EvidenceInbox {
    queue: Receiver<Evidence>,
    bell: Arc<EventFd>,
    dropped: Arc<AtomicU64>,
}

impl EvidenceInbox {
    /// The oldest that waits, if there is one.
    #[must_use]
    pub fn take(&self) -> Option<Evidence> {
        self.queue.try_recv().ok()
    }

    /// How many found no room since the last call.
    #[must_use]
    pub fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }

    /// Becomes readable when something was sent.
    #[must_use]
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Silences the bell; call it before [`EvidenceInbox::take`], never after.
    pub fn clear_bell(&self) {
        // EAGAIN: nobody rang.
        let _ = self.bell.read();
    }
}

/// Both ends.
///
/// # Errors
/// No descriptor could be had.
pub fn channel() -> io::Result<(EvidenceSender, EvidenceInbox)> {
    let (sender, queue) = sync_channel(QUEUE);
    let bell = Arc::new(EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?);
    let dropped = Arc::new(AtomicU64::new(0));
    let inbox = EvidenceInbox { queue, bell: Arc::clone(&bell), dropped: Arc::clone(&dropped) };
    Ok((EvidenceSender { queue: sender, bell, dropped }, inbox))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(t_ms: u64) -> Evidence {
        let text = "INFO: task dd:7 blocked for more than 120 seconds.".into();
        Evidence::KernelLine(Box::new(KernelLine { t_ms, text }))
    }

    #[test]
    fn what_finds_no_room_is_counted_and_given_back_and_nobody_waits() {
        let (sender, inbox) = channel().unwrap();
        for t_ms in 0..QUEUE as u64 + 3 {
            let expected = if t_ms < QUEUE as u64 { Ok(()) } else { Err(line(t_ms)) };
            assert_eq!(sender.send(line(t_ms)), expected);
        }
        assert_eq!(inbox.take_dropped(), 3);
        assert_eq!(inbox.take_dropped(), 0);
        inbox.clear_bell();
        for t_ms in 0..QUEUE as u64 {
            assert_eq!(inbox.take(), Some(line(t_ms)));
        }
        assert_eq!(inbox.take(), None);
        assert_eq!(sender.send(line(7)), Ok(()));
        assert_eq!(inbox.take(), Some(line(7)));
    }
}
