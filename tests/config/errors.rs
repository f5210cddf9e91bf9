//! Every kind of wrong content, with the exact line that is said about it and the help that goes with it.

use super::problems;

/// Text, its first problem's first line, and what its help contains.
const WRONG: &[(&str, &str, &str)] = &[
    // Unknown names.
    ("[memory]\ntrem = \"5%\"", "hogwatch.toml:2:1: unknown key \"trem\" in [memory]", "did you mean \"term\"?"),
    ("[memory]\nTerm = \"5%\"", "hogwatch.toml:2:1: unknown key \"Term\" in [memory]", "did you mean \"term\"?"),
    (
        "[victim]\nmin-size = \"5%\"",
        "hogwatch.toml:2:1: unknown key \"min-size\" in [victim]",
        "did you mean \"min_size\"?",
    ),
    (
        "[memory]\ngrace = \"5s\"",
        "hogwatch.toml:2:1: unknown key \"grace\" in [memory]",
        "did you mean [escalation] grace?",
    ),
    ("[swap]\nwarn = \"5%\"", "hogwatch.toml:2:1: unknown key \"warn\" in [swap]", "did you mean [memory] warn?"),
    ("[escalation]\nfoo = 1", "hogwatch.toml:2:1: unknown key \"foo\" in [escalation]", "the keys there are grace"),
    (
        "grace = \"5s\"",
        "hogwatch.toml:1:1: unknown key \"grace\" outside any section",
        "did you mean [escalation] grace?",
    ),
    ("nothing_like_it = 1", "hogwatch.toml:1:1: unknown key \"nothing_like_it\" outside any section", "[section]"),
    ("[memroy]\nterm = \"5%\"", "hogwatch.toml:1:2: unknown section \"memroy\"", "did you mean [memory]?"),
    ("[foo]", "hogwatch.toml:1:2: unknown section \"foo\"", "the sections are memory, swap, livelock"),
    ("memory = \"5%\"", "hogwatch.toml:1:1: \"memory\" is a section, not a key", "write [memory]"),
    (
        "[memory.term]\nx = 1",
        "hogwatch.toml:1:1: memory.term: expected a percent such as \"5%\" or a size such as \"800 MiB\", found a table",
        "quotes",
    ),
    (
        "[livelock]\noverrides = []",
        "hogwatch.toml:2:1: unknown key \"overrides\" in [livelock]",
        "did you mean \"override\"?",
    ),
    // Types.
    (
        "[memory]\nterm = 5",
        "hogwatch.toml:2:8: memory.term: expected a percent such as \"5%\" or a size such as \"800 MiB\", found the number 5",
        "write \"5%\"",
    ),
    (
        "[memory]\nterm = -5",
        "hogwatch.toml:2:8: memory.term: expected a percent such as \"5%\" or a size such as \"800 MiB\", found the number -5",
        "help",
    ),
    (
        "[memory]\nterm = 2.5",
        "hogwatch.toml:2:8: memory.term: expected a percent such as \"5%\" or a size such as \"800 MiB\", found the number 2.5",
        "write \"2.5%\"",
    ),
    (
        "[memory]\nterm = nan",
        "hogwatch.toml:2:8: memory.term: expected a percent such as \"5%\" or a size such as \"800 MiB\", found the number nan",
        "in quotes",
    ),
    (
        "[memory]\nterm = true",
        "hogwatch.toml:2:8: memory.term: expected a percent such as \"5%\" or a size such as \"800 MiB\", found true",
        "in quotes",
    ),
    (
        "[memory]\nterm = [\"5%\"]",
        "hogwatch.toml:2:8: memory.term: expected a percent such as \"5%\" or a size such as \"800 MiB\", found a list",
        "in quotes",
    ),
    (
        "[memory]\nterm = 2024-01-01",
        "hogwatch.toml:2:8: memory.term: expected a percent such as \"5%\" or a size such as \"800 MiB\", found a date or time",
        "in quotes",
    ),
    (
        "[escalation]\ngrace = 10",
        "hogwatch.toml:2:9: escalation.grace: expected a duration such as \"10s\", found the number 10",
        "write \"10s\"",
    ),
    (
        "[livelock]\nenabled = \"true\"",
        "hogwatch.toml:2:11: livelock.enabled: expected true or false, found the string \"true\"",
        "without quotes",
    ),
    (
        "[recorder]\nincidents = \"200\"",
        "hogwatch.toml:2:13: recorder.incidents: expected a whole number from 0 to 100000, found the string \"200\"",
        "without quotes",
    ),
    (
        "[recorder]\nincidents = -1",
        "hogwatch.toml:2:13: recorder.incidents: expected a whole number from 0 to 100000, found \"-1\"",
        "in that range",
    ),
    (
        "[recorder]\nincidents = 99999999999999999999",
        "hogwatch.toml:2:13: recorder.incidents: expected a whole number from 0 to 100000, found \"99999999999999999999\"",
        "in that range",
    ),
    (
        "[victim]\nprotect = \"sshd\"",
        "hogwatch.toml:2:11: victim.protect: expected a list, found the string \"sshd\"",
        "write [\"sshd\"]",
    ),
    (
        "[victim]\nprotect = [1]",
        "hogwatch.toml:2:12: victim.protect: expected a regex in quotes, found the number 1",
        "in quotes",
    ),
    (
        "[livelock]\ncgroups = [\"\"]",
        "hogwatch.toml:2:12: livelock.cgroups: an empty glob matches no cgroup",
        "** matches every",
    ),
    (
        "[hooks]\nbefore = \"/bin/x y\"",
        "hogwatch.toml:2:10: hooks.before: expected a list of a program and its arguments, such as [\"/usr/bin/logger\", \"low memory\"], found the string \"/bin/x y\"",
        "write [\"/bin/x y\"]",
    ),
    ("[hooks]\nafter = [\"\"]", "hogwatch.toml:2:9: hooks.after: the program's name is empty", "[] for no command"),
    (
        "[metrics]\ntextfile = \"x.prom\"",
        "hogwatch.toml:2:12: metrics.textfile: \"x.prom\" is not an absolute path",
        "from / on",
    ),
    // Words.
    (
        "[memory]\nscope = \"hots\"",
        "hogwatch.toml:2:9: memory.scope: expected one of \"auto\", \"host\", \"cgroup\", found \"hots\"",
        "did you mean \"host\"?",
    ),
    (
        "[swap]\nmode = \"xyz\"",
        "hogwatch.toml:2:8: swap.mode: expected one of \"ignore\", \"and\", \"or\", found \"xyz\"",
        "write one of",
    ),
    (
        "[swap]\nmode = 1",
        "hogwatch.toml:2:8: swap.mode: expected one of \"ignore\", \"and\", \"or\", found the number 1",
        "in quotes",
    ),
    // Amounts; the units have tables of their own.
    (
        "[memory]\nterm = \"NaN%\"",
        "hogwatch.toml:2:8: memory.term: \"NaN%\" does not begin with a number in the digits 0-9",
        "such as \"5%\"",
    ),
    (
        "[memory]\nterm = \"-5%\"",
        "hogwatch.toml:2:8: memory.term: \"-5%\" has a sign; only plain numbers from 0 up have a meaning here",
        "such as \"5%\"",
    ),
    ("[escalation]\ngrace = \"10\"", "hogwatch.toml:2:9: escalation.grace: \"10\" has no unit", "write \"10s\""),
    ("[memory]\nterm = \"7\"", "hogwatch.toml:2:8: memory.term: \"7\" has no unit", "write \"7%\""),
    ("[memory]\nterm = \"700\"", "hogwatch.toml:2:8: memory.term: \"700\" has no unit", "write \"700 MiB\""),
    ("[pressure]\nfull = \"70\"", "hogwatch.toml:2:8: pressure.full: \"70\" has no unit", "such as \"70%\""),
    ("[run]\nmemory = \"8\"", "hogwatch.toml:2:10: run.memory: \"8\" has no unit", "such as \"4G\""),
    (
        "[memory]\nterm = 700",
        "hogwatch.toml:2:8: memory.term: expected a percent such as \"5%\" or a size such as \"800 MiB\", found the number 700",
        "write \"700 MiB\"",
    ),
    (
        "[run]\nmemory = 8",
        "hogwatch.toml:2:10: run.memory: expected a size such as \"4 GiB\", or \"\" for none, found the number 8",
        "such as \"4 GiB\"",
    ),
    (
        "[memory]\nterm = \"5\"",
        "hogwatch.toml:2:8: memory.term: \"5\" has no unit",
        "\"5%\" for a percent, or \"5 GiB\"",
    ),
    ("[memory]\nterm = \"5 %\"", "hogwatch.toml:2:8: memory.term: \"5 %\" has a blank before %", "write \"5%\""),
    ("[memory]\nterm = \"101%\"", "hogwatch.toml:2:8: memory.term: \"101%\" is more than 100%", "0% to 100%"),
    (
        "[memory]\nterm = \"100%\"",
        "hogwatch.toml:2:8: memory.term: 100% is always reached: something would be killed at once",
        "below 100%",
    ),
    ("[memory]\nterm = \"0%\"", "hogwatch.toml:2:8: memory.term: 0% is reached only when it is too late", "above 0"),
    (
        "[memory]\nterm = \"0 MiB\"",
        "hogwatch.toml:2:8: memory.term: 0 B is reached only when it is too late",
        "above 0",
    ),
    ("[memory]\nterm = \"\"", "hogwatch.toml:2:8: memory.term: the value is empty", "\"5%\""),
    (
        "[cgroup_limits]\nterm = \"0%\"",
        "hogwatch.toml:2:8: cgroup_limits.term: 0% is reached only when it is too late",
        "above 0",
    ),
    ("[pressure]\nfull = \"0%\"", "hogwatch.toml:2:8: pressure.full: 0% is always reached", "above 0%"),
    ("[pressure]\nfull = \"4 GiB\"", "hogwatch.toml:2:8: pressure.full: \"4 GiB\" is not a percent", "such as \"5%\""),
    ("[victim]\nmin_size = \"100%\"", "hogwatch.toml:2:12: victim.min_size: no process is this large", "smaller"),
    ("[run]\nmemory = \"0 B\"", "hogwatch.toml:2:10: run.memory: nothing runs in so little memory", "1 MiB at least"),
    ("[run]\nmemory = \"5%\"", "hogwatch.toml:2:10: run.memory: \"5%\" has the unknown unit \"%\"", "GiB"),
    ("[run]\ntimeout = \"0s\"", "hogwatch.toml:2:11: run.timeout: nothing runs in no time", "above 0s"),
    ("[livelock]\nafter = \"5s\"", "hogwatch.toml:2:9: livelock.after: 5s is too short", "6s or more"),
    (
        "[livelock]\nthrash_after = \"5999ms\"",
        "hogwatch.toml:2:16: livelock.thrash_after: 5999ms is too short",
        "6s or more",
    ),
    ("[journal]\nevery = \"10ms\"", "hogwatch.toml:2:9: journal.every: 10ms is too short", "1s or more"),
    ("[recorder]\nkeep = \"0s\"", "hogwatch.toml:2:8: recorder.keep: 0s is too short", "1s or more"),
    // Thresholds against each other.
    (
        "[memory]\nterm = \"4%\"\nkill = \"5%\"",
        "hogwatch.toml:3:8: memory.kill, 5%, is above memory.term, 4%",
        "at or below term",
    ),
    (
        "[memory]\nkill = \"5%\"\nterm = \"4%\"",
        "hogwatch.toml:3:8: memory.kill, 5%, is above memory.term, 4%",
        "at or below term",
    ),
    (
        "[memory]\nkill = \"6%\"",
        "hogwatch.toml:2:8: memory.kill, 6%, is above memory.term, 5% (the default)",
        "set term too",
    ),
    (
        "[memory]\nterm = \"1 GiB\"\nkill = \"1025 MiB\"",
        "hogwatch.toml:3:8: memory.kill, 1025 MiB, is above memory.term, 1 GiB",
        "at or below term",
    ),
    (
        "[swap]\nkill = \"11%\"",
        "hogwatch.toml:2:8: swap.kill, 11%, is above swap.term, 10% (the default)",
        "set term too",
    ),
    (
        "[cgroup_limits]\nkill = \"11%\"",
        "hogwatch.toml:2:8: cgroup_limits.kill, 11%, is above cgroup_limits.term, 5% (the default)",
        "set term too",
    ),
    (
        "[memory]\nwarn = \"4%\"",
        "hogwatch.toml:2:8: memory.warn, 4%, is below memory.term, 5% (the default)",
        "set term too",
    ),
    (
        "[memory]\nwarn = \"4%\"\nterm = \"6%\"",
        "hogwatch.toml:3:8: memory.warn, 4%, is below memory.term, 6%",
        "at or above term",
    ),
    (
        "[swap]\nmode = \"or\"\nterm = \"100%\"",
        "hogwatch.toml:3:8: swap.term, 100%, is always reached: in mode \"or\" something would be killed at once",
        "mode = \"ignore\"",
    ),
    // Exceptions.
    (
        "[[livelock.override]]\naction = \"warn\"",
        "hogwatch.toml:1:1: livelock.override: an exception needs cgroups",
        "cgroups = ",
    ),
    (
        "[[livelock.override]]\ncgroups = [\"a\"]",
        "hogwatch.toml:1:1: livelock.override: an exception needs something that differs",
        "action, after",
    ),
    (
        "[[livelock.override]]\ncgroups = []\naction = \"warn\"",
        "hogwatch.toml:2:11: livelock.override.cgroups: an empty list matches no cgroup",
        "at least one",
    ),
    (
        "[[livelock.override]]\ncgroups = [\"a\"]\nafter = \"1s\"",
        "hogwatch.toml:3:9: livelock.override.after: 1s is too short",
        "6s",
    ),
    (
        "[[livelock.override]]\ncgroups = [\"a\"]\nactoin = \"warn\"",
        "hogwatch.toml:3:1: unknown key \"actoin\" in [[livelock.override]]",
        "did you mean \"action\"?",
    ),
    (
        "[livelock]\noverride = [1]",
        "hogwatch.toml:2:13: livelock.override: expected a table, found the number 1",
        "[[livelock.override]]",
    ),
    (
        "[livelock.override]\ncgroups = [\"a\"]",
        "hogwatch.toml:1:1: livelock.override: expected a list, found a table",
        "[[ ]]",
    ),
    // TOML itself.
    ("[memory]\nterm = \"5%\"\nterm = \"6%\"", "hogwatch.toml:3:1: this key or section stands twice", "only once"),
    ("[memory]\n[memory]", "hogwatch.toml:2:2: this key or section stands twice", "only once"),
    ("[memory]\nterm = 5%", "hogwatch.toml:2:8: ", "quotes"),
    ("[victim]\navoid = [\"a\\.service\"]", "hogwatch.toml:2:13: ", "put regexes in single quotes, '\\.service$'"),
    ("[victim]\navoid = [\"\\upower\"]", "hogwatch.toml:2:13: ", "put regexes in single quotes"),
    ("[victim]\navoid = [\"\\xfz\"]", "hogwatch.toml:2:14: ", "put regexes in single quotes"),
    ("[victim]\navoid = [\"\\udddd\"]", "hogwatch.toml:2:13: ", "put regexes in single quotes"),
    ("[memory\nterm = \"5%\"", "hogwatch.toml:1:8: ", ""),
    ("[memory]\nterm = \"5%", "hogwatch.toml:2:11: ", ""),
    ("\u{1b}[31m", "hogwatch.toml:1:2: ", ""),
];

