//! Arguments of `stats`.

use std::time::Duration;

use clap::Args;

use crate::cmd::args::{parse_interval, parse_name};

/// Arguments of `stats`.
#[derive(Debug, Args)]
pub struct StatsArgs {
    /// Interfaces to show [default: all attached].
    #[arg(value_name = "INTERFACE", value_parser = parse_name)]
    pub interfaces: Vec<String>,
    /// Print once and exit, also on a terminal.
    #[arg(long, conflicts_with = "interval")]
    pub once: bool,
    /// Print every SECONDS, also when piped.
    #[arg(long, value_name = "SECONDS", value_parser = parse_interval)]
    pub interval: Option<Duration>,
    /// Print JSON, one object a line.
    #[arg(long)]
    pub json: bool,
}
