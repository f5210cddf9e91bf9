//! The armed daemon against real processes that really fill memory, each scenario inside a PID namespace of its own.
//!
//! A scenario is a closure that runs as pid 1 of a fresh namespace with its own `/proc` and its own `/run`
//! ([`namespace`]). There it starts the daemon ([`guard`]), reads what the daemon tells journald ([`journal`]), and
//! lets processes misbehave ([`hog`]). Nothing outside the namespace can be signalled, because nothing outside can be
//! named; and the daemon cannot be started outside, because [`guard::Guard`] asks for the proof of being inside.
//!
//! The machine's memory is shared with whatever else runs on it, so limits are set relative to the MemAvailable of the
//! moment, and a scenario is built so that its outcome does not depend on *when* the limit is crossed: the right victim
//! is already the right one before the daemon starts. Scenarios run one at a time.

mod cgroup;
mod fakes;
mod guard;
mod hog;
mod journal;
mod memory;
mod namespace;
mod programs;
mod tmux;

mod choosing;
mod hooks;
mod incidents;
mod killing;
mod lifecycle;
mod limits;
mod metrics;
mod races;
mod refusing;
mod watching;

/// Declares a test whose body runs inside a namespace of its own; the body is handed the proof of it.
macro_rules! scenario {
    ($(#[$doc:meta])* fn $name:ident($inside:ident) $body:block) => {
        $(#[$doc])*
        #[test]
        fn $name() {
            crate::namespace::run(concat!(module_path!(), "::", stringify!($name)), |$inside: &crate::namespace::Inside| $body);
        }
    };
}
pub(crate) use scenario;
