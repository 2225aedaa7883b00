//! Arguments of `attach`.

use clap::Args;
use fw_common::{forward::Forward, refuse::Refuse};

use crate::{
    cmd::args::{Safeguards, parse_name},
    kernel::{attach::ingress::ModeChoice, maps::flows},
    policy_text::timeouts,
};

/// Arguments of `attach`.
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line are what they are")]
#[derive(Debug, Args)]
pub struct AttachArgs {
    /// Interfaces to filter.
    #[arg(required_unless_present = "all", value_name = "INTERFACE", value_parser = parse_name)]
    pub interfaces: Vec<String>,
    /// Filter every outside interface: every one through which other machines reach this one.
    #[arg(long)]
    pub all: bool,
    /// Leave these interfaces out of --all, by name or pattern, separated by commas.
    #[arg(long, requires = "all", value_delimiter = ',', value_name = "INTERFACES")]
    pub except: Vec<String>,
    /// Ports to keep open, separated by commas.
    #[arg(long, required = true, value_name = "PORTS")]
    pub allow: Vec<String>,
    /// IP protocols without ports to let in, separated by commas: gre, esp, 47.
    #[arg(long, value_name = "PROTOCOLS")]
    pub allow_proto: Vec<String>,
    /// Drop packets that are routed on to another machine or container, pass those to open ports, or name networks to which all of them
    /// pass, separated by commas: 10.8.0.0/24.
    #[arg(long, value_name = "drop|pass|NETWORKS", default_value_t)]
    pub forward: Forward,
    /// Answer TCP and UDP at closed ports for senders on the interface's own link (lan), so that their connections fail at once. Nobody else
    /// gets an answer.
    #[arg(long, value_name = "nobody|lan", default_value_t)]
    pub refuse: Refuse,
    /// Run the filter in the driver (native), at TC ingress (tc) or in the network stack (generic); auto prefers them in that order.
    #[arg(long, value_enum, default_value_t)]
    pub mode: ModeChoice,
    /// Remember up to N flows for each of IPv4 and IPv6, half of them for UDP [default: 65536].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(flows::CAPACITY))]
    pub flows: Option<u32>,
    /// Let replies in for TIME after the last packet of a UDP flow, 10s to 1d [default: 3m].
    #[arg(long, value_name = "TIME", value_parser = timeouts::parse_udp)]
    pub udp_timeout: Option<u32>,
    /// Attach at every boot too: write the configuration file and enable the boot service (systemd). With --all, also attach to interfaces
    /// that appear later.
    #[arg(long, conflicts_with = "confirm")]
    pub boot: bool,
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
