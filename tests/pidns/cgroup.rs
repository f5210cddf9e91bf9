//! Control groups of the test's own, on whichever hierarchy the machine has memory control.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::hog::wait_for;
use crate::namespace::Inside;

/// Where cgroups are mounted.
const ROOT: &str = "/sys/fs/cgroup";

/// The hierarchies that a test cgroup has a directory in.
#[derive(Clone)]
struct Hierarchies {
    /// The one that limits memory.
    memory: PathBuf,
    /// The unified one beside it, where the machine has both.
    unified: Option<PathBuf>,
    /// The name of the limit's file in the first.
    limit_file: &'static str,
}

impl Hierarchies {
    fn find() -> Result<Self, String> {
        let root = Path::new(ROOT);
        if root.join("memory/memory.limit_in_bytes").exists() {
            let unified = root.join("unified");
            let unified = unified.join("cgroup.procs").exists().then_some(unified);
            return Ok(Hierarchies { memory: root.join("memory"), unified, limit_file: "memory.limit_in_bytes" });
        }
        match fs::read_to_string(root.join("cgroup.subtree_control")) {
            Ok(list) if list.split_whitespace().any(|name| name == "memory") => {
                Ok(Hierarchies { memory: root.to_owned(), unified: None, limit_file: "memory.max" })
            }
            _ => Err(format!("no memory controller below {ROOT}")),
        }
    }

    fn below(&self, name: &str) -> Self {
        Hierarchies {
            memory: self.memory.join(name),
            unified: self.unified.as_ref().map(|root| root.join(name)),
            limit_file: self.limit_file,
        }
    }

    fn directories(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(self.memory.as_path()).chain(self.unified.as_deref())
    }
}

/// A cgroup that this test made. It is removed, its processes killed first, when it goes out of scope.
pub struct Cgroup {
    at: Hierarchies,
    /// As `/proc/PID/cgroup` names it.
    pub name: String,
}

impl Cgroup {
    /// A new cgroup directly below the root; `Err` says why there can be none.
    pub fn new(inside: &Inside) -> Result<Self, String> {
        if !inside.is_real_root() {
            return Err("only the machine's root can make cgroups".into());
        }
        let namespace = fs::read_link("/proc/self/ns/pid").expect("/proc/self/ns/pid");
        let number: String = namespace.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
        let name = format!("hogwatch-test-{number}");
        Cgroup::make(Hierarchies::find()?.below(&name), format!("/{name}")).map_err(|e| format!("/{name}: {e}"))
    }

    /// A cgroup below this one.
    pub fn child(&self, name: &str) -> Self {
        Cgroup::make(self.at.below(name), format!("{}/{name}", self.name)).expect("a child cgroup")
    }

    fn make(at: Hierarchies, name: String) -> Result<Self, std::io::Error> {
        for directory in at.directories() {
            fs::create_dir(directory)?;
        }
        Ok(Cgroup { at, name })
    }

    /// Limits its memory, and that of everything below it.
    pub fn limit(&self, mib: u64) {
        let Hierarchies { memory, limit_file, .. } = &self.at;
        // cgroup v2 hands control on level by level; v1 has it everywhere.
        if *limit_file == "memory.max" {
            let parent = memory.parent().expect("a parent");
            fs::write(parent.join("cgroup.subtree_control"), "+memory").expect("memory control");
        }
        fs::write(memory.join(limit_file), (mib << 20).to_string()).expect("set the limit");
    }

    /// A command prefix that joins this cgroup and becomes the rest of the command.
    pub fn joining(&self) -> Vec<String> {
        let mut script = String::new();
        for directory in self.at.directories() {
            script += &format!("echo $$ >{}/cgroup.procs && ", directory.display());
        }
        ["sh", "-c", &format!("{script}exec \"$@\""), "sh"].map(str::to_owned).to_vec()
    }

    /// The processes in it, as far as this PID namespace can see them.
    pub fn processes(&self) -> Vec<Pid> {
        let text = fs::read_to_string(self.at.memory.join("cgroup.procs")).expect("cgroup.procs");
        let pids = text.lines().map(|line| line.parse().expect("a pid"));
        // cgroup v2 shows processes of other namespaces as 0, which to kill(2) means the caller's own process group.
        pids.filter(|&pid| pid > 0).map(Pid::from_raw).collect()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let removed = wait_for(|| {
            for pid in self.processes() {
                // It may be gone already.
                let _ = kill(pid, Signal::SIGKILL);
            }
            // A group that has just been emptied may still be busy for a moment.
            self.at.directories().filter(|dir| dir.exists()).all(|dir| fs::remove_dir(dir).is_ok())
        });
        if !removed {
            eprintln!("could not remove the cgroup {}", self.name);
        }
    }
}
