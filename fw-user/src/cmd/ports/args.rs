//! Arguments of `allow`, `limit` and `deny`.

use std::ops::RangeInclusive;

use clap::Args;
use fw_common::{actions::Action, entry::Entry, limit::Limit, policy::Policy, rate::Rate};

use crate::{
    cmd::args::{Safeguards, parse_name},
    error::Result,
    policy_text::{self, comment, timeouts},
};

/// How long a rule may last, in seconds.
const LASTING: RangeInclusive<u32> = 1..=365 * 86_400;

fn parse_lasting(text: &str) -> std::result::Result<u32, String> {
    timeouts::parse(text, &LASTING)
}

/// Which way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Allow {
        /// The comment on the entries.
        comment: Option<String>,
        /// When the ports are closed again, in nanoseconds of `CLOCK_BOOTTIME`.
        end: Option<u64>,
    },
    Limit {
        /// The comment on the limits.
        comment: Option<String>,
    },
    Deny,
}

/// What a change is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Ports, and the rate of a limit.
    Ports(Entry, Option<Rate>),
    /// Echo requests, and the rate of a limit; without one the limit is lifted.
    Ping(Option<Rate>),
}

impl Piece {
    /// The ports.
    pub(crate) const fn entry(&self) -> Option<&Entry> {
        match self {
            Self::Ports(entry, _) => Some(entry),
            Self::Ping(_) => None,
        }
    }
}

impl Change {
    pub(crate) const fn verb(&self) -> &'static str {
        match self {
            Self::Allow { .. } => "allow",
            Self::Limit { .. } => "limit",
            Self::Deny => "deny",
        }
    }

    /// Read what the change is about. `ping` can be limited, and allowed without a limit.
    pub(crate) fn read(&self, specs: &[String]) -> Result<Vec<Piece>> {
        let ports = |entry| Piece::Ports(entry, None);
        match self {
            Self::Limit { .. } => {
                let piece = |limit| match limit {
                    Limit::Ports(entry, rate) => Piece::Ports(entry, Some(rate)),
                    Limit::Ping(rate) => Piece::Ping(Some(rate)),
                };
                Ok(policy_text::limits(specs)?.into_iter().map(piece).collect())
            }
            Self::Allow { end: None, .. } if specs.iter().any(|spec| spec == fw_common::limit::PING) => {
                let others: Vec<String> =
                    specs.iter().filter(|spec| *spec != fw_common::limit::PING).cloned().collect();
                let entries = if others.is_empty() { Vec::new() } else { policy_text::typed(&others)? };
                Ok(entries.into_iter().map(ports).chain([Piece::Ping(None)]).collect())
            }
            Self::Allow { .. } | Self::Deny => Ok(policy_text::typed(specs)?.into_iter().map(ports).collect()),
        }
    }

    /// Make the change; returns whether there was anything to change.
    pub(crate) fn make(&self, policy: &mut Policy, pieces: &[Piece]) -> bool {
        let mut is_any = false;
        for piece in pieces {
            is_any |= match (*piece, self) {
                (Piece::Ping(rate), _) => std::mem::replace(&mut policy.ping, rate) != rate,
                (Piece::Ports(entry, Some(rate)), Self::Limit { comment }) => {
                    policy.act(entry, Action::Limit(rate), comment.clone())
                }
                (Piece::Ports(entry, _), Self::Allow { comment, end: Some(end) }) => {
                    policy.act(entry, Action::Until(*end), comment.clone())
                }
                (Piece::Ports(entry, _), Self::Allow { comment, end: None } | Self::Limit { comment }) => {
                    policy.allow_entry(entry, comment.clone())
                }
                (Piece::Ports(entry, _), Self::Deny) => policy.deny_entry(&entry) || policy.add_refusal(entry, None),
            };
        }
        is_any
    }
}

/// Arguments of `allow`, `limit` and `deny`.
#[derive(Debug, Args)]
pub struct ChangeArgs {
    /// Ports to change, separated by spaces or commas.
    #[arg(required = true, value_name = "PORTS")]
    pub specs: Vec<String>,
    /// Interface to change [default: all attached].
    #[arg(long, short, value_name = "INTERFACE", value_parser = parse_name)]
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

/// Arguments of `allow`.
#[derive(Debug, Args)]
pub struct AllowArgs {
    /// The change.
    #[command(flatten)]
    pub change: ChangeArgs,
    /// A comment on the ports, which `status` shows and `save` writes.
    #[arg(long, value_name = "TEXT", value_parser = comment)]
    pub comment: Option<String>,
    /// Close the ports again after TIME, such as 10m, 1h or 7d [default: never]. Files do not keep such a rule.
    #[arg(long = "for", value_name = "TIME", value_parser = parse_lasting, conflicts_with = "save")]
    pub lasting: Option<u32>,
}

/// Arguments of `limit`.
#[derive(Debug, Args)]
pub struct LimitArgs {
    /// The change.
    #[command(flatten)]
    pub change: ChangeArgs,
    /// A comment on the limits, which `status` shows and `save` writes.
    #[arg(long, value_name = "TEXT", value_parser = comment)]
    pub comment: Option<String>,
}
