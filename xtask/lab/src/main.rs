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
use xtask::verbs;

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
    verbs::main(|| run(&Cli::parse().verb))
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
