//! `cargo xtask audit`: what fw is built from, and what its unsafe code does to memory.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result};

use xtask::{command, crates::Crate, root, toolchain, workspace};

/// Options of `audit`.
#[derive(clap::Args)]
pub(crate) struct Options {}

const CARGO_DENY: Crate = Crate { name: "cargo-deny", version: "0.20.2", takes: "about four minutes" };
const CARGO_MACHETE: Crate = Crate { name: "cargo-machete", version: "0.9.2", takes: "about a minute" };

/// The manifests that have a lock file of their own.
const WORKSPACES: [&str; 4] = ["Cargo.toml", "fw-ebpf/Cargo.toml", "fw-ebpf-bench/Cargo.toml", "tests/fuzz/Cargo.toml"];

/// Tests in whose own process the unsafe code runs: system calls for BPF, maps of any kind, and bytes of anybody.
const UNSAFE: [&str; 3] = ["fuzz_corpus", "recorder", "table_kernel"];

pub(crate) fn run(Options {}: &Options) -> Result<()> {
    step("licences, origins and known vulnerabilities of the dependencies");
    check_allowed()?;
    step("unused dependencies");
    let machete = CARGO_MACHETE.provide()?;
    command::run(Command::new(machete).arg("--with-metadata").arg(workspace::root()))?;
    step("the oldest versions that the manifests accept");
    check_oldest_versions()?;
    step("unsafe code, under AddressSanitizer");
    run_sanitized()?;
    println!("audit: no problems");
    Ok(())
}

fn step(name: &str) {
    println!("audit: {name}");
}

/// Check the rules of deny.toml. The list of known vulnerabilities comes from GitHub, which not every machine reaches; without it, print that it was
/// not checked.
fn check_allowed() -> Result<()> {
    let deny = CARGO_DENY.provide()?;
    let run = |manifest: &str, arguments: &[&str]| {
        let mut run = Command::new(&deny);
        run.current_dir(workspace::root())
            .args(["--locked", "--config", "deny.toml", "--manifest-path", manifest])
            .args(arguments);
        run
    };
    for manifest in WORKSPACES {
        command::run(&mut run(manifest, &["check", "--hide-inclusion-graph", "licenses", "bans", "sources"]))?;
    }
    if let Err(error) = command::output(&mut run(WORKSPACES[0], &["fetch", "db"])) {
        println!("audit: known vulnerabilities NOT CHECKED: cannot download the list: {error:#}");
        return Ok(());
    }
    for manifest in WORKSPACES {
        command::run(&mut run(manifest, &["check", "--disable-fetch", "advisories"]))?;
    }
    Ok(())
}

/// Check that the workspace builds with the oldest version of each of its direct dependencies, so that the manifests are correct.
fn check_oldest_versions() -> Result<()> {
    let home = workspace::target().join("oldest");
    fs::create_dir_all(&home).with_context(|| format!("cannot create {}", home.display()))?;
    let lock = home.join("Cargo.lock");
    // As cargo has it: a file that is there is taken to be what is wanted.
    if lock.exists() {
        fs::remove_file(&lock)?;
    }
    command::run(&mut unstable(&["generate-lockfile", "--quiet", "-Zdirect-minimal-versions"], &lock))?;
    let check = ["check", "--quiet", "--workspace", "--all-targets"];
    command::run(unstable(&check, &lock).arg("--target-dir").arg(&home))
}

/// Cargo with a lock file elsewhere.
fn unstable(arguments: &[&str], lock: &Path) -> Command {
    let mut cargo = command::cargo();
    cargo.current_dir(workspace::root()).args(arguments).env("RUSTC_BOOTSTRAP", "1");
    cargo.args(["-Zlockfile-path", "--config", &format!("resolver.lockfile-path='{}'", lock.display())]);
    cargo
}

fn run_sanitized() -> Result<()> {
    root::mount_bpffs()?;
    let mut cargo = command::cargo();
    cargo.current_dir(workspace::root()).args(["test", "--quiet", "--locked", "--package", "fw-tests"]);
    cargo.args(UNSAFE.iter().flat_map(|test| ["--test", test])).args(["--target", &toolchain::host()?, "--target-dir"]);
    cargo.arg(workspace::target().join("sanitized"));
    // With --target the flags are not for build scripts, which have no need of it.
    cargo.env("RUSTFLAGS", "-Zsanitizer=address").env("RUSTC_BOOTSTRAP", "1");
    root::run_tests(&mut cargo)?;
    command::run(&mut cargo)
}
