//! A `/proc/meminfo` that a scenario answers itself, read by read: to make moments that no real machine holds still for.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::namespace::Inside;
use crate::programs;

/// Covers `/proc/meminfo` by a file system of one file (`fakemem.c`) whose MemAvailable is what the scenario says;
/// everything else in it is as it was at the beginning.
pub struct FakeMeminfo {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl FakeMeminfo {
    /// Covers it; `Err` says why it cannot be done here.
    pub fn cover(_inside: &Inside) -> Result<Self, String> {
        let mut child = Command::new(programs::build("fakemem"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start fakemem");
        let said = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut fake = FakeMeminfo { child, said };
        if fake.hears("mounted") {
            return Ok(fake);
        }
        let out = fake.child.wait_with_output().expect("its last words");
        Err(String::from_utf8_lossy(&out.stderr).trim().to_owned())
    }

    /// Whom to send SIGUSR1, and MemAvailable is what it was at the beginning.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets MemAvailable be `mib` MiB from now on.
    pub fn set_available(&mut self, mib: u64) {
        self.tell(&format!("level {}\n", mib << 10));
        assert!(self.hears("ok"));
    }

    /// Lets the next read, and only that one, say `mib` MiB; returns when it has been made.
    pub fn dip(&mut self, mib: u64) {
        self.tell(&format!("dip {}\n", mib << 10));
        assert!(self.hears("dipped"), "nobody reads /proc/meminfo any more");
    }

    fn tell(&mut self, what: &str) {
        self.child.stdin.as_mut().expect("a pipe").write_all(what.as_bytes()).expect("fakemem listens");
    }

    fn hears(&mut self, word: &str) -> bool {
        let mut line = String::new();
        self.said.read_line(&mut line).is_ok_and(|length| length > 0 && line.trim_end() == word)
    }
}
