//! What shall be: the drop-ins, what has to be said about them, and what forbids them. Pure, over what was seen.

use std::path::PathBuf;

use crate::config::units::write_size;
use crate::report::Size;

use super::docker;
use super::machine::{Docker, Facts, MACHINES, Slice};

/// The name of all our drop-ins. Drop-ins are read in the order of their names, whatever directory they are in
/// (systemd.unit(5)): behind a distribution's own (`10-defaults.conf`), before those of `systemctl set-property`
/// (`50-MemoryMax.conf`), which therefore makes an exception for one user.
pub const DROP_IN: &str = "40-hogwatch.conf";

/// Where they are.
const UNITS: &str = "/etc/systemd/system";

/// The first line of each. Whoever finds one without a record knows it by this.
pub const MARK: &str =
    "# Written by \"hogwatch contain\". To change it run that again; \"hogwatch contain --revert\" takes it away.";

/// The least a user may be given: a login with a shell, an editor and its own service manager needs some 50 MiB; below
/// this the cap would keep people out, not hogs.
pub const LEAST: u64 = 256 << 20;

/// Twice the default of user.slice beside it: when the processor or a disk is short, services get two thirds of it and all
/// users together one third. That keeps sshd, journald and systemd quick whatever users do; more would let one busy
/// service starve the users in turn. Nothing changes while there is enough for all.
const FAVOURED_WEIGHT: u32 = 200;

/// A cap this much above what is held already: an eighth of it, for what is taken between the look and the cap, and
/// because programs run from page cache too. Lowering memory.max below what is held kills at once.
const MARGIN: u64 = 8;

/// Of the machine's memory, for the kernel and services: a tenth, which is what the guard takes for little (`warn`).
const RESERVE: u64 = 10;

/// How much who may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes for each user, all sessions together.
    pub per_user: u64,
    /// Bytes for all containers of docker's, and as much for all of root's podman.
    pub containers: Option<u64>,
}

/// The drop-ins, by path; with `delegate`, users' own service managers are given the memory controller.
pub fn drop_ins(facts: &Facts, sizes: Sizes, delegate: bool) -> Vec<(PathBuf, String)> {
    let cap =
        |bytes: u64| format!("[Slice]\nMemoryMax={}\nMemorySwapMax=0\nMemoryHigh=infinity\n", systemd_size(bytes));
    let mut all = vec![
        (
            place("user-.slice"),
            format!(
                "{MARK}\n# For each user. Without swap, and not slowed down before: at the cap the kernel kills, and nothing \
                 thrashes.\n# More for one user:  systemctl set-property user-UID.slice MemoryMax=...\n{}",
                cap(sizes.per_user)
            ),
        ),
        (
            place("user-0.slice"),
            format!(
                "{MARK}\n# Root's own sessions stay without a cap: of drop-ins of one name systemd reads this one, not \
                 user-.slice.d's.\n[Slice]\n"
            ),
        ),
        (
            place("system.slice"),
            format!(
                "{MARK}\n# Services before users, where the processor or a disk is short.\n[Slice]\nCPUWeight={FAVOURED_WEIGHT}\n\
                 IOWeight={FAVOURED_WEIGHT}\n"
            ),
        ),
    ];
    if delegate {
        let text = "# Users' own service managers may set caps below theirs.\n[Service]\nDelegate=memory\n";
        all.push((place("user@.service"), format!("{MARK}\n{text}")));
    }
    for unit in capped_containers(facts, sizes) {
        let text = "# All containers together.\n";
        all.push((place(unit), format!("{MARK}\n{text}{}", cap(sizes.containers.unwrap_or_default()))));
    }
    all
}

/// Where the drop-in of a unit is.
pub fn place(unit: &str) -> PathBuf {
    PathBuf::from(format!("{UNITS}/{unit}.d/{DROP_IN}"))
}

/// The slices of containers that get a cap.
pub fn capped_containers(facts: &Facts, sizes: Sizes) -> Vec<&'static str> {
    let docker = (facts.docker == Docker::Here).then_some(docker::SLICE);
    let podman = (facts.keeps("podman.service") && !has_virtual_machines(facts)).then_some(MACHINES);
    let both = docker.into_iter().chain(podman);
    if sizes.containers.is_some() { both.collect() } else { vec![] }
}

/// Why these sizes can't be on this machine at all.
///
/// # Errors
/// That reason, with what to do.
pub fn possible(facts: &Facts, sizes: Sizes) -> Result<(), String> {
    for (option, bytes) in [("--per-user", Some(sizes.per_user)), ("--containers", sizes.containers)] {
        if let Some(bytes) = bytes.filter(|bytes| *bytes > facts.total) {
            return Err(format!(
                "{option} {}: this machine has {}, so that cap would never be met; give less",
                write_size(bytes),
                Size(facts.total)
            ));
        }
    }
    match (&facts.docker, sizes.containers) {
        (Docker::Unusable(why), Some(_)) => Err(format!(
            "docker's containers can't be put into {}: {why}; change that, or leave --containers out",
            docker::SLICE
        )),
        _ => Ok(()),
    }
}

