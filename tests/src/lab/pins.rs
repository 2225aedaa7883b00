//! The pins of a lab, and replacements for them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use fw_common::abi::ABI_VERSION;

use super::{Lab, command};

impl Lab {
    /// The folder of all pins of a version.
    #[must_use]
    pub fn version_folder(&self, abi: u32) -> PathBuf {
        self.fw.bpffs().join(format!("fw-user/v{abi}"))
    }

    /// The folder of eth0's pins.
    #[must_use]
    pub fn pin_folder(&self) -> PathBuf {
        self.version_folder(ABI_VERSION).join("if-eth0")
    }
}

/// Pin a map of a kind and size that no version of ours has, in place of whatever is there.
///
/// # Errors
/// The kernel knows no such kind.
pub fn pin_other_map(path: &Path, kind: &str) -> Result<()> {
    pin_map(path, kind, [4, 12, 3])
}

/// Pin a map with these sizes of keys and values and this capacity, in place of whatever is there.
///
/// # Errors
/// The kernel refuses it.
pub fn pin_map(path: &Path, kind: &str, shape: [u32; 3]) -> Result<()> {
    if path.exists() {
        fs::remove_file(path)?;
    }
    let path = path.to_str().context("a path in UTF-8")?;
    let [key, value, entries] = shape.map(|number| number.to_string());
    let args =
        ["map", "create", path, "type", kind, "key", &key, "value", &value, "entries", &entries, "name", "other"];
    command::run(Command::new("bpftool").args(args)).map(drop)
}
