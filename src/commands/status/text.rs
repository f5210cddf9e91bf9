//! The status in words.

use std::fmt::{Result, Write};
use std::time::SystemTime;

use super::lines::{self, wrapped};
use super::seen::{Band, Cgroup, Document, Event, Words, level_words, limit, size};

/// What a line may take; a longer path goes on a line of its own, for it must stay whole to be pasted.
const WIDTH: u16 = 80;

/// Columns of an event before its sentence: how long ago, and the priority.
const FRONT: u16 = 23;

/// Cells of a band.
const BAND: usize = 10;

/// The status of `now`. Without cgroup v2 (`sees_cgroups`) nothing is said of cgroups that would be a guess.
pub(super) fn text(document: &Document, sees_cgroups: bool, now: SystemTime) -> String {
    let mut out = String::new();
    // Writing to a String can't fail.
    let _ = write(&mut out, document, sees_cgroups, now);
    out
}

fn write(out: &mut String, document: &Document, sees_cgroups: bool, now: SystemTime) -> Result {
    let daemon = &document.daemon;
    match (daemon.pid, daemon.running) {
        (Some(pid), _) if daemon.dry_run == Some(true) => {
            writeln!(out, "hogwatch  dry run, it signals nobody (pid {pid}, version {})", version(document))?;
        }
        (Some(pid), _) => writeln!(out, "hogwatch  guarding (pid {pid}, version {})", version(document))?,
        (None, None) => {
            writeln!(out, "hogwatch  unknown: it can't be asked (see above); what this command sees itself:")?;
        }
        (None, Some(_)) => writeln!(
            out,
            "hogwatch  NO DAEMON RUNS (systemctl enable --now hogwatch); what this command\n          sees itself:"
        )?,
    }
    write_machine(out, document)?;
    write_cgroups(out, document, sees_cgroups)?;
    write_events(out, &document.events, now)
}

fn version(document: &Document) -> &str {
    document.daemon.version.as_ref().map_or("?", Words::as_str)
}

fn write_machine(out: &mut String, document: &Document) -> Result {
    let number = |value: Option<f64>| value.map_or("?".to_owned(), |n| format!("{n:.2}"));
    let memory = &document.memory;
    let of = if memory.scope.as_ref().is_some_and(|scope| scope.as_str() == "cgroup") { "the limit " } else { "" };
    let (available, total) = (size(memory.available_bytes), size(memory.total_bytes));
    write!(out, "memory    {} % available ({available} of {of}{total})", number(memory.available_percent))?;
    match document.level() {
        None => writeln!(out)?,
        Some((level, limits)) => {
            writeln!(out, ": {}", level_words(level))?;
            let [warn, term, kill] =
                [limits.warn_bytes, limits.term_bytes, limits.kill_bytes].map(|bytes| size(Some(bytes)));
            writeln!(out, "          warn at {warn}, SIGTERM at {term}, SIGKILL at {kill} available")?;
        }
    }
    let swap = &document.swap;
    match (swap.total_bytes, swap.free_bytes) {
        (Some(0), _) => writeln!(out, "swap      none")?,
        (total, free) => writeln!(out, "swap      {} free of {}", size(free), size(total))?,
    }
    if let Some(zram) = swap.zram.as_ref().filter(|zram| zram.stored_bytes > 0) {
        let (stored, memory) = (size(Some(zram.stored_bytes)), size(Some(zram.memory_bytes)));
        writeln!(out, "zram      {stored} of swap in {memory} of memory")?;
    }
    match (document.psi.some_avg10, document.psi.full_avg10) {
        (None, _) => writeln!(out, "pressure  unknown: this kernel has no PSI"),
        (some, full) => writeln!(
            out,
            "pressure  tasks waited for memory {} % of the last 10 s, all of them {} %",
            number(some),
            number(full)
        ),
    }
}

