//! One record of `/dev/kmsg` (Documentation/ABI/testing/dev-kmsg): `prefix,sequence,usec,flags[,...];text`, then lines of
//! ` KEY=value`, which nobody here needs.

/// Who wrote a record, where the kernel notes it (`CONFIG_PRINTK_CALLER`): the thread `T123`, or the processor `C1` outside
/// of any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A thread, by its id.
    Task(u32),
    /// A processor, by its number.
    Cpu(u32),
}

/// A record whose text is still escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// syslog's facility (syslog(3)). 0 is the kernel itself; what a program writes into `/dev/kmsg` has another one,
    /// whatever it asks for.
    pub facility: u32,
    /// A fragment that continues the line before (flag `c`): another processor's line came in between.
    pub continues: bool,
    /// Who wrote it, if that is noted.
    pub caller: Option<Caller>,
    text: &'a [u8],
}

impl<'a> Record<'a> {
    /// Takes a record apart; `None` when it is none.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let at = bytes.iter().position(|&byte| byte == b';')?;
        let (head, text) = (&bytes[..at], &bytes[at + 1..]);
        // The text has no newline of its own: it is escaped.
        let text = &text[..text.iter().position(|&byte| byte == b'\n')?];
        let mut fields = head.split(|&byte| byte == b',');
        let priority: u32 = number(fields.next()?)?;
        let _sequence: u64 = number(fields.next()?)?;
        let _usec: u64 = number(fields.next()?)?;
        let flags = fields.next()?;
        let caller = fields.find_map(|field| field.strip_prefix(b"caller=")).and_then(Caller::parse);
        Some(Self { facility: priority >> 3, continues: flags.contains(&b'c'), caller, text })
    }

    /// The text as the kernel wrote it, appended to `out`: `\xNN` stands for a byte that is not printable, or a backslash.
    pub fn unescape(&self, out: &mut Vec<u8>) {
        let mut rest = self.text;
        while let Some((&byte, tail)) = rest.split_first() {
            let hex =
                tail.strip_prefix(b"x").and_then(|hex| hex.get(..2)).and_then(|hex| std::str::from_utf8(hex).ok());
            match hex.filter(|_| byte == b'\\').and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
                Some(escaped) => {
                    out.push(escaped);
                    rest = &tail[3..];
                }
                None => {
                    out.push(byte);
                    rest = tail;
                }
            }
        }
    }
}

impl Caller {
    fn parse(word: &[u8]) -> Option<Self> {
        let (&kind, id) = word.split_first()?;
        match kind {
            b'T' => number(id).map(Self::Task),
            b'C' => number(id).map(Self::Cpu),
            _ => None,
        }
    }
}

/// An unsigned decimal number: digits and nothing else.
pub(super) fn number<T: std::str::FromStr>(word: &[u8]) -> Option<T> {
    // `parse` alone would take a plus sign.
    word.first().filter(|byte| byte.is_ascii_digit())?;
    std::str::from_utf8(word).ok()?.parse().ok()
}

/// The same, with or without a minus sign.
pub(super) fn signed(word: &[u8]) -> Option<i32> {
    word.strip_prefix(b"-").unwrap_or(word).first().filter(|byte| byte.is_ascii_digit())?;
    std::str::from_utf8(word).ok()?.parse().ok()
}