#[test]
fn each_kind_of_mistake_is_said_with_its_place_and_its_remedy() {
    for (text, headline, help) in WRONG {
        let problems = problems(text);
        let first = &problems[0];
        let said = first.lines().next().unwrap();
        if headline.ends_with(": ") {
            assert!(said.starts_with(headline) && said.len() > headline.len(), "{text}\n{first}");
        } else {
            assert_eq!(said, *headline, "{text}\n{first}");
        }
        assert!(first.contains(help), "{text}\n{first}");
        assert!(help.is_empty() || first.lines().last().unwrap().starts_with("help: "), "{text}\n{first}");
    }
}

#[test]
fn the_line_is_shown_with_a_caret_below_the_place() {
    let said = problems("[memory]\n\tterm = \"5 %\"  # five\r\n");
    let shown = "hogwatch.toml:2:9: memory.term: \"5 %\" has a blank before %\n   \
                 term = \"5 %\"  # five\n          ^\nhelp: write \"5%\"";
    assert_eq!(said, [shown]);
}

#[test]
fn columns_count_characters() {
    let said = problems("[victim]\nprotect = [\"ä\", \"(\"]");
    assert!(said[0].starts_with("hogwatch.toml:2:17: "), "{}", said[0]);
    let lines: Vec<&str> = said[0].lines().collect();
    assert_eq!(lines[1].chars().nth(lines[2].chars().count() - 1), Some('"'));
    assert_eq!(lines[2].chars().count(), 2 + 17);
}

