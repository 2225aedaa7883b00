//! Arguments of `explain`.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use clap::Args;

use crate::{cmd::args::parse_name, packet::build::EPHEMERAL};

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Destination port, written as for `allow` (9125/tcp, ssh), or an IP protocol without ports (icmp, gre).
    #[arg(required_unless_present_any = ["hex", "pcap"], value_name = "PORT")]
    pub target: Option<String>,
    /// Sender of the packet, such as 192.168.1.20 or `[2001:db8::20]:53` [default: another address of the interface's network].
    #[arg(long, value_name = "ADDRESS[:PORT]", value_parser = parse_sender)]
    pub from: Option<SocketAddr>,
    /// Destination address [default: the interface's own].
    #[arg(long, value_name = "ADDRESS")]
    pub to: Option<IpAddr>,
    /// Interface that receives the packet [default: the one that the route to the sender takes].
    #[arg(long, short, alias = "iface", value_name = "INTERFACE", value_parser = parse_name)]
    pub interface: Option<String>,
    /// Explain this Ethernet frame, given in hexadecimal digits; `-` reads them from standard input.
    #[arg(long, value_name = "DIGITS", conflicts_with_all = ["target", "from", "to", "pcap"])]
    pub hex: Option<String>,
    /// Explain each packet of a pcap or pcapng file on one line; `-` reads standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["target", "from", "to"])]
    pub pcap: Option<PathBuf>,
    /// Print JSON, one object a line for each packet.
    #[arg(long)]
    pub json: bool,
}

fn parse_sender(text: &str) -> Result<SocketAddr, String> {
    text.parse::<IpAddr>().map(|address| SocketAddr::new(address, EPHEMERAL)).or_else(|_| text.parse()).map_err(|_| {
        "write an address, 192.168.1.20, or one with a port: 192.168.1.20:53, [2001:db8::20]:53".to_owned()
    })
}
