//! Diagnostics by `tracing`: remarks on hogwatch's own workings, for whoever debugs it. What *happened* is an event.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry;

use super::queue::poll_ready;

/// Where remarks go, and which.
#[derive(Clone, Debug)]
pub(super) struct Diagnostics {
    pub level: LevelFilter,
    /// journald's socket; stderr without it.
    pub journald: Option<PathBuf>,
}

/// Sets them up for the calling thread alone, until the guard is dropped; `None` if there is nowhere to write to, or
/// nothing is wanted (the registry alone costs 36 KiB of anonymous memory).
///
/// Not for the process: a write may block, so a remark on the guard thread goes nowhere, by construction. And the
/// thread that does remark must still answer `hogwatch status` while journald is stuck: a remark that would have to
/// wait is lost.
pub(super) fn on_this_thread(diagnostics: &Diagnostics) -> Option<DefaultGuard> {
    if diagnostics.level == LevelFilter::OFF {
        return None;
    }
    let gate = Gate::before(diagnostics.journald.as_ref()).ok()?;
    let remarks = registry().with(diagnostics.level);
    if diagnostics.journald.is_none() {
        let lines = fmt::layer().with_writer(io::stderr).with_ansi(false).without_time();
        return Some(tracing::subscriber::set_default(remarks.with(lines).with(gate)));
    }
    // Making the layer sends a first, empty datagram.
    let journald = gate.is_open().then(tracing_journald::layer)?.ok()?;
    let journald = journald.with_syslog_identifier("hogwatch".to_owned());
    Some(tracing::subscriber::set_default(remarks.with(journald).with(gate)))
}

/// Lets a remark pass only when writing it would not block.
struct Gate(OwnedFd);

impl Gate {
    fn before(journald: Option<&PathBuf>) -> io::Result<Self> {
        let Some(path) = journald else {
            return io::stderr().as_fd().try_clone_to_owned().map(Self);
        };
        // A connected socket is writable when the peer's queue has room, too (unix(7), `unix_dgram_poll`).
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        Ok(Self(socket.into()))
    }

    fn is_open(&self) -> bool {
        poll_ready(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLOUT)], Some(Duration::ZERO))
    }
}

impl<S: Subscriber> Layer<S> for Gate {
    fn event_enabled(&self, _: &Event<'_>, _: Context<'_, S>) -> bool {
        self.is_open()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_is_shut_while_journald_does_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let journald = UnixDatagram::bind(&path).unwrap();
        let gate = Gate::before(Some(&path)).unwrap();
        assert!(gate.is_open());

        let flood = UnixDatagram::unbound().unwrap();
        flood.set_nonblocking(true).unwrap();
        while flood.send_to(b"x", &path).is_ok() {}
        assert!(!gate.is_open());

        journald.set_nonblocking(true).unwrap();
        while journald.recv(&mut [0; 8]).is_ok() {}
        assert!(gate.is_open());
    }
}
