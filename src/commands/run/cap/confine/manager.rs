//! systemd over D-Bus ([`super::bus`]): the system's for root, the user's own for everybody else. `org.freedesktop.systemd1(5)`.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use zbus::{OwnedObjectPath, OwnedVariant, Variant};

use super::super::Limits;
use super::bus::{Bus, Method};

const SYSTEMD: &str = "org.freedesktop.systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const PATH: &str = "/org/freedesktop/systemd1";

/// So long systemd may take for all of it. It answers within milliseconds; one that is stuck must not keep the command from
/// running.
const DEADLINE: Duration = Duration::from_secs(5);

/// The first version whose scopes have an `OOMPolicy=`.
const OOM_POLICY_OF_SCOPES: u32 = 253;

/// A scope to be made around the calling process.
#[derive(Debug)]
pub(super) struct Scope<'a> {
    /// The unit's name.
    pub(super) unit: &'a str,
    /// One line for people.
    pub(super) description: &'a str,
    /// The slice to put it in; systemd's own choice otherwise.
    pub(super) slice: Option<&'a str>,
    pub(super) limits: Limits,
    /// Whether systemd shall have all of it killed at once (`OOMPolicy=kill`), because nobody else can write to its cgroup.
    pub(super) kill_whole: bool,
}

/// Has the scope made, and waits until this process is in it.
///
/// # Errors
/// What systemd says, `AlreadyExists` when there is a unit of this name; when it can't be reached or does not answer.
pub(super) fn start(scope: &Scope<'_>) -> io::Result<()> {
    let mut bus = connect()?;
    let policy = version(&mut bus)? >= OOM_POLICY_OF_SCOPES;
    let auxiliary: Vec<(&str, Vec<(&str, Variant<'_>)>)> = Vec::new();
    let body = (scope.unit, "fail", properties(scope, policy), auxiliary);
    let reply = bus.call(manager("StartTransientUnit"), &body)?;
    let job: OwnedObjectPath = reply.body()?;
    loop {
        let (_, done, _, result): (u32, OwnedObjectPath, String, String) = bus.signal(MANAGER, "JobRemoved")?.body()?;
        match result.as_str() {
            _ if done != job => {}
            "done" => return Ok(()),
            other => return Err(io::Error::other(format!("its job ended as '{other}'"))),
        }
    }
}

fn manager(member: &str) -> Method<'_> {
    Method { destination: SYSTEMD, path: PATH, interface: MANAGER, member }
}

fn properties<'a>(scope: &Scope<'a>, policy: bool) -> Vec<(&'static str, Variant<'a>)> {
    let limits = &scope.limits;
    let mut properties = vec![
        ("Description", Variant::from(scope.description)),
        // 0 is whoever asks: our pid may be another's in systemd's PID namespace.
        ("PIDs", Variant::from(vec![0_u32])),
        ("MemoryHigh", Variant::from(u64::MAX)),
        // Not all that there are, as Delegate=yes means: each that the slice has not would be switched on for all in it.
        ("DelegateControllers", Variant::from(vec!["memory", "pids"])),
        ("CollectMode", Variant::from("inactive-or-failed")),
    ];
    // A process that a limit within the scope killed (a nested run's) is no reason to stop the scope, which is what systemd does
    // by default. Before the property it did so whenever it watched, which it does for what it accounts.
    properties.push(match (policy, scope.kill_whole) {
        (true, false) => ("OOMPolicy", Variant::from("continue")),
        (true, true) => ("OOMPolicy", Variant::from("kill")),
        (false, _) => ("MemoryAccounting", Variant::from(false)),
    });
    properties.extend(scope.slice.map(|slice| ("Slice", Variant::from(slice))));
    properties.extend(limits.memory.map(|bytes| ("MemoryMax", Variant::from(bytes))));
    properties.extend(limits.swap.map(|bytes| ("MemorySwapMax", Variant::from(bytes))));
    properties.extend(limits.tasks.map(|tasks| ("TasksMax", Variant::from(tasks))));
    properties
}

/// The number that `Version` begins with: `252.33-1~deb12u1`.
fn version(bus: &mut Bus) -> io::Result<u32> {
    let get = Method { interface: "org.freedesktop.DBus.Properties", ..manager("Get") };
    let version: OwnedVariant = bus.call(get, &(MANAGER, "Version"))?.body()?;
    let version = String::try_from(version).map_err(io::Error::other)?;
    let digits: String = version.trim_start_matches('v').chars().take_while(char::is_ascii_digit).collect();
    digits.parse().map_err(|_| io::Error::other(format!("its version is '{version}'")))
}

/// Connects to the manager's own socket, as systemd-run does, so that no bus is needed; else by way of the bus.
fn connect() -> io::Result<Bus> {
    let deadline = Instant::now() + DEADLINE;
    let (private, bus) = if nix::unistd::geteuid().is_root() {
        ("/run/systemd/private".into(), "/run/dbus/system_bus_socket".into())
    } else {
        let runtime = runtime_directory()?;
        (runtime.join("systemd/private"), runtime.join("bus"))
    };
    let error = match Bus::connect(&private, deadline) {
        Ok(bus) => return Ok(bus),
        Err(e) => io::Error::new(e.kind(), format!("{}: {e}", private.display())),
    };
    let Ok(mut bus) = Bus::connect(&bus, deadline) else { return Err(error) };
    let driver = |member| Method {
        destination: "org.freedesktop.DBus",
        path: "/org/freedesktop/DBus",
        interface: "org.freedesktop.DBus",
        member,
    };
    bus.call(driver("Hello"), &())?;
    // On a connection of our own we are told unasked.
    bus.call(
        driver("AddMatch"),
        &format!("type='signal',sender='{SYSTEMD}',interface='{MANAGER}',member='JobRemoved'"),
    )?;
    bus.call(manager("Subscribe"), &())?;
    Ok(bus)
}

/// Where the user's own manager has its socket.
fn runtime_directory() -> io::Result<PathBuf> {
    let uid = nix::unistd::geteuid();
    let usual = || PathBuf::from(format!("/run/user/{uid}"));
    let dir = std::env::var_os("XDG_RUNTIME_DIR").map_or_else(usual, PathBuf::from);
    match std::fs::metadata(&dir) {
        Ok(seen) if seen.uid() == uid.as_raw() => Ok(dir),
        Ok(_) => Err(io::Error::other(format!("{} is another user's", dir.display()))),
        Err(e) => Err(io::Error::new(e.kind(), format!("{}: {e}", dir.display()))),
    }
}
