//! Arguments of `ban`, `unban` and `bans`.

use std::{ops::RangeInclusive, path::PathBuf};

use clap::Args;
use ipnet::IpNet;

use crate::{bans::ledger::set_name, cmd::ban::network::network, policy_text::timeouts};

/// The set of bans that are typed.
pub(crate) const MANUAL: &str = "manual";

/// How long a ban may last, in seconds: what is typed as `10y` and a little more.
const LASTING: RangeInclusive<u32> = 1..=3653 * 86_400;

fn parse_lasting(text: &str) -> Result<u32, String> {
    timeouts::parse(text, &LASTING)
}

/// Arguments of `ban`.
#[derive(Debug, Args)]
pub struct BanArgs {
    /// Addresses and networks to ban.
    #[arg(required_unless_present = "load", value_name = "ADDRESS|NETWORK", value_parser = network)]
    pub networks: Vec<IpNet>,
    /// End the ban after TIME: 10m, 1h, 7d [default: never].
    #[arg(long = "for", value_name = "TIME", value_parser = parse_lasting)]
    pub lasting: Option<u32>,
    /// Ban in this set [default: manual].
    #[arg(long, value_name = "NAME", value_parser = set_name)]
    pub set: Option<String>,
    /// Replace the whole set by the networks in FILE (- for standard input): one a line, or as ipset save, nft list set or Spamhaus DROP write
    /// them.
    #[arg(long, value_name = "FILE", requires = "set", conflicts_with = "networks")]
    pub load: Option<PathBuf>,
    /// Ban even what covers your session, a gateway, a resolver or this machine's own network.
    #[arg(long)]
    pub force: bool,
    /// Leave out what covers these, and ban the rest.
    #[arg(long, conflicts_with = "force")]
    pub skip_own: bool,
}

/// Arguments of `unban`.
#[derive(Debug, Args)]
pub struct UnbanArgs {
    /// Addresses and networks, as they were banned.
    #[arg(required_unless_present = "set", value_name = "ADDRESS|NETWORK", value_parser = network)]
    pub networks: Vec<IpNet>,
    /// Lift bans of this set [default: of every set]; without addresses, all of them.
    #[arg(long, value_name = "NAME", value_parser = set_name)]
    pub set: Option<String>,
}

/// Arguments of `bans`.
#[derive(Debug, Args)]
pub struct BansArgs {
    /// Show this set [default: all].
    #[arg(long, value_name = "NAME", value_parser = set_name)]
    pub set: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}
