//! `hogwatch config`: what it prints, where, and its exit status.

use clap::{CommandFactory, Parser};
use hogwatch::commands::config::{ConfigArgs, Outcome, Totals, outcome};
use hogwatch::config::BuiltIns;

use super::Machine;

#[derive(Parser)]
#[command(name = "hogwatch")]
enum Cli {
    Config(ConfigArgs),
}

fn run(machine: &Machine, args: &[&str]) -> Outcome {
    let words = ["hogwatch", "config"].iter().chain(args);
    let Cli::Config(args) = Cli::try_parse_from(words).unwrap();
    let built_ins = BuiltIns { protect: &["^sshd$"], avoid: &[] };
    let totals = Totals { memory: 24 << 30, swap: 0 };
    outcome(&args, &built_ins, &machine.places, Some(totals))
}

#[test]
fn check_says_ok_and_which_files_were_read() {
    let machine = Machine::new();
    let place = machine.path("hogwatch.toml");
    let said = run(&machine, &["check"]);
    assert_eq!(said.status, 0);
    assert_eq!(said.stdout, format!("ok: no file at {}, the built-in defaults apply\n", place.display()));

    machine.write("hogwatch.toml", "[run]\ntimeout = \"12m\"\n[memory]\nterm = \"6%\"\n");
    let drop_in = machine.write("hogwatch.toml.d/a.toml", "");
    let said = run(&machine, &["check"]);
    assert_eq!(said.status, 0);
    assert_eq!(said.stdout, format!("ok: {}, {}\n", place.display(), drop_in.display()));
    assert_eq!(said.stderr, "");
}

#[test]
fn check_notes_a_hook_that_can_not_be_started() {
    let machine = Machine::new();
    let path = machine.write("x.toml", "[hooks]\nbefore = [\"sh\"]\nafter = [\"/nonexistent/page\", \"now\"]\n");
    let name = path.to_str().unwrap();
    let said = run(&machine, &["check", name]);
    assert_eq!((said.status, said.stdout), (0, format!("ok: {name}\n")));
    let note = format!("note: {name}:3: hooks.after can't be started: there is no /nonexistent/page\n");
    assert_eq!(said.stderr, note);
}

#[test]
fn check_exits_78_on_a_bad_file() {
    let machine = Machine::new();
    let path = machine.write("bad.toml", "[memory]\nterm = \"NaN%\"\n");
    let name = path.to_str().unwrap();
    let said = run(&machine, &["check", name]);
    assert_eq!((said.status, said.stdout.as_str()), (78, ""));
    assert!(said.stderr.starts_with(&format!("{name}:2:8: memory.term: ")), "{}", said.stderr);
    assert!(said.stderr.ends_with('\n'));
    let said = run(&machine, &["check", "/nowhere.toml"]);
    assert_eq!((said.status, said.stdout.as_str()), (78, ""));
    assert_eq!(said.stderr, "/nowhere.toml: there is no such file\nhelp: check the path\n");
}

#[test]
fn what_does_not_fit_the_machine_is_noted() {
    const TERM: &str =
        "memory.term, 40 TiB, is more than this machine has (24.0 GiB): the default, 5%, applies instead\n";
    const KILL: &str = "memory.kill, 800 MiB, is above memory.term, 1%, on this machine and is lowered to 0.6%\n";
    let machine = Machine::new();
    let notes = |text: &str| {
        let path = machine.write("x.toml", text);
        let name = path.to_str().unwrap();
        let checked = run(&machine, &["check", name]);
        assert_eq!((checked.status, checked.stdout), (0, format!("ok: {name}\n")));
        (checked.stderr, run(&machine, &["show", "--config", name]).stdout)
    };
    let (said, shown) = notes("[memory]\nterm = \"40 TiB\"\nwarn = \"50 TiB\"\n");
    assert_eq!(said, format!("note: {TERM}"));
    assert!(shown.ends_with(&format!("\n# adjusted by the daemon on this machine:\n#   {TERM}")), "{shown}");
    let (said, shown) = notes("[memory]\nterm = \"1%\"\nkill = \"800 MiB\"\n");
    assert_eq!(said, format!("note: {KILL}"));
    assert!(shown.ends_with(&format!("#   {KILL}")), "{shown}");
    let (said, shown) = notes("[memory]\nterm = \"6%\"\n");
    assert_eq!(said, "");
    assert!(!shown.contains("adjusted"), "{shown}");
}

