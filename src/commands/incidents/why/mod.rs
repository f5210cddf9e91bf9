//! `hogwatch incidents why`: who ended a unit or a process, if anybody did.

mod find;
mod journal;
mod kernel;
mod since;
mod text;
mod verdict;

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;

use super::{EXIT_NO_SUCH, complain};
use crate::commands::print;
use crate::report::incident::load::{Archive, Link, load_file};
use crate::report::incident::schema::{Cause, Incident};
use crate::report::{Escaped, Local};

use find::Found;
use journal::Journal;

/// Options of `hogwatch incidents why`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  hogwatch incidents why web.service               within the last day
  hogwatch incidents why ci-runner --since 2h      .service may be left out
  hogwatch incidents why 4242 --since yesterday    a process
  hogwatch incidents why 4242 --json | jq -r .verdict

The verdict is hogwatch, kernel (its OOM killer), systemd-oomd, or none_seen: then it was none of them, as far as
could be looked, and what systemd knows of the exit is shown, with the machine's memory around that time. Looked at
are the incident files and the journal.

Exit status: 0 answered, 1 nothing could be looked at, 2 usage, 4 no such unit or process was seen in that time.")]
pub(super) struct WhyArgs {
    /// A unit (web.service) or a pid
    #[arg(value_name = "UNIT or PID", value_parser = target)]
    target: Target,
    /// How far to look back: a span (10m, 2h, 3d), a time (2026-07-28 03:15, 2026-07-28T03:15:02Z, 03:15, @SECONDS; local
    /// time unless it ends with UTC or Z), today or yesterday
    #[arg(long, value_name = "T", default_value = "1d", allow_hyphen_values = true, value_parser = moment)]
    since: Moment,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Who is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Unit(String),
    Pid(i32),
}

/// Units and processes that are named to somebody who asked for one that was not seen.
const NAMES: usize = 12;

/// A moment in the past, in milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
struct Moment(u64);

fn target(text: &str) -> Result<Target, String> {
    /// As systemd.unit(5) has them; whoever leaves it out means a service, as everywhere.
    const SUFFIXES: [&str; 11] = [
        ".service",
        ".scope",
        ".slice",
        ".socket",
        ".mount",
        ".swap",
        ".timer",
        ".path",
        ".target",
        ".device",
        ".automount",
    ];
    if text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
        return match text.parse::<i32>() {
            Ok(pid) if pid > 0 => Ok(Target::Pid(pid)),
            _ => Err("no pid (write a number from 1 to 4194304)".to_owned()),
        };
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    if text.is_empty() || !text.chars().all(is_name) {
        return Err("neither a unit's name (web.service) nor a pid".to_owned());
    }
    let has_suffix = SUFFIXES.iter().any(|suffix| text.len() > suffix.len() && text.ends_with(suffix));
    // Names with dots in them are common, so only what begins as a suffix does is taken for a typo.
    if let Some((name, last)) = text.rsplit_once('.')
        && !has_suffix
        && last.len() >= 3
        && let Some(suffix) = SUFFIXES.iter().find(|suffix| suffix[1..].starts_with(last))
    {
        return Err(format!("no unit's name: did you mean {name}{suffix}?"));
    }
    Ok(Target::Unit(if has_suffix { text.to_owned() } else { format!("{text}.service") }))
}

fn moment(text: &str) -> Result<Moment, String> {
    since::since(text, now_ms()).map(Moment)
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The word that JSON has for it too.
pub(super) fn cause_word(cause: Cause) -> &'static str {
    match cause {
        Cause::Hogwatch => "hogwatch",
        Cause::Kernel => "kernel",
        Cause::SystemdOomd => "systemd-oomd",
        Cause::Unknown => "unknown",
    }
}

pub(super) fn run(args: &WhyArgs, archive: &Archive) -> ExitCode {
    let since_ms = args.since.0;
    let (incidents, mut unseen) = incidents(archive, since_ms);
    let mut journal = Journal::since(since_ms);
    let found = Found::look(&args.target, &incidents, &mut journal);
    journal.note_absence();
    let could_look = journal.answered || unseen.is_empty();
    unseen.append(&mut journal.unseen);
    if !could_look {
        for what in &unseen {
            eprintln!("hogwatch incidents why: could not look at {what}");
        }
        return ExitCode::FAILURE;
    }
    if !found.was_there {
        let who = match &args.target {
            Target::Unit(unit) => Escaped(unit.as_bytes()).to_string(),
            Target::Pid(pid) => format!("pid {pid}"),
        };
        eprintln!(
            "hogwatch incidents why: nothing was seen of {who} since {} (--since looks further back)",
            Local::at_ms(since_ms)
        );
        if !found.seen.is_empty() {
            let names: Vec<String> = found.seen.iter().map(|name| Escaped(name.as_bytes()).to_string()).collect();
            let more = if names.len() > NAMES { ", …" } else { "" };
            eprintln!(
                "hogwatch incidents why: hogwatch told of {}{more} (ask by unit or pid)",
                names[..names.len().min(NAMES)].join(", ")
            );
        }
        for what in &unseen {
            eprintln!("hogwatch incidents why: could not look at {what}");
        }
        return ExitCode::from(EXIT_NO_SUCH);
    }
    let verdict = verdict::of(&found);
    let text = if args.json {
        format!("{:#}\n", text::json(&args.target, since_ms, &verdict, &found, &unseen))
    } else {
        text::words(&args.target, &verdict, &found, &unseen, &archive.option())
    };
    print(&text, 0)
}

/// The incidents of that time, and what could not be read.
fn incidents(archive: &Archive, since_ms: u64) -> (Vec<Incident>, Vec<String>) {
    let listing = archive.files();
    let mut unseen: Vec<String> = listing.problems.iter().map(|problem| format!("incidents: {problem}")).collect();
    let mut incidents = Vec::new();
    for path in &listing.files {
        match load_file(path, Link::Refuse) {
            // One that is not over may be as long as it likes.
            Ok(loaded) if loaded.incident.end_ms.unwrap_or(u64::MAX) >= since_ms => incidents.push(loaded.incident),
            Ok(_) => {}
            Err(error) => {
                complain(&error);
                unseen.push(format!("incidents: {error}"));
            }
        }
    }
    (incidents, unseen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_and_pids() {
        let unit = |name: &str| Ok(Target::Unit(name.to_owned()));
        let cases = [
            ("web", unit("web.service")),
            ("web.service", unit("web.service")),
            ("session-3.scope", unit("session-3.scope")),
            ("getty@tty1", unit("getty@tty1.service")),
            ("a\\x2db.service", unit("a\\x2db.service")),
            ("4242", Ok(Target::Pid(4242))),
        ];
        for (text, expected) in cases {
            assert_eq!(target(text), expected, "{text}");
        }
        for bad in ["", "0", "99999999999", "a b", "--x/y", "x\n", "+", "web.servic"] {
            assert!(target(bad).is_err(), "{bad}");
        }
    }
}
