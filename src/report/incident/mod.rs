//! What is kept of an incident, for whoever asks later.

pub mod evidence;
pub mod schema;
