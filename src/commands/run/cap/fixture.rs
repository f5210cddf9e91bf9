//! A tree of cgroups v2 in a temporary directory, for tests.

use std::path::PathBuf;

use tempfile::TempDir;

use super::tree::Spot;

/// The tree; its root is the machine's own, which has no `cgroup.type`.
pub(super) struct Tree(TempDir);

impl Tree {
    pub(super) fn new() -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        for file in ["cgroup.procs", "cgroup.subtree_control"] {
            tree.write("", file, "");
        }
        tree.write("", "cgroup.controllers", "cpu memory pids\n");
        tree
    }

    /// A cgroup that has these controllers, and whose limits are all `max`.
    pub(super) fn make(&self, path: &str, controllers: &str) -> Spot {
        std::fs::create_dir_all(self.dir(path)).unwrap();
        for file in ["cgroup.procs", "cgroup.subtree_control"] {
            self.write(path, file, "");
        }
        self.write(path, "cgroup.type", "domain\n");
        self.write(path, "cgroup.controllers", &format!("{controllers}\n"));
        for file in ["memory.max", "memory.high", "memory.swap.max", "pids.max"] {
            self.write(path, file, "max\n");
        }
        self.write(path, "memory.events.local", "oom 0\noom_kill 0\noom_group_kill 0\n");
        self.spot(path)
    }

    pub(super) fn spot(&self, path: &str) -> Spot {
        Spot { root: self.0.path().to_owned(), path: path.into() }
    }

    pub(super) fn dir(&self, path: &str) -> PathBuf {
        if path.is_empty() { self.0.path().to_owned() } else { self.0.path().join(path) }
    }

    pub(super) fn write(&self, path: &str, file: &str, text: &str) {
        std::fs::write(self.dir(path).join(file), text).unwrap();
    }
}
