//! earlyoom's command line, read as its getopt_long reads it.

use super::super::problem::{Bad, quoted};
use super::words::Word;

/// Options of one letter, their names in [`Given`], and whether they take a value.
const SHORT: &[(char, &str, bool)] = &[
    ('m', "m", true),
    ('s', "s", true),
    ('M', "M", true),
    ('S', "S", true),
    ('N', "N", true),
    ('P', "P", true),
    ('r', "r", true),
    ('k', "k", false),
    ('i', "i", false),
    ('n', "n", false),
    ('g', "g", false),
    ('v', "v", false),
    ('p', "p", false),
    ('d', "debug", false),
    ('h', "help", false),
];

/// Long options, and whether they take a value.
const LONG: &[(&str, bool)] = &[
    ("prefer", true),
    ("avoid", true),
    ("ignore", true),
    ("dryrun", false),
    ("ignore-root-user", false),
    ("sort-by-rss", false),
    ("syslog", false),
    ("kernel-oom", false),
    ("debug", false),
    ("help", false),
];

/// One option: its name (a letter or the full long name), its value if it takes one, and whether that was in quotes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) quoted: bool,
}

/// Reads the options in their order. Long names may be shortened as long as they are clear, letters may be joined
/// (`-gp`), values may follow directly (`-m5`, `--avoid=x`) or as the next word.
pub(super) fn parse(words: &[Word]) -> Result<Vec<Given>, Bad> {
    let mut given = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if let Some(long) = word.text.strip_prefix("--") {
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (long, None),
            };
            let (name, takes_value) = find_long(name)?;
            given.push(with_value(name, takes_value, value, word, &mut words)?);
        } else if let Some(letters) = word.text.strip_prefix('-').filter(|l| !l.is_empty()) {
            parse_letters(letters, word, &mut words, &mut given)?;
        } else {
            return Err(Bad::new(
                format!("earlyoom takes no argument {}", quoted(&word.text)),
                "name an existing file, or earlyoom's options as they stand in EARLYOOM_ARGS",
            ));
        }
    }
    Ok(given)
}

fn parse_letters<'w>(
    letters: &str,
    word: &Word,
    words: &mut impl Iterator<Item = &'w Word>,
    given: &mut Vec<Given>,
) -> Result<(), Bad> {
    for (at, letter) in letters.char_indices() {
        let Some((_, name, takes_value)) = SHORT.iter().find(|(known, ..)| *known == letter) else {
            return Err(unknown(&format!("-{letter}")));
        };
        let rest = &letters[at + letter.len_utf8()..];
        let value = (*takes_value && !rest.is_empty()).then(|| rest.to_owned());
        given.push(with_value(name, *takes_value, value, word, words)?);
        if *takes_value {
            break;
        }
    }
    Ok(())
}

/// Completes an option with its value, from the next word if need be.
fn with_value<'w>(
    name: &'static str,
    takes_value: bool,
    value: Option<String>,
    word: &Word,
    words: &mut impl Iterator<Item = &'w Word>,
) -> Result<Given, Bad> {
    let given = |value, quoted| Given { name, value, quoted };
    match (takes_value, value) {
        (true, Some(value)) => Ok(given(value, word.quoted)),
        (true, None) => match words.next() {
            Some(next) => Ok(given(next.text.clone(), next.quoted)),
            None => Err(Bad::new(
                format!("earlyoom's option {} needs a value", quoted(&word.text)),
                "give the value after it",
            )),
        },
        (false, None) => Ok(given(String::new(), false)),
        (false, Some(_)) => {
            Err(Bad::new(format!("earlyoom's option --{name} takes no value"), "remove the = and what follows it"))
        }
    }
}

fn find_long(name: &str) -> Result<(&'static str, bool), Bad> {
    let exact = LONG.iter().find(|(known, _)| *known == name);
    let mut begins = LONG.iter().filter(|(known, _)| !name.is_empty() && known.starts_with(name));
    match (exact, begins.next(), begins.next()) {
        (Some(found), _, _) | (None, Some(found), None) => Ok(*found),
        _ => Err(unknown(&format!("--{name}"))),
    }
}

fn unknown(option: &str) -> Bad {
    Bad::new(
        format!("earlyoom has no option {}", quoted(option)),
        "name an existing file, or earlyoom's options as they stand in EARLYOOM_ARGS",
    )
}
