//! bpf-linker, built from its published source into target/tools.

use std::{path::PathBuf, process::Command};

use anyhow::Result;

use crate::{command, workspace};

const VERSION: &str = "0.10.3";

/// The linker's path; it is built first if it is not there.
pub(super) fn provide() -> Result<PathBuf> {
    let tools = workspace::tools();
    let linker = tools.join("bin/bpf-linker");
    let answer = command::output(Command::new(&linker).arg("--version")).unwrap_or_default();
    if answer.split_whitespace().nth(1) == Some(VERSION) {
        return Ok(linker);
    }
    eprintln!("building bpf-linker {VERSION} into {} (about a minute)", workspace::shown(&tools));
    command::run(
        command::cargo()
            .args(["install", "bpf-linker", "--version", VERSION, "--locked", "--quiet", "--force", "--root"])
            .arg(&tools)
            // Installed for this machine, whatever the workspace's builds are told.
            .env_remove("CARGO_ENCODED_RUSTFLAGS"),
    )?;
    Ok(linker)
}
