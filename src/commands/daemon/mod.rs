//! `hogwatch daemon`: the guard, in the foreground.

mod clerk;
mod guard;
mod killers;
mod lifter;
mod lock;
mod managed;
mod others;
mod reader;
mod restarted;
mod scout;
mod snapshot;
mod surveyor;
pub(in crate::commands) mod systemctl;
pub(in crate::commands) mod tell;
pub(super) mod units;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use clap::Args;
use nix::sys::eventfd::EventFd;

use crate::act::Actor;
use crate::act::reaper::Reaper;
use crate::config::{self, Config, Places};
use crate::decide::Engine;
use crate::decide::rules::Rules;
use crate::host::process::Missing;
use crate::host::{Host, Roots, clock, memory};
use crate::observe::limits::{EnclosingReader, Hierarchy};
use crate::observe::machine::MachineReader;
use crate::observe::{CgroupPath, Faults};
use crate::report::status::{RunningConfig, StatusOptions};
use crate::report::{
    Event, EventKind, HistoryOptions, LevelFilter, Output, Pace, Recorder, Reporter, ReporterOptions, Text, systemd,
};

use super::{EXIT_CONFIG, own_self, users};
pub use lock::runtime_dir;
pub use snapshot::{AT_LIMIT, AtLimit, snapshot};

pub use guard::plan::Plan;
use guard::{Guard, Parts};
use lock::{Lock, LockError};
pub use managed::Sources;

/// Options of `hogwatch daemon`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  hogwatch daemon --dry-run            watch this machine and say what would be done
  hogwatch daemon --config my.toml     run with this file instead of /etc/hogwatch/hogwatch.toml
  systemctl enable --now hogwatch      the usual way")]
pub struct DaemonArgs {
    /// Use this file instead of the default one; it must be good
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Decide and report everything, signal nobody
    #[arg(long)]
    dry_run: bool,
}

/// How long the journal may take at the end to get what there still is.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// By then the incidents are on disk, counted from the stop: a disk in trouble syncs a file for seconds, and a
/// `current.json` that stays would be taken for a crash. With [`LAST_WORDS`] less than the unit's `TimeoutStopSec=` (10 s).
const ON_DISK_BY: Duration = Duration::from_secs(7);

/// So long the disk has in any case: lifted limits may need 6 s before (`guard::lifting`).
const DISK_AT_LEAST: Duration = Duration::from_secs(1);

/// −1000 is "never": the kernel's OOM killer must not take the guard while it is at work.
const OWN_OOM_SCORE_ADJ: i32 = -1000;

/// The guard comes before whatever keeps the machine busy.
const OWN_NICE: i32 = -20;

/// Runs the guard until SIGTERM or SIGINT.
#[must_use]
pub fn run(args: &DaemonArgs) -> ExitCode {
    memory::frugal_allocator();
    memory::raise_descriptor_limit();
    match start(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Config(error)) => {
            eprintln!("{error}");
            ExitCode::from(EXIT_CONFIG)
        }
        Err(Failure::Other(what)) => {
            eprintln!("hogwatch: {what}");
            ExitCode::FAILURE
        }
    }
}

enum Failure {
    Config(config::Error),
    Other(String),
}

/// Everything the guard needs, made before anything is locked in memory.
struct Prepared {
    guard: Box<Guard>,
    /// The lock, or why there is none.
    lock: Result<Lock, String>,
    missing: Missing,
    options: ReporterOptions,
    places: Places,
    /// What of the configuration was adjusted to this machine.
    adjusted: Vec<String>,
    /// Why this is not the configuration that the admin wrote.
    problem: Option<String>,
    last_good: Option<String>,
}

