//! `hogwatch incidents show`: one incident, as an answer.

mod evidence;
mod timeline;

use std::process::ExitCode;

use clap::Args;

use super::complain;
use super::page::Page;
use crate::commands::print;
use crate::report::incident::advice::{advice, with_path};
use crate::report::incident::answer;
use crate::report::incident::load::{Archive, Link, Loaded, began, load_file};
use crate::report::incident::schema::{Incident, State};

pub(super) use timeline::Glyphs;

/// Options of `hogwatch incidents show`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  hogwatch incidents show latest
  hogwatch incidents show 20260728T03              the beginning of an id is enough
  hogwatch incidents show ./from-web-7.json        a file that was copied from another machine
  hogwatch incidents show latest --json | jq .advice

Exit status: 0 done, 1 it can't be read, 4 no such incident.")]
pub(super) struct ShowArgs {
    /// Its id, the beginning of its id, `latest`, or the path of a file
    #[arg(value_name = "ID")]
    which: String,
    /// Print the file's own document
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ShowArgs, archive: &Archive) -> ExitCode {
    let loaded = match archive.load(&args.which) {
        Ok(loaded) => loaded,
        Err(error) => return complain(&error),
    };
    if args.which == "latest" {
        // Who asks for the latest must learn that a later one may be there.
        let listing = archive.files();
        for problem in &listing.problems {
            complain(problem);
        }
        for bad in listing.files.iter().filter_map(|path| load_file(path, Link::Refuse).err()) {
            complain(&bad);
        }
    }
    let text = if args.json { format!("{:#}\n", loaded.document) } else { page(&loaded, Glyphs::of_this_process()) };
    print(&text, 0)
}

/// The whole page.
fn page(loaded: &Loaded, glyphs: Glyphs) -> String {
    let mut incident = loaded.incident.clone();
    if incident.advice.is_empty() {
        // A file that is not complete yet has none.
        incident.advice = advice(&incident);
    }
    for advice in &mut incident.advice {
        advice.text = with_path(&advice.text, &loaded.path);
    }
    let incident = &incident;
    let mut page = Page::default();
    let on = incident.host.name.as_deref().map_or(String::new(), |name| format!(" on {name}"));
    page.line(format!("Incident {}{on}", incident.id));
    page.line("");
    page.labelled("What    ", &answer::what(incident));
    for more in answer::others(incident) {
        page.labelled("        ", &more);
    }
    page.labelled("Who     ", &answer::who(incident));
    page.labelled("Why     ", &answer::why(incident));
    page.labelled("When    ", &when(incident));
    page.labelled("Helped  ", &answer::helped(incident));
    if let Some(unit) = answer::unit(incident) {
        page.labelled("Unit    ", &unit);
    }
    page.labelled("Change  ", &answer::change(incident));
    evidence::advice(&mut page, incident);
    timeline::write_cgroup(&mut page, incident, glyphs);
    timeline::write(&mut page, incident, glyphs);
    evidence::largest(&mut page, incident);
    evidence::candidates(&mut page, incident);
    evidence::kernel(&mut page, incident);
    evidence::journal(&mut page, incident);
    page.text()
}

fn when(incident: &Incident) -> String {
    let from = began(incident);
    let lasted = match incident.end_ms {
        Some(end) => format!(", for {}", answer::span(end.saturating_sub(incident.begin_ms))),
        None if incident.state == State::Open => ", and not over when this was written".to_owned(),
        None => ", its end was not seen".to_owned(),
    };
    let kernel = incident.host.kernel.as_deref().map_or(String::new(), |kernel| format!(", Linux {kernel}"));
    format!("{from} {}{lasted} (hogwatch {}{kernel})", from.zone(), incident.host.hogwatch)
}
