//! What can be seen without a daemon.

use std::thread;
use std::time::{Duration, SystemTime};

use serde_json::Value as Json;

use crate::config::{self, Config, Places};
use crate::decide::livelock::{Judged, Sample};
use crate::decide::measure::Gauge;
use crate::host::dir::Dir;
use crate::host::{Host, Roots, clock};
use crate::observe::cgroup_files::CgroupFiles;
use crate::observe::cgroups::{self, CgroupPath};
use crate::observe::limits::{EnclosingReader, Hierarchy};
use crate::observe::machine::MachineReader;
use crate::observe::parse::{parse_cgroup_bytes, parse_limit};
use crate::observe::{Enclosing, Faults, Machine, Observation};
use crate::report::status::{Daemon, Snapshot, document};

use super::super::daemon::{AT_LIMIT, AtLimit, snapshot as write_snapshot};

/// From this share of its limit on, in percent, a cgroup is shown.
const NEAR_PERCENT: u64 = 90;

/// What stalls are measured over.
const WINDOW: Duration = Duration::from_secs(1);

/// Whether cgroups can be watched here: what is watched are cgroup v2's files.
pub(super) fn sees_cgroups(host: &Host) -> bool {
    Hierarchy::of(host) == Hierarchy::V2
}

/// Eyes of one's own, kept open for looking again.
#[derive(Debug)]
pub(super) struct Looker {
    /// The machine.
    pub host: Host,
    machine: MachineReader,
    enclosing: EnclosingReader,
    gauge: Gauge,
    faults: Faults,
}

impl Looker {
    pub fn open() -> Result<Self, String> {
        let places = Places::of_this_process();
        let mut config = config::at_start(None, &places).map_or_else(|_| Config::default(), |started| started.config);
        let host = Host::open(&Roots::default()).map_err(|e| format!("/proc can't be opened: {e}"))?;
        let mut faults = Faults::default();
        let machine = MachineReader::open(&host).map_err(|e| format!("/proc/meminfo can't be opened: {e}"))?;
        let meminfo = machine.read(&mut faults).map_err(|e| e.to_string())?.meminfo;
        let _ = config.fit(meminfo.mem_total, meminfo.swap_total.unwrap_or(0));
        let enclosing = EnclosingReader::open(&host, Hierarchy::of(&host), false);
        let gauge = Gauge::new(&config);
        Ok(Self { host, machine, enclosing, gauge, faults })
    }

    /// What can be seen without a daemon. It takes [`WINDOW`] where a cgroup is near its limit.
    pub fn look(&mut self) -> Result<Json, String> {
        let near = near_their_limit(&self.host);
        let near_limit = near.iter().map(Near::as_at_limit);
        let machine = self.machine.read(&mut self.faults).map_err(|e| e.to_string())?;
        Ok(written(&mut self.gauge, &machine, self.enclosing.read(&mut self.faults), near_limit))
    }

    /// The machine's memory, swap and pressure, and nothing else: at once.
    pub fn glance(&mut self) -> Result<Json, String> {
        let machine = self.machine.read(&mut self.faults).map_err(|e| e.to_string())?;
        Ok(written(&mut self.gauge, &machine, &[], std::iter::empty()))
    }
}

fn written<'a>(
    gauge: &mut Gauge,
    machine: &Machine,
    enclosing: &[Enclosing],
    near_limit: impl Iterator<Item = AtLimit<'a>>,
) -> Json {
    gauge.note(machine, clock::now());
    let obs = Observation { machine, enclosing, victim_exited: false, tasks: None, details: None };
    let mut snapshot = Snapshot::empty();
    write_snapshot(&mut snapshot, &gauge.worst(&obs), machine, enclosing, near_limit);
    document(Daemon { pid: None, dry_run: None }, Some((SystemTime::now(), &snapshot)))
}

/// A cgroup near its limit.
#[derive(Debug)]
struct Near {
    path: CgroupPath,
    last: Sample,
    stalled: Option<f64>,
}

impl Near {
    fn as_at_limit(&self) -> AtLimit<'_> {
        AtLimit { path: &self.path, sample: &self.last, verdict: None, stalled: self.stalled, doing: None }
    }
}

