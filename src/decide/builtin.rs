//! The built-in lists: what hogwatch spares unless told otherwise (`victim.protect_builtin = false`).
//!
//! They are regexes for whoever reads them (`config show`), of two simple kinds only, so that checking a name takes no
//! automaton. Every one meets the process name, which the kernel cuts at 15 bytes: `systemd-journald` is `systemd-journal`
//! there.

use std::fmt;

use Name::{Begins, Is};

/// A built-in pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// The whole name.
    Is(&'static str),
    /// How the name begins.
    Begins(&'static str),
}

impl Name {
    /// Whether a process name meets it.
    #[must_use]
    pub fn meets(self, name: &[u8]) -> bool {
        match self {
            Is(whole) => name == whole.as_bytes(),
            Begins(beginning) => name.starts_with(beginning.as_bytes()),
        }
    }
}

/// As the regex that means the same.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (text, end) = match self {
            Is(text) => (text, "$"),
            Begins(text) => (text, ""),
        };
        f.write_str("^")?;
        for c in text.chars() {
            if matches!(c, '(' | ')' | '.' | '+') {
                f.write_str("\\")?;
            }
            write!(f, "{c}")?;
        }
        f.write_str(end)
    }
}

/// The position of the first pattern of `list` that a process name meets.
#[must_use]
pub fn find(list: &[Name], name: &[u8]) -> Option<u16> {
    list.iter().position(|pattern| pattern.meets(name)).and_then(|n| u16::try_from(n).ok())
}

/// The way in, and the system's own: never, if the process is root's or a system user's, or small.
pub const PROTECT: &[Name] = &[
    // Whoever runs everything else.
    Is("systemd"),
    Begins("systemd-"),
    Is("(sd-pam)"),
    Is("init"),
    Is("runit"),
    Begins("runsv"),
    Is("s6-svscan"),
    Begins("openrc"),
    Is("dinit"),
    Is("shepherd"),
    Is("udevd"),
    Is("eudev"),
    Is("(udev-worker)"),
    // The admin's way in.
    Is("sshd"),
    Begins("sshd-"),
    Is("dropbear"),
    Is("mosh-server"),
    Is("login"),
    Is("agetty"),
    Is("getty"),
    Is("mingetty"),
    Is("fgetty"),
    Is("tmux"),
    Begins("tmux: "),
    Is("screen"),
    Is("SCREEN"),
    Is("zellij"),
    Is("sudo"),
    Is("su"),
    Is("doas"),
    Is("run0"),
    Is("pkexec"),
    Is("polkitd"),
    Is("tailscaled"),
    Is("cloudflared"),
    Begins("zerotier-one"),
    Is("openvpn"),
    Is("teleport"),
    Is("qemu-ga"),
    Begins("amazon-ssm-"),
    Begins("ssm-agent-"),
    Begins("google_guest_"),
    Is("NetworkManager"),
    Is("wpa_supplicant"),
    Is("iwd"),
    Is("dhclient"),
    Is("dhcpcd"),
    Is("connmand"),
    // What the rest of the system hangs on.
    Is("dbus-daemon"),
    Begins("dbus-broker"),
    Begins("containerd"),
    Is("dockerd"),
    Is("docker-proxy"),
    Begins("conmon"),
    Is("crio"),
    Is("kubelet"),
    Begins("k3s-"),
    Is("runc"),
    Is("crun"),
    Is("podman"),
    Is("auditd"),
    Is("rsyslogd"),
    Is("syslog-ng"),
    Is("chronyd"),
    Is("ntpd"),
    Is("acpid"),
    Is("multipathd"),
    Is("iscsid"),
    Is("dmeventd"),
    Is("lvmpolld"),
    Is("mdadm"),
    Is("zed"),
    // Guards do not shoot each other.
    Is("hogwatch"),
    Is("earlyoom"),
    Is("nohang"),
    Is("oomd"),
];

