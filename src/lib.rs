#![doc = "hogwatch: a memory guard for Linux. See ARCHITECTURE.md for the rooms and the flow between them."]

pub mod act;
pub mod cli;
pub mod commands;
pub mod config;
pub mod decide;
pub mod host;
pub mod observe;
pub mod report;
