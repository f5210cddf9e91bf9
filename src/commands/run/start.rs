//! The start of the command: a child that puts itself under the cap, tells where it is, waits for the word, and becomes the
//! command. What that takes (D-Bus above all) is gone with the exec, and this process stays small.

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use serde::{Deserialize, Serialize};

use crate::config::units::write_size;
use crate::host::child::{HeldSignals, Side, fork};

use super::args::{RunArgs, Wanted};
use super::cap::{self, Place, Wishes};
use super::temporary::Temporary;

/// What the child tells, a JSON object each.
#[derive(Debug, Serialize, Deserialize)]
enum Told {
    /// It is under the cap.
    Placed(Place),
    /// It is not, and why.
    Refused(String),
    /// The exec failed, by the number of its error.
    NotRun(i32),
}

/// A child that is under the cap, and waits.
#[derive(Debug)]
pub struct Placed {
    /// Its pid.
    pub pid: i32,
    /// Where it is.
    pub place: Place,
    /// Whose closing tells the keeper of a scope to end.
    pub lifeline: OwnedFd,
    /// By a byte on which it is let go.
    pub word: PipeWriter,
    /// From which is read what becomes of it.
    pub news: PipeReader,
}

/// Starts the child. Returns in the parent only.
///
/// # Errors
/// A sentence: what could not be had.
pub fn start(
    args: &RunArgs,
    wanted: &Wanted,
    temporary: Option<&Temporary>,
    signals: &HeldSignals,
) -> Result<Placed, String> {
    let program = Program::new(args, temporary)?;
    let pipe = || io::pipe().map_err(|e| format!("no pipe: {e}"));
    let ((news, telling), (hearing, word), (lifeline_end, lifeline)) = (pipe()?, pipe()?, pipe()?);
    match fork().map_err(|e| format!("no process for the command: {e}"))? {
        Side::Child => {
            // What is the parent's alone: its end of a pipe is closed when the parent ends.
            drop((news, word, lifeline));
            let wishes = Wishes { name: &wanted.name, require: args.require_cap, lifeline: lifeline_end.as_fd() };
            match be_the_command(&program, wanted, &wishes, signals, &telling, hearing) {
                Ok(never) => match never {},
                // The parent has gone: nobody to tell.
                Err(_) => std::process::exit(i32::from(super::EXIT_FAILED)),
            }
        }
        Side::Parent(pid) => {
            drop((telling, hearing, lifeline_end));
            let mut news = news;
            match next_news(&mut news) {
                Ok(Some(Told::Placed(place))) => Ok(Placed { pid, place, lifeline: lifeline.into(), word, news }),
                Ok(Some(Told::Refused(why))) => Err(why),
                Ok(Some(Told::NotRun(_)) | None) => {
                    let cap =
                        wanted.limits.memory.map(|cap| format!("; is a cap of {} too small for it?", write_size(cap)));
                    Err(format!("the command's process was killed before its start{}", cap.unwrap_or_default()))
                }
                Err(e) => Err(format!("the command's process can't be heard: {e}")),
            }
        }
    }
}

/// What came of the exec, once there is something to be read: none when the command runs, else the error.
pub fn not_run(news: &mut PipeReader) -> Option<io::Error> {
    match next_news(news) {
        Ok(Some(Told::NotRun(error))) => Some(io::Error::from_raw_os_error(error)),
        // Its end closes with the exec.
        _ => None,
    }
}

/// Reads a line; none at the end of the file. What is read ends with it: the child says no more until it gets the word.
fn next_news(news: &mut PipeReader) -> io::Result<Option<Told>> {
    let mut line = Vec::new();
    let mut some = [0; 1024];
    while !line.ends_with(b"\n") {
        match news.read(&mut some) {
            Ok(0) => return Ok(None),
            Ok(read) => line.extend_from_slice(&some[..read]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(Some(serde_json::from_slice(&line)?))
}

fn tell(mut telling: &PipeWriter, told: &Told) -> io::Result<()> {
    let mut line = serde_json::to_vec(told)?;
    line.push(b'\n');
    telling.write_all(&line)
}

/// The child's side.
fn be_the_command(
    program: &Program,
    wanted: &Wanted,
    wishes: &Wishes<'_>,
    signals: &HeldSignals,
    telling: &PipeWriter,
    mut hearing: PipeReader,
) -> io::Result<Infallible> {
    match cap::confine(&wanted.limits, wishes) {
        Ok(place) => tell(telling, &Told::Placed(place))?,
        Err(refusal) => {
            tell(telling, &Told::Refused(refusal.to_string()))?;
            return Err(io::ErrorKind::Unsupported.into());
        }
    }
    hearing.read_exact(&mut [0])?;
    signals.hand_back()?;
    let Err(error) = nix::unistd::execvpe(&program.arguments[0], &program.arguments, &program.environment);
    tell(telling, &Told::NotRun(error as i32))?;
    Err(error.into())
}

/// What the child becomes.
#[derive(Debug)]
struct Program {
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

impl Program {
    fn new(args: &RunArgs, temporary: Option<&Temporary>) -> Result<Self, String> {
        let arguments = args.command.iter().cloned().map(in_c).collect::<Result<Vec<_>, _>>()?;
        let ours = |name: &OsString| temporary.is_some_and(|t| t.variables().any(|(own, _)| name == own));
        let inherited = std::env::vars_os().filter(|(name, _)| !ours(name));
        let own = temporary.into_iter().flat_map(Temporary::variables).map(|(name, value)| (name.into(), value));
        let environment = inherited.chain(own).map(|(mut variable, value): (OsString, OsString)| {
            variable.push("=");
            variable.push(value);
            in_c(variable)
        });
        Ok(Self { arguments, environment: environment.collect::<Result<_, _>>()? })
    }
}

/// The kernel hands over none with a NUL in it; tests may.
fn in_c(text: OsString) -> Result<CString, String> {
    CString::new(text.into_vec()).map_err(|_| "an argument with a NUL in it can't be handed on".to_owned())
}
