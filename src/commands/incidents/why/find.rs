//! Everything that was seen of the one who is asked about.

use std::collections::BTreeSet;

use nix::sys::utsname::uname;
use serde_json::Value as Json;

use super::Target;
use super::journal::{Journal, Line};
use super::kernel::{self, Kill};
use crate::report::incident::schema::{Cause, Entry, Incident};

/// `SD_MESSAGE_UNIT_PROCESS_EXIT` and others of systemd's `sd-messages.h`: they never change.
mod id {
    pub const PROCESS_EXIT: &str = "98e322203f7a4ed290d09fe03c09fe15";
    pub const UNIT_FAILED: &str = "d9b373ed55a64feb8242e02dbe79a49c";
    pub const UNIT_SUCCESS: &str = "7ad2d189f7e94e70a38c781354912448";
    pub const UNIT_STOPPING: &str = "de5b426a63be47a7b6ac3eaac82e2f6f";
    pub const UNIT_STOPPED: &str = "9d1aaa27d60140bd96365438aad20286";
    pub const OUT_OF_MEMORY: &str = "fe6faa94e7774663a0da52717891d8ef";
    pub const OOMD_KILL: &str = "d989611b15e44c9dbf31e3c81256e4ed";
}

/// The kernel logs a kill in several lines, and hogwatch tells of it too: within this long it is the same one.
const SAME_MS: u64 = 10_000;

/// Something that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Evidence {
    pub t_ms: u64,
    /// Who tells it: `incident`, `hogwatch`, `kernel`, `systemd`, `systemd-oomd`.
    pub source: &'static str,
    /// One line.
    pub text: String,
    /// Which incident it is part of.
    pub incident: Option<String>,
    /// Who ended it, if this says so.
    pub by: Option<Cause>,
    /// Of which machine it tells; `None`: this one.
    pub host: Option<String>,
}

/// Whose unit it is; no user's word counts for a system's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    System,
    User,
}

/// How it ended, as systemd knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Exit {
    pub t_ms: u64,
    /// `exited`, `killed`, `dumped`.
    pub code: Option<String>,
    /// `0`, `15`.
    pub status: Option<String>,
    /// `success`, `signal`, `oom-kill`, `timeout` …
    pub result: Option<String>,
    /// systemd was asked to stop it beforehand.
    pub asked_to_stop: bool,
    /// systemd's words.
    pub text: String,
}

/// The machine's memory at a moment.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Memory {
    pub t_ms: u64,
    /// Which machine's; `None`: this one's.
    pub host: Option<String>,
    pub available_bytes: u64,
    pub available_percent: Option<f64>,
    /// hogwatch warned then, or did more.
    pub short: bool,
}

/// All that was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The unit that a process lived in, or that was asked about.
    pub unit: Option<String>,
    /// Anything at all was seen of it.
    pub was_there: bool,
    /// Oldest first.
    pub evidence: Vec<Evidence>,
    /// Its ends, oldest first.
    pub exits: Vec<Exit>,
    /// Oldest first.
    pub memory: Vec<Memory>,
    /// When it last wrote to the journal itself.
    pub last_seen_ms: Option<u64>,
    /// The units and processes that hogwatch told of in that time, whoever was asked about.
    pub seen: BTreeSet<String>,
}

impl Found {
    pub fn look(target: &Target, incidents: &[Incident], journal: &mut Journal) -> Self {
        let mut found = Self::default();
        let mut whose = None;
        let last = match target {
            Target::Unit(unit) => {
                found.unit = Some(unit.clone());
                let of_system = journal.last_of(&format!("_SYSTEMD_UNIT={unit}"));
                whose = of_system.is_some().then_some(Whose::System);
                of_system.or_else(|| journal.last_of(&format!("_SYSTEMD_USER_UNIT={unit}")))
            }
            Target::Pid(pid) => journal.last_of(&format!("_PID={pid}")),
        };
        if let Some(last) = last {
            found.last_seen_ms = Some(last.t_ms);
            let (of_user, of_system) = (last.get("_SYSTEMD_USER_UNIT"), last.get("_SYSTEMD_UNIT"));
            whose = whose.or(Some(if of_user.is_some() { Whose::User } else { Whose::System }));
            found.unit = found.unit.or(of_user).or(of_system);
        }
        found.incidents(target, incidents);
        found.own(target, &journal.hogwatch());
        found.kernel(target, &journal.kernel());
        found.oomd(&journal.oomd());
        let mut of_manager = Vec::new();
        if let Some(unit) = found.unit.clone() {
            if whose != Some(Whose::User) {
                of_manager = journal.of_system_unit(&unit);
                whose = whose.or((!of_manager.is_empty()).then_some(Whose::System));
            }
            if whose != Some(Whose::System) {
                of_manager = journal.of_user_unit(&unit);
            }
        }
        // A user may say of a unit of their own what they like, but not of a system's that has its name.
        if whose != Some(Whose::System) {
            found.users(target, &journal.users_guards());
        }
        found.systemd(target, &of_manager);
        found.evidence.sort_by_key(|evidence| evidence.t_ms);
        found.exits.sort_by_key(|exit| exit.t_ms);
        found.memory.sort_by_key(|memory| memory.t_ms);
        found.was_there = found.last_seen_ms.is_some() || !found.evidence.is_empty() || !found.exits.is_empty();
        found
    }

