//! What `allow`, `deny`, `monitor` and `enforce` came to.

use fw_common::policy::Policy;

use super::open_ports;
use crate::bpf::policy_map::Terms;

/// For one interface.
#[must_use]
pub fn text(name: &str, policy: &Policy, changed: bool) -> String {
    let note = if changed { "" } else { " (as before)" };
    format!("{name}  open: {}{note}\n", open_ports(policy))
}

/// The same of `monitor` and `enforce`.
#[must_use]
pub fn terms(name: &str, terms: Terms, changed: bool) -> String {
    let note = if changed { "" } else { " (as before)" };
    if terms.monitors {
        format!(
            "{name}  MONITOR ONLY{note}: everything is judged and counted, nothing is dropped; `fw-user enforce` ends that\n"
        )
    } else {
        format!("{name}  enforcing{note}: what is not allowed is dropped\n")
    }
}
