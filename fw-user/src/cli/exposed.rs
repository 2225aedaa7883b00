//! The arguments of `fw-user exposed`.

use clap::Args;

/// Of `exposed`.
#[derive(Debug, Args)]
pub struct ExposedArgs {
    /// Interfaces that it is about; every one by which a network comes in without.
    #[arg(value_name = "INTERFACE")]
    pub interfaces: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}
