//! The table of margins in the documentation is what the detector does on the traces.

use std::fmt::Write;

use hogwatch::decide::livelock::{
    Detector, Episodes, Findings, Kind, MachineDetector, MachineEpisode, MachineSample, Rule, Sense, Unit,
};

use crate::machine::THRASH_AFTER;
use crate::simulate::TERMS;
use crate::traces::{Expected, Recorded, all, all_of_machines};

const DOCS: &str = include_str!("../../docs/livelock.md");
const OF_CGROUPS: &str = "<!-- margins: checked by tests/replay/docs.rs -->\n";
const OF_MACHINES: &str = "<!-- margins of machines: checked by tests/replay/docs.rs -->\n";
const END: &str = "<!-- end of margins -->\n";

#[test]
fn the_margins_are_those_of_the_traces() {
    let head = "| trace | expected | found, s after onset | kind | rules missed | weakest rule | threshold | margin |\n\
        | --- | --- | --- | --- | --- | --- | --- | --- |\n";
    check_table(OF_CGROUPS, head.to_owned(), all().iter().map(row));
    check_table(OF_MACHINES, machine_head(), all_of_machines().iter().map(machine_row));
}

fn check_table(begin: &str, mut table: String, rows: impl Iterator<Item = String>) {
    for row in rows {
        writeln!(table, "{row}").unwrap();
    }
    let written = DOCS.split_once(begin).and_then(|(_, rest)| rest.split_once(END)).expect("both marks").0;
    assert_eq!(written.trim(), table.trim(), "docs/livelock.md should hold this table:\n\n{table}");
}

#[test]
fn every_rule_and_kind_is_explained() {
    let mut detector = Detector::new(TERMS);
    let trace = &all()[0];
    trace.samples.iter().for_each(|sample| {
        detector.push(sample);
    });
    let mut machine = MachineDetector::new(THRASH_AFTER);
    machine.push(&all_of_machines()[0].samples[0]);
    for findings in detector.judge().unwrap().kinds.iter().chain(&machine.judge()) {
        assert!(DOCS.contains(&format!("**{}**", findings.kind.name())), "{:?}", findings.kind);
        for rule in findings.all().chain(findings.any()) {
            assert!(DOCS.contains(&format!("`{}`", rule.name)), "{}", rule.name);
        }
    }
}

/// How long after it was found the margins of a stuck cgroup's trace are taken: at that moment some rule has just been met.
const SETTLED: f64 = 5.0;

/// The same of a machine's, which take long enough to record as it is.
const MACHINE_SETTLED: f64 = 1.0;

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

/// What was found first, and when, in seconds after the onset.
type Found = Option<(Kind, f64)>;

fn row(trace: &Recorded) -> String {
    let (mut detector, mut episodes) = (Detector::new(TERMS), Episodes::default());
    let moments = trace.samples.iter().map(|sample| {
        let verdict = detector.push(sample);
        let found = episodes.follow(&verdict, sample.t, &TERMS).map(|stall| stall.kind);
        // Without an OOM nothing could be said about getting stuck in it.
        let nearest = detector.judge().and_then(|judgement| {
            let kinds = judgement.kinds.into_iter().filter(|findings| findings.kind != Kind::OomStuck);
            kinds.reduce(|a, b| if Nearest::of(&a).is_weaker(&Nearest::of(&b)) { b } else { a })
        });
        (sample.t.as_secs_f64(), found, nearest)
    });
    line(&trace.name, trace.expected, extremes(trace.onset, SETTLED, moments))
}

