//! Where a survey begins.

use crate::host::Host;
use crate::observe::cgroups::{ancestors, open};

/// The topmost cgroup that this process should follow: the root when it may signal everybody (`everybody`), else the
/// topmost one of those it is in (`own`) that its user owns, that is, the one systemd delegated to the user's manager;
/// from a session, which is not below that, the manager's own. `None` where there is no such cgroup.
#[must_use]
pub fn top_for(host: &Host, own: &[u8], everybody: bool) -> Option<Vec<u8>> {
    let root = host.cgroup2.as_ref()?;
    if everybody {
        return Some(b"/".to_vec());
    }
    let uid = nix::unistd::geteuid().as_raw();
    let is_ours = |path: &[u8]| open(root, path).and_then(|dir| dir.owner()).is_ok_and(|owner| owner == uid);
    let manager = format!("/user.slice/user-{uid}.slice/user@{uid}.service").into_bytes();
    let topmost = ancestors(own).chain([&b"/"[..]]).take_while(|path| is_ours(path)).last();
    topmost.map(<[u8]>::to_vec).or_else(|| is_ours(&manager).then_some(manager))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::chown;

    use super::*;
    use crate::host::Roots;

    #[test]
    fn a_user_begins_at_what_was_delegated() {
        let tree = tempfile::tempdir().unwrap();
        let root = tree.path().join("sys/fs/cgroup");
        let uid = nix::unistd::geteuid().as_raw();
        let slice = format!("/user.slice/user-{uid}.slice");
        let manager = format!("{slice}/user@{uid}.service");
        let deep = format!("{manager}/app.slice/hogwatch.service");
        std::fs::create_dir_all(root.join(&deep[1..])).unwrap();
        std::fs::create_dir_all(tree.path().join("proc")).unwrap();
        std::fs::write(root.join("cgroup.controllers"), "memory\n").unwrap();
        let host = Host::open(&Roots { proc: tree.path().join("proc"), sys: tree.path().join("sys") }).unwrap();
        let top = |own: &str, everybody| top_for(&host, own.as_bytes(), everybody);
        assert_eq!(top(&deep, true).as_deref(), Some(&b"/"[..]));
        assert_eq!(top("/", false).as_deref(), Some(&b"/"[..]), "a container's root may be its user's own");
        // Only root can give directories away; nobody else's tree has foreign ones above its own.
        if uid == 0 {
            let foreign = |path: &str| chown(root.join(&path[1..]), Some(1), None).unwrap();
            for path in ["/", "/user.slice", &slice] {
                foreign(path);
            }
            assert_eq!(top(&deep, false).as_deref(), Some(manager.as_bytes()));
            assert_eq!(top(&format!("{slice}/session-1.scope"), false).as_deref(), Some(manager.as_bytes()));
            foreign(&manager);
            assert_eq!(top(&manager, false), None);
        } else {
            assert_eq!(top(&deep, false).as_deref(), Some(&b"/"[..]));
        }
    }
}
