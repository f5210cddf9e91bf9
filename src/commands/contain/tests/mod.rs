//! The command as a whole, on a fixture of a machine.

mod asked;
mod containers;
mod undone;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use clap::Parser;

use crate::commands::daemon::systemctl::fake;

use super::files::Tree;
use super::machine::Machine;
use super::plan::MARK;
use super::*;

const JSON: &str = "{\n\t\"dns\": [\"10.0.0.1\"]\n}";
const DOCKER: &str =
    "Id=docker.service\nLoadState=loaded\nExecStart={ path=/usr/bin/dockerd ; argv[]=/usr/bin/dockerd -H fd:// }\n\n";
const PODMAN: &str = "Id=podman.service\nLoadState=loaded\n\n";
const LIBVIRT: &str = "Id=libvirtd.service\nLoadState=loaded\n\n";
const KUBELET: &str = "Id=kubelet.service\nLoadState=loaded\n\n";

/// What stands in for systemctl: it does to the fixture's cgroups what systemd does to the kernel's. With a file "deaf" it is
/// a systemd that sets nothing when it reads its units again, with a file "no-io" one on a kernel without that controller.
const SYSTEMCTL: &str = r#"
cd "${0%/*}" && echo "$*" >> calls
for unit; do :; done
drop_in() { echo etc/systemd/system/"$(echo "$1" | sed 's/^user-1.*/user-.slice/')".d/40-hogwatch.conf; }
wanted() { sed -n "s/^$2=//p" "$(drop_in "$1")" 2>/dev/null | numfmt --from=iec; }
set_limits() {
  case $1 in user-*) dir=sys/fs/cgroup/user.slice/$1 ;; *) dir=sys/fs/cgroup/$1 ;; esac
  if [ "$1" = system.slice ]; then
    weight=$(wanted "$1" IOWeight)
    if [ -e no-io ]; then :; elif [ "$weight" ]; then echo "default $weight" > "$dir/io.weight"; else rm -f "$dir/io.weight"; fi
    weight=$(wanted "$1" CPUWeight); echo "${weight:-100}" > "$dir/cpu.weight"
  else
    max=$(wanted "$1" MemoryMax); echo "${max:-max}" > "$dir/memory.max"
    swap=$(wanted "$1" MemorySwapMax); echo "${swap:-max}" > "$dir/memory.swap.max"
  fi
}
case "$*" in
  *DelegateControllers*) cat delegation ;;
  *ExecStart*) cat keepers ;;
  *show*)
    for property in MemoryMax MemorySwapMax; do
      value=$(wanted "$unit" $property); echo "$property=${value:-infinity}"
    done
    echo MemoryHigh=infinity
    for property in CPUWeight IOWeight; do
      value=$(wanted "$unit" $property); echo "$property=${value:-[not set]}"
    done ;;
  *daemon-reload*)
    if [ -e broken ]; then rm broken; echo 'Failed to reload: no' >&2; exit 1; fi
    [ ! -e deaf ] || exit 0
    for slice in user-1000.slice user-1001.slice docker.slice system.slice; do set_limits $slice; done ;;
  *set-property*)
    if [ -e refusing ]; then rm refusing; echo 'Failed to set: no' >&2; exit 1; fi
    set_limits "$4"
    dir=run/systemd/system.control/$4.d; mkdir -p "$dir"; shift 4
    for assignment; do echo "$assignment" > "$dir/50-${assignment%%=*}.conf"; done ;;
esac
"#;

struct Fixture {
    dir: tempfile::TempDir,
    machine: Machine,
}

impl Fixture {
    /// A machine with 8 GiB and systemd, on which alice (200 MiB), bob (of whom only a number is known) and root work, and
    /// docker runs a container.
    fn new(keepers: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let systemctl = fake::systemctl(dir.path(), SYSTEMCTL);
        let machine = Machine { tree: Tree::new(dir.path()), systemctl, names: vec![(1000, (*b"alice").into())] };
        let fixture = Self { dir, machine };
        for empty in ["run/systemd/system", "etc/systemd/system", "var/lib"] {
            fs::create_dir_all(fixture.at(empty)).unwrap();
        }
        fixture.write("keepers", keepers);
        fixture.write("delegation", "LoadState=loaded\nDelegateControllers=cpu memory pids\n");
        fixture.write("proc/meminfo", "MemTotal: 8388608 kB\nMemFree: 4000000 kB\nMemAvailable: 4000000 kB\n");
        fixture.write("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n");
        for (slice, mib) in [("user-0", 100), ("user-1000", 200), ("user-1001", 50)] {
            fixture.slice(&format!("user.slice/{slice}.slice"), mib);
        }
        fixture.slice("docker.slice", 300);
        fixture.write("sys/fs/cgroup/system.slice/cpu.weight", "100\n");
        fixture
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        fs::write(self.at(path), text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    /// A slice that holds so much, and 500 MiB of page cache besides.
    fn slice(&self, slice: &str, mib: u64) {
        let at = format!("sys/fs/cgroup/{slice}");
        self.write(&format!("{at}/memory.current"), &format!("{}\n", (mib + 500) << 20));
        self.write(&format!("{at}/memory.stat"), &format!("inactive_file {}\nactive_file {}\n", 300 << 20, 200 << 20));
        self.write(&format!("{at}/memory.swap.current"), "0\n");
        for limit in ["memory.max", "memory.swap.max", "memory.high"] {
            self.write(&format!("{at}/{limit}"), "max\n");
        }
    }

    fn max(&self, slice: &str) -> String {
        self.read(&format!("sys/fs/cgroup/{slice}/memory.max")).trim().into()
    }

    fn run(&self, options: &str) -> Result<Outcome, String> {
        outcome(&args(options).unwrap(), &self.machine, true)
    }

    fn apply(&self, options: &str) -> Outcome {
        let outcome = self.run(&format!("{options} --apply")).unwrap();
        assert!(!outcome.failed, "{outcome:?}");
        outcome
    }

    fn revert(&self) -> Outcome {
        let outcome = self.run("--revert").unwrap();
        assert!(!outcome.failed, "{outcome:?}");
        outcome
    }

    /// Everything below etc, run, var and the cgroups: kind, mode, content. What systemctl was asked is no part of it.
    fn everything(&self) -> BTreeMap<PathBuf, String> {
        let mut all = BTreeMap::new();
        let mut left: Vec<_> = ["etc", "run", "var", "sys"].iter().map(|top| self.at(top)).collect();
        while let Some(path) = left.pop() {
            let meta = path.symlink_metadata().unwrap();
            let mut seen = format!("{:o} ", meta.mode());
            if meta.is_dir() {
                left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            } else {
                write!(seen, "{:?}", fs::read(&path).unwrap()).unwrap();
            }
            all.insert(path, seen);
        }
        all
    }
}

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    args: ContainArgs,
}

fn args(options: &str) -> Result<ContainArgs, clap::Error> {
    Cli::try_parse_from(std::iter::once("contain").chain(options.split_whitespace())).map(|cli| cli.args)
}
