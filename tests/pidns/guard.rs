//! The daemon under test, as a process that can be started only inside a namespace.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::hog::{DEADLINE, wait_for};
use crate::journal::Journal;
use crate::namespace::Inside;

/// Another binary to test than the one built with the tests, e.g. a packaged one.
const OTHER_BINARY: &str = "HOGWATCH_BIN";

/// The binary under test.
pub fn program() -> PathBuf {
    std::env::var_os(OTHER_BINARY).map_or_else(|| env!("CARGO_BIN_EXE_hogwatch").into(), PathBuf::from)
}

/// Whether a binary is built as it is shipped: linked statically (no loader is asked for) and stripped. A debug build is
/// several times larger, and says nothing about what an admin gets.
pub fn is_static_release(binary: &Path) -> bool {
    let bytes = fs::read(binary).expect("the binary");
    let holds = |what: &[u8]| bytes.windows(what.len()).any(|window| window == what);
    !holds(b"/ld-linux") && !holds(b"\0.symtab\0")
}

/// How a daemon is to be started.
pub struct Setup<'a> {
    inside: &'a Inside,
    config: PathBuf,
    prefix: Vec<String>,
    arguments: Vec<&'static str>,
}

impl<'a> Setup<'a> {
    /// The daemon with the configuration `config` (TOML).
    pub fn new(inside: &'a Inside, config: impl ToString) -> Self {
        let path = inside.file("hogwatch.toml");
        fs::write(&path, config.to_string()).expect("write the configuration");
        Setup { inside, config: path, prefix: Vec::new(), arguments: Vec::new() }
    }

    /// Adds an argument.
    pub fn argument(mut self, argument: &'static str) -> Self {
        self.arguments.push(argument);
        self
    }

    /// Runs it by way of another program: `setpriv`, or a shell that joins a cgroup first.
    pub fn by_way_of(mut self, prefix: &[String]) -> Self {
        self.prefix.splice(0..0, prefix.iter().cloned());
        self
    }

    fn spawn_with(&self, change: impl FnOnce(&mut Command)) -> Guard {
        let said = self.inside.file("daemon.stderr");
        let stderr = File::options().create(true).append(true).open(&said).expect("a file for stderr");
        let mut command = self.command();
        change(&mut command);
        let child = command.stdout(Stdio::null()).stderr(stderr).spawn().expect("start the daemon");
        Guard { child, said, config: self.config.clone() }
    }

    /// Starts it and waits until it has said in the journal that it guards.
    pub fn start(&self, journal: &Journal) -> Guard {
        let earlier = journal.of("start").len();
        let guard = self.spawn_with(|_| ());
        let started = wait_for(|| journal.of("start").len() > earlier);
        assert!(started, "the daemon never said that it guards");
        guard
    }

    /// Starts it and waits until it tells systemd that it guards: for scenarios without a journald that listens.
    pub fn start_unheard(&self) -> Guard {
        let path = self.inside.file("notify");
        let notify = UnixDatagram::bind(&path).expect("bind a notify socket");
        notify.set_read_timeout(Some(DEADLINE)).expect("a time-out");
        let guard = self.spawn_with(|command| {
            command.env("NOTIFY_SOCKET", &path);
        });
        let mut text = [0; 4096];
        loop {
            let length = notify.recv(&mut text).expect("READY=1 from the daemon");
            if text[..length].split(|&b| b == b'\n').any(|line| line == b"READY=1") {
                return guard;
            }
        }
    }

    /// Runs it to its end: for daemons that are expected to give up at once.
    pub fn output(&self) -> Output {
        self.command().output().expect("run the daemon")
    }

    fn command(&self) -> Command {
        let mut argv = self.prefix.clone();
        argv.push(program().to_string_lossy().into_owned());
        let mut command = Command::new(&argv[0]);
        command.args(&argv[1..]).args(["daemon", "--config"]).arg(&self.config).args(&self.arguments);
        at_home(self.inside, &mut command);
        command
    }
}

/// Gives a hogwatch command the namespace's own runtime and state directories, as systemd would.
pub fn at_home(inside: &Inside, command: &mut Command) {
    for (variable, name) in [("RUNTIME_DIRECTORY", "runtime"), ("STATE_DIRECTORY", "state")] {
        let directory = inside.file(name);
        fs::create_dir_all(&directory).expect("a directory for the daemon");
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).expect("open it to a plain user's daemon");
        command.env(variable, directory);
    }
    command.stdin(Stdio::null()).env_remove("NOTIFY_SOCKET").env_remove("WATCHDOG_USEC").env_remove("JOURNAL_STREAM");
}

/// Runs another hogwatch command beside the daemon.
pub fn ask(inside: &Inside, arguments: &[&str]) -> Output {
    let mut command = Command::new(program());
    at_home(inside, &mut command);
    command.args(arguments).output().expect("run hogwatch")
}

/// A running daemon; it is killed when the scenario ends.
pub struct Guard {
    child: Child,
    said: PathBuf,
    config: PathBuf,
}

impl Guard {
    /// The usual daemon: one configuration file, nothing else.
    pub fn start(inside: &Inside, journal: &Journal, config: impl ToString) -> Guard {
        Setup::new(inside, config).start(journal)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).expect("a pid"));
        kill(pid, signal).expect("signal the daemon");
    }

    /// Replaces its configuration file and tells it to re-read it.
    pub fn reload(&self, config: impl ToString) {
        fs::write(&self.config, config.to_string()).expect("write the configuration");
        self.signal(Signal::SIGHUP);
    }

    /// The configuration file.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("wait").is_none()
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_for(|| {
            status = self.child.try_wait().expect("wait");
            status.is_some()
        });
        status.expect("the daemon to end")
    }

    /// What it wrote to stderr so far.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.said).expect("the daemon's stderr")
    }
}

impl Drop for Guard {
    /// Ends it, and shows what it wrote when the scenario failed.
    fn drop(&mut self) {
        let early = self.child.try_wait().expect("wait");
        if std::thread::panicking() {
            eprintln!("daemon: {}", early.map_or("running".into(), |status| format!("ended early, {status}")));
            eprint!("{}", self.said());
        }
        if early.is_none() {
            self.child.kill().expect("kill the daemon");
            self.child.wait().expect("wait");
        }
    }
}
