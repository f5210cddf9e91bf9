//! `hogwatch status`: memory, swap, pressure, limits and the last acts, as the daemon sees them; without a daemon, as far
//! as this command can see by itself.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Args;
use serde_json::{Value as Json, json};

use crate::config::{self, Config, Places};
use crate::decide::measure::Gauge;
use crate::host::{Host, Roots, clock};
use crate::observe::limits::{EnclosingReader, Hierarchy};
use crate::observe::machine::{self, MachineReader};
use crate::observe::{Faults, Observation};
use crate::report::Size;
use crate::report::status::{Daemon, FetchError, StatusOptions, document, fetch};

use super::daemon::{runtime_dir, snapshot};

/// Options of `hogwatch status`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  hogwatch status
  hogwatch status --json | jq .memory.available_percent

Exit status: 0 a daemon answered, 3 none runs (what can be seen without one is shown), 1 it can't be asked.")]
pub struct StatusArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Exit status when no daemon runs.
const EXIT_NO_DAEMON: u8 = 3;

/// Exit status when a daemon may run, but does not answer this user.
const EXIT_UNKNOWN: u8 = 1;

/// How long the daemon may take to answer.
const DEADLINE: Duration = Duration::from_secs(2);

/// Shows the status on stdout.
#[must_use]
pub fn run(args: &StatusArgs) -> ExitCode {
    let (document, status) = match ask() {
        Ok(document) => (document, 0),
        Err(why) => {
            let not_running = matches!(why, FetchError::NotRunning);
            if !not_running {
                eprintln!("hogwatch status: the daemon could not be asked: {why}");
            }
            match look() {
                Ok(document) if not_running => (document, EXIT_NO_DAEMON),
                // It may well run: who knows?
                Ok(mut document) => {
                    document["daemon"]["running"] = Json::Null;
                    (document, EXIT_UNKNOWN)
                }
                Err(e) => {
                    eprintln!("hogwatch status: {e}");
                    return ExitCode::FAILURE;
                }
            }
        }
    };
    let mut document = document;
    document["swap"]["zram"] = zram();
    let text = if args.json { format!("{document:#}\n") } else { text(&document) };
    super::print(&text, status)
}

/// Asks the user's own daemon, then the system's; the guard in dry run last.
fn ask() -> Result<Json, FetchError> {
    let system = |name| Some(std::path::PathBuf::from(name));
    let places = [runtime_dir(false), system("/run/hogwatch"), runtime_dir(true), system("/run/hogwatch-dryrun")];
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
    let mut config =
        config::at_start(None, &Places::of_this_process()).map_or_else(|_| Config::default(), |started| started.config);
    let host = Host::open(&Roots::default()).map_err(|e| format!("/proc can't be opened: {e}"))?;
    let mut faults = Faults::default();
    let machine = MachineReader::open(&host).map_err(|e| format!("/proc/meminfo can't be opened: {e}"))?;
    let machine = machine.read(&mut faults).map_err(|e| e.to_string())?;
    let _ = config.fit(machine.meminfo.mem_total, machine.meminfo.swap_total.unwrap_or(0));
    let mut enclosing = EnclosingReader::open(&host, Hierarchy::of(&host), false);
    let enclosing = enclosing.read(&mut faults);
    let obs = Observation { machine: &machine, enclosing, victim_exited: false, tasks: None, details: None };
    let mut gauge = Gauge::new(&config);
    gauge.note(&machine, clock::now());
    let snapshot = snapshot(&gauge.worst(&obs), &machine, enclosing);
    Ok(document(Daemon { pid: None, dry_run: None }, Some((SystemTime::now(), &snapshot))))
}

/// What swap on zram really costs: it lives in memory. `null` without zram.
fn zram() -> Json {
    Host::open(&Roots::default()).ok().and_then(|host| machine::zram(host.sys.as_ref()?)).map_or(Json::Null, |sum| {
        json!({
            "stored_bytes": sum.orig_data_size,
            "compressed_bytes": sum.compr_data_size,
            "memory_bytes": sum.mem_used_total,
        })
    })
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
        None if daemon["running"].is_null() => writeln!(out, "hogwatch  unknown: it can't be asked (see above)")?,
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
    let limits = &document["limits"];
    writeln!(
        out,
        "limits    warn at {}, SIGTERM at {}, SIGKILL at {}",
        bytes(&limits["warn_bytes"]),
        bytes(&limits["term_bytes"]),
        bytes(&limits["kill_bytes"])
    )?;
    let swap = &document["swap"];
    match swap["total_bytes"].as_u64() {
        Some(0) => writeln!(out, "swap      none")?,
        _ => writeln!(out, "swap      {} free of {}", bytes(&swap["free_bytes"]), bytes(&swap["total_bytes"]))?,
    }
    let zram = &swap["zram"];
    if zram["stored_bytes"].as_u64().is_some_and(|stored| stored > 0) {
        writeln!(
            out,
            "zram      {} of swap in {} of memory",
            bytes(&zram["stored_bytes"]),
            bytes(&zram["memory_bytes"])
        )?;
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
