//! What is asked: command lines, what is printed, what is refused before anything changes.

use super::*;

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
        // All is taken back, not some of it.
        ("--per-user 4G --revert", "cannot be used with"),
        ("--containers 4G --revert", "cannot be used with"),
    ] {
        let told = args(options).map(|args| format!("{args:?}")).unwrap_err();
        assert!(told.to_string().contains(why), "{options}: {told}");
        assert_eq!(told.exit_code(), i32::from(crate::commands::EXIT_USAGE), "{options}");
    }
    let good = args("--per-user 1.5G --containers 256MiB --apply").unwrap();
    assert_eq!((good.per_user, good.containers, good.apply), (Some(3 << 29), Some(256 << 20), true));
    assert!(args("--revert").unwrap().revert);
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
run systemctl daemon-reload
nothing has been changed; --apply does this"
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
fn what_apply_would_refuse_is_said_last() {
    let here = Fixture::new("");
    here.slice("user.slice/user-1000.slice", 2000);
    let told = here.run("--per-user 1G").unwrap();
    assert_eq!(told.stdout.last().unwrap(), "nothing has been changed");
    let last = told.stderr.last().unwrap();
    assert!(last.starts_with("note: --apply would refuse now: user-1000.slice (alice) holds 2.0 GiB"), "{last}");
    assert!(last.contains("give --per-user 2304M or more"), "to be pasted: {last}");
    here.apply("--per-user 2304M");
    let told = here.run("--per-user 2304M").unwrap();
    assert_eq!(told.stdout, ["nothing to change: all of it is there"]);
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
fn only_root_changes_anything() {
    let here = Fixture::new("");
    for options in ["--per-user 1G --apply", "--revert"] {
        let told = outcome(&args(options).unwrap(), &here.machine, false).unwrap_err();
        assert!(told.contains("needs root"), "{told}");
    }
}

#[test]
fn one_at_a_time() {
    let here = Fixture::new("");
    let _other = here.machine.tree.lock().unwrap();
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
fn caps_do_not_hang_on_weights() {
    // The controller is not there; it is, and the kernel has no weights for it.
    for (machine, slice) in [("cpu memory pids\n", "cpu memory pids\n"), ("cpu io memory\n", "cpu io memory\n")] {
        for told_by in ["reload", "deaf"] {
            let here = Fixture::new("");
            for plant in ["no-io", told_by] {
                here.write(plant, "");
            }
            here.write("sys/fs/cgroup/cgroup.controllers", machine);
            here.write("sys/fs/cgroup/system.slice/cgroup.controllers", slice);
            let before = here.everything();
            let told = here.apply("--per-user 1G");
            assert_eq!(here.max("user.slice/user-1000.slice"), "1073741824");
            assert_eq!(here.read("sys/fs/cgroup/system.slice/cpu.weight"), "200\n", "the other one is set");
            let note = "note: system.slice: this machine has no io.weight, and services don't come before users there; the \
                        caps hold";
            assert_eq!(told.stderr, [note]);
            here.revert();
            assert_eq!(here.everything(), before);
        }
    }
}
