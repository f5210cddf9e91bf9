//! The findings in words: a page of 80 columns.

use serde_json::Value;

use super::super::incidents::page::Page;
use super::facts::Unseen;
use super::{Finding, Severity};
use crate::report::{Escaped, Size};

/// All of it. `colour`: the severities have colours.
pub(super) fn text(findings: &[Finding], unseen: &[Unseen], colour: bool) -> String {
    let mut page = Page::default();
    for severity in [Severity::Danger, Severity::Warning, Severity::Note] {
        let mut of_this = findings.iter().filter(|finding| finding.severity == severity).peekable();
        if of_this.peek().is_some() {
            page.heading(&heading(severity, colour));
        }
        for finding in of_this {
            write(&mut page, finding);
        }
    }
    if findings.is_empty() {
        page.line("Nothing found.");
    }
    if !unseen.is_empty() {
        page.heading("Not seen:");
    }
    for Unseen { what, why } in unseen {
        page.labelled("  ", &plain(&format!("{what}: {why}")));
    }
    page.text()
}

fn heading(severity: Severity, colour: bool) -> String {
    let (word, code) = match severity {
        Severity::Danger => ("DANGER", "1;31"),
        Severity::Warning => ("WARNING", "1;33"),
        Severity::Note => ("NOTE", "1"),
    };
    if colour { format!("\x1b[{code}m{word}\x1b[0m") } else { word.to_owned() }
}

fn write(page: &mut Page, finding: &Finding) {
    page.labelled("  ", &plain(&format!("{} ({})", finding.title, finding.id)));
    for (name, value) in &finding.evidence {
        let value = read(name, value);
        page.labelled("      read  ", &plain(&format!("{name}: {value}")));
    }
    page.labelled("      why   ", finding.why);
    for (n, line) in finding.fix.lines().enumerate() {
        let label = if n == 0 { "      fix   " } else { "            " };
        let line = plain(line);
        // Commands and a file's content are indented, and stay whole to be pasted.
        if line.starts_with("  ") {
            page.line(format!("{label}{line}"));
        } else {
            page.labelled(label, &line);
        }
    }
}

/// From here on a number is one of bytes, and is said as a size too: no pid is as large (pid_max in proc_sys_kernel(5)), and
/// no count that is read.
const SURELY_BYTES: u64 = 16 << 20;

/// A value as a person reads it.
fn read(name: &str, value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "not set".to_owned(),
        Value::Array(values) if values.is_empty() => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(|value| read(name, value)).collect::<Vec<_>>().join(", "),
        Value::Number(number) => match number.as_u64().filter(|n| *n >= SURELY_BYTES && !name.ends_with("kbytes")) {
            Some(bytes) => format!("{bytes} ({})", Size(bytes)),
            None => number.to_string(),
        },
        other => other.to_string(),
    }
}

/// Names of cgroups and units are anybody's choice.
fn plain(text: &str) -> String {
    Escaped(text.as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::Map;

    use super::super::facts::Facts;
    use super::*;

    fn finding(severity: Severity, title: &str) -> Finding {
        Finding {
            id: "livelock-band",
            severity,
            title: title.to_owned(),
            evidence: Map::from_iter([
                ("cgroup".to_owned(), "/a".into()),
                ("memory.high".to_owned(), 1_u64.into()),
                ("unit".to_owned(), Value::Null),
            ]),
            why: "It stays there.",
            fix: "In a file:\n  [Service]\n  MemoryHigh=infinity".to_owned(),
        }
    }

    #[test]
    fn the_worst_first_and_what_was_not_seen_last() {
        let findings = [finding(Severity::Danger, "a\x1b[31m"), finding(Severity::Note, "b")];
        let unseen = [Unseen { what: "x".to_owned(), why: "y".to_owned() }];
        let expected = "\
DANGER
  a\\x1b[31m (livelock-band)
      read  cgroup: /a
      read  memory.high: 1
      read  unit: -
      why   It stays there.
      fix   In a file:
              [Service]
              MemoryHigh=infinity

NOTE
  b (livelock-band)
      read  cgroup: /a
      read  memory.high: 1
      read  unit: -
      why   It stays there.
      fix   In a file:
              [Service]
              MemoryHigh=infinity

Not seen:
  x: y
";
        assert_eq!(text(&findings, &unseen, false), expected);
        assert_eq!(text(&[], &[], false), "Nothing found.\n");
        assert_eq!(heading(Severity::Danger, true), "\x1b[1;31mDANGER\x1b[0m");
    }

    #[test]
    fn values_are_said_as_a_person_reads_them() {
        let rows = [
            ("pid", Value::from(4_194_304), "4194304"),
            ("memory.high", Value::from(12_884_901_888_u64), "12884901888 (12.0 GiB)"),
            ("/proc/sys/vm/min_free_kbytes", Value::from(67_108_864), "67108864"),
            ("oom_score_adj", Value::from(-1000), "-1000"),
            ("cgroups", Value::from(vec!["/a", "/b"]), "/a, /b"),
            ("other guards", Value::Array(Vec::new()), "none"),
            ("RestartForceExitStatus", Value::from(""), "not set"),
            ("unit", Value::Null, "-"),
            ("zswap enabled", Value::from(true), "true"),
        ];
        for (name, value, expected) in rows {
            assert_eq!(read(name, &value), expected, "{name}");
        }
    }

    #[test]
    fn every_finding_fits_a_terminal() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/doctor/fixtures");
        for case in fixtures.read_dir().unwrap() {
            let tree = case.unwrap().path().join("bad");
            let shown = std::fs::read_to_string(tree.join("systemctl.txt")).map_err(|e| e.to_string());
            let facts = Facts::read(&tree, shown);
            let page = text(&super::super::findings(&facts), &facts.unseen, false);
            for line in page.lines().filter(|line| line.chars().count() > 80) {
                // What is to be pasted stays whole; so does a word.
                let pasted = line.strip_prefix(&" ".repeat(12)).or(line.strip_prefix("      fix   "));
                let words = line.trim_start_matches("      read  ").split_whitespace().count();
                assert!(pasted.is_some_and(|text| text.starts_with("  ")) || words <= 2, "{}: {line}", tree.display());
            }
        }
    }
}
