//! systemd's units, as `systemctl show` prints them.

use std::collections::BTreeMap;

/// What `systemctl` is asked: all services, slices and scopes that are loaded, and what may not be loaded.
pub const ARGUMENTS: [&str; 7] = ["show", PROPERTIES, "--", "hogwatch.service", "*.service", "*.slice", "*.scope"];

/// The properties that checks look at.
const PROPERTIES: &str = "--property=Id,ActiveState,UnitFileState,Type,MainPID,ControlGroup,Restart,SuccessExitStatus,\
                          RestartForceExitStatus,RestartPreventExitStatus,OOMPolicy,ManagedOOMMemoryPressure";

/// What systemd told of its units.
#[derive(Clone, Debug, Default)]
pub struct Units(Vec<Unit>);

/// A unit's properties.
#[derive(Clone, Debug, Default)]
pub struct Unit(BTreeMap<String, String>);

impl Units {
    /// Reads what `systemctl show` printed: blocks of `KEY=VALUE` lines with an empty line between. A unit that is there
    /// twice counts once.
    #[must_use]
    pub fn parse(shown: &str) -> Self {
        let mut units: Vec<Unit> = Vec::new();
        for block in shown.split("\n\n") {
            let pairs = block.lines().filter_map(|line| line.split_once('='));
            let unit = Unit(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect());
            if !unit.id().is_empty() && units.iter().all(|known| known.id() != unit.id()) {
                units.push(unit);
            }
        }
        Self(units)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Unit> {
        self.0.iter()
    }

    /// The unit of this name.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Unit> {
        self.iter().find(|unit| unit.id() == id)
    }
}

impl Unit {
    /// Its name.
    #[must_use]
    pub fn id(&self) -> &str {
        self.word("Id")
    }

    /// A property as systemd prints it; empty where it has none.
    #[must_use]
    pub fn word(&self, key: &str) -> &str {
        self.0.get(key).map_or("", String::as_str)
    }

    /// It runs.
    #[must_use]
    pub fn is_active(&self) -> bool {
        matches!(self.word("ActiveState"), "active" | "reloading")
    }
}
