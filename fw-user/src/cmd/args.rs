//! Arguments that several commands take.

use std::{convert::Infallible, time::Duration};

use clap::Args;
use ipnet::IpNet;

use crate::host::interface;

/// Arguments of `monitor`, `confirm` and `doctor`.
#[derive(Debug, Args)]
pub struct InterfacesArgs {
    /// Interfaces to act on [default: all].
    #[arg(value_name = "INTERFACE", value_parser = parse_name)]
    pub interfaces: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
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

/// Reads the name of an interface, or another name that Linux knows it by.
#[expect(clippy::unnecessary_wraps, reason = "clap asks for a result")]
pub(crate) fn parse_name(text: &str) -> Result<String, Infallible> {
    Ok(interface::meant(text))
}

/// Reads a number of seconds, 0.1 to 86400.
pub(crate) fn parse_interval(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "write a number of seconds".to_owned())?;
    if (0.1..=86_400.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("write 0.1 to 86400 seconds".to_owned())
    }
}

/// Reads an address or a network.
pub(crate) fn parse_network(text: &str) -> Result<IpNet, String> {
    text.parse()
        .or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from))
        .map_err(|_| "write an address or a network: 192.168.1.20, 192.168.1.0/24, 2001:db8::/32".to_owned())
}
