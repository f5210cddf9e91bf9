//! The configuration file: its schema, defaults and units, loading with drop-ins, and messages that help to mend it.
//!
//! [`Config`] is what the rest of hogwatch sees. [`at_start`] and [`reload`] find it for the daemon, [`load`] for the
//! commands, which also [`show`] it with the source of every value; [`load_run`] is for `hogwatch run`. The contract stands in `docs/configuration.md`.

mod doubts;
pub mod earlyoom;
mod files;
mod format;
mod levels;
mod load;
mod overrides;
mod pattern;
mod places;
mod problem;
mod reader;
pub mod run;
mod schema;
mod show;
mod start;
mod suggest;
mod types;
pub mod units;

pub use load::{Loaded, load, load_run, load_text};
pub use pattern::{Pattern, RegexError, Subject, compile, compile_list};
pub use places::Places;
pub use problem::{Bad, Error, Position, Problem};
pub use run::{Run, RunDefaults, RunOverride};
pub use show::{BuiltIns, show};
pub use start::{Origin, Started, at_start, load_last_good, reload, save_last_good};
pub use types::{
    CgroupLimits, Config, Escalation, Hooks, Journal, Livelock, LivelockAction, LivelockOverride, Memory, Metrics,
    Notify, Order, PercentOf, Pressure, Recorder, Scope, Swap, SwapMode, TargetKind, Victim, ZfsArc,
};
pub use units::Amount;
