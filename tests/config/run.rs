//! `[run]`: which defaults a command gets, and whose files they come from.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use hogwatch::config::run::variable;
use hogwatch::config::{BuiltIns, Config, RunDefaults, load_run, show};
use nix::unistd::{Uid, setfsuid};

use super::{Machine, good, problems};

const GIB: u64 = 1 << 30;

fn seconds(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

#[test]
fn without_a_file_nothing_is_limited_but_swap() {
    let expected = RunDefaults {
        memory: None,
        swap: 0,
        timeout: None,
        kill_after: Duration::from_secs(10),
        tasks: None,
        temp_env: Vec::new(),
        log: None,
    };
    assert_eq!(Config::default().run.for_command(&["true"]), expected);
}

#[test]
fn every_key_can_be_set_and_unset_for_a_command() {
    let run = good(
        "[run]\nmemory = \"4 GiB\"\nswap = \"1 GiB\"\ntimeout = \"10m\"\nkill_after = \"3s\"\ntasks = 512\n\
         temp_env = [\"COVERAGE_FILE\", \"_x1\"]\nlog = \"30s\"\n\
         [[run.override]]\ncommands = [\"free\"]\nmemory = \"\"\nswap = \"0\"\ntimeout = \"\"\nkill_after = \"0s\"\n\
         tasks = \"\"\ntemp_env = []\nlog = \"\"\n\
         [[run.override]]\ncommands = [\"free\", \"large\"]\nmemory = \"8 GiB\"\n",
    )
    .run;
    let ordinary = RunDefaults {
        memory: Some(4 * GIB),
        swap: GIB,
        timeout: seconds(600),
        kill_after: Duration::from_secs(3),
        tasks: Some(512),
        temp_env: vec!["COVERAGE_FILE".to_owned(), "_x1".to_owned()],
        log: seconds(30),
    };
    assert_eq!(run.for_command(&["make"]), ordinary);
    assert_eq!(run.for_command(&["large"]), RunDefaults { memory: Some(8 * GIB), ..ordinary });
    // The first that names it wins, alone.
    let free = RunDefaults { kill_after: Duration::ZERO, ..RunDefaults::default() };
    assert_eq!(run.for_command(&["free"]), free);
}

#[test]
fn a_command_is_named_by_its_file_name_and_first_arguments() {
    // What `commands` says, a command, and whether the one names the other.
    let rows: &[(&str, &[&str], bool)] = &[
        ("pytest", &["pytest"], true),
        ("pytest", &["pytest", "-x", "tests"], true),
        ("pytest", &["/usr/bin/pytest", "-x"], true),
        ("pytest", &["./pytest"], true),
        ("pytest", &["pytest-3"], false),
        ("pytest", &["Pytest"], false),
        ("pytest", &["env", "pytest"], false),
        ("pytest", &["pytest/run"], false),
        ("pytest", &[], false),
        ("pytest", &[""], false),
        ("pytest", &["/"], false),
        ("pytest*", &["pytest-3"], true),
        ("pytest*", &["pytest"], true),
        ("pytest*", &["my-pytest"], false),
        ("*test", &["pytest"], true),
        ("*test", &["tester"], false),
        ("*", &["anything", "at", "all"], true),
        ("a*b*c", &["aXbYc"], true),
        ("a*b*c", &["abc"], true),
        ("a*b*c", &["acb"], false),
        ("a*bc*bc", &["abc"], false),
        ("ab*ba", &["aba"], false),
        ("**x", &["x"], true),
        ("cargo test", &["/opt/cargo", "test", "--all"], true),
        ("cargo  test", &["cargo", "test"], true),
        ("cargo test", &["cargo", "--locked", "test"], false),
        ("cargo test", &["cargo", "testing"], false),
        ("cargo test", &["cargo"], false),
        ("cargo test", &["cargo test"], false),
        ("python3* -m pytest", &["/usr/bin/python3.13", "-m", "pytest", "."], true),
        ("python3* -m pytest", &["python3.13", "-m", "pip"], false),
        ("[a", &["[a"], true),
        ("naïve", &["naïve"], true),
    ];
    for (named, command, expected) in rows {
        let run = good(&format!("[[run.override]]\ncommands = [\"{named}\"]\nmemory = \"1 GiB\"\n")).run;
        assert_eq!(run.for_command(command).memory.is_some(), *expected, "{named:?} {command:?}");
    }
}

#[test]
fn a_command_of_any_bytes_is_told_apart() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let run = good("[[run.override]]\ncommands = [\"*x\"]\nmemory = \"1 GiB\"\n").run;
    assert_eq!(run.for_command(&[OsStr::from_bytes(b"\xffx")]).memory, Some(GIB));
    assert_eq!(run.for_command(&[OsStr::from_bytes(b"x\xff")]).memory, None);
}

#[test]
fn names_of_variables() {
    for name in ["A", "_", "COVERAGE_FILE", "x1"] {
        assert_eq!(variable(name).as_deref(), Ok(name));
    }
    for name in ["", "1A", "A=B", "A B", "A-B", "A\0", "Ä", "A\n"] {
        let said = variable(name).unwrap_err().to_string();
        assert!(said.contains("is not the name of an environment variable (write letters"), "{said}");
    }
}

