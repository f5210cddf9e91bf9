//! An incident as a page: one file that needs nothing else, no network, no script.
//!
//! The page is well-formed XML besides being HTML, which lets a test read all of it. Nothing that comes out of the incident
//! gets onto it but through `markup::Safe` or as a number.

mod chart;
mod charts;
mod headline;
mod marks;
mod markup;
mod tables;
mod tops;

use std::fmt::{self, Write};

use super::incident::answer;
use super::incident::outcome::Outcome;
use super::incident::schema::{Incident, State};
use super::{Local, Size};
use markup::{Prose, Safe};
use tables::{write_fact, write_known};

const STYLE: &str = include_str!("page.css");

/// Forbids everything but the style that is in the page: also what a mistake in here would let through.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// The page of an incident, times in local time, which the page states. The same incident makes the same page, byte for
/// byte, in the same time zone.
#[must_use]
pub fn page(incident: &Incident) -> String {
    let mut out = String::new();
    // Writing to a String can't fail.
    let _ = write_page(&mut out, incident);
    out
}

fn write_page(out: &mut String, incident: &Incident) -> fmt::Result {
    let headline = headline::headline(incident);
    write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n<meta name=\"referrer\" content=\"no-referrer\"/>\n\
         <title>{}: {}</title>\n<style>\n{STYLE}</style></head>\n<body><main>\n",
        Safe(&incident.id),
        Safe(&headline)
    )?;
    write_answer(out, incident, &headline)?;
    write_advice(out, incident)?;
    charts::write(out, incident)?;
    tables::write_candidates(out, incident)?;
    tables::write_kernel(out, incident)?;
    tables::write_journal(out, incident)?;
    writeln!(
        out,
        "</main><footer><p>Incident {} as hogwatch {} recorded it. Times are {}.</p></footer></body></html>",
        Safe(&incident.id),
        Safe(&incident.host.hogwatch),
        Local::at_ms(incident.begin_ms).zone()
    )
}

/// The headline, the answer in the words of `incidents show`, and the facts.
fn write_answer(out: &mut String, incident: &Incident, headline: &str) -> fmt::Result {
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
    writeln!(out, "</p><h1>{}</h1></header>", Safe(headline))?;
    writeln!(out, "<section><h2 class=\"hidden\">The answer</h2><dl class=\"answer\">")?;
    write_row(out, "What", &answer::what(incident))?;
    answer::others(incident).iter().try_for_each(|other| write_row(out, "And", other))?;
    write_row(out, "By whom", &answer::who(incident))?;
    write_row(out, "Why", &answer::why(incident))?;
    // Nothing was done that could have helped.
    if Outcome::of(incident) != Outcome::UncleanEnd {
        write_row(out, "Did it help?", &answer::helped(incident))?;
    }
    if let Some(unit) = answer::unit(incident) {
        write_row(out, "The unit", &unit)?;
    }
    write_row(out, "When", &when(incident))?;
    writeln!(out, "</dl><dl class=\"facts\">")?;
    write_facts(out, incident)?;
    writeln!(out, "</dl></section>")
}

fn write_row(out: &mut String, name: &str, words: &str) -> fmt::Result {
    writeln!(out, "<div><dt>{name}</dt><dd>{}</dd></div>", Prose(words))
}

/// `2026-07-28 03:15:02 to 03:15:04 UTC+02:00 (2.1 s)`.
fn when(incident: &Incident) -> String {
    let begin = Local::at_ms(incident.begin_ms);
    match incident.end_ms {
        Some(end) => {
            let lasted = answer::span(end.saturating_sub(incident.begin_ms));
            format!("{begin} to {} {} ({lasted})", Local::at_ms(end).clock(), begin.zone())
        }
        None => format!("{begin} {}, its end was not seen", begin.zone()),
    }
}

fn write_facts(out: &mut String, incident: &Incident) -> fmt::Result {
    let mut lived = None;
    if let Some(victim) = &incident.victim {
        lived = victim.cgroup.as_deref();
        if let Some(cmdline) = &victim.cmdline {
            writeln!(out, "<div class=\"line\"><dt>Command line</dt><dd><code>{}</code></dd></div>", Safe(cmdline))?;
        }
        write_known(out, "Unit", victim.unit.as_deref())?;
        write_known(out, "In swap", victim.swap_bytes.filter(|&swap| swap > 0).map(Size))?;
        write_known(out, "User id", victim.uid)?;
        write_known(out, "oom_score_adj", victim.oom_score_adj)?;
    }
    write_known(out, "Cgroup", lived)?;
    write_known(out, "Cgroup in trouble", incident.cgroup.as_deref().filter(|&cgroup| lived != Some(cgroup)))?;
    write_known(out, "Limit that counted", incident.limit_bytes.map(Size))?;
    let host = &incident.host;
    write_known(out, "Host", host.name.as_deref())?;
    write_known(out, "Memory", host.mem_total_bytes.map(Size))?;
    match host.swap_total_bytes {
        Some(0) => write_fact(out, "Swap", &"none")?,
        swap => write_known(out, "Swap", swap.map(Size))?,
    }
    write_known(out, "Kernel", host.kernel.as_deref())
}

fn write_advice(out: &mut String, incident: &Incident) -> fmt::Result {
    if incident.advice.is_empty() {
        return Ok(());
    }
    writeln!(out, "<section><h2>What to change</h2><ul class=\"advice\">")?;
    for advice in &incident.advice {
        writeln!(out, "<li>{} <small>{}</small></li>", Prose(&advice.text), Safe(&advice.id))?;
    }
    writeln!(out, "</ul></section>")
}
