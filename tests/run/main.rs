//! `hogwatch run`, as a user meets it: real commands under whatever cap this machine gives, and under the watched one, for
//! which the cgroups are hidden in a mount namespace of the test's own.
//!
//! What fills memory here is bounded by itself (some hundred MiB), so a cap that does not hold costs a failed test and
//! nothing else. The kinds of cap that this machine can't give are tested in the lab.

#[path = "../pidns/programs.rs"]
mod programs;
mod running;

mod caps;
mod signals;
mod statuses;
mod streams;
mod terminal;
mod timeouts;