#[test]
fn a_user_has_the_machines_defaults_and_his_own_on_top() {
    let machine = Machine::new();
    let of_machine = machine.write(
        "etc/hogwatch.toml",
        "[memory]\nterm = \"6%\"\n[victim]\nprotect = [\"x\"]\n[run]\nmemory = \"4 GiB\"\ntimeout = \"10m\"\n\
         [[run.override]]\ncommands = [\"pytest\"]\nmemory = \"2 GiB\"\n\
         [[run.override]]\ncommands = [\"make\"]\nmemory = \"3 GiB\"\n",
    );
    let drop_in = machine.write("etc/hogwatch.toml.d/a.toml", "[run]\ntasks = 100\n");
    let own = machine.write(
        "hogwatch.toml",
        "[memory]\nkill = \"1%\"\n[run]\nmemory = \"5 GiB\"\n[[run.override]]\ncommands = [\"pytest\"]\nswap = \"1 GiB\"\n",
    );
    let loaded = load_run(&machine.places).unwrap();
    let run = &loaded.config.run;
    let ordinary =
        RunDefaults { memory: Some(5 * GIB), timeout: seconds(600), tasks: Some(100), ..RunDefaults::default() };
    assert_eq!(run.for_command(&["true"]), ordinary);
    assert_eq!(run.for_command(&["pytest"]), RunDefaults { swap: GIB, ..ordinary.clone() });
    assert_eq!(run.for_command(&["make"]), RunDefaults { memory: Some(3 * GIB), ..ordinary });
    // The rest is as the user's guard has it.
    assert_eq!(Config { run: Config::default().run, ..loaded.config.clone() }, {
        let own = machine.load().unwrap().config;
        Config { run: Config::default().run, ..own }
    });

    let text = show(&loaded, &BuiltIns { protect: &[], avoid: &[] });
    let (of_machine, drop_in, own) = (of_machine.display(), drop_in.display(), own.display());
    for line in [
        format!("#   {of_machine} ([run] only)"),
        format!("#   {drop_in} ([run] only)"),
        format!("#   {own}"),
        "term = \"5%\"  # default".to_owned(),
        format!("memory = \"5 GiB\"  # {own}:4"),
        format!("timeout = \"10m\"  # {of_machine}:7"),
        format!("tasks = 100  # {drop_in}:2"),
        "swap = \"0\"  # default".to_owned(),
        format!("  {{ commands = [\"pytest\"], swap = \"1 GiB\" }},  # {own}:5"),
        format!("  {{ commands = [\"pytest\"], memory = \"2 GiB\" }},  # {of_machine}:8"),
        format!("  {{ commands = [\"make\"], memory = \"3 GiB\" }},  # {of_machine}:11"),
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n---\n{text}");
    }
    assert_eq!(good(&text), loaded.config);
}

#[test]
fn a_user_can_take_the_machines_defaults_away() {
    let machine = Machine::new();
    machine.write("etc/hogwatch.toml", "[run]\nmemory = \"4 GiB\"\ntemp_env = [\"A\", \"B\"]\n");
    machine.write("hogwatch.toml", "[run]\nmemory = \"\"\ntemp_env = [\"C\"]\n");
    let run = load_run(&machine.places).unwrap().config.run;
    assert_eq!(run.defaults, RunDefaults { temp_env: vec!["C".to_owned()], ..RunDefaults::default() });
}

#[test]
fn a_bad_file_of_either_is_refused_by_its_name() {
    let machine = Machine::new();
    let of_machine = machine.write("etc/hogwatch.toml", "[memory]\nterm = 5\n");
    let own = machine.write("hogwatch.toml", "[run]\nmemory = \"4\"\n");
    let error = load_run(&machine.places).unwrap_err();
    let files: Vec<_> = error.problems().iter().map(|p| p.file.clone()).collect();
    assert_eq!(files, [of_machine, own]);
}

#[test]
fn what_the_two_say_of_thresholds_does_not_clash() {
    let machine = Machine::new();
    machine.write("etc/hogwatch.toml", "[memory]\nkill = \"4%\"\n");
    machine.write("hogwatch.toml", "[memory]\nterm = \"3%\"\n");
    load_run(&machine.places).unwrap();
}

