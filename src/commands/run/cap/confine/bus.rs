//! As much of a D-Bus client as a few calls and a signal take, over a Unix socket ([D-Bus specification][1]).
//!
//! zbus has the wire format. Its connections can't be used for systemd's own socket, which needs no bus: messages there have the
//! sender `org.freedesktop.systemd1`, which is no unique name, and so are refused. Nor is there anything to be done
//! meanwhile.
//!
//! [1]: https://dbus.freedesktop.org/doc/dbus-specification.html

use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::time::{TimeVal, TimeValLike};
use serde::Deserialize;
use serde::ser::{Serialize, SerializeStruct, Serializer};
use zbus::wire::serialized::{Context, Data};
use zbus::wire::{BE, LE, to_bytes};
use zbus::{OwnedVariant, Signature, Type};

/// What a message is (`Message Types` of the specification).
const CALL: u8 = 1;
const REPLY: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;

/// Fields of its header (`Header Fields`).
const FIELD_PATH: u8 = 1;
const FIELD_INTERFACE: u8 = 2;
const FIELD_MEMBER: u8 = 3;
const FIELD_ERROR_NAME: u8 = 4;
const FIELD_REPLY_SERIAL: u8 = 5;
const FIELD_DESTINATION: u8 = 6;
const FIELD_SIGNATURE: u8 = 8;

/// Byte order, type, flags, version, length of the body, serial, fields.
type Header<V> = (u8, u8, u8, u8, u32, u32, Vec<(u8, V)>);

/// A connection.
#[derive(Debug)]
pub(super) struct Bus {
    stream: UnixStream,
    deadline: Instant,
    serial: u32,
}

/// What is called, and of whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Method<'a> {
    pub(super) destination: &'a str,
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
    pub(super) member: &'a str,
}

/// A message that came.
#[derive(Debug)]
pub(super) struct Message {
    kind: u8,
    fields: Vec<(u8, OwnedVariant)>,
    body: Data<'static, 'static>,
}

impl Bus {
    /// Connects, as the user that this process is. All must be over by then.
    pub(super) fn connect(socket: &Path, deadline: Instant) -> io::Result<Self> {
        let mut bus = Self { stream: connect(socket, deadline)?, deadline, serial: 0 };
        // The name of the user is its number in ASCII, in hexadecimal.
        let uid = nix::unistd::geteuid().to_string();
        let uid: String = uid.bytes().map(|digit| format!("{digit:02x}")).collect();
        // All at once, as systemd's own clients do: its server would keep a call that it reads along with BEGIN, and not look
        // at it before the next one comes.
        bus.write(format!("\0AUTH EXTERNAL {uid}\r\nBEGIN\r\n").as_bytes())?;
        /// `OK` and 32 digits. Nothing follows before there is a call.
        const MOST: usize = 256;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n") && answer.len() < MOST {
            let mut part = [0; MOST];
            bus.stream.set_read_timeout(Some(bus.left()?))?;
            match bus.stream.read(&mut part).map_err(late)? {
                0 => break,
                n => answer.extend_from_slice(&part[..n]),
            }
        }
        if !answer.starts_with(b"OK ") {
            return Err(malformed("it does not let us in"));
        }
        Ok(bus)
    }

    /// Calls a method and waits for the reply.
    pub(super) fn call<B: Serialize + Type>(&mut self, method: Method<'_>, body: &B) -> io::Result<Message> {
        self.serial += 1;
        let serial = self.serial;
        self.write(&call(method, serial, body)?)?;
        loop {
            let message = self.next()?;
            if message.field::<u32>(FIELD_REPLY_SERIAL) != Some(serial) {
                continue;
            }
            match message.kind {
                REPLY => return Ok(message),
                ERROR => {
                    let name: Option<String> = message.field(FIELD_ERROR_NAME);
                    let text: Result<String, _> = message.body();
                    let kind = match name.as_deref() {
                        Some("org.freedesktop.systemd1.UnitExists") => io::ErrorKind::AlreadyExists,
                        _ => io::ErrorKind::Other,
                    };
                    return Err(io::Error::new(kind, text.ok().or(name).unwrap_or_default()));
                }
                _ => {}
            }
        }
    }

    /// Waits for the next signal of this name.
    pub(super) fn signal(&mut self, interface: &str, member: &str) -> io::Result<Message> {
        loop {
            let message = self.next()?;
            if message.kind == SIGNAL
                && message.field::<String>(FIELD_INTERFACE).as_deref() == Some(interface)
                && message.field::<String>(FIELD_MEMBER).as_deref() == Some(member)
            {
                return Ok(message);
            }
        }
    }

    fn next(&mut self) -> io::Result<Message> {
        /// The specification allows 128 MiB; what is waited for has some hundred bytes.
        const MOST: usize = 1 << 20;
        let mut bytes = vec![0; FIXED];
        self.read(&mut bytes)?;
        let (header, total) = lengths(&bytes).filter(|(_, total)| *total <= MOST).ok_or(malformed("no message"))?;
        bytes.resize(total, 0);
        self.read(&mut bytes[FIXED..])?;
        parse(bytes, header).map_err(io::Error::other)
    }

    fn read(&mut self, buf: &mut [u8]) -> io::Result<()> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read_exact(buf).map_err(late)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write_all(bytes).map_err(late)
    }

    fn left(&self) -> io::Result<Duration> {
        self.deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()).ok_or(too_late())
    }
}