    fn incidents(&mut self, target: &Target, incidents: &[Incident]) {
        let own = uname().ok().map(|uname| uname.nodename().to_string_lossy().into_owned());
        for incident in incidents {
            let host = incident.host.name.clone().filter(|name| Some(name) != own.as_ref());
            // Samples of a limit say nothing of the machine.
            let of_machine = if incident.kind == "cgroup_limit" { &[][..] } else { &incident.before };
            for sample in of_machine {
                let short = incident.thresholds.is_some_and(|limits| sample.available_bytes <= limits.warn_bytes);
                self.memory.push(Memory {
                    t_ms: sample.t_ms,
                    host: host.clone(),
                    available_bytes: sample.available_bytes,
                    available_percent: None,
                    short,
                });
            }
            let of_acts = if incident.events.is_empty() { &incident.acts } else { &incident.events };
            for entry in of_acts {
                self.saw(text(entry, "unit"), text(entry, "comm"), entry.fields.get("pid").and_then(Json::as_i64));
            }
            for entry in of_acts.iter().filter(|entry| is_about(target, entry)) {
                self.unit = self.unit.take().or_else(|| text(entry, "unit"));
                self.add(Evidence {
                    t_ms: entry.t_ms,
                    source: "incident",
                    text: entry.message.clone(),
                    incident: Some(incident.id.clone()),
                    by: by(&entry.event, incident.dry_run),
                    host: host.clone(),
                });
            }
        }
    }

    fn own(&mut self, target: &Target, lines: &[Line]) {
        for line in lines {
            let event = line.get("HOGWATCH_EVENT").unwrap_or_default();
            if let Some(available_bytes) = line.number("HOGWATCH_AVAILABLE_BYTES")
                && line.get("HOGWATCH_KIND").is_none_or(|kind| kind == "memory" || kind == "swap")
            {
                self.memory.push(Memory {
                    t_ms: line.t_ms,
                    host: None,
                    available_bytes,
                    available_percent: line.number("HOGWATCH_AVAILABLE_PERCENT"),
                    short: matches!(event.as_str(), "warn" | "term" | "kill" | "refused"),
                });
            }
            self.saw(line.get("HOGWATCH_UNIT"), line.get("HOGWATCH_COMM"), line.number("HOGWATCH_PID"));
            if is_told_of(target, line) {
                self.unit = self.unit.take().or_else(|| line.get("HOGWATCH_UNIT"));
                self.add(Evidence {
                    t_ms: line.t_ms,
                    source: "hogwatch",
                    text: line.message(),
                    incident: line.get("HOGWATCH_INCIDENT"),
                    by: by(&event, line.is("HOGWATCH_DRY_RUN", "1")),
                    host: None,
                });
            }
        }
    }

    /// What users' guards said of it; their word on the machine's memory is not asked for.
    fn users(&mut self, target: &Target, lines: &[Line]) {
        for line in lines.iter().filter(|line| is_told_of(target, line)) {
            self.unit = self.unit.take().or_else(|| line.get("HOGWATCH_UNIT"));
            let whose = line.get("_UID").unwrap_or_default();
            self.add(Evidence {
                t_ms: line.t_ms,
                source: "hogwatch",
                text: format!("{} (the guard of uid {whose})", line.message()),
                // The file is in that user's state directory.
                incident: None,
                host: None,
                by: by(&line.get("HOGWATCH_EVENT").unwrap_or_default(), line.is("HOGWATCH_DRY_RUN", "1")),
            });
        }
    }

    fn kernel(&mut self, target: &Target, lines: &[Line]) {
        let kills: Vec<(&Line, Kill)> =
            lines.iter().filter_map(|line| Some((line, kernel::kill(&line.message())?))).collect();
        for (line, kill) in &kills {
            // Where the victim lived stands in the other line of the same kill.
            let cgroup = kill.cgroup.clone().or_else(|| {
                let twin = kills.iter().find(|(other, twin)| {
                    twin.pid == kill.pid && twin.cgroup.is_some() && other.t_ms.abs_diff(line.t_ms) <= SAME_MS
                });
                twin.and_then(|(_, twin)| twin.cgroup.clone())
            });
            let about = match target {
                Target::Pid(pid) => kill.pid == *pid,
                Target::Unit(unit) => cgroup.is_some_and(|cgroup| lies_in(&cgroup, unit)),
            };
            if about {
                self.add(Evidence {
                    t_ms: line.t_ms,
                    source: "kernel",
                    text: line.message(),
                    incident: None,
                    host: None,
                    by: Some(Cause::Kernel),
                });
            }
        }
    }

