//! The documentation says what the table says.

use std::fmt::Write;

use hogwatch::report::metrics::METRICS;

use crate::names_only_what_exists;
use crate::promtool::check_queries;

const METRICS_MD: &str = include_str!("../../docs/metrics.md");
const FLEET_MD: &str = include_str!("../../docs/fleet.md");

fn table() -> String {
    let mut table = String::from("\n| series | type | labels | meaning |\n| --- | --- | --- | --- |\n");
    for metric in &METRICS {
        let series: Vec<String> = metric.series().map(|name| format!("`{name}`")).collect();
        let labels: Vec<String> = metric.labels.iter().map(|name| format!("`{name}`")).collect();
        let (series, labels) = (series.join(", "), labels.join(", "));
        writeln!(table, "| {series} | {} | {labels} | {} |", metric.kind(), metric.help).unwrap();
    }
    table
}

/// The fenced blocks of a language.
fn blocks<'a>(page: &'a str, language: &str) -> impl Iterator<Item = &'a str> {
    let fence = format!("```{language}\n");
    let parts: Vec<&str> = page.split(&fence).skip(1).collect();
    parts.into_iter().map(|rest| rest.split_once("```").unwrap().0)
}

#[test]
fn the_documented_metrics_are_the_real_ones() {
    let (_, rest) = METRICS_MD.split_once("<!-- metrics: checked by tests/prometheus/docs.rs -->\n").unwrap();
    let (documented, _) = rest.split_once("\n<!-- end of metrics -->").unwrap_or(("", ""));
    let real = table();
    assert!(documented == real, "docs/metrics.md needs this between its marks:\n{real}");
}

#[test]
fn queries_in_the_documentation_are_well_formed() {
    let pages = [METRICS_MD, FLEET_MD];
    // A query a line, its explanation above it.
    let queries = pages.iter().flat_map(|page| blocks(page, "promql")).flat_map(str::lines);
    let queries: Vec<&str> = queries.filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    check_queries(queries.iter().copied());
    for query in queries {
        names_only_what_exists(query, query);
    }
}
