//! What to change so that it does not happen again, from an incident's own evidence. `docs/oncall.md` lists it.
//!
//! Each rule looks at one thing and says nothing where the evidence for it is not there: advice that is a guess sends
//! people the wrong way at 3 a.m.

mod acts;
mod command;
mod limits;
mod machine;

pub(crate) use command::{quoted, round_up, set, systemd_size};
pub use machine::with_path;

use super::schema::{Advice, Entry, Incident};

/// The rules, the most telling first: that is the order in which advice is shown.
const RULES: &[fn(&Incident) -> Option<Advice>] = &[
    acts::dry_run,
    limits::band,
    limits::too_small_for_its_files,
    limits::swaps_itself,
    limits::kernel_oom_at_limit,
    limits::oom_policy,
    limits::nobody_may_be_killed,
    acts::protected_hog,
    acts::nobody_helps,
    machine::growth,
    machine::zram,
    machine::too_fast,
    machine::unclean_end,
    machine::hogwatch_ended,
    machine::hung_tasks,
    acts::oomd,
    acts::ignores_sigterm,
    acts::stays_down,
    acts::hit_again,
];

/// What to change. Pure: nothing but `incident` is looked at, its own `advice` excepted. Empty when nothing follows from
/// it.
#[must_use]
pub fn advice(incident: &Incident) -> Vec<Advice> {
    RULES.iter().filter_map(|rule| rule(incident)).collect()
}

fn advise(id: &str, text: String) -> Option<Advice> {
    Some(Advice { id: id.to_owned(), text })
}

/// The events of this name.
fn events<'a>(incident: &'a Incident, name: &'a str) -> impl Iterator<Item = &'a Entry> {
    // A file that was written while it lasted may have the act in one list only.
    let all = if incident.events.is_empty() { &incident.acts } else { &incident.events };
    all.iter().filter(move |entry| entry.event == name)
}

fn text_of<'a>(entry: &'a Entry, field: &str) -> Option<&'a str> {
    entry.fields.get(field)?.as_str()
}

fn number_of(entry: &Entry, field: &str) -> Option<u64> {
    entry.fields.get(field)?.as_u64()
}

/// Whether it is about the machine's memory, not a cgroup's.
fn is_the_machine(incident: &Incident) -> bool {
    incident.cgroup.as_deref().is_none_or(|path| path == "/")
}
