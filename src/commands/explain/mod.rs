//! `hogwatch explain`: who would be killed now, and why: the same engine, looked at instead of obeyed.

mod json;
mod livelock;
mod next;
mod reasons;
mod subject;
mod text;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::config::{self, Config, Places, units};
use crate::decide::cases;
use crate::decide::measure::{Gauge, Level, Reading, Whose};
use crate::decide::rules::Rules;
use crate::decide::victim::{Choice, Chooser, Exclusion, GroupWhy, Own, Tier, Verdict, Victim};
use crate::host::{Host, Roots, clock};
use crate::observe::cgroups::{CgroupPath, open};
use crate::observe::details::{Detail, Details};
use crate::observe::limits::{EnclosingReader, Hierarchy};
use crate::observe::machine::MachineReader;
use crate::observe::scan::Scanner;
use crate::observe::{Depth, Faults, Need, Observation, Task, Tasks};

use super::daemon::tell::Holders;
use super::running::{self, Found};
use super::{EXIT_CONFIG, own_self, users};
use livelock::Look;
pub(super) use next::{Next, next};
pub use subject::Stuck;
use subject::{Asked, Pressed, Subject, cgroup_path, must_exist};

/// Options of `hogwatch explain`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  hogwatch explain                                    the ten first in rank on this machine
  hogwatch explain --all                              everybody, also those who are never killed
  hogwatch explain --cgroup /system.slice/web.service
                                                      whether that cgroup is stuck at its limit, and who would go
  hogwatch explain --cgroup /user.slice --for 12s     the same, watched for a whole window
  hogwatch explain --json | jq '.candidates[0]'

Exit status: 0 somebody is eligible, 3 nobody is, 78 bad configuration.")]
pub struct ExplainArgs {
    /// Whether this cgroup is stuck, and who in it would be killed: its path below the cgroup root, as in /proc/PID/cgroup
    #[arg(long, value_name = "PATH")]
    cgroup: Option<OsString>,
    /// How long to watch the cgroup: it counts as stuck after livelock.after, 10s by default
    #[arg(long = "for", value_name = "DURATION", requires = "cgroup", default_value = "2s", value_parser = watch_time)]
    span: Duration,
    /// By this configuration instead of the file that the running daemon reads (or, with none, would read)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// List everybody, not only the first in rank
    #[arg(long)]
    all: bool,
    /// Print JSON (everybody is in it)
    #[arg(long)]
    json: bool,
}

/// In less than this even a stall that does not pause looks like none: a pause is 0.75 s.
const SHORTEST: Duration = Duration::from_secs(1);

/// No window is longer by far, and who waits longer has forgotten it.
const LONGEST: Duration = Duration::from_secs(60 * 60);

fn watch_time(text: &str) -> Result<Duration, String> {
    match units::duration(text).map_err(|bad| bad.to_string())? {
        span if span < SHORTEST => {
            Err("shorter than 1s, in which nothing can be told (write a duration from 1s to 1h)".to_owned())
        }
        span if span > LONGEST => Err("longer than an hour (write a duration from 1s to 1h)".to_owned()),
        span => Ok(span),
    }
}

/// Exit status when nobody is eligible.
const EXIT_NOBODY: u8 = 3;

/// What is said when the daemon goes by other values than its file has now.
const CHANGED: &str = "note: the configuration was changed since the daemon read it; this is by the files as they are now \
                       (the daemon reads them at `systemctl reload hogwatch`)";

