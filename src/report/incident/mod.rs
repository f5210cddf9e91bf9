//! Incidents: what is kept of an episode for whoever comes later.

pub mod advice;
pub mod schema;
