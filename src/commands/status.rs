//! `hogwatch status`: memory, swap, pressure, limits and the last acts, as the daemon sees them; without a daemon, as far
//! as this command can see by itself.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Args;
use serde_json::Value as Json;

use crate::config::{self, Config, Places};
use crate::decide::measure::Gauge;
use crate::host::{Host, Roots, clock};
use crate::observe::limits::{EnclosingReader, Hierarchy};
use crate::observe::machine::MachineReader;
use crate::observe::{Faults, Observation};
use crate::report::Size;
use crate::report::status::{Daemon, FetchError, StatusOptions, document, fetch};

use super::daemon::{runtime_dir, snapshot};

/// Options of `hogwatch status`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  hogwatch status
  hogwatch status --json | jq .memory.available_percent

Exit status: 0 a daemon answered, 3 none runs (what can be seen without one is shown).")]
pub struct StatusArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Exit status when no daemon runs.
const EXIT_NO_DAEMON: u8 = 3;

/// How long the daemon may take to answer.
const DEADLINE: Duration = Duration::from_secs(2);

/// Shows the status on stdout.
#[must_use]
pub fn run(args: &StatusArgs) -> ExitCode {
    let (document, status) = match ask() {
        Ok(document) => (document, 0),
        Err(why) => {
            if !matches!(why, FetchError::NotRunning) {
                eprintln!("hogwatch status: the daemon could not be asked: {why}");
            }
            match look() {
                Ok(document) => (document, EXIT_NO_DAEMON),
                Err(e) => {
                    eprintln!("hogwatch status: {e}");
                    return ExitCode::FAILURE;
                }
            }
        }
    };
    let text = if args.json { format!("{document:#}\n") } else { text(&document) };
    // Whoever closed the pipe has read enough.
    let _ = io::stdout().write_all(text.as_bytes());
    ExitCode::from(status)
}

/// Asks the user's own daemon, then the system's; the guard in dry run last.
fn ask() -> Result<Json, FetchError> {
    let system = std::path::PathBuf::from("/run/hogwatch");
    let places = [runtime_dir(false), Some(system), runtime_dir(true)];
    let mut answer = Err(FetchError::NotRunning);
    for dir in places.into_iter().flatten() {
        match fetch(&StatusOptions::in_dir(&dir).path, DEADLINE) {
            Err(FetchError::NotRunning) => {}
            Ok(document) => return Ok(document),
            Err(e) => answer = Err(e),
        }
    }
    answer
}

/// What can be seen without a daemon.
fn look() -> Result<Json, String> {
    let config = config::load(None, &Places::of_this_process()).map_or_else(|_| Config::default(), |l| l.config);
    let host = Host::open(&Roots::default()).map_err(|e| format!("/proc can't be opened: {e}"))?;
    let mut faults = Faults::default();
    let machine = MachineReader::open(&host).map_err(|e| format!("/proc/meminfo can't be opened: {e}"))?;
    let machine = machine.read(true, &mut faults).map_err(|e| e.to_string())?;
    let mut enclosing = EnclosingReader::open(&host, Hierarchy::of(&host), false);
    let enclosing = enclosing.read(&mut faults);
    let obs = Observation { machine: &machine, enclosing, victim_exited: false, tasks: None, details: None };
    let mut gauge = Gauge::new(&config.memory, &config.swap);
    gauge.note(&machine, clock::now());
    let snapshot = snapshot(&gauge.worst(&obs), &machine, enclosing);
    Ok(document(Daemon { pid: None, dry_run: None }, Some((SystemTime::now(), &snapshot))))
}

fn text(document: &Json) -> String {
    let mut out = String::new();
    // Writing to a String can't fail.
    let _ = write(&mut out, document);
    out
}

fn write(out: &mut String, document: &Json) -> std::fmt::Result {
    let daemon = &document["daemon"];
    match daemon["pid"].as_u64() {
        Some(pid) => {
            let how = if daemon["dry_run"] == true { ", dry run: it signals nobody" } else { "" };
            writeln!(out, "hogwatch  running (pid {pid}, version {}){how}", daemon["version"].as_str().unwrap_or("?"))?;
        }
        None => writeln!(out, "hogwatch  no daemon runs (systemctl enable --now hogwatch)")?,
    }
    let bytes = |value: &Json| value.as_u64().map_or("?".to_owned(), |b| Size(b).to_string());
    let number = |value: &Json| value.as_f64().map_or("?".to_owned(), |n| format!("{n:.2}"));
    let memory = &document["memory"];
    let whose = if memory["scope"] == "cgroup" { " under the nearest cgroup limit" } else { "" };
    writeln!(
        out,
        "memory    {} % available ({} of {}){whose}",
        number(&memory["available_percent"]),
        bytes(&memory["available_bytes"]),
        bytes(&memory["total_bytes"])
    )?;
    let swap = &document["swap"];
    match swap["total_bytes"].as_u64() {
        Some(0) => writeln!(out, "swap      none")?,
        _ => writeln!(out, "swap      {} free of {}", bytes(&swap["free_bytes"]), bytes(&swap["total_bytes"]))?,
    }
    let psi = &document["psi"];
    if psi["some_avg10"].is_null() {
        writeln!(out, "pressure  unknown: this kernel has no PSI")?;
    } else {
        writeln!(
            out,
            "pressure  some {} %, full {} % of the last 10 s",
            number(&psi["some_avg10"]),
            number(&psi["full_avg10"])
        )?;
    }
    for cgroup in document["cgroups"].as_array().into_iter().flatten() {
        let path = cgroup["path"].as_str().unwrap_or("?");
        writeln!(out, "limit     {path}: {} of {}", bytes(&cgroup["current"]), bytes(&cgroup["max"]))?;
    }
    let events = document["events"].as_array().map_or(&[][..], Vec::as_slice);
    if !events.is_empty() {
        writeln!(out, "\nlast events")?;
    }
    let now = SystemTime::now();
    for event in events {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(event["t_ms"].as_u64().unwrap_or(0));
        let ago = now.duration_since(at).unwrap_or_default().as_secs();
        let ago = match ago {
            0..=119 => format!("{ago} s"),
            120..=7199 => format!("{} min", ago / 60),
            _ => format!("{} h", ago / 3600),
        };
        writeln!(out, "  {ago:>7} ago  {}", event["message"].as_str().unwrap_or("?"))?;
    }
    Ok(())
}
