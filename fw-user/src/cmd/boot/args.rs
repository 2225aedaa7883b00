//! Arguments of `enable` and `disable`.

use clap::Args;

use crate::{config::pattern, host::interface};

/// Arguments of `enable`.
#[derive(Debug, Args)]
pub struct EnableArgs {
    /// Interfaces to attach at boot [default: all attached, or all that have a file].
    #[arg(value_name = "INTERFACE", value_parser = parse_enabled)]
    pub interfaces: Vec<String>,
    /// Attach to every outside interface, present and future, with the rules in force.
    #[arg(long, conflicts_with = "interfaces")]
    pub all: bool,
}

/// Arguments of `disable`.
#[derive(Debug, Args)]
pub struct DisableArgs {
    /// Interfaces to leave alone at boot [default: all].
    #[arg(value_name = "INTERFACE", value_parser = parse_interface)]
    pub interfaces: Vec<String>,
    /// Every interface, present and future, as without names.
    #[arg(long, conflicts_with = "interfaces")]
    pub all: bool,
}

/// [`parse_interface`] of a command that enables a service. A pattern is for a file.
pub(crate) fn parse_enabled(text: &str) -> Result<String, String> {
    if pattern::is_pattern(text) {
        pattern::check(text)?;
        return Err(format!(
            "a pattern is for a file, not for the command line\n  \
             every outside interface, present and future: fw-user enable --all\n  \
             those that {text} matches: interfaces = [\"{text}\"] in a file in /etc/fw-user, then fw-user apply and fw-user enable"
        ));
    }
    parse_interface(text)
}

/// A name without special characters for a path, a unit or a udev rule. Linux allows 15 bytes.
pub(crate) fn parse_interface(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_@+".contains(&byte);
    let name = interface::meant(text);
    if (1..=15).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(is_plain) {
        Ok(name)
    } else {
        Err("an interface's name has up to 15 letters, digits and . - _ @ +".to_owned())
    }
}
