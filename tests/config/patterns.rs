//! The regexes of `[victim]`.

use hogwatch::config::{Pattern, Subject, compile};

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
