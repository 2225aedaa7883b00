//! The arguments of `fw-user exposed`.

use clap::Args;

/// Arguments of `exposed`.
#[derive(Debug, Args)]
pub struct ExposedArgs {
    /// Interfaces to show [default: all that a network reaches].
    #[arg(value_name = "INTERFACE")]
    pub interfaces: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}