fn start(args: &DaemonArgs) -> Result<(), Failure> {
    let mut prepared = prepare(args)?;
    let guard = &mut prepared.guard;
    guard.rehearse();
    let locked = guard.lock_in_memory(&super::code_of_others());
    // Once more, so that what it takes of the C library is there.
    guard.rehearse_again();

    let running = Arc::clone(&prepared.options.config);
    let keeps_incidents = prepared.options.history.is_some();
    let (sender, reporter) = Reporter::start(prepared.options).map_err(cannot("the reporter can't be started"))?;
    let degraded = |reason: std::fmt::Arguments<'_>| {
        sender.send(&Event { reason: Text::format(reason), ..Event::new(EventKind::Degraded) });
    };
    if let Some(problem) = &prepared.problem {
        sender.send(&Event { reason: Text::from_bytes(problem.as_bytes()), ..Event::new(EventKind::ConfigRejected) });
    }
    for change in &prepared.adjusted {
        degraded(format_args!("{change}"));
    }
    if let Err(why) = &prepared.lock {
        degraded(format_args!("no lock: a second daemon would not notice this one ({why})"));
    }
    if !keeps_incidents {
        degraded(format_args!(
            "no incidents are kept: there is no state directory (neither STATE_DIRECTORY, XDG_STATE_HOME nor HOME is set)"
        ));
    }
    if !prepared.missing.is_nothing() {
        degraded(format_args!("{}", prepared.missing));
    }
    protect_self(guard, locked, &degraded);
    guard.arm(sender, Reaper::start().ok(), args.config.clone(), prepared.places, prepared.last_good, running);

    let _ = systemd::ready();
    let ended = guard.watch();
    let stopping = clock::now();
    let _ = systemd::stopping();
    guard.end_hooks();
    guard.end_lifts();
    guard.say_stop();
    let left = (stopping + ON_DISK_BY).saturating_sub(clock::now());
    reporter.stop(left.max(DISK_AT_LEAST), LAST_WORDS);
    ended.map_err(cannot("the guard's loop failed"))
}

/// Reads the configuration, takes the lock, opens what has to be open. In a frame of its own, which goes deeper than the
/// guard ever will and is given back afterwards.
#[inline(never)]
fn prepare(args: &DaemonArgs) -> Result<Prepared, Failure> {
    let places = Places::of_this_process();
    let mut started = config::at_start(args.config.as_deref(), &places).map_err(Failure::Config)?;
    let runtime = lock::runtime_dir(args.dry_run);
    let lock = match runtime.as_deref().map(Lock::take) {
        Some(Err(LockError::Held(pid))) => {
            return Err(Failure::Other(format!(
                "another hogwatch daemon is running already (pid {pid}); stop it first, or look at it with `hogwatch status`"
            )));
        }
        Some(Ok(lock)) => Ok(lock),
        Some(Err(LockError::Io(e))) => Err(e.to_string()),
        None => Err("no runtime directory (neither RUNTIME_DIRECTORY nor XDG_RUNTIME_DIR is set)".to_owned()),
    };

    let host = Host::open(&Roots::default()).map_err(cannot("/proc can't be opened"))?;
    let machine = MachineReader::open(&host).map_err(cannot("/proc/meminfo can't be opened"))?;
    let hierarchy = Hierarchy::of(&host);
    let enclosing = EnclosingReader::open(&host, hierarchy, own_unit().is_some());
    let mut own = own_self(&host);
    // A dry run shows what the armed guard would do: its unit leaves out the right to signal, having no use for it.
    own.may_signal_others |= args.dry_run && own.uid == 0;
    let adjusted = fit(&mut started.config, &machine);
    let rules = Rules::new(&started.config.victim, users()).map_err(|e| Failure::Other(e.to_string()))?;
    let missing = Missing::probe();
    let page_size = host.page_size;
    let own_unit = own_unit();
    let unit_dir = own_unit.as_deref().and_then(unit_dir);
    let own_unit = own_unit.and_then(|path| CgroupPath::new(path.as_bytes()));
    let recorder = Recorder::new(started.config.recorder.keep);
    let guard = Guard::new(Parts {
        actor: Actor::new(hierarchy, missing),
        commands: guard::hooks::commands(&started.config),
        dry_run: args.dry_run,
        enclosing,
        engine: Engine::new(&started.config, rules, own),
        hierarchy,
        host,
        plan: Arc::new(Plan::new(&started.config, own_unit.as_ref(), page_size)),
        journal_every: started.config.journal.every,
        machine,
        own,
        recorder: recorder.clone(),
        runtime: runtime.clone(),
        unit_dir,
    })
    .map_err(cannot("the guard can't be set up"))?;

    let status = lock.is_ok().then(|| runtime.as_deref().map(StatusOptions::in_dir)).flatten();
    let named = args.config.as_deref().and_then(|file| std::path::absolute(file).ok());
    let file = named.or_else(|| places.file.clone());
    let options = ReporterOptions {
        output: Output::choose(Some(clock::utc_offset)),
        dry_run: args.dry_run,
        status,
        config: Arc::new(RunningConfig::new(file, started.hash)),
        textfile: started.config.metrics.textfile.take(),
        recorder,
        history: history(&started.config.recorder, &places, args.dry_run),
        // Remarks on hogwatch's own workings, for whoever debugs it: 32 KiB of locked memory that nobody else should pay.
        diagnostics: std::env::var("HOGWATCH_LOG")
            .ok()
            .and_then(|level| level.parse().ok())
            .unwrap_or(LevelFilter::OFF),
    };
    let (problem, last_good) = (started.problem, started.last_good);
    Ok(Prepared { guard, lock, missing, options, places, adjusted, problem, last_good })
}

