//! What `allow` and `deny` came to.

use fw_common::policy::Policy;

use super::open_ports;

/// For one interface.
#[must_use]
pub fn text(name: &str, policy: &Policy, changed: bool) -> String {
    let note = if changed { "" } else { " (as before)" };
    format!("{name}  open: {}{note}\n", open_ports(policy))
}
