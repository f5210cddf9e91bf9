//! Whatever bytes a file holds: an answer, never a panic.

use hogwatch::config::{BuiltIns, Places, load, show};
use proptest::prelude::*;

use super::{Machine, parse};

/// Pieces that make texts which come near to a configuration.
fn piece() -> impl Strategy<Value = String> {
    const KNOWN: &[&str] = &[
        "[memory]\n",
        "[swap]\n",
        "[victim]\n",
        "[livelock]\n",
        "[[livelock.override]]\n",
        "[[run.override]]\n",
        "[hooks]\n",
        "[",
        "]",
        "\n",
        "term = ",
        "kill = ",
        "warn = ",
        "protect = [",
        "cgroups = ",
        "commands = ",
        "memory = ",
        "tasks = ",
        "after = ",
        "mode = ",
        "\"5%\"",
        "\"4 GiB\"",
        "\"10s\"",
        "\"a(\"",
        "'\\d'",
        "\"cmdline:x\"",
        "true",
        "5",
        "nan",
        ",",
        "\"\"\"",
        "'''",
        "{ a = ",
        "}",
        "#",
        "\"\\u001b\"",
        "\u{feff}",
        "\u{202e}",
        "\r",
        "\t",
        "ä",
        "= ",
        ".",
    ];
    prop_oneof![
        9 => prop::sample::select(KNOWN).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

proptest! {
    #[test]
    fn bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let machine = Machine::new();
        let path = machine.write("hogwatch.toml", &bytes);
        let nowhere = Places { file: None, machine: None, state: None };
        if let Err(error) = load(Some(&path), &nowhere) {
            let said = error.to_string();
            let start = format!("{}:", path.display());
            prop_assert!(said.starts_with(&start), "{}", said);
        }
    }

    #[test]
    fn near_misses(pieces in prop::collection::vec(piece(), 0..40)) {
        let text = pieces.concat();
        match hogwatch::config::load_text("hogwatch.toml".as_ref(), &text) {
            Ok(loaded) => {
                let nothing = BuiltIns { protect: &[], avoid: &[] };
                let shown = show(&loaded, &nothing);
                prop_assert_eq!(parse(&shown).unwrap(), loaded.config);
            }
            Err(error) => {
                for problem in error.problems() {
                    let headline = problem.headline();
                    prop_assert!(headline.starts_with("hogwatch.toml:"), "{}", headline);
                    prop_assert!(!error.to_string().contains(['\u{1b}', '\u{202e}', '\r']), "{:?}", error.to_string());
                }
            }
        }
    }

    #[test]
    fn patterns(text in "\\PC{0,30}") {
        if let Ok(pattern) = hogwatch::config::Pattern::parse(&text) {
            prop_assert!(hogwatch::config::compile(&pattern.regex).is_ok());
        }
    }
}
