//! The parsers of `observe::parse` against files of real kernels, made-up ones, and hostile ones.
#![allow(missing_docs, reason = "tests name themselves")]

use hogwatch::observe::parse::{Fault, FileKind, Malformed};

mod any_bytes;
mod cgroups;
mod cut;
mod every;
mod kmsg;
mod live;
mod machine;
mod meminfo;
mod processes;
mod zero_alloc;

/// A file under `tests/fixtures/parsers/`.
macro_rules! fixture {
    ($path:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/parsers/", $path)).as_slice()
    };
}
pub(crate) use fixture;

const fn missing(file: FileKind, what: &'static str) -> Malformed {
    Malformed { file, what, fault: Fault::Missing }
}

const fn unreadable(file: FileKind, what: &'static str) -> Malformed {
    Malformed { file, what, fault: Fault::Unreadable }
}
