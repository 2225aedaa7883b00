//! The Rust compiler of this machine.

use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command;

/// What the Rust compiler calls this machine.
pub fn host() -> Result<String> {
    let said = command::output(Command::new("rustc").arg("-vV"))?;
    Ok(said.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc does not name its host")?.to_owned())
}