/// The limits that enclose the guard, then a table of the cgroups that are at their own.
fn write_cgroups(out: &mut String, document: &Document, sees_cgroups: bool) -> Result {
    for cgroup in document.cgroups.iter().filter(|cgroup| !cgroup.is_at_limit()) {
        writeln!(out, "limit     {} of {} in {}", size(cgroup.current), size(cgroup.max), cgroup.path)?;
    }
    let mut at_limit = document.cgroups.iter().filter(|cgroup| cgroup.is_at_limit()).peekable();
    if at_limit.peek().is_none() {
        let says = if sees_cgroups { "none is at its limit" } else { "not watched: that takes cgroup v2" };
        return writeln!(out, "cgroups   {says}");
    }
    writeln!(out, "\ncgroups at their limit\n  STATE        STALL   CURRENT      HIGH  HIGH TO MAX        MAX  PATH")?;
    for cgroup in at_limit {
        write_cgroup(out, cgroup)?;
    }
    if let Some(more) = document.more_cgroups.filter(|more| *more > 0) {
        writeln!(out, "  and {more} more")?;
    }
    if document.cgroups.iter().any(|cgroup| cgroup.stuck().is_some()) {
        writeln!(out, "  (what a state means, and who would go: hogwatch explain --cgroup PATH)")?;
    }
    Ok(())
}

fn write_cgroup(out: &mut String, cgroup: &Cgroup) -> Result {
    let stall = cgroup.stall_percent.map_or("?".to_owned(), |percent| format!("{percent:.0} %"));
    let band = match cgroup.band() {
        Band::Free => String::new(),
        Band::Above(percent) => format!("{percent:+.1} %"),
        Band::Share(share) => {
            let full = lines::cells(share, BAND);
            format!("[{}{}]", "#".repeat(full), ".".repeat(BAND - full))
        }
    };
    let numbers = format!(
        "  {:<11} {stall:>6} {:>9} {:>9} {band:^12} {:>9}",
        cgroup.state.as_ref().map_or("-", Words::as_str),
        size(cgroup.current),
        limit(cgroup.high),
        limit(cgroup.max),
    );
    let path = match &cgroup.doing {
        Some(doing) => format!("{} ({doing})", cgroup.path),
        None => cgroup.path.to_string(),
    };
    let gap = if numbers.len() + 2 + path.chars().count() <= usize::from(WIDTH) { "  " } else { "\n      " };
    writeln!(out, "{numbers}{gap}{path}")
}

