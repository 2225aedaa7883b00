//! Arguments of `service`.

use clap::{Args, Subcommand};

/// Of `service`.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub struct ServiceArgs {
    /// What about it.
    #[command(subcommand)]
    pub action: ServiceAction,
}

/// What to do about the service.
#[derive(Debug, Subcommand)]
pub enum ServiceAction {
    /// Apply /etc/fw-user/INTERFACE.toml at every boot and whenever the interface appears.
    Install {
        /// Interface to apply; it may appear later.
        #[arg(value_name = "INTERFACE", value_parser = parse_interface)]
        interface: String,
    },
    /// Stop attaching at boot. An attached filter stays.
    Remove {
        /// Interface of the service.
        #[arg(value_name = "INTERFACE", value_parser = parse_interface)]
        interface: String,
    },
    /// Show the unit, whether it is enabled and active, and the file it applies.
    Show {
        /// Interface of the service.
        #[arg(value_name = "INTERFACE", value_parser = parse_interface)]
        interface: String,
    },
}

/// A name that means nothing else in a path, a unit or a udev rule. Linux takes 15 bytes.
fn parse_interface(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_@+".contains(&byte);
    if (1..=15).contains(&text.len()) && !text.starts_with('.') && text.bytes().all(is_plain) {
        Ok(text.to_owned())
    } else {
        Err("an interface's name has up to 15 letters, digits and . - _ @ +".to_owned())
    }
}
