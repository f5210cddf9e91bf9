//! The table of margins in the documentation is what the detector does on the traces.

use std::fmt::Write;

use hogwatch::decide::livelock::{Detector, Episodes, Findings, Kind, Rule, Unit};

use crate::simulate::TERMS;
use crate::traces::{Expected, Recorded, all};

const DOCS: &str = include_str!("../../docs/livelock.md");
const BEGIN: &str = "<!-- margins: checked by tests/replay/docs.rs -->\n";
const END: &str = "<!-- end of margins -->\n";

#[test]
fn the_margins_are_those_of_the_traces() {
    let mut table = String::from(
        "| trace | expected | found, s after onset | kind | rules missed | weakest rule | threshold | margin |\n",
    );
    table.push_str("| --- | --- | --- | --- | --- | --- | --- | --- |\n");
    for trace in all() {
        writeln!(table, "{}", row(&trace)).unwrap();
    }
    let written = DOCS.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END)).expect("both marks").0;
    assert_eq!(written.trim(), table.trim(), "docs/livelock.md should hold this table:\n\n{table}");
}

#[test]
fn every_rule_and_kind_is_explained() {
    let mut detector = Detector::new(TERMS);
    let trace = &all()[0];
    trace.samples.iter().for_each(|sample| {
        detector.push(sample);
    });
    for findings in &detector.judge().unwrap().kinds {
        assert!(DOCS.contains(&format!("**{}**", findings.kind.name())), "{:?}", findings.kind);
        for rule in findings.all().chain(findings.any()) {
            assert!(DOCS.contains(&format!("`{}`", rule.name)), "{}", rule.name);
        }
    }
}

/// How long after it was found the margins of a stuck trace are taken: at that moment some rule has just been met.
const SETTLED: f64 = 5.0;

/// What stands nearest to another verdict: how many rules of the kind do not hold, and the weakest of them all.
#[derive(Clone, Copy)]
struct Nearest {
    kind: Kind,
    unmet: usize,
    rule: Rule,
}

impl Nearest {
    fn of(findings: &Findings) -> Self {
        let rules = counted(findings);
        let unmet = rules.iter().filter(|rule| !rule.met()).count();
        // Time by itself is no evidence.
        let evidence = rules.iter().filter(|rule| rule.unit != Unit::Seconds || !rule.met());
        let rule = evidence.min_by(|a, b| a.margin().total_cmp(&b.margin())).unwrap();
        Self { kind: findings.kind, unmet, rule: *rule }
    }

    /// Whether this is farther from being stuck.
    fn is_weaker(&self, other: &Self) -> bool {
        (other.unmet, -other.rule.margin()) < (self.unmet, -self.rule.margin())
    }
}

/// The rules, the strongest alone of those of which one suffices.
fn counted(findings: &Findings) -> Vec<Rule> {
    let strongest = findings.any().max_by(|a, b| a.margin().total_cmp(&b.margin()));
    findings.all().chain(strongest).copied().collect()
}

fn row(trace: &Recorded) -> String {
    let (mut detector, mut episodes) = (Detector::new(TERMS), Episodes::default());
    let mut found = None;
    let mut nearest: Option<Nearest> = None;
    for sample in &trace.samples {
        let verdict = detector.push(sample);
        if let Some(stall) = episodes.follow(&verdict, sample.t, &TERMS) {
            found = Some((stall.kind, sample.t.as_secs_f64() - trace.onset));
            nearest = None;
        }
        let Some(judgement) = detector.judge() else { continue };
        // Without an OOM nothing could be said about getting stuck in it.
        let kinds = judgement.kinds.iter().filter(|findings| findings.kind != Kind::OomStuck).map(Nearest::of);
        let after = sample.t.as_secs_f64() - trace.onset;
        let Some(best) = kinds.reduce(|a, b| if a.is_weaker(&b) { b } else { a }) else { continue };
        nearest = match (nearest, found) {
            (_, Some((_, at))) if after <= at + SETTLED => None,
            (None, _) => Some(best),
            // While it is stuck: the worst moment. For ever healthy: the moment nearest to stuck.
            (Some(old), _) => Some(if old.is_weaker(&best) == found.is_none() { best } else { old }),
        };
    }
    let expected = match trace.expected {
        Expected::Livelock => "livelock",
        Expected::Thrash => "thrash",
        Expected::Healthy => "healthy",
    };
    let found = found.map_or("-".to_owned(), |(kind, after)| format!("{} {after:.1}", kind.name()));
    let nearest = nearest.map_or("no limit to judge | - | - | - | -".to_owned(), |Nearest { kind, unmet, rule }| {
        let value = rule.value.map_or("-".to_owned(), |value| number(value, rule.unit));
        let margin = if rule.margin() < 100.0 { format!("{:.2}", rule.margin()) } else { "> 100".to_owned() };
        format!("{} | {unmet} | {} {value} | {} | {margin}", kind.name(), rule.name, number(rule.threshold, rule.unit))
    });
    format!("| {} | {expected} | {found} | {nearest} |", trace.name)
}

fn number(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Share => format!("{:.1} %", value * 100.0),
        Unit::Seconds => format!("{value:.1} s"),
        Unit::Count => format!("{value:.2}"),
    }
}
