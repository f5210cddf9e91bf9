//! In words, for people.

use std::fmt::{Result, Write};

use crate::config::LivelockAction;
use crate::config::units::write_duration;
use crate::decide::livelock::{Findings, Judged, Kind, Rule, Sample, Sense, Unit, Verdict};
use crate::decide::measure::Whose;
use crate::decide::victim::{Exclusion, GroupWhy, Victim};
use crate::observe::parse::Limit;
use crate::report::{Escaped, Size};

use super::super::stall::evidence;
use super::livelock::{Case, Look, Outlook, Reach};
use super::{Explained, MemoryRule, reasons};

/// Candidates a person is shown unless all are asked for.
const SHOWN: usize = 10;

impl Explained {
    pub(super) fn text(&self, all: bool) -> String {
        let mut out = String::new();
        // Writing to a String can't fail.
        let _ = self.write(&mut out, all);
        out
    }

    fn write(&self, out: &mut String, all: bool) -> Result {
        match &self.cgroup {
            Some((_, Look::Judged(case))) => write_case(out, case)?,
            Some((path, Look::Not { why, sample })) => {
                writeln!(out, "{} can't be judged for a livelock: {why}.", Escaped(path.as_bytes()))?;
                if let Some(sample) = sample {
                    write_sizes(out, sample)?;
                }
                writeln!(out, "\nBy the memory guard, if none but its processes could go:")?;
                self.write_memory(out)?;
            }
            None => self.write_memory(out)?,
        }
        self.write_other_sections(out)?;
        writeln!(out)?;
        self.write_choice(out)?;
        self.write_candidates(out, all)?;
        self.write_excluded(out, all)
    }

    fn write_memory(&self, out: &mut String) -> Result {
        let r = &self.memory;
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
            reasons::level_name(r.level)
        )?;
        write_memory_rules(out, &self.memory_rules())
    }

    /// What else the configuration asks of the cgroup.
    fn write_other_sections(&self, out: &mut String) -> Result {
        if let Some(limits) = &self.limits {
            writeln!(
                out,
                "\n[cgroup_limits]: {:.2} % available below memory.max ({} of {}): {}",
                limits.available_percent(),
                Size(limits.available),
                Size(limits.total),
                reasons::level_name(limits.level)
            )?;
            write_memory_rules(out, &self.limit_rules())?;
        }
        if let Some(pressed) = &self.pressure {
            let percent = pressed.percent.map_or("unknown".to_owned(), |percent| format!("{percent:.1} %"));
            let (sign, met) = if pressed.is_over() { (">=", "met") } else { ("< ", "not met") };
            writeln!(
                out,
                "\n[pressure]: all tasks stalled {percent} of the time watched {sign} {} %: {met}; it acts after {} of that",
                pressed.terms.full,
                write_duration(pressed.terms.after)
            )?;
        }
        Ok(())
    }

    /// Who goes, or why nobody does.
    fn write_choice(&self, out: &mut String) -> Result {
        let case = self.case();
        let outlook = case.and_then(Case::outlook);
        let (when, who) = match (case, &outlook) {
            (None, _) => ("If memory ran short now, ", "the first to go would be"),
            (Some(_), Some(Outlook::Stuck(stall))) if stall.kind != Kind::OomStuck => ("", "the first to go is"),
            (Some(_), _) => ("If it were stuck, ", "the first to go would be"),
        };
        let sentence = match (self.victim(), self.refusal()) {
            (Some(victim), _) => format!("{when}{who} {}.", whom(victim)),
            (None, Some(why)) => format!("{when}nobody would be killed: {why}."),
            (None, None) => return Ok(()),
        };
        let mut letters = sentence.chars();
        let first = letters.next().map(|c| c.to_ascii_uppercase());
        writeln!(out, "{}{}", first.unwrap_or_default(), letters.as_str())?;
        // Of a cgroup's memory the machine's says nothing.
        if self.victim().is_none() && self.cgroup.is_none() {
            writeln!(out, "On the machine {}.", self.holders)?;
        }
        match case.map(|case| (case.reach, case.action())) {
            None => Ok(()),
            Some((Reach::LeftOut, _)) => {
                writeln!(out, "But livelock.cgroups leaves this cgroup out: the daemon does nothing about it.")
            }
            Some((Reach::Off, _)) => {
                writeln!(out, "But livelock.enabled is false: the daemon does nothing about it.")
            }
            Some((Reach::Within(configured), action)) => match action {
                Some(LivelockAction::Kill) => Ok(()),
                Some(LivelockAction::Lift) => {
                    writeln!(out, "But livelock.action is \"lift\": memory.high is raised first, and nobody is killed.")
                }
                Some(LivelockAction::Warn) | None => {
                    let name = reasons::action_name(configured);
                    let why = match configured {
                        LivelockAction::Warn => "",
                        _ if action.is_none() => ", and no kill would end this kind",
                        _ => ", which memory.max does not allow",
                    };
                    writeln!(out, "But livelock.action is {name:?}{why}: the journal says so, and nobody is killed.")
                }
            },
        }
    }

    fn write_candidates(&self, out: &mut String, all: bool) -> Result {
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
                c.tier.word(),
                c.reason
            )?;
        }
        if shown < self.candidates.len() {
            writeln!(out, "     … and {} more (--all)", self.candidates.len() - shown)?;
        }
        Ok(())
    }

    fn write_excluded(&self, out: &mut String, all: bool) -> Result {
        // That the rest of the machine is not in a cgroup says nothing.
        let inside = || self.excluded.iter().filter(|e| e.why != Exclusion::OutsideLimit);
        let place = if self.cgroup.is_some() { " there" } else { "" };
        match inside().count() {
            0 => {}
            _ if all => {
                writeln!(out, "\nNever killed:\n        PID  NAME             WHY")?;
                for e in inside() {
                    writeln!(out, "    {:>7}  {:<15}  {}", e.task.id.pid, e.task.comm.to_string(), e.reason)?;
                }
            }
            1 => writeln!(out, "\n1 process{place} is never killed (--all says which, and why).")?,
            n => writeln!(out, "\n{n} processes{place} are never killed (--all lists them with the reason).")?,
        }
        Ok(())
    }
}