#[test]
fn a_regex_that_cannot_be_meant_is_noted() {
    let machine = Machine::new();
    let path = machine.write("x.toml", "[victim]\nprotect = ['.*']\n");
    let said = run(&machine, &["check", path.to_str().unwrap()]);
    let note = format!("note: {}:2: victim.protect: \".*\" matches every process\n", path.display());
    assert_eq!((said.status, said.stderr), (0, note));
}

#[test]
fn import_says_on_stderr_what_is_not_translated() {
    let said = run(&Machine::new(), &["import-earlyoom", "--avoid", "(foo", "-m", "7"]);
    assert_eq!(said.status, 1);
    assert!(said.stdout.contains("\nterm = \"7%\"\n"), "{}", said.stdout);
    assert!(said.stderr.starts_with("not translated: --avoid \"(foo\": "), "{}", said.stderr);
    assert_eq!(said.stderr.lines().count(), 1);
}

#[test]
fn show_prints_the_merged_file() {
    let machine = Machine::new();
    let said = run(&machine, &["show"]);
    assert_eq!((said.status, said.stderr.as_str()), (0, ""));
    assert!(said.stdout.contains("term = \"5%\"  # default\n"), "{}", said.stdout);
    assert!(said.stdout.ends_with("#   ^sshd$\n\n# built-in avoid list, in force (victim.protect_builtin = true):\n"));
    let path = machine.write("x.toml", "[memory]\nterm = \"6%\"\n");
    let name = path.to_str().unwrap();
    let said = run(&machine, &["show", "--config", name]);
    assert!(said.stdout.contains(&format!("term = \"6%\"  # {name}:2\n")), "{}", said.stdout);
    machine.write("x.toml", "x");
    assert_eq!(run(&machine, &["show", "--config", name]).status, 78);
}

#[test]
fn import_takes_a_file_or_options() {
    let machine = Machine::new();
    let file = machine.write("earlyoom", "EARLYOOM_ARGS=\"-m 7\"\n");
    for args in [
        &["import-earlyoom", file.to_str().unwrap()][..],
        &["import-earlyoom", "-m", "7"],
        &["import-earlyoom", "-m 7"],
        &["import-earlyoom", "EARLYOOM_ARGS=-m 7"],
    ] {
        let said = run(&machine, args);
        assert_eq!((said.status, said.stderr.as_str()), (0, ""), "{args:?}");
        assert!(said.stdout.contains("\nterm = \"7%\"\n"), "{}", said.stdout);
    }
    let said = run(&machine, &["import-earlyoom", "-x"]);
    assert_eq!((said.status, said.stdout.as_str()), (2, ""));
    assert!(said.stderr.starts_with("earlyoom has no option \"-x\""), "{}", said.stderr);
    let said = run(&machine, &["import-earlyoom", "/nowhere"]);
    assert_eq!((said.status, said.stdout.as_str()), (78, ""));
    assert_eq!(
        said.stderr,
        "/nowhere: there is no such file\nhelp: name the file that sets EARLYOOM_ARGS, or give earlyoom's options themselves\n"
    );
}

#[test]
fn help_has_examples() {
    let mut cli = Cli::command();
    let help = cli.find_subcommand_mut("config").unwrap().render_long_help().to_string();
    assert!(help.contains("Examples:\n  hogwatch config check"), "{help}");
    cli.debug_assert();
}
