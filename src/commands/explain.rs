//! `hogwatch explain`: who would be killed now, and why: the same engine, looked at instead of obeyed.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value as Json, json};

use crate::config::{self, Config, Places};
use crate::decide::builtin::{self, Name};
use crate::decide::measure::{Gauge, Level, Reading, Whose};
use crate::decide::rules::{Rule, Rules, Says};
use crate::decide::victim::{Choice, Chooser, Exclusion, GroupWhy, Refusal, Tier, Verdict, Victim};
use crate::host::{Host, Roots, clock};
use crate::observe::cgroups::{CgroupPath, is_within};
use crate::observe::details::{Detail, Details};
use crate::observe::limits::{EnclosingReader, Hierarchy};
use crate::observe::machine::MachineReader;
use crate::observe::scan::Scanner;
use crate::observe::{Depth, Faults, Need, Observation, Task, Tasks};
use crate::report::{Escaped, Size};

use super::{EXIT_CONFIG, own_self, users};

/// Options of `hogwatch explain`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  hogwatch explain                                    the ten first in rank on this machine
  hogwatch explain --all                              everybody, also those who are never killed
  hogwatch explain --cgroup /user.slice               if that cgroup's limit had fired
  hogwatch explain --json | jq '.candidates[0]'

Exit status: 0 somebody is eligible, 3 nobody is, 78 bad configuration.")]
pub struct ExplainArgs {
    /// Only what lives in this cgroup: its path below the cgroup root, as in /proc/PID/cgroup
    #[arg(long, value_name = "PATH")]
    cgroup: Option<String>,
    /// By this configuration instead of the daemon's
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// List everybody, not only the first in rank
    #[arg(long)]
    all: bool,
    /// Print JSON (everybody is in it)
    #[arg(long)]
    json: bool,
}

/// Exit status when nobody is eligible.
const EXIT_NOBODY: u8 = 3;

/// Candidates a person is shown unless all are asked for.
const SHOWN: usize = 10;

