//! earlyoom's options as TOML.

use hogwatch::config::Amount::{Bytes, Percent};
use hogwatch::config::earlyoom::{Import, import_args, import_file};
use hogwatch::config::{Config, Order, PercentOf, SwapMode};

use super::{Machine, good};

fn import(line: &str) -> Config {
    good(&text(line))
}

fn text(line: &str) -> String {
    import_args(&[line.to_owned()]).unwrap_or_else(|bad| panic!("{line}: {bad}")).toml
}

#[test]
fn thresholds_of_memory() {
    let rows = [
        ("", Percent(10.0), Percent(5.0)),
        ("-m 4", Percent(4.0), Percent(2.0)),
        ("-m4,1", Percent(4.0), Percent(1.0)),
        ("-m 20,10", Percent(20.0), Percent(10.0)),
        ("-m 5,9", Percent(9.0), Percent(9.0)),
        ("-m 5,0", Percent(5.0), Percent(0.0)),
        ("-m 0,5", Percent(5.0), Percent(5.0)),
        ("-m ,5", Percent(5.0), Percent(5.0)),
        ("-m 3.25", Percent(3.25), Percent(1.625)),
        ("-m 1 -m 7,3.3", Percent(7.0), Percent(3.3)),
        ("-M 409600", Bytes(400 << 20), Bytes(200 << 20)),
        ("-M 409600,204800", Bytes(400 << 20), Bytes(200 << 20)),
        ("-M 1.5", Bytes(1536), Bytes(768)),
        ("-m 10 -M 409600", Bytes(400 << 20), Bytes(200 << 20)),
    ];
    for (line, term, kill) in rows {
        let memory = import(line).memory;
        assert_eq!((memory.term, memory.kill), (term, kill), "{line}");
        assert_eq!(memory.percent_of, PercentOf::User, "{line}");
    }
    assert!(text("-m 10,5 -M 409600").contains("# -m 10,5 was given too; earlyoom took the smaller"));
}

#[test]
fn thresholds_of_swap() {
    let rows = [
        ("", SwapMode::And, Percent(10.0), Percent(5.0)),
        ("-s 12.34", SwapMode::And, Percent(12.34), Percent(6.17)),
        ("-s 100", SwapMode::And, Percent(100.0), Percent(50.0)),
        ("-S 2048,1024", SwapMode::And, Bytes(2 << 20), Bytes(1 << 20)),
    ];
    for (line, mode, term, kill) in rows {
        let swap = import(line).swap;
        assert_eq!((swap.mode, swap.term, swap.kill), (mode, term, kill), "{line}");
    }
    assert_eq!(import("-s 100,100").swap.mode, SwapMode::Ignore);
}

#[test]
fn what_earlyoom_refuses_is_refused() {
    let rows = [
        ("-m 0", "both thresholds are zero"),
        ("-m 0,0", "both thresholds are zero"),
        ("-m", "\"-m\" needs a value"),
        ("-m 100", "out of range"),
        ("-m -10", "out of range"),
        ("-m 1,-1", "out of range"),
        ("-s 101", "out of range"),
        ("-m nan", "nan is not a threshold"),
        ("-m inf", "out of range"),
        ("-m 4,0,2,0", "expected NUMBER or NUMBER,NUMBER"),
        ("-m 220[,160]", "expected NUMBER or NUMBER,NUMBER"),
        ("-m 1x,2x", "expected NUMBER or NUMBER,NUMBER"),
        ("-m 1.1.", "expected NUMBER or NUMBER,NUMBER"),
        ("-M 9999999999999999", "more memory than any machine has"),
        ("-r abc", "not a number of seconds"),
        ("-r -1", "not a number of seconds"),
        ("-x", "earlyoom has no option \"-x\""),
        ("--preferred x", "earlyoom has no option \"--preferred\""),
        ("--s", "earlyoom has no option \"--s\""),
        ("--", "earlyoom has no option \"--\""),
        ("--dryrun=1", "--dryrun takes no value"),
        ("--avoid", "\"--avoid\" needs a value"),
        ("-i xyz", "earlyoom takes no argument \"xyz\""),
        ("-n 1", "earlyoom takes no argument \"1\""),
    ];
    for (line, expected) in rows {
        let bad = import_args(&[line.to_owned()]).expect_err(line);
        assert!(bad.to_string().contains(expected), "{line}: {bad}");
    }
}