fn write_memory_rules(out: &mut String, rules: &[MemoryRule]) -> Result {
    for MemoryRule { name, value, threshold, met } in rules {
        let sign = if *met { "<=" } else { "> " };
        let says = if *met { "met" } else { "not met" };
        let (value, threshold) = (Size(*value).to_string(), Size(*threshold).to_string());
        writeln!(out, "  {name:<18} {value:>9} {sign} {threshold:<9} {says}")?;
    }
    Ok(())
}

/// A victim in words.
pub(super) fn whom(victim: &Victim) -> String {
    let Some(group) = victim.group else {
        return format!("{} (pid {}, {})", victim.comm, victim.id.pid, Size(victim.size));
    };
    let why = match group.why {
        GroupWhy::OomGroup => "memory.oom.group is 1",
        GroupWhy::Configured => "victim.target is \"cgroup\"",
        GroupWhy::ManySmall => "no single process is large enough",
        GroupWhy::Several => "one alone would not free it",
    };
    let place = victim.cgroup.as_ref().map(|p| Escaped(p.as_bytes()).to_string()).unwrap_or_default();
    format!(
        "{} processes of {place} together ({}), because {why}; the largest is {}",
        group.members,
        Size(victim.size),
        victim.comm
    )
}

pub(super) fn write_case(out: &mut String, case: &Case) -> Result {
    writeln!(out, "{} {}.\n", Escaped(case.path.as_bytes()), summary(case))?;
    write_sizes(out, &case.last)?;
    let file = case.limit.file();
    let share = (case.last.current as f64 / case.limit.bytes().max(1) as f64 - 1.0) * 100.0;
    let side = if share > 0.0 { "above" } else { "below" };
    writeln!(
        out,
        "  {:.1} % {side} {file}, by which it is judged; watched for {:.1} s",
        share.abs(),
        case.watched.as_secs_f64()
    )?;
    let first = case.kind();
    let is_first = |findings: &&Findings| Some(findings.kind) == first;
    let nearest = case.judgement.kinds.iter().filter(is_first);
    for findings in nearest.chain(case.judgement.kinds.iter().filter(|findings| !is_first(findings))) {
        write_kind(out, case, findings)?;
    }
    Ok(())
}

fn write_sizes(out: &mut String, sample: &Sample) -> Result {
    let limit = |limit: Limit| limit.bytes().map_or("max".to_owned(), |bytes| Size(bytes).to_string());
    writeln!(
        out,
        "  current {}   high {}   max {}   swap {} of {}",
        Size(sample.current),
        limit(sample.high),
        limit(sample.max),
        Size(sample.swap_current),
        limit(sample.swap_max)
    )
}

/// What goes on, in one sentence after the path.
fn summary(case: &Case) -> String {
    match case.outlook() {
        Some(Outlook::Stuck(stall)) => format!("is a livelock ({}): {}", stall.kind.name(), evidence(&stall)),
        Some(Outlook::SoFar(findings, rule)) => {
            let whole = write_duration(std::time::Duration::try_from_secs_f64(rule.threshold).unwrap_or_default());
            format!(
                "looks {} so far: {} of {}, as long as was watched; watch a whole window with --for {whole}",
                findings.kind.name(),
                number(rule.value.unwrap_or(0.0), rule),
                number(rule.threshold, rule)
            )
        }
        Some(Outlook::Not(..)) if case.verdict == Verdict::Quiet => {
            format!("is not a livelock: it did not touch {} while it was watched", case.limit.file())
        }
        Some(Outlook::Not(findings, rule)) => {
            let value = rule.value.map_or("not known".to_owned(), |value| number(value, rule));
            let threshold = number(rule.threshold, rule);
            let but = match rule.sense {
                Sense::AtLeast => format!("less than {threshold}"),
                Sense::Below => format!("not below {threshold}"),
            };
            let (kind, name, what) = (findings.kind.name(), rule.name, describe(rule));
            format!("is not a livelock: nearest is {kind}, but `{name}` ({what}) is {value}, {but}")
        }
        None => "is not a livelock".to_owned(),
    }
}