    fn oomd(&mut self, lines: &[Line]) {
        let Some(unit) = self.unit.clone() else { return };
        for line in lines {
            let message = line.message();
            let killed = message.strip_prefix("Killed ").or_else(|| message.strip_prefix("Marked "));
            let cgroup =
                killed.and_then(|rest| rest.split(" due to ").next()).map(|path| path.trim_end_matches(" for killing"));
            if cgroup.is_some_and(|cgroup| lies_in(cgroup, &unit)) {
                self.add(Evidence {
                    t_ms: line.t_ms,
                    source: "systemd-oomd",
                    text: message.clone(),
                    incident: None,
                    host: None,
                    by: Some(Cause::SystemdOomd),
                });
            }
        }
    }

    /// What systemd said of the unit. Of a process only what came after it was last heard of, for the unit goes on.
    fn systemd(&mut self, target: &Target, lines: &[Line]) {
        let from = match target {
            Target::Unit(_) => 0,
            Target::Pid(_) => {
                let told = self.evidence.iter().map(|evidence| evidence.t_ms).min();
                self.last_seen_ms.or(told).unwrap_or(0).saturating_sub(SAME_MS)
            }
        };
        let mut stopping: Option<u64> = None;
        let mut in_order: Vec<&Line> = lines.iter().filter(|line| line.t_ms >= from).collect();
        in_order.sort_by_key(|line| line.t_ms);
        for line in in_order {
            let kind = line.get("MESSAGE_ID").unwrap_or_default();
            let t_ms = line.t_ms;
            let mut cause = None;
            match kind.as_str() {
                id::UNIT_STOPPING => stopping = Some(t_ms),
                id::PROCESS_EXIT => {
                    let asked_to_stop = stopping.take().is_some();
                    let (code, status) = (line.get("EXIT_CODE"), line.get("EXIT_STATUS"));
                    self.exits.push(Exit { t_ms, code, status, result: None, asked_to_stop, text: line.message() });
                }
                id::UNIT_FAILED | id::UNIT_SUCCESS | id::UNIT_STOPPED => {
                    let result =
                        line.get("UNIT_RESULT").or_else(|| (kind == id::UNIT_SUCCESS).then(|| "success".to_owned()));
                    let killed_by_kernel = result.as_deref() == Some("oom-kill");
                    cause = killed_by_kernel.then_some(Cause::Kernel);
                    match self.exits.last_mut().filter(|exit| t_ms.saturating_sub(exit.t_ms) <= SAME_MS) {
                        Some(exit) => exit.result = exit.result.take().or(result),
                        None => {
                            let asked_to_stop = stopping.take().is_some();
                            self.exits.push(Exit {
                                t_ms,
                                result,
                                asked_to_stop,
                                text: line.message(),
                                ..Exit::default()
                            });
                        }
                    }
                }
                id::OUT_OF_MEMORY => cause = Some(Cause::Kernel),
                id::OOMD_KILL => cause = Some(Cause::SystemdOomd),
                _ => continue,
            }
            self.add(Evidence { t_ms, source: "systemd", text: line.message(), incident: None, by: cause, host: None });
        }
        if matches!(target, Target::Pid(_)) {
            // Later ends are those of whoever came after it.
            self.exits.truncate(1);
        }
    }

    fn saw(&mut self, unit: Option<String>, comm: Option<String>, pid: Option<i64>) {
        self.seen.extend(unit);
        self.seen.extend(comm.zip(pid).map(|(comm, pid)| format!("{comm} (pid {pid})")));
    }

    /// Adds what is not known yet: an incident has its journal lines too.
    fn add(&mut self, new: Evidence) {
        let known = self.evidence.iter().any(|old| old.text == new.text && old.t_ms.abs_diff(new.t_ms) <= SAME_MS);
        if !known {
            self.evidence.push(new);
        }
    }
}

/// Whether a guard's line is about the one who is asked about.
fn is_told_of(target: &Target, line: &Line) -> bool {
    match target {
        Target::Pid(pid) => line.number("HOGWATCH_PID") == Some(*pid),
        Target::Unit(unit) => {
            line.is("HOGWATCH_UNIT", unit) || line.get("HOGWATCH_CGROUP").is_some_and(|cgroup| lies_in(&cgroup, unit))
        }
    }
}

fn is_about(target: &Target, entry: &Entry) -> bool {
    match target {
        Target::Pid(pid) => entry.fields.get("pid").and_then(Json::as_i64) == Some(i64::from(*pid)),
        Target::Unit(unit) => {
            text(entry, "unit").as_ref() == Some(unit) || text(entry, "cgroup").is_some_and(|path| lies_in(&path, unit))
        }
    }
}

fn text(entry: &Entry, field: &str) -> Option<String> {
    entry.fields.get(field)?.as_str().map(str::to_owned)
}

/// Whether a cgroup is a unit's, or in it.
fn lies_in(cgroup: &str, unit: &str) -> bool {
    cgroup.split('/').any(|part| part.strip_prefix('_').unwrap_or(part) == unit)
}

/// Who ended somebody, if this event of hogwatch's says so.
fn by(event: &str, dry_run: bool) -> Option<Cause> {
    match event {
        "kernel_oom" => Some(Cause::Kernel),
        "oomd_kill" => Some(Cause::SystemdOomd),
        "term" | "kill" if !dry_run => Some(Cause::Hogwatch),
        _ => None,
    }
}
