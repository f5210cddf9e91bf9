//! What is wrong with a configuration, said so that an admin can mend it: file, line, column, the line, help.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Problems listed for one configuration; the rest are counted. A wrong file can hold thousands, and nobody reads on.
const MAX_LISTED: usize = 20;

/// Characters of a source line that an excerpt shows, so that a line of 200 KB stays readable.
const EXCERPT_WIDTH: usize = 100;

/// Characters shown before the caret when a long line is cut on its left.
const EXCERPT_BEFORE: usize = 60;

/// Characters of a wrong value that a message repeats.
const QUOTE_WIDTH: usize = 60;

/// A value that was refused: why, and what to write instead. It has no place yet; [`Problem`] has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// What is wrong, without a full stop.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Bad {
    pub(super) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: Some(help.into()) }
    }
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Bad {}

/// A place in a text file, both counted from 1; columns count characters, not bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// One thing wrong in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, as it was named to us.
    pub file: PathBuf,
    /// Where in it; none when the file could not be read.
    pub at: Option<Position>,
    /// What is wrong and what was expected.
    pub message: String,
    /// The line with a caret below it.
    excerpt: Option<String>,
    /// What to do about it.
    pub help: Option<String>,
}

impl Problem {
    /// A problem with the file as a whole.
    pub(super) fn whole_file(file: &Path, bad: Bad) -> Self {
        Self { file: file.to_owned(), at: None, message: bad.message, excerpt: None, help: bad.help }
    }

    /// `FILE:LINE:COL: message`, or `FILE: message`, in one line.
    pub fn headline(&self) -> String {
        let file = escape(&self.file.to_string_lossy());
        let message = escape(&self.message);
        match self.at {
            Some(at) => format!("{file}:{}:{}: {message}", at.line, at.column),
            None => format!("{file}: {message}"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.headline())?;
        if let Some(excerpt) = &self.excerpt {
            write!(f, "\n{excerpt}")?;
        }
        if let Some(help) = &self.help {
            write!(f, "\nhelp: {}", escape(help))?;
        }
        Ok(())
    }
}

/// A configuration that was refused: every problem found in it, at least one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Error {
    problems: Vec<Problem>,
    unlisted: usize,
}

impl Error {
    /// Adds a problem. It is made only if it will be listed: a file with tens of thousands must not cost seconds.
    pub(super) fn add(&mut self, problem: impl FnOnce() -> Problem) {
        if self.problems.len() < MAX_LISTED {
            self.problems.push(problem());
        } else {
            self.unlisted += 1;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// Puts the problems found from index `from` on in the order of their places in the file.
    pub(super) fn sort_from(&mut self, from: usize) {
        self.problems[from..].sort_by_key(|p| p.at);
    }

    /// The problems, in the order of files and places; at most 20 of them are kept.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// One line for a journal entry: the first problem, and how many more there are.
    pub fn summary(&self) -> String {
        let first = self.problems.first().map(Problem::headline).unwrap_or_default();
        match self.problems.len().saturating_sub(1) + self.unlisted {
            0 => first,
            more => format!("{first} (and {more} more; `hogwatch config check` lists them)"),
        }
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem], unlisted: 0 }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        if self.unlisted > 0 {
            write!(f, "\n... and {} more", self.unlisted)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// A file that was read: its name and its text, to point into.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

impl Source {
    /// A problem at the byte range `span` of this file.
    pub(super) fn problem(&self, span: Range<usize>, bad: Bad) -> Problem {
        let start = floor_char_boundary(&self.text, span.start);
        let line_start = self.text[..start].rfind('\n').map_or(0, |i| i + 1);
        let line = self.text[line_start..].split('\n').next().unwrap_or("");
        let before = self.text[line_start..start].chars().count();
        Problem {
            file: self.path.clone(),
            at: Some(Position { line: self.line(start), column: before + 1 }),
            message: bad.message,
            excerpt: Some(excerpt(line.trim_end_matches('\r'), before)),
            help: bad.help,
        }
    }

    /// The line, from 1, that holds the byte `offset`.
    pub(super) fn line(&self, offset: usize) -> usize {
        let offset = floor_char_boundary(&self.text, offset);
        1 + self.text[..offset].matches('\n').count()
    }
}

/// The line, cut to a readable width around the character at index `column`, with a caret below that character.
fn excerpt(line: &str, column: usize) -> String {
    let skipped = if column >= EXCERPT_WIDTH { column - EXCERPT_BEFORE } else { 0 };
    let mut shown = String::from(if skipped > 0 { "..." } else { "" });
    let mut caret = shown.len();
    let mut chars = line.chars().skip(skipped);
    for (i, c) in chars.by_ref().take(EXCERPT_WIDTH).enumerate() {
        if skipped + i == column {
            caret = shown.chars().count();
        }
        push_escaped(&mut shown, if c == '\t' { ' ' } else { c });
    }
    if column >= line.chars().count() {
        caret = shown.chars().count();
    }
    if chars.next().is_some() {
        shown.push_str("...");
    }
    format!("  {shown}\n  {}^", " ".repeat(caret))
}

/// The text with every character escaped that could move a terminal's cursor, start a new line, or reorder what stands
/// beside it (control characters, line separators, bidirectional and zero-width marks).
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        push_escaped(&mut out, c);
    }
    out
}

/// A value as a message repeats it: quoted, and cut when long. Escaping is left to the printing of the message.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTE_WIDTH) {
        Some((cut, _)) => format!("\"{}...\"", &text[..cut]),
        None => format!("\"{text}\""),
    }
}

fn push_escaped(out: &mut String, c: char) {
    let invisible =
        matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    if c.is_control() || invisible {
        out.extend(c.escape_default());
    } else {
        out.push(c);
    }
}

/// The largest character boundary at or below `offset`.
fn floor_char_boundary(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}
