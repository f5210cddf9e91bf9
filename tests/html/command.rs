//! `hogwatch incidents report`: where the page goes.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

fn fixture() -> String {
    format!("{}/tests/incidents/html-livelock.json", env!("CARGO_MANIFEST_DIR"))
}

fn report(directory: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hogwatch"));
    // POSIX's way to say a zone, which needs no files: 5 hours 45 minutes east.
    command.args(["incidents", "report"]).args(args).current_dir(directory).env("TZ", "NPT-5:45");
    command.output().unwrap()
}

#[test]
fn it_goes_to_the_file_the_current_directory_or_standard_output() {
    let directory = tempfile::tempdir().unwrap();
    let own = report(directory.path(), &[&fixture()]);
    assert!(own.status.success() && own.stdout.is_empty(), "{own:?}");
    assert_eq!(String::from_utf8(own.stderr).unwrap(), "wrote html-livelock.html\n");
    let page = fs::read_to_string(directory.path().join("html-livelock.html")).unwrap();
    assert!(page.contains("2026-07-28 09:02:02 to 09:02:14 UTC+05:45"), "not the reader's clock");

    assert!(report(directory.path(), &[&fixture(), "-o", "other.html"]).status.success());
    assert_eq!(fs::read_to_string(directory.path().join("other.html")).unwrap(), page);

    let piped = report(directory.path(), &[&fixture(), "-o", "-"]);
    assert!(piped.status.success() && piped.stderr.is_empty(), "{piped:?}");
    assert_eq!(String::from_utf8(piped.stdout).unwrap(), page);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2, "something is left over");
}

#[test]
fn what_can_not_be_done_is_said() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("precious"), "precious").unwrap();
    symlink("precious", directory.path().join("link.html")).unwrap();
    let refused = report(directory.path(), &[&fixture(), "-o", "link.html"]);
    assert_eq!(refused.status.code(), Some(1));
    let words = String::from_utf8(refused.stderr).unwrap();
    assert!(
        words.contains("link.html: is there and no regular file") && words.ends_with("standard output\n"),
        "{words}"
    );
    assert_eq!(fs::read_to_string(directory.path().join("precious")).unwrap(), "precious");

    let missing = report(directory.path(), &["--dir", ".", "20260728T03"]);
    assert_eq!(missing.status.code(), Some(4), "{missing:?}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2, "something is left over");
}
