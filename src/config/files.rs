//! Reading configuration files that may be anything: a directory, a FIFO, a device, a huge or a binary file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::problem::{Bad, Problem, Source};

/// The largest file read, in bytes: 50 times the shipped one with all its comments. More is not a configuration.
const MAX_FILE: u64 = 256 * 1024;

/// The most drop-ins read; more of them are a mistake, and reading them would delay the start.
const MAX_DROP_INS: usize = 100;

/// Reads a file that must be there.
pub(super) fn read(path: &Path) -> Result<Source, Problem> {
    read_bytes(path).map_err(|bad| Problem::whole_file(path, bad)).and_then(|bytes| text(path, bytes))
}

/// Reads a file that need not be there; a symbolic link that leads nowhere is there, and wrong.
pub(super) fn read_if_there(path: &Path) -> Result<Option<Source>, Problem> {
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        _ => read(path).map(Some),
    }
}

/// The drop-ins of a file, `<file>.d/*.toml`, in the order of their names; hidden files are not among them.
pub(super) fn drop_ins(file: &Path) -> Result<Vec<PathBuf>, Problem> {
    let folder = folder_of_drop_ins(file);
    let entries = match fs::read_dir(&folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Problem::whole_file(&folder, cannot_read(&folder, &e))),
        Ok(entries) => entries,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| Problem::whole_file(&folder, cannot_read(&folder, &e)))?;
        let name = entry.file_name();
        if name.as_encoded_bytes().ends_with(b".toml") && !name.as_encoded_bytes().starts_with(b".") {
            found.push(folder.join(name));
        }
        if found.len() > MAX_DROP_INS {
            let bad = Bad::new(format!("it holds more than {MAX_DROP_INS} drop-ins"), "merge them into fewer files");
            return Err(Problem::whole_file(&folder, bad));
        }
    }
    found.sort();
    Ok(found)
}

/// The folder of a file's drop-ins.
pub(super) fn folder_of_drop_ins(file: &Path) -> PathBuf {
    let mut folder = file.as_os_str().to_owned();
    folder.push(".d");
    PathBuf::from(folder)
}

/// Whether a file or folder is another's, who lets nobody else read it.
pub(super) fn is_forbidden(path: &Path) -> bool {
    let seen = match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => File::open(path).map(drop),
        Ok(metadata) if metadata.is_dir() => fs::read_dir(path).map(drop),
        other => other.map(drop),
    };
    seen.is_err_and(|e| e.kind() == io::ErrorKind::PermissionDenied)
}

/// Whose folder keeps this user from a file: the first on its path that belongs to somebody else and may not be searched.
pub(super) fn kept_out_by(path: &Path) -> Option<&Path> {
    use std::os::unix::fs::MetadataExt;
    let refused = |path: &Path| fs::metadata(path).is_err_and(|e| e.kind() == io::ErrorKind::PermissionDenied);
    let (_, folder) =
        path.ancestors().zip(path.ancestors().skip(1)).find(|(below, above)| refused(below) && !refused(above))?;
    let owner = fs::metadata(folder).ok()?.uid();
    (owner != nix::unistd::geteuid().as_raw()).then_some(folder)
}

/// The bytes of a regular file of a sensible size. Nothing here can block on a FIFO or a device, or read without end.
fn read_bytes(path: &Path) -> Result<Vec<u8>, Bad> {
    // Looked at before it is opened: opening some devices (a watchdog, a tape) does something.
    let kind = |e: io::Error| cannot_read(path, &e);
    require_regular(&fs::metadata(path).map_err(kind)?)?;
    let file =
        OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path).map_err(kind)?;
    // And again through the descriptor: the name may have come to mean another file meanwhile.
    let metadata = file.metadata().map_err(kind)?;
    require_regular(&metadata)?;
    let too_large = || {
        Bad::new(
            format!("it is larger than {} KiB, the most that is read", MAX_FILE / 1024),
            "is this the right file? A configuration is a few KiB",
        )
    };
    if metadata.len() > MAX_FILE {
        return Err(too_large());
    }
    let bytes = read_at_most(&file, MAX_FILE + 1).map_err(kind)?;
    match bytes.len() as u64 > MAX_FILE {
        true => Err(too_large()),
        false => Ok(bytes),
    }
}

fn read_at_most(file: &File, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn require_regular(metadata: &fs::Metadata) -> Result<(), Bad> {
    let kind = metadata.file_type();
    let what = match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_dir() => "a directory",
        () if kind.is_fifo() => "a FIFO",
        () if kind.is_socket() => "a socket",
        () => "a device",
    };
    Err(Bad::new(format!("it is {what}, not a file"), "name a regular file"))
}

fn cannot_read(path: &Path, error: &io::Error) -> Bad {
    let target = fs::read_link(path);
    match (error.kind(), target) {
        (io::ErrorKind::NotFound, Ok(target)) => Bad::new(
            format!("it is a symbolic link to {}, which does not exist", target.display()),
            "create what it leads to, or remove the link",
        ),
        (io::ErrorKind::NotFound, Err(_)) => Bad::new("there is no such file", "check the path"),
        (io::ErrorKind::PermissionDenied, _) => {
            Bad::new("permission denied", "run as a user who may read it, or change its mode (chmod)")
        }
        (io::ErrorKind::NotADirectory, _) => Bad::new("a part of its path is not a directory", "check the path"),
        _ => Bad::new(format!("it can't be read: {error}"), "check the path and the file system"),
    }
}

/// The text of a file; TOML is UTF-8 without control characters but tab and newline.
fn text(path: &Path, bytes: Vec<u8>) -> Result<Source, Problem> {
    let (bytes, wrong) = match String::from_utf8(bytes) {
        Ok(text) => match text.find('\0') {
            None => {
                let path = path.to_owned();
                return Ok(Source { path, text });
            }
            Some(at) => (text.into_bytes(), at),
        },
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            (error.into_bytes(), at)
        }
    };
    let byte = bytes[wrong];
    let source = Source { path: path.to_owned(), text: String::from_utf8_lossy(&bytes).into_owned() };
    let bad = Bad::new(
        format!("this is not a text file in UTF-8 (byte 0x{byte:02x})"),
        "is this the right file? If it is, save it as UTF-8",
    );
    // What precedes the wrong byte is valid, so it has the same offset in the lossy text.
    Err(source.problem(wrong..wrong + 1, bad))
}