#[test]
fn regexes_become_lists() {
    let victim = import("--prefer '(^|/)(java|chromium)$' --avoid=init --avoid '^(a b)$' --ignore \"x'y\"").victim;
    let texts = |list: &[hogwatch::config::Pattern]| list.iter().map(|p| p.text.clone()).collect::<Vec<_>>();
    assert_eq!(texts(&victim.prefer), ["(^|/)(java|chromium)$"]);
    assert_eq!(texts(&victim.avoid), ["^(a b)$"], "the last one counts");
    assert_eq!(texts(&victim.protect), ["x'y"]);
    assert_eq!(victim.order, Order::Badness);
    let victim = import("--ignore x --ignore-root-user --sort-by-rss").victim;
    assert_eq!(texts(&victim.protect), ["x", "user:^root$"]);
    assert_eq!(victim.order, Order::Size);
    // Separate arguments are taken as they are.
    let args = ["--pref", "^a b$", "-gp"].map(str::to_owned);
    assert_eq!(texts(&good(&import_args(&args).unwrap().toml).victim.prefer), ["^a b$"]);
}

#[test]
fn posix_regexes_are_translated() {
    let rows = [
        ("^(a|b)+$", "^(a|b)+$"),
        (r"a\.b", r"a\.b"),
        (r"[a\.b]", r"[a\\.b]"),
        ("[]a]", r"[\]a]"),
        ("[^]a]", r"[^\]a]"),
        ("[a-c-]", r"[a-c\-]"),
        ("[-a]", r"[\-a]"),
        ("[[]", r"[\[]"),
        ("[a&&b]", r"[a\&\&b]"),
        ("[[:alpha:]_]", "[[:alpha:]_]"),
        ("a{,3}", "a{0,3}"),
        ("a{2,3}b", "a{2,3}b"),
        ("a{2}", "a{2}"),
        ("a{x", r"a\{x"),
        ("a]", r"a\]"),
        (r"\<java\>", r"\<java\>"),
        (r"\`a\'", r"\Aa\z"),
        (r"\d", "d"),
        ("user:x", "(user:x)"),
        ("users:x", "(users:x)"),
        ("a/b", "a/b"),
    ];
    for (posix, ours) in rows {
        let args = ["--prefer".to_owned(), posix.to_owned()];
        let prefer = good(&import_args(&args).unwrap().toml).victim.prefer;
        assert_eq!(prefer.len(), 1, "{posix}");
        assert_eq!(prefer[0].text, ours, "{posix}");
    }
}

#[test]
fn what_cannot_be_translated_is_left_to_a_person() {
    for (posix, reason) in [
        (r"(a)\1", "back-references have no equal"),
        ("a+?", "two repetitions stand side by side"),
        ("*a", "a repetition has nothing to repeat"),
        ("(?i)a", "(? has nothing to repeat"),
        ("[a", "a [ is not closed"),
        ("[[.x.]]", "[. .] and [= =] have no equal"),
        ("a\\", "it ends in a backslash"),
        ("(a", "unclosed group"),
        ("", "is empty"),
        ("[ä]", "Unicode not allowed"),
    ] {
        let args = ["--avoid".to_owned(), posix.to_owned()];
        let Import { toml: text, not_translated } = import_args(&args).unwrap();
        assert!(good(&text).victim.avoid.is_empty(), "{posix}");
        let note = text.lines().find(|l| l.starts_with("# NOT translated, write it by hand: "));
        assert!(note.is_some_and(|n| n.contains(reason)), "{posix}\n{text}");
        let [said] = &not_translated[..] else { panic!("{posix}: {not_translated:?}") };
        assert!(said.starts_with(&format!("--avoid \"{posix}\": ")) && said.contains(reason), "{said}");
    }
}

