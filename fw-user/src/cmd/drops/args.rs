//! Arguments of `drops`.

use std::path::PathBuf;

use clap::{Args, builder::PossibleValuesParser};
use fw_common::{Reason, Verdict};
use ipnet::IpNet;

use crate::cmd::args::{parse_name, parse_network};

/// Arguments of `drops`.
#[derive(Debug, Args)]
pub struct DropsArgs {
    /// Interfaces to watch [default: all attached].
    #[arg(value_name = "INTERFACE", value_parser = parse_name)]
    pub interfaces: Vec<String>,
    /// Print the last drops that the kernel keeps, then exit.
    #[arg(long, visible_alias = "once")]
    pub last: bool,
    /// Show only packets to these ports, separated by commas: 22, 6000-6010/udp, ssh.
    #[arg(long, value_name = "PORTS")]
    pub port: Vec<String>,
    /// Show only packets from these addresses or networks, separated by commas.
    #[arg(long, value_name = "NETWORK", value_delimiter = ',', value_parser = parse_network)]
    pub source: Vec<IpNet>,
    /// Show only packets dropped for these reasons, separated by commas: closed-port, martian.
    #[arg(long, value_name = "REASON", value_delimiter = ',', hide_possible_values = true, value_parser = reasons())]
    pub reason: Vec<String>,
    /// Write the packets as pcapng, each with its reason as a comment; `-` writes to standard output.
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    pub pcap: Option<PathBuf>,
    /// Print JSON, one object a line for each drop.
    #[arg(long)]
    pub json: bool,
}

/// The reasons that drop packets.
fn reasons() -> PossibleValuesParser {
    let drops = Reason::ALL.iter().filter(|reason| reason.verdict() == Verdict::Drop);
    PossibleValuesParser::new(drops.map(|reason| reason.name()))
}
