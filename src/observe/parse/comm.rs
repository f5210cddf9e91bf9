//! A process's name as the kernel keeps it.

use std::fmt;

use super::Escaped;

/// Longest name of a user's task: the kernel's `TASK_COMM_LEN` without the final NUL (`prctl(2)`, `PR_SET_NAME`).
const LONGEST: usize = 15;

/// A process name (`comm`), at most 15 bytes, chosen by the process itself: any bytes but NUL, newlines included.
///
/// Kernel workers report up to 63 bytes; theirs are cut to 15, as they are never candidates. A UTF-8 sequence that the
/// limit cut in two is dropped, so that patterns and journal see whole characters. `Display` escapes what could harm a
/// terminal or forge a line.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Comm {
    bytes: [u8; LONGEST],
    len: u8,
}

impl Comm {
    /// The name in `name`, cut to the limit.
    pub fn new(name: &[u8]) -> Self {
        let kept = match name.get(..LONGEST) {
            Some(limited) => without_cut_sequence(limited),
            None => name,
        };
        let mut comm = Self::default();
        for (to, from) in comm.bytes.iter_mut().zip(kept) {
            *to = *from;
            comm.len += 1;
        }
        comm
    }

    /// The name, unescaped.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl fmt::Display for Comm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaped(self.as_bytes()).fmt(f)
    }
}

impl fmt::Debug for Comm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Comm({self})")
    }
}

/// `name` without an unfinished UTF-8 sequence at its end. Bytes that are no UTF-8 at all stay.
fn without_cut_sequence(name: &[u8]) -> &[u8] {
    let tail = name.utf8_chunks().last().map(|chunk| chunk.invalid()).unwrap_or_default();
    let unfinished = std::str::from_utf8(tail).is_err_and(|error| error.error_len().is_none());
    if unfinished { name.strip_suffix(tail).unwrap_or(name) } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_cut_and_repaired() {
        let rows: [(&[u8], &[u8]); 8] = [
            (b"", b""),
            (b"bash", b"bash"),
            (b"exactly15bytes_", b"exactly15bytes_"),
            (b"kworker/u8:0-events_unbound", b"kworker/u8:0-ev"),
            // a sequence cut at the limit goes, one that a short name ends with stays
            ("überlängé→→".as_bytes(), "überlängé→".as_bytes()),
            (b"short\xe2\x86", b"short\xe2\x86"),
            (b"latin1 \xfc\xe9\xff name", b"latin1 \xfc\xe9\xff name"),
            (b"a\nb\0c", b"a\nb\0c"),
        ];
        for (name, expected) in rows {
            assert_eq!(Comm::new(name).as_bytes(), expected, "{name:?}");
        }
    }

    #[test]
    fn a_name_of_wide_characters_cut_anywhere_stays_valid_and_long() {
        for wide in ["é", "→", "🦀"] {
            for lead in 0..4 {
                let name = "x".repeat(lead) + &wide.repeat(15);
                let comm = Comm::new(name.as_bytes());
                let kept = std::str::from_utf8(comm.as_bytes()).expect("whole characters");
                assert!(name.starts_with(kept) && kept.len() + wide.len() > LONGEST, "{name}: {kept}");
            }
        }
    }

    #[test]
    fn display_escapes() {
        assert_eq!(Comm::new(b"a) Z 1 (\n\x1b[1m").to_string(), "a) Z 1 (\\n\\x1b[1m");
    }
}
