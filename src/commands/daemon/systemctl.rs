//! systemd, asked and told by its own client: a child process, so that no D-Bus lives in the daemon's locked memory.
//!
//! A manager that is stuck keeps its client waiting for 25 s at least, so every child has a deadline and is killed at it.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// A manager answers in milliseconds; one that is busy with a reload of a thousand units, in seconds.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// What a child may say: a few lines for each of ten thousand units.
const MOST_BYTES: u64 = 4 << 20;

/// Between two looks whether a child is gone that has closed its ends of the pipes.
const LOOK: Duration = Duration::from_millis(5);

/// A killed child ends within milliseconds, unless it is stuck in the kernel: then nobody waits for it.
const LAST_LOOKS: u32 = 100;

/// Which manager, and how it is reached.
#[derive(Clone, Debug)]
pub struct Systemctl {
    /// `systemctl`, found by `PATH`.
    pub program: PathBuf,
    /// The user's own manager instead of the system's.
    pub user: bool,
}

impl Systemctl {
    /// The manager whose units this process may set: the system's for root, the user's own for everybody else.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self { program: "systemctl".into(), user: !nix::unistd::geteuid().is_root() }
    }

    /// Runs `systemctl ARGUMENTS` until `deadline`, and gives back what it wrote to stdout.
    ///
    /// # Errors
    /// One line that says why not: it could not be started, did not end in time, or what it complained of.
    pub fn run<A: AsRef<OsStr>>(&self, arguments: &[A], deadline: Instant) -> Result<String, String> {
        let mut command = Command::new(&self.program);
        if self.user {
            command.arg("--user");
        }
        // Nobody is there to be asked for a password.
        command.arg("--no-ask-password").args(arguments);
        output(command, deadline)
    }
}

/// Runs any child until `deadline`, and gives back what it wrote to stdout.
///
/// # Errors
/// As [`Systemctl::run`].
pub fn output(command: Command, deadline: Instant) -> Result<String, String> {
    output_and_remarks(command, deadline).map(|(out, _)| out)
}

/// The same with what it wrote to stderr although all was well.
///
/// # Errors
/// As [`Systemctl::run`].
pub fn output_and_remarks(mut command: Command, deadline: Instant) -> Result<(String, String), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|e| format!("{name} can't be started: {e}"))?;
    let said = listen(&mut child, deadline);
    let status = said.is_ok().then(|| until(&mut child, deadline)).flatten();
    let Some(status) = status else {
        let _ = child.kill();
        let _ = until(&mut child, Instant::now() + LOOK * LAST_LOOKS);
        return Err(match said {
            Err(e) if e.kind() != io::ErrorKind::TimedOut => format!("{name} can't be read: {e}"),
            _ => format!("{name} did not end in time and was killed"),
        });
    };
    let (out, complaint) = said.map_err(|e| e.to_string())?;
    let complaint = String::from_utf8_lossy(&complaint);
    if status.success() {
        let out = String::from_utf8(out).map_err(|_| format!("{name} wrote what is no UTF-8"))?;
        return Ok((out, complaint.into_owned()));
    }
    let line = complaint.lines().next().unwrap_or("it did not say why").trim();
    Err(format!("{name} failed ({status}): {line}"))
}

/// What the child says on stdout and stderr until it closes both.
fn listen(child: &mut Child, deadline: Instant) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
    let (mut said, mut complained) = (Vec::new(), Vec::new());
    while out.is_some() || err.is_some() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let fds = [out.as_ref().map(AsFd::as_fd), err.as_ref().map(AsFd::as_fd)];
        let mut fds: Vec<_> = fds.into_iter().flatten().map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        let wait = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, wait) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
        let ready: Vec<_> = fds.iter().map(|fd| fd.any().unwrap_or(false)).collect();
        let out_ready = out.is_some() && ready[0];
        let err_ready = err.is_some() && ready[ready.len() - 1];
        if out_ready && take(out.as_mut(), &mut said)? {
            out = None;
        }
        if err_ready && take(err.as_mut(), &mut complained)? {
            err = None;
        }
    }
    Ok((said, complained))
}

/// Reads once; whether that was the end.
fn take(from: Option<&mut impl Read>, into: &mut Vec<u8>) -> io::Result<bool> {
    let mut buf = [0; 4096];
    let n = match from.map(|from| from.read(&mut buf)) {
        None => 0,
        Some(Err(e)) if e.kind() == io::ErrorKind::Interrupted => return Ok(false),
        Some(read) => read?,
    };
    if into.len() as u64 + n as u64 > MOST_BYTES {
        return Err(io::Error::other(format!("more than {MOST_BYTES} bytes")));
    }
    into.extend_from_slice(&buf[..n]);
    Ok(n == 0)
}

/// How the child ended, if it did by `deadline`.
fn until(child: &mut Child, deadline: Instant) -> Option<std::process::ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(LOOK),
            Ok(None) | Err(_) => return None,
        }
    }
}

/// A `systemctl` made of shell, for tests.
#[cfg(test)]
pub mod fake {
    use std::path::Path;

    use super::Systemctl;

    /// A client of the system's manager that lives in `dir` and does what `script` says. A program just written may still
    /// be open in a child of another test's, and then can't be run: so the program is a link, and only its script is new.
    pub fn systemctl(dir: &Path, script: &str) -> Systemctl {
        let program = dir.join("systemctl");
        let shell = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/systemctl");
        std::os::unix::fs::symlink(shell, &program).unwrap();
        std::fs::write(dir.join("script"), script).unwrap();
        Systemctl { program, user: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str, limit: Duration) -> Result<String, String> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        output(command, Instant::now() + limit)
    }

    #[test]
    fn what_a_child_says_and_complains_of() {
        let long = Duration::from_secs(60);
        assert_eq!(run("echo a; echo b >&2; echo c", long).unwrap(), "a\nc\n");
        // More than the pipes hold, on both at once.
        let much = run("yes x | head -c 200000; yes y | head -c 200000 >&2", long).unwrap();
        assert_eq!(much.len(), 200_000);
        let told = run("echo nonsense; echo 'Failed: no such unit' >&2; echo more >&2; exit 4", long).unwrap_err();
        assert!(told.ends_with("Failed: no such unit"), "{told}");
        assert!(run("exit 1", long).unwrap_err().ends_with("it did not say why"));
        assert!(run("yes | head -c 9000000", long).unwrap_err().contains("more than"));
        assert!(run(r"printf '\377'", long).unwrap_err().contains("UTF-8"));
    }

    #[test]
    fn a_child_that_does_not_end_is_killed() {
        let brief = Duration::from_millis(200);
        for script in ["exec sleep 600", "exec >&- 2>&-; exec sleep 600", "echo said; exec sleep 600"] {
            let told = run(script, brief).unwrap_err();
            assert!(told.contains("did not end in time"), "{script}: {told}");
        }
        let missing = output(Command::new("/nonexistent/systemctl"), Instant::now()).unwrap_err();
        assert!(missing.contains("can't be started"), "{missing}");
    }

    #[test]
    fn arguments_reach_the_right_manager() {
        let dir = tempfile::tempdir().unwrap();
        let system = fake::systemctl(dir.path(), "echo \"$@\"");
        let deadline = Instant::now() + DEADLINE;
        assert_eq!(system.run(&["show", "a b"], deadline).unwrap(), "--no-ask-password show a b\n");
        let user = Systemctl { user: true, ..system };
        assert_eq!(user.run(&["show"], deadline).unwrap(), "--user --no-ask-password show\n");
    }
}
