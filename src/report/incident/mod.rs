//! Incidents: what is kept of an episode for whoever comes later.

pub mod advice;
pub(crate) mod answer;
pub mod load;
pub mod outcome;
pub mod schema;
