//! `hogwatch incidents why`: who ended a unit or a process.
use crate::report::incident::load::Archive;
use crate::report::incident::schema::Cause;
use clap::Args;
use std::process::ExitCode;
/// x
#[derive(Args, Debug)]
pub(super) struct WhyArgs {}
pub(super) fn run(_: &WhyArgs, _: &Archive) -> ExitCode {
    ExitCode::SUCCESS
}
/// The word that JSON has for it too.
pub(super) fn cause_word(cause: Cause) -> &'static str {
    match cause {
        Cause::Hogwatch => "hogwatch",
        Cause::Kernel => "kernel",
        Cause::SystemdOomd => "systemd-oomd",
        Cause::Unknown => "unknown",
    }
}
