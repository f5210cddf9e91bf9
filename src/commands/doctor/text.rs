//! The findings in words: a page of 80 columns.

use serde_json::Value;

use super::super::incidents::page::Page;
use super::facts::Unseen;
use super::{Finding, Severity};
use crate::report::Escaped;

/// All of it. `terminal`: somebody looks, and the severities may have colours.
pub(super) fn text(findings: &[Finding], unseen: &[Unseen], terminal: bool) -> String {
    let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
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
        let value = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
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

/// Names of cgroups and units are anybody's choice.
fn plain(text: &str) -> String {
    Escaped(text.as_bytes()).to_string()
}
