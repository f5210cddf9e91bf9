//! Regexes of `[victim]`: what they search, and how they are compiled.

use std::fmt;

use regex_automata::meta::{BuildError, Regex};
use regex_automata::nfa::thompson::WhichCaptures;
use regex_automata::util::syntax;

use super::problem::{Bad, quoted};

/// Heap that one compiled regex may take, in bytes. A usual pattern takes 1 to 4 KiB; at 64 KiB a repetition has
/// exploded, and a handful of such would outgrow the whole daemon.
const COMPILED_LIMIT: usize = 64 * 1024;

/// Length of a regex in bytes. Far beyond what a person writes; it bounds the work before [`COMPILED_LIMIT`] counts.
const TEXT_LIMIT: usize = 4 * 1024;

/// Groups inside groups: far more than any readable regex, far less than what could exhaust a small stack.
const NEST_LIMIT: u32 = 50;

/// What a regex is searched in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The process name (at most 15 bytes); written without a prefix.
    Comm,
    /// The command line, its arguments joined by blanks.
    Cmdline,
    /// The path of the executable.
    Exe,
    /// The cgroup path (`/user.slice/...`).
    Cgroup,
    /// The systemd unit.
    Unit,
    /// The name of the user that owns the process.
    User,
}

/// The prefixes that choose a subject other than the process name.
const PREFIXES: &[(&str, Subject)] = &[
    ("cmdline", Subject::Cmdline),
    ("exe", Subject::Exe),
    ("cgroup", Subject::Cgroup),
    ("unit", Subject::Unit),
    ("user", Subject::User),
];

/// The length of the longest word that can be a misspelt prefix.
const MAX_PREFIX: usize = "cmdline".len() + 1;

/// A regex of `protect`, `avoid` or `prefer`, known to compile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// As written, prefix included.
    pub text: String,
    /// What it searches.
    pub subject: Subject,
    /// The regex, without the prefix.
    pub regex: String,
}

impl Pattern {
    /// Reads a pattern as it is written in the file, and checks that it compiles.
    ///
    /// # Errors
    /// An empty regex, a misspelt prefix, bad syntax, or a regex that grows too large.
    pub fn parse(text: &str) -> Result<Self, Bad> {
        let (subject, regex) = split_prefix(text)?;
        if regex.is_empty() {
            return Err(Bad::new(
                format!("the regex {} is empty and would match every process", quoted(text)),
                "remove it, or name what it should match",
            ));
        }
        compile(regex).map_err(|e| e.about(text))?;
        Ok(Self { text: text.to_owned(), subject, regex: regex.to_owned() })
    }
}

/// Why a regex was refused.
#[derive(Debug)]
pub enum RegexError {
    /// Longer than any regex needs to be.
    TooLong,
    /// It does not compile, or compiles to more than the memory allowed for one.
    Build(Box<BuildError>),
}

impl RegexError {
    /// The same about a pattern as it was written, with what to do about it.
    fn about(&self, text: &str) -> Bad {
        let help = match self {
            Self::TooLong => "split it into several",
            Self::Build(error) if error.syntax_error().is_none() => {
                "use smaller repetition counts: + or * instead of {1000}"
            }
            Self::Build(_) if self.to_string().contains("Unicode not allowed") => {
                "regexes work on bytes: write (ä|ö) instead of [äö], or begin with (?u)"
            }
            Self::Build(_) if self.to_string().contains("look-around") => {
                "look-around, (?= (?! (?<= (?<!, is not supported: write what shall match, and use several regexes or lists"
            }
            Self::Build(_) if self.to_string().contains("backreferences") => {
                "back-references are not supported: write out what is repeated"
            }
            Self::Build(_) => "a literal . ( [ { * + ? | ^ $ needs a \\ before it",
        };
        Bad::new(format!("the regex {} {self}", quoted(text)), help)
    }
}

impl fmt::Display for RegexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "is longer than {TEXT_LIMIT} bytes"),
            Self::Build(error) => match error.syntax_error() {
                Some(syntax) => write!(f, "is wrong: {}", last_line(&syntax.to_string())),
                None => f.write_str("needs too much memory when compiled"),
            },
        }
    }
}

impl std::error::Error for RegexError {}

/// Compiles a regex the way all of hogwatch does: searched anywhere, case-sensitive, on bytes. Names need not be UTF-8,
/// and `.` matches any byte, a newline too, so that no process can dodge a regex by an odd name. No captures, no lazy
/// DFA: what it takes is known when it is built.
///
/// # Errors
/// A regex with wrong syntax, or one that takes more than 64 KiB compiled.
pub fn compile(regex: &str) -> Result<Regex, RegexError> {
    if regex.len() > TEXT_LIMIT {
        return Err(RegexError::TooLong);
    }
    build(&[regex], COMPILED_LIMIT)
}

/// Compiles the regexes of a whole list into one automaton, which tells which of them matches.
///
/// # Errors
/// A list that takes more than 1 MiB compiled; each regex by itself was checked by [`compile`].
pub fn compile_list(regexes: &[&str]) -> Result<Regex, RegexError> {
    /// Some hundred ordinary regexes. The daemon keeps it locked in memory.
    const LIST_LIMIT: usize = 1 << 20;
    build(regexes, LIST_LIMIT)
}

/// The lazy DFA and the backtracker get their memory while they search, which must not happen on the kill path; the
/// simulation of the NFA has all of its own from the start.
fn build(regexes: &[&str], limit: usize) -> Result<Regex, RegexError> {
    let limits = Regex::config()
        .nfa_size_limit(Some(limit))
        .which_captures(WhichCaptures::None)
        .utf8_empty(false)
        .hybrid(false)
        .dfa(false)
        .onepass(false)
        .backtrack(false);
    Regex::builder()
        .configure(limits)
        .syntax(syntax_config())
        .build_many(regexes)
        .map_err(|e| RegexError::Build(Box::new(e)))
}

/// How the text of a regex is understood.
pub(super) fn syntax_config() -> syntax::Config {
    syntax::Config::new().unicode(false).utf8(false).dot_matches_new_line(true).nest_limit(NEST_LIMIT)
}

/// Splits `"cmdline:--type=renderer"`. A word that is nearly a prefix is refused: it would silently match nothing.
fn split_prefix(text: &str) -> Result<(Subject, &str), Bad> {
    let Some((word, regex)) = text.split_once(':') else {
        return Ok((Subject::Comm, text));
    };
    if let Some((_, subject)) = PREFIXES.iter().find(|(name, _)| *name == word) {
        return Ok((*subject, regex));
    }
    // Only a bare word: "(users:)x" is how a regex for such a name can be written all the same.
    let bare = word.len() <= MAX_PREFIX && word.bytes().all(|b| b.is_ascii_alphabetic());
    let near = PREFIXES.iter().find(|(name, _)| bare && strsim::damerau_levenshtein(name, word) <= 1);
    match near {
        Some((name, _)) => Err(Bad::new(
            format!("the regex {} begins with the unknown prefix \"{word}:\"", quoted(text)),
            format!("did you mean \"{name}:\"? To search the process name for this text write \"({word}):...\""),
        )),
        None => Ok((Subject::Comm, text)),
    }
}

/// The sentence at the end of a syntax error, which begins with a drawing of the regex.
fn last_line(message: &str) -> String {
    let last = message.lines().last().unwrap_or(message);
    last.trim().trim_start_matches("error: ").to_owned()
}
