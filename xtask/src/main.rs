//! The commands to build, test, measure and show `fw`, one file per verb.
//!
//! The verbs here need neither the product nor the lab, so that `cargo xtask lint` does not compile them first. Those that do are in
//! `xtask-lab`, which this program builds and starts.

mod audit;
mod build_ebpf;
mod lab;
mod lint;
mod test;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use xtask::verbs;

/// Build, test, measure and show fw.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Build the BPF object from source, or compare it with the committed one.
    BuildEbpf(build_ebpf::Options),
    #[command(about = verbs::DEMO)]
    Demo(lab::Arguments),
    /// Install what the tests need, and run them.
    Test(test::Options),
    #[command(about = verbs::DIST)]
    Dist(lab::Arguments),
    #[command(about = verbs::BENCH)]
    Bench(lab::Arguments),
    #[command(about = verbs::SCREENSHOT)]
    Screenshot(lab::Arguments),
    #[command(about = verbs::FUZZ)]
    Fuzz(lab::Arguments),
    /// Check dependencies (licences, origins, unused, oldest), and run unsafe code under `AddressSanitizer`.
    Audit(audit::Options),
    /// Check format, clippy for host and BPF, and documentation. Warnings are errors.
    Lint(lint::Options),
}

fn main() -> ExitCode {
    verbs::main(|| run(&Cli::parse().verb))
}

fn run(verb: &Verb) -> Result<ExitCode> {
    match verb {
        Verb::Test(options) => return test::run(options),
        Verb::Demo(_) | Verb::Dist(_) | Verb::Bench(_) | Verb::Screenshot(_) | Verb::Fuzz(_) => return lab::start(),
        Verb::BuildEbpf(options) => build_ebpf::run(options)?,
        Verb::Audit(options) => audit::run(options)?,
        Verb::Lint(options) => lint::run(options)?,
    }
    Ok(ExitCode::SUCCESS)
}
