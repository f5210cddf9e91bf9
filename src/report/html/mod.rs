//! An incident as a page: one file that needs nothing else, no network, no script.
//!
//! The page is well-formed XML besides being HTML, which lets a test read all of it. Nothing that comes out of the incident
//! gets onto it but through [`markup::Safe`] or as a number.

mod answer;
mod chart;
mod charts;
mod clock;
mod marks;
mod markup;
mod tables;
mod tops;

use std::fmt::{self, Write};

use super::Size;
use super::incident::schema::{Cause, Incident, State};
use answer::Answer;
use clock::{Clock, Lasting};
use markup::Safe;
use tables::{write_fact, write_known};

const STYLE: &str = include_str!("page.css");

/// Forbids everything but the style that is in the page: also what a mistake in here would let through.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// The page of an incident. Times are shown on a clock `utc_offset` seconds east of UTC, which the page states. The same
/// incident and offset make the same page, byte for byte.
#[must_use]
pub fn page(incident: &Incident, utc_offset: i32) -> String {
    let mut out = String::new();
    // Writing to a String can't fail.
    let _ = write_page(&mut out, incident, Clock { offset: utc_offset });
    out
}

fn write_page(out: &mut String, incident: &Incident, clock: Clock) -> fmt::Result {
    let answer = answer::answer(incident);
    write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n<meta name=\"referrer\" content=\"no-referrer\"/>\n\
         <title>{}: {}</title>\n<style>\n{STYLE}</style></head>\n<body><main>\n",
        Safe(&incident.id),
        Safe(&answer.what)
    )?;
    write_answer(out, incident, &answer, clock)?;
    write_advice(out, incident)?;
    charts::write(out, incident, clock)?;
    tables::write_candidates(out, incident)?;
    tables::write_kernel(out, incident, clock)?;
    tables::write_journal(out, incident, clock)?;
    writeln!(
        out,
        "</main><footer><p>Incident {} as hogwatch {} recorded it. Times are {}.</p></footer></body></html>",
        Safe(&incident.id),
        Safe(&incident.host.hogwatch),
        clock.zone()
    )
}

/// The headline, the reason, the outcome, and the facts.
fn write_answer(out: &mut String, incident: &Incident, answer: &Answer, clock: Clock) -> fmt::Result {
    write!(
        out,
        "<header><p class=\"tags\"><span>incident</span> <span class=\"kind\">{}</span>",
        Safe(&incident.kind)
    )?;
    if incident.dry_run {
        write!(out, " <span>dry run</span>")?;
    }
    if incident.state == State::Open {
        write!(out, " <span>not complete</span>")?;
    }
    writeln!(out, "</p><h1>{}</h1></header>", Safe(&answer.what))?;
    writeln!(out, "<section><h2 class=\"hidden\">The answer</h2><dl class=\"answer\">")?;
    write_fact(out, "Why", &answer.why)?;
    write_fact(out, "Did it help?", &answer.helped)?;
    write_fact(out, "When", &When { incident, clock })?;
    writeln!(out, "</dl><dl class=\"facts\">")?;
    write_facts(out, incident)?;
    writeln!(out, "</dl></section>")
}

/// `2026-07-28 03:15:02 to 03:15:04 UTC (2.1 s)`.
struct When<'a> {
    incident: &'a Incident,
    clock: Clock,
}

impl fmt::Display for When<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { incident, clock } = self;
        let begin = incident.begin_ms;
        write!(f, "{} {}", clock.day(begin), clock.time(begin))?;
        match incident.end_ms {
            Some(end) => {
                let lasted = Lasting(end.saturating_sub(begin));
                write!(f, " to {} {} ({lasted})", clock.time(end), clock.zone())
            }
            None => write!(f, " {}, its end is not known", clock.zone()),
        }
    }
}

fn write_facts(out: &mut String, incident: &Incident) -> fmt::Result {
    if let Some(victim) = &incident.victim {
        write_known(out, "Command line", victim.cmdline.as_deref())?;
        write_known(out, "Unit", victim.unit.as_deref())?;
        write_known(out, "Its cgroup", victim.cgroup.as_deref())?;
        write_known(out, "In swap", victim.swap_bytes.filter(|&swap| swap > 0).map(Size))?;
        write_known(out, "User id", victim.uid)?;
        write_known(out, "oom_score_adj", victim.oom_score_adj)?;
    }
    write_known(out, "Cgroup in trouble", incident.cgroup.as_deref())?;
    let by = match incident.cause {
        Cause::Hogwatch => "hogwatch",
        Cause::Kernel => "the kernel's OOM killer",
        Cause::SystemdOomd => "systemd-oomd",
        Cause::Unknown => "nobody that is known",
    };
    write_fact(out, "Ended by", &by)?;
    let host = &incident.host;
    write_known(out, "Host", host.name.as_deref())?;
    write_known(out, "Memory", host.mem_total_bytes.map(Size))?;
    match host.swap_total_bytes {
        Some(0) => write_fact(out, "Swap", &"none")?,
        swap => write_known(out, "Swap", swap.map(Size))?,
    }
    write_known(out, "Kernel", host.kernel.as_deref())?;
    write_known(out, "Boot", host.boot_id.as_deref())
}

fn write_advice(out: &mut String, incident: &Incident) -> fmt::Result {
    if incident.advice.is_empty() {
        return Ok(());
    }
    writeln!(out, "<section><h2>What to change</h2><ul class=\"advice\">")?;
    for advice in &incident.advice {
        writeln!(out, "<li>{} <small>{}</small></li>", Safe(&advice.text), Safe(&advice.id))?;
    }
    writeln!(out, "</ul></section>")
}