#[test]
fn all_problems_of_a_file_are_said_in_its_order() {
    let text = "[swap]\nmode = 1\n[memory]\nkill = \"x\"\nfoo = 1\nterm = 5\n[bar]\n";
    let said = problems(text);
    let places: Vec<&str> = said.iter().map(|p| p.split(": ").next().unwrap()).collect();
    assert_eq!(
        places,
        ["hogwatch.toml:2:8", "hogwatch.toml:4:8", "hogwatch.toml:5:1", "hogwatch.toml:6:8", "hogwatch.toml:7:2"]
    );
}

#[test]
fn thousands_of_problems_are_counted_not_listed() {
    let text: String = (0..5000).map(|i| format!("k{i} = 1\n")).collect();
    let error = super::parse(&text).unwrap_err();
    assert_eq!(error.problems().len(), 20);
    assert!(error.to_string().ends_with("\n... and 4980 more"), "{error}");
    assert_eq!(
        error.summary(),
        "hogwatch.toml:1:1: unknown key \"k0\" outside any section (and 4999 more; `hogwatch config check` lists them)"
    );
}

#[test]
fn what_a_file_holds_cannot_play_tricks_on_the_terminal() {
    let said = problems("\"\\u001b[2J\\nhogwatch.toml: ok\" = 1 # \u{202e}x\n");
    assert!(!said[0].contains(['\u{1b}', '\u{202e}']), "{:?}", said[0]);
    assert_eq!(said[0].lines().count(), 4, "{}", said[0]);
    let said = problems("[memory]\nscope = \"a\\nb\\u001b\"");
    assert_eq!(said[0].lines().count(), 4, "{}", said[0]);
}

#[test]
fn a_line_of_a_hundred_kilobytes_is_cut_around_the_place() {
    let long = "x".repeat(100_000);
    for text in [
        format!("[memory]\nscope = \"{long}\""),
        format!("[victim]\nprotect = [\"{long}\", 1, \"{long}\"]"),
        format!("[memory]\n{long} = 1"),
    ] {
        for said in problems(&text) {
            assert!(said.lines().all(|line| line.chars().count() < 400), "{said}");
            let lines: Vec<&str> = said.lines().collect();
            let under = lines[1].chars().nth(lines[2].chars().count() - 1);
            assert!(matches!(under, Some('"' | '1' | 'x')), "{said}");
        }
    }
}
