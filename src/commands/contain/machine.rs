//! What is here: users' slices and what they hold, docker, podman, and who else keeps containers.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::commands::daemon::systemctl::{DEADLINE, Systemctl};
use crate::observe::parse::{parse_cgroup_bytes, parse_limit, parse_meminfo, parse_memory_stat};

use super::docker;
use super::files::Tree;

/// Docker's configuration.
pub const DAEMON_JSON: &str = "/etc/docker/daemon.json";

/// Where distributions let the admin add options of dockerd's.
const DOCKER_OPTIONS: &[&str] = &["/etc/default/docker", "/etc/sysconfig/docker"];

/// Options of dockerd's that say what we would say in its file, or that it reads another file. Given twice, docker does not
/// start.
const DOCKER_CONFLICTS: &[&str] = &["--cgroup-parent", "--config-file", "native.cgroupdriver=cgroupfs"];

/// Units that tell who keeps containers or virtual machines here.
const KEEPERS: &[&str] = &[
    "docker.service",
    "snap.docker.dockerd.service",
    "podman.service",
    "libvirtd.service",
    "virtqemud.service",
    "containerd.service",
    "kubelet.service",
    "k3s.service",
];

/// Where podman (root's) and machined put what they run.
pub const MACHINES: &str = "machine.slice";

/// A user id that is nobody's in particular.
const NOBODY: u32 = 65534;

/// A machine, or a fixture of one.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Its files.
    pub tree: Tree,
    /// Its service manager.
    pub systemctl: Systemctl,
    /// User ids and names.
    pub names: Vec<(u32, Box<[u8]>)>,
}

/// What was seen of it.
#[derive(Clone, Debug)]
pub struct Facts {
    /// MemTotal, in bytes.
    pub total: u64,
    /// The slices of users who are here, root's left out, by user id.
    pub users: Vec<Slice>,
    /// Whether users' own service managers may set memory limits (`Delegate=` of `user@.service`). True where there are no
    /// such managers.
    pub delegated: bool,
    /// Docker.
    pub docker: Docker,
    /// The slices of docker and podman that are there.
    pub containers: Vec<Slice>,
    /// Units of [`KEEPERS`] that are installed.
    pub keepers: Vec<&'static str>,
}

/// A slice that is there, and its memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The unit's name.
    pub unit: String,
    /// The user id, of a user's.
    pub uid: Option<u32>,
    /// The user's name, or what stands for it.
    pub user: Option<String>,
    /// `memory.max`, in bytes; none is no limit.
    pub max: Option<u64>,
    /// `memory.swap.max`, in bytes; none is no limit.
    pub swap_max: Option<u64>,
    /// `memory.high`, in bytes; none is no limit.
    pub high: Option<u64>,
    /// What a cap can't take away without killing: memory and swap, without page cache.
    pub holds: u64,
    /// Whether the admin has given it a limit of its own by `systemctl set-property`: that wins over ours.
    pub set_property: bool,
}

/// Docker, as far as it concerns us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Docker {
    /// Not installed.
    Absent,
    /// Its containers can be put into a slice.
    Here,
    /// They can't, and why.
    Unusable(String),
}

impl Facts {
    /// Whether a unit of [`KEEPERS`] is installed.
    pub fn keeps(&self, unit: &str) -> bool {
        self.keepers.contains(&unit)
    }
}

impl Machine {
    /// Whether systemd runs here: `sd_booted(3)`.
    pub fn has_systemd(&self) -> bool {
        self.tree.has(Path::new("/run/systemd/system"))
    }

    /// Looks around.
    ///
    /// # Errors
    /// There is no systemd or no cgroup v2 with a memory controller, or one of them can't be read.
    pub fn look(&self) -> Result<Facts, String> {
        if !self.has_systemd() {
            return Err("systemd does not run here, and contain has no other way to put caps on users' sessions".into());
        }
        let controllers = self.text("/sys/fs/cgroup/cgroup.controllers").map_err(|_| {
            "there is no cgroup v2 at /sys/fs/cgroup: on cgroup v1 systemd can't bound swap, and a user could dodge the cap. \
             Boot with systemd.unified_cgroup_hierarchy=1"
        })?;
        if !controllers.split_whitespace().any(|name| name == "memory") {
            return Err(
                "/sys/fs/cgroup/cgroup.controllers: there is no memory controller; take cgroup_disable=memory off \
                        the kernel's command line, and cgroup v1 controllers off /sys/fs/cgroup"
                    .into(),
            );
        }
        let meminfo =
            parse_meminfo(self.text("/proc/meminfo")?.as_bytes()).map_err(|e| format!("/proc/meminfo: {e}"))?;
        let users = self.users()?;
        let (keepers, docker) = self.keepers()?;
        let containers = [docker::SLICE, MACHINES].iter().filter_map(|unit| self.slice(unit, None)).collect();
        Ok(Facts { total: meminfo.mem_total, delegated: self.delegated(&users)?, users, docker, containers, keepers })
    }

