//! The page of an incident: its structure, that nobody's name breaks out of it, what a browser makes of it, and where it
//! goes.

mod browser;
mod command;
mod devtools;
mod page;

use hogwatch::report::incident::schema::Incident;

/// What each test works through: one of every kind, one by an attacker, one with nothing in it.
const INCIDENTS: [(&str, &str); 6] = [
    ("machine", include_str!("../incidents/html-machine.json")),
    ("livelock", include_str!("../incidents/html-livelock.json")),
    ("kernel", include_str!("../incidents/html-kernel.json")),
    ("unclean", include_str!("../incidents/html-unclean.json")),
    ("hostile", include_str!("../incidents/html-hostile.json")),
    ("empty", include_str!("../incidents/html-empty.json")),
];

fn incident(name: &str) -> Incident {
    let (_, text) = INCIDENTS.iter().find(|(known, _)| *known == name).unwrap();
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{name}: {e}"))
}
