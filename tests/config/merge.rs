//! Drop-ins, and where each value came from.

use std::os::unix::fs::symlink;
use std::path::Path;

use hogwatch::config::{Amount, BuiltIns, Config, LivelockAction, load, show};

use super::Machine;

const BUILT_INS: BuiltIns<'static> = BuiltIns { protect: &["^systemd$", "^sshd$"], avoid: &["^Xorg$"] };

#[test]
fn without_files_the_defaults_apply() {
    let machine = Machine::new();
    let loaded = machine.load().unwrap();
    assert_eq!(loaded.config, Config::default());
    assert_eq!(loaded.files().count(), 0);
}

#[test]
fn scalars_replace_and_lists_add_in_name_order() {
    let machine = Machine::new();
    machine.write(
        "hogwatch.toml",
        "[memory]\nterm = \"4%\"\nkill = \"1%\"\n[victim]\nprotect = [\"a\"]\nprefer = [\"p\"]\n\
         [livelock]\ncgroups = [\"a\", \"b\"]\n[[livelock.override]]\ncgroups = [\"x\"]\naction = \"warn\"\n",
    );
    machine.write("hogwatch.toml.d/20-b.toml", "[memory]\nterm = \"7%\"\n[victim]\nprotect = [\"c\", \"a\"]\n");
    machine.write(
        "hogwatch.toml.d/10-a.toml",
        "[memory]\nterm = \"6%\"\n[victim]\nprotect = [\"b\"]\nprefer = []\n[livelock]\ncgroups = [\"c\"]\n\
         [[livelock.override]]\ncgroups = [\"/y\"]\nafter = \"7s\"\n",
    );
    for ignored in ["README", "x.toml.bak", ".hidden.toml", "x.TOML"] {
        machine.write(&format!("hogwatch.toml.d/{ignored}"), "not toml");
    }
    let loaded = machine.load().unwrap();
    let config = &loaded.config;
    assert_eq!(config.memory.term, Amount::Percent(7.0));
    assert_eq!(config.memory.kill, Amount::Percent(1.0));
    let texts = |list: &[hogwatch::config::Pattern]| list.iter().map(|p| p.text.clone()).collect::<Vec<_>>();
    assert_eq!(texts(&config.victim.protect), ["a", "b", "c", "a"]);
    assert_eq!(texts(&config.victim.prefer), ["p"]);
    assert_eq!(config.livelock.cgroups, ["c"]);
    let overrides = &config.livelock.overrides;
    assert_eq!(overrides.len(), 2);
    assert_eq!(overrides[0].action, Some(LivelockAction::Warn));
    assert_eq!(overrides[1].cgroups, ["y"]);
    let names: Vec<_> = loaded.files().map(|f| f.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, ["hogwatch.toml", "10-a.toml", "20-b.toml"]);
}

#[test]
fn drop_ins_count_without_a_main_file_and_beside_an_explicit_one() {
    let machine = Machine::new();
    machine.write("hogwatch.toml.d/a.toml", "[memory]\nterm = \"6%\"\n");
    assert_eq!(machine.load().unwrap().config.memory.term, Amount::Percent(6.0));
    let other = machine.write("other.toml", "[memory]\nkill = \"2%\"\n");
    machine.write("other.toml.d/a.toml", "[memory]\nterm = \"8%\"\n");
    let config = load(Some(&other), &machine.places).unwrap().config;
    assert_eq!((config.memory.term, config.memory.kill), (Amount::Percent(8.0), Amount::Percent(2.0)));
}

#[test]
fn problems_of_all_files_are_said() {
    let machine = Machine::new();
    let main = machine.write("hogwatch.toml", "[memory]\nterm = 5\n");
    let first = machine.write("hogwatch.toml.d/a.toml", "[memory\n");
    let second = machine.write("hogwatch.toml.d/b.toml", "[memory]\nkil = \"1%\"\n");
    let dangling = machine.path("hogwatch.toml.d/c.toml");
    symlink("/nowhere", &dangling).unwrap();
    let error = machine.load().unwrap_err();
    let files: Vec<&Path> = error.problems().iter().map(|p| p.file.as_path()).collect();
    assert_eq!(files, [&main, &first, &second, &dangling]);
}

