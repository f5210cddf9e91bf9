//! The checks: each a small pure function over [`Facts`].

mod kernel;

use serde_json::{Map, Value};

use super::Finding;
use super::facts::Facts;

/// A check with the id of what it finds.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// Stable; listed in docs/doctor.md.
    pub id: &'static str,
    /// Looks, and says what it found.
    pub look: fn(&Facts) -> Vec<Finding>,
}

/// All of them, in the order of the documentation.
pub const ALL: &[Check] = &[Check { id: kernel::PSI_OFF, look: kernel::psi_off }];

/// What was read, by file or property, for [`Finding::evidence`].
fn evidence<const N: usize>(read: [(&str, Value); N]) -> Map<String, Value> {
    read.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
