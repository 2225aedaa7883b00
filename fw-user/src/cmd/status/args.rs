//! Arguments of `status`.

use clap::Args;

use crate::cmd::args::parse_name;

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Interfaces to show [default: all].
    #[arg(value_name = "INTERFACE", value_parser = parse_name)]
    pub interfaces: Vec<String>,
    /// Exit with code 6 if an outside interface has an address and no filter, unless a file's `except` leaves it out, or if a filter is gone.
    #[arg(long)]
    pub check: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}
