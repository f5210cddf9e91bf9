//! The two lines of the kernel's that name the victim of an OOM kill (`mm/oom_kill.c`).

/// What a line says of a kill.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kill {
    /// Who.
    pub pid: i32,
    /// Where it lived; only one of the two lines says that.
    pub cgroup: Option<String>,
}

/// Reads a line of the kernel's log; `None` for any other line.
pub(super) fn kill(line: &str) -> Option<Kill> {
    if let Some(at) = line.find("oom-kill:constraint=") {
        // The names are the attacker's choice, and stand before the numbers: so it is read from the end.
        let (head, _) = line[at..].rsplit_once(",uid=")?;
        let (head, pid) = head.rsplit_once(",pid=")?;
        let (head, _) = head.rsplit_once(",task=")?;
        let (_, cgroup) = head.split_once(",task_memcg=")?;
        return Some(Kill { pid: pid.parse().ok()?, cgroup: Some(cgroup.to_owned()) });
    }
    // `Memory cgroup out of memory: Killed process 911 (python3) total-vm:…`
    let at = line.find("Killed process ")?;
    let begins = line[..at].trim_end();
    if !(begins.ends_with("emory:") || begins.is_empty()) {
        return None;
    }
    let pid = line[at + "Killed process ".len()..].split([' ', ',']).next()?;
    Some(Kill { pid: pid.parse().ok()?, cgroup: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_kernels() {
        let in_group = "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=web.service,mems_allowed=0,\
                        oom_memcg=/system.slice/web.service,task_memcg=/system.slice/web.service,task=python3,pid=911,uid=33";
        let web = Some("/system.slice/web.service".to_owned());
        let forged = "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),task_memcg=/a,task=x,pid=1,uid=0,pid=7,uid=5";
        let cases = [
            (in_group, Some(Kill { pid: 911, cgroup: web })),
            (forged, Some(Kill { pid: 7, cgroup: Some("/a".into()) })),
            (
                "Memory cgroup out of memory: Killed process 911 (python3) total-vm:2kB, anon-rss:1kB",
                Some(Kill { pid: 911, cgroup: None }),
            ),
            ("Out of memory: Killed process 12 (a b) c) total-vm:2kB", Some(Kill { pid: 12, cgroup: None })),
            ("Killed process 21945 (tidb-server), UID 1000", Some(Kill { pid: 21945, cgroup: None })),
            ("audit: comm=\"Killed process 1 (init)\"", None),
            ("oom-kill:constraint=CONSTRAINT_NONE", None),
            ("Out of memory: Killed process x", None),
            ("", None),
        ];
        for (line, expected) in cases {
            assert_eq!(kill(line), expected, "{line}");
        }
    }
}
