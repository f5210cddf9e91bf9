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
    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;
    // Three digits are meant: a limit to the byte looks as if somebody had measured it.
    match bytes {
        0..GIB => format!("{}M", bytes / MIB),
        GIB.. if bytes < 8 * GIB => format!("{}M", bytes / (256 * MIB) * 256),
        _ => format!("{}G", bytes / GIB),
    }
}