/// Explains, on stdout.
#[must_use]
pub fn run(args: &ExplainArgs) -> ExitCode {
    let config = match config::at_start(args.config.as_deref(), &Places::of_this_process()) {
        Ok(started) => {
            // As the daemon would run now.
            if let Some(problem) = started.problem {
                eprintln!("{problem}");
            }
            started.config
        }
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let explained = match explain(args, &config) {
        Ok(explained) => explained,
        Err(what) => {
            eprintln!("hogwatch explain: {what}");
            return ExitCode::FAILURE;
        }
    };
    let text = if args.json { format!("{:#}\n", explained.json()) } else { explained.text(args.all) };
    super::print(&text, if explained.candidates.is_empty() { EXIT_NOBODY } else { 0 })
}

struct Explained {
    reading: Reading,
    choice: Choice,
    candidates: Vec<Candidate>,
    excluded: Vec<(Task, String)>,
    min_size: u64,
}

struct Candidate {
    task: Task,
    cgroup: Option<String>,
    tier: Tier,
    reason: String,
}

fn explain(args: &ExplainArgs, config: &Config) -> Result<Explained, String> {
    let host = Host::open(&Roots::default()).map_err(|e| format!("/proc can't be opened: {e}"))?;
    let hierarchy = Hierarchy::of(&host);
    let mut faults = Faults::default();
    let machine = MachineReader::open(&host).map_err(|e| format!("/proc/meminfo can't be opened: {e}"))?;
    let machine = machine.read(&mut faults).map_err(|e| e.to_string())?;
    let mut config = config.clone();
    for change in config.fit(machine.meminfo.mem_total, machine.meminfo.swap_total.unwrap_or(0)) {
        eprintln!("note: {change}");
    }
    let config = &config;
    let mut enclosing = EnclosingReader::open(&host, hierarchy, false);
    let rules = Rules::new(&config.victim, users()).map_err(|e| e.to_string())?;
    let mut scanner = Scanner::new(hierarchy);
    // The first look tells how many there are, the second has room for all.
    for _ in 0..2 {
        scanner.scan(&host, Need { depth: Depth::All, oom_score: true }, u64::MAX, &mut faults);
        scanner.grow();
    }
    let tasks = scanner.tasks();
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
    let mut reading = gauge.worst(&obs);
    if let Some(path) = &args.cgroup {
        let path = known_cgroup(path, tasks)?;
        reading.whose = Whose::Cgroup(path);
    }
    let mut chooser = Chooser::new(own_self(&host), &config.victim, rules);
    chooser.reserve(tasks);
    chooser.judge(tasks, &obs, &reading, |_| false);
    let min_size = chooser.min_size(&reading);
    let choice = chooser.choose(tasks, &Reading { available: reading.available.max(reading.term), ..reading });
    let candidates = chooser
        .ranked(tasks, &reading)
        .into_iter()
        .filter_map(|i| {
            let Verdict::Eligible(tier, says) = *chooser.verdicts().get(i)? else { return None };
            let task = tasks.list[i];
            let cgroup = tasks.cgroup_path(&task).map(|p| String::from_utf8_lossy(p).into_owned());
            Some(Candidate { task, cgroup, tier, reason: why_here(&task, tier, says, min_size, config) })
        })
        .collect();
    let excluded = tasks
        .list
        .iter()
        .zip(chooser.verdicts())
        .filter_map(|(task, verdict)| match verdict {
            Verdict::Excluded(why) => Some((*task, why_not(*why, config))),
            Verdict::Eligible(..) => None,
        })
        .collect();
    Ok(Explained { reading, choice, candidates, excluded, min_size })
}

fn known_cgroup(path: &str, tasks: &Tasks) -> Result<CgroupPath, String> {
    let path = path.strip_suffix('/').filter(|p| !p.is_empty()).unwrap_or(path);
    let lived_in = tasks.list.iter().filter_map(|t| tasks.cgroup_path(t)).any(|p| is_within(p, path.as_bytes()));
    if !path.starts_with('/') {
        return Err(format!(
            "--cgroup {path}: expected a path from the cgroup root, as in /proc/PID/cgroup: /user.slice/…"
        ));
    }
    if !lived_in {
        return Err(format!("--cgroup {path}: no process lives there (`systemd-cgls` shows the cgroups there are)"));
    }
    CgroupPath::new(path.as_bytes()).ok_or_else(|| format!("--cgroup {path}: longer than any path hogwatch follows"))
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

fn why_here(task: &Task, tier: Tier, says: Says, min_size: u64, config: &Config) -> String {
    let list = match (tier, says) {
        (Tier::Prefer, Says::Prefer(rule)) => {
            format!("preferred by {}", rule_name(rule, "prefer", &config.victim.prefer))
        }
        (Tier::Avoid, Says::Avoid(rule)) => format!("avoided by {}", rule_name(rule, "avoid", &config.victim.avoid)),
        (Tier::Avoid, _) => "avoided: ManagedOOMPreference=avoid".to_owned(),
        (Tier::Unread, Says::Unread(rule)) => {
            format!("perhaps protected by {}, which can't be read", rule_name(rule, "protect", &config.victim.protect))
        }
        (Tier::Unread, _) => "its oom_score_adj can't be read, perhaps it is protected".to_owned(),
        _ => "in no list".to_owned(),
    };
    let size = task.size();
    if size < min_size {
        format!("{list}; {} is below min_size {}, not worth killing alone", Size(size), Size(min_size))
    } else {
        format!("{list}; {} would come back", Size(size))
    }
}

fn why_not(why: Exclusion, config: &Config) -> String {
    match why {
        Exclusion::Init => "pid 1: everything would go with it".to_owned(),
        Exclusion::Own => "hogwatch itself".to_owned(),
        Exclusion::NeverKill => "oom_score_adj is -1000".to_owned(),
        Exclusion::OutsideLimit => "outside the cgroup in question".to_owned(),
        Exclusion::NotPermitted => "another user's, which this guard may not signal".to_owned(),
        Exclusion::SetAside => "did not die of an earlier SIGKILL".to_owned(),
        Exclusion::Omit => "ManagedOOMPreference=omit".to_owned(),
        Exclusion::Protected(rule) => format!("protected by {}", rule_name(rule, "protect", &config.victim.protect)),
    }
}

fn rule_name(rule: Rule, list: &str, admin: &[config::Pattern]) -> String {
    let builtin = |list: &[Name], n: u16| list.get(usize::from(n)).map_or("?".to_owned(), ToString::to_string);
    match rule {
        Rule::BuiltinProtect(n) => format!("the built-in {}", builtin(builtin::PROTECT, n)),
        Rule::BuiltinAvoid(n) => format!("the built-in {}", builtin(builtin::AVOID, n)),
        Rule::SystemdChild => format!("the built-in {} (root only)", builtin::SYSTEMD_CHILD),
        Rule::Admin(n) => format!("victim.{list} {:?}", admin.get(usize::from(n)).map_or("?", |p| p.text.as_str())),
    }
}

fn tier_name(tier: Tier) -> &'static str {
    match tier {
        Tier::Prefer => "prefer",
        Tier::Ordinary => "ordinary",
        Tier::Avoid => "avoid",
        Tier::Unread => "unread",
    }
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::Calm => "nothing to do",
        Level::Warn => "warned, nobody is killed yet",
        Level::Term => "SIGTERM is due",
        Level::Kill => "SIGKILL is due",
    }
}

