//! `cargo xtask test`: every test, and what they need.

mod tally;

use std::{
    env,
    io::{self, BufRead as _, BufReader, IsTerminal as _},
    process::{Command, ExitCode},
    thread,
};

use anyhow::{Context as _, Result};

use self::tally::Tally;
use crate::{
    command,
    debian::{self, Tool},
    dist, qemu,
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
    let mut tally = Tally::default();
    for line in BufReader::new(said).lines() {
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
    let nothing = options.only.is_some() && counts == tally::Counts::default();
    if nothing {
        println!("\nno test has that in its name");
    }
    println!("\n{counts}");
    let good = !nothing && succeeded && counts.failed == 0 && !(strict && counts.skipped > 0);
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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
    if !root::is_root() {
        eprintln!("the tests need root for network namespaces and BPF: each test binary is started by `sudo -E`");
        let host = command::output(Command::new("rustc").arg("-vV"))?;
        let host = host.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc does not name its host")?;
        let name = host.to_uppercase().replace('-', "_");
        cargo.env(format!("CARGO_TARGET_{name}_RUNNER"), "sudo -E");
    }
    Ok(cargo)
}
