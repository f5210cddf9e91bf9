//! The lifter against a tree of files and a systemd made of shell.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::commands::daemon::systemctl::fake;
use crate::host::dir::Dir;

const OLD: u64 = 200 << 20;
const UNIT: &str = "/system.slice/a.service";
const POD: &str = "/pods/p1";

/// Keeps a unit's MemoryHigh in the file "high", writes drop-ins and the cgroup's file as systemd does, logs every call.
const SYSTEMD: &str = r#"
here=${0%/*}
echo "$*" >> "$here/calls"
file=$here/cgroup/system.slice/a.service/memory.high
case $* in
*NeedDaemonReload*) cat "$here/changed" ;;
*set-property*)
    value=${*##*MemoryHigh=}
    echo "$value" > "$here/high"
    mkdir -p "$here/control/a.service.d"
    printf '# made\n[Service]\nMemoryHigh=%s\n' "$value" > "$here/control/a.service.d/50-MemoryHigh.conf"
    [ "$value" = infinity ] && value=max
    [ ! -e "$file" ] || echo "$value" > "$file" ;;
*" show "*) printf 'LoadState=loaded\nControlGroup=/system.slice/a.service\nMemoryHigh=%s\n' "$(cat "$here/high")" ;;
esac
"#;

struct World {
    dir: TempDir,
    script: &'static str,
}

impl World {
    fn new(script: &'static str) -> Self {
        let world = Self { dir: tempfile::tempdir().unwrap(), script };
        fs::write(world.at("high"), format!("{OLD}\n")).unwrap();
        fs::write(world.at("changed"), "NeedDaemonReload=no\nNeedDaemonReload=yes\n").unwrap();
        for path in [UNIT, POD] {
            world.make(path);
        }
        fake::systemctl(world.dir.path(), script);
        world
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn high_of(&self, path: &str) -> PathBuf {
        self.at("cgroup").join(&path[1..]).join("memory.high")
    }

    fn make(&self, path: &str) {
        let file = self.high_of(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, format!("{OLD}\n")).unwrap();
    }

    fn id(&self, path: &str) -> u64 {
        fs::metadata(self.high_of(path).parent().unwrap()).unwrap().ino()
    }

    fn high(&self, path: &str) -> String {
        fs::read_to_string(self.high_of(path)).unwrap().trim().to_owned()
    }

    fn calls(&self) -> String {
        fs::read_to_string(self.at("calls")).unwrap_or_default()
    }

    fn drop_in(&self) -> PathBuf {
        self.at("control/a.service.d/50-MemoryHigh.conf")
    }

    fn notes(&self) -> usize {
        fs::read_dir(self.at("run/lift")).map_or(0, |entries| entries.count())
    }

    /// A daemon just started, in the boot called `boot`.
    fn daemon(&self, boot: &str) -> Lifting {
        let systemctl = crate::commands::daemon::systemctl::Systemctl { program: self.at("systemctl"), user: false };
        Lifting {
            root: Dir::open(&self.at("cgroup")).unwrap(),
            notes: Notes::below(&self.at("run")),
            manager: Manager { systemctl, folders: [self.at("control"), self.at("transient")], page_size: 4096 },
            boot: boot.to_owned(),
            lifted: Vec::new(),
            changed: 0,
        }
    }
}

/// A lift as the thread does it: what the limit was, and why systemd was not told if it was not.
fn lift(daemon: &mut Lifting, id: u64, path: &str, deadline: Instant) -> Result<(u64, Option<String>), String> {
    let old = daemon.raise(id, path.as_bytes())?;
    Ok((old, daemon.tell(id, deadline).err()))
}

fn soon() -> Instant {
    Instant::now() + DEADLINE
}

#[test]
fn a_cgroup_that_is_no_unit_is_lifted_and_restored_by_its_file() {
    let world = World::new(SYSTEMD);
    let mut daemon = world.daemon("b");
    let id = world.id(POD);
    assert_eq!(lift(&mut daemon, id, POD, soon()), Ok((OLD, None)));
    assert_eq!((world.high(POD).as_str(), world.notes()), ("max", 1));
    assert!(lift(&mut daemon, id, POD, soon()).is_err(), "it is lifted already");
    assert_eq!(daemon.restore(id, soon()), Ok(Restored::Back(None)));
    assert_eq!((world.high(POD), world.notes()), (OLD.to_string(), 0));
    assert!(matches!(daemon.restore(id, soon()), Ok(Restored::Left(_))));
    assert_eq!(world.calls(), "", "systemd has no part in it");
}

#[test]
fn a_unit_is_lifted_through_systemd_and_left_as_it_was() {
    let world = World::new(SYSTEMD);
    let mut daemon = world.daemon("b");
    let id = world.id(UNIT);
    assert_eq!(lift(&mut daemon, id, UNIT, soon()).unwrap().1, None);
    assert_eq!(fs::read_to_string(world.at("high")).unwrap(), "infinity\n");
    assert!(world.drop_in().exists());
    assert_eq!(daemon.restore(id, soon()), Ok(Restored::Back(None)));
    assert_eq!(world.high(UNIT), OLD.to_string());
    assert_eq!(fs::read_to_string(world.at("high")).unwrap(), format!("{OLD}\n"));
    assert!(!world.drop_in().parent().unwrap().exists(), "the drop-in is gone, and its folder");
    assert_eq!(world.notes(), 0);
    assert!(!world.calls().contains("daemon-reload"), "not before all is done: {}", world.calls());
    daemon.settle(soon());
    daemon.settle(soon());
    assert_eq!(world.calls().matches("daemon-reload\n").count(), 1, "{}", world.calls());
}

#[test]
fn edits_that_nobody_loaded_yet_are_not_loaded_by_a_restore() {
    let world = World::new(SYSTEMD);
    fs::write(world.at("changed"), "NeedDaemonReload=yes\nNeedDaemonReload=yes\n").unwrap();
    let mut daemon = world.daemon("b");
    let id = world.id(UNIT);
    lift(&mut daemon, id, UNIT, soon()).unwrap();
    assert_eq!(daemon.restore(id, soon()), Ok(Restored::Back(None)));
    daemon.settle(soon());
    assert!(!world.drop_in().exists());
    assert!(!world.calls().contains("daemon-reload"), "{}", world.calls());
}

#[test]
fn a_value_that_was_set_at_run_time_before_is_the_one_after() {
    let world = World::new(SYSTEMD);
    fs::create_dir_all(world.drop_in().parent().unwrap()).unwrap();
    fs::write(world.drop_in(), format!("[Service]\nMemoryHigh={OLD}\n")).unwrap();
    let mut daemon = world.daemon("b");
    let id = world.id(UNIT);
    lift(&mut daemon, id, UNIT, soon()).unwrap();
    assert!(fs::read_to_string(world.drop_in()).unwrap().ends_with("MemoryHigh=infinity\n"));
    assert_eq!(daemon.restore(id, soon()), Ok(Restored::Back(None)));
    assert!(fs::read_to_string(world.drop_in()).unwrap().ends_with(&format!("MemoryHigh={OLD}\n")));
    daemon.settle(soon());
    assert!(!world.calls().contains("daemon-reload"));
}

#[test]
fn what_systemd_does_not_know_of_is_none_of_its_business() {
    for (unit_has, path) in [("infinity", UNIT), ("104857600", UNIT), ("209715200", "/other.slice/a.service")] {
        let world = World::new(SYSTEMD);
        world.make(path);
        fs::write(world.at("high"), unit_has).unwrap();
        let mut daemon = world.daemon("b");
        lift(&mut daemon, world.id(path), path, soon()).unwrap();
        assert_eq!(world.high(path), "max");
        assert_eq!(daemon.restore(world.id(path), soon()), Ok(Restored::Back(None)));
        assert!(!world.calls().contains("set-property"), "{path} with {unit_has}: {}", world.calls());
    }
}

#[test]
fn without_systemd_the_file_does_it_and_somebody_is_told() {
    let cases = [
        ("echo 'Failed to connect to bus' >&2; exit 1", "connect to bus", DEADLINE),
        ("exec sleep 600", "in time", Duration::from_millis(300)),
    ];
    for (script, complaint, limit) in cases {
        let world = World::new(script);
        let mut daemon = world.daemon("b");
        let id = world.id(UNIT);
        let lifted = lift(&mut daemon, id, UNIT, Instant::now() + limit).unwrap();
        assert!(lifted.1.as_ref().is_some_and(|remark| remark.contains(complaint)), "{lifted:?}");
        assert_eq!(world.high(UNIT), "max");
        assert_eq!(daemon.restore(id, soon()), Ok(Restored::Back(None)), "systemd never had a part in it");
        assert_eq!((world.high(UNIT), world.notes()), (OLD.to_string(), 0));
    }
}

#[test]
fn a_systemd_that_fails_at_the_restore_is_told_later() {
    let world = World::new(SYSTEMD);
    let mut daemon = world.daemon("b");
    let id = world.id(UNIT);
    lift(&mut daemon, id, UNIT, soon()).unwrap();
    fs::write(world.at("script"), "exit 1").unwrap();
    let restored = daemon.restore(id, soon()).unwrap();
    assert!(matches!(&restored, Restored::Back(Some(remark)) if remark.contains("yet to be done")), "{restored:?}");
    assert_eq!((world.high(UNIT), world.notes()), (OLD.to_string(), 1));
    assert!(daemon.restore(id, soon()).is_err());
    // It is stuck again meanwhile.
    fs::write(world.at("script"), world.script).unwrap();
    assert_eq!(lift(&mut daemon, id, UNIT, soon()).unwrap().1, None);
    fs::write(world.at("script"), "exit 1").unwrap();
    assert!(matches!(daemon.restore(id, soon()), Ok(Restored::Back(Some(_)))));
    assert!(world.drop_in().exists());
    // The next daemon finishes it.
    fs::write(world.at("script"), world.script).unwrap();
    let mut next = world.daemon("b");
    assert_eq!(next.take_over(), [""; 0]);
    assert_eq!(next.restore(id, soon()), Ok(Restored::Back(None)));
    assert_eq!(fs::read_to_string(world.at("high")).unwrap(), format!("{OLD}\n"));
    assert!(!world.drop_in().exists());
    assert_eq!(world.notes(), 0);
}

#[test]
fn what_somebody_else_sets_stands() {
    for path in [UNIT, POD] {
        let world = World::new(SYSTEMD);
        let mut daemon = world.daemon("b");
        let id = world.id(path);
        lift(&mut daemon, id, path, soon()).unwrap();
        fs::write(world.high_of(path), "314572800\n").unwrap();
        let restored = daemon.restore(id, soon()).unwrap();
        assert!(matches!(&restored, Restored::Left(why) if why.ends_with("300 MiB")), "{restored:?}");
        assert_eq!(world.high(path), "314572800");
        assert_eq!(world.notes(), 0);
        daemon.settle(soon());
        assert!(!world.drop_in().exists(), "what the lift left is gone all the same");
        assert!(!world.calls().contains("daemon-reload"), "systemd would put its own value over theirs");
    }
    // The same through systemd: its drop-in is theirs, too.
    let world = World::new(SYSTEMD);
    let mut daemon = world.daemon("b");
    let id = world.id(UNIT);
    lift(&mut daemon, id, UNIT, soon()).unwrap();
    daemon.manager.systemctl.run(&["set-property", "a.service", "MemoryHigh=314572800"], soon()).unwrap();
    assert!(matches!(daemon.restore(id, soon()), Ok(Restored::Left(_))));
    assert_eq!(fs::read_to_string(world.at("high")).unwrap(), "314572800\n");
    assert!(world.drop_in().exists());
}

#[test]
fn the_next_daemon_restores_what_a_killed_one_left() {
    for path in [UNIT, POD] {
        let world = World::new(SYSTEMD);
        let id = world.id(path);
        lift(&mut world.daemon("b"), id, path, soon()).unwrap();
        let mut next = world.daemon("b");
        assert_eq!(next.take_over(), [""; 0]);
        assert_eq!(next.path(id).map(|path| path.as_bytes().to_vec()), Some(path.as_bytes().to_vec()));
        assert_eq!(next.restore(id, soon()), Ok(Restored::Back(None)));
        assert_eq!((world.high(path), world.notes()), (OLD.to_string(), 0));
    }
}

#[test]
fn a_note_of_an_earlier_boot_is_dropped_and_said() {
    let world = World::new(SYSTEMD);
    lift(&mut world.daemon("b"), world.id(POD), POD, soon()).unwrap();
    let mut next = world.daemon("c");
    let said = next.take_over();
    assert!(said.len() == 1 && said[0].contains(POD) && said[0].contains("earlier boot"), "{said:?}");
    assert_eq!((next.lifted.len(), world.notes()), (0, 0));
    assert_eq!(world.high(POD), "max", "it is not the one that was lifted");
}

#[test]
fn a_cgroup_made_anew_is_another_one_but_a_unit_stays_the_same() {
    let world = World::new(SYSTEMD);
    let mut daemon = world.daemon("b");
    let ids = [world.id(POD), world.id(UNIT)];
    for (id, path) in ids.iter().zip([POD, UNIT]) {
        lift(&mut daemon, *id, path, soon()).unwrap();
        // The new one has an inode of its own only while the old one is still there.
        let old = world.high_of(path).parent().unwrap().to_owned();
        fs::rename(&old, old.with_extension("old")).unwrap();
        world.make(path);
        fs::write(world.high_of(path), "max\n").unwrap();
    }
    assert_eq!(daemon.restore(ids[0], soon()), Ok(Restored::Left("it is gone".to_owned())));
    assert_eq!(world.high(POD), "max");
    // systemd would start the unit without its limit for ever.
    assert_eq!(daemon.restore(ids[1], soon()), Ok(Restored::Back(None)));
    assert_eq!(world.high(UNIT), OLD.to_string());
    assert!(!world.drop_in().exists());
    assert_eq!(world.notes(), 0);
}

#[test]
fn nothing_is_lifted_that_could_not_be_restored() {
    let world = World::new(SYSTEMD);
    let mut daemon = world.daemon("b");
    let id = world.id(POD);
    fs::write(world.at("run"), "a file where the folder should be").unwrap();
    assert!(lift(&mut daemon, id, POD, soon()).unwrap_err().contains("can't be noted"));
    fs::remove_file(world.at("run")).unwrap();
    assert_eq!(lift(&mut daemon, id + 1_000_000, POD, soon()).unwrap_err(), "it is gone");
    assert_eq!(lift(&mut daemon, id, "/pods/p2", soon()).unwrap_err(), "it is gone");
    assert_eq!(world.high(POD), OLD.to_string());
    fs::write(world.high_of(POD), "max\n").unwrap();
    assert_eq!(lift(&mut daemon, id, POD, soon()).unwrap_err(), "it has no memory.high to lift");
    assert_eq!(world.notes(), 0);
}

/// The next answer of the thread.
fn heard(lifter: &Lifter) -> Answer {
    lifter.answers.recv_timeout(DEADLINE).unwrap()
}

#[test]
fn the_thread_answers_and_puts_everything_back_at_its_end() {
    let world = World::new(SYSTEMD);
    let (unit, pod) = (world.id(UNIT), world.id(POD));
    lift(&mut world.daemon("b"), pod, POD, soon()).unwrap();
    let lifter = Lifter::with(world.daemon("b")).unwrap();
    assert!(matches!(heard(&lifter), Answer::Restored { id, old: OLD, path: Some(_), .. } if id == pod));
    assert!(lifter.lift(7, &CgroupPath::new(b"/nowhere").unwrap()));
    assert!(matches!(heard(&lifter), Answer::NotLifted { id: 7, .. }));
    for (id, path) in [(unit, UNIT), (pod, POD)] {
        assert!(lifter.lift(id, &CgroupPath::new(path.as_bytes()).unwrap()));
        assert!(matches!(heard(&lifter), Answer::Lifted { id: of, old: OLD, remark } if of == id && remark.is_empty()));
    }
    assert!(lifter.restore(pod));
    assert!(matches!(heard(&lifter), Answer::Restored { id, .. } if id == pod));
    assert!(lifter.lift(pod, &CgroupPath::new(POD.as_bytes()).unwrap()));
    assert!(matches!(heard(&lifter), Answer::Lifted { .. }));

    let mut told = Vec::new();
    assert!(lifter.stop(DEADLINE, |answer| told.push(answer)));
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().all(|answer| matches!(answer, Answer::Restored { old: OLD, .. })), "{told:?}");
    assert_eq!((world.high(UNIT), world.high(POD), world.notes()), (OLD.to_string(), OLD.to_string(), 0));
    assert!(world.calls().ends_with("daemon-reload\n"), "{}", world.calls());
}

#[test]
fn a_systemd_that_hangs_keeps_nobody_stuck() {
    let world = World::new("exec sleep 12");
    let mut pods = Vec::new();
    for n in 0..6 {
        let path = format!("/system.slice/s{n}.service");
        world.make(&path);
        pods.push(path);
    }
    let lifter = Lifter::with(world.daemon("b")).unwrap();
    let began = Instant::now();
    for path in &pods {
        assert!(lifter.lift(world.id(path), &CgroupPath::new(path.as_bytes()).unwrap()));
    }
    // The first was written before anybody was asked; the others wait for one question at most, not for one each.
    while pods.iter().any(|path| world.high(path) != "max") {
        assert!(began.elapsed() < DEADLINE * 2, "{:?}", pods.iter().map(|path| world.high(path)).collect::<Vec<_>>());
        thread::sleep(Duration::from_millis(10));
    }
    lifter.stop(Duration::ZERO, |_| ());
}

#[test]
fn an_end_that_can_not_wait_leaves_the_rest_to_the_next_start() {
    let world = World::new(SYSTEMD);
    let lifter = Lifter::with(world.daemon("b")).unwrap();
    assert!(lifter.lift(world.id(UNIT), &CgroupPath::new(UNIT.as_bytes()).unwrap()));
    assert!(matches!(heard(&lifter), Answer::Lifted { .. }));
    fs::write(world.at("script"), "exec sleep 600").unwrap();
    let began = Instant::now();
    let mut told = Vec::new();
    lifter.stop(Duration::from_millis(300), |answer| told.push(answer));
    assert!(began.elapsed() < DEADLINE, "it waited {:?}", began.elapsed());
    // The thread goes on when nobody waits for it any more.
    while world.high(UNIT) != OLD.to_string() {
        assert!(began.elapsed() < DEADLINE, "the cgroup itself has its limit again");
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(world.notes(), 1, "{told:?}");
}

#[test]
fn a_reload_that_takes_long_is_no_failure_to_restore() {
    let world = World::new(SYSTEMD);
    let lifter = Lifter::with(world.daemon("b")).unwrap();
    assert!(lifter.lift(world.id(UNIT), &CgroupPath::new(UNIT.as_bytes()).unwrap()));
    assert!(matches!(heard(&lifter), Answer::Lifted { .. }));
    let slow = format!("case $* in *NeedDaemonReload*) exec sleep 600 ;; esac\n{SYSTEMD}");
    fs::write(world.at("script"), slow).unwrap();
    assert!(lifter.stop(Duration::from_secs(8), |_| ()));
    assert_eq!((world.high(UNIT), world.notes()), (OLD.to_string(), 0));
}
