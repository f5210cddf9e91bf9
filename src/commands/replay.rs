//! `hogwatch replay`: what hogwatch would have done, on a recorded trace or incident.

mod cgroup;
mod incident;
mod machine;
pub mod trace;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use crate::config::{self, Config, Livelock, Places};
use crate::report::Escaped;
use crate::report::incident::load::MAX_FILE_BYTES;

use super::EXIT_CONFIG;
use cgroup::Judge;
use trace::{BadTrace, Entry, Subject, Trace};

/// Options of `hogwatch replay`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  hogwatch replay trace.jsonl.gz                  each decision, in words
  hogwatch replay trace.jsonl --json | jq .kind   a line of JSON a decision
  hogwatch replay trace.jsonl --config new.toml   with another [livelock]
  hogwatch replay /var/lib/hogwatch/incidents/20260728T031502Z-3.json --config new.toml
                                                  when it would have warned, termed, killed, and whom

Nothing is printed for a cgroup that was never stuck, or memory that was never short. Nothing that is decided
changes the recording, so one act is printed an episode; of an incident the first SIGTERM and the first SIGKILL of
each shortage. An incident has the machine's memory, its largest processes, and the cgroup in trouble while it
stalled; the machine as a whole is judged by a trace only (docs/livelock.md has the format).

Exit status: 0 it was replayed, 65 it is no good trace or incident, 78 bad configuration.")]
pub struct ReplayArgs {
    /// The trace, plain or gzip, or the incident
    file: PathBuf,
    /// Decide by this configuration instead of this machine's
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON, a line a decision
    #[arg(long)]
    json: bool,
}

/// Exit status for a bad trace or incident (`EX_DATAERR` of sysexits.h).
const EXIT_BAD_TRACE: u8 = 65;

/// Why a replay ended early.
#[derive(Debug)]
enum Ended {
    Bad(BadTrace),
    Unwritable(io::Error),
}

/// Replays the trace on stdout.
#[must_use]
pub fn run(args: &ReplayArgs) -> ExitCode {
    let config = match config::load(args.config.as_deref(), &Places::of_this_process()) {
        Ok(loaded) => loaded.config,
        Err(e) => {
            eprintln!("{e}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let ended = File::open(&args.file)
        .map_err(|e| Ended::Bad(BadTrace { line: None, message: format!("can't be opened: {e}") }))
        .and_then(|file| trace_or_incident(file, args, &config));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever closed the pipe has read enough.
        Err(Ended::Unwritable(e)) if e.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Ended::Unwritable(e)) => {
            eprintln!("hogwatch replay: can't write to stdout: {e}");
            ExitCode::FAILURE
        }
        Err(Ended::Bad(bad)) => {
            eprintln!("{}", sentence(&args.file, &bad));
            ExitCode::from(EXIT_BAD_TRACE)
        }
    }
}

fn sentence(file: &Path, bad: &BadTrace) -> String {
    let file = Escaped(file.as_os_str().as_encoded_bytes()).to_string();
    let message = Escaped(bad.message.as_bytes());
    match bad.line {
        Some(line) => format!("{file}:{line}: {message}"),
        None => format!("{file}: {message}"),
    }
}

fn trace_or_incident(file: File, args: &ReplayArgs, config: &Config) -> Result<(), Ended> {
    let mut file = BufReader::new(file);
    let unreadable = |e: io::Error| Ended::Bad(BadTrace { line: None, message: format!("can't be read: {e}") });
    let out = &mut io::stdout().lock();
    if incident::is_incident(file.fill_buf().map_err(unreadable)?) {
        let mut bytes = Vec::new();
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        return incident::replay(&bytes, &args.file, config, args.json, out);
    }
    if !config.livelock.enabled {
        eprintln!("note: livelock.enabled is false, so nothing is decided");
    }
    replay(file, config, args.json, out)
}

fn replay(input: impl BufRead, config: &Config, json: bool, out: &mut impl Write) -> Result<(), Ended> {
    let mut trace = Trace::open(input).map_err(Ended::Bad)?;
    let samples = match trace.header().scope {
        Subject::Cgroup => replay_cgroup(&mut trace, &config.livelock, json, out)?,
        Subject::Machine => machine::replay(&mut trace, config, json, out)?,
    };
    match samples {
        0 => Err(Ended::Bad(BadTrace { line: None, message: "no sample follows the header".to_owned() })),
        _ => out.flush().map_err(Ended::Unwritable),
    }
}

/// Prints what would have been done in a cgroup; how many samples there were.
fn replay_cgroup(
    trace: &mut Trace<impl BufRead>,
    config: &Livelock,
    json: bool,
    out: &mut impl Write,
) -> Result<u64, Ended> {
    let header = trace.header().clone();
    let mut judge = Judge::new(header.cgroup.as_deref(), header.page_size, config);
    let mut samples = 0_u64;
    while let Some(Entry { t_ms, sample, largest }) = trace.next_entry().map_err(Ended::Bad)? {
        samples += 1;
        let Some(decision) = judge.as_mut().and_then(|judge| judge.look(t_ms, &sample, largest)) else { continue };
        let line = if json { decision.json() } else { format!("{t_ms} ms: {}", decision.text()) };
        writeln!(out, "{line}").map_err(Ended::Unwritable)?;
    }
    Ok(samples)
}