/// A rule with its input and threshold.
struct RuleState {
    name: &'static str,
    value: u64,
    threshold: u64,
    met: bool,
}

impl Explained {
    fn rules(&self) -> Vec<RuleState> {
        let Reading { available, warn, term, kill, swap_free, swap_term, swap_kill, swap_total, .. } = self.reading;
        let rule = |name, value, threshold| RuleState { name, value, threshold, met: value <= threshold };
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

    fn victim(&self) -> Option<&Victim> {
        match &self.choice {
            Choice::Victim(victim) => Some(victim),
            Choice::NeedAll | Choice::Refused(_) => None,
        }
    }

    fn json(&self) -> Json {
        let candidates = self.candidates.iter().enumerate().map(|(i, c)| {
            json!({
                "rank": i + 1,
                "pid": c.task.id.pid,
                "comm": String::from_utf8_lossy(c.task.comm.as_bytes()),
                "uid": c.task.uid,
                "cgroup": c.cgroup,
                "tier": tier_name(c.tier),
                "size_bytes": c.task.size(),
                "swap_bytes": c.task.swap,
                "oom_score": c.task.oom_score,
                "oom_score_adj": c.task.oom_score_adj,
                "reason": c.reason,
            })
        });
        let excluded = self.excluded.iter().map(|(task, reason)| {
            json!({"pid": task.id.pid, "comm": String::from_utf8_lossy(task.comm.as_bytes()), "reason": reason})
        });
        let rules = self
            .rules()
            .into_iter()
            .map(|r| json!({"name": r.name, "value": r.value, "threshold": r.threshold, "met": r.met}));
        json!({
            "schema": 1,
            "victim": self.victim().map(|v| v.id.pid),
            "group": self.victim().and_then(|v| v.group).map(|g| g.members),
            "refusal": self.refusal(),
            "level": level_name(self.reading.level),
            "min_size_bytes": self.min_size,
            "candidates": candidates.collect::<Vec<_>>(),
            "excluded": excluded.collect::<Vec<_>>(),
            "rules": rules.collect::<Vec<_>>(),
        })
    }

    fn refusal(&self) -> Option<String> {
        match self.choice {
            Choice::Refused(Refusal::NobodyEligible) => Some("no process is eligible".to_owned()),
            Choice::Refused(Refusal::NothingWorthKilling { largest, min_size }) => Some(format!(
                "the largest eligible process ({}) is below victim.min_size {}, and so is every cgroup's sum",
                Size(largest),
                Size(min_size)
            )),
            Choice::Refused(Refusal::WouldNotSuffice { together, deficit }) => Some(format!(
                "all candidates together ({}) are less than the {} missing",
                Size(together),
                Size(deficit)
            )),
            Choice::Refused(Refusal::HogSpared) => {
                Some("whoever made it stuck may not be killed, and nobody dies in its place".to_owned())
            }
            Choice::Refused(Refusal::NoGain) | Choice::Victim(_) | Choice::NeedAll => None,
        }
    }

    fn text(&self, all: bool) -> String {
        let mut out = String::new();
        // Writing to a String can't fail.
        let _ = self.write(&mut out, all);
        out
    }

    fn write(&self, out: &mut String, all: bool) -> std::fmt::Result {
        let r = &self.reading;
        let whose = match &r.whose {
            Whose::Machine => "this machine".to_owned(),
            Whose::Cgroup(path) => Escaped(path.as_bytes()).to_string(),
        };
        writeln!(
            out,
            "{whose}: {:.2} % available ({} of {}): {}",
            r.available_percent(),
            Size(r.available),
            Size(r.total),
            level_name(r.level)
        )?;
        for rule in self.rules() {
            let sign = if rule.met { "<=" } else { "> " };
            let met = if rule.met { "met" } else { "not met" };
            writeln!(
                out,
                "  {:<12} {:>9} {sign} {:<9} {met}",
                rule.name,
                Size(rule.value).to_string(),
                Size(rule.threshold).to_string()
            )?;
        }
        writeln!(out)?;
        match (self.victim(), self.refusal()) {
            (Some(v), _) => {
                let what = match v.group {
                    Some(group) => {
                        let why = match group.why {
                            GroupWhy::OomGroup => "memory.oom.group is 1",
                            GroupWhy::Configured => "victim.target is \"cgroup\"",
                            GroupWhy::ManySmall => "no single process is large enough",
                            GroupWhy::Several => "one alone would not free it",
                        };
                        let place = v.cgroup.as_ref().map(|p| Escaped(p.as_bytes()).to_string()).unwrap_or_default();
                        format!(
                            "{} processes of {place} together ({}), because {why}; the largest is {}",
                            group.members,
                            Size(v.size),
                            v.comm
                        )
                    }
                    None => format!("{} (pid {}, {})", v.comm, v.id.pid, Size(v.size)),
                };
                writeln!(out, "If memory ran short now, the first to go would be {what}.")?;
            }
            (None, Some(why)) => writeln!(out, "If memory ran short now, nobody would be killed: {why}.")?,
            (None, None) => {}
        }
        if !self.candidates.is_empty() {
            writeln!(out, "\nRANK     PID  NAME                SIZE      SWAP   ADJ  TIER      WHY")?;
        }
        let shown = if all { self.candidates.len() } else { SHOWN.min(self.candidates.len()) };
        for (i, c) in self.candidates.iter().take(shown).enumerate() {
            let adj = c.task.oom_score_adj.map_or("?".to_owned(), |a| a.to_string());
            writeln!(
                out,
                "{:>4} {:>7}  {:<15} {:>8}  {:>8} {:>5}  {:<8}  {}",
                i + 1,
                c.task.id.pid,
                c.task.comm.to_string(),
                Size(c.task.size()).to_string(),
                Size(c.task.swap.unwrap_or(0)).to_string(),
                adj,
                tier_name(c.tier),
                c.reason
            )?;
        }
        if shown < self.candidates.len() {
            writeln!(out, "     … and {} more (--all)", self.candidates.len() - shown)?;
        }
        if all {
            writeln!(out, "\nNever killed:\n        PID  NAME             WHY")?;
            for (task, reason) in &self.excluded {
                writeln!(out, "    {:>7}  {:<15}  {reason}", task.id.pid, task.comm.to_string())?;
            }
        } else if !self.excluded.is_empty() {
            writeln!(out, "\n{} processes are never killed (--all lists them with the reason).", self.excluded.len())?;
        }
        Ok(())
    }
}
