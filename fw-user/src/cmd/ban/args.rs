//! Arguments of `ban`, `unban` and `bans`.

use std::{ops::RangeInclusive, path::PathBuf};

use clap::Args;
use ipnet::IpNet;

use crate::{bans::ledger::set_name, cmd::ban::network::network, policy_text::timeouts};

/// The set of bans that are typed without `--set`.
pub(crate) const MANUAL: &str = "manual";

/// How long a ban may last, in seconds: ten years (`10y`), with leap days.
pub(crate) const LASTING: RangeInclusive<u32> = 1..=3653 * 86_400;

fn parse_lasting(text: &str) -> Result<u32, String> {
    timeouts::parse(text, &LASTING)
}

/// Arguments of `ban`.
#[derive(Debug, Args)]
pub struct BanArgs {
    /// Addresses and networks to ban.
    #[arg(required_unless_present = "load", value_name = "ADDRESS|NETWORK", value_parser = network)]
    pub networks: Vec<IpNet>,
    /// End the ban after TIME, such as 10m, 1h or 7d [default: never].
    #[arg(long = "for", value_name = "TIME", value_parser = parse_lasting)]
    pub lasting: Option<u32>,
    /// Add the bans to this set [default: manual].
    #[arg(long, value_name = "NAME", value_parser = set_name)]
    pub set: Option<String>,
    /// Replace the whole set with the networks in FILE (- for standard input): one per line, or in the format of ipset save, nft list set or
    /// Spamhaus DROP.
    #[arg(long, value_name = "FILE", requires = "set", conflicts_with = "networks")]
    pub load: Option<PathBuf>,
    /// Ban even networks that cover the peer of your session, a gateway, a resolver or this machine's own network.
    #[arg(long)]
    pub force: bool,
    /// Skip networks that cover one of these, and ban the rest.
    #[arg(long, conflicts_with = "force")]
    pub skip_own: bool,
}

/// Arguments of `unban`.
#[derive(Debug, Args)]
pub struct UnbanArgs {
    /// Addresses and networks to unban, as `fw-user bans` lists them.
    #[arg(required_unless_present = "set", value_name = "ADDRESS|NETWORK", value_parser = network)]
    pub networks: Vec<IpNet>,
    /// Unban only in this set [default: in every set]; without addresses, unban the whole set.
    #[arg(long, value_name = "NAME", value_parser = set_name)]
    pub set: Option<String>,
}

/// Arguments of `bans`.
#[derive(Debug, Args)]
pub struct BansArgs {
    /// List only this set [default: all].
    #[arg(long, value_name = "NAME", value_parser = set_name)]
    pub set: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}
