//! Of `run`.

#[cfg(feature = "metrics")]
use std::net::SocketAddr;

use clap::{Args, ValueEnum};

/// Of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Address and port to serve metrics at, or off.
    #[cfg(feature = "metrics")]
    #[arg(long, value_name = "ADDRESS", default_value = super::metrics::DEFAULT_LISTEN, value_parser = parse_listen)]
    pub listen: Listen,
    /// What becomes of the filters at the end: they stay, or are taken off. A run that is killed leaves them in any case.
    #[arg(long, value_name = "WHAT", value_enum, default_value_t)]
    pub on_exit: OnExit,
    /// Go on also where a file closes the port of your own session or of sshd.
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

/// What becomes of the filters at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OnExit {
    /// They stay.
    #[default]
    Stay,
    /// They are taken off.
    Detach,
}

#[cfg(feature = "metrics")]
fn parse_listen(text: &str) -> Result<Listen, String> {
    match text {
        "off" => Ok(Listen::Off),
        address => address.parse().map(Listen::At).map_err(|_| "write ADDRESS:PORT, or off".to_owned()),
    }
}
