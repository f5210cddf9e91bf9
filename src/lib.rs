#![doc = "hogwatch: a memory guard for Linux. See ARCHITECTURE.md for the rooms and the flow between them."]

pub mod report;
