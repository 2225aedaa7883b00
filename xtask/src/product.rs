//! The program that all of this is about, as the other verbs need it.

use std::path::PathBuf;

use anyhow::Result;

use crate::{command, workspace};

/// The product, as it is built for one purpose or the other.
#[derive(Clone, Copy)]
pub enum FwUser {
    /// Quickly built.
    Debug,
    /// The installed form.
    Release,
}

impl FwUser {
    /// The program.
    #[must_use]
    pub fn path(self) -> PathBuf {
        let folder = match self {
            Self::Debug => "debug",
            Self::Release => "release",
        };
        workspace::target().join(folder).join("fw-user")
    }

    /// Build it.
    pub fn build(self) -> Result<()> {
        eprintln!("building fw-user");
        // With the features of the whole workspace, or what the lab has compiled is compiled once more.
        let mut cargo = command::cargo();
        cargo.current_dir(workspace::root()).args(["build", "--quiet", "--locked", "--workspace", "--bin", "fw-user"]);
        match self {
            Self::Debug => {}
            Self::Release => drop(cargo.arg("--release")),
        }
        command::run(&mut cargo)
    }
}
