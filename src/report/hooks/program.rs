//! Whether a hook's program can be started, as far as that can be told beforehand.

use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use super::environment::PATH;

/// Finds a program as it will be found for a hook: by its path, or on the hooks' own `PATH`.
///
/// # Errors
/// Why it can't be started, as a part of a sentence.
pub fn look_up(program: &str) -> Result<PathBuf, String> {
    if program.contains('/') {
        // A hook starts in `/`.
        return may_start(&Path::new("/").join(program));
    }
    let found = PATH.split(':').map(|folder| Path::new(folder).join(program)).find_map(|path| may_start(&path).ok());
    found.ok_or_else(|| format!("there is no program {program} on {PATH}"))
}

fn may_start(path: &Path) -> Result<PathBuf, String> {
    let shown = path.display();
    let meta = path.metadata().map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => format!("there is no {shown}"),
        _ => format!("{shown}: {e}"),
    })?;
    if !meta.is_file() {
        return Err(format!("{shown} is no file"));
    }
    access(path, AccessFlags::X_OK).map_err(|_| format!("{shown} is not executable (chmod +x)"))?;
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_can_not_be_started_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("hook.sh");
        std::fs::write(&file, "#!/bin/sh\n").unwrap();
        let shown = file.to_str().unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(look_up(shown).unwrap_err().contains("not executable"));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(look_up(shown).as_deref(), Ok(file.as_path()));
        assert!(look_up(dir.path().to_str().unwrap()).unwrap_err().ends_with("is no file"));
        assert_eq!(look_up("/nonexistent/hook"), Err("there is no /nonexistent/hook".to_owned()));
        assert!(look_up("no-such-program-anywhere").unwrap_err().contains(PATH));
        assert!(look_up("sh").unwrap().ends_with("sh"));
    }
}
