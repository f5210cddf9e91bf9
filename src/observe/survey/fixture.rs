//! A made-up cgroup tree on tmpfs, for tests: inotify works there as on cgroupfs, and inode numbers are not used again soon.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::CgroupKey;

/// A tree that looks like cgroupfs.
pub(crate) struct Fixture(pub(crate) TempDir);

impl Fixture {
    pub(crate) fn new() -> Self {
        let tree = Self(tempfile::tempdir_in("/dev/shm").unwrap());
        tree.write("", "cgroup.subtree_control", "memory\n");
        tree
    }

    pub(crate) fn path(&self, cgroup: &str) -> PathBuf {
        self.0.path().join(cgroup)
    }

    pub(crate) fn key(&self, cgroup: &str) -> CgroupKey {
        CgroupKey(fs::metadata(self.path(cgroup)).unwrap().ino())
    }

    pub(crate) fn write(&self, cgroup: &str, file: &str, text: &str) {
        fs::write(self.path(cgroup).join(file), text).unwrap();
    }

    /// Makes a cgroup with a memory controller, the files first: on cgroupfs they are there from the beginning.
    pub(crate) fn make(&self, cgroup: &str, high: &str, max: &str) {
        let outside = tempfile::tempdir_in("/dev/shm").unwrap();
        let dir = outside.path().join("new");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("cgroup.subtree_control"), "memory\n").unwrap();
        write_files(&dir, high, max);
        // A rename is no mkdir to inotify, so the files are moved into a directory that is made.
        fs::create_dir(self.path(cgroup)).unwrap();
        for file in fs::read_dir(&dir).unwrap() {
            let file = file.unwrap();
            fs::rename(file.path(), self.path(cgroup).join(file.file_name())).unwrap();
        }
    }

    /// The kernel's notification that the cgroup was at its limit `high` times.
    pub(crate) fn touch(&self, cgroup: &str, high: u64) {
        self.write(cgroup, "memory.events.local", &format!("low 0\nhigh {high}\nmax 0\noom 0\noom_kill 0\n"));
    }

    pub(crate) fn remove(&self, cgroup: &str) {
        fs::remove_dir_all(self.path(cgroup)).unwrap();
    }
}

/// The files of a memory controller.
pub(crate) fn write_files(dir: &Path, high: &str, max: &str) {
    let events = "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\n";
    for (file, text) in [
        ("memory.high", high),
        ("memory.max", max),
        ("memory.current", "4096\n"),
        ("memory.events", events),
        ("memory.events.local", events),
        ("memory.stat", "anon 1\ninactive_file 1\nactive_file 1\npgsteal 0\nworkingset_refault_file 0\n"),
        (
            "memory.pressure",
            "some avg10=0.00 avg60=0.00 avg300=0.00 total=9\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n",
        ),
    ] {
        fs::write(dir.join(file), text).unwrap();
    }
}