fn write_kind(out: &mut String, case: &Case, findings: &Findings) -> Result {
    let (kind, what) = (findings.kind, what(findings.kind));
    if kind == Kind::Throttled && matches!(case.limit, Judged::Max(_)) {
        return writeln!(out, "\n{}: no, there is no memory.high below memory.max", kind.name());
    }
    let unmet = || findings.counted().filter(|rule| !rule.met());
    let lacking = unmet().filter(|rule| !case.is_all_that_was_watched(rule)).count();
    let all = findings.counted().count();
    let says = match (unmet().count(), lacking) {
        (0, _) => "YES".to_owned(),
        (_, 0) => "so far".to_owned(),
        (n, _) => format!("no, {} of {all} rules hold", all - n),
    };
    writeln!(out, "\n{}: {says} ({what})", kind.name())?;
    for rule in findings.all() {
        write_rule(out, case, rule, "  ")?;
    }
    if findings.any().next().is_some() {
        writeln!(out, "  and one of these:")?;
    }
    for rule in findings.any() {
        write_rule(out, case, rule, "    ")?;
    }
    Ok(())
}

fn write_rule(out: &mut String, case: &Case, rule: &Rule, indent: &str) -> Result {
    let value = rule.value.map_or("?".to_owned(), |value| number(value, rule));
    let so_far = case.is_all_that_was_watched(rule);
    let sign = match (rule.sense, rule.met(), rule.value) {
        _ if so_far => "of",
        (_, _, None) => "",
        (Sense::AtLeast, true, _) | (Sense::Below, false, _) => ">=",
        (Sense::AtLeast, false, _) | (Sense::Below, true, _) => "<",
    };
    let (met, what) = match (rule.met(), rule.value) {
        (true, _) => ("met", describe(rule)),
        (false, None) => ("unknown", describe(rule)),
        (false, Some(_)) if so_far => ("so far", "as long as was watched"),
        (false, Some(_)) => ("not met", describe(rule)),
    };
    let name = format!("{indent}{}", rule.name);
    writeln!(out, "{name:<17}{value:>8} {sign:<2} {:<7} {met:<8} {what}", number(rule.threshold, rule))
}

fn number(value: f64, rule: &Rule) -> String {
    match rule.unit {
        Unit::Share => format!("{:.1} %", value * 100.0),
        Unit::Seconds => format!("{value:.1} s"),
        Unit::Count if value.fract() == 0.0 || value >= 10.0 => format!("{value:.0}"),
        Unit::Count => format!("{value:.2}"),
    }
}

/// A kind, in few words.
fn what(kind: Kind) -> &'static str {
    match kind {
        Kind::Throttled => "above memory.high, nothing to reclaim: whoever allocates sleeps",
        Kind::Squeezed => "at the limit, hardly any page cache left, and all of it in use",
        Kind::Thrash => "at the limit, its own files are reclaimed and read again",
        Kind::SwapThrash => "at the limit, its own memory goes to swap and back",
        Kind::OomStuck => "at memory.max, and the kernel finds no task to kill",
        Kind::Pressure => "stalled for as long as [pressure] allows",
    }
}

/// What a rule's value is.
pub(super) fn describe(rule: &Rule) -> &'static str {
    match rule.name {
        "above" => "time at 1.25 % or more above memory.high",
        "unbroken" => "time without a pause in its stalls",
        "watched" => "time watched",
        "hits" => "times the limit was hit",
        "net_gain" => "what reclaim gained, of the limit",
        "returned" => "what tasks gave back a second, of the limit",
        "stalled" => "time in which no task could run",
        "asleep" => "tasks asleep above the limit, estimated",
        "seen_asleep" => "looks that found a task asleep",
        "room" => "room below the limit",
        "refaulted" => "of the pages reclaimed, needed again",
        "file_refaults" => "of the pages needed again, of files",
        "anon_refaults" => "of the pages needed again, anonymous",
        "file_lru" => "page cache, of the memory in use",
        "restored" => "of the file pages needed again, in steady use",
        "held" => "what is no page cache, of the memory in use",
        "oom" => "`oom` events a second",
        "oom_kill" => "kills by the kernel",
        _ => "",
    }
}
