//! The journal, asked through `journalctl -o json`: a child with bounded output and a deadline.
//!
//! Anybody may write to the journal whatever fields they like; only those that begin with `_` are journald's own. So each
//! line counts only by who wrote it.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::unistd::geteuid;
use serde_json::{Map, Value as Json};

use crate::commands::daemon::systemctl::output_and_remarks;

/// A journal of a few gigabytes on a slow disk is searched in seconds.
const DEADLINE: Duration = Duration::from_secs(30);

/// Lines that are looked at of each source, the latest first: with the fields below about 2 MiB.
const LINES: &str = "--lines=3000";

/// Fields that are wanted; the others are not sent.
const FIELDS: &str = "--output-fields=MESSAGE,MESSAGE_ID,_UID,_PID,_COMM,_TRANSPORT,_SYSTEMD_UNIT,_SYSTEMD_USER_UNIT,UNIT,\
                      USER_UNIT,EXIT_CODE,EXIT_STATUS,UNIT_RESULT,JOB_TYPE,HOGWATCH_EVENT,HOGWATCH_KIND,HOGWATCH_PID,HOGWATCH_COMM,\
                      HOGWATCH_UID,HOGWATCH_UNIT,HOGWATCH_CGROUP,HOGWATCH_SIGNAL,HOGWATCH_DRY_RUN,HOGWATCH_INCIDENT,\
                      HOGWATCH_AVAILABLE_BYTES,HOGWATCH_AVAILABLE_PERCENT";

/// What journalctl remarks to a user who may not read everything.
const NOT_ALL: &str = "not seeing messages from other users";

/// There while journald runs.
const SOCKET: &str = "/run/systemd/journal/socket";

/// A line of the journal.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// When it was received, in milliseconds since 1970.
    pub t_ms: u64,
    fields: Map<String, Json>,
}

impl Line {
    /// A field's value; of several the first.
    pub fn get(&self, field: &str) -> Option<String> {
        match self.fields.get(field)? {
            Json::String(text) => Some(text.clone()),
            // Bytes that are no UTF-8 or not printable, or several values.
            Json::Array(values) => match values.first()? {
                Json::String(text) => Some(text.clone()),
                Json::Number(_) => {
                    let bytes = values.iter().filter_map(|byte| u8::try_from(byte.as_u64()?).ok());
                    Some(String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned())
                }
                _ => None,
            },
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_) => None,
        }
    }

    pub fn is(&self, field: &str, value: &str) -> bool {
        self.get(field).as_deref() == Some(value)
    }

    pub fn message(&self) -> String {
        self.get("MESSAGE").unwrap_or_default()
    }

    pub fn number<T: std::str::FromStr>(&self, field: &str) -> Option<T> {
        self.get(field)?.parse().ok()
    }
}

/// The journal from a moment on.
#[derive(Debug)]
pub(super) struct Journal {
    since_ms: u64,
    /// What could not be looked at, and why; each thing once.
    pub unseen: Vec<String>,
    /// There is a journal, and it could be read.
    pub answered: bool,
}

impl Journal {
    pub fn since(since_ms: u64) -> Self {
        Self { since_ms, unseen: Vec::new(), answered: false }
    }

    /// What the system's guard said, and the one of the user who asks. Each is a question of its own: of one for all,
    /// others could push these out of the latest lines.
    pub fn hogwatch(&mut self) -> Vec<Line> {
        let own = geteuid();
        let writers = std::iter::once(0).chain((!own.is_root()).then_some(own.as_raw()));
        let of = |uid| self.ask("hogwatch's own entries", &["SYSLOG_IDENTIFIER=hogwatch", &format!("_UID={uid}")]);
        let mut lines: Vec<Line> = writers.flat_map(of).collect();
        lines.retain(|line| line.get("HOGWATCH_EVENT").is_some());
        lines
    }

    /// What the guards of users said, each about what is below its user's slice: nobody's guard kills elsewhere.
    pub fn users_guards(&mut self) -> Vec<Line> {
        let service = "_SYSTEMD_USER_UNIT=hogwatch.service";
        let mut lines = self.ask("the entries of users' guards", &["SYSLOG_IDENTIFIER=hogwatch", service]);
        lines.retain(|line| {
            line.get("HOGWATCH_EVENT").is_some()
                && line.get("_UID").is_some_and(|uid| {
                    let slice = format!("/user.slice/user-{uid}.slice/");
                    line.get("HOGWATCH_CGROUP").is_some_and(|cgroup| cgroup.starts_with(&slice))
                })
        });
        lines
    }

    /// What systemd said of a unit of its own.
    pub fn of_system_unit(&mut self, unit: &str) -> Vec<Line> {
        self.ask(&format!("what systemd said of {unit}"), &[&format!("UNIT={unit}"), "_PID=1"])
    }

