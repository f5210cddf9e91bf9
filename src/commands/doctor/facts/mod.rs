//! What the checks look at. Everything is optional: what could not be read is named in `unseen`, and a check that needs it
//! says nothing.

use serde::Serialize;

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// What could not be seen, and why.
    pub unseen: Vec<Unseen>,
}

/// Something that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unseen {
    /// What: a path, or a question to systemd.
    pub what: String,
    /// Why not.
    pub why: String,
}
