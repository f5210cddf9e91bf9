//! The asking side.

use std::io::{self, ErrorKind, Read};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use serde_json::Value as Json;

use super::SCHEMA;

/// A document is 70 KiB at most; what is much larger does not come from hogwatch.
const ANSWER_MAX: u64 = 1 << 20;

/// Between two attempts while the daemon has more callers waiting than its socket queues.
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// Why there is no status.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No socket, or nobody behind it.
    #[error("no daemon answers")]
    NotRunning,
    /// The socket is there and not for us.
    #[error("permission denied: be root or a member of the group hogwatch")]
    Denied,
    /// It did not answer in time.
    #[error("the daemon did not answer in time")]
    TimedOut,
    /// It answered something else.
    #[error("the answer is not a status document: {0}")]
    BadAnswer(String),
    /// Anything else.
    #[error(transparent)]
    Io(io::Error),
}

impl From<io::Error> for FetchError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => Self::NotRunning,
            ErrorKind::PermissionDenied => Self::Denied,
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::Io(error),
        }
    }
}

/// Asks the daemon whose socket is at `path`, for at most `limit`.
pub fn fetch(path: &Path, limit: Duration) -> Result<Json, FetchError> {
    let deadline = Instant::now() + limit;
    let stream = connect_within(path, deadline)?;
    let answer = read_within(&stream, deadline)?;
    let document: Json = serde_json::from_slice(&answer).map_err(|error| FetchError::BadAnswer(error.to_string()))?;
    if document["schema"] == SCHEMA {
        Ok(document)
    } else {
        Err(FetchError::BadAnswer(format!(
            "schema {} is not {SCHEMA}, the daemon is of another version: restart it",
            document["schema"]
        )))
    }
}

/// std's connect would wait without end for a daemon that no longer accepts.
fn connect_within(path: &Path, deadline: Instant) -> Result<UnixStream, FetchError> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None).map_err(io::Error::from)?;
    let address = UnixAddr::new(path).map_err(io::Error::from)?;
    loop {
        match connect(fd.as_raw_fd(), &address) {
            Ok(()) => break,
            // connect(2): EAGAIN for a Unix socket is "its queue is full".
            Err(Errno::EAGAIN | Errno::EINTR) if Instant::now() < deadline => thread::sleep(BUSY_PAUSE),
            Err(error) => return Err(io::Error::from(error).into()),
        }
    }
    let stream = UnixStream::from(fd);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

fn read_within(mut stream: &UnixStream, deadline: Instant) -> Result<Vec<u8>, FetchError> {
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(FetchError::TimedOut);
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut piece) {
            Ok(0) => return Ok(answer),
            Ok(n) => answer.extend_from_slice(&piece[..n]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
        if answer.len() as u64 > ANSWER_MAX {
            return Err(FetchError::BadAnswer("it does not end".to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{Backlog, bind, listen};
    use std::io::Write;
    use std::os::unix::net::UnixListener;

    const LIMIT: Duration = Duration::from_secs(5);

    fn answered_with(answer: &[u8]) -> Result<Json, FetchError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                // A client that has enough hangs up.
                let _ = stream.write_all(answer);
            });
            fetch(&path, LIMIT)
        })
    }

    #[test]
    fn answers() {
        assert_eq!(answered_with(b"{\"schema\":1}\n").unwrap()["schema"], 1);
        let too_long = vec![b' '; 2 << 20];
        let cases: [(&[u8], &str); 5] = [
            (b"", "the answer is not a status document: EOF"),
            (b"hello", "the answer is not a status document: expected value"),
            (b"{\"schema\":2}", "schema 2 is not 1"),
            (b"{}", "schema null is not 1"),
            (&too_long, "it does not end"),
        ];
        for (answer, expected) in cases {
            let error = answered_with(answer).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn nobody_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        assert!(matches!(fetch(&path, LIMIT), Err(FetchError::NotRunning)));
        drop(UnixListener::bind(&path).unwrap());
        assert!(matches!(fetch(&path, LIMIT), Err(FetchError::NotRunning)));
    }

    #[test]
    fn a_daemon_that_is_stuck() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let _listener = UnixListener::bind(&path).unwrap();
        let limit = Duration::from_millis(30);
        assert!(matches!(fetch(&path, limit), Err(FetchError::TimedOut)));

        // Not even a place in its queue.
        let path = dir.path().join("full");
        let fd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
        bind(fd.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
        listen(&fd, Backlog::new(1).unwrap()).unwrap();
        let fill: Vec<_> = std::iter::from_fn(|| connect_within(&path, Instant::now()).ok()).collect();
        assert!(!fill.is_empty());
        assert!(matches!(fetch(&path, limit), Err(FetchError::TimedOut)));
    }
}
