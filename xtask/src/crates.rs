//! Programs from crates.io, built from their published source into target/tools.

use std::{fs, path::PathBuf};

use anyhow::Result;

use crate::{command, workspace};

/// A crate that is a program, in the version that was tried.
pub struct Crate {
    /// Its name, which is its package's too.
    pub name: &'static str,
    /// The version that is installed.
    pub version: &'static str,
    /// How long that takes, for a person who waits.
    pub takes: &'static str,
}

impl Crate {
    /// The program's path; it is built first if it is not there in this version.
    pub fn provide(&self) -> Result<PathBuf> {
        let Self { name, version, takes } = self;
        let tools = workspace::tools();
        let program = tools.join("bin").join(name);
        // Cargo's record of its installations: "cargo-fuzz 0.13.2 (registry+...)" = [...].
        let noted = fs::read_to_string(tools.join(".crates.toml")).unwrap_or_default();
        if program.exists() && noted.contains(&format!("\"{name} {version} (")) {
            return Ok(program);
        }
        eprintln!("building {name} {version} into {} ({takes})", workspace::shown(&tools));
        command::run(
            command::cargo()
                .args(["install", name, "--version", version, "--locked", "--quiet", "--force", "--root"])
                .arg(&tools)
                // They run for seconds, and building them takes minutes.
                .envs([("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"), ("CARGO_PROFILE_RELEASE_LTO", "off")])
                // Installed for this machine, whatever the workspace's builds are told.
                .env_remove("CARGO_ENCODED_RUSTFLAGS"),
        )?;
        Ok(program)
    }
}