/// Connects by then: what listens may be stuck with a full backlog, which `connect(2)` waits for, as long as `SO_SNDTIMEO`
/// says (`unix(7)`), and std can't set that beforehand.
fn connect(path: &Path, deadline: Instant) -> io::Result<UnixStream> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket, sockopt};
    let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()).ok_or(too_late())?;
    let micros = left.as_micros().max(1).try_into().map_err(io::Error::other)?;
    let fd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&fd, sockopt::SendTimeout, &TimeVal::microseconds(micros))?;
    connect(fd.as_raw_fd(), &UnixAddr::new(path)?).map_err(|e| late(e.into()))?;
    Ok(fd.into())
}

impl Message {
    /// What it says.
    pub(super) fn body<'d, B: Deserialize<'d> + Type>(&'d self) -> io::Result<B> {
        Ok(self.body.deserialize().map_err(io::Error::other)?.0)
    }

    fn field<T: TryFrom<OwnedVariant>>(&self, code: u8) -> Option<T> {
        let (_, value) = self.fields.iter().find(|(known, _)| *known == code)?;
        T::try_from(value.try_clone().ok()?).ok()
    }
}

/// A field of a header that is sent: a variant of this type. zbus's own can't hold the signature of several arguments, which is
/// written without the brackets of a structure.
#[derive(Debug)]
struct Field(Signature, String);

impl Type for Field {
    const SIGNATURE: &'static Signature = &Signature::Variant;
}

impl Serialize for Field {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut variant = serializer.serialize_struct("Variant", 2)?;
        variant.serialize_field("signature", &self.0)?;
        variant.serialize_field("value", &self.1)?;
        variant.end()
    }
}

/// Bytes before the fields, with their length.
const FIXED: usize = 16;

/// Where the body begins, and where it ends.
fn lengths(fixed: &[u8]) -> Option<(usize, usize)> {
    let word = |at: usize| {
        let bytes: [u8; 4] = fixed.get(at..at + 4)?.try_into().ok()?;
        let number = if fixed[0] == b'B' { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
        usize::try_from(number).ok()
    };
    let header = FIXED.checked_add(word(12)?)?.checked_next_multiple_of(8)?;
    Some((header, header.checked_add(word(4)?)?))
}

fn parse(mut bytes: Vec<u8>, header: usize) -> zbus::wire::Result<Message> {
    let context = Context::new(if bytes[0] == b'B' { BE } else { LE }, 0);
    let body = bytes.split_off(header);
    let (_, kind, _, _, _, _, fields): Header<OwnedVariant> = Data::new(bytes, context).deserialize()?.0;
    Ok(Message { kind, fields, body: Data::new(body, context) })
}

fn call<B: Serialize + Type>(method: Method<'_>, serial: u32, body: &B) -> io::Result<Vec<u8>> {
    let context = Context::new(LE, 0);
    let body = to_bytes(context, body).map_err(io::Error::other)?;
    let mut fields = vec![
        (FIELD_PATH, Field(Signature::ObjectPath, method.path.to_owned())),
        (FIELD_INTERFACE, Field(Signature::Str, method.interface.to_owned())),
        (FIELD_MEMBER, Field(Signature::Str, method.member.to_owned())),
        (FIELD_DESTINATION, Field(Signature::Str, method.destination.to_owned())),
    ];
    if B::SIGNATURE != &Signature::Unit {
        fields.push((FIELD_SIGNATURE, Field(Signature::Signature, B::SIGNATURE.to_string_no_parens())));
    }
    let length = u32::try_from(body.bytes().len()).map_err(io::Error::other)?;
    let header: Header<Field> = (b'l', CALL, 0, 1, length, serial, fields);
    let mut bytes = to_bytes(context, &header).map_err(io::Error::other)?.bytes().to_vec();
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes.extend_from_slice(body.bytes());
    Ok(bytes)
}

fn late(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => too_late(),
        _ => error,
    }
}

