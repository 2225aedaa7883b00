//! The command line.

pub mod drops;
pub mod explain;
pub mod exposed;
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

/// A host firewall in front of netfilter: closes every port but the allowed ones, those that Docker publishes included.
#[derive(Debug, Parser)]
#[command(name = "fw-user", version, about, disable_help_subcommand = true, arg_required_else_help = true)]
#[command(after_help = "\
Ports are written PORT[-PORT][/PROTO][@NETWORK]: 22, 80/tcp, 6000-6010/udp, ssh, 22/tcp@192.168.1.0/24, 443@[2001:db8::]/32.
A bare port means TCP and UDP.

Exit codes: 0 done, 1 failed and nothing changed, 2 usage, 3 interface taken, 4 privilege missing, 5 changed in part or not reported.
Locked out? From the console: fw-user detach --all")]
pub struct Cli {
    /// Folder below which maps and links are pinned; on an empty one a BPF file system is mounted.
    #[arg(long, global = true, value_name = "DIR", default_value = bpffs::DEFAULT)]
    pub bpffs: PathBuf,

    /// Folder of the files that say what may come in, NAME.toml; for `run`, a file as well.
    #[arg(long, global = true, value_name = "DIR", default_value = DEFAULT_FOLDER)]
    pub config: PathBuf,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what listens and what Docker publishes, and which of it the network reaches; nothing is changed.
    Exposed(ExposedArgs),
    /// Close every port of an interface but the allowed ones, at once and until `detach` or a reboot.
    Attach(AttachArgs),
    /// Take the filter off and leave nothing behind.
    Detach(DetachArgs),
    /// Open more ports, at once.
    Allow(ChangeArgs),
    /// Take open ports back, at once.
    Deny(ChangeArgs),
    /// Make interfaces as their files say, and print what changes.
    Apply(ApplyArgs),
    /// Find every mistake in files, without changing anything.
    Check(CheckArgs),
    /// Write what is in force into the files of the interfaces.
    Save(SaveArgs),
    /// Judge and count everything, and drop nothing, from now on.
    Monitor(InterfacesArgs),
    /// Drop what is judged so, from now on: the end of `monitor`.
    Enforce(EnforceArgs),
    /// Keep a change that was made with --confirm.
    Confirm(InterfacesArgs),
    /// Take a change back that was made with --confirm and is not confirmed yet.
    Rollback(RollbackArgs),
    /// Show what is attached where, since when, and which ports are open.
    Status(StatusArgs),
    /// Look at everything that a filter needs, say what is wrong and what cures it; nothing is changed.
    Doctor(InterfacesArgs),
    /// Show what passed and what was dropped: live on a terminal, once when piped.
    Stats(StatsArgs),
    /// Show each packet that is dropped, as it happens, or the last ones.
    Drops(drops::DropsArgs),
    /// Say what the filter does with a packet, why, and what to type if that is not what you want.
    Explain(explain::ExplainArgs),
    /// Apply the files, and apply them again when they change or an interface appears, until this is ended.
    Run(run::RunArgs),
    /// Serve metrics for Prometheus, or write them to a file.
    #[cfg(feature = "metrics")]
    Metrics(metrics::MetricsArgs),
    /// Attach at every boot, before any address is configured (systemd).
    Service(ServiceArgs),
}

