//! Applied, and taken back: whole, cut short, refused halfway, meddled with.

use super::*;

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
