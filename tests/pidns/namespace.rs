//! A fresh PID namespace for each scenario, and the proof of being inside one.

use std::fs::{self, File, read_link};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Carries the outside PID namespace (`pid:[4026531836]`) to the process inside, which must find itself in another.
const OUTSIDE: &str = "HOGWATCH_TEST_OUTSIDE_NAMESPACE";

/// Set by somebody who knows that namespaces cannot be had on this machine and wants the rest of the tests.
const WITHOUT: &str = "HOGWATCH_TEST_WITHOUT_NAMESPACES";

/// A scenario waits for events with deadlines of its own; this one only ends a scenario that hangs in spite of them.
const LONGEST: Duration = Duration::from_secs(180);

/// Runs as pid 1's shell: a private `/run` (journald's socket, runtime directory, scratch files), then the test itself.
const PREPARE: &str = "mount -t tmpfs -o mode=755 hogwatch-test /run && exec \"$@\"";

/// Proof of being inside a namespace of the test's own. Only [`Inside::check`] makes one, so whatever asks for it
/// (the daemon above all) cannot be started anywhere else.
pub struct Inside {
    scratch: PathBuf,
}

impl Inside {
    /// Checks that this process is pid 1 of a PID namespace other than the one the test was started in, and that
    /// `/proc` shows that namespace; panics otherwise.
    fn check(outside: &str) -> Self {
        let here = pid_namespace();
        assert_ne!(here, outside, "refusing to go on: still in the PID namespace that the test was started in");
        assert_eq!(std::process::id(), 1, "refusing to go on: not pid 1 of the namespace");
        let myself = read_link("/proc/self").expect("/proc/self");
        assert_eq!(myself, Path::new("1"), "refusing to go on: /proc shows another PID namespace");
        let scratch = PathBuf::from("/run/scratch");
        fs::create_dir_all(&scratch).expect("a scratch directory on the private /run");
        Inside { scratch }
    }

    /// A file name on the namespace's own tmpfs.
    pub fn file(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    /// Whether this is the machine's root (not just the root of a user namespace): other uids exist, cgroups can be made.
    pub fn is_real_root(&self) -> bool {
        let map = fs::read_to_string("/proc/self/uid_map").expect("/proc/self/uid_map");
        map.split_whitespace().eq(["0", "0", "4294967295"])
    }
}

/// Runs `body` inside a namespace: outside, this starts the same test again within one and reports how it went; inside,
/// it checks the surroundings and calls `body`.
pub fn run(name: &str, body: impl FnOnce(&Inside)) {
    match std::env::var(OUTSIDE) {
        Ok(outside) => body(&Inside::check(&outside)),
        Err(_) => run_inside(name),
    }
}

/// Says on the real stderr (the test harness captures only its own printing) that a scenario could not be played.
pub fn left_out(name: &str, why: &str) {
    writeln!(std::io::stderr(), "LEFT OUT {name}: {why}").expect("stderr");
}

fn run_inside(name: &str) {
    let name = name.split_once("::").map_or(name, |(_crate, test)| test);
    let _turn = wait_for_turn();
    if let Err(why) = namespaces_work() {
        assert!(
            std::env::var_os(WITHOUT).is_some(),
            "no PID namespace can be made here ({why}). Run the tests as root, or allow unprivileged user namespaces \
             (sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0), or set \
             {WITHOUT}=1 to leave these tests out"
        );
        return left_out(name, &why);
    }
    let out = unshare()
        .args(["sh", "-c", PREPARE, "sh"])
        .arg(std::env::current_exe().expect("own path"))
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(OUTSIDE, pid_namespace())
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("start unshare");
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    // A wrong name would run no test at all, and succeed.
    let ran = said.contains("test result: ok. 1 passed");
    if let Some(line) = said.lines().find(|line| line.starts_with("LEFT OUT")) {
        writeln!(std::io::stderr(), "{line}").expect("stderr");
    }
    assert!(out.status.success() && ran, "inside the namespace ({}):\n{said}", out.status);
}

/// `unshare` with everything a scenario needs. It dies with the thread that started it (by way of `timeout`, as each
/// process asks only about its own parent), and the whole namespace with it.
fn unshare() -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "timeout", "--signal=KILL"]).arg(LONGEST.as_secs().to_string());
    command.args(["setpriv", "--pdeathsig", "KILL", "unshare"]);
    command.args(["--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]);
    if !nix::unistd::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.stdin(Stdio::null());
    command
}

fn namespaces_work() -> Result<(), String> {
    let out = unshare().args(["sh", "-c", PREPARE, "sh", "true"]).output().map_err(|e| format!("unshare: {e}"))?;
    if out.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&out.stderr).trim().to_owned()) }
}

/// Memory belongs to the whole machine: one scenario at a time, across all test processes of this user.
fn wait_for_turn() -> File {
    let path = std::env::temp_dir().join(format!("hogwatch-test-{}.lock", nix::unistd::geteuid()));
    let file = File::options().create(true).append(true).open(&path).expect("the lock file of these tests");
    file.lock().expect("a lock on it");
    file
}

fn pid_namespace() -> String {
    read_link("/proc/self/ns/pid").expect("/proc/self/ns/pid").to_string_lossy().into_owned()
}
