//! The checks: each a small pure function over [`Facts`].

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
pub const ALL: &[Check] = &[];
