//! Users and containers that nothing bounds.

use super::super::facts::Facts;
use super::super::facts::cgroups::{Group, Tree};
use super::super::{Finding, Severity};
use super::{MOST_NAMED, evidence};
use crate::report::incident::advice::systemd_size;

/// A user may take everything.
pub const USER_UNCAPPED: &str = "user-uncapped";

/// Logged-in users without a cap, root left out: root's shell is the way in when all else is at its limit.
pub fn user_uncapped(facts: &Facts) -> Vec<Finding> {
    let Some(tree) = &facts.cgroups else { return Vec::new() };
    let free = |group: &&Group| group.populated && group.user().is_some_and(|uid| uid != 0) && !is_capped(tree, group);
    let free: Vec<&Group> = tree.groups.iter().filter(free).collect();
    let size = facts.machine.total.map_or("16G".to_owned(), |total| systemd_size(total / 4 * 3));
    let why = "One runaway program of a user's takes the memory of everybody, and of the admin who comes to look. With a \
               cap it dies alone.";
    finding(USER_UNCAPPED, "users without a cap", &free, why, &format!("hogwatch contain --per-user {size} --apply"))
}

/// A container may take everything.
pub const CONTAINER_UNCAPPED: &str = "container-uncapped";

/// Running containers without a cap. A user's own are in that user's slice, and count there.
pub fn container_uncapped(facts: &Facts) -> Vec<Finding> {
    let Some(tree) = &facts.cgroups else { return Vec::new() };
    let in_user = |group: &Group| tree.above(group).any(|above| above.user().is_some());
    let free =
        |group: &&Group| group.populated && is_container(&group.path) && !in_user(group) && !is_capped(tree, group);
    let free: Vec<&Group> = tree.groups.iter().filter(free).collect();
    let why = "Containers are outside of the users' slices, and what bounds users does not bound them: one of them takes \
               the memory of the machine.";
    let size = |part: u64, otherwise: &str| {
        facts.machine.total.map_or(otherwise.to_owned(), |total| systemd_size(total / 4 * part))
    };
    // Containers are bounded together with users, never alone.
    let fix = format!("hogwatch contain --per-user {} --containers {} --apply", size(3, "16G"), size(2, "8G"));
    finding(CONTAINER_UNCAPPED, "containers without a cap", &free, why, &fix)
}

fn is_capped(tree: &Tree, group: &Group) -> bool {
    tree.above(group).chain([group]).any(|group| group.cap().is_some())
}

/// Whether a cgroup is one container's: by the names that engines give them, under systemd's driver
/// (`docker-ID.scope`) and under cgroupfs' (`/docker/ID`).
fn is_container(path: &str) -> bool {
    /// A container's id is a hash.
    const SHORTEST_ID: usize = 12;
    const SCOPES: [&str; 5] = ["docker-", "libpod-", "cri-containerd-", "crio-", "nerdctl-"];
    const PARENTS: [&str; 3] = ["docker", "libpod_parent", "containerd"];
    let (above, name) = path.rsplit_once('/').unwrap_or_default();
    let is_id = |id: &str| id.len() >= SHORTEST_ID && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let scope =
        |prefix: &str| name.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(".scope")).is_some_and(is_id);
    let parent = above.rsplit('/').next().unwrap_or_default();
    SCOPES.iter().any(|prefix| scope(prefix))
        || (PARENTS.contains(&parent) && is_id(name.strip_prefix("libpod-").unwrap_or(name)))
        || name.starts_with("lxc.payload.")
        || (parent == "machine.slice" && name.starts_with("systemd-nspawn@"))
}

fn finding(id: &'static str, what: &str, free: &[&Group], why: &'static str, command: &str) -> Vec<Finding> {
    let Some(first) = free.first() else { return Vec::new() };
    let paths: Vec<&str> = free.iter().take(MOST_NAMED).map(|group| group.path.as_str()).collect();
    let more = if free.len() > 1 { format!(" and {} more", free.len() - 1) } else { String::new() };
    vec![Finding {
        id,
        severity: Severity::Warning,
        title: format!("{what}: {}{more}", first.path),
        evidence: evidence([
            ("cgroups", paths.into()),
            ("count", free.len().into()),
            ("memory.max of each, and above it", "max".into()),
        ]),
        why,
        fix: format!("  {command}"),
    }]
}

/// A user's own systemd may not limit memory.
pub const MEMORY_NOT_DELEGATED: &str = "memory-not-delegated";

/// `user@UID.service` without the memory controller.
pub fn memory_not_delegated(facts: &Facts) -> Vec<Finding> {
    let Some(tree) = &facts.cgroups else { return Vec::new() };
    // Without it at the top there is nothing to delegate, which is said elsewhere.
    if tree.group("/").is_none_or(|root| !root.has_memory) {
        return Vec::new();
    }
    let is_manager = |group: &&Group| group.name().starts_with("user@") && group.name().ends_with(".service");
    let without = tree.groups.iter().filter(is_manager).filter(|group| group.populated && !group.has_memory);
    let finding = |group: &Group| Finding {
        id: MEMORY_NOT_DELEGATED,
        severity: Severity::Warning,
        title: format!("{} can't limit memory: the controller is not delegated to it", group.name()),
        evidence: evidence([("cgroup", group.path.as_str().into()), ("cgroup.controllers", "without memory".into())]),
        why: "Limits that this user sets are silently none: of `hogwatch run`, of `systemd-run --user`, of containers \
              without root.",
        fix: "/etc/systemd/system/user@.service.d/delegate.conf, then `systemctl daemon-reload` and a new login:\n  \
              [Service]\n  Delegate=cpu memory pids"
            .to_owned(),
    };
    without.map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::is_container;

    #[test]
    fn containers_are_known_by_their_cgroups() {
        let id = "3f4e8c9d2b1a3f4e8c9d2b1a3f4e8c9d2b1a3f4e8c9d2b1a3f4e8c9d2b1a3f4e";
        for path in [
            format!("/system.slice/docker-{id}.scope"),
            format!("/docker/{id}"),
            format!("/machine.slice/libpod-{id}.scope"),
            format!("/libpod_parent/libpod-{id}"),
            format!(
                "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1.slice/cri-containerd-{id}.scope"
            ),
            "/lxc.payload.web".to_owned(),
            "/machine.slice/systemd-nspawn@web.service".to_owned(),
        ] {
            assert!(is_container(&path), "{path}");
        }
        for path in [
            "/",
            "/docker",
            "/system.slice/docker.service",
            "/system.slice/docker-cleanup.scope",
            "/machine.slice/machine-qemu\\x2d1\\x2dweb.scope",
            "/machine.slice/libpod-conmon-3f4e8c9d2b1a.scope",
        ] {
            assert!(!is_container(path), "{path}");
        }
    }
}
