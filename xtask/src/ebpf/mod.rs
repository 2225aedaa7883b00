//! The BPF programs from source: the tools, the build, and what makes its result the same everywhere.

pub mod leaks;
pub mod object;
pub mod remap;
pub mod rust_src;
pub mod wrapper;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{command, crates::Crate, toolchain::rustc_version, workspace};

/// The compiler that the committed object was made with. Another one makes other bytes.
const RUSTC: &str = "1.95.0";
const TARGET: &str = "bpfel-unknown-none";
/// aya-ebpf's bindings differ by machine only in what we do not use (registers, for probes), but would be named after the builder's.
const BINDINGS: &str = "--cfg=bpf_target_arch=\"x86_64\"";
/// Unsigned "less than" in one instruction, which every kernel since 4.14 has.
const INSTRUCTIONS: &str = "-Ctarget-cpu=v2";

/// Its default uses the compiler's own LLVM.
const LINKER: Crate = Crate { name: "bpf-linker", version: "0.10.3", takes: "about a minute" };

/// The programs that can be built.
#[derive(Clone, Copy)]
pub enum Program {
    /// The program that `fw-user` embeds.
    Filter,
    /// The programs of the benchmarks.
    Bench,
    /// The programs that make traffic for them.
    Traffic,
}

/// The folders of the crates that are built for BPF.
pub const CRATES: [&str; 2] = [PRODUCT, BENCH];
const PRODUCT: &str = "fw-ebpf";
const BENCH: &str = "fw-ebpf-bench";

impl Program {
    /// The folder of the crate, and the program in it.
    fn place(self) -> (&'static str, &'static str) {
        match self {
            Self::Filter => (PRODUCT, "fw-ebpf"),
            Self::Bench => (BENCH, "bench"),
            Self::Traffic => (BENCH, "traffic"),
        }
    }
}

/// Clippy over every program, for the target that they are built for.
pub fn clippy() -> Result<()> {
    let rust_src = rust_src::provide(&rustc_version()?)?;
    for folder in CRATES {
        let mut clippy = cargo("clippy", folder, &rust_src);
        command::run(clippy.env("CARGO_ENCODED_RUSTFLAGS", BINDINGS).args(["--", "-Dwarnings"]))?;
    }
    Ok(())
}

/// Build a program, and return the object without debug information and without a trace of this machine.
pub fn build(program: Program) -> Result<Vec<u8>> {
    let version = rustc_version()?;
    if version != RUSTC {
        bail!(
            "the BPF object is made with rustc {RUSTC}, this is {version}, and another compiler makes other bytes.\n\
             Type `rustup toolchain install {RUSTC}`, then `cargo +{RUSTC} xtask ...`."
        );
    }
    let rust_src = rust_src::provide(RUSTC)?;
    let (folder, bin) = program.place();
    let folders = remap::Folders::find(&workspace::root().join(folder).join("Cargo.toml"), Some(&rust_src))?;
    let mut cargo = cargo("build", folder, &rust_src);
    let linked_by = format!("-Clinker={}", LINKER.provide()?.display());
    let mut flags =
        vec![linked_by, "-Clinker-plugin-lto".into(), "-Clink-arg=--btf".into(), BINDINGS.into(), INSTRUCTIONS.into()];
    flags.extend(folders.flags());
    cargo.args(["--bin", bin]).env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    wrapper::name_crates(&mut cargo)?;
    command::run(&mut cargo)?;

    let path = target_dir().join(TARGET).join("release").join(bin);
    let whole = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let object = object::stripped(&whole).with_context(|| format!("cannot strip {}", path.display()))?;
    leaks::refuse(&object, &folders, &leaks::MACHINE_PATHS)?;
    Ok(object)
}

/// `cargo VERB` for a crate in a folder and its target.
fn cargo(verb: &str, folder: &str, rust_src: &Path) -> Command {
    let mut cargo = command::cargo();
    // A user's settings for host builds must not change these bytes.
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARGO_PROFILE_")) {
        cargo.env_remove(name);
    }
    cargo
        .current_dir(workspace::root().join(folder))
        .args([verb, "--quiet", "--release", "--locked", "-Zbuild-std=core", "--target", TARGET, "--target-dir"])
        .arg(target_dir())
        // Stable it is; what `-Z build-std` and the BPF assembly ask for are the only unstable features.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("__CARGO_TESTS_ONLY_SRC_ROOT", rust_src)
        // BTF is made from debug information.
        .env("CARGO_PROFILE_RELEASE_DEBUG", "full");
    cargo
}

fn target_dir() -> PathBuf {
    workspace::target().join("ebpf")
}
