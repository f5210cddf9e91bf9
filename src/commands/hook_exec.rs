//! `hogwatch hook-exec`: the first thing that a hook's process is. Started by the daemon only.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Args;

use crate::host::dir::Dir;
use crate::host::ordinary::become_ordinary;

/// Options of `hogwatch hook-exec`.
#[derive(Args, Debug)]
pub struct HookExecArgs {
    /// The cgroup to move to first, as a directory
    #[arg(long, value_name = "DIR")]
    cgroup: Option<PathBuf>,
    /// What to become
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true, num_args = 1..)]
    command: Vec<OsString>,
}

/// A shell's exit status for a program that is not there, and for one that can't be run.
const NOT_THERE: u8 = 127;
const NOT_RUN: u8 = 126;

/// Sheds what is the daemon's and becomes the program. Returns only when it can't be started.
#[must_use]
pub fn run(args: &HookExecArgs) -> ExitCode {
    // Said, and gone on without: at the deadline the session is ended too.
    if let Some(Err(e)) = args.cgroup.as_deref().map(join) {
        eprintln!("hogwatch: the hook has no cgroup of its own: {e}");
    }
    if let Ok(proc) = Dir::open(Path::new("/proc")) {
        become_ordinary(&proc);
    }
    let (program, arguments) = (&args.command[0], &args.command[1..]);
    let error = Command::new(program).args(arguments).exec();
    eprintln!("hogwatch: {} can't be started: {error}", program.to_string_lossy());
    ExitCode::from(if error.kind() == io::ErrorKind::NotFound { NOT_THERE } else { NOT_RUN })
}

/// 0 is the process that writes it (cgroups(7)).
fn join(cgroup: &Path) -> io::Result<()> {
    Dir::open(cgroup)?.write(c"cgroup.procs", b"0")
}
