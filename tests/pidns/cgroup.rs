//! Control groups of the test's own, on whichever hierarchy the machine has memory control.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::namespace::Inside;

/// A cgroup that is removed again (its processes are killed first) when it goes out of scope.
pub struct Cgroup {
    /// Its directory in the hierarchy that limits memory.
    memory: PathBuf,
    /// Its directory in the unified hierarchy beside it, where the machine has both.
    unified: Option<PathBuf>,
    limit_file: &'static str,
    /// As `/proc/PID/cgroup` names it.
    pub name: String,
}

impl Cgroup {
    /// A new cgroup directly below the root; `Err` says why there can be none.
    pub fn new(inside: &Inside) -> Result<Self, String> {
        if !inside.is_real_root() {
            return Err("only the machine's root can make cgroups".into());
        }
        let name = format!(
            "/hogwatch-test-{}",
            fs::read_link("/proc/self/ns/pid").expect("ns").display()
        );
        let name = name.replace([':', '[', ']'], "");
        let root = Path::new("/sys/fs/cgroup");
        let (memory, unified, limit_file) = if root.join("memory/memory.limit_in_bytes").exists() {
            let unified = root.join("unified");
            (
                root.join("memory"),
                unified.join("cgroup.procs").exists().then_some(unified),
                "memory.limit_in_bytes",
            )
        } else if fs::read_to_string(root.join("cgroup.subtree_control"))
            .is_ok_and(|list| list.contains("memory"))
        {
            (root.to_owned(), None, "memory.max")
        } else {
            return Err("no memory controller below /sys/fs/cgroup".into());
        };
        Cgroup {
            memory,
            unified,
            limit_file,
            name: String::new(),
        }
        .child(&name)
        .map_err(|e| format!("{name}: {e}"))
    }

    /// A cgroup below this one.
    pub fn child(&self, name: &str) -> Result<Self, std::io::Error> {
        let name = format!("/{}", name.trim_start_matches('/'));
        let below = |directory: &Path| directory.join(&name[1..]);
        let child = Cgroup {
            memory: below(&self.memory),
            unified: self.unified.as_deref().map(below),
            limit_file: self.limit_file,
            name: format!("{}{name}", self.name),
        };
        for directory in child.directories() {
            fs::create_dir(directory)?;
        }
        Ok(child)
    }

    /// Limits its memory, and that of everything below it.
    pub fn limit(&self, mib: u64) {
        // cgroup v2 hands control on level by level; v1 has it everywhere.
        if self.limit_file == "memory.max" {
            fs::write(self.memory.join("cgroup.subtree_control"), "+memory")
                .expect("memory control for its children");
        }
        fs::write(self.memory.join(self.limit_file), (mib << 20).to_string())
            .expect("set the limit");
    }

    /// A command prefix that joins this cgroup and becomes the rest of the command.
    pub fn joining(&self) -> Vec<String> {
        let mut script = String::new();
        for directory in self.directories() {
            script += &format!("echo $$ >{}/cgroup.procs && ", directory.display());
        }
        ["sh", "-c", &format!("{script}exec \"$@\""), "sh"]
            .map(str::to_owned)
            .to_vec()
    }

    /// The processes in it.
    pub fn processes(&self) -> Vec<u32> {
        let text = fs::read_to_string(self.memory.join("cgroup.procs")).expect("cgroup.procs");
        text.lines()
            .map(|line| line.parse().expect("a pid"))
            .collect()
    }

    fn directories(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(self.memory.as_path()).chain(self.unified.as_deref())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for _ in 0..200 {
            for pid in self.processes() {
                let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).expect("a pid"));
                // It may be gone already.
                let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
            }
            if self
                .directories()
                .filter(|directory| directory.exists())
                .all(|d| fs::remove_dir(d).is_ok())
            {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        eprintln!("could not remove the cgroup {}", self.memory.display());
    }
}
