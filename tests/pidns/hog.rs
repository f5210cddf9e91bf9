//! Processes that misbehave with memory: `hog.c`, built once, driven over its stdin and stdout.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::memory::{self, FAR, ROOM};
use crate::namespace::Inside;
use crate::programs;

/// Far longer than anything here takes; ends a wait for something that will not come.
pub const DEADLINE: Duration = Duration::from_secs(45);

/// How often a wait looks.
const LOOK: Duration = Duration::from_millis(5);

/// What a hog is to do; see the options in `hog.c`.
pub struct Plan {
    prefix: Vec<String>,
    name: String,
    options: Vec<String>,
}

impl Plan {
    /// A hog called `name` (its comm) that holds `first` MiB from the start. SIGTERM ends it, as it ends most programs.
    pub fn new(name: &str, first: u64) -> Self {
        Plan { prefix: Vec::new(), name: name.to_owned(), options: Vec::new() }
            .option("name", name)
            .option("first", first)
    }

    /// Sets an option of `hog.c`.
    pub fn option(mut self, key: &str, value: impl ToString) -> Self {
        self.options.push(format!("{key}={}", value.to_string()));
        self
    }

    /// Runs it by way of another program: `setpriv`, or a shell that joins a cgroup first.
    pub fn by_way_of(mut self, prefix: &[String]) -> Self {
        self.prefix.splice(0..0, prefix.iter().cloned());
        self
    }

    /// Starts it and waits until it holds its first memory.
    pub fn start(self, _inside: &Inside) -> Hog {
        let mut argv = self.prefix;
        argv.push(programs::build("hog").to_string_lossy().into_owned());
        argv.extend(self.options);
        let mut child = Command::new(&argv[0])
            .args(&argv[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("start {argv:?}: {e}"));
        let said = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut hog = Hog { child, said, name: self.name };
        hog.expect("ready");
        hog
    }
}

/// A running hog. Its end of stdin ends it, so it goes with the test.
pub struct Hog {
    child: Child,
    said: BufReader<ChildStdout>,
    name: String,
}

impl Hog {
    /// A hog that only holds `mib` MiB: a bystander.
    pub fn holding(inside: &Inside, name: &str, mib: u64) -> Hog {
        Plan::new(name, mib).start(inside)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it fill, beyond every limit that is set in these tests, but no further: a daemon that does not act must not
    /// cost the machine its memory.
    pub fn go(&mut self) {
        self.go_until(memory::available().saturating_sub(FAR + ROOM / 2));
    }

    /// Lets it fill until MemAvailable is at or below `mib` MiB.
    pub fn go_until(&mut self, mib: u64) {
        let level = format!("{mib}\n");
        self.child.stdin.as_mut().expect("a pipe").write_all(level.as_bytes()).expect("the hog to listen");
    }

    /// Waits until it has filled as much as it was told to.
    pub fn wait_until_done(&mut self) {
        self.expect("done");
    }

    /// Waits until it says `word`.
    pub fn expect(&mut self, word: &str) {
        let mut line = String::new();
        while line.trim_end() != word {
            line.clear();
            let length = self.said.read_line(&mut line).expect("the hog's stdout");
            assert_ne!(length, 0, "{} (pid {}) ended before it said {word}", self.name, self.pid());
        }
    }

    /// Whether it still runs (a zombie leader with live threads does).
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("wait").is_none()
    }

    /// Waits for its end, and says which signal ended it, if one did.
    pub fn ended_by(&mut self) -> Option<Signal> {
        let status = self.wait();
        status.signal().map(|number| Signal::try_from(number).expect("a signal"))
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        let ended = wait_for(|| {
            status = self.child.try_wait().expect("wait");
            status.is_some()
        });
        assert!(ended, "{} (pid {}) is still alive", self.name, self.pid());
        status.expect("an exit status")
    }
}

/// Looks at `condition` until it holds or [`DEADLINE`] has passed; says whether it held.
pub fn wait_for(mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while !condition() {
        if start.elapsed() > DEADLINE {
            return false;
        }
        std::thread::sleep(LOOK);
    }
    true
}
