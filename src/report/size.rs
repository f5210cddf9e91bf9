//! How sizes, times and percents are said to a person.

use std::fmt;

/// Bytes in binary units as a person says them: `12.3 GiB`, `800 MiB`, `512 B`.
///
/// One decimal below 100, none above: three digits are what one needs to judge a size.
#[derive(Clone, Copy)]
pub struct Size(
    /// Bytes.
    pub u64,
);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        let mut unit = 1024_u128;
        for name in UNITS {
            let tenths = (u128::from(self.0) * 10 + unit / 2) / unit;
            let whole = (u128::from(self.0) + unit / 2) / unit;
            if tenths < 1000 {
                return write!(f, "{}.{} {name}", tenths / 10, tenths % 10);
            }
            if whole < 1024 {
                return write!(f, "{whole} {name}");
            }
            unit *= 1024;
        }
        unreachable!("u64::MAX is 16 EiB")
    }
}

/// A span as a person says it: `40 ms`, `0.2 s`, `12.0 s`.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub ms: u64,
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ms < 100 {
            return write!(f, "{} ms", self.ms);
        }
        let tenths = self.ms.saturating_add(50) / 100;
        write!(f, "{}.{} s", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        const MIB: u64 = 1 << 20;
        const GIB: u64 = 1 << 30;
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (800 * MIB, "800 MiB"),
            (99 * MIB + 980 * 1024, "100 MiB"),
            (1024 * MIB - 1, "1.0 GiB"),
            (12 * GIB + 307 * MIB, "12.3 GiB"),
            (12 * GIB, "12.0 GiB"),
            (512 * GIB, "512 GiB"),
            (u64::MAX, "16.0 EiB"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(Size(bytes).to_string(), expected, "{bytes}");
        }
    }

    #[test]
    fn spans() {
        let cases = [
            (0, "0 ms"),
            (99, "99 ms"),
            (100, "0.1 s"),
            (249, "0.2 s"),
            (250, "0.3 s"),
            (3000, "3.0 s"),
            (75_040, "75.0 s"),
        ];
        for (ms, expected) in cases {
            assert_eq!(Span { ms }.to_string(), expected, "{ms}");
        }
    }
}