#[test]
fn the_rest_becomes_keys_or_notes() {
    let config = import("-r 3600 -n -N /usr/bin/after -P /usr/bin/before");
    assert_eq!(config.journal.every, Some(std::time::Duration::from_secs(3600)));
    assert_eq!(config.hooks.before, ["/usr/bin/before"]);
    assert_eq!(config.hooks.after, ["/usr/bin/after"]);
    assert!(config.notify.desktop);
    assert_eq!(import("-r 0").journal.every, None);
    assert_eq!(import("-r 0.1").journal.every, Some(std::time::Duration::from_secs(1)));
    assert_eq!(import("-r 1e300").journal.every, Some(hogwatch::config::units::MAX_DURATION));
    assert_eq!(import("-n").hooks, Config::default().hooks);

    for (line, note) in [
        ("-g", "# target = \"cgroup\""),
        ("-p", "# -p: "),
        ("-d", "# -d: "),
        ("--debug", "# -d: "),
        ("--dryrun", "# --dryrun: "),
        ("--syslog", "# --syslog: "),
        ("--kernel-oom", "# --kernel-oom has no equal"),
        ("-k", "# -k means nothing"),
        ("-i", "# -i means nothing"),
        ("-v", "# -v only prints"),
        ("-h", "# -h only prints"),
        ("-N relative", "# -N relative: earlyoom ignores"),
        ("--avoid 'x'", "# its quotes are dropped here"),
    ] {
        let text = text(line);
        assert!(text.lines().any(|l| l.starts_with(note)), "{line}\n{text}");
        good(&text);
    }
}

#[test]
fn environment_files() {
    let machine = Machine::new();
    let import = |file: &str| {
        let path = machine.write("earlyoom", file);
        good(&import_file(&path).unwrap_or_else(|e| panic!("{file}\n{e}")).toml)
    };
    assert_eq!(import("# EARLYOOM_ARGS=\"-m 1\"\nEARLYOOM_ARGS=\"-m 4\"\nX=1\n").memory.term, Percent(4.0));
    assert_eq!(import("EARLYOOM_ARGS='-m 4'").memory.term, Percent(4.0));
    assert_eq!(import("EARLYOOM_ARGS=-m 4 -r 60\n").memory.term, Percent(4.0));
    assert_eq!(import("\tEARLYOOM_ARGS= \"-m 4 \\\n  -r 60\"\n").memory.term, Percent(4.0));
    assert_eq!(import("EARLYOOM_ARGS=-m 3\nEARLYOOM_ARGS=-m 4").memory.term, Percent(4.0));
    assert_eq!(import("EARLYOOM_ARGS=").memory.term, Percent(10.0));
    let debian = "EARLYOOM_ARGS=\"-r 3600 -n --avoid '(^|/)(init|systemd|Xorg|sshd)$'\"\n";
    assert_eq!(import(debian).victim.avoid[0].text, "(^|/)(init|systemd|Xorg|sshd)$");
    let escaped = "EARLYOOM_ARGS=\"--avoid \\\"a b\\\" --prefer 'x\\.y'\"\n";
    assert_eq!(import(escaped).victim.avoid[0].text, "a b");
    assert_eq!(import(escaped).victim.prefer[0].text, "x\\.y");

    let path = machine.write("earlyoom", "OTHER=1\n");
    let said = import_file(&path).unwrap_err().to_string();
    assert!(said.starts_with(&format!("{}: it has no line EARLYOOM_ARGS=...", path.display())), "{said}");
    let path = machine.write("earlyoom", "EARLYOOM_ARGS=-m 0\n");
    let said = import_file(&path).unwrap_err().to_string();
    assert!(said.starts_with(&format!("{}: earlyoom refuses \"-m 0\"", path.display())), "{said}");
    assert!(import_file(machine.folder.path()).is_err());
}

#[test]
fn hostile_options_stay_inside_their_comments() {
    let args = ["--avoid".to_owned(), "(\n[memory]\nterm = \"1%\"\u{1b}".to_owned()];
    let Import { toml: text, not_translated } = import_args(&args).unwrap();
    assert!(!text.contains('\u{1b}'));
    assert!(not_translated.iter().all(|said| !said.contains(['\n', '\u{1b}'])), "{not_translated:?}");
    assert_eq!(good(&text).memory.term, Percent(10.0));
}
