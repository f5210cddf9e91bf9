//! The command: what it prints, its exit status, and what it says about files that are no traces.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value as Json, json};
use tempfile::TempDir;

struct Said {
    status: i32,
    stdout: String,
    stderr: String,
}

struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Runs `hogwatch replay`, with the built-in defaults unless `--config` is among the arguments.
    fn replay(&self, args: &[&str], file: &Path) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hogwatch"));
        command.arg("replay").arg(file).args(args);
        if !args.contains(&"--config") {
            command.arg("--config").arg(self.write("none.toml", ""));
        }
        let output = command.output().unwrap();
        Said {
            status: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

fn recorded(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/traces").join(format!("{name}.jsonl.gz"))
}

fn text_of(name: &str) -> String {
    let file = std::fs::File::open(recorded(name)).unwrap();
    std::io::read_to_string(flate2::read::GzDecoder::new(file)).unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

/// A trace whose header names this cgroup.
fn in_cgroup(name: &str, cgroup: &str) -> String {
    let text = text_of(name);
    let (_, samples) = text.split_once('\n').unwrap();
    format!("{}\n{samples}", json!({"header": {"cgroup": cgroup}}))
}

#[test]
fn a_livelock_is_one_decision_in_json_and_in_words() {
    let files = Files::new();
    let said = files.replay(&["--json"], &recorded("6.1-throttle-plateau"));
    assert_eq!((said.status, said.stderr.as_str()), (0, ""));
    let line: Json = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(
        line,
        json!({
            "schema": 1, "t_ms": 114_719, "event": "livelock", "kind": "throttled", "cgroup": null, "pid": 430,
            "action": "term",
            "reason": "83 % of the last 10 s stalled, 5.2 % above memory.high 200 MiB, nothing reclaimed",
        })
    );
    let said = files.replay(&[], &recorded("6.12-swap-thrash"));
    assert_eq!(said.status, 0);
    assert_eq!(said.stdout.lines().count(), 1, "{}", said.stdout);
    assert!(said.stdout.contains("would send SIGTERM to pid "), "{}", said.stdout);
    assert!(said.stdout.contains("is stuck (swap_thrash), 49 % of the last 30 s stalled"), "{}", said.stdout);
}

#[test]
fn a_machine_that_thrashes_is_one_decision_in_json_and_in_words() {
    let files = Files::new();
    let trace = recorded("6.12-machine-swapfile");
    let said = files.replay(&["--json"], &trace);
    assert_eq!((said.status, said.stderr.as_str()), (0, ""));
    let line: Json = serde_json::from_str(&said.stdout).unwrap();
    let keys = ["schema", "event", "kind", "cgroup", "action"].map(|key| line[key].clone());
    assert_eq!(keys, [json!(1), json!("livelock"), json!("swap_thrash"), json!(null), json!("term")]);
    assert!(line["pid"].is_u64() && line["t_ms"].is_u64(), "{line}");
    let said = files.replay(&[], &trace);
    assert!(
        said.stdout.contains("the machine is stuck (swap_thrash), its memory is swapped out and in: "),
        "{}",
        said.stdout
    );
    let with = |toml: &str| {
        let config = files.write("hogwatch.toml", toml);
        files.replay(&["--json", "--config", config.to_str().unwrap()], &trace).stdout
    };
    for gentle in
        ["[livelock]\naction = \"warn\"", "[livelock]\naction = \"lift\"", "[memory]\nterm = \"0.1%\"\nkill = \"0.1%\""]
    {
        let lines: Vec<Json> = with(gentle).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0]["action"], "warn", "{gentle}");
    }
    assert_eq!(with("[livelock]\nenabled = false"), "");
    // Globs choose among cgroups; the machine is none.
    assert_eq!(with("[livelock]\ncgroups = [\"user.slice/**\"]").lines().count(), 1);
}

#[test]
fn a_healthy_trace_is_silence() {
    let said = Files::new().replay(&["--json"], &recorded("6.12-build-like"));
    assert_eq!((said.status, said.stdout.as_str(), said.stderr.as_str()), (0, "", ""));
}

