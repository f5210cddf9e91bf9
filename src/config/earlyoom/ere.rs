//! Turning a POSIX extended regex, as glibc reads it, into one of ours that matches the same names.

use std::iter::Peekable;
use std::str::Chars;

/// Characters that mean something in a class of ours and nothing in a bracket expression of POSIX.
const SPECIAL_IN_CLASS: &[char] = &['\\', '[', ']', '^', '&', '~', '-'];

/// Translates a regex; the error says what has no equal.
pub(super) fn translate(ere: &str) -> Result<String, &'static str> {
    let mut out = String::with_capacity(ere.len());
    let mut rest = ere.chars().peekable();
    // Whether something stands before this character that a repetition could repeat, and whether it is one itself.
    let (mut repeatable, mut repeated) = (false, false);
    while let Some(c) = rest.next() {
        let repetition = matches!(c, '*' | '+' | '?') || (c == '{' && starts_interval(&rest));
        if repetition && !repeatable {
            return Err("a repetition has nothing to repeat");
        }
        if repetition && repeated {
            // `a+?` is `(a+)?` there and a lazy `a+` here.
            return Err("two repetitions stand side by side");
        }
        match c {
            '[' => bracket(&mut rest, &mut out)?,
            '\\' => escape(rest.next().ok_or("it ends in a backslash")?, &mut out)?,
            '{' if repetition => {
                out.push('{');
                // {,3} is {0,3}
                if rest.peek() == Some(&',') {
                    out.push('0');
                }
            }
            '(' if rest.peek() == Some(&'?') => return Err("(? has nothing to repeat"),
            '{' | ']' => out.extend(['\\', c]),
            // Closes an interval, where it is as it stands, or is an ordinary character, where both take it bare.
            _ => out.push(c),
        }
        if c == '{' && repetition {
            out.extend(rest.by_ref().take_while(|c| *c != '}'));
            out.push('}');
        }
        repeated = repetition;
        repeatable = !matches!(c, '(' | '|' | '^');
    }
    Ok(out)
}

/// Whether what follows a `{` makes it an interval: `3}`, `3,}`, `,3}` or `3,5}`.
fn starts_interval(rest: &Peekable<Chars>) -> bool {
    let inside: String = rest.clone().take_while(|c| *c != '}').collect();
    let closed = rest.clone().any(|c| c == '}');
    let (low, high) = inside.split_once(',').unwrap_or((&inside, ""));
    let number = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    closed && number(low) && number(high) && !(low.is_empty() && high.is_empty())
}

/// Writes what a backslash and `c` mean: glibc knows a few escapes beyond POSIX.
fn escape(c: char, out: &mut String) -> Result<(), &'static str> {
    match c {
        '1'..='9' => return Err("back-references have no equal"),
        'w' | 'W' | 's' | 'S' | 'b' | 'B' | '<' | '>' => out.extend(['\\', c]),
        '`' => out.push_str("\\A"),
        '\'' => out.push_str("\\z"),
        c if c.is_ascii_punctuation() => out.extend(['\\', c]),
        // A backslash before an ordinary character is ignored.
        c => out.push(c),
    }
    Ok(())
}

/// Writes a bracket expression, of which `[` has been read. In POSIX a backslash in it is an ordinary character.
fn bracket(rest: &mut Peekable<Chars>, out: &mut String) -> Result<(), &'static str> {
    const OPEN: &str = "a [ is not closed";
    out.push('[');
    if rest.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    let mut first = true;
    loop {
        let c = rest.next().ok_or(OPEN)?;
        if c == ']' && !first {
            out.push(']');
            return Ok(());
        }
        first = false;
        match (c, rest.peek()) {
            ('[', Some(':')) => {
                let name: String = rest.by_ref().take_while(|c| *c != ']').collect();
                out.push_str(&format!("[{name}]"));
            }
            ('[', Some('.' | '=')) => return Err("[. .] and [= =] have no equal"),
            _ => {
                let range = c == '-' && out.ends_with(is_range_start) && rest.peek() != Some(&']');
                if SPECIAL_IN_CLASS.contains(&c) && !range {
                    out.push('\\');
                }
                out.push(c);
            }
        }
    }
}

/// Whether a `-` after this makes a range: not after the opening `[` or `[^`, nor after a class such as `[:alpha:]`.
fn is_range_start(before: char) -> bool {
    !matches!(before, '[' | '^' | ']')
}
