//! What the checks look at. Everything is optional: what could not be read is named in `unseen`, and a check that needs it
//! says nothing.

pub mod cgroups;
pub mod machine;
pub mod media;
pub mod reader;
pub mod settings;
pub mod units;

use std::path::Path;

use serde::Serialize;

use cgroups::Tree;
use machine::Machine;
use media::SlowSwap;
use reader::Reader;
use settings::Settings;
use units::Units;

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The cgroup v2 tree; `None` where none with a memory controller is mounted.
    pub cgroups: Option<Tree>,
    /// systemd's units; `None` where systemd does not answer.
    pub units: Option<Units>,
    /// Memory, swap and the kernel's settings.
    pub machine: Machine,
    /// How the kernel's memory management is set.
    pub settings: Settings,
    /// The swap areas that lie where swap should not.
    pub slow_swaps: Vec<SlowSwap>,
    /// What could not be seen, and why.
    pub unseen: Vec<Unseen>,
}

impl Facts {
    /// Reads all of it below `root`: `/`, or a fixture tree with `proc`, `sys`, `etc` and `run` in it. `shown` is what
    /// `systemctl show` printed of the units ([`units::ARGUMENTS`]), or why it did not.
    #[must_use]
    pub fn read(root: &Path, shown: Result<String, String>) -> Self {
        let mut reader = Reader::new(root);
        let machine = Machine::read(&mut reader);
        let settings = Settings::read(&mut reader);
        let slow_swaps = media::slow_swaps(&mut reader, machine.swaps.as_deref().unwrap_or_default());
        let cgroups = Tree::read(&mut reader);
        let units = match shown {
            Ok(text) => Some(Units::parse(&text)),
            Err(why) => {
                reader.unseen("systemd's units", &why);
                None
            }
        };
        Self { cgroups, units, machine, settings, slow_swaps, unseen: reader.into_unseen() }
    }
}

/// Something that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unseen {
    /// What: a path, or a question to systemd.
    pub what: String,
    /// Why not.
    pub why: String,
}