#[test]
fn a_contradiction_between_files_is_said_of_the_later_one() {
    let machine = Machine::new();
    machine.write("hogwatch.toml", "[memory]\nkill = \"4%\"\n");
    let drop_in = machine.write("hogwatch.toml.d/a.toml", "\n[memory]\nterm = \"3.5%\"\n");
    let said = machine.load().unwrap_err().to_string();
    let expected = format!("{}:3:8: memory.kill, 4%, is above memory.term, 3.5%\n", drop_in.display());
    assert!(said.starts_with(&expected), "{said}");
}

#[test]
fn a_folder_of_drop_ins_that_is_none_is_said() {
    let machine = Machine::new();
    let folder = machine.write("hogwatch.toml.d", "");
    let error = machine.load().unwrap_err();
    assert_eq!(error.problems()[0].file, folder);

    let machine = Machine::new();
    for i in 0..101 {
        machine.write(&format!("hogwatch.toml.d/{i}.toml"), "");
    }
    let said = machine.load().unwrap_err().to_string();
    assert!(said.contains(": it holds more than 100 drop-ins\n"), "{said}");
}

#[test]
fn a_list_has_a_bound_over_all_files() {
    let machine = Machine::new();
    let items = |n: usize| format!("[victim]\nprotect = [{}]\n", "\"a\",".repeat(n));
    machine.write("hogwatch.toml", items(150));
    machine.write("hogwatch.toml.d/a.toml", items(50));
    assert_eq!(machine.load().unwrap().config.victim.protect.len(), 200);
    let drop_in = machine.write("hogwatch.toml.d/b.toml", items(1));
    let said = machine.load().unwrap_err().to_string();
    let expected = format!("{}:2:12: victim.protect: the list has more than 200 items in all\n", drop_in.display());
    assert!(said.starts_with(&expected), "{said}");
}

#[test]
fn show_prints_toml_with_the_source_of_each_value() {
    let machine = Machine::new();
    let main =
        machine.write("hogwatch.toml", "[memory]\nterm = \"2%\"\n[victim]\nprotect = [\n  \"a\",\n  '\\d',\n]\n");
    let drop_in = machine.write(
        "hogwatch.toml.d/a.toml",
        "[victim]\nprotect = [\"b\"]\n[[livelock.override]]\ncgroups = [\"x\"]\naction = \"lift\"\nafter = \"7s\"\n",
    );
    let loaded = machine.load().unwrap();
    let text = show(&loaded, &BUILT_INS);
    let (main, drop_in) = (main.display(), drop_in.display());
    for line in [
        format!("#   {main}"),
        format!("term = \"2%\"  # {main}:2"),
        "kill = \"1.2%\"  # default, to suit term".to_owned(),
        "warn = \"10%\"  # default".to_owned(),
        format!("  \"a\",  # {main}:5"),
        format!("  '\\d',  # {main}:6"),
        format!("  \"b\",  # {drop_in}:2"),
        "avoid = []  # default".to_owned(),
        "action = \"kill\"  # default".to_owned(),
        "keep = \"10m\"  # default".to_owned(),
        "timeout = \"\"  # default".to_owned(),
        format!("  {{ cgroups = [\"x\"], action = \"lift\", after = \"7s\" }},  # {drop_in}:3"),
        "# built-in protect list, in force (victim.protect_builtin = true):".to_owned(),
        "#   ^sshd$".to_owned(),
        "#   ^Xorg$".to_owned(),
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n---\n{text}");
    }
    let again = machine.write("again.toml", &text);
    assert_eq!(load(Some(&again), &machine.places).unwrap().config, loaded.config);
}

#[test]
fn show_says_when_the_built_in_lists_are_off() {
    let machine = Machine::new();
    machine.write("hogwatch.toml", "[victim]\nprotect_builtin = false\n");
    let text = show(&machine.load().unwrap(), &BUILT_INS);
    assert!(text.contains("# built-in avoid list, switched off (victim.protect_builtin = false):\n"), "{text}");
}

#[test]
fn a_hostile_file_name_stays_inside_its_comment() {
    let machine = Machine::new();
    machine.write("hogwatch.toml.d/a\nterm = 1\u{1b}.toml", "[memory]\nterm = \"6%\"\n");
    let text = show(&machine.load().unwrap(), &BUILT_INS);
    assert!(!text.contains('\u{1b}'));
    let again = machine.write("again.toml", &text);
    assert_eq!(load(Some(&again), &machine.places).unwrap().config.memory.term, Amount::Percent(6.0));
}
