//! The observe room: reads what the host offers and fills an observation.

pub mod parse;