/// Where incidents are kept, if anywhere.
fn history(config: &config::Recorder, places: &Places, dry_run: bool) -> Option<HistoryOptions> {
    Some(HistoryOptions {
        state: lock::state_dir(places, dry_run)?,
        incidents: config.incidents,
        restarted: restarted::restarted,
        pace: Pace::default(),
    })
}

/// What another thread has to say, if anything; once there is nothing, its bell is silent until there is more.
fn take<T>(inbox: &Receiver<T>, bell: &EventFd) -> Option<T> {
    inbox.try_recv().ok().or_else(|| {
        // What is said after this look at the bell rings it again.
        let _ = bell.read();
        inbox.try_recv().ok()
    })
}

fn cannot(what: &'static str) -> impl Fn(std::io::Error) -> Failure {
    move |e| Failure::Other(format!("{what}: {e}"))
}

/// Settles what of the thresholds depends on how much memory there is.
pub fn fit(config: &mut Config, machine: &MachineReader) -> Vec<String> {
    let Ok(seen) = machine.read(&mut Faults::default()) else { return Vec::new() };
    config.fit(seen.meminfo.mem_total, seen.meminfo.swap_total.unwrap_or(0))
}

/// Makes the guard hard to kill and to starve. Each of it is best effort: a plain user has none of it.
fn protect_self(guard: &Guard, locked: std::io::Result<()>, degraded: &impl Fn(std::fmt::Arguments<'_>)) {
    let adj = guard.lower_own_oom_score(OWN_OOM_SCORE_ADJ);
    let nice = memory::set_own_nice(OWN_NICE);
    let wanted = [
        ("locked in memory (CAP_IPC_LOCK)", locked),
        ("exempt from the kernel's OOM killer (CAP_SYS_RESOURCE)", adj),
        ("at high priority (CAP_SYS_NICE)", nice),
    ];
    let denied: Vec<_> = wanted.iter().filter(|(_, result)| result.is_err()).map(|(what, _)| *what).collect();
    if !denied.is_empty() {
        degraded(format_args!("hogwatch itself is not {}: the system unit has these rights", denied.join(", ")));
    }
}

/// Where a unit's cgroup is, in the unified hierarchy.
fn unit_dir(path: &str) -> Option<PathBuf> {
    let root = std::path::Path::new("/sys/fs/cgroup");
    let dir = root.join(path.strip_prefix('/')?);
    (root.join("cgroup.controllers").exists() && dir.join("cgroup.procs").exists()).then_some(dir)
}

/// The innermost cgroup, when systemd started us as a service: then it is our own unit.
fn own_unit() -> Option<String> {
    std::env::var_os("INVOCATION_ID")?;
    let text = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    text.lines()
        .filter_map(|line| line.splitn(3, ':').nth(2))
        .find(|path| path.ends_with(".service"))
        .map(str::to_owned)
}
