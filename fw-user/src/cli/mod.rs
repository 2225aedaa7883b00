//! The command line.

/// How ports are written, below the help of every command that takes them.
macro_rules! port_grammar {
    () => {
        "\
Ports are written PORT[-PORT][/PROTO][@NETWORK]: 22, 80/tcp, 6000-6010/udp, ssh, 22/tcp@192.168.1.0/24, 443@[2001:db8::]/32.
A port without a protocol means TCP and UDP."
    };
}

pub mod drops;
pub mod explain;
pub mod exposed;
pub mod hints;
#[cfg(feature = "metrics")]
pub mod metrics;
pub mod run;

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};
use fw_common::policy::Forward;

use crate::{
    bpf::{bpffs, flows, ingress::ModeChoice},
    config::DEFAULT_FOLDER,
};

use self::exposed::ExposedArgs;

/// Closes every port you did not open, including the ones Docker publishes: a host firewall in front of netfilter.
#[derive(Debug, Parser)]
#[command(name = "fw-user", version, about, disable_help_subcommand = true, arg_required_else_help = true)]
#[command(after_help = concat!(
    port_grammar!(),
    "

Exit codes: 0 done, 1 failed and nothing changed, 2 usage, 3 interface taken, 4 privilege missing, 5 changed in part or not reported.
Locked out? From the console: fw-user detach --all"
))]
pub struct Cli {
    /// Pin maps and links below this folder, and mount a BPF file system there if it is empty.
    #[arg(long, global = true, value_name = "DIR", default_value = bpffs::DEFAULT)]
    pub bpffs: PathBuf,

    /// Read and write the configuration files INTERFACE.toml in this folder; `run` takes a single file as well.
    #[arg(long, global = true, value_name = "DIR", default_value = DEFAULT_FOLDER)]
    pub config: PathBuf,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show listening sockets and published Docker ports, and which of them the network reaches.
    Exposed(ExposedArgs),
    /// Close every port of an interface except the allowed ones, until `detach` or a reboot.
    #[command(after_help = port_grammar!())]
    Attach(AttachArgs),
    /// Remove the filter and everything that belongs to it.
    Detach(DetachArgs),
    /// Open ports immediately.
    #[command(after_help = port_grammar!())]
    Allow(ChangeArgs),
    /// Close ports immediately.
    #[command(after_help = port_grammar!())]
    Deny(ChangeArgs),
    /// Apply the configuration files and print the changes.
    Apply(ApplyArgs),
    /// Check configuration files and print every mistake.
    Check(CheckArgs),
    /// Write the policy in force to the configuration files.
    Save(SaveArgs),
    /// Monitor mode: count verdicts, drop nothing.
    Monitor(InterfacesArgs),
    /// End monitor mode: drop packets again.
    Enforce(EnforceArgs),
    /// Keep a change made with --confirm.
    Confirm(InterfacesArgs),
    /// Undo a change made with --confirm that is not confirmed yet.
    Rollback(RollbackArgs),
    /// Show attached interfaces, their age and their open ports.
    Status(StatusArgs),
    /// Check everything a filter needs, and print each problem with its fix.
    Doctor(InterfacesArgs),
    /// Show passed and dropped packets: live on a terminal, once when piped.
    Stats(StatsArgs),
    /// Show dropped packets as they happen, or the last ones.
    Drops(drops::DropsArgs),
    /// Ask the filter about a packet: verdict, reason and fix.
    Explain(explain::ExplainArgs),
    /// Apply the configuration files, and reapply them on every change, until interrupted.
    Run(run::RunArgs),
    /// Serve Prometheus metrics, or write them to a file.
    #[cfg(feature = "metrics")]
    Metrics(metrics::MetricsArgs),
    /// Apply the configuration at every boot, before any address is configured (systemd).
    Service(ServiceArgs),
}