#[test]
fn plain_and_gzip_in_pieces_are_the_same() {
    let files = Files::new();
    let text = text_of("6.1-throttle-anon");
    let (first, second) = text.split_at(text.len() / 2);
    let pieces = [gzip(first.as_bytes()), gzip(second.as_bytes())].concat();
    let expected = files.replay(&[], &recorded("6.1-throttle-anon")).stdout;
    assert!(!expected.is_empty());
    for bytes in [text.as_bytes(), &pieces, text.trim_end().as_bytes(), format!("{text}\n \n").as_bytes()] {
        assert_eq!(files.replay(&[], &files.write("trace", bytes)).stdout, expected);
    }
}

#[test]
fn what_a_later_recorder_adds_is_passed_over() {
    let files = Files::new();
    let text = text_of("6.1-throttle-anon").replace("\"current\":", "\"new\":{\"x\":[1,2]},\"current\":");
    let text = text.replace("\"high\":209715200", "\"high\":209715200,\"newer\":null").replace(":-1", ":\"max\"");
    let said = files.replay(&["--json"], &files.write("trace", text));
    assert_eq!((said.status, said.stdout.lines().count()), (0, 1), "{}", said.stderr);
}

#[test]
fn the_configuration_says_where_how_long_and_what() {
    let files = Files::new();
    let trace = files.write("trace", in_cgroup("6.1-throttle-anon", "/system.slice/a b\u{7}.service"));
    let with = |toml: &str| {
        let config = files.write("hogwatch.toml", toml);
        files.replay(&["--json", "--config", config.to_str().unwrap()], &trace)
    };
    let action = |toml: &str| {
        let said = with(toml);
        assert_eq!(said.status, 0, "{}", said.stderr);
        said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Json>>()
    };
    let usual = action("");
    assert_eq!(usual[0]["cgroup"], "/system.slice/a b\u{7}.service");
    assert_eq!(action("[livelock]\naction = \"warn\"")[0]["action"], "warn");
    assert_eq!(action("[livelock]\naction = \"lift\"")[0]["action"], "lift");
    assert_eq!(action("[livelock]\ncgroups = [\"user.slice/**\"]"), [] as [Json; 0]);
    let over = "[[livelock.override]]\ncgroups = [\"system.slice/*\"]\nafter = \"14s\"\naction = \"warn\"";
    let over = action(over);
    assert_eq!(over[0]["action"], "warn");
    assert_eq!(over[0]["t_ms"].as_u64().unwrap() - usual[0]["t_ms"].as_u64().unwrap(), 4000);
    let off = with("[livelock]\nenabled = false");
    assert_eq!((off.status, off.stdout.as_str()), (0, ""));
    assert_eq!(off.stderr, "note: livelock.enabled is false, so nothing is decided\n");
    let bad = with("[livelock]\nafter = \"1s\"");
    assert_eq!((bad.status, bad.stdout.as_str()), (78, ""));
    // No control character of a name reaches a terminal.
    let words = files.replay(&[], &trace).stdout;
    assert!(words.contains("/system.slice/a b\\x07.service is stuck"), "{words}");
}

