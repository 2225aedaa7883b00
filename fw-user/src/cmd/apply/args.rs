//! Arguments of `apply`.

use clap::Args;

use crate::cmd::args::{Safeguards, parse_name};

/// Arguments of `apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// Interfaces to apply [default: all that have a file or match a pattern].
    #[arg(value_name = "INTERFACE", value_parser = parse_name)]
    pub interfaces: Vec<String>,
    /// Print the changes without making them.
    #[arg(long, conflicts_with = "confirm")]
    pub dry_run: bool,
    /// Apply to each present interface separately: a failure does not stop the others, and an interface without a file is skipped.
    #[arg(long, conflicts_with = "confirm")]
    pub each: bool,
    /// Apply to the interface with this number (`ip link`), even if it is renamed meanwhile.
    #[arg(long, value_name = "NUMBER", conflicts_with = "interfaces")]
    pub index: Option<u32>,
    /// Safeguards against locking yourself out.
    #[command(flatten)]
    pub safeguards: Safeguards,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}
