//! What systemd is told about the daemon (sd_notify(3)). All of it may block on a stuck systemd: never call it
//! between a crossed threshold and a signal. Without `NOTIFY_SOCKET` nothing happens.

use std::io;

use sd_notify::NotifyState;

use super::escape::Escaped;

/// The guard is armed.
pub fn ready() -> io::Result<()> {
    sd_notify::notify(&[NotifyState::Ready])
}

/// A reload begins; [`ready`] ends it.
pub fn reloading() -> io::Result<()> {
    sd_notify::notify(&[NotifyState::Reloading, NotifyState::monotonic_usec_now()?])
}

/// The guard is about to end.
pub fn stopping() -> io::Result<()> {
    sd_notify::notify(&[NotifyState::Stopping])
}

/// The line that `systemctl status` shows. Names in it cannot forge another assignment.
pub fn status_text(words: &str) -> io::Result<()> {
    let line = Escaped(words.as_bytes()).to_string();
    sd_notify::notify(&[NotifyState::Status(&line)])
}
