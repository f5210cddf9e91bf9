//! The regexes of `[victim]`.

use std::path::Path;

use hogwatch::config::{Pattern, Subject, compile, load_text};

/// What is doubted about a pattern.
fn doubt(text: &str) -> Option<String> {
    let file = format!("[swap]\n[victim]\navoid = [\n'{text}']\n");
    let loaded = load_text(Path::new("x.toml"), &file).unwrap();
    let mut doubts = loaded.doubts();
    assert!(doubts.len() <= 1, "{doubts:?}");
    doubts.pop()
}

#[test]
fn what_can_never_match_or_always_does_is_doubted() {
    let rows = [
        ("^systemd-networkd$", "never matches: process names are cut at 15 bytes"),
        ("gnome-session-binary", "never matches"),
        ("(Isolated Web Content|gnome-session-binary)", "never matches"),
        ("[a-z]{16}", "never matches"),
        ("^/usr/bin/java$", "for the program's path write \"exe:^/usr/bin/java$\""),
        ("/usr/lib/firefox/.*", "write \"exe:/usr/lib/firefox/.*\""),
        (r"^postgresql\.service$", r#"for the unit write "unit:^postgresql\.service$""#),
        ("nginx.service", "write \"unit:nginx.service\""),
        (r"^session-.*\.scope$", "write \"unit:^session-"),
        (r"user\.slice", r#"write "unit:user\.slice""#),
        (".*", "matches every process"),
        ("x*", "matches every process"),
        ("^", "matches every process"),
        ("a|", "matches every process"),
        ("cmdline:.*", "\"cmdline:.*\" matches every process"),
        ("unit:(foo)?", "matches every process"),
    ];
    for (text, expected) in rows {
        let said = doubt(text).unwrap_or_else(|| panic!("{text}: nothing said"));
        assert!(said.starts_with("x.toml:4: victim.avoid: ") && said.contains(expected), "{said}");
    }
}

#[test]
fn what_can_match_is_not_doubted() {
    for text in [
        "firefox",
        "^systemd-network",
        "^fifteen-letters$",
        "^(systemd-networkd|systemd-resolve)$",
        "(^|/)(init|sshd)$",
        "^[^/]+$",
        "a/?",
        "^$",
        "^[^x]*$",
        ".+",
        "gnome-session-b(inary)?",
        "cmdline:^/usr/bin/java -jar some-long-name",
        "exe:^/usr/bin/",
        r"unit:^postgresql\.service$",
        r"cgroup:/app\.slice$",
        "service",
    ] {
        assert_eq!(doubt(text), None, "{text}");
    }
}

#[test]
fn sections_and_globs_without_effect_are_doubted() {
    let doubts = |text: &str| load_text(Path::new("x.toml"), text).unwrap().doubts();
    for (text, expected) in [
        ("[cgroup_limits]\nenabled = true", "x.toml:2: cgroup_limits.enabled: has no effect: no cgroup is named"),
        ("[cgroup_limits]\ncgroups = [\"**\"]", "x.toml:2: cgroup_limits.cgroups: has no effect: the section's"),
        ("[pressure]\nenabled = true", "x.toml:2: pressure.enabled: has no effect"),
        ("[pressure]\nmanaged_oom = true", "x.toml:2: pressure.managed_oom: has no effect"),
        ("[metrics]\ntextfile = \"/run/x\"", "x.toml:2: metrics.textfile: \"/run/x\": node_exporter reads only files"),
        ("[livelock]\ncgroups = [\"/sys/fs/cgroup/a/*\"]", "write \"a/*\""),
        ("[livelock]\ncgroups = [\"web.service\"]", "write \"**/web.service\""),
    ] {
        let said = doubts(text);
        assert!(said.len() == 1 && said[0].contains(expected), "{text}: {said:?}");
    }
    for text in [
        "[cgroup_limits]\nenabled = true\ncgroups = [\"**\"]",
        "[pressure]\nenabled = true\nmanaged_oom = true",
        "[metrics]\ntextfile = \"/run/hogwatch/hogwatch.prom\"",
        "[livelock]\ncgroups = [\"system.slice\", \"**/web.service\", \"*.service\", \"a/b.scope\"]",
        "",
    ] {
        assert_eq!(doubts(text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn prefixes_choose_what_is_searched() {
    let rows = [
        ("sshd", Subject::Comm, "sshd"),
        ("cmdline:--type=renderer", Subject::Cmdline, "--type=renderer"),
        ("exe:^/usr/bin/", Subject::Exe, "^/usr/bin/"),
        ("cgroup:^/system\\.slice", Subject::Cgroup, "^/system\\.slice"),
        ("unit:^a:b$", Subject::Unit, "^a:b$"),
        ("user:^root$", Subject::User, "^root$"),
        ("kworker/0:1", Subject::Comm, "kworker/0:1"),
        ("[[:alpha:]]", Subject::Comm, "[[:alpha:]]"),
        ("(?i:firefox)", Subject::Comm, "(?i:firefox)"),
        (":x", Subject::Comm, ":x"),
    ];
    for (text, subject, regex) in rows {
        let pattern = Pattern::parse(text).unwrap_or_else(|bad| panic!("{text}: {bad}"));
        assert_eq!((pattern.subject, pattern.regex.as_str()), (subject, regex), "{text}");
        assert_eq!(pattern.text, text);
    }
}

#[test]
fn wrong_regexes_say_what_is_wrong() {
    let rows = [
        ("", "is empty"),
        ("cmdline:", "is empty"),
        ("cmdlin:x", "unknown prefix \"cmdlin:\""),
        ("User:x", "unknown prefix \"User:\""),
        ("units:x", "unknown prefix \"units:\""),
        ("a(", "unclosed group"),
        ("a)", "unopened group"),
        ("[z-a]", "invalid character class range"),
        ("*", "repetition operator missing expression"),
        ("a{3,2}", "invalid repetition count range"),
        ("a\\", "incomplete escape sequence"),
        ("(?P<x", "unclosed capture group name"),
        ("(a)\\1", "backreferences are not supported"),
        ("(?=a)", "look-around"),
        ("[äö]", "Unicode not allowed here"),
        ("cmdline:a(", "the regex \"cmdline:a(\" is wrong: unclosed group"),
    ];
    for (text, expected) in rows {
        let bad = Pattern::parse(text).expect_err(text);
        assert!(bad.message.contains(expected), "{text}: {}", bad.message);
        assert!(!bad.message.contains('\n') && bad.help.is_some(), "{text}");
    }
}

#[test]
fn what_the_regexes_lack_is_said_in_the_help() {
    let help = |text: &str| Pattern::parse(text).expect_err(text).help.unwrap();
    for text in ["(?=a)", "a(?!b)", "(?<=a)b", "(?<!a)b"] {
        assert!(help(text).starts_with("look-around, "), "{text}: {}", help(text));
        assert!(help(text).contains("is not supported"), "{text}: {}", help(text));
    }
    assert!(help("(a)\\1").starts_with("back-references are not supported"));
    assert!(help("a(").contains("needs a \\ before it"));
}

#[test]
fn exploding_regexes_are_refused() {
    let nested = format!("{}a{}", "(".repeat(2000), ")".repeat(2000));
    let alternatives = vec!["[a-z]{50}"; 400].join("|");
    let long = "a".repeat(1 << 17);
    let hostile = [
        "(a{1000}){1000}",
        "((((((a{99}){99}){99}){99}){99}){99}){99}",
        "a{100000}",
        "(a?){5000}",
        "(|a){4000}",
        "(((a*)*)*){3000}",
        "(?u:\\w{200})",
        &nested,
        &alternatives,
        &long,
    ];
    for regex in hostile {
        assert!(compile(regex).is_err(), "{:.40}", regex);
        assert!(Pattern::parse(regex).is_err(), "{:.40}", regex);
    }
}

#[test]
fn usual_regexes_fit_the_limit() {
    for regex in [
        "(^|/)(init|systemd|Xorg|sshd|NetworkManager|containerd|dockerd|tailscaled|cloudflared)$",
        "^(Web Content|Isolated Web Co|firefox|chrome|chromium|electron|code|slack)$",
        "[[:alnum:]]{1,64}\\.service$",
        "(?i)^java(-[0-9]+)?$",
        "^user@[0-9]{1,10}\\.service$",
    ] {
        assert!(compile(regex).is_ok(), "{regex}");
    }
}

#[test]
fn a_search_is_unanchored_case_sensitive_and_on_bytes() {
    let matches = |regex: &str, name: &[u8]| compile(regex).unwrap().is_match(name);
    assert!(matches("ssh", b"openssh-server"));
    assert!(!matches("^ssh", b"openssh-server"));
    assert!(!matches("SSH", b"sshd"));
    assert!(matches("(?i)SSH", b"sshd"));
    // A process may have any bytes in its name.
    assert!(matches("^a.b$", b"a\xffb"));
    assert!(matches("^a.*b$", b"a\nb"));
    assert!(!matches("^b$", b"a\nb"));
    assert!(matches("ä", "Späti".as_bytes()));
    assert!(matches(r"\xff", b"\xff"));
    assert!(matches("^(ä|ö)$", "ö".as_bytes()));
    assert!(matches("(?u:^[äö]$)", "ö".as_bytes()));
    assert!(!matches("a", b""));
    assert!(matches("^$", b""));
}
