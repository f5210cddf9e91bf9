//! `hogwatch doctor`: what on this machine would freeze it, or mislead who reads its figures.
//!
//! [`facts`] are read first, all of them; each check in [`checks`] is a pure function over them.

pub mod checks;
pub mod facts;

use serde::Serialize;
use serde_json::{Map, Value};

/// How bad a finding is. The order is that of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It freezes the machine, or a part of it, or leaves it unguarded.
    Danger,
    /// It makes that likelier, or keeps somebody from seeing it.
    Warning,
    /// Good to know.
    Note,
}

/// Something found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// Which check's: stable, listed in docs/doctor.md.
    pub id: &'static str,
    /// How bad.
    pub severity: Severity,
    /// One line.
    pub title: String,
    /// The very values read, by file or property.
    pub evidence: Map<String, Value>,
    /// What will come of it.
    pub why: &'static str,
    /// The exact cure: commands, or a file and its content.
    pub fix: String,
}
