//! Exit statuses.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::running::{Place, finish, program};

#[test]
fn the_status_is_the_commands_own() {
    for status in ["0", "1", "2", "42", "124", "255"] {
        let ran = Place::Here.run(&["--memory", "64M", "sh", "-c", "exit $0", status]);
        ran.ended_with(status.parse().unwrap());
        assert_eq!(ran.err, "", "nothing is said about a command that just runs");
    }
}

#[test]
fn a_signal_is_128_and_its_number() {
    for (name, number) in [("TERM", 15), ("KILL", 9), ("SEGV", 11), ("INT", 2), ("RTMIN", 34)] {
        let (ran, report) = Place::Here.report(&["--memory", "64M", "bash", "-c", "ulimit -c 0; kill -s $0 $$", name]);
        ran.ended_with(128 + number).did_not_say("cap");
        assert_eq!(report["signal"], number);
        assert_eq!(report["killed_by"], serde_json::Value::Null);
    }
}

#[test]
fn what_can_not_be_run_is_told_as_env_does() {
    let dir = tempfile::tempdir().unwrap();
    let plain = dir.path().join("plain");
    fs::write(&plain, "no program\n").unwrap();
    fs::set_permissions(&plain, fs::Permissions::from_mode(0o644)).unwrap();
    let plain = plain.to_str().unwrap();
    for (command, status, what) in [
        ("no-such-command", 127, "command not found"),
        ("echo hi there", 127, "no such command (for a shell line: sh -c"),
        ("/no/such/command", 127, "No such file or directory"),
        ("", 127, "command not found"),
        (plain, 126, "Permission denied"),
        ("/", 126, "Permission denied"),
    ] {
        let (ran, report) = Place::Here.report(&["--memory", "64M", "--", command]);
        ran.ended_with(status).said(&format!("hogwatch: {command}: {what}"));
        assert_eq!(report["exit"], status);
        assert!(report["error"].as_str().unwrap().starts_with(what));
    }
}

#[test]
fn a_script_without_its_first_line_is_run_by_the_shell() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("script");
    fs::write(&script, "exit 7\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    Place::Here.run(&["--memory", "64M", script.to_str().unwrap()]).ended_with(7);
}

#[test]
fn bad_options_are_125_and_nothing_is_run() {
    let dir = tempfile::tempdir().unwrap();
    let touched = dir.path().join("touched");
    for (options, what) in [
        (&["--memory", "0"][..], "nothing runs in so little memory"),
        (&["--memory", "1K"], "nothing runs in so little memory"),
        (&["--memory", "4GG"], "unknown unit \"GG\""),
        (&["--memory", "4"], "has no unit"),
        (&["--memory", "-1G"], "has a sign"),
        (&["--memory", "5000T"], "more memory than any machine has"),
        (&["--swap", "lots"], "does not begin with a number"),
        (&["--timeout", "-5s"], "has a sign"),
        (&["--timeout", "0"], "nothing runs in no time"),
        (&["--timeout", "5"], "has no unit"),
        (&["--kill-after", "-1s"], "has a sign"),
        (&["--tasks", "0"], "a whole number above 0"),
        (&["--tasks", "-3"], "a whole number above 0"),
        (&["--temp-env", "NO=NAME"], "not the name of an environment variable"),
        (&["--log", "10ms"], "shorter than 1s"),
        (&["--name", "a/b"], "a name has 1 to 64"),
        (&["--memroy", "4G"], "--memory"),
        (&["--report", "/no/such/directory/report.json"], "--report /no/such/directory/report.json: No such file"),
        (&["--require-cap"], "--require-cap without a cap"),
    ] {
        let ran = Place::Here.run(&[options, &["--", "touch", touched.to_str().unwrap()]].concat());
        ran.ended_with(125).said(what);
        assert!(!touched.exists(), "{options:?}");
    }
}

/// Nobody reads it, and nobody is waited for.
#[test]
fn a_report_to_a_fifo_without_a_reader_is_125() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    Place::Here.run(&["--report", fifo.to_str().unwrap(), "true"]).ended_with(125).said("No such device or address");
}

/// So an alias with options in it can be overridden.
#[test]
fn the_last_of_an_option_counts() {
    let (ran, report) = Place::Here.report(&[
        "--memory",
        "64M",
        "--require-cap",
        "--memory",
        "",
        "--tasks",
        "9",
        "--tasks",
        "99",
        "--memory",
        "96M",
        "true",
    ]);
    if ran.status == Some(125) {
        ran.said("no cap that the kernel enforces");
        return;
    }
    assert_eq!((&report["cap"]["bytes"], &report["cap"]["tasks"]), (&(96 << 20).into(), &99.into()));
}

#[test]
fn no_command_is_125_and_help_is_0() {
    Place::Here.run(&["--memory", "64M"]).ended_with(125).said("COMMAND");
    Place::Here.run(&["--memory", "64M", "--"]).ended_with(125).said("COMMAND");
    assert!(Place::Here.run(&["--help"]).ended_with(0).out().contains("--kill-after"));
    let mut other = Place::Here.command(program());
    finish(other.args(["status", "--no-such"])).ended_with(2);
}

#[test]
fn a_bad_configuration_is_125_and_names_the_place() {
    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let dir = home.path().join("hogwatch");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("hogwatch.toml"), "[run]\nmemory = \"4GG\"\n").unwrap();
    let mut command = as_plain_user();
    command.env("XDG_CONFIG_HOME", home.path());
    command.arg(program()).args(["run", "true"]);
    finish(&mut command).ended_with(125).said("hogwatch.toml:2:10: ").said("\nnothing was run\n");

    fs::write(dir.join("hogwatch.toml"), "[run]\ntemp_env = [\"DATABASE\"]\ntimeout = \"5s\"\nkill_after = \"0s\"\n")
        .unwrap();
    let mut command = as_plain_user();
    command.env("XDG_CONFIG_HOME", home.path()).arg(program()).args(["run", "sh", "-c", "echo $DATABASE; sleep 60"]);
    let ran = finish(&mut command);
    assert!(ran.ended_with(124).out().contains("/hogwatch-run-"), "{ran:?}");
}

/// As after `su` without `-`, or where a container changes the user and not HOME.
#[test]
fn somebody_elses_home_is_no_reason_to_fail() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join(".config")).unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let mut command = as_plain_user();
    command
        .env_remove("XDG_CONFIG_HOME")
        .env("HOME", home.path())
        .arg(program())
        .args(["run", "--memory", "64M", "true"]);
    let folder = home.path().display();
    finish(&mut command)
        .ended_with(0)
        .said(&format!("hogwatch: your own configuration is left out: {folder} is another user's and closed to you\n"));
}

/// A command of somebody who has a configuration of his own.
fn as_plain_user() -> std::process::Command {
    if !nix::unistd::geteuid().is_root() {
        return Place::Here.command("env");
    }
    let mut command = Place::Here.command("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command
}

#[test]
fn without_a_cap_it_runs_and_says_so_unless_that_was_asked_for() {
    let (ran, report) = Place::Here.report(&["--memory", "", "true"]);
    assert_eq!(ran.ended_with(0).err, "", "it was asked for");
    assert_eq!(report["cap"]["bytes"], serde_json::Value::Null);
    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = as_plain_user();
    command.env("XDG_CONFIG_HOME", home.path()).arg(program()).args(["run", "--name", "one", "true"]);
    let file = home.path().join("hogwatch/hogwatch.toml");
    let said =
        format!("hogwatch: one: no cap on memory: add --memory 4G, or set memory in [run] of {}\n", file.display());
    finish(&mut command).ended_with(0).said(&said);
}
