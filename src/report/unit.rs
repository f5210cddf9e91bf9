//! Which systemd unit a cgroup belongs to, from its path alone: asking systemd could block.

/// The kinds of unit that have a cgroup (systemd.resource-control(5)).
const SUFFIXES: [&[u8]; 6] = [b".service", b".scope", b".slice", b".socket", b".mount", b".swap"];

/// systemd's UNIT_NAME_MAX is 256 with the terminating NUL.
const UNIT_NAME_MAX: usize = 255;

/// The innermost unit of a cgroup path as the kernel shows it (`/user.slice/user-1000.slice/session-3.scope`).
///
/// A user's unit is found below its `user@1000.service`. systemd's escapes (`\x2d`) stay as they are; the `_` that
/// systemd puts before names which would clash with the kernel's files is taken off. `None` where no part of the path
/// is a unit's name: a container's own hierarchy, the root.
pub fn unit_of(cgroup: &[u8]) -> Option<&[u8]> {
    cgroup.rsplit(|&byte| byte == b'/').find_map(|part| {
        let name = part.strip_prefix(b"_").unwrap_or(part);
        is_unit(name).then_some(name)
    })
}

/// systemd.unit(5): "unit name prefix … must consist of one or more valid characters (ASCII letters, digits, `:`, `-`,
/// `_`, `.`, and `\`)"; `@` marks a template's instance.
fn is_unit(name: &[u8]) -> bool {
    let Some(prefix) = SUFFIXES.iter().find_map(|suffix| name.strip_suffix(*suffix)) else {
        return false;
    };
    !prefix.is_empty()
        && prefix[0] != b'@'
        && name.len() <= UNIT_NAME_MAX
        && prefix.iter().all(|c| c.is_ascii_alphanumeric() || b":-_.\\@".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_paths() {
        let cases: &[(&str, Option<&str>)] = &[
            ("/system.slice/ssh.service", Some("ssh.service")),
            ("/user.slice/user-1000.slice/session-3.scope", Some("session-3.scope")),
            ("/user.slice/user-1000.slice", Some("user-1000.slice")),
            ("/user.slice/user-1000.slice/user@1000.service/app.slice/foo.service", Some("foo.service")),
            ("/user.slice/user-1000.slice/user@1000.service/init.scope", Some("init.scope")),
            ("/system.slice/system-getty.slice/getty@tty1.service", Some("getty@tty1.service")),
            ("/system.slice/a\\x2db.service", Some("a\\x2db.service")),
            ("/system.slice/_cgroup.service", Some("cgroup.service")),
            ("/system.slice/docker-0a1b.scope/payload", Some("docker-0a1b.scope")),
            ("/system.slice/foo.service/.service", Some("foo.service")),
            ("/system.slice/foo.service/e vil.service", Some("foo.service")),
            ("/system.slice/foo.service/x\n.service", Some("foo.service")),
            ("/system.slice/foo.service/@x.service", Some("foo.service")),
            ("/docker/0a1b", None),
            ("/", None),
            ("", None),
        ];
        for (path, unit) in cases {
            assert_eq!(unit_of(path.as_bytes()), unit.map(str::as_bytes), "{path}");
        }
        let long = format!("/a.slice/{}.service", "x".repeat(250));
        assert_eq!(unit_of(long.as_bytes()), Some(&b"a.slice"[..]));
    }
}
