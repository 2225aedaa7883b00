//! The program of a package: linked statically, so that one file runs on every release of Debian, and the same bytes from every folder.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::architecture::Architecture;
use crate::{
    command,
    ebpf::{leaks, remap::Folders, rust_src, rustc_version, sysroot},
    workspace,
};

/// Where the standard library comes from.
enum Std {
    /// The toolchain has it.
    Installed,
    /// It is built from this folder.
    Source(PathBuf),
}

/// Build it into cargo's folder for the target.
pub(super) fn build(architecture: &Architecture, host: &str) -> Result<()> {
    let target = architecture.rust;
    let std = provide(target)?;
    let source = match &std {
        Std::Installed => None,
        Std::Source(folder) => Some(folder.as_path()),
    };
    let folders = Folders::find(&workspace::root().join("Cargo.toml"), source)?;
    let mut cargo = command::cargo();
    cargo.current_dir(workspace::root()).args(["build", "--quiet", "--release", "--locked", "--package", "fw-user"]);
    cargo.args(["--target", target]);
    let flags: Vec<String> = ["-Ctarget-feature=+crt-static".to_owned()].into_iter().chain(folders.flags()).collect();
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}")).env("CARGO_PROFILE_RELEASE_STRIP", "symbols");
    if let Some(linker) = architecture.linker(host) {
        cargo.env(format!("CARGO_TARGET_{}_LINKER", target.to_uppercase().replace('-', "_")), linker);
    }
    if let Some(source) = source {
        cargo.arg("-Zbuild-std=std,panic_unwind");
        // Stable it is; what `-Z build-std` asks for is the only unstable feature.
        cargo.env("RUSTC_BOOTSTRAP", "1").env("__CARGO_TESTS_ONLY_SRC_ROOT", source);
    }
    command::run(&mut cargo)?;

    let program = folder(architecture).join("fw-user");
    let bytes = fs::read(&program).with_context(|| format!("cannot read {}", program.display()))?;
    leaks::refuse(&bytes, &folders, &[])
}

/// Where cargo leaves what it builds for a target.
pub(super) fn folder(architecture: &Architecture) -> PathBuf {
    workspace::target().join(architecture.rust).join("release")
}

/// The toolchain's standard library; rustup fetches one that is missing, else it is built from source.
fn provide(target: &str) -> Result<Std> {
    let library = sysroot()?.join("lib/rustlib").join(target).join("lib");
    let is_there = |library: &Path| library.is_dir();
    if is_there(&library) {
        return Ok(Std::Installed);
    }
    if command::exists("rustup") {
        eprintln!("installing the standard library: rustup target add {target}");
        match command::output(Command::new("rustup").args(["target", "add", target])) {
            Ok(_) if is_there(&library) => return Ok(Std::Installed),
            Ok(_) => eprintln!("rustup is content, yet {} is not there", library.display()),
            Err(_) => eprintln!("rustup could not fetch it"),
        }
    }
    eprintln!("building the standard library for {target} from its source");
    Ok(Std::Source(rust_src::provide(&rustc_version()?)?))
}
