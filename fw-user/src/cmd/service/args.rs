//! Arguments of `service`.

use clap::{Args, Subcommand};

use crate::cmd::boot::args::{parse_enabled, parse_interface};

/// Arguments of `service`.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub struct ServiceArgs {
    /// Action on the service.
    #[command(subcommand)]
    pub action: ServiceAction,
}

/// The action on the service.
#[derive(Debug, Subcommand)]
pub enum ServiceAction {
    /// Apply /etc/fw-user/INTERFACE.toml at every boot and whenever the interface appears.
    Install {
        /// Interfaces to apply; they may appear later.
        #[arg(required_unless_present = "all", value_name = "INTERFACE", value_parser = parse_enabled)]
        interfaces: Vec<String>,
        /// Apply every file in /etc/fw-user, to every interface that it names or that its patterns match.
        #[arg(long, conflicts_with = "interfaces")]
        all: bool,
    },
    /// Stop attaching at boot. An attached filter stays.
    Remove {
        /// Interfaces of the services.
        #[arg(required_unless_present = "all", value_name = "INTERFACE", value_parser = parse_interface)]
        interfaces: Vec<String>,
        /// Remove the services of all interfaces.
        #[arg(long, conflicts_with = "interfaces")]
        all: bool,
    },
    /// Show whether the service is enabled and active, the file it applies, and the unit.
    Show {
        /// Interfaces of the services [default: all that are enabled].
        #[arg(value_name = "INTERFACE", value_parser = parse_interface)]
        interfaces: Vec<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}
