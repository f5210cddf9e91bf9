//! The report room from outside: what the guard sends, and what comes out at the other end.

mod docs;
mod history;
mod incident_docs;
mod journal;
mod journald;
mod metrics;
mod sentences;
mod status;
