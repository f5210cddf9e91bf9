//! Incidents: what is kept of an episode for whoever comes later.

pub mod advice;
pub mod load;
pub mod outcome;
pub mod schema;
