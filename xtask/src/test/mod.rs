//! `cargo xtask test`: every test, and what they need.

mod tally;

use std::{
    env,
    io::{self, BufRead as _, BufReader, IsTerminal as _},
    path::PathBuf,
    process::{Command, ExitCode},
    thread,
};

use anyhow::{Context as _, Result};
use clap::builder::PossibleValuesParser;

use self::tally::{Counts, Tally};
use crate::{
    command,
    debian::{self, Tool},
    dist, qemu,
    root::{self, FwUser},
    vm::{self, Run, kernels},
    workspace,
};

/// Options of `test`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only the tests whose name contains one of these
    #[arg(long, value_name = "FILTER,...", value_delimiter = ',')]
    only: Vec<String>,
    /// Instead of all tests those that run in kernels under qemu: in every kernel, or in those that are named
    #[arg(long, value_name = "KERNEL", num_args = 0.., value_parser = PossibleValuesParser::new(kernels::names()))]
    vm: Option<Vec<String>>,
    /// The same in a kernel of your own, an Image or a vmlinuz that has what it takes built in
    #[arg(long, value_name = "FILE", conflicts_with = "vm")]
    kernel: Option<PathBuf>,
}

/// What the tests start, beside what every Debian has.
const TOOLS: &[Tool] = &[
    debian::IP,
    debian::NFT,
    debian::DOCKER,
    debian::DOCKER_CLI,
    debian::BUSYBOX,
    debian::STRACE,
    debian::BPFTOOL,
    debian::ETHTOOL,
    debian::TCPDUMP,
    debian::SSHD,
    debian::SSH,
    debian::MMDEBSTRAP,
    debian::MKE2FS,
    debian::SYSTEMD_ANALYZE,
    debian::LINTIAN,
    debian::MAN,
    debian::SHELLCHECK,
    debian::TMUX,
    debian::PROMETHEUS,
    debian::ANSIBLE,
    debian::ZSH,
    debian::FISH,
    debian::NMAP,
    debian::HPING,
    debian::THC_IPV6,
    debian::IPV6_TOOLKIT,
    debian::SCAPY,
];

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let mut tally = Tally::default();
    let run = match (&options.vm, &options.kernel) {
        (Some(names), _) => in_kernels(options, &mut tally, |run| run.debian(&kernels::named(names)))?,
        (None, Some(file)) => in_kernels(options, &mut tally, |run| run.own(file))?,
        (None, None) => here(options, &mut tally)?,
    };
    Ok(conclude(tally.finish(run), !options.only.is_empty()))
}

/// Run the tests that are for other kernels. Returns whether all went well.
fn in_kernels(
    options: &Options,
    tally: &mut Tally,
    boot: impl FnOnce(&mut Run<&mut dyn FnMut(&str)>) -> Result<()>,
) -> Result<bool> {
    debian::provide(&[vm::TOOLS, &dist::tools()?].concat())?;
    qemu::provide()?;
    let mut read = |line: &str| {
        if tally.read(line) {
            println!("{line}");
        }
    };
    let mut run = Run::new(&options.only, &mut read as &mut dyn FnMut(&str));
    boot(&mut run)?;
    let troubles = run.troubles();
    for trouble in &troubles {
        println!("\n{trouble}");
    }
    Ok(troubles.is_empty())
}

/// Run the tests of this machine's kernel. Returns whether all went well.
fn here(options: &Options, tally: &mut Tally) -> Result<bool> {
    debian::provide(&[TOOLS, &dist::tools()?].concat())?;
    qemu::provide()?;
    root::mount_bpffs()?;
    FwUser::Debug.build()?;

    // One pipe for both, so that cargo's lines (which binary runs) and the runner's stay in order.
    let (said, pipe) = io::pipe().context("cannot make a pipe")?;
    let mut cargo = cargo_test(options)?;
    let running = cargo.stdout(pipe.try_clone()?).stderr(pipe).spawn();
    let mut running = running.context("cannot start `cargo test`")?;
    // It holds the pipe's other end, which must be closed for the last line to be the last.
    drop(cargo);
    for line in BufReader::new(said).lines() {
        let line = line.context("cannot read what the tests say")?;
        if tally.read(&line) {
            println!("{line}");
        }
    }
    Ok(running.wait()?.success())
}

/// Say what was counted, and whether that is good.
fn conclude(counts: Counts, is_filtered: bool) -> ExitCode {
    // In CI a skipped test is a check that was not made.
    let strict = env::var_os("CI").is_some_and(|value| value == "true");
    if strict && counts.skipped > 0 {
        println!("\nskipped tests are failures in CI");
    }
    let nothing = is_filtered && counts == Counts::default();
    if nothing {
        println!("\nno test has that in its name");
    }
    println!("\n{counts}");
    let good = !nothing && counts.failed == 0 && !(strict && counts.skipped > 0);
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn cargo_test(options: &Options) -> Result<Command> {
    let mut cargo = command::cargo();
    cargo.current_dir(workspace::root()).args(["test", "--workspace", "--locked", "--no-fail-fast", "--"]);
    cargo.args(&options.only);
    // Most of a lab test is waiting, yet dockerd and the verifier want a processor each.
    let threads = thread::available_parallelism().map_or(2, usize::from).clamp(2, 8);
    cargo.args(["--show-output", &format!("--test-threads={threads}")]);
    if io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none() {
        cargo.env("CARGO_TERM_COLOR", "always");
    }
    root::run_tests(&mut cargo)?;
    Ok(cargo)
}
