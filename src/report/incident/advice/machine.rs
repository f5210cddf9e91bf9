//! Advice on the machine's memory.

use super::super::answer::only_hogwatch_ended;
use super::super::schema::{Advice, Cause, Incident, Tops};
use super::acts::seconds;
use super::command::{quoted, set_property, systemd_size};
use super::{advise, is_the_machine};
use crate::report::{Size, unit_of};

/// Growth over less time is a burst, which a limit would not have caught any earlier.
const GROWTH_SPAN_MS: u64 = 30_000;

/// Growth by less than this share of the machine's memory did not fill it, in percent.
const GROWTH_PERCENT: u64 = 10;

/// A fall by less than this share between two looks still counts as growth, in percent: allocators give some back.
const DIP_PERCENT: u64 = 5;

/// zram that takes less of the machine's memory than this, in percent, is not what fills it.
const ZRAM_PERCENT: u64 = 10;

/// PSI `full` from which on a machine crawls, in percent.
const CRAWLS_PERCENT: f64 = 20.0;

/// Who gets SIGTERM should have this long before memory is gone, in seconds: most services end in less.
const TIME_TO_END_S: u64 = 5;

/// `memory.term` above this share of memory, in percent, costs more than it saves.
const MOST_TERM_PERCENT: u64 = 25;

/// The command that replays this incident; who knows the file's path puts it in.
const REPLAY_FILE: &str = "hogwatch replay FILE";

/// `REPLAY_FILE` with the file's path in it.
#[must_use]
pub fn with_path(advice: &str, path: &std::path::Path) -> String {
    match path.to_str() {
        Some(path) => advice.replace(REPLAY_FILE, &format!("hogwatch replay {}", quoted(path))),
        None => advice.to_owned(),
    }
}

/// A cgroup grew and grew until memory was gone.
pub(super) fn growth(incident: &Incident) -> Option<Advice> {
    if !is_the_machine(incident) {
        return None;
    }
    let total = incident.host.mem_total_bytes?;
    let end = incident.acts.first().map_or(incident.end_ms, |act| Some(act.t_ms)).unwrap_or(u64::MAX);
    let tops: Vec<&Tops> = incident.tops.iter().filter(|tops| tops.t_ms <= end).collect();
    let last = tops.last()?;
    let grown = last.cgroups.iter().filter_map(|cgroup| Growth::of(&tops, &cgroup.path));
    let most = grown.max_by_key(|growth| growth.to - growth.from)?;
    let (bytes, ms) = (most.to - most.from, most.ms);
    if ms < GROWTH_SPAN_MS || bytes < total / 100 * GROWTH_PERCENT {
        return None;
    }
    let rate = Size(bytes / ms.div_ceil(1000));
    let grew = format!(
        "{} grew {rate} a second for {} (from {} to {})",
        most.name(),
        Span(ms),
        Size(most.from),
        Size(most.to)
    );
    let at_warn = most.at_warn(&tops, incident);
    let held = at_warn.map_or_else(String::new, |size| {
        format!(
            "; it held {} when available memory fell to memory.warn, so a limit below that would have kept the machine out \
             of it",
            Size(size)
        )
    });
    let limit = systemd_size(at_warn.unwrap_or(most.to / 2));
    let property = format!("MemoryMax={limit}");
    let how = match set_property(&most.path, &property) {
        // A scope is gone with its processes, and its limit with it.
        Some(_) if most.path.ends_with(".scope") => {
            format!("start it with `systemd-run --user --scope -p {property} -p MemorySwapMax=0 COMMAND`")
        }
        Some(command) => format!("`{command}`"),
        None => format!("`MemoryMax={limit}` in whatever started {}", quoted(&most.path)),
    };
    advise(
        "set-memory-max",
        format!("{grew}: set MemoryMax, so that it meets its own limit and not the machine's{held}: {how}"),
    )
}

/// How a cgroup grew without a break until the last look.
#[derive(Debug)]
struct Growth {
    path: String,
    from: u64,
    to: u64,
    ms: u64,
}

