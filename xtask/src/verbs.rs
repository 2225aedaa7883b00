//! The common part of `xtask` and `xtask-lab`: the way they start, and the help of the verbs that one hands to the other.

use std::process::ExitCode;

use anyhow::Result;

use crate::ebpf::wrapper;

/// Run a verb, and print its error. While cargo builds a BPF object, it calls this very program in front of each rustc instead.
pub fn main(verb: impl FnOnce() -> Result<ExitCode>) -> ExitCode {
    wrapper::take_over().unwrap_or_else(|| {
        verb().unwrap_or_else(|error| {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        })
    })
}

/// Of `demo`.
pub const DEMO: &str = "Show the hole in nftables with Docker, and how one command closes it. Uses network namespaces";
/// Of `dist`.
pub const DIST: &str = "Build Debian packages for every architecture that this machine can compile for";
/// Of `bench`.
pub const BENCH: &str = "Measure the cost of packets and commands, and compare with xdp-filter";
/// Of `screenshot`.
pub const SCREENSHOT: &str = "Draw the live screen to docs/screen.svg, with made-up traffic and a real Docker";
/// Of `fuzz`.
pub const FUZZ: &str = "Fuzz the parsers of frames, allow lists and files";
