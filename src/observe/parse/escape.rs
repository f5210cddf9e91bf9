//! Text that others chose, made safe to show.

use std::fmt::{self, Write};

/// Shows bytes of unknown origin (process names, paths) so that they cannot forge a line, move the cursor, reorder the
/// text around them or pass for one another: control characters, line separators, bidirectional controls, bytes that
/// are no UTF-8, and the backslash itself are written as escapes (`\n`, `\x1b`, `\u{202e}`, `\xff`, `\\`).
#[derive(Debug, Clone, Copy)]
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                write_char(f, character)?;
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

fn write_char(f: &mut fmt::Formatter<'_>, character: char) -> fmt::Result {
    match character {
        '\n' => f.write_str("\\n"),
        '\r' => f.write_str("\\r"),
        '\t' => f.write_str("\\t"),
        '\\' => f.write_str("\\\\"),
        _ if character.is_ascii_control() => write!(f, "\\x{:02x}", u32::from(character)),
        _ if character.is_control() || reorders_or_breaks(character) => {
            write!(f, "\\u{{{:x}}}", u32::from(character))
        }
        _ => f.write_char(character),
    }
}

/// Characters that change the direction of the text after them (Unicode's `Bidi_Control` property) or end a line.
fn reorders_or_breaks(character: char) -> bool {
    matches!(character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_dangerous_gets_through() {
        let rows: [(&[u8], &str); 9] = [
            (b"plain name (1)", "plain name (1)"),
            ("überlang→".as_bytes(), "überlang→"),
            (b"a\nb\rc\td", "a\\nb\\rc\\td"),
            (b"\x1b[1m\x7f\0", "\\x1b[1m\\x7f\\x00"),
            (b"back\\slash", "back\\\\slash"),
            (b"\xff\xc3", "\\xff\\xc3"),
            ("\u{202e}cod".as_bytes(), "\\u{202e}cod"),
            ("\u{85}\u{2028}\u{2029}".as_bytes(), "\\u{85}\\u{2028}\\u{2029}"),
            (b"", ""),
        ];
        for (bytes, expected) in rows {
            assert_eq!(Escaped(bytes).to_string(), expected);
        }
    }

    #[test]
    fn every_bidirectional_control_is_escaped() {
        let controls =
            "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}";
        assert!(Escaped(controls.as_bytes()).to_string().is_ascii());
    }
}
