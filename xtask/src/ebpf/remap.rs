//! The folders of this machine that the compiler writes into its output, and their replacements.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::{command, toolchain::sysroot, workspace};

/// Folders of this machine, each with the name that takes its place.
pub struct Folders {
    names: Vec<(PathBuf, &'static str)>,
    registries: Vec<String>,
}

impl Folders {
    /// Find all that take part in a build. The packages are fetched, so that the registry's folder exists; `rust_src` is the standard
    /// library's source, where that is built too.
    pub fn find(manifest: &Path, rust_src: Option<&Path>) -> Result<Self> {
        command::run(command::cargo().args(["fetch", "--quiet", "--locked", "--manifest-path"]).arg(manifest))?;

        let mut folders = vec![(workspace::root(), "fw"), (workspace::target(), "target"), (sysroot()?, "sysroot")];
        folders.extend(rust_src.map(|folder| (folder.to_owned(), "rust")));
        let mut registries = Vec::new();
        for registry in registry_sources()? {
            registries.extend(registry.file_name().map(|name| name.to_string_lossy().into_owned()));
            folders.push((registry, "registry"));
        }
        // A link and what it leads to are two names of one folder, and the compiler may write either.
        let mut names = BTreeSet::new();
        for (folder, name) in folders {
            names.extend(folder.canonicalize().ok().map(|real| (real, name)));
            names.insert((folder, name));
        }
        let mut names: Vec<_> = names.into_iter().collect();
        // The last that fits is the one that the compiler takes: the inner folder after the outer one.
        names.sort_by_key(|(folder, _)| folder.as_os_str().len());
        Ok(Self { names, registries })
    }

    /// The compiler's flags.
    pub fn flags(&self) -> impl Iterator<Item = String> {
        self.names.iter().map(|(folder, name)| format!("--remap-path-prefix={}={name}", folder.display()))
    }

    /// Strings that must not be in an object: these folders, and the names of the registries that they were filled from.
    pub fn traces(&self) -> impl Iterator<Item = String> {
        let folders = self.names.iter().map(|(folder, _)| folder.display().to_string());
        // Cargo calls such a folder HOST-HASH.
        let hosts = self.registries.iter().map(|name| name.rsplit_once('-').map_or(&**name, |(host, _)| host).into());
        folders.chain(hosts)
    }
}

fn registry_sources() -> Result<Vec<PathBuf>> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| env::home_dir().map(|home| home.join(".cargo"))).context("there is no home folder")?;
    let sources = home.join("registry/src");
    let folders = fs::read_dir(&sources).with_context(|| format!("cannot read {}", sources.display()))?;
    folders.map(|folder| Ok(folder?.path())).collect()
}