/// Explains, on stdout.
#[must_use]
pub fn run(args: &ExplainArgs) -> ExitCode {
    let places = Places::of_this_process();
    let found = match &args.config {
        Some(file) => config::at_start(Some(file), &places).map(|started| Found { started, changed: false }),
        None => running::read(running::asked().as_ref(), &places),
    };
    let config = match found {
        Ok(Found { started, changed }) => {
            // As the daemon would run now.
            if let Some(problem) = started.problem {
                eprintln!("{problem}");
            }
            if changed {
                eprintln!("{CHANGED}");
            }
            started.config
        }
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let host = Host::open(&Roots::default()).map_err(|e| format!("/proc can't be opened: {e}"));
    let explained = match host.and_then(|host| answer(args, config, &host)) {
        Ok(explained) => explained,
        Err(what) => {
            eprintln!("hogwatch explain: {what}");
            return ExitCode::FAILURE;
        }
    };
    let text = if args.json { format!("{:#}\n", explained.json()) } else { explained.text(args.all) };
    super::print(&text, if explained.candidates.is_empty() { EXIT_NOBODY } else { 0 })
}

fn answer(args: &ExplainArgs, config: Config, host: &Host) -> Result<Explained, String> {
    let (config, changes) = fitted(config, host)?;
    for change in changes {
        eprintln!("note: {change}");
    }
    let subject = match &args.cgroup {
        Some(path) => Subject::Cgroup(Box::new(Asked::look(&cgroup_path(path)?, &config, host, args.span))),
        None => Subject::Memory,
    };
    explain(subject, &config, host, own_self(host))
}

/// The configuration as the daemon would run it on this machine, and what had to be changed for that.
fn fitted(mut config: Config, host: &Host) -> Result<(Config, Vec<String>), String> {
    let machine = MachineReader::open(host).map_err(|e| format!("/proc/meminfo can't be opened: {e}"))?;
    let meminfo = machine.read(&mut Faults::default()).map_err(|e| e.to_string())?.meminfo;
    let changes = config.fit(meminfo.mem_total, meminfo.swap_total.unwrap_or(0));
    Ok((config, changes))
}

struct Explained {
    /// The memory guard's view.
    memory: Reading,
    /// The livelock guard's view, of the cgroup that was asked for.
    cgroup: Option<(CgroupPath, Look)>,
    /// Its memory by `[cgroup_limits]`, where that section chooses it and it has a `memory.max`.
    limits: Option<Reading>,
    /// Its pressure by `[pressure]`, where that section chooses it.
    pressure: Option<Pressed>,
    choice: Choice,
    candidates: Vec<Candidate>,
    excluded: Vec<Excluded>,
    min_size: u64,
    /// What holds most of the machine's memory.
    holders: String,
}

struct Candidate {
    task: Task,
    cgroup: Option<String>,
    tier: Tier,
    reason: String,
}

struct Excluded {
    task: Task,
    why: Exclusion,
    reason: String,
}

/// Who would be killed for it now by a guard that is `own`. The configuration is a [`fitted`] one.
fn explain(subject: Subject, config: &Config, host: &Host, own: Own) -> Result<Explained, String> {
    let hierarchy = Hierarchy::of(host);
    let mut faults = Faults::default();
    let machine = MachineReader::open(host).map_err(|e| format!("/proc/meminfo can't be opened: {e}"))?;
    let machine = machine.read(&mut faults).map_err(|e| e.to_string())?;
    let mut enclosing = EnclosingReader::open(host, hierarchy, false);
    if let Some(asked) = subject.asked().filter(|asked| asked.chosen) {
        adopt(&mut enclosing, host, &asked.path);
    }
    let rules = Rules::new(&config.victim, users()).map_err(|e| e.to_string())?;
    let mut scanner = Scanner::new(hierarchy);
    scanner.scan_with_room(host, Need { depth: Depth::All, oom_score: true }, u64::MAX, &mut faults);
    let tasks = scanner.tasks();
    if let Some(path) = subject.path() {
        must_exist(host, path, tasks)?;
    }
    let details = details(tasks);
    let obs = Observation {
        machine: &machine,
        enclosing: enclosing.read(&mut faults),
        victim_exited: false,
        tasks: Some(tasks),
        details: Some(&details),
    };
    let mut gauge = Gauge::new(config);
    gauge.note(&machine, clock::now());
    let limits = obs.enclosing.iter().find(|e| e.chosen).and_then(|e| gauge.again(&Whose::Cgroup(e.path), &obs));
    // Those of `[cgroup_limits]` come last.
    let enclosing = &obs.enclosing[..obs.enclosing.iter().take_while(|e| !e.chosen).count()];
    let memory = gauge.worst(&Observation { enclosing, ..obs });
    let mut chooser = Chooser::new(own, &config.victim, rules);
    chooser.reserve(tasks);
    // Its own memory.max comes first when it is that near.
    let due = limits.filter(|limits| limits.level >= Level::Term && !subject.asked().is_some_and(Asked::is_acted_on));
    let (reading, choice) = match (due, subject.stuck()) {
        (Some(reading), _) => {
            chooser.judge(tasks, &obs, &reading, |_| false);
            (reading, chooser.choose(tasks, &reading))
        }
        // As a case of the daemon's would choose.
        (None, Some(Stuck { path, limit, current, kind })) => {
            let stuck = cases::stuck(&path, limit, current, kind);
            chooser.judge(tasks, &obs, &stuck.reading, |_| false);
            (stuck.reading, chooser.choose_stuck(tasks, &stuck))
        }
        (None, None) => {
            let whose = subject.path().map_or(memory.whose, |path| Whose::Cgroup(*path));
            let reading = Reading { whose, ..memory };
            chooser.judge(tasks, &obs, &reading, |_| false);
            let due = Reading { available: reading.available.max(reading.term), ..reading };
            (reading, chooser.choose(tasks, &due))
        }
    };
    let min_size = chooser.min_size(&reading);
    let candidates = in_order(&chooser, tasks, &reading, &choice)
        .into_iter()
        .filter_map(|i| {
            let Verdict::Eligible(tier, says) = *chooser.verdicts().get(i)? else { return None };
            let task = tasks.list[i];
            let cgroup = tasks.cgroup_path(&task).map(|p| String::from_utf8_lossy(p).into_owned());
            Some(Candidate { task, cgroup, tier, reason: reasons::why_here(&task, tier, says, min_size, config) })
        })
        .collect();
    let excluded = tasks
        .list
        .iter()
        .zip(chooser.verdicts())
        .filter_map(|(task, verdict)| match verdict {
            Verdict::Excluded(why) => Some(Excluded { task: *task, why: *why, reason: reasons::why_not(*why, config) }),
            Verdict::Eligible(..) => None,
        })
        .collect();
    let (cgroup, pressure) = match subject {
        Subject::Cgroup(asked) => (Some((asked.path, asked.look)), asked.pressure),
        Subject::Memory | Subject::Stuck(_) => (None, None),
    };
    Ok(Explained {
        memory,
        cgroup,
        limits,
        pressure,
        choice,
        candidates,
        excluded,
        min_size,
        holders: Holders(&machine).to_string(),
    })
}

/// Positions of all candidates: first those that were chosen, then the others by rank.
fn in_order(chooser: &Chooser, tasks: &Tasks, reading: &Reading, choice: &Choice) -> Vec<usize> {
    let mut order = chooser.ranked(tasks, reading);
    let Choice::Victim(victim) = choice else { return order };
    let several = victim.group.is_some_and(|group| group.why == GroupWhy::Several);
    order.sort_by_key(|index| {
        let id = tasks.list[*index].id;
        let member = if several { chooser.members().iter().position(|member| *member == id) } else { None };
        member.or((id == victim.id).then_some(0)).unwrap_or(usize::MAX)
    });
    order
}

impl Explained {
    fn victim(&self) -> Option<&Victim> {
        match &self.choice {
            Choice::Victim(victim) => Some(victim),
            Choice::NeedAll | Choice::Refused(_) => None,
        }
    }

    fn refusal(&self) -> Option<String> {
        match &self.choice {
            Choice::Refused(refusal) => reasons::refusal(*refusal),
            Choice::Victim(_) | Choice::NeedAll => None,
        }
    }

    /// The cgroup that was judged.
    fn case(&self) -> Option<&livelock::Case> {
        match &self.cgroup {
            Some((_, Look::Judged(case))) => Some(case),
            Some((_, Look::Not { .. })) | None => None,
        }
    }

    fn memory_rules(&self) -> Vec<MemoryRule> {
        let Reading { available, warn, term, kill, swap_free, swap_term, swap_kill, swap_total, .. } = self.memory;
        let rule = |name, value, threshold| MemoryRule { name, value, threshold, met: value <= threshold };
        let mut rules = vec![
            rule("memory.warn", available, warn),
            rule("memory.term", available, term),
            rule("memory.kill", available, kill),
        ];
        if swap_total > 0 {
            rules.extend([rule("swap.term", swap_free, swap_term), rule("swap.kill", swap_free, swap_kill)]);
        }
        rules
    }

    /// The cgroup's by `[cgroup_limits]`.
    fn limit_rules(&self) -> Vec<MemoryRule> {
        let Some(Reading { available, term, kill, .. }) = self.limits else { return Vec::new() };
        let rule = |name, threshold| MemoryRule { name, value: available, threshold, met: available <= threshold };
        vec![rule("cgroup_limits.term", term), rule("cgroup_limits.kill", kill)]
    }
}

/// A rule of the memory guard's with its input and threshold, in bytes.
struct MemoryRule {
    name: &'static str,
    value: u64,
    threshold: u64,
    met: bool,
}

/// Has the limit of the cgroup read as `[cgroup_limits]` has it. One that can't be is one without.
fn adopt(enclosing: &mut EnclosingReader, host: &Host, path: &CgroupPath) {
    let dir = host.cgroup2.as_ref().and_then(|root| open(root, path.as_bytes()).ok());
    if let Some(inode) = dir.and_then(|dir| dir.inode().ok()) {
        let _ = enclosing.adopt(host, inode, path);
    }
}

/// Command lines and executables of the largest: a command may wait where the guard may not.
fn details(tasks: &Tasks) -> Details {
    let mut details = Details::new();
    let mut largest: Vec<_> = tasks.list.iter().collect();
    largest.sort_by_key(|t| std::cmp::Reverse(t.size_with_shared()));
    for task in largest {
        let Ok(process) = procfs::process::Process::new(task.id.pid) else { continue };
        let (Ok(cmdline), Ok(exe)) = (process.cmdline(), process.exe()) else { continue };
        details.add(Detail::new(task.id, task.comm, cmdline.join("\0").as_bytes(), exe.as_os_str().as_bytes()));
    }
    details
}
