//! Replays an incident file: the memory guard's own engine, shown the memory and the processes that were recorded, and the
//! livelock rules, shown the cgroup in trouble.
//!
//! Open loop: the recording does not change by what would have been done, so of one shortage the first SIGTERM and the
//! first SIGKILL are printed. Between two samples nothing is known, so an act is as late as the next sample.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::commands::cgroup_sample;
use crate::commands::daemon::tell;
use crate::commands::users;
use crate::config::{Config, PercentOf};
use crate::decide::livelock::Kind;
use crate::decide::measure::Level;
use crate::decide::rules::Rules;
use crate::decide::victim::Own;
use crate::decide::{Act, Because, Engine, Note, Outcome, Signal, Step};
use crate::observe::parse::{Meminfo, State};
use crate::observe::{Comm, Depth, Machine, Observation, Small, Task, TaskId, Tasks};
use crate::report::incident::load::{MAX_FILE_BYTES, parse};
use crate::report::incident::schema::{CgroupSample, Incident, Sample};
use crate::report::{Escaped, Event, EventKind, Local, Size};

use super::Ended;
use super::cgroup::Judge;
use super::trace::BadTrace;

/// Steps at one sample. Each look, refusal and act is one.
const STEPS: usize = 8;

/// Room for the processes of one look: eight, the candidates, the victim.
const TASKS: usize = 64;

/// As much of a file as tells whether it is an incident.
const PREFIX: usize = 512;

/// Whether a file that begins so is meant to be an incident: its first key is one of the schema's, as hogwatch writes it or
/// as `show --json` does (by name). A trace begins with `{"header": …`.
pub(super) fn is_incident(begin: &[u8]) -> bool {
    let begin = &begin[..begin.len().min(PREFIX)];
    let text = String::from_utf8_lossy(begin);
    let Some(rest) = text.trim_start().strip_prefix('{') else { return false };
    let key = rest.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next());
    matches!(key, Some("schema" | "id" | "acts")) && !text.contains("\"header\"")
}

/// Prints what would have been done.
pub(super) fn replay(
    bytes: &[u8],
    file: &Path,
    config: &Config,
    as_json: bool,
    out: &mut impl Write,
) -> Result<(), Ended> {
    let bad = |message: String| Ended::Bad(BadTrace { line: None, message });
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(bad(format!("larger than {}; no incident of hogwatch's is", Size(MAX_FILE_BYTES))));
    }
    let (incident, _) = parse(bytes).map_err(bad)?;
    let total = incident.host.mem_total_bytes.filter(|total| *total > 0);
    let total = total.ok_or_else(|| bad("no \"host.mem_total_bytes\": percents can't be told".to_owned()))?;
    if incident.kind == "cgroup_limit" {
        return Err(bad(format!(
            "its samples are of the limit of {}, which can't be replayed: expected one of the machine's memory",
            incident.cgroup.as_deref().unwrap_or("a cgroup")
        )));
    }
    if incident.before.is_empty() && incident.cgroup_samples.is_empty() {
        return Err(bad("no samples in \"before\" or \"cgroup_samples\": there is nothing to replay".to_owned()));
    }
    let mut config = config.clone();
    for remark in remarks(&incident, &mut config, total) {
        eprintln!("{}: note: {remark}", Escaped(file.as_os_str().as_encoded_bytes()));
    }
    let rules = Rules::new(&config.victim, users()).map_err(|e| bad(e.to_string()))?;
    // Nobody of the recording is this process.
    let own = Own { pid: 0, uid: 0, may_signal_others: true };
    let mut replay = Replay {
        incident: &incident,
        total,
        engine: Engine::new(&config, rules, own),
        tasks: Tasks::with_capacity(TASKS, TASKS),
        grace: config.escalation.grace,
        asked: None,
        as_json,
        said: false,
        warn: None,
        judge: Judge::new(incident.cgroup.as_deref(), incident.host.page_bytes, &config.livelock),
        out,
    };
    replay.engine.reserve(&replay.tasks);
    let mut of_cgroup = incident.cgroup_samples.iter().peekable();
    for sample in &incident.before {
        while let Some(earlier) = of_cgroup.next_if(|one| one.t_ms <= sample.t_ms) {
            replay.judge(earlier).map_err(Ended::Unwritable)?;
        }
        replay.look(sample).map_err(Ended::Unwritable)?;
    }
    for later in of_cgroup {
        replay.judge(later).map_err(Ended::Unwritable)?;
    }
    if let (false, Some(warn)) = (replay.said, replay.warn) {
        let lowest = incident.before.iter().map(|sample| sample.available_bytes).min().unwrap_or(0);
        eprintln!(
            "{}: note: memory was never short by this configuration (lowest {}, warn {})",
            Escaped(file.as_os_str().as_encoded_bytes()),
            Size(lowest),
            Size(warn)
        );
    }
    out.flush().map_err(Ended::Unwritable)
}

