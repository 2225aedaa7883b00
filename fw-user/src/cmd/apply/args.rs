//! Arguments of `apply`.

use clap::Args;

use crate::cmd::args::Safeguards;

/// Of `apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// Interfaces to apply [default: all that have a file].
    #[arg(value_name = "INTERFACE")]
    pub interfaces: Vec<String>,
    /// Print the changes without making them.
    #[arg(long, conflicts_with = "confirm")]
    pub dry_run: bool,
    /// Safeguards against locking yourself out.
    #[command(flatten)]
    pub safeguards: Safeguards,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}