/// Of `attach`.
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line are what they are")]
#[derive(Debug, Args)]
pub struct AttachArgs {
    /// Interfaces to filter.
    #[arg(required = true, value_name = "INTERFACE")]
    pub interfaces: Vec<String>,
    /// Ports that stay open, separated by commas.
    #[arg(long, required = true, value_name = "PORTS")]
    pub allow: Vec<String>,
    /// IP protocols without ports that may come in, separated by commas: gre, esp, 47.
    #[arg(long, value_name = "PROTOCOLS")]
    pub allow_proto: Vec<String>,
    /// Packets to allowed ports that would be routed on to another machine or container: drop, or pass on a router.
    #[arg(long, value_name = "VERDICT", default_value = "drop", value_parser = ["drop", "pass"])]
    forward: String,
    /// Where the filter runs: native is in the driver, generic in the network stack; auto takes native where the driver does.
    #[arg(long, value_enum, default_value_t)]
    pub mode: ModeChoice,
    /// How many flows to remember, for each of IPv4 and IPv6 [default: 65536].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(flows::CAPACITY))]
    pub flows: Option<u32>,
    /// Judge and count everything, but drop nothing until `fw-user enforce`.
    #[arg(long)]
    pub monitor: bool,
    /// How not to be locked out.
    #[command(flatten)]
    pub safeguards: Safeguards,
    /// Do not let replies in: nothing outward will work but ping and DHCP. For kernels that have neither TCX nor clsact.
    #[arg(long)]
    pub no_replies: bool,
    /// Take another XDP program off that is on the interface.
    #[arg(long)]
    pub replace: bool,
    /// Stay and print what the filter says of each packet, until Ctrl-C; the filter stays.
    #[arg(long, conflicts_with_all = ["json", "confirm"])]
    pub debug: bool,
    /// Print the outcome as JSON.
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

/// How not to be locked out.
#[derive(Clone, Copy, Debug, Args)]
pub struct Safeguards {
    /// Take everything back after so many seconds unless `fw-user confirm` follows.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub confirm: Option<u32>,
    /// Go on also where that closes the port of your own session or of sshd.
    #[arg(long)]
    pub force: bool,
}

/// Of `detach`.
#[derive(Debug, Args)]
pub struct DetachArgs {
    /// Interfaces to take the filter off.
    #[arg(required_unless_present = "all", value_name = "INTERFACE")]
    pub interfaces: Vec<String>,
    /// Every interface that has our filter or remains of it.
    #[arg(long, conflicts_with = "interfaces")]
    pub all: bool,
    /// Print the outcome as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Of `allow` and `deny`.
#[derive(Debug, Args)]
pub struct ChangeArgs {
    /// Ports, separated by spaces or commas.
    #[arg(required = true, value_name = "PORTS")]
    pub specs: Vec<String>,
    /// The interface to change; every attached one without.
    #[arg(long, short, value_name = "INTERFACE")]
    pub interface: Vec<String>,
    /// Put the change into the interface's file too. After --confirm, `fw-user save` does that.
    #[arg(long, conflicts_with = "confirm")]
    pub save: bool,
    /// How not to be locked out.
    #[command(flatten)]
    pub safeguards: Safeguards,
    /// Print the outcome as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Of `apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// Interfaces to apply the files of; all that have a file without.
    #[arg(value_name = "INTERFACE")]
    pub interfaces: Vec<String>,
    /// Print what would change, and change nothing.
    #[arg(long, conflicts_with = "confirm")]
    pub dry_run: bool,
    /// How not to be locked out.
    #[command(flatten)]
    pub safeguards: Safeguards,
    /// Print the outcome as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Files to check; those in the folder of --config without.
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Print the outcome as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Of `save`.
#[derive(Debug, Args)]
pub struct SaveArgs {
    /// Interfaces to write down; all that have a filter without.
    #[arg(value_name = "INTERFACE")]
    pub interfaces: Vec<String>,
    /// Print the outcome as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Of `monitor`, `confirm` and `doctor`.
#[derive(Debug, Args)]
pub struct InterfacesArgs {
    /// Interfaces that it is about; every one without.
    #[arg(value_name = "INTERFACE")]
    pub interfaces: Vec<String>,
    /// Print the outcome as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Of `enforce`.
#[derive(Debug, Args)]
pub struct EnforceArgs {
    /// Which interfaces, and how to print.
    #[command(flatten)]
    pub of: InterfacesArgs,
    /// How not to be locked out.
    #[command(flatten)]
    pub safeguards: Safeguards,
}

/// Of `rollback`.
#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// Which interfaces, and how to print.
    #[command(flatten)]
    pub of: InterfacesArgs,
    /// Wait for this second of `CLOCK_MONOTONIC`, and take back what nobody has confirmed by then.
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
    /// Interfaces to show; every attached one without.
    #[arg(value_name = "INTERFACE")]
    pub interfaces: Vec<String>,
    /// Print once and end, also on a terminal.
    #[arg(long, conflicts_with = "interval")]
    pub once: bool,
    /// Print anew every so many seconds, also when piped.
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
        /// The interface. It need not be there now.
        #[arg(value_name = "INTERFACE", value_parser = parse_interface)]
        interface: String,
    },
    /// Do not attach at boot any more. A filter that is attached stays.
    Remove {
        /// The interface.
        #[arg(value_name = "INTERFACE", value_parser = parse_interface)]
        interface: String,
    },
    /// Show the unit, whether it is enabled and active, and the file that it applies.
    Show {
        /// The interface.
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
