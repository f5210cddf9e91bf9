//! The text itself, as recorded from given events, is read by the parsers of both formats.

use crate::promtool::{Outcome, promtool};

const FULL: &str = include_str!("../fixtures/metrics/full.prom");
const FRESH: &str = include_str!("../fixtures/metrics/fresh.prom");

/// The parser of the older format is also that of node_exporter's textfile collector. Its only remark is that counters have
/// no help text under the name that it expects.
#[test]
fn the_older_format_is_read() {
    for text in [FULL, FRESH] {
        let Outcome { code, said } = promtool(&["check", "metrics"], text);
        // 3: remarks, 1: it could not be read.
        assert_eq!(code, Some(3), "{said}");
        for remark in said.lines() {
            let counter = remark.strip_suffix(" no help text").filter(|name| name.ends_with("_total"));
            assert!(counter.is_some(), "{said}");
        }
    }
}

/// The only command that parses OpenMetrics wants every sample to have a time.
#[test]
fn openmetrics_is_read() {
    for text in [FULL, FRESH] {
        let dir = tempfile::tempdir().unwrap();
        let (file, blocks) = (dir.path().join("timed"), dir.path().join("blocks"));
        let timed =
            text.lines().map(|line| if line.starts_with('#') { line.into() } else { format!("{line} 1700000000") });
        let timed: Vec<String> = timed.collect();
        std::fs::write(&file, timed.join("\n") + "\n").unwrap();
        std::fs::create_dir(&blocks).unwrap();
        let paths = [file.to_str().unwrap(), blocks.to_str().unwrap()];
        let Outcome { code, said } = promtool(&["tsdb", "create-blocks-from", "openmetrics", paths[0], paths[1]], "");
        assert_eq!(code, Some(0), "{said}");
    }
}

/// What node_exporter refuses: time stamps, and types that the older format does not know.
#[test]
fn nothing_is_in_it_that_node_exporter_refuses() {
    for line in FULL.lines().chain(FRESH.lines()) {
        match line.strip_prefix("# TYPE ") {
            Some(of) => assert!(["gauge", "counter", "histogram"].contains(&of.split(' ').nth(1).unwrap()), "{line}"),
            None if line.starts_with('#') => {}
            None => assert_eq!(
                line.rsplit('}').next().unwrap().split_whitespace().count(),
                1 + usize::from(!line.contains('}')),
                "{line}"
            ),
        }
    }
}