/// Of `attach`.
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line are what they are")]
#[derive(Debug, Args)]
pub struct AttachArgs {
    /// Interfaces to filter.
    #[arg(required = true, value_name = "INTERFACE")]
    pub interfaces: Vec<String>,
    /// Ports to keep open, separated by commas.
    #[arg(long, required = true, value_name = "PORTS")]
    pub allow: Vec<String>,
    /// IP protocols without ports to let in, separated by commas: gre, esp, 47.
    #[arg(long, value_name = "PROTOCOLS")]
    pub allow_proto: Vec<String>,
    /// Verdict for packets to open ports that are routed on to another machine or container; a router needs pass.
    #[arg(long, value_name = "VERDICT", default_value = "drop", value_parser = ["drop", "pass"])]
    forward: String,
    /// Run the filter in the driver (native) or in the network stack (generic); auto prefers native.
    #[arg(long, value_enum, default_value_t)]
    pub mode: ModeChoice,
    /// Remember up to N flows for each of IPv4 and IPv6 [default: 65536].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(flows::CAPACITY))]
    pub flows: Option<u32>,
    /// Monitor mode: count verdicts, drop nothing until `fw-user enforce`.
    #[arg(long)]
    pub monitor: bool,
    /// Safeguards against locking yourself out.
    #[command(flatten)]
    pub safeguards: Safeguards,
    /// Drop replies: only ping and DHCP work outward. For kernels with neither TCX nor clsact.
    #[arg(long)]
    pub no_replies: bool,
    /// Replace another XDP program on the interface.
    #[arg(long)]
    pub replace: bool,
    /// Print the verdict for each packet until interrupted; the filter stays attached.
    #[arg(long, conflicts_with_all = ["json", "confirm"])]
    pub debug: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

impl AttachArgs {
    /// What becomes of packets that would be routed on.
    #[must_use]
    pub fn forward(&self) -> Forward {
        self.forward.parse().unwrap_or_default()
    }
}

/// Safeguards against locking yourself out.
#[derive(Clone, Copy, Debug, Args)]
pub struct Safeguards {
    /// Undo the change after SECONDS unless you run `fw-user confirm`.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub confirm: Option<u32>,
    /// Proceed even if this closes the port of your own session or of sshd.
    #[arg(long)]
    pub force: bool,
}

/// Of `detach`.
#[derive(Debug, Args)]
pub struct DetachArgs {
    /// Interfaces to detach from.
    #[arg(required_unless_present = "all", value_name = "INTERFACE")]
    pub interfaces: Vec<String>,
    /// Detach from every interface that has the filter or leftovers of it.
    #[arg(long, conflicts_with = "interfaces")]
    pub all: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Of `allow` and `deny`.
#[derive(Debug, Args)]
pub struct ChangeArgs {
    /// Ports to change, separated by spaces or commas.
    #[arg(required = true, value_name = "PORTS")]
    pub specs: Vec<String>,
    /// Interface to change [default: all attached].
    #[arg(long, short, value_name = "INTERFACE")]
    pub interface: Vec<String>,
    /// Write the change to the configuration file as well. After --confirm, use `fw-user save` instead.
    #[arg(long, conflicts_with = "confirm")]
    pub save: bool,
    /// Safeguards against locking yourself out.
    #[command(flatten)]
    pub safeguards: Safeguards,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Of `apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// Interfaces to apply [default: all that have a file].
    #[arg(value_name = "INTERFACE")]
    pub interfaces: Vec<String>,
    /// Print the changes without making them.
    #[arg(long, conflicts_with = "confirm")]
    pub dry_run: bool,
    /// Safeguards against locking yourself out.
    #[command(flatten)]
    pub safeguards: Safeguards,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Files to check [default: all in the folder of --config].
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Of `save`.
#[derive(Debug, Args)]
pub struct SaveArgs {
    /// Interfaces to save [default: all attached].
    #[arg(value_name = "INTERFACE")]
    pub interfaces: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Of `monitor`, `confirm` and `doctor`.
#[derive(Debug, Args)]
pub struct InterfacesArgs {
    /// Interfaces to act on [default: all].
    #[arg(value_name = "INTERFACE")]
    pub interfaces: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Of `enforce`.
#[derive(Debug, Args)]
pub struct EnforceArgs {
    /// Which interfaces, and how to print.
    #[command(flatten)]
    pub of: InterfacesArgs,
    /// Safeguards against locking yourself out.
    #[command(flatten)]
    pub safeguards: Safeguards,
}

/// Of `rollback`.
#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// Which interfaces, and how to print.
    #[command(flatten)]
    pub of: InterfacesArgs,
    /// Wait for this second of `CLOCK_MONOTONIC`, then undo what nobody has confirmed.
    #[arg(long, hide = true, value_name = "SECOND")]
    pub at: Option<u32>,
}

/// Of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Of `stats`.
#[derive(Debug, Args)]
pub struct StatsArgs {
    /// Interfaces to show [default: all attached].
    #[arg(value_name = "INTERFACE")]
    pub interfaces: Vec<String>,
    /// Print once and exit, also on a terminal.
    #[arg(long, conflicts_with = "interval")]
    pub once: bool,
    /// Print every SECONDS, also when piped.
    #[arg(long, value_name = "SECONDS", value_parser = parse_interval)]
    pub interval: Option<Duration>,
    /// Print JSON, one object a line.
    #[arg(long)]
    pub json: bool,
}

/// Of `service`.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub struct ServiceArgs {
    /// What about it.
    #[command(subcommand)]
    pub action: ServiceAction,
}

/// What to do about the service.
#[derive(Debug, Subcommand)]
pub enum ServiceAction {
    /// Apply /etc/fw-user/INTERFACE.toml at every boot and whenever the interface appears.
    Install {
        /// Interface to apply; it may appear later.
        #[arg(value_name = "INTERFACE", value_parser = parse_interface)]
        interface: String,
    },
    /// Stop attaching at boot. An attached filter stays.
    Remove {
        /// Interface of the service.
        #[arg(value_name = "INTERFACE", value_parser = parse_interface)]
        interface: String,
    },
    /// Show the unit, whether it is enabled and active, and the file it applies.
    Show {
        /// Interface of the service.
        #[arg(value_name = "INTERFACE", value_parser = parse_interface)]
        interface: String,
    },
}

/// A name that means nothing else in a path, a unit or a udev rule. Linux takes 15 bytes.
fn parse_interface(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_@+".contains(&byte);
    if (1..=15).contains(&text.len()) && !text.starts_with('.') && text.bytes().all(is_plain) {
        Ok(text.to_owned())
    } else {
        Err("an interface's name has up to 15 letters, digits and . - _ @ +".to_owned())
    }
}

fn parse_interval(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "write a number of seconds".to_owned())?;
    if (0.1..=86_400.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("write 0.1 to 86400 seconds".to_owned())
    }
}
