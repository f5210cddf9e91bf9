//! The C programs beside these tests: built when first needed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// One at a time in this process; others may build the same, so it appears whole.
static BUILDING: Mutex<()> = Mutex::new(());

/// The program built from `tests/pidns/NAME.c`; built again when its source is newer. Rust on Linux links with `cc`, so `cc`
/// is there.
pub fn build(name: &str) -> PathBuf {
    let _turn = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/pidns/{name}.c"));
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let changed = |path: &Path| path.metadata().and_then(|meta| meta.modified()).ok();
    if changed(&target) > changed(&source) {
        return target;
    }
    let built = target.with_extension(std::process::id().to_string());
    let status = Command::new("cc")
        .args(["-O2", "-Wall", "-Wextra", "-Werror", "-pthread", "-o"])
        .args([&built, &source])
        .status()
        .expect("run cc");
    assert!(status.success(), "cc could not build {}", source.display());
    std::fs::rename(&built, &target).expect("put it in its place");
    target
}
