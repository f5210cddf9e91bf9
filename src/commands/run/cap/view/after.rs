//! What a place is asked once, when its run has ended.

use crate::observe::parse::{parse_memory_stat, parse_memory_stat_v1};

use super::super::tree::MAIN;
use super::Cap;

impl Cap {
    /// Bytes of tmpfs files and shared memory that it holds (`memory.stat`): such a file outlives its process.
    #[must_use]
    pub fn shmem(&self) -> Option<u64> {
        let text = std::fs::read(self.dir.join("memory.stat")).ok()?;
        match self.is_v1 {
            true => parse_memory_stat_v1(&text).ok()?.total_shmem,
            false => parse_memory_stat(&text).ok()?.shmem,
        }
    }

    /// How often no process or thread could be started for the limit on tasks (`max` of `pids.events`). `None` where there is
    /// no pids controller.
    #[must_use]
    pub fn task_hits(&self) -> Option<u64> {
        let dir = self.pids_dir.as_ref().unwrap_or(&self.dir);
        // Before Linux 6.11 it is counted where the fork was tried, since then at the limit and above.
        let counted = [dir.clone(), dir.join(MAIN)].into_iter().filter_map(|dir| {
            let text = std::fs::read_to_string(dir.join("pids.events")).ok()?;
            text.lines().find_map(|line| line.strip_prefix("max ")?.parse().ok())
        });
        counted.max()
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture::Tree;
    use super::super::super::{Kind, Limits, Place};
    use super::*;

    #[test]
    fn hits_of_the_limit_on_tasks_are_counted_at_the_limit_or_where_it_was_tried() {
        let tree = Tree::new();
        let spot = tree.make("p", "memory");
        tree.make("p/main", "");
        tree.write("p", "memory.current", "1\n");
        tree.write("p", "memory.events", "oom 0\n");
        let place = Place {
            kind: Kind::Cgroup2,
            dir: Some(spot.dir()),
            pids_dir: None,
            unit: None,
            keeper: None,
            limits: Limits::default(),
            tightest: None,
            remarks: Vec::new(),
        };
        let (_, lifeline) = std::io::pipe().unwrap();
        let cap = Cap::open(&place, lifeline.into()).unwrap();
        assert_eq!((cap.task_hits(), cap.shmem()), (None, None));
        tree.write("p", "pids.events", "max 0\n");
        tree.write("p/main", "pids.events", "max 3\n");
        assert_eq!(cap.task_hits(), Some(3));
        tree.write("p", "pids.events", "max 7\nmax.imposed 9\n");
        tree.write("p", "memory.stat", "anon 4096\nshmem 8192\n");
        assert_eq!((cap.task_hits(), cap.shmem()), (Some(7), Some(8192)));
    }
}
