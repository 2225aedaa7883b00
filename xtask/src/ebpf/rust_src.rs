//! The standard library's source, from which `core` is built for the BPF target.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{command, debian, toolchain::sysroot, workspace};

/// The folder `library` of rustc's source, of the compiler's very version; it is installed first if it is not there.
pub fn provide(version: &str) -> Result<PathBuf> {
    let component = sysroot()?.join("lib/rustlib/src/rust/library");
    let unpacked = workspace::tools().join(format!("rust-src-{version}/library"));
    if let Some(found) = [&component, &unpacked].into_iter().find(|library| is_source(library)) {
        return Ok(found.clone());
    }
    if command::exists("rustup") {
        eprintln!("installing the standard library's source: rustup component add rust-src");
        match command::output(Command::new("rustup").args(["component", "add", "rust-src"])) {
            Ok(_) if is_source(&component) => return Ok(component),
            Ok(_) => eprintln!("rustup succeeded, but {} is missing", component.display()),
            Err(_) => eprintln!("rustup could not fetch it"),
        }
    }
    if debian::is_debian() {
        from_debian(version, &unpacked).context("cannot get the standard library's source from Debian either")?;
        return Ok(unpacked);
    }
    bail!("the standard library's source is missing; type `rustup component add rust-src`")
}

fn is_source(library: &Path) -> bool {
    library.join("core/src/lib.rs").is_file()
}

/// Debian's package of the same version holds the same source for every architecture. It is unpacked, not installed: no root, no
/// trace in the system or the toolchain.
fn from_debian(version: &str, library: &Path) -> Result<()> {
    let home = workspace::tools().join("rust-src-apt");
    let folder = library.parent().context("a folder under target/tools")?;
    eprintln!("unpacking Debian's rust-src {version} into {} (no root needed)", workspace::shown(folder));
    let package = debian::archive::Archive::open(&home, &["trixie-backports"])?
        .download("rust-src", &format!("{version}+dfsg"))?;

    let unpacked = home.join("unpacked");
    command::run(Command::new("dpkg").arg("-x").args([&package, &unpacked]))?;
    let source = unpacked.join(format!("usr/src/rustc-{version}/library"));
    if !is_source(&source) {
        bail!("{} has no {}", package.display(), source.display());
    }
    fs::create_dir_all(folder)?;
    fs::rename(&source, library).with_context(|| format!("cannot move {}", source.display()))?;
    fs::remove_dir_all(&home).with_context(|| format!("cannot remove {}", home.display()))
}