    /// What users' managers said of a unit of theirs.
    pub fn of_user_unit(&mut self, unit: &str) -> Vec<Line> {
        let what = format!("what users' systemd said of {unit}");
        let matches = [&format!("USER_UNIT={unit}"), "_COMM=systemd", "_SYSTEMD_USER_UNIT=init.scope"];
        let mut lines = self.ask(&what, &matches);
        lines.retain(|line| {
            line.get("_SYSTEMD_UNIT").is_some_and(|unit| unit.starts_with("user@") && unit.ends_with(".service"))
        });
        lines
    }

    /// The kernel's OOM kills.
    pub fn kernel(&mut self) -> Vec<Line> {
        let (what, of_kernel) = ("the kernel's lines", "_TRANSPORT=kernel");
        // A journalctl without PCRE2 can't search: then the latest lines are taken as they are.
        let known = self.unseen.len();
        let found = self.ask(what, &["--grep=oom-kill:|Killed process", of_kernel]);
        if self.unseen.len() > known && !self.unseen[known..].iter().any(|why| why.contains("can't be started")) {
            self.unseen.truncate(known);
            return self.ask(what, &[of_kernel]);
        }
        found
    }

    /// What systemd-oomd said.
    pub fn oomd(&mut self) -> Vec<Line> {
        self.ask("systemd-oomd's entries", &["_SYSTEMD_UNIT=systemd-oomd.service"])
    }

    /// The last line that a process, or somebody in a unit, wrote itself (a match of journald's own fields).
    pub fn last_of(&mut self, whose: &str) -> Option<Line> {
        self.ask("who was there", &["--lines=1", whose]).into_iter().next()
    }

    /// Lines, the latest first. What can't be had is noted.
    fn ask(&mut self, what: &str, matches: &[&str]) -> Vec<Line> {
        let mut command = Command::new("journalctl");
        let since = format!("--since=@{}.{:03}", self.since_ms / 1000, self.since_ms % 1000);
        command.args(["--output=json", "--no-pager", "--reverse", "--all", LINES, FIELDS, &since]).args(matches);
        match output_and_remarks(command, Instant::now() + DEADLINE) {
            Ok((out, remarks)) => {
                self.note_rights(&remarks);
                let lines: Vec<Line> = out.lines().filter_map(line).collect();
                self.answered |= !lines.is_empty() || Path::new(SOCKET).exists();
                lines
            }
            // grep(1)'s way: nothing was found.
            Err(why) if why.ends_with("(exit status: 1): it did not say why") || why.contains(NOT_ALL) => {
                self.note_rights(&why);
                Vec::new()
            }
            Err(why) if why.contains("can't be started") => {
                self.note("the journal: journalctl can't be started".to_owned());
                Vec::new()
            }
            Err(why) => {
                self.note(format!("{what}: {why}"));
                Vec::new()
            }
        }
    }

    /// Notes that there is no journal, where nothing was found and nobody writes one. To be asked last.
    pub fn note_absence(&mut self) {
        if !self.answered && self.unseen.is_empty() {
            self.note("the journal: it is empty, and journald does not run here".to_owned());
        }
    }

    fn note_rights(&mut self, remarks: &str) {
        if remarks.contains(NOT_ALL) {
            self.note("the system's and other users' journals: be root or in the group systemd-journal".to_owned());
        }
    }

    fn note(&mut self, what: String) {
        if !self.unseen.contains(&what) {
            self.unseen.push(what);
        }
    }
}

fn line(text: &str) -> Option<Line> {
    let Json::Object(fields) = serde_json::from_str(text).ok()? else { return None };
    let usec: u64 = fields.get("__REALTIME_TIMESTAMP")?.as_str()?.parse().ok()?;
    Some(Line { t_ms: usec / 1000, fields })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_every_shape() {
        let text = r#"{"__REALTIME_TIMESTAMP":"1785208502123456","MESSAGE":[104,105,255],"A":"x","B":["y","z"],"C":null,"N":"42"}"#;
        let line = line(text).unwrap();
        assert_eq!(line.t_ms, 1_785_208_502_123);
        assert_eq!(line.message(), "hi\u{fffd}");
        assert_eq!(line.get("B").as_deref(), Some("y"));
        assert_eq!((line.get("C"), line.get("D")), (None, None));
        assert_eq!(line.number::<i32>("N"), Some(42));
        assert!(line.is("A", "x"));
        for bad in ["", "[]", "{}", "{\"__REALTIME_TIMESTAMP\":5}", "-- no entries --"] {
            assert!(super::line(bad).is_none(), "{bad}");
        }
    }
}
