//! The program of a package: linked statically, so that one file runs on every release of Debian, and the same bytes from every folder.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};

use xtask::{architecture::Architecture, command, ebpf::leaks, linked};

/// Build it into cargo's folder for the target.
pub(super) fn build(architecture: &Architecture, host: &str) -> Result<()> {
    let verb = ["build", "--quiet", "--release", "--package", "fw-user"];
    let (mut cargo, folders) = linked::cargo(architecture, host, &verb, "std,panic_unwind")?;
    command::run(cargo.env("CARGO_PROFILE_RELEASE_STRIP", "symbols"))?;

    let program = folder(architecture, host).join("fw-user");
    let bytes = fs::read(&program).with_context(|| format!("cannot read {}", program.display()))?;
    leaks::refuse(&bytes, &folders, &[])
}

/// The folder of cargo's output for a target.
pub(super) fn folder(architecture: &Architecture, host: &str) -> PathBuf {
    linked::target_dir(architecture, host).join(architecture.rust).join("release")
}