/// What a reader has to know of this recording. What the recording can't answer is taken off the configuration.
fn remarks(incident: &Incident, config: &mut Config, total: u64) -> Vec<String> {
    let mut remarks = config.fit(total, incident.host.swap_total_bytes.unwrap_or(0));
    if config.memory.percent_of == PercentOf::User {
        config.memory.percent_of = PercentOf::Total;
        remarks.push(
            "memory.percent_of = \"user\" can't be replayed (AnonPages is not recorded): percents of the total".into(),
        );
    }
    let stuck = Kind::ALL.map(Kind::name).contains(&incident.kind.as_str());
    if incident.kind == "pressure" || stuck && incident.cgroup_samples.is_empty() {
        let place = incident.cgroup.as_deref().unwrap_or("the machine");
        let why = match incident.kind.as_str() {
            "pressure" => "the rules of [pressure] are not replayed",
            _ => "the incident has no samples of its counters (a trace has, see livelock.md)",
        };
        remarks.push(format!("the {} of {place} can't be replayed, only the memory guard: {why}", incident.kind));
    }
    if incident.tops.is_empty() && incident.candidates.is_empty() && incident.victim.is_none() {
        remarks.push("no processes were recorded: it can't be told whom".into());
    }
    if let Some(act) =
        incident.acts.iter().find(|act| matches!(act.event.as_str(), "term" | "kill") && !incident.dry_run)
    {
        remarks.push(format!(
            "from {} on the recording shows what was done then, not what would have followed",
            Local::at_ms(act.t_ms).clock()
        ));
    }
    remarks
}

/// A victim that would have been asked to end.
struct Asked {
    act: Act,
    at: Duration,
}

struct Replay<'a, W> {
    incident: &'a Incident,
    total: u64,
    engine: Engine,
    tasks: Tasks,
    grace: Duration,
    asked: Option<Asked>,
    as_json: bool,
    /// Anything was printed.
    said: bool,
    /// `memory.warn` in bytes, once it was looked at.
    warn: Option<u64>,
    /// Of the cgroup in trouble; `None` where the configuration leaves it alone.
    judge: Option<Judge<'a>>,
    out: &'a mut W,
}

impl<W: Write> Replay<'_, W> {
    fn look(&mut self, sample: &Sample) -> std::io::Result<()> {
        let now = Duration::from_millis(sample.t_ms);
        let swap_total = self.incident.host.swap_total_bytes;
        let machine = Machine {
            meminfo: Meminfo {
                mem_total: self.total,
                mem_available: Some(sample.available_bytes.min(self.total)),
                swap_total,
                swap_free: sample.swap_free_bytes,
                ..Meminfo::default()
            },
            ..Machine::default()
        };
        fill(&mut self.tasks, self.incident, sample.t_ms);
        let mut shown = false;
        for _ in 0..STEPS {
            let tasks = (shown && !self.tasks.list.is_empty()).then_some(&self.tasks);
            let obs = Observation { machine: &machine, enclosing: &[], victim_exited: false, tasks, details: None };
            let decision = self.engine.step(&obs, now);
            self.warn = Some(decision.reading.warn);
            let notes: Vec<Note> = self.engine.notes().copied().collect();
            for note in &notes {
                self.say(sample, &tell::noted(note, &machine))?;
            }
            if decision.reading.level < Level::Term {
                self.asked = None;
            } else {
                self.escalate(sample, decision.reading.level, now)?;
            }
            match decision.step {
                Step::Wait(_) => break,
                // Whom, nobody knows.
                Step::Look(_) if self.tasks.list.is_empty() => break,
                Step::Look(_) => shown = true,
                Step::Act(act) => {
                    self.say(sample, &tell::acted(&act, None))?;
                    self.engine.acted(&act, Outcome::Pretended, now);
                    self.asked = (act.signal == Signal::Term).then_some(Asked { act, at: now });
                    shown = false;
                }
            }
        }
        Ok(())
    }

    /// Judges the cgroup in trouble by a sample of it.
    fn judge(&mut self, sample: &CgroupSample) -> std::io::Result<()> {
        let Some(judge) = &mut self.judge else { return Ok(()) };
        let victim = self.incident.victim.as_ref().and_then(|victim| u32::try_from(victim.pid?).ok());
        let Some(decision) = judge.look(sample.t_ms, &cgroup_sample::read(sample), victim) else { return Ok(()) };
        self.said = true;
        match self.as_json {
            true => writeln!(self.out, "{}", decision.json()),
            false => writeln!(self.out, "{}: {}", Local::at_ms(sample.t_ms).clock(), decision.text()),
        }
    }

    /// SIGKILL for whoever was asked: at `kill`, or when the grace is over. Whether it would have ended before, nobody
    /// knows.
    fn escalate(&mut self, sample: &Sample, level: Level, now: Duration) -> std::io::Result<()> {
        let Some(Asked { act, at }) = &self.asked else { return Ok(()) };
        let waited = now.saturating_sub(*at);
        let because = match level {
            Level::Kill => Because::AtKill,
            _ if waited >= self.grace => Because::GraceOver(waited),
            _ => return Ok(()),
        };
        let mut reading = act.reading;
        reading.available = sample.available_bytes;
        reading.level = level;
        let kill = Act { signal: Signal::Kill, because, reading, ..*act };
        self.asked = None;
        self.say(sample, &tell::acted(&kill, None))
    }

    fn say(&mut self, sample: &Sample, event: &Event) -> std::io::Result<()> {
        self.said = true;
        let action = match event.event {
            EventKind::Warn => "warn",
            EventKind::Term => "term",
            EventKind::Kill => "kill",
            _ => "none",
        };
        let name = event.event.spec().name;
        let mut reason = event.reason.to_string();
        if event.event == EventKind::Refused {
            // What else held the memory is not recorded.
            reason.truncate(reason.find("; most memory is held by").unwrap_or(reason.len()));
            reason.push_str(&format!("; only {} processes are recorded, the largest", self.tasks.list.len()));
        }
        let cgroup = (!event.cgroup.is_empty()).then(|| event.cgroup.to_string());
        if self.as_json {
            let line = json!({
                "schema": 1,
                "t_ms": sample.t_ms,
                "event": name,
                "kind": event.kind,
                "cgroup": cgroup,
                "pid": event.pid,
                "action": action,
                "reason": reason,
            });
            return writeln!(self.out, "{line}");
        }
        let who = || match event.pid {
            Some(pid) => format!("{} (pid {pid})", event.comm),
            None => "somebody".to_owned(),
        };
        let what = match event.event {
            EventKind::Warn => "would warn".to_owned(),
            EventKind::Term => format!("would send SIGTERM to {}", who()),
            EventKind::Kill => format!("would send SIGKILL to {}", who()),
            EventKind::Refused => "would refuse".to_owned(),
            EventKind::Recovered => "would say that it is over".to_owned(),
            _ => format!("would say {name}"),
        };
        writeln!(self.out, "{}: {what}: {reason}", Local::at_ms(sample.t_ms).clock())
    }
}

