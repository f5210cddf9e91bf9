//! `EARLYOOM_ARGS` out of an environment file, and its words.

/// The name of the variable in `/etc/default/earlyoom`.
const VARIABLE: &str = "EARLYOOM_ARGS=";

/// The value of the last `EARLYOOM_ARGS=` in an environment file as systemd reads it: comments, quotes around the
/// whole value or parts of it, lines continued by a backslash. None when the variable is not set.
pub(super) fn variable(file: &str) -> Option<String> {
    let mut value = None;
    let mut rest = file;
    while !rest.is_empty() {
        let line = rest.trim_start_matches([' ', '\t']);
        match line.strip_prefix(VARIABLE) {
            Some(text) => {
                let (read, after) = unquote(text);
                value = Some(read);
                rest = after;
            }
            None => rest = rest.split_once('\n').map_or("", |(_, after)| after),
        }
    }
    value
}

/// Reads a value to the end of its line; gives what follows that line too.
fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match (c, quote) {
            ('\n', None) => return (value.trim().to_owned(), &text[at + 1..]),
            ('\\', None | Some('"')) => match chars.next() {
                Some((_, '\n')) | None => {}
                Some((_, escaped @ ('"' | '\\' | '$' | '`'))) => value.push(escaped),
                Some((_, other)) => value.extend(['\\', other]),
            },
            (' ' | '\t', None) if value.is_empty() => {}
            ('"' | '\'', None) if value.is_empty() => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            (c, _) => value.push(c),
        }
    }
    (value.trim().to_owned(), "")
}

/// One word of a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    /// Whether it stood in quotes, which the regexes of some set-ups took literally.
    pub(super) quoted: bool,
}

/// Splits a command line at blanks, as the writer of a shell-like line meant it: quotes keep blanks together, and a
/// backslash takes a blank, a quote or a backslash literally (before anything else it belongs to a regex and stays).
pub(super) fn split(line: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut word: Option<Word> = None;
    let mut quote = None;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_whitespace() && quote.is_none() {
            words.extend(word.take());
            continue;
        }
        let word = word.get_or_insert(Word { text: String::new(), quoted: false });
        match (c, quote) {
            ('"' | '\'', None) => {
                quote = Some(c);
                word.quoted = true;
            }
            (c, Some(open)) if c == open => quote = None,
            ('\\', None) => {
                let literal = chars.next_if(|c| c.is_whitespace() || matches!(c, '"' | '\'' | '\\'));
                word.text.push(literal.unwrap_or('\\'));
            }
            (c, _) => word.text.push(c),
        }
    }
    words.extend(word);
    words
}
