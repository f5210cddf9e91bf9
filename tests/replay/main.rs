//! `hogwatch replay` and the detector behind it: recorded traces, made-up shapes, bad files.

mod alloc;
mod docs;
mod file;
mod machine;
mod pressure;
mod shapes;
mod simulate;
mod table;
mod traces;