impl Growth {
    fn of(tops: &[&Tops], path: &str) -> Option<Self> {
        let mut sizes = tops.iter().rev().map_while(|tops| {
            let cgroup = tops.cgroups.iter().find(|cgroup| cgroup.path == path)?;
            Some((tops.t_ms, cgroup.size_bytes))
        });
        let (end, to) = sizes.next()?;
        let mut first = (end, to);
        for (t_ms, size) in sizes {
            if size > first.1.saturating_add(first.1 / 100 * DIP_PERCENT) {
                break;
            }
            first = (t_ms, size);
        }
        Some(Self { path: path.to_owned(), from: first.1.min(to), to, ms: end.saturating_sub(first.0) })
    }

    /// Its size when available memory first fell to `warn`.
    fn at_warn(&self, tops: &[&Tops], incident: &Incident) -> Option<u64> {
        let warn = incident.thresholds?.warn_bytes;
        let crossed = incident.before.iter().find(|sample| sample.available_bytes <= warn)?.t_ms;
        let before = tops.iter().rev().find(|tops| tops.t_ms <= crossed)?;
        before.cgroups.iter().find(|cgroup| cgroup.path == self.path).map(|cgroup| cgroup.size_bytes)
    }

    fn name(&self) -> String {
        unit_of(self.path.as_bytes())
            .map_or_else(|| self.path.clone(), |unit| String::from_utf8_lossy(unit).into_owned())
    }
}

/// Memory that is full of compressed memory.
pub(super) fn zram(incident: &Incident) -> Option<Advice> {
    if !is_the_machine(incident) {
        return None;
    }
    let total = incident.host.mem_total_bytes?;
    let worst = incident.before.iter().filter(|sample| sample.zram_bytes.is_some()).max_by_key(|s| s.zram_bytes)?;
    let (zram, psi) = (worst.zram_bytes?, worst.psi_full_percent?);
    if zram < total / 100 * ZRAM_PERCENT || psi < CRAWLS_PERCENT {
        return None;
    }
    let cgroup = match incident.victim.as_ref() {
        Some(victim) => victim.cgroup.as_deref().filter(|_| victim.swap_bytes.is_some_and(|swap| swap > 0)),
        None => {
            let tasks = incident.tops.last().map_or(&[][..], |tops| &tops.tasks);
            tasks.iter().max_by_key(|task| task.swap_bytes).and_then(|task| task.cgroup.as_deref())
        }
    };
    let command = cgroup
        .and_then(|cgroup| set_property(cgroup, "MemorySwapMax=0"))
        .map_or_else(String::new, |command| format!(": `{command}`"));
    advise(
        "zram-thrash",
        format!(
            "zram took {} of {} of memory to hold what was swapped out, and everybody waited for memory {psi:.0} % of the \
             time. Keep the largest unit out of swap with MemorySwapMax=0, so that it ends before the machine crawls{command}",
            Size(zram),
            Size(total)
        ),
    )
}

/// The kernel or SIGKILL came before anybody could be asked.
pub(super) fn too_fast(incident: &Incident) -> Option<Advice> {
    if !is_the_machine(incident) || !matches!(incident.kind.as_str(), "memory" | "kernel_oom") {
        return None;
    }
    let thresholds = incident.thresholds?;
    let total = incident.host.mem_total_bytes?;
    let asked_in_vain = incident.cause == Cause::Kernel || incident.acts.iter().any(|act| act.event == "kill");
    let fastest = incident.before.iter().filter_map(|sample| u64::try_from(sample.fill_bytes_per_s?).ok()).max()?;
    let needed = fastest.saturating_mul(TIME_TO_END_S).min(total / 100 * MOST_TERM_PERCENT);
    if !asked_in_vain || needed <= thresholds.term_bytes {
        return None;
    }
    // Of a group only its largest are recorded, and no replay can tell whether it would go.
    let is_group = incident.victim.as_ref().and_then(|victim| victim.members).is_some_and(|members| members > 1);
    let try_it =
        if is_group { String::new() } else { format!(", and try it on this file: `{REPLAY_FILE} --config NEW.toml`") };
    let lasts_ms = thresholds.term_bytes.saturating_mul(1000) / fastest;
    advise(
        "earlier-thresholds",
        format!(
            "available memory fell by up to {} a second: from memory.term ({}) to nothing takes {:.1} s, too short to end in. \
             Set memory.term = \"{}\" or more (and warn above it){try_it}",
            Size(fastest),
            Size(thresholds.term_bytes),
            seconds(lasts_ms),
            Size(needed),
        ),
    )
}

