//! The C programs beside these tests: built when first needed.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The program built from `tests/pidns/NAME.c`; built again when its source is newer (each scenario is a process of its
/// own, and they run one at a time). Rust on Linux links with `cc`, so `cc` is there.
pub fn build(name: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/pidns/{name}.c"));
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let changed = |path: &Path| path.metadata().and_then(|meta| meta.modified()).ok();
    if changed(&target) > changed(&source) {
        return target;
    }
    let status = Command::new("cc")
        .args(["-O2", "-Wall", "-Wextra", "-Werror", "-pthread", "-o"])
        .args([&target, &source])
        .status()
        .expect("run cc");
    assert!(status.success(), "cc could not build {}", source.display());
    target
}
