//! Lines, words and numbers: the one place where bytes are taken apart.

use super::{FileKind, Malformed};

/// The lines of `bytes` that end in a newline, without it. A tail without one is left out: see [`is_cut`].
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split_inclusive(|&byte| byte == b'\n').filter_map(|line| line.strip_suffix(b"\n"))
}

/// Whether the last line lacks its newline, that is, the buffer ended before the file did.
pub(super) fn is_cut(bytes: &[u8]) -> bool {
    bytes.last().is_some_and(|&byte| byte != b'\n')
}

/// What stands between the blanks and tabs of `line`.
pub(super) fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty())
}

/// `line` before and after its first `separator`.
pub(super) fn split_once(line: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = line.iter().position(|&byte| byte == separator)?;
    Some((line.get(..at)?, line.get(at + 1..)?))
}

/// An unsigned decimal number that fits `T`: digits and nothing else.
pub(super) fn unsigned<T: TryFrom<u64>>(word: &[u8]) -> Option<T> {
    if word.is_empty() {
        return None;
    }
    let number = word.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })?;
    T::try_from(number).ok()
}

/// A decimal number that fits `T`, with or without a minus sign.
pub(super) fn signed<T: TryFrom<i64>>(word: &[u8]) -> Option<T> {
    let number = match word.strip_prefix(b"-") {
        Some(digits) => 0_i64.checked_sub_unsigned(unsigned(digits)?)?,
        None => unsigned(word)?,
    };
    T::try_from(number).ok()
}

/// The bytes of `  1234 kB`: the kernel's kB are 1024 bytes.
pub(super) fn kilobytes(value: &[u8]) -> Option<u64> {
    let mut words = words(value);
    let (number, unit) = (words.next()?, words.next()?);
    if unit != b"kB" || words.next().is_some() {
        return None;
    }
    kib(number)
}

/// The bytes of a number of KiB.
pub(super) fn kib(number: &[u8]) -> Option<u64> {
    unsigned::<u64>(number)?.checked_mul(1024)
}

/// The one word of a file of one line.
pub(super) fn only_word(file: FileKind, bytes: &[u8]) -> Result<&[u8], Malformed> {
    let mut lines = lines(bytes);
    let line = lines.next().ok_or(file.missing("value"))?;
    let mut words = words(line);
    let word = words.next().ok_or(file.missing("value"))?;
    let more = words.next().is_some() || lines.next().is_some() || is_cut(bytes);
    if more { Err(file.unreadable("value")) } else { Ok(word) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsigned_takes_digits_only_and_checks_the_range() {
        let rows: [(&[u8], Option<u64>); 11] = [
            (b"0", Some(0)),
            (b"007", Some(7)),
            (b"18446744073709551615", Some(u64::MAX)),
            (b"18446744073709551616", None),
            (b"99999999999999999999999", None),
            (b"", None),
            (b"+1", None),
            (b"-1", None),
            (b"1 ", None),
            (b"0x10", None),
            (b"1\0", None),
        ];
        for (word, expected) in rows {
            assert_eq!(unsigned::<u64>(word), expected, "{word:?}");
        }
        assert_eq!(unsigned::<u8>(b"255"), Some(255));
        assert_eq!(unsigned::<u8>(b"256"), None);
    }

    #[test]
    fn signed_reaches_both_ends_of_its_range() {
        let rows: [(&[u8], Option<i64>); 8] = [
            (b"-1000", Some(-1000)),
            (b"1000", Some(1000)),
            (b"-9223372036854775808", Some(i64::MIN)),
            (b"-9223372036854775809", None),
            (b"9223372036854775807", Some(i64::MAX)),
            (b"9223372036854775808", None),
            (b"-", None),
            (b"--1", None),
        ];
        for (word, expected) in rows {
            assert_eq!(signed::<i64>(word), expected, "{word:?}");
        }
    }

    #[test]
    fn kilobytes_need_their_unit_and_must_fit() {
        let rows: [(&[u8], Option<u64>); 7] = [
            (b"       24 kB", Some(24 * 1024)),
            (b"\t  24 kB", Some(24 * 1024)),
            (b"24", None),
            (b"24 MB", None),
            (b"24 kB kB", None),
            (b"18014398509481983 kB", Some(u64::MAX - 1023)),
            (b"18014398509481984 kB", None),
        ];
        for (value, expected) in rows {
            assert_eq!(kilobytes(value), expected, "{value:?}");
        }
    }

    #[test]
    fn a_line_without_its_newline_is_no_line() {
        assert!(lines(b"").next().is_none());
        assert!(lines(b"cut").next().is_none());
        assert!(lines(b"one\n\nthree\ncut").eq([b"one".as_slice(), b"", b"three"]));
        assert!(is_cut(b"one\ncut") && !is_cut(b"one\n") && !is_cut(b""));
    }

    #[test]
    fn only_word_refuses_more_than_one() {
        assert_eq!(only_word(FileKind::OomScore, b" 12\n"), Ok(b"12".as_slice()));
        for bytes in [b"".as_slice(), b"12", b"\n", b" \n"] {
            assert_eq!(only_word(FileKind::OomScore, bytes), Err(FileKind::OomScore.missing("value")));
        }
        for bytes in [b"1 2\n".as_slice(), b"1\n2\n", b"1\n2"] {
            assert_eq!(only_word(FileKind::OomScore, bytes), Err(FileKind::OomScore.unreadable("value")));
        }
    }
}
