//! Arguments of `metrics`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;

use crate::cmd::args::parse_interval;

/// Where metrics are served, unless `--listen` says otherwise.
pub(crate) const DEFAULT_LISTEN: &str = "127.0.0.1:9843";

/// Arguments of `metrics`.
#[derive(Debug, Args)]
pub struct MetricsArgs {
    /// Serve metrics at this address and port: 127.0.0.1:9843, 0.0.0.0:9843.
    #[arg(long, value_name = "ADDRESS", default_value = DEFAULT_LISTEN, conflicts_with = "textfile")]
    pub listen: SocketAddr,
    /// Write the metrics to a file for the textfile collector of node exporter, then exit.
    #[arg(long, value_name = "FILE")]
    pub textfile: Option<PathBuf>,
    /// Rewrite the file every SECONDS instead of exiting.
    #[arg(long, value_name = "SECONDS", requires = "textfile", value_parser = parse_interval)]
    pub interval: Option<Duration>,
}
