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
