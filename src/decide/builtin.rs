//! The built-in lists: what hogwatch spares unless told otherwise (`victim.protect_builtin = false`).
//!
//! Every pattern is anchored and meets the process name, which the kernel cuts at 15 bytes: `systemd-journald` is
//! `systemd-journal` there.

/// The way in, and the system's own: never, if the process is root's or a system user's, or small.
pub const PROTECT: &[&str] = &[
    // Whoever runs everything else.
    r"^systemd(-[a-z-]+)?$",
    r"^\(sd-pam\)$",
    r"^(init|runit|runsvdir|s6-svscan|openrc-init|dinit|shepherd)$",
    r"^(udevd|\(udev-worker\)|eudev)$",
    // The admin's way in.
    r"^sshd(-session|-auth)?$",
    r"^(dropbear|mosh-server|login|agetty|getty|mingetty|fgetty)$",
    r"^(tmux(: (server|client))?|screen|SCREEN|zellij)$",
    r"^(sudo|su|doas|pkexec|polkitd|run0)$",
    r"^(tailscaled|cloudflared|zerotier-one|openvpn|wg-quick|teleport|qemu-ga|amazon-ssm-agen|ssm-agent-worke|google_guest_ag)$",
    r"^(NetworkManager|wpa_supplicant|iwd|dhclient|dhcpcd|connmand)$",
    // What the rest of the system hangs on.
    r"^(dbus-daemon|dbus-broker(-lau)?)$",
    r"^(containerd(-shim.*)?|dockerd|docker-proxy|conmon(rs)?|crio|kubelet|k3s-.*|runc|crun|podman)$",
    r"^(auditd|rsyslogd|syslog-ng|chronyd|ntpd|acpid)$",
    r"^(multipathd|iscsid|dmeventd|lvmpolld|mdadm|zed)$",
    // Guards do not shoot each other.
    r"^(hogwatch|earlyoom|nohang|oomd)$",
];

/// What systemd forks before it executes a service's program: `(agetty)`, of root.
pub const SYSTEMD_CHILD: &str = r"^\(.+\)$";

/// Whose death ends the whole graphical session: only when nothing else is left.
pub const AVOID: &[&str] = &[
    r"^(Xorg(\.bin|\.wrap)?|X|Xwayland|Xvnc|xrdp)$",
    r"^(gnome-shell|gnome-session-b|gdm3?|gdm-(x|wayland)-ses.*|mutter)$",
    r"^(kwin_(x11|wayland)|plasmashell|startplasma-.*|ksmserver|sddm(-helper)?)$",
    r"^(sway|Hyprland|weston|labwc|wayfire|river|niri|cosmic-comp|cage|gamescope)$",
    r"^(cinnamon(-session)?|xfce4-session|xfwm4|mate-session|marco|lxqt-session|budgie-.*|i3|openbox|awesome|bspwm|lightdm)$",
];

/// A process of an ordinary user is protected by a built-in *name* only while it is smaller than this (bytes): names are
/// its own choice, and a hog must not save itself by calling itself `sshd`. Real shells, sshd sessions and multiplexers
/// stay far below.
pub const NAME_TRUSTED_BELOW: u64 = 256 << 20;

/// User ids below this belong to the system (login.defs(5), `SYS_UID_MAX` + 1).
pub const FIRST_ORDINARY_UID: u32 = 1000;
