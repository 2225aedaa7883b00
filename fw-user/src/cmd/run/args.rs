//! Arguments of `run`.

#[cfg(feature = "metrics")]
use std::net::SocketAddr;

use clap::{Args, ValueEnum};

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Serve metrics at this address and port, or `off`.
    #[cfg(feature = "metrics")]
    #[arg(long, value_name = "ADDRESS", default_value = crate::cmd::metrics::args::DEFAULT_LISTEN, value_parser = parse_listen)]
    pub listen: Listen,
    /// Keep or detach the filters when `run` stops. A killed `run` always keeps them.
    #[arg(long, value_name = "WHAT", value_enum, default_value_t)]
    pub on_exit: OnExit,
    /// Apply a file even if it closes the port of your own session or of sshd.
    #[arg(long)]
    pub force: bool,
}

/// Where metrics are served.
#[cfg(feature = "metrics")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// At an address.
    At(SocketAddr),
    /// Nowhere.
    Off,
}

/// Whether filters stay when `run` stops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OnExit {
    /// Keep the filters.
    #[default]
    Stay,
    /// Detach the filters.
    Detach,
}

#[cfg(feature = "metrics")]
fn parse_listen(text: &str) -> Result<Listen, String> {
    match text {
        "off" => Ok(Listen::Off),
        address => address.parse().map(Listen::At).map_err(|_| "write ADDRESS:PORT, or off".to_owned()),
    }
}
