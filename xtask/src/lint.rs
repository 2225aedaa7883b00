//! `cargo xtask lint`: format, imports, clippy for the host and for BPF, documentation; every warning is an error.

mod circles;

use std::{path::Path, process::Command};

use anyhow::Result;

use xtask::{command, ebpf, workspace};

/// Options of `lint`.
#[derive(clap::Args)]
pub(crate) struct Options {}

pub(crate) fn run(Options {}: &Options) -> Result<()> {
    provide("rustfmt", "fmt")?;
    provide("clippy", "clippy")?;
    let root = workspace::root();
    step("format");
    command::run(&mut in_folder(&root, &["fmt", "--all", "--check"]))?;
    for folder in ebpf::CRATES {
        command::run(&mut in_folder(&root.join(folder), &["fmt", "--check"]))?;
    }
    step("imports");
    circles::check(&root)?;
    step("clippy, host");
    let all = ["clippy", "--quiet", "--workspace", "--all-targets", "--features", "fw-guest/guest", "--locked"];
    command::run(in_folder(&root, &all).args(["--", "-Dwarnings"]))?;
    step("clippy, without optional features");
    let lean = ["clippy", "--quiet", "--package", "fw-user", "--no-default-features", "--locked", "--", "-Dwarnings"];
    command::run(&mut in_folder(&root, &lean))?;
    step("clippy, BPF");
    ebpf::clippy()?;
    step("documentation");
    let mut doc = in_folder(&root, &["doc", "--quiet", "--workspace", "--no-deps", "--locked"]);
    command::run(doc.env("RUSTDOCFLAGS", "-Dwarnings"))?;
    println!("lint: no problems");
    Ok(())
}

fn step(name: &str) {
    println!("lint: {name}");
}

fn in_folder(folder: &Path, arguments: &[&str]) -> Command {
    let mut cargo = command::cargo();
    cargo.current_dir(folder).args(arguments);
    cargo
}

/// Install a part of the toolchain if it is not there.
fn provide(component: &str, verb: &str) -> Result<()> {
    if command::output(command::cargo().args([verb, "--version"])).is_ok() {
        return Ok(());
    }
    eprintln!("installing {component}: rustup component add {component}");
    command::run(Command::new("rustup").args(["component", "add", component]))
}
