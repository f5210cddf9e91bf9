//! The command as a whole, on a fixture of a machine.

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
/// a systemd that sets nothing when it reads its units again.
const SYSTEMCTL: &str = r#"
cd "${0%/*}" && echo "$*" >> calls
for unit; do :; done
drop_in() { echo etc/systemd/system/"$(echo "$1" | sed 's/^user-1.*/user-.slice/')".d/40-hogwatch.conf; }
wanted() { sed -n "s/^$2=//p" "$(drop_in "$1")" 2>/dev/null | numfmt --from=iec; }
set_limits() {
  case $1 in user-*) dir=sys/fs/cgroup/user.slice/$1 ;; *) dir=sys/fs/cgroup/$1 ;; esac
  if [ "$1" = system.slice ]; then
    weight=$(wanted "$1" IOWeight)
    if [ "$weight" ]; then echo "default $weight" > "$dir/io.weight"; else rm -f "$dir/io.weight"; fi
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

#[test]
fn command_lines() {
    for (options, why) in [
        ("", "--per-user <SIZE>"),
        ("--apply", "--per-user <SIZE>"),
        ("--containers 4G", "--per-user <SIZE>"),
        ("--per-user 0", "has no unit"),
        ("--per-user 0G", "keeps people out"),
        ("--per-user 255M", "keeps people out"),
        ("--per-user 4GG", "GG"),
        ("--per-user=-4G", "has a sign"),
        ("--per-user 50%", "%"),
        ("--per-user 9999999T", "more memory than any machine has"),
        ("--per-user 4G --containers 1K", "keeps people out"),
        ("--per-user 4G --apply --revert", "cannot be used with"),
    ] {
        let told = args(options).map(|args| format!("{args:?}")).unwrap_err();
        assert!(told.to_string().contains(why), "{options}: {told}");
        assert_eq!(told.exit_code(), i32::from(crate::commands::EXIT_USAGE), "{options}");
    }
    let good = args("--per-user 1.5G --containers 256MiB --apply").unwrap();
    assert_eq!((good.per_user, good.containers, good.apply), (Some(3 << 29), Some(256 << 20), true));
    assert!(args("--revert").unwrap().revert);
    assert!(args("--per-user 4G --revert").unwrap().revert, "sizes are no harm");
}

#[test]
fn without_apply_it_only_says_what_it_would_do() {
    let here = Fixture::new("");
    let before = here.everything();
    for is_root in [true, false] {
        let told = outcome(&args("--per-user 4G").unwrap(), &here.machine, is_root).unwrap();
        assert_eq!(
            told.stdout.join("\n").replace(MARK, "MARK"),
            "\
write /etc/systemd/system/user-.slice.d/40-hogwatch.conf
    MARK
    # For each user. Without swap, and not slowed down before: at the cap the kernel kills, and nothing thrashes.
    # More for one user:  systemctl set-property user-UID.slice MemoryMax=...
    [Slice]
    MemoryMax=4G
    MemorySwapMax=0
    MemoryHigh=infinity
write /etc/systemd/system/user-0.slice.d/40-hogwatch.conf
    MARK
    # Root's own sessions stay without a cap: of drop-ins of one name systemd reads this one, not user-.slice.d's.
    [Slice]
write /etc/systemd/system/system.slice.d/40-hogwatch.conf
    MARK
    # Services before users, where the processor or a disk is short.
    [Slice]
    CPUWeight=200
    IOWeight=200
run systemctl daemon-reload"
        );
        assert_eq!(
            told.stderr,
            [
                "note: 2 users may take 8.0 GiB together, of 7.2 GiB that this machine has beside a reserve of a tenth: the caps \
              bound each of them, not all at once; hogwatch's daemon acts when the machine as a whole runs short"
            ]
        );
    }
    assert_eq!(here.everything(), before);
    assert!(!here.read("calls").contains("daemon-reload"));
}

