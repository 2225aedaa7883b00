//! The source of packages: the archive for an architecture, whose lists are read when something is missing.

use std::collections::BTreeSet;

use anyhow::Result;

use super::{folders, kernels::Kernel};
use xtask::debian::archive::Archive;

/// The suite that the guests' programs are from.
const PROGRAMS: &str = "trixie";

/// An archive that may not be needed.
pub(super) struct Source {
    architecture: &'static str,
    suites: BTreeSet<&'static str>,
    archive: Option<Archive>,
}

impl Source {
    /// For the kernels of an architecture.
    pub(super) fn new(architecture: &'static str, kernels: &[Kernel]) -> Self {
        let of_it = kernels.iter().filter(|kernel| kernel.architecture == architecture);
        let suites = of_it.map(|kernel| kernel.suite).chain([PROGRAMS]).collect();
        Self { architecture, suites, archive: None }
    }

    /// The archive.
    pub(super) fn archive(&mut self) -> Result<&Archive> {
        let archive = if let Some(archive) = self.archive.take() {
            archive
        } else {
            let suites: Vec<&str> = self.suites.iter().copied().collect();
            eprintln!("updating the package lists for {}: {}", self.architecture, suites.join(", "));
            Archive::open_for(self.architecture, &folders::folder(&["apt", self.architecture])?, &suites)?
        };
        Ok(self.archive.insert(archive))
    }
}
