//! What a person types to build, test, measure and show `fw`. One file a verb.

mod architecture;
mod audit;
mod bench;
mod build_ebpf;
mod command;
mod crates;
mod debian;
mod demo;
mod dist;
mod ebpf;
mod fuzz;
mod linked;
mod lint;
mod qemu;
mod root;
mod screenshot;
mod test;
mod vm;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Build, test, measure and show fw.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Build the BPF object from source, or check that the committed one is what the source says.
    BuildEbpf(build_ebpf::Options),
    /// Show the hole, and how one command closes it, on machines made of network namespaces.
    Demo(demo::Options),
    /// Run every test, with what they need installed.
    Test(test::Options),
    /// Build Debian packages, for every architecture that there is a compiler for.
    Dist(dist::Options),
    /// Measure what a packet and a command cost, beside xdp-filter.
    Bench(bench::Options),
    /// Take a picture of the live screen, docs/screen.svg, with made-up traffic and a real Docker.
    Screenshot(screenshot::Options),
    /// Have random bytes read for as long as wanted: frames, allow lists, files.
    Fuzz(fuzz::Options),
    /// Check what fw is built from: licences, origins, what is not used, the oldest versions; and run unsafe code under `AddressSanitizer`.
    Audit(audit::Options),
    /// Check format, clippy for the host and for BPF, documentation and unsafe code; every warning is an error.
    Lint(lint::Options),
}

fn main() -> ExitCode {
    // Cargo calls this very program in front of each rustc while it builds the BPF object.
    if let Some(code) = ebpf::wrapper::take_over() {
        return code;
    }
    let done = |()| ExitCode::SUCCESS;
    let result = match Cli::parse().verb {
        Verb::Demo(options) => demo::run(&options).map(done),
        Verb::Test(options) => test::run(&options),
        Verb::BuildEbpf(options) => build_ebpf::run(&options).map(done),
        Verb::Dist(options) => dist::run(&options).map(done),
        Verb::Bench(options) => bench::run(&options).map(done),
        Verb::Screenshot(options) => screenshot::run(&options).map(done),
        Verb::Fuzz(options) => fuzz::run(&options).map(done),
        Verb::Audit(options) => audit::run(&options).map(done),
        Verb::Lint(options) => lint::run(&options).map(done),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
