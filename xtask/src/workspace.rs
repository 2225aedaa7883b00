//! The paths of the workspace.

use std::{
    env,
    path::{Path, PathBuf},
};

/// The top folder of the source tree.
pub fn root() -> PathBuf {
    // At run time where cargo says so: the tree may have been moved after it was built.
    let manifest = env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    let is_top = |folder: &&Path| folder.join("Cargo.lock").exists();
    manifest.ancestors().find(is_top).unwrap_or(&manifest).to_path_buf()
}

/// Cargo's output folder.
#[must_use]
pub fn target() -> PathBuf {
    // Cargo takes a relative path from where it was started.
    env::var_os("CARGO_TARGET_DIR").map_or_else(
        || root().join("target"),
        |set| env::current_dir().map_or_else(|_| PathBuf::from(&set), |here| here.join(&set)),
    )
}

/// The folder of build tools, separate from those of the system.
#[must_use]
pub fn tools() -> PathBuf {
    target().join("tools")
}

/// The BPF object that is committed and embedded into `fw-user`.
#[must_use]
pub fn committed_object() -> PathBuf {
    root().join("fw-user/bpf/fw.bpf.o")
}

/// The path as a person in the source tree would write it.
#[must_use]
pub fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}