/// Why the caps can't be set now: who holds too much, and what to do about it.
pub fn too_full(facts: &Facts, sizes: Sizes) -> Vec<String> {
    let users =
        facts.users.iter().filter(|slice| !slice.set_property).map(|slice| (slice, "--per-user", sizes.per_user));
    let capped = capped_containers(facts, sizes);
    let containers = facts.containers.iter().filter(|slice| capped.contains(&slice.unit.as_str()));
    let containers = containers.filter_map(|slice| Some((slice, "--containers", sizes.containers?)));
    let lowered = users.chain(containers).filter(|(slice, _, cap)| slice.max.is_none_or(|max| max > *cap));
    let full = lowered.filter(|(slice, _, cap)| slice.holds > cap - cap / MARGIN);
    full.map(|(slice, option, cap)| {
        let needed = slice.holds.saturating_add(slice.holds / (MARGIN - 1)).div_ceil(LEAST) * LEAST;
        let exception = match slice.user {
            Some(_) => format!(", or make an exception (systemctl set-property {} MemoryMax=...)", slice.unit),
            None => String::new(),
        };
        format!(
            "{} holds {}, and a cap of {} needs {} of room: lowered below what is held, it kills at once. End something there \
             (systemd-cgls --unit {}), give {option} {} or more{exception}",
            named(slice),
            Size(slice.holds),
            Size(cap),
            Size(cap / MARGIN),
            slice.unit,
            systemd_size(needed),
        )
    })
    .collect()
}

/// What one should know about these caps on this machine.
pub fn remarks(facts: &Facts, sizes: Sizes) -> Vec<String> {
    let mut said = Vec::new();
    let users = u64::try_from(facts.users.len()).unwrap_or(u64::MAX).max(1);
    let containers = u64::try_from(capped_containers(facts, sizes).len()).unwrap_or(u64::MAX);
    let sum = users.saturating_mul(sizes.per_user);
    let sum = sum.saturating_add(containers.saturating_mul(sizes.containers.unwrap_or(0)));
    let room = facts.total - facts.total / RESERVE;
    if sum > room {
        said.push(format!(
            "{users} {} may take {} together{}, of {} that this machine has beside a reserve of a tenth: the caps bound each of \
             them, not all at once; hogwatch's daemon acts when the machine as a whole runs short",
            if users == 1 { "user" } else { "users" },
            Size(sum),
            if containers > 0 { " with containers" } else { "" },
            Size(room),
        ));
    }
    for slice in facts.users.iter().filter(|slice| slice.set_property) {
        said.push(format!("{} has a limit of its own by systemctl set-property, which stays", named(slice)));
    }
    said.extend(about_containers(facts, sizes));
    said
}

fn about_containers(facts: &Facts, sizes: Sizes) -> Vec<String> {
    let docker = facts.docker != Docker::Absent;
    let podman = facts.keeps("podman.service");
    let mut said = Vec::new();
    if sizes.containers.is_none() && (docker || podman) {
        let who = match (docker, podman) {
            (true, true) => "docker and root's podman",
            (true, false) => "docker",
            _ => "root's podman",
        };
        said.push(format!(
            "containers of {who} are in nobody's user slice and get no cap: whoever may start a container escapes the user's \
             cap; --containers SIZE bounds them"
        ));
    }
    if sizes.containers.is_some() && !docker && !podman {
        said.push("--containers bounds nothing: neither docker nor podman is installed".into());
    }
    if sizes.containers.is_some() && podman && has_virtual_machines(facts) {
        said.push(format!("{MACHINES} is left alone: libvirt's virtual machines are in it beside podman's containers"));
    }
    if facts.keeps("snap.docker.dockerd.service") {
        said.push("docker's snap is left alone: its configuration is its own (snap.docker.dockerd.service)".into());
    }
    if facts.keeps("kubelet.service") || facts.keeps("k3s.service") {
        said.push("Kubernetes is left alone: bound its pods by kubelet's --system-reserved and --kube-reserved".into());
    } else if facts.keeps("containerd.service") {
        said.push("containers that containerd runs for others than docker (nerdctl, ctr) are left alone".into());
    }
    said
}

fn has_virtual_machines(facts: &Facts) -> bool {
    facts.keeps("libvirtd.service") || facts.keeps("virtqemud.service")
}

/// A slice, as a person knows it.
pub fn named(slice: &Slice) -> String {
    match &slice.user {
        Some(user) => format!("{} ({user})", slice.unit),
        None => slice.unit.clone(),
    }
}

/// As systemd reads sizes: `16G`.
fn systemd_size(bytes: u64) -> String {
    write_size(bytes).replace(' ', "").replace("iB", "").replace('B', "")
}