    /// A slice as it is now; none when it is not there. A user's slice is told by the user's number.
    pub fn slice(&self, unit: &str, uid: Option<u32>) -> Option<Slice> {
        let dir = match uid {
            Some(_) => PathBuf::from("/sys/fs/cgroup/user.slice").join(unit),
            None => PathBuf::from("/sys/fs/cgroup").join(unit),
        };
        // A slice may go while it is looked at.
        let file = |name: &str| fs::read(self.tree.at(&dir.join(name))).ok();
        let limit = |name: &str| parse_limit(&file(name)?).ok()?.bytes();
        let stat = file("memory.stat").and_then(|bytes| parse_memory_stat(&bytes).ok()).unwrap_or_default();
        let current = parse_cgroup_bytes(&file("memory.current")?).ok()?;
        let swap = file("memory.swap.current").and_then(|bytes| parse_cgroup_bytes(&bytes).ok()).unwrap_or(0);
        let own = |place: &str| self.tree.has(&Path::new(place).join(format!("{unit}.d/50-MemoryMax.conf")));
        Some(Slice {
            unit: unit.to_owned(),
            uid,
            user: uid.map(|uid| self.name(uid)),
            max: limit("memory.max"),
            // A kernel without swap has no such file.
            swap_max: file("memory.swap.max").map_or(Some(0), |bytes| parse_limit(&bytes).ok()?.bytes()),
            high: limit("memory.high"),
            holds: stat.held(current, swap),
            set_property: ["/etc/systemd/system.control", "/run/systemd/system.control"].into_iter().any(own),
        })
    }

    fn text(&self, path: &str) -> Result<String, String> {
        fs::read_to_string(self.tree.at(Path::new(path))).map_err(|e| format!("{path}: {e}"))
    }

    fn name(&self, uid: u32) -> String {
        let known = self.names.iter().find(|(known, _)| *known == uid);
        known.map_or_else(|| format!("uid {uid}"), |(_, name)| String::from_utf8_lossy(name).into_owned())
    }

    fn users(&self) -> Result<Vec<Slice>, String> {
        let uids = user_slices(&self.tree)?;
        Ok(uids.into_iter().filter_map(|uid| self.slice(&format!("user-{uid}.slice"), Some(uid))).collect())
    }

    fn delegated(&self, users: &[Slice]) -> Result<bool, String> {
        // Any user's instance tells about all; nobody's is asked when nobody is here.
        let uid = users.first().and_then(|slice| slice.uid).unwrap_or(NOBODY);
        let unit = format!("user@{uid}.service");
        let shown = self.systemctl.run(
            &["show", "--property=LoadState", "--property=DelegateControllers", &unit],
            Instant::now() + DEADLINE,
        )?;
        let there = property(&shown, "LoadState") == Some("loaded");
        let controllers = property(&shown, "DelegateControllers").unwrap_or_default();
        Ok(!there || controllers.split_whitespace().any(|name| name == "memory"))
    }

    fn keepers(&self) -> Result<(Vec<&'static str>, Docker), String> {
        let mut arguments = vec!["show", "--property=Id", "--property=LoadState", "--property=ExecStart"];
        arguments.extend(KEEPERS);
        let shown = self.systemctl.run(&arguments, Instant::now() + DEADLINE)?;
        let units = || shown.split("\n\n").filter(|unit| property(unit, "LoadState") == Some("loaded"));
        let ids: Vec<_> = units().filter_map(|unit| property(unit, "Id")).collect();
        let docker = units().find(|unit| property(unit, "Id") == Some("docker.service"));
        let docker = match docker.map(|unit| self.docker_options(property(unit, "ExecStart").unwrap_or_default())) {
            None => Docker::Absent,
            Some(None) => Docker::Here,
            Some(Some(why)) => Docker::Unusable(why),
        };
        Ok((KEEPERS.iter().copied().filter(|unit| ids.contains(unit)).collect(), docker))
    }

    /// What among docker's options is in the way.
    fn docker_options(&self, exec_start: &str) -> Option<String> {
        let files = DOCKER_OPTIONS.iter().filter_map(|path| Some((*path, self.text(path).ok()?)));
        let places = std::iter::once(("docker.service", exec_start.to_owned())).chain(files);
        let found = places.filter_map(|(place, text)| {
            let mut lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
            let option = lines.find_map(|line| DOCKER_CONFLICTS.iter().find(|option| line.contains(**option)))?;
            Some(format!("{place} starts dockerd with {option}"))
        });
        found.into_iter().next()
    }
}

/// The user ids whose slices are there, in order; root's is left out.
///
/// # Errors
/// They can't be listed.
pub fn user_slices(tree: &Tree) -> Result<Vec<u32>, String> {
    const DIR: &str = "/sys/fs/cgroup/user.slice";
    let entries = match fs::read_dir(tree.at(Path::new(DIR))) {
        // There is none before the first login.
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        entries => entries.map_err(|e| format!("{DIR}: {e}"))?,
    };
    let mut uids: Vec<u32> = entries.flatten().filter_map(|entry| uid(entry.file_name().to_str()?)).collect();
    uids.retain(|uid| *uid != 0);
    uids.sort_unstable();
    Ok(uids)
}

fn uid(unit: &str) -> Option<u32> {
    unit.strip_prefix("user-")?.strip_suffix(".slice")?.parse().ok()
}

/// A property as `systemctl show` prints it.
pub fn property<'a>(shown: &'a str, name: &str) -> Option<&'a str> {
    shown.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
}
