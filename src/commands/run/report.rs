//! The report of a run, as `--report` writes it. `docs/json.md` explains it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};

use serde::Serialize;

use super::EXIT_FAILED;
use super::cap::{Kind, Tightest};

/// The version of its form.
const SCHEMA: u32 = 1;

/// The report.
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    pub schema: u32,
    pub command: Vec<String>,
    pub cap: Option<Cap<'a>>,
    pub exit: u8,
    pub signal: Option<i32>,
    pub killed_by: Option<&'static str>,
    pub peak_bytes: Option<u64>,
    pub stall_usec: Option<u64>,
    pub oom_kills: u64,
    pub task_limit_hits: Option<u64>,
    pub wall_ms: u64,
    pub largest_task: Option<Largest>,
    pub error: Option<&'a str>,
    pub remarks: &'a [String],
}

#[derive(Debug, Serialize)]
pub struct Cap<'a> {
    pub bytes: Option<u64>,
    pub swap_bytes: Option<u64>,
    pub tasks: Option<u64>,
    pub kind: Kind,
    /// Bytes that are no text are replaced.
    pub cgroup: Option<String>,
    pub unit: Option<&'a str>,
    pub tightest: Option<&'a Tightest>,
    pub hit: Option<&'a Tightest>,
}

#[derive(Debug, Serialize)]
pub struct Largest {
    pub comm: String,
    pub bytes: u64,
}

impl Report<'_> {
    /// Of a command that never ran.
    pub fn new(command: &[OsString]) -> Self {
        Self {
            schema: SCHEMA,
            command: command.iter().map(|word| word.to_string_lossy().into_owned()).collect(),
            cap: None,
            exit: EXIT_FAILED,
            signal: None,
            killed_by: None,
            peak_bytes: None,
            stall_usec: None,
            oom_kills: 0,
            task_limit_hits: None,
            wall_ms: 0,
            largest_task: None,
            error: None,
            remarks: &[],
        }
    }

    /// Writes it.
    ///
    /// # Errors
    /// Those of writing.
    pub fn write(&self, mut file: &File) -> io::Result<()> {
        file.write_all(format!("{}\n", serde_json::to_string_pretty(self)?).as_bytes())
    }
}