fn too_late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "it does not answer")
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use zbus::{OwnedObjectPath, Variant};

    use super::*;

    const METHOD: Method<'static> = Method { destination: "a.B", path: "/a", interface: "a.B", member: "Start" };

    /// What systemd sends on a connection of its own: the sender is no unique name. `fields`: those that differ.
    fn message<B: Serialize + Type>(kind: u8, fields: Vec<(u8, Variant<'_>)>, signature: &str, body: &B) -> Vec<u8> {
        let context = Context::new(LE, 0);
        let body = to_bytes(context, body).unwrap();
        let mut fields = fields;
        fields.push((7, Variant::from("org.freedesktop.systemd1")));
        fields.push((FIELD_SIGNATURE, Variant::from(Signature::try_from(signature).unwrap())));
        let length = u32::try_from(body.bytes().len()).unwrap();
        let header: Header<Variant<'_>> = (b'l', kind, 1, 1, length, 9, fields);
        let mut bytes = to_bytes(context, &header).unwrap().bytes().to_vec();
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes.extend_from_slice(body.bytes());
        bytes
    }

    /// A server that lets us in, reads a call, and answers with these bytes.
    fn serve(answer: Vec<u8>) -> (tempfile::TempDir, thread::JoinHandle<Vec<u8>>, Bus) {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = Vec::new();
            while !lines.ends_with(b"BEGIN\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                lines.push(byte[0]);
            }
            assert!(lines.starts_with(b"\0AUTH EXTERNAL "), "{}", lines.escape_ascii());
            stream.write_all(b"OK 0123456789abcdef0123456789abcdef\r\n").unwrap();
            let mut fixed = vec![0; FIXED];
            stream.read_exact(&mut fixed).unwrap();
            let (_, total) = lengths(&fixed).unwrap();
            let mut call = fixed;
            call.resize(total, 0);
            stream.read_exact(&mut call[FIXED..]).unwrap();
            stream.write_all(&answer).unwrap();
            call
        });
        let bus = Bus::connect(&socket, Instant::now() + Duration::from_secs(20)).unwrap();
        (dir, server, bus)
    }

    #[test]
    fn a_call_is_answered_by_its_reply_and_a_signal_follows() {
        let job = |path: &str| OwnedObjectPath::try_from(path).unwrap();
        let signal = |member: &str| {
            vec![(FIELD_INTERFACE, Variant::from("a.B")), (FIELD_MEMBER, Variant::from(member.to_owned()))]
        };
        let mut answer = message(SIGNAL, signal("Removed"), "s", &"too early");
        answer.extend(message(REPLY, vec![(FIELD_REPLY_SERIAL, Variant::from(7_u32))], "s", &"another's"));
        answer.extend(message(REPLY, vec![(FIELD_REPLY_SERIAL, Variant::from(1_u32))], "o", &job("/job/1")));
        answer.extend(message(SIGNAL, signal("New"), "s", &"another"));
        answer.extend(message(SIGNAL, signal("Removed"), "uoss", &(1_u32, job("/job/1"), "x.scope", "done")));
        let (_dir, server, mut bus) = serve(answer);
        let properties = vec![("PIDs", Variant::from(vec![0_u32])), ("Delegate", Variant::from(true))];
        let reply = bus.call(METHOD, &("x.scope", "fail", properties)).unwrap();
        assert_eq!(reply.body::<OwnedObjectPath>().unwrap(), job("/job/1"));
        let removed = bus.signal("a.B", "Removed").unwrap();
        let body: (u32, OwnedObjectPath, String, String) = removed.body().unwrap();
        assert_eq!(body, (1, job("/job/1"), "x.scope".into(), "done".into()));
        let call = server.join().unwrap();
        let (header, _) = lengths(&call).unwrap();
        let call = parse(call, header).unwrap();
        assert_eq!((call.kind, call.field::<String>(FIELD_MEMBER)), (CALL, Some("Start".into())));
        assert_eq!(call.field::<Signature>(FIELD_SIGNATURE).unwrap().to_string_no_parens(), "ssa(sv)");
        let (unit, mode, _): (String, String, Vec<(String, OwnedVariant)>) = call.body().unwrap();
        assert_eq!((unit.as_str(), mode.as_str()), ("x.scope", "fail"));
    }

    #[test]
    fn an_error_is_told_in_its_own_words() {
        for (name, kind) in [
            ("org.a.Error", io::ErrorKind::Other),
            ("org.freedesktop.systemd1.UnitExists", io::ErrorKind::AlreadyExists),
        ] {
            let fields = vec![(FIELD_REPLY_SERIAL, Variant::from(1_u32)), (FIELD_ERROR_NAME, Variant::from(name))];
            let (_dir, server, mut bus) = serve(message(ERROR, fields, "s", &"no such thing"));
            let error = bus.call(METHOD, &()).unwrap_err();
            assert_eq!((error.kind(), error.to_string().as_str()), (kind, "no such thing"));
            server.join().unwrap();
        }
    }

    #[test]
    fn what_is_no_message_or_never_comes_is_an_error() {
        let (_dir, server, mut bus) = serve(vec![b'l'; 64]);
        assert_eq!(bus.call(METHOD, &()).unwrap_err().kind(), io::ErrorKind::InvalidData);
        server.join().unwrap();
        let (_dir, server, mut bus) = serve(Vec::new());
        assert_eq!(bus.call(METHOD, &()).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        server.join().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("socket")).unwrap();
        let late = Bus::connect(&dir.path().join("socket"), Instant::now() + Duration::from_millis(50)).unwrap_err();
        assert_eq!(late.to_string(), "it does not answer");
        drop(listener);
    }

    #[test]
    fn a_full_backlog_is_not_waited_for_longer_than_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
        let first = UnixStream::connect(&socket).unwrap();
        let error = Bus::connect(&socket, Instant::now() + Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.to_string(), "it does not answer");
        drop(first);
    }
}