/// The processes as they were known at a moment: the largest as last recorded, and who else is known of the incident.
fn fill(tasks: &mut Tasks, incident: &Incident, t_ms: u64) {
    tasks.list.clear();
    tasks.cgroups.clear();
    let tops = incident.tops.iter().rfind(|tops| tops.t_ms <= t_ms).or(incident.tops.first());
    for task in tops.iter().flat_map(|tops| &tops.tasks) {
        let known = incident.candidates.iter().find(|candidate| candidate.pid == task.pid);
        let victim = incident.victim.as_ref().filter(|victim| victim.pid == Some(task.pid));
        keep(
            tasks,
            &Known {
                pid: task.pid,
                comm: &task.comm,
                cgroup: task.cgroup.as_deref(),
                uid: known.and_then(|known| known.uid).or(victim.and_then(|victim| victim.uid)),
                oom_score_adj: known
                    .and_then(|known| known.oom_score_adj)
                    .or(victim.and_then(|victim| victim.oom_score_adj)),
                size: task.size_bytes,
                swap: task.swap_bytes,
            },
        );
    }
    if tasks.list.is_empty() {
        for candidate in &incident.candidates {
            keep(
                tasks,
                &Known {
                    pid: candidate.pid,
                    comm: &candidate.comm,
                    cgroup: candidate.cgroup.as_deref(),
                    uid: candidate.uid,
                    oom_score_adj: candidate.oom_score_adj,
                    size: candidate.size_bytes,
                    swap: candidate.swap_bytes,
                },
            );
        }
    }
    if tasks.list.is_empty()
        && let Some(victim) = &incident.victim
        && let (Some(pid), Some(size)) = (victim.pid, victim.size_bytes)
    {
        let (cgroup, swap) = (victim.cgroup.as_deref(), victim.swap_bytes.unwrap_or(0));
        let (uid, oom_score_adj) = (victim.uid, victim.oom_score_adj);
        keep(tasks, &Known { pid, comm: &victim.comm, cgroup, uid, oom_score_adj, size, swap });
    }
    tasks.list.sort_unstable_by_key(|task| task.id);
    tasks.depth = Depth::All;
    tasks.small = Small::default();
}

struct Known<'a> {
    pid: i32,
    comm: &'a str,
    cgroup: Option<&'a str>,
    uid: Option<u32>,
    oom_score_adj: Option<i32>,
    size: u64,
    swap: u64,
}

fn keep(tasks: &mut Tasks, known: &Known<'_>) {
    let swap = known.swap.min(known.size);
    let cgroup = known.cgroup.and_then(|path| tasks.cgroups.intern(path.as_bytes()));
    tasks.keep(Task {
        // A pid was not used twice within one incident.
        id: TaskId { pid: known.pid, start_time: 0 },
        ppid: 1,
        comm: Comm::new(known.comm.as_bytes()),
        uid: known.uid,
        state: State::Sleeping,
        threads: 1,
        dying: false,
        kernel: false,
        rss: known.size - swap,
        anon: Some(known.size - swap),
        shmem: None,
        swap: Some(swap),
        oom_score: None,
        // What was not recorded is taken for ordinary: else it would only be taken when nobody else is left.
        oom_score_adj: Some(known.oom_score_adj.unwrap_or(0)),
        cgroup,
    });
}