#[test]
fn applied_and_taken_back() {
    let here = Fixture::new("");
    let before = here.everything();
    let told = here.apply("--per-user 1G");
    assert_eq!(
        told.stdout,
        [
            "wrote /etc/systemd/system/user-.slice.d/40-hogwatch.conf",
            "wrote /etc/systemd/system/user-0.slice.d/40-hogwatch.conf",
            "wrote /etc/systemd/system/system.slice.d/40-hogwatch.conf",
            "user-1000.slice (alice): at most 1.0 GiB, no swap; it holds 200 MiB",
            "user-1001.slice (uid 1001): at most 1.0 GiB, no swap; it holds 50.0 MiB",
        ]
    );
    assert_eq!(told.stderr, [""; 0]);
    assert_eq!(here.max("user.slice/user-1000.slice"), "1073741824");
    assert_eq!(here.max("user.slice/user-0.slice"), "max");
    assert_eq!(here.read("sys/fs/cgroup/system.slice/cpu.weight"), "200\n");
    let state = here.at("var/lib/hogwatch");
    assert_eq!(state.metadata().unwrap().permissions().mode() & 0o777, 0o750);
    assert_eq!(state.join("contain.json").metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(here.apply("--per-user 1G").stdout[0].starts_with("nothing to change"));
    let told = outcome(&args("--per-user 1G").unwrap(), &here.machine, false).unwrap();
    assert!(told.stdout[0].starts_with("nothing to change"), "who can't read the record: {told:?}");
    let told = here.revert();
    assert_eq!(told.stdout[0], "removed /etc/systemd/system/system.slice.d/40-hogwatch.conf");
    assert_eq!(here.everything(), before);
    assert_eq!(here.revert().stdout, ["nothing to take back"]);
}

#[test]
fn docker_gets_a_slice_and_its_file_back_byte_for_byte() {
    let here = Fixture::new(DOCKER);
    here.write("etc/docker/daemon.json", JSON);
    fs::set_permissions(here.at("etc/docker/daemon.json"), fs::Permissions::from_mode(0o640)).unwrap();
    let before = here.everything();
    let told = here.run("--per-user 1G").unwrap();
    assert!(told.stderr[0].contains("containers of docker are in nobody's user slice"), "{told:?}");
    assert!(!told.stdout.iter().any(|line| line.contains("docker")), "{told:?}");

    let told = here.apply("--per-user 1G --containers 2G");
    assert!(told.stdout.last().unwrap().contains("systemctl restart docker"), "{told:?}");
    assert!(told.stdout.contains(&"changed /etc/docker/daemon.json".into()), "{told:?}");
    assert!(told.stdout.contains(&"docker.slice: at most 2.0 GiB, no swap; it holds 300 MiB".into()), "{told:?}");
    let json = "{\n  \"cgroup-parent\": \"docker.slice\",\n\t\"dns\": [\"10.0.0.1\"]\n}";
    assert_eq!(here.read("etc/docker/daemon.json"), json);
    assert_eq!(here.at("etc/docker/daemon.json").metadata().unwrap().mode() & 0o777, 0o640);
    assert!(!here.read("calls").contains("restart"), "docker is never restarted");
    assert!(here.apply("--per-user 1G --containers 2G").stdout[0].starts_with("nothing to change"));

    // Other sizes, then none for containers: docker's file is as it was, without a revert.
    here.apply("--per-user 2G --containers 3G");
    assert_eq!(here.max("docker.slice"), (3_u64 << 30).to_string());
    assert_eq!(here.read("etc/docker/daemon.json"), json);
    here.apply("--per-user 2G");
    assert_eq!(here.read("etc/docker/daemon.json"), JSON);
    assert_eq!(here.max("docker.slice"), "max");
    assert!(!here.at("etc/systemd/system/docker.slice.d").exists());
    here.apply("--per-user 1G --containers 2G");
    let told = here.revert();
    assert!(told.stdout.last().unwrap().contains("systemctl restart docker"), "{told:?}");
    assert_eq!(here.everything(), before);
}

#[test]
fn docker_without_a_file() {
    let here = Fixture::new(DOCKER);
    let before = here.everything();
    here.apply("--per-user 1G --containers 2G");
    assert_eq!(here.read("etc/docker/daemon.json"), "{\n  \"cgroup-parent\": \"docker.slice\"\n}\n");
    here.revert();
    assert_eq!(here.everything(), before);
}

#[test]
fn what_the_admin_made_of_dockers_file_stays() {
    let here = Fixture::new(DOCKER);
    here.write("etc/docker/daemon.json", JSON);
    let before = here.everything();
    here.apply("--per-user 1G --containers 2G");
    let edited = "{\"cgroup-parent\": \"docker.slice\", \"debug\": true}";
    here.write("etc/docker/daemon.json", edited);
    // It names the slice: that is all that is wanted of it.
    assert!(here.apply("--per-user 1G --containers 3G").stdout[0].contains("docker.slice.d"));
    let told = here.run("--revert").unwrap();
    assert!(told.failed && told.stderr[0].contains("take \"cgroup-parent\": \"docker.slice\" out of it"), "{told:?}");
    assert_eq!(here.read("etc/docker/daemon.json"), edited);
    assert!(!here.at("etc/systemd/system/user-.slice.d").exists(), "all else is taken back");
    here.write("etc/docker/daemon.json", "{\"debug\": true}");
    here.revert();
    assert_eq!(here.read("etc/docker/daemon.json"), "{\"debug\": true}");
    here.write("etc/docker/daemon.json", JSON);
    assert_eq!(here.everything(), before);
    // Always had it so: not a word about the file, and nothing to restart.
    here.write("etc/docker/daemon.json", edited);
    let told = here.apply("--per-user 1G --containers 3G");
    assert!(!told.stdout.join("\n").contains("daemon.json") && !told.stdout.join("\n").contains("restart"), "{told:?}");
    here.revert();
    assert_eq!(here.read("etc/docker/daemon.json"), edited);
}

#[test]
fn refused_with_nothing_changed() {
    type Plant = fn(&Fixture);
    let cases: &[(&str, Plant, &str)] = &[
        ("--per-user 9G", |_| {}, "--per-user 9 GiB: this machine has 8.0 GiB"),
        ("--per-user 1G --containers 9G", |_| {}, "--containers 9 GiB: this machine has"),
        (
            "--per-user 1G --containers 1G",
            |at| at.write("etc/docker/daemon.json", "{\"a\": 1,}"),
            "daemon.json: it is no valid JSON",
        ),
        (
            "--per-user 1G --containers 1G",
            |at| at.write("etc/docker/daemon.json", "{\"cgroup-parent\": \"my.slice\"}"),
            "cgroup-parent is my.slice already",
        ),
        (
            "--per-user 1G --containers 1G",
            |at| at.write("etc/default/docker", "# --config-file\nDOCKER_OPTS=\"--cgroup-parent=x\"\n"),
            "/etc/default/docker starts dockerd with --cgroup-parent",
        ),
        (
            "--per-user 1G --containers 1G",
            |at| at.write("keepers", &DOCKER.replace("fd://", "fd:// --config-file /x")),
            "docker.service starts dockerd with --config-file",
        ),
        (
            "--per-user 1G",
            |at| at.slice("user.slice/user-1000.slice", 900),
            "user-1000.slice (alice) holds 900 MiB, and a cap of 1.0 GiB needs 128 MiB of room",
        ),
        (
            "--per-user 1G",
            |at| at.write("sys/fs/cgroup/user.slice/user-1001.slice/memory.swap.current", "900000000\n"),
            "user-1001.slice (uid 1001) holds 908 MiB",
        ),
        ("--per-user 1G --containers 256M", |at| at.slice("docker.slice", 300), "docker.slice holds 300 MiB"),
        (
            "--per-user 1G",
            |at| at.write("etc/systemd/system/user-.slice.d/40-hogwatch.conf", "[Slice]\nMemoryMax=1G\n"),
            "is there already, and no record says",
        ),
        ("--per-user 1G", |at| at.write("var/lib/hogwatch/contain.json", "{\"schema\": 1"), "contain.json: EOF"),
        (
            "--per-user 1G",
            |at| at.write("var/lib/hogwatch/contain.json", "{\"schema\": 2, \"files\": [], \"directories\": []}"),
            "its schema is 2",
        ),
        // A file where a directory should be: found out in the middle of writing.
        ("--per-user 1G", |at| at.write("etc/systemd/system/system.slice.d", ""), "system.slice.d/40-hogwatch.conf"),
        ("--per-user 1G", |at| at.write("broken", ""), "Failed to reload: no; all was put back"),
        ("--per-user 1G", |at| fs::remove_dir(at.at("run/systemd/system")).unwrap(), "systemd does not run here"),
        ("--per-user 1G", |at| fs::remove_file(at.at("sys/fs/cgroup/cgroup.controllers")).unwrap(), "no cgroup v2"),
        ("--per-user 1G", |at| at.write("sys/fs/cgroup/cgroup.controllers", "pids"), "no memory controller"),
    ];
    for (options, plant, why) in cases {
        let here = Fixture::new(DOCKER);
        plant(&here);
        let before = here.everything();
        let told = here.run(&format!("{options} --apply")).unwrap_err();
        assert!(told.contains(why), "{why}: {told}");
        assert_eq!(here.everything(), before, "{why}");
    }
}

#[test]
fn who_is_capped_already_or_has_an_exception_is_not_in_the_way() {
    let here = Fixture::new("");
    here.apply("--per-user 1G");
    here.slice("user.slice/user-1000.slice", 1000);
    here.write("sys/fs/cgroup/user.slice/user-1000.slice/memory.max", "1073741824\n");
    here.write("sys/fs/cgroup/user.slice/user-1000.slice/memory.swap.max", "0\n");
    here.apply("--per-user 1G");
    assert!(here.run("--per-user 512M --apply").unwrap_err().contains("alice"));
    here.write("etc/systemd/system.control/user-1000.slice.d/50-MemoryMax.conf", "[Slice]\nMemoryMax=4G\n");
    let told = here.apply("--per-user 512M");
    assert!(told.stderr.iter().any(|line| line.contains("user-1000.slice (alice) has a limit of its own")), "{told:?}");
}

#[test]
fn a_file_changed_by_hand_is_kept() {
    let here = Fixture::new("");
    let before = here.everything();
    here.apply("--per-user 1G");
    let path = "etc/systemd/system/user-.slice.d/40-hogwatch.conf";
    let mine = here.read(path) + "TasksMax=500\n";
    here.write(path, &mine);
    let applied = here.everything();
    let told = here.run("--per-user 2G --apply").unwrap_err();
    assert!(told.contains("was changed since hogwatch wrote it, and is kept"), "{told}");
    assert_eq!(here.everything(), applied);
    let told = here.run("--revert").unwrap();
    assert!(told.failed && told.stderr[0].contains(path), "{told:?}");
    assert_eq!(here.read(path), mine);
    assert!(!here.at("etc/systemd/system/system.slice.d").exists());
    fs::remove_file(here.at(path)).unwrap();
    here.revert();
    assert_eq!(here.everything(), before);
}

#[test]
fn a_lost_record_is_told() {
    let here = Fixture::new("");
    here.apply("--per-user 1G");
    fs::remove_file(here.at("var/lib/hogwatch/contain.json")).unwrap();
    let told = here.run("--revert").unwrap_err();
    assert!(told.contains("rm /etc/systemd/system/user-.slice.d/40-hogwatch.conf /etc/"), "{told}");
}

#[test]
fn an_apply_that_was_cut_short_anywhere_is_taken_back() {
    for first in ["", "--per-user 2G"] {
        for done in 0..=5 {
            let here = Fixture::new(DOCKER);
            here.write("etc/docker/daemon.json", JSON);
            let before = here.everything();
            if !first.is_empty() {
                here.apply(first);
            }
            let facts = here.machine.look().unwrap();
            let sizes = Sizes { per_user: 1 << 30, containers: Some(2 << 30) };
            let old = changes::recorded(&here.machine.tree).unwrap();
            let step = changes::to_apply(&here.machine.tree, &facts, sizes, old).unwrap();
            let cut = Step { changes: step.changes.iter().take(done).cloned().collect(), ..step.clone() };
            // The power fails right before the last record: it is the one of the beginning that is there.
            carry::forward(&here.machine, &Step { after: Some(cut.during.clone()), ..cut }).unwrap();
            if let Some(next) = step.changes.get(done) {
                here.write(&format!("{}.hogwatch-new", next.path.strip_prefix("/").unwrap().display()), "half");
            }
            here.revert();
            assert_eq!(here.everything(), before, "{first} {done}");
        }
    }
}

#[test]
fn only_root_changes_anything() {
    let here = Fixture::new("");
    for options in ["--per-user 1G --apply", "--revert"] {
        let told = outcome(&args(options).unwrap(), &here.machine, false).unwrap_err();
        assert!(told.contains("needs root"), "{told}");
    }
}

#[test]
fn where_systemd_sets_nothing_by_itself_it_is_made_to() {
    let here = Fixture::new(DOCKER);
    here.write("deaf", "");
    let exception = "run/systemd/system.control/user-1001.slice.d/50-MemoryMax.conf";
    for planted in [false, true] {
        if planted {
            here.write(exception, "[Slice]\nMemoryMax=1G\n");
        }
        let before = here.everything();
        here.apply("--per-user 1G --containers 2G");
        assert_eq!(here.max("user.slice/user-1000.slice"), "1073741824");
        assert_eq!(here.max("user.slice/user-0.slice"), "max");
        assert_eq!(here.max("docker.slice"), "2147483648");
        assert_eq!(here.read("sys/fs/cgroup/system.slice/io.weight"), "default 200\n");
        assert!(here.read("calls").contains("set-property --runtime system.slice CPUWeight=200 IOWeight=200"));
        assert_eq!(here.at("run/systemd/system.control").exists(), planted, "what systemd wrote there is put away");
        here.revert();
        assert!(here.read("calls").contains("set-property --runtime system.slice CPUWeight= IOWeight="));
        assert_eq!(here.everything(), before);
    }
}

#[test]
fn a_systemd_that_refuses_leaves_all_as_it_was() {
    let here = Fixture::new(DOCKER);
    here.write("deaf", "");
    let before = here.everything();
    here.write("refusing", "");
    let told = here.run("--per-user 1G --apply").unwrap_err();
    assert!(told.contains("Failed to set: no; all was put back"), "{told}");
    assert_eq!(here.everything(), before);
}

#[test]
fn what_systemd_was_at_when_the_power_failed_is_put_back() {
    let here = Fixture::new("");
    let before = here.everything();
    here.apply("--per-user 1G");
    let mut record = changes::recorded(&here.machine.tree).unwrap().unwrap();
    let control = Path::new("/run/systemd/system.control");
    let dir = control.join("user-1000.slice.d");
    record.passing.files = vec![(dir.join("50-MemoryMax.conf"), None), (dir.join("50-MemoryHigh.conf"), None)];
    record.passing.directories = vec![control.into(), dir];
    here.write("var/lib/hogwatch/contain.json", &serde_json::to_string(&record).unwrap());
    here.write("run/systemd/system.control/user-1000.slice.d/50-MemoryMax.conf", "[Slice]\nMemoryMax=1G\n");
    here.revert();
    assert_eq!(here.everything(), before);
}

#[test]
fn one_at_a_time() {
    let here = Fixture::new("");
    let _other = here.machine.tree.lock(Path::new("/etc")).unwrap();
    assert!(here.run("--per-user 1G --apply").unwrap_err().contains("another \"hogwatch contain\" is running"));
    here.run("--per-user 1G").unwrap();
}

#[test]
fn where_user_managers_have_no_memory_controller_they_get_it() {
    let here = Fixture::new("");
    here.write("delegation", "LoadState=loaded\nDelegateControllers=pids\n");
    here.apply("--per-user 1G");
    assert!(here.read("etc/systemd/system/user@.service.d/40-hogwatch.conf").ends_with("[Service]\nDelegate=memory\n"));
    here.write("delegation", "LoadState=loaded\nDelegateControllers=memory pids\n");
    here.apply("--per-user 2G");
    assert!(
        here.at("etc/systemd/system/user@.service.d/40-hogwatch.conf").exists(),
        "it is delegated because of the file"
    );
    here.revert();
    here.write("delegation", "LoadState=not-found\nDelegateControllers=\n");
    here.apply("--per-user 1G");
    assert!(!here.at("etc/systemd/system/user@.service.d").exists());
}

#[test]
fn who_else_keeps_containers_is_named() {
    for (keepers, options, wanted, said) in [
        ("", "--containers 1G", None, "neither docker nor podman is installed"),
        (PODMAN, "", None, "containers of root's podman are in nobody's user slice"),
        (PODMAN, "--containers 1G", Some("machine.slice.d"), "2 users may take"),
        (&format!("{PODMAN}{LIBVIRT}"), "--containers 1G", None, "machine.slice is left alone"),
        (KUBELET, "", None, "Kubernetes is left alone"),
        ("Id=containerd.service\nLoadState=loaded\n", "", None, "containerd runs for others than docker"),
        ("Id=snap.docker.dockerd.service\nLoadState=loaded\n", "", None, "docker's snap is left alone"),
    ] {
        let here = Fixture::new(keepers);
        let told = here.run(&format!("--per-user 4G {options}")).unwrap();
        assert!(told.stderr.iter().any(|line| line.contains(said)), "{keepers}: {told:?}");
        let listed = told.stdout.join("\n");
        assert_eq!(listed.contains("machine.slice.d"), wanted.is_some(), "{keepers}: {listed}");
    }
}