fn write_events(out: &mut String, events: &[Event], now: SystemTime) -> Result {
    if !events.is_empty() {
        writeln!(out, "\nlast events")?;
    }
    for event in events {
        let ago = match now.duration_since(event.at()).unwrap_or_default().as_secs() {
            seconds @ 0..=119 => format!("{seconds} s"),
            seconds @ 120..=7199 => format!("{} min", seconds / 60),
            seconds @ 7200..=172_799 => format!("{} h", seconds / 3600),
            seconds => format!("{} d", seconds / 86_400),
        };
        let mut front = format!("  {ago:>6} ago  {:<7}  ", event.priority.as_str());
        for line in wrapped(event.message.as_str(), WIDTH - FRONT) {
            writeln!(out, "{front}{line}")?;
            front = " ".repeat(usize::from(FRONT));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value as Json, json};

    use super::*;

    fn shown(document: Json, sees_cgroups: bool) -> String {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        text(&Document::read(document).unwrap(), sees_cgroups, now)
    }

    fn calm() -> Json {
        json!({
            "daemon": {"running": true, "pid": 812, "dry_run": false, "version": "0.1.0"},
            "memory": {"total_bytes": 16_u64 << 30, "available_bytes": 8_u64 << 30, "available_percent": 50.0, "scope": "host"},
            "limits": {"warn_bytes": 1638 << 20, "term_bytes": 819 << 20, "kill_bytes": 492 << 20},
            "swap": {"total_bytes": 0, "free_bytes": 0},
            "psi": {"some_avg10": 1.5, "full_avg10": 0.25},
        })
    }

    #[test]
    fn a_calm_machine() {
        let expected = "\
hogwatch  guarding (pid 812, version 0.1.0)
memory    50.00 % available (8.0 GiB of 16.0 GiB): above warn
          warn at 1.6 GiB, SIGTERM at 819 MiB, SIGKILL at 492 MiB available
swap      none
pressure  tasks waited for memory 1.50 % of the last 10 s, all of them 0.25 %
cgroups   none is at its limit
";
        assert_eq!(shown(calm(), true), expected);
        assert!(shown(calm(), false).ends_with("cgroups   not watched: that takes cgroup v2\n"));
    }

    #[test]
    fn who_speaks_and_how_scarce_it_is_stand_in_the_first_lines() {
        let first = |daemon: Json| shown(json!({"daemon": daemon}), true).lines().next().unwrap().to_owned();
        assert_eq!(
            first(json!({"running": false})),
            "hogwatch  NO DAEMON RUNS (systemctl enable --now hogwatch); what this command"
        );
        assert!(first(json!({"running": null})).starts_with("hogwatch  unknown: it can't be asked (see above)"));
        assert!(first(json!({"pid": 5, "dry_run": true})).starts_with("hogwatch  dry run, it signals nobody (pid 5,"));
        for (available, words) in
            [(1638_u64, "AT OR BELOW warn"), (819, "AT OR BELOW SIGTERM"), (492, "AT OR BELOW SIGKILL")]
        {
            let mut document = calm();
            document["memory"]["available_bytes"] = json!(available << 20);
            assert!(shown(document, true).contains(&format!("): {words}\n")), "{words}");
        }
    }

    #[test]
    fn cgroups_stand_in_a_table_and_long_paths_on_lines_of_their_own() {
        let long = format!("/user.slice/user-1000.slice/user@1000.service/app.slice/{}.scope", "x".repeat(60));
        let stuck = |path: &str, state: &str, stall: f64| {
            json!({
                "path": path, "current": 213 << 20, "high": 200 << 20, "max": 400 << 20, "stall_percent": stall,
                "state": state, "doing": (stall > 99.0).then_some("killing"),
            })
        };
        let document = json!({
            "cgroups": [
                stuck("/web.service", "throttled", 81.23),
                stuck(&long, "swap_thrash", 100.0),
                {"path": "/a", "current": 5, "high": null, "max": 6, "stall_percent": 0.4, "state": null},
                {"path": "/b\u{1b}[31m", "current": 5, "high": 4, "max": null, "stall_percent": 0.4, "state": "quiet"},
                {"path": "/user.slice", "current": 5, "high": null, "max": 6, "stall_percent": null, "state": null},
            ],
            "more_cgroups": 188,
        });
        let mut out = String::new();
        write_cgroups(&mut out, &Document::read(document).unwrap(), true).unwrap();
        let expected = format!(
            "limit     5 B of 6 B in /user.slice

cgroups at their limit
  STATE        STALL   CURRENT      HIGH  HIGH TO MAX        MAX  PATH
  throttled     81 %   213 MiB   200 MiB [#.........]   400 MiB  /web.service
  swap_thrash  100 %   213 MiB   200 MiB [#.........]   400 MiB
      {long} (killing)
  -              0 %       5 B       max [#########.]       6 B  /a
  quiet          0 %       5 B       4 B   +25.0 %          max  /b\\x1b[31m
  and 188 more
  (what a state means, and who would go: hogwatch explain --cgroup PATH)
"
        );
        assert_eq!(out, expected);
        let fits = |line: &str| line.contains(&long) || line.chars().count() <= usize::from(WIDTH);
        assert!(out.lines().all(fits), "{out}");
    }

    #[test]
    fn events_say_how_long_ago_and_how_grave_and_stay_within_the_line() {
        let event = |seconds: u64, priority: &str, message: &str| json!({"t_ms": (1_000_000 - seconds) * 1000, "priority": priority, "message": message});
        let long = "sent SIGTERM to hog\u{1b}]0;x\u{7} (pid 538, 211 MiB) in hog.service: livelock, 89 % stalled";
        let events = json!([
            event(200_000, "notice", "started"),
            event(7200, "info", "a"),
            event(150, "warning", "b"),
            event(3, "err", long)
        ]);
        let shown = shown(json!({"events": events}), true);
        let expected = "
last events
     2 d ago  notice   started
     2 h ago  info     a
   2 min ago  warning  b
     3 s ago  err      sent SIGTERM to hog\\x1b]0;x\\x07 (pid 538, 211 MiB) in
                       hog.service: livelock, 89 % stalled
";
        assert!(shown.ends_with(expected), "{shown}");
    }
}
