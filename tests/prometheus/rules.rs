//! The alert rules.

use crate::names_only_what_exists;
use crate::promtool::{Outcome, promtool};

const RULES: &str = include_str!("../../packaging/prometheus/hogwatch.rules.yml");
const TESTS: &str = include_str!("hogwatch.test.yml");

fn alerts() -> impl Iterator<Item = (&'static str, &'static str)> {
    RULES.split("- alert: ").skip(1).map(|rule| rule.split_once('\n').unwrap())
}

#[test]
fn they_are_well_formed() {
    let Outcome { code, said } = promtool(&["check", "rules", "packaging/prometheus/hogwatch.rules.yml"], "");
    assert!(code == Some(0) && said.contains(&format!("{} rules found", alerts().count())), "{said}");
    names_only_what_exists(RULES, "hogwatch.rules.yml");
}

#[test]
fn they_fire_when_they_should_and_only_then() {
    let Outcome { code, said } = promtool(&["test", "rules", "tests/prometheus/hogwatch.test.yml"], "");
    assert_eq!(code, Some(0), "{said}");
    names_only_what_exists(TESTS, "hogwatch.test.yml");
}

#[test]
fn each_says_what_to_do_and_is_tested() {
    for (name, rule) in alerts() {
        for key in ["severity: ", "summary: ", "description: "] {
            assert_eq!(rule.matches(key).count(), 1, "{name}: {key}");
        }
        let severity = rule.split_once("severity: ").unwrap().1.lines().next().unwrap();
        assert!(["critical", "warning", "info"].contains(&severity), "{name}: {severity}");
        // A command to begin with.
        assert_eq!(rule.matches('`').count() % 2, 0, "{name}");
        assert!(["`journalctl ", "`systemctl ", "`hogwatch "].iter().any(|command| rule.contains(command)), "{name}");
        assert!(TESTS.contains(name), "{name} has no test");
    }
}
