//! The verbs of `cargo xtask` that need the product or the lab. `xtask` starts this program for them.

mod bench;
mod demo;
mod dist;
mod fuzz;
mod screenshot;
mod test;
mod vm;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use xtask::{ebpf::wrapper, verbs};

/// Test in other kernels, measure, package and show fw.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    #[command(about = verbs::DEMO)]
    Demo(demo::Options),
    /// Run the tests in kernels under qemu.
    Test(test::Options),
    #[command(about = verbs::DIST)]
    Dist(dist::Options),
    #[command(about = verbs::BENCH)]
    Bench(bench::Options),
    #[command(about = verbs::SCREENSHOT)]
    Screenshot(screenshot::Options),
    #[command(about = verbs::FUZZ)]
    Fuzz(fuzz::Options),
}

fn main() -> ExitCode {
    // Cargo calls this very program in front of each rustc while it builds a BPF object.
    if let Some(code) = wrapper::take_over() {
        return code;
    }
    run(&Cli::parse().verb).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(verb: &Verb) -> Result<ExitCode> {
    match verb {
        Verb::Test(options) => return test::run(options),
        Verb::Demo(options) => demo::run(options)?,
        Verb::Dist(options) => dist::run(options)?,
        Verb::Bench(options) => bench::run(options)?,
        Verb::Screenshot(options) => screenshot::run(options)?,
        Verb::Fuzz(options) => fuzz::run(options)?,
    }
    Ok(ExitCode::SUCCESS)
}