/// Whose death ends the whole graphical session: only when nothing else is left.
pub const AVOID: &[Name] = &[
    Is("Xorg"),
    Begins("Xorg."),
    Is("X"),
    Is("Xwayland"),
    Is("Xvnc"),
    Is("xrdp"),
    Is("gnome-shell"),
    Begins("gnome-session"),
    Begins("gdm"),
    Is("mutter"),
    Begins("kwin_"),
    Is("plasmashell"),
    Begins("startplasma"),
    Is("ksmserver"),
    Begins("sddm"),
    Is("lightdm"),
    Is("sway"),
    Is("Hyprland"),
    Is("weston"),
    Is("labwc"),
    Is("wayfire"),
    Is("river"),
    Is("niri"),
    Is("cosmic-comp"),
    Is("cage"),
    Begins("gamescope"),
    Begins("cinnamon"),
    Is("xfce4-session"),
    Is("xfwm4"),
    Is("mate-session"),
    Is("marco"),
    Is("lxqt-session"),
    Begins("budgie-"),
    Is("i3"),
    Is("openbox"),
    Is("awesome"),
    Is("bspwm"),
];

/// What systemd forks before it executes a service's program, `(agetty)`, of root: its own, as the built-in list has it.
#[must_use]
pub fn is_systemd_child(name: &[u8]) -> bool {
    name.len() > 2 && name.starts_with(b"(") && name.ends_with(b")")
}

/// [`is_systemd_child`] as a regex, for whoever reads it.
pub const SYSTEMD_CHILD: &str = r"^\(.+\)$";

/// A process of an ordinary user is protected by a built-in *name* only while it is smaller than this (bytes): names are
/// its own choice, and a hog must not save itself by calling itself `sshd`. Real shells, sshd sessions and multiplexers
/// stay far below.
pub const NAME_TRUSTED_BELOW: u64 = 256 << 20;

/// User ids below this belong to the system (login.defs(5), `SYS_UID_MAX` + 1).
pub const FIRST_ORDINARY_UID: u32 = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::compile;

    /// `config show` prints regexes, the guard compares names: they must mean the same.
    #[test]
    fn a_pattern_and_its_regex_mean_the_same() {
        for pattern in PROTECT.iter().chain(AVOID) {
            let regex = compile(&pattern.to_string()).unwrap();
            for other in PROTECT.iter().chain(AVOID) {
                let (Is(text) | Begins(text)) = *other;
                for name in [text.to_owned(), format!("{text}x"), format!("x{text}"), text[1..].to_owned()] {
                    assert_eq!(pattern.meets(name.as_bytes()), regex.is_match(name.as_bytes()), "{pattern} on {name}");
                }
            }
        }
        let regex = compile(SYSTEMD_CHILD).unwrap();
        for name in ["(agetty)", "()", "(x)", "(x", "x)", "", "(", ")", "a(b)"] {
            assert_eq!(is_systemd_child(name.as_bytes()), regex.is_match(name.as_bytes()), "{name}");
        }
    }

    /// A name longer than the kernel keeps would never be met.
    #[test]
    fn no_pattern_is_longer_than_a_name_can_be() {
        for pattern in PROTECT.iter().chain(AVOID) {
            let (Is(text) | Begins(text)) = pattern;
            assert!(text.len() <= 15, "{text}");
        }
    }

    #[test]
    fn the_lists_know_their_names() {
        for name in ["systemd", "systemd-journal", "sshd", "sshd-session", "tmux: server", "dbus-daemon", "hogwatch"] {
            assert!(find(PROTECT, name.as_bytes()).is_some(), "{name}");
        }
        for name in ["sshdx", "xsshd", "python3", "systemd1", "hog", ""] {
            assert_eq!(find(PROTECT, name.as_bytes()), None, "{name}");
        }
        assert!(find(AVOID, b"Xorg").is_some() && find(AVOID, b"gnome-shell").is_some());
        assert_eq!(find(AVOID, b"Xorgy"), None);
    }
}