#[test]
fn bad_files_are_refused_with_the_line_and_what_was_expected() {
    let files = Files::new();
    let text = text_of("6.1-throttle-anon");
    let (header, samples) = text.split_once('\n').unwrap();
    let sample = samples.lines().next().unwrap();
    let after_header = |line: &str| format!("{header}\n{line}\n").into_bytes();
    let whole = gzip(text.as_bytes());
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", vec![], ": empty; expected a trace that begins with a header"),
        ("empty gzip", gzip(b""), ": empty; expected a trace that begins with a header"),
        ("binary", b"\x7fELF\x02\x01\0\0".to_vec(), ":1: expected a header such as {\"header\": {"),
        (
            "no header",
            sample.into(),
            ":1: expected a header such as {\"header\": {\"cgroup\": \"/system.slice\"}}: missing field `header`",
        ),
        ("not utf-8", b"{\"header\": {\"cgroup\": \"\xff\"}}\n".to_vec(), ":1: expected a header"),
        ("header alone", format!("{header}\n").into(), ": no sample follows the header"),
        ("later format", b"{\"header\":{\"schema\":2}}\n".to_vec(), ":1: the trace is of format 2, expected 1"),
        ("cut line", after_header(&sample[..sample.len() / 2]), ":2: expected a sample: EOF while parsing"),
        (
            "missing",
            after_header(&sample.replace("\"current\"", "\"x\"")),
            ":2: expected a sample: missing field `current`",
        ),
        (
            "missing inside",
            after_header(&sample.replace("\"pgsteal\"", "\"x\"")),
            ":2: expected a sample: missing field `pgsteal`",
        ),
        (
            "no events",
            after_header(&sample.replace("\"events", "\"x")),
            ":2: expected a sample: neither `events_local` nor `events`",
        ),
        (
            "negative",
            after_header(&sample.replace("\"current\":0", "\"current\":-5")),
            ":2: expected a sample: invalid value: integer `-5`",
        ),
        (
            "limit",
            after_header(&sample.replace("\"high\":209715200", "\"high\":-2")),
            "expected a limit in bytes, or -1 or \"max\" for none",
        ),
        (
            "a word",
            after_header(&sample.replace("\"high\":209715200", "\"high\":\"many\"")),
            "invalid value: string \"many\"",
        ),
        (
            "too large",
            after_header(&sample.replace("\"current\":0", "\"current\":18446744073709551616")),
            ":2: expected a sample: invalid",
        ),
        ("huge line", after_header(&"x".repeat(3 << 20)), ":2: the line is longer than 1048576 bytes"),
        (
            "a cgroup's sample",
            format!("{{\"header\":{{\"scope\":\"machine\"}}}}\n{sample}\n").into(),
            ":2: expected a sample of the machine: missing field",
        ),
        (
            "a scope",
            b"{\"header\":{\"scope\":\"moon\"}}\n".to_vec(),
            "unknown variant `moon`, expected `cgroup` or `machine`",
        ),
        ("an array", after_header("[1,2]"), ":2: expected a sample: "),
        ("cut gzip", whole[..whole.len() / 20].to_vec(), ": the gzip data is cut off; expected a whole file"),
        ("damaged gzip", [&whole[..20], &[0xff; 50][..], &whole[70..]].concat(), "the gzip data is "),
    ];
    for (what, bytes, expected) in cases {
        let file = files.write(what, bytes);
        let said = files.replay(&["--json"], &file);
        assert_eq!((said.status, said.stdout.as_str()), (65, ""), "{what}: {}", said.stderr);
        assert!(said.stderr.starts_with(file.to_str().unwrap()), "{what}: {}", said.stderr);
        assert!(said.stderr.contains(expected), "{what}: {}", said.stderr);
        assert_eq!(said.stderr.lines().count(), 1, "{what}: {}", said.stderr);
    }
    let said = files.replay(&[], Path::new("/nowhere/trace"));
    assert_eq!(said.status, 65);
    assert!(said.stderr.starts_with("/nowhere/trace: can't be opened: No such file"), "{}", said.stderr);
    let said = files.replay(&[], files.0.path());
    assert_eq!(said.status, 65, "a directory: {}", said.stderr);
}

#[test]
fn what_was_decided_before_the_file_breaks_off_is_printed() {
    let files = Files::new();
    let mut text = text_of("6.1-throttle-anon");
    text.truncate(text.len() - 100);
    let said = files.replay(&["--json"], &files.write("cut", text));
    assert_eq!((said.status, said.stdout.lines().count()), (65, 1));
    assert!(said.stderr.contains(":249: expected a sample: EOF"), "{}", said.stderr);
}

#[test]
fn largest_and_smallest_numbers_are_numbers() {
    let files = Files::new();
    let max = u64::MAX;
    let sample = |t: u64, n: u64| {
        json!({"t_ms": t, "current": n, "high": 1, "max": n, "events": {"high": n, "max": n, "oom": n, "oom_kill": n},
            "pressure": {"full": {"total_us": n}}, "stat": {"anon": n, "inactive_file": n, "active_file": n, "pgsteal": n,
            "workingset_refault_anon": n, "workingset_refault_file": n, "workingset_restore_file": n}})
    };
    let lines = [sample(0, 0), sample(1, max), sample(max, max), sample(0, max), sample(max, 0)];
    let text = lines.iter().fold("{\"header\":{}}\n".to_owned(), |text, line| format!("{text}{line}\n"));
    let said = files.replay(&["--json"], &files.write("extreme", text));
    assert_eq!((said.status, said.stdout.as_str(), said.stderr.as_str()), (0, "", ""));
}