#[test]
fn files_of_the_machine_that_may_not_be_read_are_left_out() {
    let machine = Machine::new();
    fs::set_permissions(machine.folder.path(), Permissions::from_mode(0o755)).unwrap();
    let secret = machine.write("etc/hogwatch.toml", "[run]\nmemory = \"4 GiB\"\n");
    machine.write("etc/hogwatch.toml.d/a.toml", "[run]\ntasks = 100\n");
    machine.write("etc/hogwatch.toml.d/b.toml", "[run]\nswap = \"1 GiB\"\n");
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(machine.path("etc/hogwatch.toml.d/b.toml"), Permissions::from_mode(0o000)).unwrap();
    let places = machine.places.clone();
    let seen = as_nobody(move || load_run(&places).unwrap().config.run.defaults);
    assert_eq!(seen, RunDefaults { tasks: Some(100), ..RunDefaults::default() });

    fs::set_permissions(machine.path("etc"), Permissions::from_mode(0o700)).unwrap();
    let places = machine.places.clone();
    assert_eq!(as_nobody(move || load_run(&places).unwrap().config.run.defaults), RunDefaults::default());

    // His own must be readable.
    let own = machine.write("hogwatch.toml", "[run]\n");
    fs::set_permissions(&own, Permissions::from_mode(0o000)).unwrap();
    let places = machine.places.clone();
    let said = as_nobody(move || load_run(&places).unwrap_err().to_string());
    assert!(said.starts_with(&format!("{}: permission denied\n", own.display())), "{said}");
}

/// On a thread of its own, as a user who owns nothing: the file system's user id is a thread's, and root may read everything.
fn as_nobody<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::spawn(move || {
        if Uid::effective().is_root() {
            setfsuid(Uid::from_raw(65534));
        }
        act()
    });
    thread.join().unwrap()
}

#[test]
fn what_is_wrong_is_said() {
    let rows = [
        ("[run]\nswap = \"1\"", "hogwatch.toml:2:8: run.swap: \"1\" has no unit\n", "such as \"4G\""),
        ("[run]\nswap = \"\"", "hogwatch.toml:2:8: run.swap: the value is empty\n", "write a size"),
        (
            "[run]\nswap = 0",
            "hogwatch.toml:2:8: run.swap: expected a size such as \"512 MiB\", or \"0\" for none, found the number 0\n",
            "help",
        ),
        ("[run]\nkill_after = \"\"", "hogwatch.toml:2:14: run.kill_after: the value is empty\n", "\"5s\""),
        ("[run]\nkill_after = \"-1s\"", "hogwatch.toml:2:14: run.kill_after: \"-1s\" has a sign", "help"),
        (
            "[run]\ntasks = 0",
            "hogwatch.toml:2:9: run.tasks: expected a whole number from 1 to 4194304, or \"\" for none, found \"0\"\n",
            "in that range",
        ),
        ("[run]\ntasks = 4194305", "hogwatch.toml:2:9: run.tasks: expected a whole number", "in that range"),
        ("[run]\ntasks = \"512\"", "hogwatch.toml:2:9: run.tasks: expected a whole number", "without quotes"),
        ("[run]\nlog = \"999ms\"", "hogwatch.toml:2:7: run.log: 999ms is too short\n", "write 1s or more"),
        (
            "[run]\ntemp_env = \"A\"",
            "hogwatch.toml:2:12: run.temp_env: expected a list of names, such as [\"COVERAGE_FILE\"], found the string \"A\"\n",
            "write [\"A\"]",
        ),
        (
            "[run]\ntemp_env = [\"A\", \"B=1\"]",
            "hogwatch.toml:2:18: run.temp_env: \"B=1\" is not the name of an environment variable\n",
            "letters, digits and _",
        ),
        (
            "[[run.override]]\ncommands = []\nmemory = \"1 GiB\"",
            "hogwatch.toml:2:12: run.override.commands: an empty list names no command\n",
            "at least one",
        ),
        (
            "[[run.override]]\ncommands = [\" \"]\nmemory = \"1 GiB\"",
            "hogwatch.toml:2:13: run.override.commands: an empty name names no command\n",
            "file name",
        ),
        (
            "[[run.override]]\ncommands = [\"/usr/bin/make all\"]\nmemory = \"1 GiB\"",
            "hogwatch.toml:2:13: run.override.commands: \"/usr/bin/make\" is a path, and commands are told by their file name\n",
            "write \"make\"",
        ),
        (
            "[[run.override]]\ncommands = [\"x\"]\nmemory = \"0 B\"",
            "hogwatch.toml:3:10: run.override.memory: nothing runs in so little memory\n",
            "1 MiB at least",
        ),
        (
            "[run]\noverride = [1]",
            "hogwatch.toml:2:13: run.override: expected a table, found the number 1\n",
            "write [[run.override]] on a line of its own",
        ),
        (
            "[[run.override]]\nmemory = \"1 GiB\"",
            "hogwatch.toml:1:1: run.override: an exception needs commands\n",
            "add commands = [\"...\"], the commands that it holds for",
        ),
        (
            "[[run.override]]\ncommands = [\"x\"]",
            "hogwatch.toml:1:1: run.override: an exception needs something that differs\n",
            "add one or more of memory, swap, timeout, kill_after, tasks, temp_env, log",
        ),
        (
            "[[run.override]]\ncommands = [\"x\"]\nmemroy = \"1 GiB\"",
            "hogwatch.toml:3:1: unknown key \"memroy\" in [[run.override]]\n",
            "did you mean \"memory\"?",
        ),
    ];
    for (text, said, help) in rows {
        let problems = problems(text);
        assert!(problems[0].starts_with(said) && problems[0].contains(help), "{}", problems[0]);
        assert_eq!(problems.len(), 1, "{problems:?}");
    }
}