/// The cgroups that are near their limit, the fullest ones if there are many, watched for [`WINDOW`]. No time passes
/// where there is none.
fn near_their_limit(host: &Host) -> Vec<Near> {
    let Some(root) = host.cgroup2.as_ref().filter(|_| sees_cgroups(host)) else { return Vec::new() };
    let mut faults = Faults::default();
    let sampled = |path: &CgroupPath| {
        let files = CgroupFiles::open(&cgroups::open(root, path.as_bytes()).ok()?).ok()?;
        let first = files.sample(false, &mut faults).ok()?;
        Some((*path, files, first))
    };
    let fullest = fullest(root);
    let sampled: Vec<_> = fullest.iter().take(AT_LIMIT).filter_map(sampled).collect();
    if sampled.is_empty() {
        return Vec::new();
    }
    thread::sleep(WINDOW);
    let again = |(path, files, first): (CgroupPath, CgroupFiles, Sample)| {
        let last = files.sample(false, &mut faults).ok()?;
        let stalled = Duration::from_micros(last.full_total_us.saturating_sub(first.full_total_us));
        Some(Near { path, last, stalled: Some(stalled.div_duration_f64(last.t.saturating_sub(first.t))) })
    };
    sampled.into_iter().filter_map(again).collect()
}

/// The cgroups from [`NEAR_PERCENT`] of their limit on, the fullest first.
fn fullest(root: &Dir) -> Vec<CgroupPath> {
    let mut found = Vec::new();
    let mut open = vec![b"/".to_vec()];
    while let Some(path) = open.pop() {
        // One that was removed meanwhile is none.
        let Ok(dir) = cgroups::open(root, &path) else { continue };
        for name in dir.directories().unwrap_or_default() {
            let parent = path.strip_suffix(b"/").unwrap_or(&path);
            open.push([parent, b"/", name.as_bytes()].concat());
        }
        if let Some((percent, path)) = percent_used(&dir).zip(CgroupPath::new(&path))
            && percent >= NEAR_PERCENT
        {
            found.push((percent, path));
        }
    }
    found.sort_by_key(|(percent, _)| std::cmp::Reverse(*percent));
    found.into_iter().map(|(_, path)| path).collect()
}

/// What a cgroup uses of the limit that comes first, in percent; `None` without a limit, or where that can't be read.
fn percent_used(dir: &Dir) -> Option<u64> {
    let mut buf = [0; 64];
    let high = parse_limit(dir.read(c"memory.high", &mut buf).ok()?).ok()?;
    let max = parse_limit(dir.read(c"memory.max", &mut buf).ok()?).ok()?;
    let limit = Judged::at(high, max)?.bytes();
    let current = parse_cgroup_bytes(dir.read(c"memory.current", &mut buf).ok()?).ok()?;
    Some(
        (u128::from(current) * 100)
            .checked_div(u128::from(limit))
            .map_or(u64::MAX, |p| u64::try_from(p).unwrap_or(u64::MAX)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::survey::fixture::write_files;

    #[test]
    fn cgroups_from_nine_tenths_of_their_limit_on_are_found_at_any_depth() {
        let tree = tempfile::tempdir().unwrap();
        let root = tree.path().join("sys/fs/cgroup");
        for (path, current, high, max) in [
            ("far", 89, "100\n", "200\n"),
            ("near", 90, "100\n", "200\n"),
            ("at-max", 199, "max\n", "200\n"),
            ("free", 1000, "max\n", "max\n"),
            ("free/deep/above", 107, "100\n", "max\n"),
            ("nothing-allowed", 1, "0\n", "max\n"),
        ] {
            std::fs::create_dir_all(root.join(path)).unwrap();
            write_files(&root.join(path), high, max);
            std::fs::write(root.join(path).join("memory.current"), format!("{current}\n")).unwrap();
        }
        std::fs::write(root.join("cgroup.controllers"), "memory\n").unwrap();
        std::fs::create_dir_all(tree.path().join("proc")).unwrap();
        let host = Host::open(&Roots { proc: tree.path().join("proc"), sys: tree.path().join("sys") }).unwrap();
        let expected = ["/nothing-allowed", "/free/deep/above", "/at-max", "/near"];
        let found: Vec<_> = fullest(host.cgroup2.as_ref().unwrap());
        let names: Vec<_> = found.iter().map(|path| String::from_utf8_lossy(path.as_bytes()).into_owned()).collect();
        assert_eq!(names, expected);

        let near = near_their_limit(&host);
        assert_eq!(near.len(), 4);
        assert_eq!((near[1].last.current, near[1].stalled), (107, Some(0.0)));
        std::fs::write(root.join("cgroup.controllers"), "cpu\n").unwrap();
        assert!(near_their_limit(&host).is_empty());
    }
}
