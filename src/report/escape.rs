//! Names are the attacker's choice: here they become harmless in a line, a terminal and a JSON document.

use std::fmt::{self, Write};

/// Bytes as one line of plain text.
///
/// Control characters, bytes that are not UTF-8, and the invisible characters that reorder or hide text become
/// escapes (`\n`, `\x1b`, `\u{202e}`). All else stays as it is, the backslash too: systemd's own escapes in unit
/// names (`\x2d`) must still be good for pasting. So an escape may also be what the name literally contains; a
/// line break, a terminal sequence or a turned-round line it can never be.
pub struct Escaped<'a>(
    /// The raw bytes.
    pub &'a [u8],
);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\n' => f.write_str("\\n")?,
                    '\r' => f.write_str("\\r")?,
                    '\t' => f.write_str("\\t")?,
                    c if c.is_ascii_control() => write!(f, "\\x{:02x}", u32::from(c))?,
                    c if is_unsafe(c) => write!(f, "\\u{{{:x}}}", u32::from(c))?,
                    c => f.write_char(c)?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Characters that do not show as themselves: C1 controls (some terminals obey them), line and paragraph separators,
/// bidirectional controls (UAX #9), zero-width characters, the byte order mark, and tags.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_become_one_harmless_line() {
        let cases: &[(&[u8], &str)] = &[
            (b"", ""),
            (b"ugrep", "ugrep"),
            (b"a b) (c", "a b) (c"),
            ("日本語 naïve 😀".as_bytes(), "日本語 naïve 😀"),
            (b"evil\nHOGWATCH_EVENT=stop", "evil\\nHOGWATCH_EVENT=stop"),
            (b"cr\rlf\ttab\0nul", "cr\\rlf\\ttab\\x00nul"),
            (b"\x1b[31mred\x1b]0;title\x07", "\\x1b[31mred\\x1b]0;title\\x07"),
            (b"\x7f", "\\x7f"),
            ("\u{9b}31m".as_bytes(), "\\u{9b}31m"),
            ("abc\u{202e}txt.exe".as_bytes(), "abc\\u{202e}txt.exe"),
            ("\u{2066}x\u{2069}\u{200f}".as_bytes(), "\\u{2066}x\\u{2069}\\u{200f}"),
            ("a\u{2028}b\u{feff}c\u{200b}".as_bytes(), "a\\u{2028}b\\u{feff}c\\u{200b}"),
            ("\u{e0041}".as_bytes(), "\\u{e0041}"),
            (b"\xff\xfe", "\\xff\\xfe"),
            (b"cut\xe2\x80", "cut\\xe2\\x80"),
            (b"\xed\xa0\x80", "\\xed\\xa0\\x80"),
            (b"dev-disk\\x2dby.swap", "dev-disk\\x2dby.swap"),
        ];
        for (raw, expected) in cases {
            assert_eq!(Escaped(raw).to_string(), *expected, "{raw:?}");
        }
    }

    #[test]
    fn no_byte_at_all_gives_a_control_character() {
        let long: Vec<u8> = (0..=255).collect();
        let shown = Escaped(&long).to_string();
        assert!(!shown.chars().any(char::is_control), "{shown}");
    }
}
