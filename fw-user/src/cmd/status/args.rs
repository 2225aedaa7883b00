//! Arguments of `status`.

use clap::Args;

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Fail with exit code 6 where an outside interface has an address, no filter and no `except` in a file, or a filter is gone.
    #[arg(long)]
    pub check: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}
