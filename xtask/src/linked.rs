//! Programs that are linked statically: they want nothing of a system but its kernel. With glibc, for which there is a compiler in Debian for
//! every architecture; what it cannot do in such a program, asking the name service, nothing here does.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use crate::{
    architecture::Architecture,
    command,
    ebpf::{remap::Folders, rust_src, wrapper},
    toolchain::{rustc_version, sysroot},
    workspace,
};

/// The source of the standard library.
enum Std {
    /// The toolchain has it.
    Installed,
    /// It is built from this folder.
    Source(PathBuf),
}

/// A cargo command that builds such programs for an architecture, without a trace of this machine's folders, which are returned too. Where
/// the standard library has to be built first, `crates` says which of it.
pub fn cargo(architecture: &Architecture, host: &str, verb: &[&str], crates: &str) -> Result<(Command, Folders)> {
    let target = architecture.rust;
    let std = provide(target)?;
    let source = match &std {
        Std::Installed => None,
        Std::Source(folder) => Some(folder.as_path()),
    };
    let folders = Folders::find(&workspace::root().join("Cargo.toml"), source)?;
    let mut cargo = command::cargo();
    cargo.current_dir(workspace::root()).args(verb).args(["--locked", "--target", target, "--target-dir"]);
    cargo.arg(target_dir(architecture, host));
    cargo.env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static");
    wrapper::add_flags(&mut cargo, folders.flags())?;
    if let Some(linker) = architecture.linker(host) {
        cargo.env(format!("CARGO_TARGET_{}_LINKER", target.to_uppercase().replace('-', "_")), linker);
    }
    if let Some(source) = source {
        cargo.arg(format!("-Zbuild-std={crates}"));
        // Stable it is; what `-Z build-std` asks for is the only unstable feature.
        cargo.env("RUSTC_BOOTSTRAP", "1").env("__CARGO_TESTS_ONLY_SRC_ROOT", source);
    }
    Ok((cargo, folders))
}

/// Cargo's output folder for an architecture. The standard library of a foreign one may have to be built, with `RUSTC_BOOTSTRAP` set, which
/// build scripts and macros ask for: with a folder for both, each build would make what the other has made once more.
#[must_use]
pub fn target_dir(architecture: &Architecture, host: &str) -> PathBuf {
    if architecture.rust == host { workspace::target() } else { workspace::target().join("foreign") }
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
            Ok(_) => eprintln!("rustup succeeded, but {} is missing", library.display()),
            Err(_) => eprintln!("rustup could not fetch it"),
        }
    }
    eprintln!("building the standard library for {target} from its source");
    Ok(Std::Source(rust_src::provide(&rustc_version()?)?))
}
