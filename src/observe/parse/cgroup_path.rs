//! `/proc/PID/cgroup`: where a process lives.

use super::text::{is_cut, lines, split_once};
use super::{FileKind, Malformed};

/// The paths of a process below the roots of the hierarchies that matter to memory, each beginning with `/` (or with
/// `/..` when the process lives outside the reader's cgroup namespace). They may contain any byte but NUL and newline.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CgroupPaths<'a> {
    /// The unified hierarchy (v2). On a v1 or hybrid system it exists too, without the memory controller.
    pub v2: Option<&'a [u8]>,
    /// The v1 hierarchy with the memory controller.
    pub memory_v1: Option<&'a [u8]>,
    /// systemd's own v1 hierarchy, which names the unit on a v1 system.
    pub systemd_v1: Option<&'a [u8]>,
    /// The v1 hierarchy with the pids controller.
    pub pids_v1: Option<&'a [u8]>,
}

/// Reads `/proc/PID/cgroup`, lines of `ID:CONTROLLERS:PATH` (`cgroups(7)`).
///
/// # Errors
/// When the file is empty, or cut off within a line: half a path is another cgroup's, and a lost line must not pass for
/// a missing hierarchy. A line that is no such triple is an error too.
pub fn parse_own_paths(bytes: &[u8]) -> Result<CgroupPaths<'_>, Malformed> {
    const FILE: FileKind = FileKind::PidCgroup;
    if bytes.is_empty() || is_cut(bytes) {
        return Err(FILE.missing("end of line"));
    }
    let mut paths = CgroupPaths::default();
    for line in lines(bytes) {
        let (_id, rest) = split_once(line, b':').ok_or(FILE.unreadable("hierarchy"))?;
        let (controllers, path) = split_once(rest, b':').ok_or(FILE.unreadable("controllers"))?;
        if !path.starts_with(b"/") {
            return Err(FILE.unreadable("path"));
        }
        let place = match controllers {
            b"" => &mut paths.v2,
            b"name=systemd" => &mut paths.systemd_v1,
            list => {
                let has = |controller: &[u8]| list.split(|&byte| byte == b',').any(|name| name == controller);
                if has(b"pids") {
                    paths.pids_v1.get_or_insert(path);
                }
                if !has(b"memory") {
                    continue;
                }
                &mut paths.memory_v1
            }
        };
        place.get_or_insert(path);
    }
    Ok(paths)
}

/// `path` without the ` (deleted)` that the kernel appends in v2 when the cgroup has been removed, which only a zombie
/// can outlive; `None` when it does not end so. A live cgroup may bear such a name too: look for the whole path first.
pub fn without_deleted(path: &[u8]) -> Option<&[u8]> {
    path.strip_suffix(b" (deleted)")
}
