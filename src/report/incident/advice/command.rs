//! Commands to paste. Cgroups' names are anybody's choice, and who pastes is root: they are quoted.

use crate::report::unit_of;

/// The command that sets a property (`MemoryHigh=infinity`) of the unit this cgroup is; `None` when the cgroup is no unit
/// itself: it is part of one, or nobody of systemd's.
pub(super) fn set_property(cgroup: &str, property: &str) -> Option<String> {
    let unit = unit_of(cgroup.as_bytes()).and_then(|unit| std::str::from_utf8(unit).ok())?;
    let own = cgroup.rsplit('/').next()?;
    if own.strip_prefix('_').unwrap_or(own) != unit {
        return None;
    }
    let user = if is_users(cgroup) { " --user" } else { "" };
    Some(format!("systemctl{user} set-property {} {property}", quoted(unit)))
}

/// The command that writes a value to one of the cgroup's files.
pub(super) fn write_file(cgroup: &str, file: &str, value: &str) -> String {
    let path = format!("/sys/fs/cgroup/{}/{file}", cgroup.trim_matches('/'));
    format!("echo {value} > {}", quoted(&path))
}

/// [`set_property`], or else [`write_file`].
pub(crate) fn set(cgroup: &str, property: &str, file: (&str, &str)) -> String {
    set_property(cgroup, property).unwrap_or_else(|| write_file(cgroup, file.0, file.1))
}

/// Whether a user's own systemd manages it: it lives below that user's manager.
fn is_users(cgroup: &str) -> bool {
    cgroup.split('/').rev().skip(1).any(|part| part.starts_with("user@") && part.ends_with(".service"))
}

/// A word for a POSIX shell.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%_+=:,./-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// A size as systemd's properties take it, rounded down: `12G`, `3584M`.
pub(crate) fn systemd_size(bytes: u64) -> String {
    match bytes / step(bytes) * step(bytes) {
        bytes if bytes < 8 * GIB => format!("{}M", bytes / MIB),
        bytes => format!("{}G", bytes / GIB),
    }
}

/// The next size, in bytes, that [`systemd_size`] writes as it is: this one or a larger one.
pub(crate) fn round_up(bytes: u64) -> u64 {
    // None is no size to give anything.
    bytes.max(1).checked_next_multiple_of(step(bytes)).unwrap_or(u64::MAX)
}

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// What a size is a multiple of. Three digits are meant: a limit to the byte looks as if somebody had measured it.
fn step(bytes: u64) -> u64 {
    match bytes {
        0..GIB => MIB,
        GIB.. if bytes < 8 * GIB => 256 * MIB,
        _ => GIB,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_rounded_up_is_written_as_it_is() {
        let rows = [
            (0, "0M", "1M"),
            (512 << 10, "0M", "1M"),
            (MIB, "1M", "1M"),
            (GIB - 1, "1023M", "1024M"),
            (GIB + 1, "1024M", "1280M"),
            (8 * GIB - 1, "7936M", "8G"),
            (10 * GIB - 1, "9G", "10G"),
        ];
        for (bytes, down, up) in rows {
            assert_eq!((systemd_size(bytes).as_str(), systemd_size(round_up(bytes)).as_str()), (down, up), "{bytes}");
        }
    }
}
