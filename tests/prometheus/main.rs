//! What is shipped for Prometheus and Grafana fits the metrics that are written, and Prometheus' own tool accepts it.

mod dashboard;
mod docs;
mod promtool;
mod rules;
mod text;

use hogwatch::report::metrics::{METRICS, MetricSpec};

/// Fails if a text names a metric of hogwatch's that does not exist.
#[track_caller]
fn names_only_what_exists(text: &str, place: &str) {
    let series: Vec<String> = METRICS.iter().flat_map(MetricSpec::series).collect();
    for name in metric_names(text) {
        assert!(series.iter().any(|known| known == name), "{place} names {name}, which does not exist");
    }
}

/// The words that begin with `hogwatch_`.
fn metric_names(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| word.starts_with("hogwatch_"))
}
