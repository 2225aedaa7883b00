//! `cargo xtask test`: the tests, and what they need.

use std::{
    env, fs,
    io::{self, BufRead as _, BufReader, IsTerminal as _},
    path::PathBuf,
    process::{self, Command, ExitCode},
    thread,
};

use anyhow::{Context as _, Result};
use xtask::{
    architecture, command,
    debian::{self, Tool},
    qemu, root,
    tally::Tally,
    workspace,
};

use crate::lab;

/// Options of `test`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Also run the slow tests: boots, packages, every fault at every step, scanners, Prometheus, Ansible, shells
    #[arg(long)]
    all: bool,
    /// Run only tests whose name contains one of these, including slow tests
    #[arg(long, value_name = "FILTER,...", value_delimiter = ',')]
    only: Vec<String>,
    /// Run the tests that depend on the kernel, under qemu, in these kernels [default: all; `quick`: one of each architecture]
    #[arg(long, value_name = "KERNEL", num_args = 0.., conflicts_with = "all")]
    vm: Option<Vec<String>>,
    /// The same in your own kernel: an Image or a vmlinuz with everything built in
    #[arg(long, value_name = "FILE", conflicts_with_all = ["vm", "all"])]
    kernel: Option<PathBuf>,
}

/// The packages that the tests need, in addition to Debian's standard ones.
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
    debian::SYSTEMD_ANALYZE,
    debian::TMUX,
    debian::SCAPY,
];

/// The packages that the slow tests need as well.
const TOOLS_OF_ALL: &[Tool] = &[
    debian::MMDEBSTRAP,
    debian::MKE2FS,
    debian::LINTIAN,
    debian::MAN,
    debian::SHELLCHECK,
    debian::PROMETHEUS,
    debian::ANSIBLE,
    debian::FAIL2BAN,
    debian::CROWDSEC,
    debian::ZSH,
    debian::FISH,
    debian::NMAP,
    debian::HPING,
    debian::THC_IPV6,
    debian::IPV6_TOOLKIT,
    debian::XDP_FILTER,
    debian::IPTABLES,
    debian::IPERF3,
];

/// How the names of the slow tests begin.
const SLOW: &str = "full::";

/// Threads for each processor: most of a lab test is waiting.
const THREADS_A_PROCESSOR: usize = 3;

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    if options.vm.is_some() || options.kernel.is_some() {
        return lab::start();
    }
    // A test that is named may be a slow one.
    let is_slow = options.all || !options.only.is_empty();
    if is_slow {
        debian::provide(&[TOOLS, TOOLS_OF_ALL, &architecture::foreign_tools()?].concat())?;
        qemu::provide()?;
    } else {
        debian::provide(TOOLS)?;
    }
    root::mount_bpffs()?;
    let fw_user = build()?;
    let mut tally = Tally::default();
    let succeeded = play(cargo_test(options, is_slow)?.env("FW_USER", fw_user), &mut tally)?;
    Ok(tally.finish(succeeded).conclude(!options.only.is_empty()))
}

/// Build the tests and the product, the product once for all of them. Returns where it is: a copy, since what tests have cargo build
/// meanwhile, packages and the demo, would replace it in the middle of others.
fn build() -> Result<PathBuf> {
    eprintln!("building fw-user and the tests");
    let mut cargo = command::cargo();
    cargo.current_dir(workspace::root());
    cargo.args(["test", "--workspace", "--all-targets", "--locked", "--no-run", "--quiet"]);
    command::run(&mut cargo)?;
    let folder = workspace::target().join("tested");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let (built, copy) = (workspace::target().join("debug/fw-user"), folder.join("fw-user"));
    // Not over one that another run may have in use.
    let fresh = folder.join(format!("fw-user-{}", process::id()));
    fs::copy(&built, &fresh).with_context(|| format!("cannot copy {}", built.display()))?;
    fs::rename(&fresh, &copy).with_context(|| format!("cannot make {}", copy.display()))?;
    Ok(copy)
}

/// Run the tests, print what they say and count them. Returns whether all went well.
fn play(cargo: &mut Command, tally: &mut Tally) -> Result<bool> {
    // One pipe for both, so that cargo's lines (which binary runs) and the runner's stay in order.
    let (said, pipe) = io::pipe().context("cannot make a pipe")?;
    let running = cargo.stdout(pipe.try_clone()?).stderr(pipe).spawn();
    let mut running = running.context("cannot start `cargo test`")?;
    // The command holds the pipe's other end, which must be closed for the last line to be the last.
    cargo.stdout(io::stdout()).stderr(io::stderr());
    for line in BufReader::new(said).lines() {
        let line = line.context("cannot read what the tests say")?;
        if tally.read(&line) {
            println!("{line}");
        }
    }
    Ok(running.wait()?.success())
}

fn cargo_test(options: &Options, is_slow: bool) -> Result<Command> {
    let mut cargo = command::cargo();
    cargo.current_dir(workspace::root());
    cargo.args(["test", "--workspace", "--all-targets", "--locked", "--no-fail-fast", "--"]).args(&options.only);
    if !is_slow {
        cargo.args(["--skip", SLOW]);
    }
    let threads = thread::available_parallelism().map_or(2, usize::from) * THREADS_A_PROCESSOR;
    cargo.args(["--show-output", &format!("--test-threads={threads}")]);
    if io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none() {
        cargo.env("CARGO_TERM_COLOR", "always");
    }
    root::run_tests(&mut cargo)?;
    Ok(cargo)
}
