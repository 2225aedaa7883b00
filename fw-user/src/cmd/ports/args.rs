//! Arguments of `allow` and `deny`.

use clap::Args;
use fw_common::{entry::Entry, policy::Policy};

use crate::{
    cmd::args::{Safeguards, parse_name},
    policy_text::comment,
};

/// Which way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Allow {
        /// The comment on the entries.
        comment: Option<String>,
    },
    Deny,
}

impl Change {
    pub(crate) const fn verb(&self) -> &'static str {
        match self {
            Self::Allow { .. } => "allow",
            Self::Deny => "deny",
        }
    }

    /// Make the change; returns whether it changes what is open.
    pub(crate) fn make(&self, policy: &mut Policy, entries: &[Entry]) -> bool {
        let mut is_any = false;
        for entry in entries {
            is_any |= match self {
                Self::Allow { comment } => policy.allow_entry(*entry, comment.clone()),
                Self::Deny => policy.deny_entry(entry),
            };
        }
        is_any
    }
}

/// Arguments of `allow` and `deny`.
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
}
