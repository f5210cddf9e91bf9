//! Files that are not what they should be: each is refused, and none blocks.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use hogwatch::config::{Config, Places, load};
use nix::sys::stat::Mode;
use nix::unistd::{Uid, mkfifo, setfsuid};

use super::Machine;

const NOWHERE: Places = Places { file: None, machine: None, state: None };

/// What is said about a file that was named explicitly, without its path in front.
fn refusal(path: &Path) -> String {
    let error = load(Some(path), &NOWHERE).expect_err(&path.display().to_string());
    let said = error.to_string();
    let name = path.display().to_string();
    assert!(said.starts_with(&format!("{name}:")), "{said}");
    assert!(said.contains("\nhelp: "), "{said}");
    said[name.len() + 1..].to_owned()
}

#[test]
fn what_is_no_regular_file_is_refused_and_does_not_block() {
    let machine = Machine::new();
    let fifo = machine.path("fifo");
    mkfifo(&fifo, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    let socket = machine.path("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let dangling = machine.path("dangling");
    symlink("/nowhere/at/all", &dangling).unwrap();
    let looping = machine.path("looping");
    symlink(&looping, &looping).unwrap();
    let below_file = machine.write("file", "").join("hogwatch.toml");
    let rows: &[(&Path, &str)] = &[
        (machine.folder.path(), " it is a directory, not a file\n"),
        (&fifo, " it is a FIFO, not a file\n"),
        (&socket, " it is a socket, not a file\n"),
        (Path::new("/dev/zero"), " it is a device, not a file\n"),
        (Path::new("/dev/null"), " it is a device, not a file\n"),
        (&dangling, " it is a symbolic link to /nowhere/at/all, which does not exist\n"),
        (&looping, " it can't be read: "),
        (&machine.path("missing"), " there is no such file\n"),
        (&below_file, " a part of its path is not a directory\n"),
    ];
    for (path, said) in rows {
        let refusal = refusal(path);
        assert!(refusal.starts_with(said), "{refusal}");
    }
}

#[test]
fn a_file_that_may_not_be_read_is_refused() {
    let machine = Machine::new();
    let path = machine.write("secret.toml", "[memory]\nterm = \"6%\"\n");
    fs::set_permissions(&path, Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(machine.folder.path(), Permissions::from_mode(0o755)).unwrap();
    // A thread of its own: the file system's user id is a thread's, and root may read everything.
    let refused = std::thread::spawn(move || {
        if Uid::effective().is_root() {
            setfsuid(Uid::from_raw(65534));
        }
        refusal(&path)
    });
    assert_eq!(
        refused.join().unwrap(),
        " permission denied\nhelp: run as a user who may read it, or change its mode (chmod)"
    );
}

#[test]
fn a_large_file_is_refused() {
    let machine = Machine::new();
    let said = " it is larger than 256 KiB, the most that is read\n";
    let large = machine.write("large", "# x\n".repeat(1 << 18));
    assert!(refusal(&large).starts_with(said));
    let by_one = machine.write("by_one", "#".repeat((256 << 10) + 1));
    assert!(refusal(&by_one).starts_with(said));
    // A sparse file of a terabyte is not read to find that out.
    let sparse = machine.path("sparse");
    fs::File::create(&sparse).unwrap().set_len(1 << 40).unwrap();
    assert!(refusal(&sparse).starts_with(said));
    let largest = machine.write("largest", format!("#{}", "#".repeat((256 << 10) - 1)));
    assert_eq!(load(Some(&largest), &NOWHERE).unwrap().config, Config::default());
}

#[test]
fn a_binary_file_is_refused_with_the_place_of_the_first_wrong_byte() {
    let machine = Machine::new();
    let rows: &[(&[u8], &str)] = &[
        (b"\xff\xfe[\0m\0", "1:1: this is not a text file in UTF-8 (byte 0xff)\n"),
        (b"[memory]\nterm\xc3 = 1", "2:5: this is not a text file in UTF-8 (byte 0xc3)\n"),
        (b"[memory]\0", "1:9: this is not a text file in UTF-8 (byte 0x00)\n"),
        (b"\x7fELF\x02\x01\x01\0", "1:8: this is not a text file in UTF-8 (byte 0x00)\n"),
        (b"# caf\xe9\n", "1:6: this is not a text file in UTF-8 (byte 0xe9)\n"),
    ];
    for (bytes, said) in rows {
        let refusal = refusal(&machine.write("binary", bytes));
        assert!(refusal.starts_with(said), "{refusal}");
    }
    refusal(Path::new("/proc/self/exe"));
}

#[test]
fn a_bad_byte_behind_wide_characters_is_placed_rightly() {
    let machine = Machine::new();
    let refusal = refusal(&machine.write("wide", b"# \xc3\xa4\xc3\xb6\xff\n"));
    assert!(refusal.starts_with("1:5: "), "{refusal}");
}

#[test]
fn empty_files_and_byte_order_marks_are_fine() {
    let machine = Machine::new();
    for text in ["", "\n\n", "# nothing", "\u{feff}[memory]\n", "[memory]\r\n[swap]\r\n"] {
        let path = machine.write("empty", text);
        assert_eq!(load(Some(&path), &NOWHERE).unwrap().config, Config::default(), "{text:?}");
    }
}

#[test]
fn deep_nesting_is_refused_without_a_crash() {
    let machine = Machine::new();
    for text in [
        format!("a = {}", "[".repeat(100_000)),
        format!("a = {}", "{a = ".repeat(50_000)),
        format!("{} = 1", vec!["a"; 50_000].join(".")),
        format!("[{}]", vec!["a"; 50_000].join(".")),
    ] {
        let refusal = refusal(&machine.write("deep", text));
        assert!(refusal.starts_with("1:"), "{refusal}");
    }
}

#[test]
fn a_name_full_of_control_characters_is_escaped() {
    let machine = Machine::new();
    let path = machine.path("a\nb\u{1b}[31m");
    let said = load(Some(&path), &NOWHERE).unwrap_err().to_string();
    assert!(said.contains("/a\\nb\\u{1b}[31m: there is no such file\nhelp: "), "{said}");
}
