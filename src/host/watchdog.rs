//! The systemd watchdog's ping, sent by the guard itself on a socket connected at start-up: a stuck reporter must not get
//! the guard killed, a stuck guard must.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// A connected notification socket.
#[derive(Debug)]
pub struct Watchdog {
    socket: UnixDatagram,
    /// How often to ping: half of what systemd allows, as `sd_watchdog_enabled(3)` advises.
    pub every: Duration,
}

impl Watchdog {
    /// Connects, if systemd asked for pings (`WATCHDOG_USEC`, `WATCHDOG_PID` and `NOTIFY_SOCKET` in the environment).
    ///
    /// # Errors
    /// Those of connecting to the notification socket.
    pub fn from_environment() -> io::Result<Option<Self>> {
        let number = |name| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
        if number("WATCHDOG_PID").is_some_and(|pid| pid != u64::from(std::process::id())) {
            return Ok(None);
        }
        let (Some(usec), Some(path)) = (number("WATCHDOG_USEC"), std::env::var_os("NOTIFY_SOCKET")) else {
            return Ok(None);
        };
        let address = match path.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(path)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address)?;
        socket.set_nonblocking(true)?;
        Ok(Some(Self { socket, every: Duration::from_micros(usec) / 2 }))
    }

    /// Pings. A full socket means that systemd itself has not read for long: the ping is let go, the next one counts.
    pub fn ping(&self) {
        let _ = self.socket.send(b"WATCHDOG=1");
    }
}