/// The guard died, and not the machine.
pub(super) fn hogwatch_ended(incident: &Incident) -> Option<Advice> {
    if incident.kind != "unclean_end" || !only_hogwatch_ended(incident) {
        return None;
    }
    advise(
        "hogwatch-ended",
        format!(
            "hogwatch ended without a stop while memory was short, and the machine went on: it was killed by hand, by systemd's              watchdog (WatchdogSec=) or by the kernel, or it crashed. What systemd saw is in              `journalctl _PID=1 UNIT=hogwatch.service --since @{}`; if it crashed, please report it",
            incident.begin_ms / 1000
        ),
    )
}

/// The machine froze or was reset, and nobody had done anything.
pub(super) fn unclean_end(incident: &Incident) -> Option<Advice> {
    if incident.kind != "unclean_end" || only_hogwatch_ended(incident) {
        return None;
    }
    let (last, thresholds) = (incident.before.last()?, incident.thresholds?);
    let left = Size(last.available_bytes);
    // Documentation/admin-guide/sysrq.rst: 64 lets it signal processes, f among them.
    let sysrq =
        "With kernel.sysrq = 1 (or a sum with 64 in it) Alt+SysRq+F makes a frozen machine kill its largest process";
    let text = match last.available_bytes {
        // It was seen to, as far as it could be.
        _ if incident.acts.iter().any(|act| matches!(act.event.as_str(), "term" | "kill")) => return None,
        bytes if bytes <= thresholds.term_bytes => format!(
            "{left} were available at the last look, below memory.term ({}), and no act is recorded: the machine was too slow \
             by then. Set memory.term higher. {sysrq}",
            Size(thresholds.term_bytes)
        ),
        bytes if bytes <= thresholds.warn_bytes => format!(
            "{left} were available at the last look: below memory.warn ({}), above memory.term ({}), so nothing was done yet. \
             If it froze over memory, set memory.term above that. {sysrq}",
            Size(thresholds.warn_bytes),
            Size(thresholds.term_bytes)
        ),
        _ => format!(
            "{left} were available at the last look, above memory.warn ({}): memory was not what ended it. Look at power, \
             disk and the kernel's last lines (`journalctl -k -b -1 -e`)",
            Size(thresholds.warn_bytes)
        ),
    };
    advise("unclean-end", text)
}

/// Tasks that hung in the kernel.
pub(super) fn hung_tasks(incident: &Incident) -> Option<Advice> {
    let hung = incident.kernel_lines.iter().filter(|line| line.text.contains("blocked for more than"));
    let count = hung.clone().count();
    let first = hung.map(|line| line.text.as_str()).next()?;
    advise(
        "hung-tasks",
        format!(
            "the kernel reported {count} hung task{} ({}): reads and writes did not come back. Slow swap or a failing disk \
             makes a shortage a freeze: look at `journalctl -k` for the disk, and at what swap is on (`swapon --show`)",
            if count == 1 { "" } else { "s" },
            first.trim()
        ),
    )
}

/// `40 seconds`, `6 minutes`.
struct Span(u64);

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.0.saturating_add(500) / 1000;
        match seconds {
            0..120 => write!(f, "{seconds} seconds"),
            _ => write!(f, "{} minutes", (seconds + 30) / 60),
        }
    }
}
