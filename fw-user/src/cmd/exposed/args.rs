//! The arguments of `fw-user exposed`.

use clap::Args;

use crate::cmd::args::parse_name;

/// Arguments of `exposed`.
#[derive(Debug, Args)]
pub struct ExposedArgs {
    /// Interfaces to show [default: all that a network reaches].
    #[arg(value_name = "INTERFACE", value_parser = parse_name)]
    pub interfaces: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}
