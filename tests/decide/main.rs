//! The decide room by tables: thresholds, who is chosen, how soon to look again, and what happens when.

mod bench;
mod cases;
mod choice;
mod groups;
mod pace;
mod rules;
mod thresholds;
mod timeline;
