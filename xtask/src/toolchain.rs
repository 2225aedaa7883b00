//! The Rust compiler of this machine.

use std::{path::PathBuf, process::Command};

use anyhow::{Context as _, Result};

use crate::command;

/// The Rust compiler's name for this machine.
pub fn host() -> Result<String> {
    let said = command::output(Command::new("rustc").arg("-vV"))?;
    Ok(said.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc does not name its host")?.to_owned())
}

/// The active compiler's version.
pub fn rustc_version() -> Result<String> {
    let answer = command::output(Command::new("rustc").arg("--version"))?;
    let version = answer
        .split_whitespace()
        .nth(1)
        .with_context(|| format!("unexpected answer of `rustc --version`: {answer:?}"))?;
    Ok(version.into())
}

/// The active toolchain's folder.
pub fn sysroot() -> Result<PathBuf> {
    Ok(command::output(Command::new("rustc").args(["--print", "sysroot"]))?.trim_end().into())
}
