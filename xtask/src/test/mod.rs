//! `cargo xtask test`: every test, and what they need.

mod tally;

use std::{
    env,
    io::{BufRead as _, BufReader},
    process::{Command, ExitCode, Stdio},
    thread,
};

use anyhow::{Context as _, Result};

use self::tally::Tally;
use crate::{
    command,
    debian::{self, Tool},
    root::{self, FwUser},
    workspace,
};

/// Options of `test`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only the tests whose name contains this
    #[arg(long, value_name = "FILTER")]
    only: Option<String>,
}

/// What the tests start, beside what every Debian has.
const TOOLS: [Tool; 5] = [debian::IP, debian::NFT, debian::DOCKER, debian::DOCKER_CLI, debian::BUSYBOX];

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    debian::provide(&TOOLS)?;
    root::mount_bpffs()?;
    FwUser::Debug.build()?;

    let mut cargo = cargo_test(options)?;
    let mut running = cargo.stdout(Stdio::piped()).spawn().context("cannot start `cargo test`")?;
    let stdout = running.stdout.take().context("standard output was asked to be a pipe")?;
    let mut tally = Tally::default();
    for line in BufReader::new(stdout).lines() {
        let line = line.context("cannot read what the tests say")?;
        if tally.read(&line) {
            println!("{line}");
        }
    }
    let succeeded = running.wait()?.success();
    let counts = tally.finish(succeeded);
    // In CI a skipped test is a check that was not made.
    let strict = env::var_os("CI").is_some_and(|value| value == "true");
    if strict && counts.skipped > 0 {
        println!("\nskipped tests are failures in CI");
    }
    println!("\n{counts}");
    let good = succeeded && counts.failed == 0 && !(strict && counts.skipped > 0);
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn cargo_test(options: &Options) -> Result<Command> {
    let mut cargo = command::cargo();
    cargo.current_dir(workspace::root()).args(["test", "--workspace", "--locked", "--no-fail-fast", "--"]);
    cargo.args(&options.only);
    // Most of a lab test is waiting, yet dockerd and the verifier want a processor each.
    let threads = thread::available_parallelism().map_or(2, usize::from).clamp(2, 8);
    cargo.args(["--show-output", &format!("--test-threads={threads}")]);
    if !root::is_root() {
        eprintln!("the tests need root for network namespaces and BPF: each test binary is started by `sudo -E`");
        let host = command::output(Command::new("rustc").arg("-vV"))?;
        let host = host.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc does not name its host")?;
        let name = host.to_uppercase().replace('-', "_");
        cargo.env(format!("CARGO_TARGET_{name}_RUNNER"), "sudo -E");
    }
    Ok(cargo)
}
