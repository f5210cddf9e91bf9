//! The answering side: one document a connection, nothing is ever read.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags};
use nix::unistd::geteuid;

use super::super::field::Origin;
use super::super::queue::{Sent, poll_ready};
use super::{RunningConfig, Shared, document};

/// Members may ask a system daemon for its status.
pub const MAY_READ_GROUP: &str = "hogwatch";

/// A document (70 KiB at most) fits in a socket's buffer (208 KiB by default), so a peer that does not read costs no
/// time at all; on a machine with tiny buffers it costs this.
const CLIENT_DEADLINE: Duration = Duration::from_millis(200);

/// Where the socket is and who may use it.
#[derive(Clone, Debug)]
pub struct StatusOptions {
    /// `…/status.sock`; its directory exists.
    pub path: PathBuf,
    /// A group that may ask too (mode 0660); without one only the daemon's own user may (0600).
    pub group: Option<u32>,
}

impl StatusOptions {
    /// `status.sock` in the runtime directory; for root, open to the group `hogwatch` if there is one.
    pub fn in_dir(runtime_dir: &Path) -> Self {
        let group = if geteuid().is_root() {
            fs::read_to_string("/etc/group").ok().and_then(|text| group_id(&text, MAY_READ_GROUP))
        } else {
            None
        };
        Self { path: runtime_dir.join("status.sock"), group }
    }
}

/// group(5): `name:password:gid:members`. Read by hand: the name service would load libraries and ask the network.
fn group_id(groups: &str, name: &str) -> Option<u32> {
    groups.lines().find_map(|line| {
        let mut parts = line.split(':');
        (parts.next() == Some(name)).then(|| parts.nth(1)?.parse().ok()).flatten()
    })
}

/// The listening socket; its file goes away with it.
#[derive(Debug)]
pub(in super::super) struct Server {
    listener: UnixListener,
    path: PathBuf,
}

impl Server {
    /// Takes the place of a stale socket file, never that of a living server or of something that is no socket.
    pub fn bind(options: &StatusOptions) -> io::Result<Self> {
        let path = &options.path;
        make_way(path)?;
        // Bound under another name, so that nobody meets it before its mode and group are right.
        let unfinished = path.with_extension(format!("sock.{}", std::process::id()));
        remove_if_there(&unfinished)?;
        let listener = UnixListener::bind(&unfinished)?;
        if let Err(error) = publish(&unfinished, options) {
            let _ = fs::remove_file(&unfinished);
            return Err(error);
        }
        listener.set_nonblocking(true)?;
        Ok(Self { listener, path: path.clone() })
    }

    /// Becomes readable when somebody asks.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// Whoever waits longest, if anybody does.
    ///
    /// # Errors
    /// Connections cannot be accepted just now (out of descriptors or memory): look again later.
    pub fn accept(&self) -> io::Result<Option<UnixStream>> {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => return Ok(Some(stream)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Gives a peer its document and hangs up.
pub(in super::super) fn answer<'a>(
    stream: &UnixStream,
    origin: &Origin,
    config: &RunningConfig,
    shared: &Shared,
    events: impl Iterator<Item = &'a Sent>,
) {
    let seen = shared.latest();
    let seen = seen.as_ref().map(|(at, snapshot)| (*at, snapshot));
    let mut answer = document::with_events(origin, config, seen, events).to_string();
    answer.push('\n');
    if let Err(error) = write_within(stream, answer.as_bytes(), CLIENT_DEADLINE) {
        tracing::debug!("a client of the status socket got no answer: {error}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A file that stays is stale, and the next daemon takes its place.
        let _ = fs::remove_file(&self.path);
    }
}

fn make_way(path: &Path) -> io::Result<()> {
    match UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(ErrorKind::AddrInUse, "another daemon answers there")),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            // What is not a socket refuses connections too: it is not ours to remove.
            use std::os::unix::fs::FileTypeExt;
            if fs::symlink_metadata(path)?.file_type().is_socket() {
                Ok(())
            } else {
                Err(io::Error::new(ErrorKind::AlreadyExists, "it is there and is no socket"))
            }
        }
        Err(error) => Err(error),
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn publish(unfinished: &Path, options: &StatusOptions) -> io::Result<()> {
    let mode = match options.group {
        Some(gid) => {
            chown(unfinished, None, Some(gid))?;
            0o660
        }
        None => 0o600,
    };
    fs::set_permissions(unfinished, Permissions::from_mode(mode))?;
    fs::rename(unfinished, &options.path)
}

fn write_within(mut stream: &UnixStream, mut bytes: &[u8], limit: Duration) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    let deadline = Instant::now() + limit;
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(ErrorKind::TimedOut.into());
                }
                poll_ready(&mut [PollFd::new(stream.as_fd(), PollFlags::POLLOUT)], Some(left));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn group_ids() {
        let groups = "root:x:0:\nhogwatch-dev:x:7:\nhogwatch:x:988:alice,bob\nbroken\n";
        assert_eq!(group_id(groups, "hogwatch"), Some(988));
        assert_eq!(group_id(groups, "nobody"), None);
        assert_eq!(group_id(groups, "broken"), None);
        assert_eq!(group_id("hogwatch:x:many:\n", "hogwatch"), None);
    }

    #[test]
    fn a_stale_file_is_replaced_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        let options = StatusOptions { path: dir.path().join("status.sock"), group: None };
        drop(UnixListener::bind(&options.path).unwrap());
        assert!(options.path.exists());

        let server = Server::bind(&options).unwrap();
        assert_eq!(fs::metadata(&options.path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(Server::bind(&options).unwrap_err().kind(), ErrorKind::AddrInUse);
        drop(server);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);

        fs::write(&options.path, "precious").unwrap();
        assert_eq!(Server::bind(&options).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&options.path).unwrap(), "precious");
    }

    #[test]
    fn a_group_may_ask() {
        let dir = tempfile::tempdir().unwrap();
        let gid = nix::unistd::getegid().as_raw();
        let options = StatusOptions { path: dir.path().join("status.sock"), group: Some(gid) };
        let _server = Server::bind(&options).unwrap();
        let meta = fs::metadata(&options.path).unwrap();
        assert_eq!((meta.mode() & 0o777, meta.gid()), (0o660, gid));
    }

    #[test]
    fn a_peer_that_never_reads_ends_at_the_deadline() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let more_than_any_buffer = vec![b'x'; 16 << 20];
        let error = write_within(&ours, &more_than_any_buffer, Duration::from_millis(10)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
}
