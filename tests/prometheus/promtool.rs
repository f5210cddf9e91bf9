//! Prometheus' own tool.

use std::fmt::Write as _;
use std::io::{ErrorKind, Write};
use std::process::{Command, Stdio};

/// How it went.
pub struct Outcome {
    pub code: Option<i32>,
    /// Both of its outputs.
    pub said: String,
}

/// Runs it in the package's own directory.
#[track_caller]
pub fn promtool(arguments: &[&str], input: &str) -> Outcome {
    let mut command = Command::new("promtool");
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
    let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = started.unwrap_or_else(|error| match error.kind() {
        ErrorKind::NotFound => {
            panic!("promtool is missing: run tests/prometheus/deps, or install Debian's package prometheus")
        }
        _ => panic!("promtool: {error}"),
    });
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    Outcome { code: output.status.code(), said: String::from_utf8_lossy(&said).into_owned() }
}

/// Fails if it finds anything wrong with these queries.
#[track_caller]
pub fn check_queries<'a>(queries: impl Iterator<Item = &'a str>) {
    let mut rules = String::from("groups:\n- name: queries\n  rules:\n");
    let mut count = 0;
    for query in queries {
        // Grafana puts these in by itself.
        let query = query.replace("$__rate_interval", "5m").replace("$instance", ".*");
        // A JSON string is a YAML string.
        writeln!(rules, "  - record: query:{count}\n    expr: {}", serde_json::json!(query)).unwrap();
        count += 1;
    }
    assert!(count > 0, "no queries at all");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rules.yml");
    std::fs::write(&file, &rules).unwrap();
    let Outcome { code, said } = promtool(&["check", "rules", file.to_str().unwrap()], "");
    assert!(code == Some(0) && said.contains(&format!("{count} rules found")), "{said}\n{rules}");
}
