//! The command line.

pub mod hints;

/// The grammar of ports, below the help of every command that takes them.
macro_rules! port_grammar {
    () => {
        "\
Ports are written PORT[-PORT][/PROTO][@NETWORK]: 22, 80/tcp, 6000-6010/udp, ssh, 22/tcp@192.168.1.0/24, 443@[2001:db8::]/32.
The networks on the interface's own link, IPv4 and IPv6: 445@lan.
A port without a protocol means TCP and UDP. Every port of every protocol with ports, for one address or network: all@192.168.1.50."
    };
}

use std::path::PathBuf;

use clap::{Parser, Subcommand};

#[cfg(feature = "metrics")]
use crate::cmd::metrics::args::MetricsArgs;

use crate::{
    bans::store,
    cmd::{
        apply::args::ApplyArgs,
        args::InterfacesArgs,
        attach::args::AttachArgs,
        ban::args::{BanArgs, BansArgs, UnbanArgs},
        boot::args::{DisableArgs, EnableArgs},
        check::CheckArgs,
        completions::CompletionsArgs,
        detach::DetachArgs,
        drops::args::DropsArgs,
        enforce::EnforceArgs,
        explain::args::ExplainArgs,
        exposed::args::ExposedArgs,
        ports::args::{AllowArgs, ChangeArgs, LimitArgs},
        run::args::RunArgs,
        save::SaveArgs,
        service::args::ServiceArgs,
        stats::args::StatsArgs,
        status::args::StatusArgs,
        trial::confirm::RollbackArgs,
        uninstall::UninstallArgs,
    },
    config::DEFAULT_FOLDER,
    kernel::bpffs,
};

/// Closes every port you did not open, including the ones Docker publishes: a host firewall in front of netfilter.
#[derive(Debug, Parser)]
#[command(name = "fw-user", version, about, disable_help_subcommand = true, arg_required_else_help = true)]
#[command(after_help = concat!(
    port_grammar!(),
    "

Exit codes: 0 done, 1 failed and nothing changed, 2 usage, 3 interface taken, 4 privilege missing, 5 changed in part or not reported, 6 not filtered (status --check).
Locked out? From the console: fw-user detach --all"
))]
pub struct Cli {
    /// Pin maps and links below this folder, and mount a BPF file system there if it is empty.
    #[arg(long, global = true, value_name = "DIR", default_value = bpffs::DEFAULT)]
    pub bpffs: PathBuf,

    /// Read and write the configuration files INTERFACE.toml in this folder; `run` takes a single file as well.
    #[arg(long, global = true, value_name = "DIR", default_value = DEFAULT_FOLDER)]
    pub config: PathBuf,

    /// Keep the bans in this folder.
    #[arg(long, global = true, value_name = "DIR", default_value = store::DEFAULT_FOLDER)]
    pub state: PathBuf,

    /// The command.
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
    Allow(AllowArgs),
    /// Open TCP ports for so many connections of each sender, or let so many pings in.
    #[command(after_help = "\
Limits are written PORT[-PORT][/tcp][=COUNT/TIME][@NETWORK]: ssh, 22/tcp=6/30s, 2222=10/m@192.168.1.0/24, ping=100/s.
Without a rate: 6 connections in 30 seconds.")]
    Limit(LimitArgs),
    /// Close ports immediately, or refuse an open port to a network: deny 22@192.168.1.77.
    #[command(after_help = port_grammar!())]
    Deny(ChangeArgs),
    /// Drop every packet from addresses and networks, whatever port it goes to.
    Ban(BanArgs),
    /// Unban addresses, networks or a whole set.
    Unban(UnbanArgs),
    /// List the bans: networks, sets, and when each ban ends.
    Bans(BansArgs),
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
    /// Keep a change made with --confirm, and those that joined it.
    Confirm(InterfacesArgs),
    /// Undo an unconfirmed change made with --confirm, and those that joined it.
    Rollback(RollbackArgs),
    /// Show attached interfaces, their age and their open ports.
    Status(StatusArgs),
    /// Check everything a filter needs, and print each problem with its fix.
    Doctor(InterfacesArgs),
    /// Show passed and dropped packets: live on a terminal, once when piped.
    Stats(StatsArgs),
    /// Show dropped packets as they happen, or the last ones.
    Drops(DropsArgs),
    /// Ask the filter about a packet: verdict, reason and fix.
    Explain(ExplainArgs),
    /// Attach at every boot: write the rules in force to the configuration files, and enable the boot service (systemd).
    Enable(EnableArgs),
    /// Stop attaching at boot. An attached filter stays.
    Disable(DisableArgs),
    /// Apply the configuration files, and reapply them on every change, until interrupted.
    Run(RunArgs),
    /// Serve Prometheus metrics, or write them to a file.
    #[cfg(feature = "metrics")]
    Metrics(MetricsArgs),
    /// Print a shell's completion script: source <(fw-user completions bash)
    Completions(CompletionsArgs),
    /// Install, remove and show the boot service, which applies the configuration files (systemd).
    Service(ServiceArgs),
    /// Remove all filters, the boot service and its files; ask before your configuration files are deleted.
    Uninstall(UninstallArgs),
}
