//! Text that others chose, made harmless in HTML and in SVG.

use std::fmt::{self, Write};

use crate::report::Escaped;

/// Anything that can be shown, as plain text between tags or within a quoted attribute.
///
/// Names come from attackers, and the file may have been written by one. What could end the text becomes an entity; what
/// would reorder it, hide in it, or is no character of XML 1.0 becomes an escape (`\n`, `\u{202e}`).
pub(super) struct Safe<T>(pub T);

impl<T: fmt::Display> fmt::Display for Safe<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Lines(f), "{}", self.0)
    }
}

/// The same for sentences: what stands in backquotes is a command or a name to be pasted, and looks so.
pub(super) struct Prose<'a>(pub &'a str);

impl fmt::Display for Prose<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some((before, code, after)) = quoted(rest) {
            write!(f, "{}<code>{}</code>", Safe(before), Safe(code))?;
            rest = after;
        }
        Safe(rest).fmt(f)
    }
}

/// The first text in backquotes, with what is before and after it.
fn quoted(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('`')?;
    let (code, after) = rest.split_once('`')?;
    Some((before, code, after))
}

/// Takes out what does not show as itself.
struct Lines<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl Write for Lines<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        write!(Entities(self.0), "{}", Escaped(text.as_bytes()))
    }
}

/// Takes out what HTML and XML take for markup.
struct Entities<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl Write for Entities<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '&' => self.0.write_str("&amp;")?,
                '<' => self.0.write_str("&lt;")?,
                '>' => self.0.write_str("&gt;")?,
                '"' => self.0.write_str("&quot;")?,
                '\'' => self.0.write_str("&#39;")?,
                // No characters by XML 1.0, section 2.2; the rest of those never comes through `Escaped`.
                '\u{fffe}' | '\u{ffff}' => write!(self.0, "\\u{{{:x}}}", u32::from(c))?,
                c => self.0.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_in_a_sentence() {
        let cases = [
            ("run `a <b>`, then `c`.", "run <code>a &lt;b&gt;</code>, then <code>c</code>."),
            ("half a `quote", "half a `quote"),
            ("", ""),
        ];
        for (text, expected) in cases {
            assert_eq!(Prose(text).to_string(), expected);
        }
    }

    #[test]
    fn nothing_leaves_its_place() {
        let cases = [
            ("ugrep", "ugrep"),
            ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
            ("\" onload='x'", "&quot; onload=&#39;x&#39;"),
            ("&amp;", "&amp;amp;"),
            ("a\nb\t\0", "a\\nb\\t\\x00"),
            ("\u{202e}cod.exe\u{ffff}", "\\u{202e}cod.exe\\u{ffff}"),
            ("日本語 😀", "日本語 😀"),
        ];
        for (text, expected) in cases {
            assert_eq!(Safe(text).to_string(), expected);
        }
    }
}
