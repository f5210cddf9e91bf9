//! `hogwatch incidents report`: one incident as a page with charts, in a file of its own.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::complain;
use crate::commands::print;
use crate::report::incident::advice::{advice, with_path};
use crate::report::incident::load::Archive;
use crate::report::{Escaped, html};

/// Options of `hogwatch incidents report`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  hogwatch incidents report latest                writes ID.html here
  hogwatch incidents report 20260728T03 -o /tmp/why.html
  ssh web-7 hogwatch incidents report latest -o - > web-7.html

The page is one file that needs no network and no script. It names processes and their command lines: it is written
readable by its owner only. A file that is there already is replaced, if it is a regular one.

Exit status: 0 done, 1 it can't be read or written, 4 no such incident.")]
pub(super) struct ReportArgs {
    /// Its id, the beginning of its id, `latest`, or the path of a file
    #[arg(value_name = "ID")]
    which: String,
    /// Where to; `-` is standard output [default: ID.html, in the current directory]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Readable by its owner only: command lines may carry secrets, as the incident's own file may.
const MODE: u32 = 0o600;

pub(super) fn run(args: &ReportArgs, archive: &Archive) -> ExitCode {
    let mut loaded = match archive.load(&args.which) {
        Ok(loaded) => loaded,
        Err(error) => return complain(&error),
    };
    if loaded.incident.advice.is_empty() {
        // A file that is not complete yet has none.
        loaded.incident.advice = advice(&loaded.incident);
    }
    for advice in &mut loaded.incident.advice {
        advice.text = with_path(&advice.text, &loaded.path);
    }
    let page = html::page(&loaded.incident);
    // Not by the id inside the file: whoever wrote it could choose the name.
    let file = args
        .output
        .clone()
        .unwrap_or_else(|| PathBuf::from(loaded.path.with_extension("html").file_name().unwrap_or_default()));
    if file == Path::new("-") {
        return print(&page, 0);
    }
    let name = Escaped(file.as_os_str().as_encoded_bytes());
    match replace(&file, page.as_bytes()) {
        Ok(()) => {
            eprintln!("wrote {name}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("hogwatch incidents report: {name}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes a file in one step: there is the old one, or the whole new one. What is no regular file stays as it is.
fn replace(file: &Path, content: &[u8]) -> io::Result<()> {
    let Some(name) = file.file_name() else {
        return Err(io::Error::other("names no file: give one, such as incident.html, or - for standard output"));
    };
    match file.symlink_metadata() {
        Ok(there) if !there.is_file() => {
            let words =
                "is there and no regular file, so it is not replaced: give another name, or - for standard output";
            return Err(io::Error::other(words));
        }
        _ => {}
    }
    let mut unfinished = OsString::from(".");
    unfinished.push(name);
    unfinished.push(format!(".{}.new", std::process::id()));
    let unfinished = file.with_file_name(unfinished);
    let mut out = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&unfinished)?;
    let written = out.write_all(content).and_then(|()| out.sync_all()).and_then(|()| fs::rename(&unfinished, file));
    if written.is_err() {
        // What is half there helps nobody.
        let _ = fs::remove_file(&unfinished);
    }
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_regular_file_is_replaced_and_nothing_is_left_over() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.html");
        fs::write(&file, "old").unwrap();
        replace(&file, b"new").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, MODE);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_regular_file_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (target, link, folder) = (dir.path().join("target"), dir.path().join("link"), dir.path().join("folder"));
        fs::write(&target, "precious").unwrap();
        symlink(&target, &link).unwrap();
        fs::create_dir(&folder).unwrap();
        for file in [link.as_path(), &folder, Path::new("/dev/null"), Path::new(""), Path::new("/")] {
            assert!(replace(file, b"new").is_err(), "{}", file.display());
        }
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }

    #[test]
    fn a_folder_that_is_missing_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let error = replace(&dir.path().join("no/such/a.html"), b"new").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
