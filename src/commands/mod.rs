//! One file a subcommand; each reads as a story.

mod cgroup_sample;
pub mod config;
pub mod contain;
pub mod daemon;
pub mod doctor;
pub mod explain;
pub mod hook_exec;
pub mod incidents;
pub mod replay;
pub mod run;
mod running;
mod stall;
pub mod status;

use std::io::Write;
use std::ops::Range;
use std::process::ExitCode;

use crate::act::Actor;
use crate::config::earlyoom;
use crate::decide::Engine;
use crate::decide::measure::Gauge;
use crate::decide::victim::Chooser;
use crate::decide::victim::Own;
use crate::host::Host;
use crate::host::memory;
use crate::host::process::may_signal_others;
use crate::observe::cgroup_files::CgroupFiles;
use crate::observe::machine::MachineReader;
use crate::observe::scan::Scanner;
use crate::report::EventSender;

/// Exit status for a command line that can't be followed, as the parser of options has it.
pub const EXIT_USAGE: u8 = 2;

/// Exit status for a bad configuration (`EX_CONFIG` of sysexits.h).
pub const EXIT_CONFIG: u8 = 78;

/// Prints data and turns into an exit status; what can't be printed is a failure, but for a reader that has read enough.
#[must_use]
pub fn print(text: &str, status: u8) -> ExitCode {
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            eprintln!("hogwatch: standard output: {e}");
            ExitCode::FAILURE
        }
        _ => ExitCode::from(status),
    }
}

/// Where code lies that the guard does not run, in the program as it was linked: a compiler writes a function's code beside
/// that of those it is called with, so that the guard's own lies in a few clusters. Long stretches between them, and
/// between the other commands, are others' code: the commands', the parsers' of options, patterns, TOML and JSON. What the
/// guard needs of the libraries among them is there after its next rehearsal and its first turn.
fn code_of_others() -> Vec<Range<usize>> {
    /// So much on both sides of a function of the guard's is taken for the guard's, too.
    const AROUND: usize = 48 * 1024;
    let address = |code: *const ()| code.expose_provenance();
    let mut ours = [
        0,
        address(daemon::run as *const ()),
        address(daemon::tell::acted as *const ()),
        address(daemon::tell::noted as *const ()),
        address(daemon::tell::of_case as *const ()),
        address(Actor::aim as *const ()),
        address(Actor::fire as *const ()),
        address(CgroupFiles::sample as *const ()),
        address(Chooser::choose as *const ()),
        address(Engine::step as *const ()),
        address(EventSender::send as *const ()),
        address(Gauge::worst as *const ()),
        address(MachineReader::read as *const ()),
        address(Scanner::scan as *const ()),
        memory::c_library(),
    ];
    ours.sort_unstable();
    let between = ours.windows(2).map(|pair| pair[0].saturating_add(AROUND)..pair[1].saturating_sub(AROUND));
    let others = [
        address(explain::run as *const ()),
        address(status::run as *const ()),
        address(replay::run as *const ()),
        address(incidents::run as *const ()),
        address(earlyoom::import_args as *const ()),
    ];
    let commands = others.iter().min().zip(others.iter().max()).map(|(first, last)| *first..*last);
    let commands = commands.filter(|range| !ours.iter().any(|at| range.contains(at)));
    between.chain(commands).filter(|range| !range.is_empty()).collect()
}

/// Who this process is, as far as it matters for whom it may kill.
#[must_use]
pub fn own_self(host: &Host) -> Own {
    let status = host.proc.read(c"self/status", &mut [0; 4096]).map(may_signal_others);
    Own {
        pid: nix::unistd::getpid().as_raw(),
        uid: nix::unistd::geteuid().as_raw(),
        may_signal_others: status.unwrap_or(false),
    }
}

/// The names of user ids, for `user:` patterns: `/etc/passwd` only, because asking directory services could block.
#[must_use]
pub fn users() -> Vec<(u32, Box<[u8]>)> {
    let passwd = std::fs::read("/etc/passwd").unwrap_or_default();
    passwd
        .split(|b| *b == b'\n')
        .filter_map(|line| {
            let mut fields = line.split(|b| *b == b':');
            let name = fields.next()?;
            let uid = std::str::from_utf8(fields.nth(1)?).ok()?.parse().ok()?;
            Some((uid, name.into()))
        })
        .collect()
}
