//! Text of a fixed size: what the guard writes its words into, because it must not allocate.

use std::fmt::{self, Write};

use super::escape::Escaped;

/// Put where something was cut off.
const MARKER: &str = "…";

/// A UTF-8 character has at most this many continuation bytes.
const MAX_CONTINUATION: usize = 3;

/// Up to `N` bytes (8 to 65535) in place: `Copy`, never allocates, never fails.
///
/// Holds raw bytes, for the kernel's names are raw bytes; [`fmt::Display`] escapes them (see [`Escaped`]). What
/// does not fit is cut off between two characters and marked with `…`; all that is added after the cut is ignored.
#[derive(Clone, Copy)]
pub struct Text<const N: usize> {
    bytes: [u8; N],
    len: u16,
    cut: bool,
}

impl<const N: usize> Text<N> {
    const SIZE_IS_SANE: () = assert!(N >= 8 && N <= u16::MAX as usize);

    /// Empty text.
    pub const fn new() -> Self {
        let () = Self::SIZE_IS_SANE;
        Self { bytes: [0; N], len: 0, cut: false }
    }

    /// The bytes of a name as the kernel gave it.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut text = Self::new();
        text.push_bytes(bytes);
        text
    }

    /// Formatted in place: `Text::format(format_args!("{percent:.2} % available"))`.
    pub fn format(arguments: fmt::Arguments<'_>) -> Self {
        let mut text = Self::new();
        // The only error is one of a Display implementation inside `arguments`; what it wrote so far is kept.
        let _ = text.write_fmt(arguments);
        text
    }

    /// Adds raw bytes, which need not be UTF-8.
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        if self.cut {
            return;
        }
        let len = usize::from(self.len);
        let fits = bytes.len().min(N - len);
        self.bytes[len..len + fits].copy_from_slice(&bytes[..fits]);
        if fits == bytes.len() {
            self.set_len(len + fits);
        } else {
            self.cut_off();
        }
    }

    /// The raw bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The buffer is full to its last byte: makes room for the marker at a character's boundary.
    fn cut_off(&mut self) {
        let room = N - MARKER.len();
        let boundary =
            (room.saturating_sub(MAX_CONTINUATION)..=room).rev().find(|&end| !is_continuation(self.bytes[end]));
        let end = boundary.unwrap_or(room);
        self.bytes[end..end + MARKER.len()].copy_from_slice(MARKER.as_bytes());
        self.set_len(end + MARKER.len());
        self.cut = true;
    }

    fn set_len(&mut self, len: usize) {
        // N fits in 16 bits (SIZE_IS_SANE) and len <= N.
        self.len = u16::try_from(len).unwrap_or(u16::MAX);
    }
}

fn is_continuation(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Write for Text<N> {
    fn write_str(&mut self, words: &str) -> fmt::Result {
        self.push_bytes(words.as_bytes());
        Ok(())
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Escaped(self.as_bytes()), f)
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl<const N: usize> PartialEq for Text<N> {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl<const N: usize> Eq for Text<N> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_kept_to_the_last_byte() {
        assert_eq!(Text::<8>::from_bytes(b"12345678").as_bytes(), b"12345678");
        assert!(Text::<8>::new().is_empty());
    }

    #[test]
    fn a_cut_is_marked_and_never_splits_a_character() {
        let cases: &[(&str, &str)] = &[
            ("123456789", "12345…"),
            ("1234€€€", "1234…"),
            ("12345€6789", "12345…"),
            ("€€€", "€…"),
            ("😀😀😀", "😀…"),
            ("1😀😀", "1😀…"),
            ("12😀😀", "12…"),
        ];
        for (input, expected) in cases {
            let text = Text::<8>::from_bytes(input.as_bytes());
            assert_eq!(std::str::from_utf8(text.as_bytes()), Ok(*expected), "{input}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_cut_too() {
        let text = Text::<8>::from_bytes(&[0xbf; 20]);
        assert_eq!(text.as_bytes(), [0xbf, 0xbf, 0xbf, 0xbf, 0xbf, 0xe2, 0x80, 0xa6]);
    }

    #[test]
    fn nothing_is_added_after_a_cut() {
        let mut text = Text::<8>::format(format_args!("{}{}", "abc", "defghij"));
        text.push_bytes(b"!");
        assert_eq!(text.as_bytes(), "abcde…".as_bytes());
    }

    #[test]
    fn a_later_piece_that_overflows_takes_back_what_the_marker_needs() {
        let mut text = Text::<8>::from_bytes(b"12345678");
        text.push_bytes(b"9");
        assert_eq!(text.as_bytes(), "12345…".as_bytes());
    }

    #[test]
    fn shown_escaped() {
        assert_eq!(Text::<16>::from_bytes(b"a\nb\xff").to_string(), "a\\nb\\xff");
    }
}
