//! What runs at a start and after a reload, also when the file is bad.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use hogwatch::config::{Amount, Config, Origin, Places, at_start, load_last_good, reload, save_last_good};

use super::Machine;

const GOOD: &str = "[memory]\nterm = \"6%\"\n[victim]\nprotect = ['\\bdb\\b', \"user:^root$\"]\n\
                    [[livelock.override]]\ncgroups = [\"a\"]\naction = \"lift\"\n[journal]\nevery = \"0\"\n";

#[test]
fn a_good_default_file_runs_and_is_kept() {
    let machine = Machine::new();
    let main = machine.write("hogwatch.toml", GOOD);
    let drop_in = machine.write("hogwatch.toml.d/a.toml", "[victim]\nprotect = [\"x\"]\n[swap]\nkill = \"5 MiB\"\n");
    let started = at_start(None, &machine.places).unwrap();
    assert_eq!(started.problem, None);
    assert_eq!(started.source, Origin::Files(vec![main, drop_in]));
    assert_eq!(started.config.victim.protect.len(), 3);

    let state = machine.places.state.as_deref().unwrap();
    save_last_good(state, &started.last_good.unwrap()).unwrap();
    let (file, kept) = load_last_good(state).unwrap().unwrap();
    assert_eq!(kept.config, started.config);
    assert_eq!(file, state.join("last-good.toml"));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o640);
    assert_eq!(fs::read_dir(state).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn the_hash_is_of_the_values_and_not_of_the_files() {
    let machine = Machine::new();
    let hash = |explicit| at_start(explicit, &machine.places).unwrap().hash;
    let nothing = hash(None);
    machine.write("hogwatch.toml", "# says nothing\n");
    assert_eq!(hash(None), nothing);
    machine.write("hogwatch.toml", GOOD);
    let good = hash(None);
    assert_ne!(good, nothing);
    let elsewhere = machine.write("elsewhere.toml", format!("# the same\n{GOOD}"));
    assert_eq!(hash(Some(&elsewhere)), good);
    machine.write("hogwatch.toml.d/a.toml", "[memory]\nterm = \"7%\"\n");
    assert_ne!(hash(None), good);

    let kept = at_start(None, &machine.places).unwrap();
    save_last_good(machine.places.state.as_deref().unwrap(), &kept.last_good.unwrap()).unwrap();
    machine.write("hogwatch.toml.d/a.toml", "[memory]\nterm = 7\n");
    assert_eq!(hash(None), kept.hash, "the last good one is the one before");
}

#[test]
fn a_bad_file_and_none_kept_is_as_if_nothing_were_set() {
    let machine = Machine::new();
    let nothing = at_start(None, &machine.places).unwrap().hash;
    machine.write("hogwatch.toml", "[memory]\nterm = 7\n");
    assert_eq!(at_start(None, &machine.places).unwrap().hash, nothing);
}

#[test]
fn no_file_means_the_defaults() {
    let machine = Machine::new();
    let started = at_start(None, &machine.places).unwrap();
    assert_eq!((started.config, started.source, started.problem), (Config::default(), Origin::Defaults, None));
    let nowhere = Places { file: None, machine: None, state: None };
    assert_eq!(at_start(None, &nowhere).unwrap().config, Config::default());
}

#[test]
fn an_explicit_file_must_be_good_and_is_not_kept() {
    let machine = Machine::new();
    let state = machine.places.state.clone().unwrap();
    save_last_good(&state, GOOD).unwrap();
    let bad = machine.write("bad.toml", "[memory]\nterm = 5\n");
    assert!(at_start(Some(&bad), &machine.places).is_err());
    assert!(at_start(Some(&machine.path("missing.toml")), &machine.places).is_err());
    let good = machine.write("good.toml", "[memory]\nterm = \"7%\"\n");
    let started = at_start(Some(&good), &machine.places).unwrap();
    assert_eq!(started.source, Origin::Files(vec![good]));
    assert_eq!(started.last_good, None);
}

#[test]
fn a_bad_default_file_means_the_last_good_one() {
    let machine = Machine::new();
    let main = machine.write("hogwatch.toml", "[memory]\nterm = \"NaN%\"\n");
    let state = machine.places.state.clone().unwrap();
    save_last_good(&state, GOOD).unwrap();
    // Drop-ins belong to the file, not to what is kept, where they are merged already.
    machine.write("state/last-good.toml.d/a.toml", "[memory]\nterm = \"50%\"\n");
    let started = at_start(None, &machine.places).unwrap();
    assert_eq!(started.config.memory.term, Amount::Percent(6.0));
    assert_eq!(started.source, Origin::LastGood(state.join("last-good.toml")));
    assert_eq!(started.last_good, None);
    let problem = started.problem.unwrap();
    assert!(problem.starts_with(&format!("{}:2:8: memory.term: \"NaN%\" ", main.display())), "{problem}");
    assert!(
        problem.ends_with(&format!("; the last good configuration runs instead: {}/last-good.toml", state.display())),
        "{problem}"
    );
}

#[test]
fn a_bad_default_file_without_a_good_one_means_the_defaults() {
    let machine = Machine::new();
    machine.write("hogwatch.toml", "[memory]\nterm = \"NaN%\"\n");
    let started = at_start(None, &machine.places).unwrap();
    assert_eq!((started.config, started.source), (Config::default(), Origin::Defaults));
    assert!(started.problem.unwrap().ends_with("; the built-in defaults run instead"));

    machine.write("state/last-good.toml", "garbage");
    let started = at_start(None, &machine.places).unwrap();
    assert_eq!((started.config, started.source), (Config::default(), Origin::Defaults));
    let problem = started.problem.unwrap();
    assert!(
        problem.ends_with("; the built-in defaults run instead, as the last good configuration is bad too"),
        "{problem}"
    );

    // Every kind of bad default file, not only bad text.
    for place in ["hogwatch.toml", "state/last-good.toml"] {
        fs::remove_file(machine.path(place)).unwrap();
        fs::create_dir(machine.path(place)).unwrap();
    }
    let started = at_start(None, &machine.places).unwrap();
    assert_eq!(started.config, Config::default());
}

#[test]
fn the_problem_fits_one_journal_entry_with_what_runs_at_its_end() {
    let machine = Machine::new();
    let long = "ä".repeat(60);
    machine.write("hogwatch.toml", format!("[memory]\nscope = \"{long}\"\n\"{long}\" = 1\n"));
    let problem = at_start(None, &machine.places).unwrap().problem.unwrap();
    assert!(problem.len() <= 256 && !problem.contains('\n'), "{problem}");
    assert!(problem.ends_with("...; the built-in defaults run instead"), "{problem}");

    save_last_good(machine.places.state.as_deref().unwrap(), GOOD).unwrap();
    let problem = at_start(None, &machine.places).unwrap().problem.unwrap();
    assert!(problem.len() <= 256 && problem.len() > 200 && problem.contains("...; the last good"), "{problem}");
    assert!(problem.ends_with("/state/last-good.toml"), "{problem}");
}

#[test]
fn a_reload_takes_the_new_file_or_says_why_not() {
    let machine = Machine::new();
    let main = machine.write("hogwatch.toml", GOOD);
    assert_eq!(reload(None, &machine.places).unwrap().config.memory.term, Amount::Percent(6.0));
    machine.write("hogwatch.toml", "[memory]\nterm = \"0%\"\n");
    let error = reload(None, &machine.places).unwrap_err();
    assert!(error.summary().starts_with(&format!("{}:2:8: ", main.display())), "{error}");
    fs::remove_file(main).unwrap();
    assert_eq!(reload(None, &machine.places).unwrap().source, Origin::Defaults);
}

#[test]
fn keeping_replaces_as_a_whole_and_follows_no_link() {
    let machine = Machine::new();
    let state = machine.path("deep/state");
    save_last_good(&state, "# one").unwrap();
    let target = machine.write("target", "untouched");
    std::os::unix::fs::symlink(&target, state.join("last-good.toml.new")).unwrap();
    save_last_good(&state, "# two").unwrap();
    assert_eq!(fs::read_to_string(state.join("last-good.toml")).unwrap(), "# two");
    assert_eq!(fs::read_to_string(target).unwrap(), "untouched");

    let blocked = machine.write("file", "");
    assert!(save_last_good(&blocked, "x").is_err());
}

#[test]
fn places_of_root_and_of_users() {
    let env = |pairs: &'static [(&str, &str)]| {
        move |name: &str| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).into())
    };
    let places = |uid, pairs| {
        let places = Places::new(uid, env(pairs));
        let text = |p: Option<std::path::PathBuf>| p.map(|p| p.to_str().unwrap().to_owned());
        (text(places.file), text(places.state))
    };
    let some = |a: &str, b: &str| (Some(a.to_owned()), Some(b.to_owned()));
    assert_eq!(
        places(0, &[("HOME", "/root"), ("XDG_CONFIG_HOME", "/x")]),
        some("/etc/hogwatch/hogwatch.toml", "/var/lib/hogwatch")
    );
    assert_eq!(
        places(1000, &[("HOME", "/home/u")]),
        some("/home/u/.config/hogwatch/hogwatch.toml", "/home/u/.local/state/hogwatch")
    );
    assert_eq!(
        places(1000, &[("HOME", "/home/u"), ("XDG_CONFIG_HOME", "/c"), ("XDG_STATE_HOME", "relative")]),
        some("/c/hogwatch/hogwatch.toml", "/home/u/.local/state/hogwatch")
    );
    assert_eq!(
        places(0, &[("STATE_DIRECTORY", "/var/lib/private/h:/var/lib/other")]),
        some("/etc/hogwatch/hogwatch.toml", "/var/lib/private/h")
    );
    let machine = |uid| Places::new(uid, env(&[])).machine;
    assert_eq!((machine(0), machine(1000)), (None, Some("/etc/hogwatch/hogwatch.toml".into())));
    assert_eq!(places(1000, &[]), (None, None));
    assert_eq!(places(1000, &[("HOME", "")]), (None, None));
}
