//! `hogwatch status`: memory, swap, pressure, limits and the last acts, as the daemon sees them; without a daemon, as far
//! as this command can see by itself.

mod lines;
mod look;
mod seen;
mod text;
mod watch;

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Args;
use serde_json::{Value as Json, json};

use crate::host::{Host, Roots};
use crate::observe::machine;
use crate::report::status::{FetchError, StatusOptions, fetch};

use super::daemon::runtime_dir;
use look::{Looker, sees_cgroups};
use seen::Document;
use text::text;
pub use watch::Abilities;

/// Options of `hogwatch status`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  hogwatch status
  hogwatch status --watch                                  on the whole terminal, every second; ? shows the keys
  hogwatch status --json | jq .memory.available_percent

Exit status: 0 a daemon answered, 3 none runs (what can be seen without one is shown), 1 it can't be asked; with --watch
0 when it was left by a key, 128 and its number when by a signal.")]
pub struct StatusArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Show it live, on the whole terminal
    #[arg(long, conflicts_with = "json")]
    watch: bool,
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
    if args.watch {
        return watch::run();
    }
    let (document, status) = match ask(DEADLINE) {
        Ok(document) => (document, 0),
        Err(why) => {
            let not_running = matches!(why, FetchError::NotRunning);
            if !not_running {
                eprintln!("hogwatch status: the daemon could not be asked: {why}");
            }
            match Looker::open().and_then(|mut looker| looker.look()) {
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
    let host = Host::open(&Roots::default()).ok();
    document["swap"]["zram"] = host.as_ref().map_or(Json::Null, zram);
    if args.json {
        return super::print(&format!("{document:#}\n"), status);
    }
    match Document::read(document) {
        Ok(document) => {
            super::print(&text(&document, host.as_ref().is_some_and(sees_cgroups), SystemTime::now()), status)
        }
        Err(why) => {
            eprintln!("hogwatch status: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Asks the user's own daemon, then the system's; the guard in dry run last; each for at most `limit`.
pub(super) fn ask(limit: Duration) -> Result<Json, FetchError> {
    let system = |name| Some(std::path::PathBuf::from(name));
    let places = [runtime_dir(false), system("/run/hogwatch"), runtime_dir(true), system("/run/hogwatch-dryrun")];
    let mut answer = Err(FetchError::NotRunning);
    for dir in places.into_iter().flatten() {
        match fetch(&StatusOptions::in_dir(&dir).path, limit) {
            Err(FetchError::NotRunning) => {}
            Ok(document) => return Ok(document),
            Err(e) => answer = Err(e),
        }
    }
    answer
}

/// What swap on zram really costs: it lives in memory. `null` without zram.
fn zram(host: &Host) -> Json {
    host.sys.as_ref().and_then(machine::zram).map_or(Json::Null, |sum| {
        json!({
            "stored_bytes": sum.orig_data_size,
            "compressed_bytes": sum.compr_data_size,
            "memory_bytes": sum.mem_used_total,
        })
    })
}
