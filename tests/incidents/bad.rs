//! Files and folders that are not what they should be: what is said, and that nothing else is lost.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use hogwatch::report::incident::load::{Archive, Link, MAX_FILE_BYTES, load_file};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::{Place, fixture, text_of};

/// Bad files, each with what must be said of it.
fn bad_files(place: &Place) -> Vec<(PathBuf, &'static str)> {
    let good = text_of("machine-kill");
    let mut bad = vec![
        (place.write("a-empty.json", ""), "empty; expected an incident in JSON"),
        (place.write("b-cut.json", &good[..good.len() / 2]), "cut short (EOF while parsing"),
        (place.write("c-garbage.json", b"\xff\xfe\x00garbage"), "not JSON"),
        (place.write("d-array.json", "[1, 2]"), "expected an object with \"schema\": 1"),
        (place.write("e-other.json", "{\"name\": 1}"), "no \"schema\" in it"),
        (place.write("f-word.json", "{\"schema\": \"one\"}"), "expected an object with \"schema\": 1"),
        (
            place.write("g-future.json", good.replacen("\"schema\": 1", "\"schema\": 7", 1)),
            "schema 7; this version reads 1: it was written by a later hogwatch",
        ),
        (place.write("h-old.json", "{\"schema\": 0}"), "schema 0; expected 1"),
        (
            place.write("i-type.json", good.replacen("\"begin_ms\": 17", "\"begin_ms\": \"17\", \"x\": 17", 1)),
            "no incident: invalid type: string \"17\", expected u64 at line ",
        ),
        (
            place.write("j-huge.json", vec![b' '; usize::try_from(MAX_FILE_BYTES).unwrap() + 1]),
            "larger than 4.0 MiB; no incident of hogwatch's is",
        ),
        (place.write("k-deep.json", "[".repeat(100_000)), "not JSON (recursion limit"),
    ];
    let link = place.incidents().join("l-link.json");
    symlink(fixture("machine-kill"), &link).unwrap();
    bad.push((link, "a symbolic link; expected a file that hogwatch wrote"));
    let fifo = place.incidents().join("m-fifo.json");
    mkfifo(&fifo, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    bad.push((fifo, "a fifo; expected an incident file"));
    let folder = place.incidents().join("n-folder.json");
    std::fs::create_dir(&folder).unwrap();
    bad.push((folder, "a directory; expected an incident file"));
    bad
}

#[test]
fn each_bad_file_is_named_with_its_fault() {
    let place = Place::new();
    for (path, fault) in bad_files(&place) {
        let said = load_file(&path, Link::Refuse).unwrap_err().to_string();
        assert!(said.starts_with(&format!("{}: ", path.display())), "{said}");
        assert!(said.contains(fault), "{fault:?} is not in: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn a_list_goes_on_past_bad_files_and_names_each() {
    let place = Place::new();
    let bad = bad_files(&place);
    let all_bad = place.run(&["incidents"]);
    assert_eq!((all_bad.status, all_bad.stdout.as_str()), (1, ""));
    place.write("20260727T221400Z-3.json", text_of("machine-kill"));
    let said = place.run(&["incidents"]);
    assert_eq!(said.status, 0);
    assert!(said.stdout.contains("20260727T221400Z-3"), "{}", said.stdout);
    assert_eq!(said.stderr.lines().count(), bad.len(), "{}", said.stderr);
    for (path, fault) in &bad {
        assert!(
            said.stderr.contains(fault) && said.stderr.contains(path.to_str().unwrap()),
            "{fault}: {}",
            said.stderr
        );
    }
    let latest = place.run(&["incidents", "show", "latest"]);
    assert_eq!(latest.status, 0);
    assert_eq!(latest.stderr.lines().count(), bad.len(), "a later one may be among them: {}", latest.stderr);
}

#[test]
fn a_single_bad_file_is_an_error() {
    let place = Place::new();
    place.write("20260727T221400Z-3.json", &text_of("machine-kill")[..500]);
    let said = place.run(&["incidents", "show", "20260727T221400Z-3"]);
    assert_eq!((said.status, said.stdout.as_str()), (1, ""));
    assert!(said.stderr.contains("cut short"), "{}", said.stderr);
    let gone = place.run(&["incidents", "show", "/nowhere/x.json"]);
    assert_eq!(
        (gone.status, gone.stderr.as_str()),
        (1, "hogwatch incidents: /nowhere/x.json: there is no such file\n")
    );
}

#[test]
fn a_person_may_name_a_link() {
    let place = Place::new();
    let link = place.path("copy.json");
    symlink(fixture("machine-kill"), &link).unwrap();
    let said = place.run(&["incidents", "show", link.to_str().unwrap()]);
    assert_eq!((said.status, said.stderr.as_str()), (0, ""));
}

#[test]
fn keys_that_are_not_known_are_no_fault() {
    let place = Place::new();
    let later = text_of("machine-kill").replacen('{', "{\"news\": {\"a\": [1]},", 1);
    place.write("20260727T221400Z-3.json", later);
    let said = place.run(&["incidents", "show", "--json", "latest"]);
    assert_eq!((said.status, said.stderr.as_str()), (0, ""));
    assert!(said.stdout.contains("\"news\""), "{}", said.stdout);
}

#[test]
fn a_folder_that_is_not_there_or_no_folder() {
    let place = Place::new();
    for (dir, fault) in [
        ("/nowhere/at/all", "/nowhere/at/all: there is no such directory"),
        (fixture("open").to_str().unwrap(), "not a directory"),
    ] {
        let said = place.run(&["incidents", "--dir", dir]);
        assert_eq!((said.status, said.stdout.as_str()), (1, ""), "{dir}");
        assert!(said.stderr.contains(fault), "{}", said.stderr);
    }
    std::fs::remove_dir_all(place.path("state")).unwrap();
    let nowhere = Archive::of(Some(&place.path("state")), &place.path("system"));
    let listing = nowhere.files();
    assert!(listing.files.is_empty());
    let said = listing.problems[0].to_string();
    assert!(said.contains("system: there is no such directory: no hogwatch daemon has kept its state here"), "{said}");
}

#[test]
fn who_may_not_read_is_told_of_the_group() {
    // Root may read everything; so it is tried as somebody else.
    let place = Place::new();
    place.write("20260727T221400Z-3.json", text_of("machine-kill"));
    std::fs::set_permissions(place.0.path(), PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::set_permissions(place.path("state"), PermissionsExt::from_mode(0o750)).unwrap();
    let mut command = place.command(&["incidents", "--dir", place.path("state/incidents").to_str().unwrap()]);
    if nix::unistd::geteuid().is_root() {
        std::os::unix::process::CommandExt::uid(&mut command, 65534);
        std::os::unix::process::CommandExt::gid(&mut command, 65534);
    } else {
        std::fs::set_permissions(place.path("state"), PermissionsExt::from_mode(0o0)).unwrap();
    }
    let tried = command.output();
    std::fs::set_permissions(place.path("state"), PermissionsExt::from_mode(0o750)).unwrap();
    let output = match tried {
        Ok(output) => output,
        // The binary lies where that user may not look.
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => return,
        Err(e) => panic!("{e}"),
    };
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("may not be read: a system's incidents are for root and members of the group hogwatch"),
        "{stderr}"
    );
}

/// Whatever stands in a file, each command that reads it ends by itself.
#[test]
fn no_file_makes_a_command_panic() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/incidents");
    let place = Place::new();
    let mut files = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        files += 1;
        place.write(path.file_name().unwrap().to_str().unwrap(), std::fs::read(&path).unwrap());
        let path = path.to_str().unwrap();
        for args in [
            &["incidents", "show", path][..],
            &["incidents", "show", path, "--json"],
            &["incidents", "report", path, "-o", "-"],
        ] {
            let said = place.run(args);
            assert_eq!((said.status, said.stderr.as_str()), (0, ""), "{args:?}");
        }
        for args in [&["replay", path][..], &["replay", path, "--json"]] {
            let said = place.run(args);
            // Not each has what can be replayed.
            assert!([0, 65].contains(&said.status), "{args:?}: {}", said.stderr);
        }
    }
    assert!(files > 15, "{files}");
    for args in [&["incidents", "list"][..], &["incidents", "list", "--json"]] {
        let said = place.run(args);
        assert_eq!((said.status, said.stderr.as_str()), (0, ""), "{args:?}");
    }
}
