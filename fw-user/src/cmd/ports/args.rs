//! Arguments of `allow` and `deny`.

use clap::Args;

use crate::cmd::args::Safeguards;

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Allow,
    Deny,
}

impl Change {
    pub(crate) const fn verb(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// Arguments of `allow` and `deny`.
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
