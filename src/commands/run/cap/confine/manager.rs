//! systemd over D-Bus: the system's for root, the user's own for everybody else. `org.freedesktop.systemd1(5)`.

use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use zbus::connection::{Builder, Connection};
use zbus::export::futures_core::Stream;
use zbus::{MatchRule, MessageStream, OwnedObjectPath, OwnedVariant, Variant};

use super::super::{Limits, Refusal};

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
pub(super) fn start(scope: &Scope<'_>) -> Result<(), Refusal> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Refusal(format!("can't talk to systemd: {e}")))?;
    match runtime.block_on(async { tokio::time::timeout(DEADLINE, ask(scope)).await }) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(e)) => Err(Refusal(format!("systemd made no scope: {e}"))),
        Err(_) => Err(Refusal(format!("systemd made no scope within {} s", DEADLINE.as_secs()))),
    }
}

async fn ask(scope: &Scope<'_>) -> zbus::Result<()> {
    let connection = connect().await?;
    let policy = version(&connection).await? >= OOM_POLICY_OF_SCOPES;
    let rule =
        MatchRule::builder().msg_type(zbus::message::Type::Signal).interface(MANAGER).member("JobRemoved").build()?;
    let mut removed = MessageStream::for_match_rule(rule, &connection, None).await?;
    if connection.is_bus() {
        // On a connection of our own we are told unasked.
        connection.call_method(Some(SYSTEMD), PATH, Some(MANAGER), "Subscribe", &()).await?;
    }
    let auxiliary: [(&str, Vec<(&str, Variant<'_>)>); 0] = [];
    let body = (scope.unit, "fail", properties(scope, policy), &auxiliary[..]);
    let reply = connection.call_method(Some(SYSTEMD), PATH, Some(MANAGER), "StartTransientUnit", &body).await?;
    let job: OwnedObjectPath = reply.body().deserialize()?;
    loop {
        let next = std::future::poll_fn(|context| Pin::new(&mut removed).poll_next(context)).await;
        let message = next.ok_or_else(|| zbus::Error::Failure("the connection ended".into()))??;
        let body = message.body();
        let (_, done, _, result): (u32, OwnedObjectPath, String, String) = body.deserialize()?;
        match result.as_str() {
            _ if done != job => {}
            "done" => return Ok(()),
            other => return Err(zbus::Error::Failure(format!("its job ended as '{other}'"))),
        }
    }
}

fn properties<'a>(scope: &Scope<'a>, policy: bool) -> Vec<(&'static str, Variant<'a>)> {
    let limits = &scope.limits;
    let mut properties = vec![
        ("Description", Variant::from(scope.description)),
        // 0 is whoever asks: our pid may be another's in systemd's PID namespace.
        ("PIDs", Variant::from(vec![0_u32])),
        ("MemoryHigh", Variant::from(u64::MAX)),
        ("Delegate", Variant::from(true)),
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
async fn version(connection: &Connection) -> zbus::Result<u32> {
    let properties = Some("org.freedesktop.DBus.Properties");
    let reply = connection.call_method(Some(SYSTEMD), PATH, properties, "Get", &(MANAGER, "Version")).await?;
    let version: OwnedVariant = reply.body().deserialize()?;
    let version = String::try_from(version)?;
    let digits: String = version.trim_start_matches('v').chars().take_while(char::is_ascii_digit).collect();
    digits.parse().map_err(|_| zbus::Error::Failure(format!("its version is '{version}'")))
}

/// Connects to the manager's own socket, as systemd-run does, so that no bus is needed; else to the bus.
async fn connect() -> zbus::Result<Connection> {
    let root = nix::unistd::geteuid().is_root();
    let private = if root { Some("/run/systemd/private".into()) } else { user_socket() };
    if let Some(stream) = private.and_then(|path| UnixStream::connect(path).ok()) {
        return Builder::unix_stream(stream).p2p().build().await;
    }
    if root { Builder::system().build().await } else { Builder::session().build().await }
}

/// The socket of the user's own manager.
fn user_socket() -> Option<PathBuf> {
    let uid = nix::unistd::geteuid();
    let usual = || Some(PathBuf::from(format!("/run/user/{uid}")));
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).or_else(usual)?;
    let own = std::fs::metadata(&runtime).is_ok_and(|dir| dir.uid() == uid.as_raw());
    own.then(|| runtime.join("systemd/private"))
}
