//! A thread that calls `process_mrelease(2)`: the call does the unmapping itself, for as long as that takes, and waits
//! for the victim's `mmap_lock`. The guard must not.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::host::process::PidFd;

/// Victims waiting to be reaped. One dies at a time, a group a few more; whoever finds no room exits by itself.
const QUEUE: usize = 16;

/// A loop around one system call needs little stack: this is what glibc itself asks for at least, with room for it.
const STACK_BYTES: usize = 48 * 1024;

/// The guard's end.
#[derive(Clone, Debug)]
pub struct Reaper(SyncSender<PidFd>);

impl Reaper {
    /// Starts the thread. It ends when the reaper is dropped.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start() -> io::Result<Self> {
        let (sender, receiver) = sync_channel(QUEUE);
        thread::Builder::new().name("reaper".into()).stack_size(STACK_BYTES).spawn(move || run(&receiver))?;
        Ok(Self(sender))
    }

    /// Hands a dying process over. Never waits.
    pub fn reap(&self, pidfd: &PidFd) {
        if let Ok(fd) = pidfd.again() {
            let _ = self.0.try_send(fd);
        }
    }
}

fn run(receiver: &Receiver<PidFd>) {
    /// `EAGAIN` says that some of the memory could not be taken yet.
    const TRIES: u8 = 10;
    for victim in receiver {
        for _ in 0..TRIES {
            match victim.release_memory() {
                Err(e) if e.raw_os_error() == Some(libc::EAGAIN) => thread::yield_now(),
                // Done, gone by itself, or not possible: the exit gives the memory back in any case.
                _ => break,
            }
        }
    }
}
