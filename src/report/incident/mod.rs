//! What is kept of an incident, for whoever asks later.

pub mod advice;
pub(crate) mod answer;
pub mod evidence;
pub mod load;
pub mod outcome;
pub mod schema;
pub mod stalled;
