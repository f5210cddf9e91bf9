//! Docker, podman, and who else keeps containers.

use super::*;

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
    let told = here.apply("--per-user 2G");
    assert!(told.stderr.iter().any(|line| line.contains("docker.slice had a cap by --containers")), "{told:?}");
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