fn machine_row(trace: &Recorded<MachineSample>) -> String {
    let (mut detector, mut episode) = (MachineDetector::new(THRASH_AFTER), MachineEpisode::default());
    let moments = trace.samples.iter().map(|sample| {
        let verdict = detector.push(sample);
        let found = episode.follow(&verdict, sample.t, THRASH_AFTER, |_| true).map(|_| Kind::SwapThrash);
        // Before a whole window was seen, the values are those of next to nothing.
        let whole = sample.t.saturating_sub(trace.samples[0].t) >= THRASH_AFTER;
        (sample.t.as_secs_f64(), found, detector.judge().filter(|_| whole))
    });
    let (found, nearest) = extremes(trace.onset, MACHINE_SETTLED, moments);
    let found = found.map_or("-".to_owned(), |(_, after)| format!("{after:.1}"));
    let findings = nearest.unwrap();
    let value = |rule: &Rule| rule.value.map_or("-".to_owned(), |value| number(value, rule.unit));
    let values = rules(&findings).map(value).collect::<Vec<_>>().join(" | ");
    let Nearest { unmet, rule, .. } = Nearest::of(&findings);
    let margin = format!("{unmet} | {} {:.2}", rule.name, rule.margin());
    format!("| {} | {} | {found} | {values} | {margin} |", trace.name, word(trace.expected))
}

fn rules(findings: &Findings) -> impl Iterator<Item = &Rule> {
    findings.all().chain(findings.any())
}

/// The header, and the thresholds as the first row.
fn machine_head() -> String {
    let mut detector = MachineDetector::new(THRASH_AFTER);
    detector.push(&all_of_machines()[0].samples[0]);
    let findings = detector.judge().unwrap();
    let names = rules(&findings).map(|rule| rule.name).collect::<Vec<_>>().join(" | ");
    let thresholds = rules(&findings).map(|rule| {
        let side = if rule.sense == Sense::AtLeast { "≥" } else { "<" };
        format!("{side} {}", number(rule.threshold, rule.unit))
    });
    let thresholds = thresholds.collect::<Vec<_>>().join(" | ");
    format!(
        "| trace | expected | found, s after onset | {names} | rules missed | smallest margin |\n|{}\n| | | | {thresholds} | | |\n",
        " --- |".repeat(5 + rules(&findings).count())
    )
}

/// While it is stuck: the worst moment. For ever healthy: the moment nearest to stuck.
fn extremes(
    onset: f64,
    settled: f64,
    moments: impl Iterator<Item = (f64, Option<Kind>, Option<Findings>)>,
) -> (Found, Option<Findings>) {
    let mut found: Found = None;
    let mut nearest: Option<Findings> = None;
    for (t, kind, best) in moments {
        let after = t - onset;
        if let Some(kind) = kind {
            found = Some((kind, after));
            nearest = None;
        }
        let Some(best) = best else { continue };
        nearest = match (nearest, found) {
            (_, Some((_, at))) if after <= at + settled => None,
            (None, _) => Some(best),
            (Some(old), _) => {
                let weaker = Nearest::of(&old).is_weaker(&Nearest::of(&best));
                Some(if weaker == found.is_none() { best } else { old })
            }
        };
    }
    (found, nearest)
}

fn word(expected: Expected) -> &'static str {
    match expected {
        Expected::Livelock => "livelock",
        Expected::Thrash => "thrash",
        Expected::Healthy => "healthy",
    }
}

fn line(name: &str, expected: Expected, (found, nearest): (Found, Option<Findings>)) -> String {
    let expected = word(expected);
    let found = found.map_or("-".to_owned(), |(kind, after)| format!("{} {after:.1}", kind.name()));
    let nearest = nearest.map_or("no limit to judge | - | - | - | -".to_owned(), |findings| {
        let Nearest { kind, unmet, rule } = Nearest::of(&findings);
        let value = rule.value.map_or("-".to_owned(), |value| number(value, rule.unit));
        let margin = if rule.margin() < 100.0 { format!("{:.2}", rule.margin()) } else { "> 100".to_owned() };
        format!("{} | {unmet} | {} {value} | {} | {margin}", kind.name(), rule.name, number(rule.threshold, rule.unit))
    });
    format!("| {name} | {expected} | {found} | {nearest} |")
}

fn number(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Share => format!("{:.1} %", value * 100.0),
        Unit::Seconds => format!("{value:.1} s"),
        Unit::Count => format!("{value:.2}"),
    }
}
